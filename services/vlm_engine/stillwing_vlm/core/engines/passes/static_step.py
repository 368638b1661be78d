"""Decoding steps over buffers that stay where they are, so that one capture serves every step of its size.

Where trunks and branches lie, how long they are, what is fed and how the next token is chosen is read from device
memory. A chosen token goes from step to step on the device; the host reads it later. What a step computes is the same
as the backend's other way of stepping. It knows nothing of sessions, or of what the tokens mean.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from stillwing_vlm.core.backend import Outcome, Row
from stillwing_vlm.core.engines.cache.slab import BranchStore
from stillwing_vlm.core.engines.kernels.shares import (
    LEAST_TOKENS,
    MOST_SPLITS,
    append_scratch_bytes,
    decode_scratch_bytes,
)
from stillwing_vlm.core.engines.passes.step_inputs import OWN, StepInputs
from stillwing_vlm.core.engines.qwen.layers import LanguageLayers, TokenEmbeddings
from stillwing_vlm.core.engines.qwen.sampling import choose_tokens, draw_tokens
from stillwing_vlm.core.engines.tensors.rotary import CosSin, Rotary
from stillwing_vlm.core.engines.tensors.scaled import scale_address

WIDTHS = (1, 8, 32, 64)
"""Tokens that a row of a step feeds at most; a question longer than the last goes the other way."""

ROWS = (1, 2, 4, 8, 16, 32)

MOST_TOKENS = 512
"""Tokens in a step, fed or not."""

Capture = Callable[[Callable[[], None]], Callable[[], None]]
"""Runs a function, and gives what does the same from then on."""


class SegmentKernels(Protocol):
    """Writes to and reads from the pieces of cache that a step's inputs name. Tokens stand row by row."""

    def begin(self, cos_sin: CosSin) -> None:
        """Called once before the layers, with what all of them turn the fed tokens by."""

    def attend(self, layer: int, raw: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Turn the fed tokens' queries and keys, given one after the other, put their keys and values behind what the
        rows' own pieces hold, and attend each over its row's pieces, up to itself in its own:
        `[heads, rows * width, head_dim]`.
        """


class VocabularyBuffers:
    """What is as wide as the vocabulary; all sizes of step use it one after another."""

    def __init__(self, vocab_size: int, device: torch.device) -> None:
        self.logits = torch.zeros(ROWS[-1], vocab_size, device=device)
        self.allowed = torch.ones(ROWS[-1], vocab_size, dtype=torch.bool, device=device)


class StaticStep:
    """One size of step: up to `rows` rows of up to `width` tokens."""

    def __init__(
        self,
        layers: LanguageLayers,
        rotary: Rotary,
        vocabulary: VocabularyBuffers,
        rows: int,
        width: int,
        kernels: "Callable[[StaticStep], SegmentKernels]",
        capture: Capture,
    ) -> None:
        device = layers.device
        self.rows, self.width = rows, width
        self.layers = layers
        self.inputs = StepInputs(rows, width, vocabulary.allowed[:rows], device)
        self.fed: Sequence[Row] = ()
        """What is fed while it is: the same that the inputs tell of."""
        self._rotary = rotary
        self._lanes = torch.arange(width, device=device)
        self._rows = torch.arange(rows, device=device)
        self._logits = vocabulary.logits[:rows]
        self._chosen = torch.zeros(rows, dtype=torch.int64, device=device)
        self._kernels = kernels(self)
        self._capture = capture
        self._run: dict[bool, Callable[[], None]] = {}

    def run(self, rows: Sequence[Row]) -> list[Outcome]:
        """Feed the rows, at most as many as fit; whoever called makes their tokens count. Waits for nothing."""
        try:
            self._tell(rows)
            drawn = any(row.choosing is not None and row.choosing.sampling is not None for row in rows)
            ready = self._run.get(drawn)
            if ready is None:
                self._run[drawn] = self._capture(lambda: self._forward(drawn=drawn))
            else:
                ready()
        finally:
            # A trunk is to go when its session goes.
            self.fed = ()
        return self._outcomes(rows)

    def _tell(self, rows: Sequence[Row]) -> None:
        block, told = self.inputs.blank()
        allowed: dict[int, npt.NDArray[np.bool_]] = {}
        unread: list[tuple[int, int, torch.Tensor]] = []
        self.fed = rows
        for at, row in enumerate(rows):
            count = len(row.token_ids)
            for lane, token in enumerate(row.token_ids):
                if isinstance(token, PendingToken):
                    unread.append((at, lane, token.on_device))
                else:
                    told.token_ids[at, lane] = token if isinstance(token, int) else token.read()
            told.counts[at] = count
            told.first_position[at] = row.positions[0, 0]
            _point(told, at, row.branch, count)
            if row.choosing is None:
                continue
            if row.choosing.allowed is not None:
                allowed[at] = row.choosing.allowed
                told.ruled[at] = 1
            if row.choosing.sampling is not None:
                told.temperature[at] = row.choosing.sampling.temperature
                told.top_p[at] = row.choosing.sampling.top_p
                told.uniform[at] = row.choosing.uniform
        self.inputs.fill(block, allowed)
        for at, lane, chosen in unread:
            self.inputs.told.token_ids[at, lane].copy_(chosen)

    @torch.inference_mode()
    def _forward(self, *, drawn: bool) -> None:
        told = self.inputs.told
        positions = told.first_position[:, None] + self._lanes
        self._kernels.begin(self._rotary.text_cos_sin(positions.flatten()))
        embedding = TokenEmbeddings(self.layers.embed(told.token_ids.flatten()))
        hidden = self.layers.walk(embedding, self._kernels.attend)
        last = hidden.view(self.rows, self.width, -1)[self._rows, (told.counts - 1).clamp(min=0)]
        self._logits.copy_(self.layers.logits(last))
        allowed = self.inputs.allowed | (told.ruled == 0)[:, None]
        if drawn:
            figures = (told.temperature, told.top_p, told.uniform)
            self._chosen.copy_(draw_tokens(self._logits, *figures, allowed))
        else:
            self._chosen.copy_(choose_tokens(self._logits, allowed))

    def _outcomes(self, rows: Sequence[Row]) -> list[Outcome]:
        # The buffers are written anew by the next step, which may be under way before these are looked at.
        tokens = PendingTokens(self._chosen) if any(row.choosing is not None for row in rows) else None
        return [
            self._logits[at].clone() if tokens is None or row.choosing is None else PendingToken(tokens, at)
            for at, row in enumerate(rows)
        ]


class PendingTokens:
    """A copy of the tokens that one step chose, on the device and on its way to the host."""

    def __init__(self, chosen: torch.Tensor) -> None:
        self.on_device = chosen.clone()
        self._done: torch.cuda.Event | None = None
        self._on_host = self.on_device
        if chosen.is_cuda:
            self._on_host = torch.empty(chosen.shape, dtype=chosen.dtype, pin_memory=True)
            self._on_host.copy_(self.on_device, non_blocking=True)
            self._done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._done.record()

    def read(self, row: int) -> int:
        """One of them; waits for its step."""
        if self._done is not None:
            self._done.synchronize()
        return int(self._on_host[row])


class PendingToken:
    """A `Token` of a step that may still be under way."""

    def __init__(self, tokens: PendingTokens, row: int) -> None:
        self._tokens = tokens
        self._row = row

    @property
    def on_device(self) -> torch.Tensor:
        """int64[], for whatever is fed next."""
        return self._tokens.on_device[self._row]

    def read(self) -> int:
        """Its id; waits for its step."""
        return self._tokens.read(self._row)


class StaticDecoder:
    """Steps of all sizes, each made when it is first needed. Used on the device's owner thread only."""

    def __init__(self, make_step: Callable[[int, int], StaticStep]) -> None:
        """`make_step(rows, width)`."""
        self._make_step = make_step
        self._steps: dict[tuple[int, int], StaticStep] = {}

    def takes(self, row: Row) -> bool:
        """Whether a row can go this way: a few tokens of text whose last one alone is asked about, in the usual ways,
        on a branch that is no fork of another.
        """
        count = len(row.token_ids)
        if row.every or (row.choosing is not None and row.choosing.needs_all_scores):
            return False
        return 0 < count <= WIDTHS[-1] and row.branch.can_be_static and _is_text(row.positions)

    def advance(self, rows: Sequence[Row]) -> list[Outcome]:
        """Feed rows that `takes` took, those of about a length together; whoever called makes their tokens count."""
        found: list[Outcome] = [None] * len(rows)
        by_width: dict[int, list[int]] = {}
        for at, row in enumerate(rows):
            by_width.setdefault(_least(WIDTHS, len(row.token_ids)), []).append(at)
        for width, places in by_width.items():
            most = min(ROWS[-1], MOST_TOKENS // width)
            for at in range(0, len(places), most):
                group = places[at : at + most]
                step = self._step(_least(ROWS, len(group)), width)
                for place, outcome in zip(group, step.run([rows[place] for place in group]), strict=True):
                    found[place] = outcome
        return found

    def _step(self, rows: int, width: int) -> StaticStep:
        step = self._steps.get((rows, width))
        if step is None:
            step = self._steps[rows, width] = self._make_step(rows, width)
        return step


def _point(told: Any, row: int, branch: BranchStore, count: int) -> None:
    """Say where the row's pieces lie; all but its own are attended whole."""
    seen, own, length = branch.pieces()
    if length + count > own[0].shape[2]:
        raise ValueError(f"{count} tokens behind {length} do not fit a branch of {own[0].shape[2]}")
    for place, (keys, values) in [*enumerate(seen), (OWN, own)]:
        if keys.stride() != values.stride():
            raise ValueError(f"keys strided {keys.stride()} beside values strided {values.stride()}")
        told.addresses[row, place] = keys.data_ptr(), values.data_ptr()
        told.strides[row, place] = keys.stride()[:2]
        told.scales[row, place] = scale_address(keys), scale_address(values)
        told.spans[row, place] = 0, length if place == OWN else keys.shape[2]


def _is_text(positions: npt.NDArray[np.int64]) -> bool:
    first = positions[0, 0]
    return bool((positions == np.arange(first, first + positions.shape[1])).all())


def _least(sizes: Sequence[int], wanted: int) -> int:
    return next(size for size in sizes if size >= wanted)


def scratch_bytes(
    heads: tuple[int, int, int],
    element_bytes: int,
    token_bytes: int,
    vocab_size: int,
    chunk_tokens: int,
    processors: int,
) -> int:
    """Most that kernels and steps of all sizes hold beside caches, on a card with so many multiprocessors.

    `heads`: query heads, key heads, entries of each; `token_bytes`: what a fed token takes in the layers; `vocab_size`
    0: there are no static steps. Each size of step has partial results and buffers of its own; what is as wide as the
    vocabulary, and what passes need in between, exists once.
    """
    found = max(
        append_scratch_bytes(chunk_tokens, *heads, rows, processors, MOST_SPLITS * LEAST_TOKENS) for rows in (64, 128)
    )
    if not vocab_size:
        return found
    for rows, width in ((rows, width) for rows in ROWS for width in WIDTHS if rows * width <= MOST_TOKENS):
        buffers = 2 * rows * width * heads[0] * heads[2] * element_bytes
        found += buffers + decode_scratch_bytes(rows, width, *heads, processors)
    return found + ROWS[-1] * vocab_size * (4 + 1) + MOST_TOKENS * token_bytes
