"""A backend whose model is a mind: cache, grammar and tokens are the engine's own, what is said is the mind's.

A branch is read as a model would read it: the ids that its view of the trunk and its question hold, decoded, and the
pictures that stand between them. The mind's words are then fed token by token, each the longest that the answer's
grammar allows. It knows no missions.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from stillwing_common.errors import ExportUnusable, InternalFault
from stillwing_lab.stand_in.cells import Cells, CellStore, KeptCells, as_cells, as_text, from_text
from stillwing_lab.stand_in.sight import Picture
from stillwing_vlm.core.backend import CacheSizes, Choosing, Outcome, PinnedView, Row
from stillwing_vlm.core.chat_format import Pointing
from stillwing_vlm.core.inputs.chunk_tokens import VISION, ChunkFormat, ChunkLayout
from stillwing_vlm.core.inputs.images import PatchChunk, Preprocessing
from stillwing_vlm.core.inputs.positions import Positions
from stillwing_vlm.core.inputs.text import ChatText
from stillwing_vlm.core.planner import ModelFigures

_SURE = 5.0
"""By how much the score of what the mind says is above that of anything else."""
_ASSISTANT = "<|im_start|>assistant\n"


class Mind(Protocol):
    """Answers what it reads."""

    def answer(self, prompt: str, pictures: Sequence[Picture]) -> str:
        """What is said to `prompt`, control tokens in both as their text; `pictures` in sight, the newest last."""


@dataclass(slots=True, eq=False)
class MindBranch:
    """A question: what it sees of the trunk, what was fed since, and the answer once there is one, as bytes."""

    store: CellStore
    view: PinnedView
    fed: list[int] = field(default_factory=list)
    answer: bytes | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Scores:
    """Logits after a row's last token, or after each of them; reckoned when they are asked for."""

    branch: MindBranch
    fed: tuple[int, ...]
    ends: tuple[int, ...]
    every: bool


@dataclass(frozen=True, slots=True)
class SpokenToken:
    """See `Token`."""

    id: int

    def read(self) -> int:
        """See `Token`."""
        return self.id


class MindBackend:
    """See `Backend`. Its stores are `CellStore`."""

    name = "stand_in"
    model = "stand-in"
    device = "cpu"
    dtype = "float32"
    kv_cache_dtype = "float32"
    weight_dtype = "float32"
    attention = "none"
    attention_reason = "a mind reads whole texts"
    decoding = "eager"
    parameters = 0
    fingerprint = "stand-in"
    looks_ahead = False

    def __init__(
        self,
        mind: Mind,
        text: ChatText,
        preprocessing: Preprocessing,
        shown: Callable[[PatchChunk], Sequence[Picture]],
        pointing: Pointing,
    ) -> None:
        """`shown`: the pictures that a chunk of patches was made of."""
        self.vocab_size = text.vocab_size
        self.figures = ModelFigures(64, 64, 64, 32, 64, 64, preprocessing.merge**2, 1, 1 << 20)
        self.preprocessing = preprocessing
        self.chunk_format = ChunkFormat(preprocessing.merge, None, timed_grids=False)
        self.pointing: Pointing | None = pointing
        self._mind = mind
        self._text = text
        self._shown = shown
        self._bytes = [_bytes_of(text, id) for id in range(text.vocab_size)]
        self._ids: dict[bytes, int] = {}
        for id, written in enumerate(self._bytes):
            self._ids.setdefault(written, id)
        self._longest = max(map(len, self._ids))

    # What goes in

    def stage(self, chunk: PatchChunk) -> None:
        """See `Backend`."""

    def embed_text(self, token_ids: Sequence[int]) -> Cells:
        """See `Backend`."""
        return as_cells(list(token_ids))

    def embed_chunk(self, chunk: PatchChunk, layout: ChunkLayout, staged: None = None) -> Cells:
        """See `Backend`. Vision tokens are divided among the chunk's pictures in their order."""
        pictures = self._shown(chunk)
        cells = as_cells(layout.token_ids.tolist())
        places = np.flatnonzero(layout.token_ids == VISION)
        for picture, part in zip(pictures, np.array_split(places, len(pictures)), strict=True):
            for place in part:
                cells[place] = picture
        return cells

    def new_store(self, capacity: int) -> CellStore:
        """See `Backend`."""
        return CellStore(capacity)

    def prefill(
        self, store: Any, start: int, tail: int, embedding: Cells, positions: Positions, offset: int | None
    ) -> KeptCells | None:
        """See `Backend`."""
        store.cells[tail : tail + embedding.size] = embedding
        return None if offset is None else KeptCells(embedding)

    def mean_queries(
        self, store: Any, tail: int, embedding: Cells, positions: Positions, layers: Sequence[int]
    ) -> npt.NDArray[np.float32]:
        """See `Backend`. Raises Unsupported: there are none."""
        keys: npt.NDArray[np.float32] = store.mean_keys(KeptCells(embedding), layers, np.zeros(0, np.int64))
        return keys

    def new_branch(self, store: Any, view: PinnedView, capacity: int) -> MindBranch:
        """See `Backend`."""
        return MindBranch(store, view)

    def fork_branch(self, branch: MindBranch, capacity: int) -> MindBranch:
        """See `Backend`."""
        return replace(branch, fed=list(branch.fed))

    # What comes out

    def step(self, rows: Sequence[Row]) -> list[Outcome]:
        """See `Backend`."""
        return [self._fed(replace(row, choosing=None)) for row in rows]

    def advance(self, rows: Sequence[Row]) -> list[Outcome]:
        """See `Backend`."""
        return [self._fed(row) for row in rows]

    def _fed(self, row: Row) -> Outcome:
        branch: MindBranch = row.branch
        before = len(branch.fed)
        branch.fed += [token if isinstance(token, int) else token.read() for token in row.token_ids]
        if row.choosing is not None:
            return SpokenToken(self._spoken(branch, row.choosing))
        end = len(branch.fed)
        ends = tuple(range(before + 1, end + 1)) if row.every else (end,)
        return _Scores(branch, tuple(branch.fed), ends, row.every)

    def _spoken(self, branch: MindBranch, choosing: Choosing) -> int:
        """The longest token that goes on with the answer and is allowed. Raises InternalFault where none is."""
        answer, said = self._answer(branch)
        rest = answer[len(said) :] if answer.startswith(said) else b""
        allowed = choosing.allowed
        for length in range(min(self._longest, len(rest)), 0, -1):
            token = self._ids.get(rest[:length])
            if token is not None and (allowed is None or allowed[token]):
                return token
        if answer == said and (allowed is None or allowed[self._text.end_id]):
            return self._text.end_id
        raise InternalFault(f"the answer's form does not let the mind say {answer!r}: it got to {said!r}")

    def _answer(self, branch: MindBranch) -> tuple[bytes, bytes]:
        """What the mind says, and what of it has been said: some of that the grammar may have put there."""
        prompt, said = self._read(branch.fed)
        if branch.answer is None:
            seen = branch.store.seen(branch.view)
            pictures = list(dict.fromkeys(cell for cell in seen if isinstance(cell, Picture)))
            trunk = self._read([cell for cell in seen if not isinstance(cell, Picture) and cell >= 0])
            branch.answer = self._mind.answer(b"".join((*trunk, prompt)).decode(), pictures).encode()
        return branch.answer, said

    def _read(self, ids: Sequence[int]) -> tuple[bytes, bytes]:
        """Ids as text, up to where the assistant begins to speak for the last time, and from there on."""
        written = b"".join(self._bytes[id] for id in ids)
        prompt, opening, said = written.rpartition(_ASSISTANT.encode())
        return (prompt + opening, said) if opening else (written, b"")

    def log_probabilities(self, logits: _Scores) -> npt.NDArray[np.float64]:
        """See `Backend`: of what the mind says next almost all, where it has said what stands there."""
        tables = [self._scores(logits.branch, logits.fed[:end]) for end in logits.ends]
        return np.stack(tables) if logits.every else tables[0]

    def _scores(self, branch: MindBranch, fed: Sequence[int]) -> npt.NDArray[np.float64]:
        then = replace(branch, fed=list(fed))
        answer, said = self._answer(then)
        branch.answer = then.answer
        scores = np.zeros(self.vocab_size)
        if answer.startswith(said):
            rest = answer[len(said) :]
            for length in range(1, min(self._longest, len(rest)) + 1):
                token = self._ids.get(rest[:length])
                if token is not None:
                    scores[token] = _SURE
            if not rest:
                scores[self._text.end_id] = _SURE
        total: float = np.log(np.exp(scores).sum())
        found: npt.NDArray[np.float64] = scores - total
        return found

    def settle(self) -> None:
        """See `Backend`."""

    # Files and sizes

    def write_cache(self, path: Path, cache: Cells, description: str, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """See `Backend`."""
        told = {name: array.tolist() for name, array in arrays.items()}
        written = {"description": description, "cells": as_text(cache), "arrays": told}
        path.write_text(json.dumps(written, ensure_ascii=False), encoding="utf-8")

    def read_cache(
        self, path: Path, sizes: Callable[[str], CacheSizes]
    ) -> tuple[str, Cells, dict[str, npt.NDArray[Any]]]:
        """See `Backend`."""
        try:
            written = json.loads(path.read_text(encoding="utf-8"))
            description, cache = written["description"], from_text(written["cells"])
        except (ValueError, KeyError, TypeError) as error:
            raise ExportUnusable(f"it is no stand-in's: {error!r}") from error
        promised = sizes(description)
        if cache.size != promised.tokens:
            raise ExportUnusable(f"it has {cache.size} tokens, not {promised.tokens}")
        arrays = {name: np.array(written["arrays"][name], kind) for name, (kind, _) in promised.arrays.items()}
        return description, cache, arrays

    def scratch_bytes(self, chunk_tokens: int) -> int:
        """See `Backend`."""
        return 0

    def free_bytes(self) -> int:
        """See `Backend`: enough for any budget of a test's."""
        return 1 << 30


def _bytes_of(text: ChatText, id: int) -> bytes:
    """What a token stands for: of a control token its text, of another the bytes behind the byte-level alphabet."""
    written = text.token(id)
    if id in text.control_ids.values():
        return written.encode()
    return bytes(_BYTE_OF[letter] for letter in written)


def _byte_alphabet() -> dict[str, int]:
    """Bytes by the letters that byte-level tokenizers write them with: printable ones as they are, others from 256 on.

    As in GPT-2 (Radford and others, 2019).
    """
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + at): byte for at, byte in enumerate(others)}


_BYTE_OF = _byte_alphabet()
