"""What a session needs of a model on a device, in words that know no tensor library.

Handles (`Store`, `Embedding`, `BranchStore`, `Logits`) are opaque to the caller. Every method is called on one
thread, the device's owner. Implementations live under `core.engines`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from stillwing_vlm.core.chat_format import Pointing
from stillwing_vlm.core.inputs.chunk_tokens import ChunkFormat, ChunkLayout
from stillwing_vlm.core.inputs.images import PatchChunk, Preprocessing
from stillwing_vlm.core.inputs.positions import Positions
from stillwing_vlm.core.planner import ModelFigures
from stillwing_vlm.core.requests import Sampling

Embedding = Any
"""Token embeddings on the device, with all that a chunk's vision tokens bring into the layers."""
Logits = Any
"""Scores over the vocabulary after the last token of a row, `float32[vocabulary]`."""
Outcome = Any
"""What a row of a step gave: a `Token` where one was to be chosen, otherwise its logits."""


class Kept(Protocol):
    """What it takes to write a chunk anew elsewhere: its keys un-rotated, as computed when it arrived, and its values.

    Chunks are rotated anew from there each time, so that nothing drifts.
    """

    @property
    def size_bytes(self) -> int:
        """Bytes it holds."""


class Store(Protocol):
    """Keys and values of one session: a slab of `capacity` tokens."""

    capacity: int

    def place(self, pieces: Sequence[tuple[Any, int]], end: int) -> None:
        """Write kept chunks one after another so that they end before slab place `end`, each from its position on."""

    def turned(self, pieces: Sequence[tuple[Any, int]]) -> Any:
        """The same as a copy beside the slab, as `copy_out` gives."""

    def without_values(self, kept: Any) -> Any:
        """A kept chunk's keys alone, for as long as its values are in the slab."""

    def with_values(self, kept: Any, place: int) -> Any:
        """The same again with the values that begin at slab `place`."""

    def mean_keys(self, kept: Any, layers: Sequence[int], groups: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Means of a kept chunk's un-rotated keys over its tokens of group 0, 1, …: float32[groups, layers, key heads,
        dimensions]. `groups` int64[tokens]; tokens of -1 count nowhere.
        """

    def move(self, source: int, target: int, length: int, turn: int = 0) -> None:
        """Move slab tokens; source and target may overlap. Their positions change by `turn`."""

    def turn_copy(self, kept: Any, turn: int) -> Any:
        """What `copy_out` or `turned` gave (or None), with positions changed by `turn`."""

    def copy_out(self, kept: Any, start: int, end: int) -> Any:
        """A copy of slab `[start, end)`, appended to `kept` (an earlier copy, or None)."""

    def copy_cache(self, start: int, end: int, kept: Sequence[Any]) -> Any:
        """A copy of slab `[start, end)` and of kept chunks in it, for `Backend.write_cache`."""

    def adopt_cache(self, cache: Any, pieces: list[tuple[int, int]]) -> list[Any]:
        """Put what `Backend.read_cache` gave at the slab's beginning. `pieces`: place and tokens of each kept chunk.

        Returns those chunks.
        """

    def digest(self, start: int, end: int) -> str:
        """Hash of the bytes of slab `[start, end)`. For tests."""

    @property
    def size_bytes(self) -> int:
        """Bytes of the slab."""


@dataclass(slots=True, eq=False)
class PinnedView:
    """What a branch sees of the trunk: `kept` (a copy of what was since overwritten), then slab `[start, end)`.

    The branch's next token stands at position `cursor`; since it was forked all positions have changed by `turn`.
    """

    kept: Any
    start: int
    end: int
    cursor: int
    turn: int = 0


class Token(Protocol):
    """A token that was chosen, perhaps still on its way from the device. It can be fed before it is read."""

    def read(self) -> int:
        """Its id; waits for it."""


@dataclass(frozen=True, slots=True, eq=False)
class Repeats:
    """Scores of `token_ids` int64[tokens], perhaps some of them twice, are made less by a factor above 0: those above 0
    divided by it, those below multiplied. The rule of CTRL (Keskar and others, 2019), as in transformers.
    """

    penalty: float
    token_ids: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Choosing:
    """How the token after a row is chosen.

    First `repeats` changes scores; then `allowed` bool[vocabulary] rules tokens out. Without `sampling` the most
    probable is taken; with it, `uniform` in [0, 1) says which: it is where the drawn token lies in the sum of
    probabilities, the largest first.
    """

    allowed: npt.NDArray[np.bool_] | None = None
    sampling: Sampling | None = None
    uniform: float = 0.0
    repeats: Repeats | None = None

    @property
    def needs_all_scores(self) -> bool:
        """Whether it wants more than static buffers for temperature, mass and mask hold."""
        return self.repeats is not None or (self.sampling is not None and self.sampling.top_k > 0)


@dataclass(slots=True, eq=False)
class Row:
    """One branch's share of a decoding step: `token_ids` at `positions` are fed and the logits after the last wanted.

    With `every` set, the logits after each of them: `float32[tokens, vocabulary]`. With `choosing`, `Backend.advance`
    gives the token chosen from the logits instead.
    """

    branch: Any
    token_ids: Sequence["int | Token"]
    positions: Positions
    every: bool = False
    choosing: Choosing | None = None


@dataclass(frozen=True, slots=True)
class CacheSizes:
    """What a file with a cache must hold: tokens, those of kept chunks, and arrays by name with type and shape."""

    tokens: int
    kept_tokens: int
    arrays: Mapping[str, tuple[type[Any], tuple[int, ...]]]


class Backend(Protocol):
    """A model on a device."""

    name: str
    model: str
    device: str
    dtype: str
    kv_cache_dtype: str
    """How a store keeps keys and values: as `dtype`, or "fp8"."""
    weight_dtype: str
    """Of the language model's linear layers: as `dtype`, or "int8"."""
    attention: str
    attention_reason: str
    """Why it is carried out so."""
    decoding: str
    parameters: int
    fingerprint: str
    """Tells this model's weights from others."""
    vocab_size: int
    figures: ModelFigures
    preprocessing: Preprocessing
    chunk_format: ChunkFormat
    pointing: Pointing | None
    """How the models of its family name a place in a picture; None: not known."""
    looks_ahead: bool
    """Feeding a token before it was read saves time: the device goes on while the token is looked at."""

    def embed_text(self, token_ids: Sequence[int]) -> Embedding:
        """Embeddings of text tokens."""

    def stage(self, chunk: PatchChunk) -> Any:
        """Bring a chunk's patches to the device ahead of its turn, for `embed_chunk`; None where that gains nothing.
        Any thread.
        """

    def embed_chunk(self, chunk: PatchChunk, layout: ChunkLayout, staged: Any = None) -> Embedding:
        """Embeddings of one chunk through the vision encoder, in the order and with the text of its layout.

        `staged`: what `stage` gave for it.
        """

    def new_store(self, capacity: int) -> Store:
        """An empty store. Raises Exhausted where the device has no room."""

    def prefill(
        self, store: Store, start: int, tail: int, embedding: Embedding, positions: Positions, offset: int | None
    ) -> Kept | None:
        """Run tokens through the model and write their keys and values at `tail`; they attend `[start, tail)` and,
        causally, themselves. Where `offset` is given, the result is what it takes to write them anew, with positions
        less `offset`.
        """

    def mean_queries(
        self, store: Store, tail: int, embedding: Embedding, positions: Positions, layers: Sequence[int]
    ) -> npt.NDArray[np.float32]:
        """Means over the tokens of their queries before rotation: float32[layers, heads, dimensions].

        The tokens attend slab `[0, tail)` and themselves, and are written at `tail`: for a store that is let go after.
        """

    def new_branch(self, store: Store, view: PinnedView, capacity: int) -> Any:
        """Room for the tokens of one ask beside the trunk."""

    def fork_branch(self, branch: Any, capacity: int) -> Any:
        """A branch of a branch: sees what `branch` holds now, writes to itself."""

    def step(self, rows: Sequence[Row]) -> list[Logits]:
        """Feed every row's tokens in one pass; logits in the order of the rows, whatever was to be chosen."""

    def advance(self, rows: Sequence[Row]) -> list[Outcome]:
        """Feed every row's tokens and choose where a row says so; in the order of the rows. Waits for nothing that it
        need not wait for. Where it raises, no row has been fed: each may be fed again.
        """

    def log_probabilities(self, logits: Logits) -> npt.NDArray[np.float64]:
        """Natural logarithms of the probabilities of all tokens."""

    def settle(self) -> None:
        """Wait for all that was begun."""

    def write_cache(self, path: Path, cache: Any, description: str, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Write what `Store.copy_cache` gave to a file, and arrays beside it. Any thread. Raises OSError."""

    def read_cache(
        self, path: Path, sizes: Callable[[str], CacheSizes]
    ) -> tuple[str, Any, dict[str, npt.NDArray[Any]]]:
        """Description, cache and arrays of such a file; `sizes` checks the description and says what it promises. Any
        thread. Raises ExportUnusable, what `sizes` raises, OSError.
        """

    def scratch_bytes(self, chunk_tokens: int) -> int:
        """Memory of the device that passes hold beside weights, caches and the chunk under way."""

    def free_bytes(self) -> int:
        """Memory of the device that is free now and may be taken."""
