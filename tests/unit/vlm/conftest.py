"""Shared by the engine's tests: a tiny random model on disk, the engine on it, and an oracle that owes the engine
nothing.

The oracle keeps every token ever seen and attends, for each chunk and question, exactly what the contract names, at
positions that transformers itself computes for that sequence. It has no cache, no eviction arithmetic and no offsets.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from run_profile import sized
from transformers import Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb

from stillwing_lab.tiny_model import write_tiny_model
from stillwing_vlm.core.catalog import ModelSource
from stillwing_vlm.core.inputs.text import ChatText
from stillwing_vlm.core.local import LocalEngine, LocalSession
from stillwing_vlm.core.requests import AskRequest, Eviction, EvictionLevel, EvictionPositions, View


@pytest.fixture(scope="session")
def tiny_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def engine(tiny_dir: Path) -> LocalEngine:
    return LocalEngine.load(ModelSource(str(tiny_dir), device="cpu", threads=1))


SHORT_RANGE = 320
LOGITS_EVERY = sized(ci=3, nightly=1)


@pytest.fixture(scope="session")
def short_engine(tmp_path_factory: pytest.TempPathFactory) -> LocalEngine:
    """The same model, made for so few positions that a session comes to their end every few dozen frames."""
    directory = write_tiny_model(tmp_path_factory.mktemp("short") / "model", max_position_embeddings=SHORT_RANGE)
    return LocalEngine.load(ModelSource(str(directory), device="cpu", threads=1))


@pytest.fixture(scope="session")
def hf_model(tiny_dir: Path) -> Any:
    return Qwen2_5_VLForConditionalGeneration.from_pretrained(tiny_dir, dtype=torch.float32).eval()


@pytest.fixture(scope="session")
def exact_model(hf_model: Any) -> Any:
    """The same in float64, whose rounding is nothing beside float32's."""
    return copy.deepcopy(hf_model).double()


@pytest.fixture
def text(engine: LocalEngine) -> ChatText:
    return engine.loaded.text


def first_logits(session: LocalSession, prompt: str, **request: Any) -> torch.Tensor:
    """Logits after the question, by a branch that is then dropped."""
    branch = session.fork(AskRequest(prompt, **request))
    try:
        (logits,) = session._engine.backend.step(branch.rows())
    finally:
        session.video.release(branch)
    return logits


@dataclass(eq=False)
class Piece:
    """Tokens of one chunk, of the opening text or of one question, with their values in every layer once computed.

    `ids`, `types` and `deep` are of all tokens; those that `keep` denies have a position and nothing else.
    """

    ids: list[int]
    types: list[int]
    embeddings: torch.Tensor
    keep: torch.Tensor
    grids: list[list[int]] = field(default_factory=list)
    deep: list[torch.Tensor] = field(default_factory=list)
    number: int = 0
    double: bool = False
    raw_keys: list[torch.Tensor] = field(default_factory=list)
    values: list[torch.Tensor] = field(default_factory=list)


class Oracle:
    """One offline forward in which each token attends what it could see when it arrived; O(n²), no cache of its own."""

    def __init__(
        self,
        model: Any,
        text: ChatText,
        preprocessing: Any,
        opening_ids: list[int],
        budget: int,
        eviction: Eviction | None = None,
    ) -> None:
        self._model = model
        self._text = text
        self._merge = preprocessing.merge
        self._budget = budget
        self._eviction = eviction or Eviction()
        self.entropies: list[float] = []
        self.sink: list[Piece] = []
        self.memory: list[Piece] = []
        self.window: list[Piece] = []
        self.history: list[Piece] = []
        self.evicted = 0
        self.evicted_frames = 0
        opening = self._text_piece(opening_ids)
        self._run(opening, [])
        self.sink.append(opening)

    @property
    def pieces(self) -> list[Piece]:
        return [*self.sink, *self.memory, *self.window]

    def append(
        self, patches: np.ndarray, grid: tuple[int, int, int], label: str = "", kept: np.ndarray | None = None
    ) -> Piece:
        piece = self._frame_piece(patches, grid, label, kept)
        while len(self.sink) == 2 and self._tokens() + int(piece.keep.sum()) > self._budget:
            self._let_go()
        self._run(piece, self.pieces)
        if len(self.sink) < 2:
            self.sink.append(piece)
        else:
            self.history.append(piece)
            self.window.append(piece)
            piece.number = len(self.history)
        return piece

    def _let_go(self) -> None:
        gone = self.window[0]
        if self._eviction.level is EvictionLevel.SUBSAMPLED:
            older, stride = self.window[: max(1, len(self.window) // 2)], 1
            while all(piece.number % (2 * stride) == 0 for piece in older):
                stride *= 2
            gone = next(piece for piece in older if piece.number % (2 * stride))
        self.window.remove(gone)
        self.evicted += 1
        self.evicted_frames += 2 if gone.double else 1

    def recall(self, frames: list[tuple[np.ndarray, tuple[int, int, int], str]]) -> None:
        self.memory = []
        fresh: list[Piece] = []
        for patches, grid, label in frames:
            piece = self._frame_piece(patches, grid, label)
            self._run(piece, [*self.sink, *fresh], recalled=True)
            fresh.append(piece)
        self.memory = fresh
        while self._tokens() > self._budget:
            self._let_go()

    def recall_kept(self, pieces: list[Piece]) -> None:
        """As they were computed when they arrived; positions alone are others."""
        self.memory = pieces
        while self._tokens() > self._budget:
            self._let_go()

    def ask(self, prompt: str, recent: int | None = None) -> torch.Tensor:
        seen = self.pieces if recent is None else [*self.sink, *self.window[-recent:]]
        question = self._text_piece(self._text.question(prompt))
        hidden = self._run(question, seen)
        normed = self._model.model.language_model.norm(hidden[-1:])
        return self._model.lm_head(normed)[0].detach()

    def _tokens(self) -> int:
        return sum(int(piece.keep.sum()) for piece in self.pieces)

    def _text_piece(self, ids: list[int]) -> Piece:
        return Piece(ids, [0] * len(ids), self._embed(ids), torch.ones(len(ids), dtype=torch.bool))

    def _frame_piece(
        self, patches: np.ndarray, grid: tuple[int, int, int], label: str = "", kept: np.ndarray | None = None
    ) -> Piece:
        thw = torch.tensor([grid])
        with torch.no_grad():
            found = self._model.model.get_image_features(torch.from_numpy(patches).to(self._model.dtype), thw)
        (image,) = found.pooler_output
        before = [*self._text.encode(label), self._text.vision_start]
        ids = [*before, *[self._model.config.image_token_id] * len(image), self._text.vision_end]
        embeddings = self._embed(ids)
        seen = slice(len(before), -1)
        embeddings[seen] = image
        keep = torch.ones(len(ids), dtype=torch.bool)
        if kept is not None:
            keep[seen] = torch.from_numpy(kept)
        deep = []
        for (feature,) in getattr(found, "deepstack_features", None) or []:
            added = torch.zeros_like(embeddings)
            added[seen] = feature
            deep.append(added[keep])
        types = [0] * len(before) + [1] * len(image) + [0]
        return Piece(ids, types, embeddings[keep], keep, [list(grid)], deep)

    def _embed(self, ids: list[int]) -> torch.Tensor:
        return self._model.get_input_embeddings()(torch.tensor(ids)).detach()

    def _contiguous(self, sequence: list[Piece]) -> torch.Tensor:
        """Positions `[3, 1, tokens]` of pieces that follow on each other, as transformers computes them."""
        grids = [grid for part in sequence for grid in part.grids]
        found, _ = self._model.model.get_rope_index(
            torch.tensor([[token for part in sequence for token in part.ids]]),
            mm_token_type_ids=torch.tensor([[kind for part in sequence for kind in part.types]]),
            image_grid_thw=torch.tensor(grids) if grids else None,
        )
        return found

    def _with_gaps(self, seen: list[Piece], piece: Piece) -> torch.Tensor:
        """The same as if nothing had ever been let go; a memory ends where the window begins."""
        everything = [*self.sink, *self.history, piece]
        lengths = [len(part.ids) for part in everything]
        places = dict(zip(map(id, everything), self._contiguous(everything).split(lengths, dim=2), strict=True))
        memory = [part for part in seen if part in self.memory]
        window = [part for part in seen if part not in self.memory and part not in self.sink] or [piece]
        if memory:
            sink = sum(len(part.ids) for part in self.sink)
            front = self._contiguous([*self.sink, *memory, window[0]])
            own = front[..., sink : sink + sum(len(part.ids) for part in memory)]
            shift = places[id(window[0])].min() - front[..., sink + own.shape[2]].min()
            for part, place in zip(memory, (own + shift).split([len(part.ids) for part in memory], 2), strict=True):
                places[id(part)] = place
            for part in self.sink:
                places[id(part)] = places[id(part)] + min(0, int(shift))
        return torch.cat([places[id(part)] for part in [*seen, piece]], dim=2)

    def _angles(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines as transformers lays them out, of angles in float64: its own float32 angles are off by more
        than the tolerance after a thousand positions.
        """
        rotary = self._model.model.language_model.rotary_emb
        half = rotary.inv_freq.numel()
        theta = rotary.config.rope_parameters["rope_theta"]
        angles = positions.double()[..., None] * theta ** -(torch.arange(half, dtype=torch.float64) / half)
        recomposed = (rotary.recomposition_frequencies(part) for part in (angles.cos(), angles.sin()))
        cos, sin = (part.to(self._model.dtype) for part in recomposed)
        return cos, sin

    @torch.no_grad()
    def _run(self, piece: Piece, seen: list[Piece], *, recalled: bool = False) -> torch.Tensor:
        """Hidden states of the last layer of `piece`, which attends `seen` and, causally, itself."""
        sequence = [*seen, piece]
        if self._eviction.positions is EvictionPositions.GAP and not recalled:
            positions = self._with_gaps(seen, piece)
        else:
            positions = self._contiguous(sequence)
        # Tokens that were left out keep their places on the axes.
        positions = positions[..., torch.cat([part.keep for part in sequence])]
        hidden, own = piece.embeddings, len(piece.embeddings)
        total = positions.shape[-1]
        cos, sin = self._angles(positions)
        hidden_later = torch.ones(own, total, dtype=torch.bool).triu(total - own + 1)
        piece.raw_keys, piece.values = [], []
        for index, layer in enumerate(self._model.model.language_model.layers):
            attn = layer.self_attn
            normed = layer.input_layernorm(hidden)
            query, key, value = (
                norm(proj(normed).view(own, -1, attn.head_dim)).transpose(0, 1)
                for proj, norm in (
                    (attn.q_proj, getattr(attn, "q_norm", _as_it_is)),
                    (attn.k_proj, getattr(attn, "k_norm", _as_it_is)),
                    (attn.v_proj, _as_it_is),
                )
            )
            piece.raw_keys.append(key)
            piece.values.append(value)
            keys = torch.cat([part.raw_keys[index] for part in sequence], dim=1)
            values = torch.cat([part.values[index] for part in sequence], dim=1)
            padded = torch.cat([query.new_zeros(query.shape[0], total - own, attn.head_dim), query], dim=1)
            turned, turned_keys = apply_rotary_pos_emb(padded[None], keys[None], cos, sin)
            groups = query.shape[0] // keys.shape[0]
            scores = turned[0, :, -own:] @ turned_keys[0].repeat_interleave(groups, 0).transpose(1, 2)
            weights = (scores / attn.head_dim**0.5).masked_fill(hidden_later, float("-inf")).softmax(-1)
            if total > 32:
                last = weights[:, -1]
                self.entropies.append(float(-(last * last.clamp_min(1e-30).log()).sum(-1).mean() / np.log(total)))
            out = weights @ values.repeat_interleave(groups, 0)
            hidden = hidden + attn.o_proj(out.transpose(0, 1).reshape(own, -1))
            hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
            if index < len(piece.deep):
                hidden = hidden + piece.deep[index]
        return hidden


def _as_it_is(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


class Pair:
    """The engine and the oracle given the same frames and questions."""

    def __init__(
        self,
        engine: LocalEngine,
        hf_model: Any,
        budget: int,
        seed: Sequence[int],
        eviction: Eviction | None = None,
        gate_levels: float | None = None,
    ) -> None:
        self._engine = engine
        self._given = 0
        self._points = 0
        self._timed = engine.info().engine == "qwen3_vl"
        self._rng = np.random.default_rng(seed)
        self.arrived: dict[str, Piece] = {}
        self.session = engine.open("You fly.", budget, eviction=eviction, gate_levels=gate_levels)
        self._terms = budget, eviction
        self.oracle = self.oracle_on(hf_model)

    def oracle_on(self, model: Any) -> Oracle:
        """One for the engine's session at its beginning."""
        loaded = self._engine.loaded
        opening = loaded.preparer.opening("You fly.")
        return Oracle(model, loaded.text, loaded.backend.preprocessing, opening, *self._terms)

    def frame(self, rows_px: int = 56, columns_px: int = 84) -> np.ndarray:
        return self._rng.integers(0, 256, (rows_px, columns_px, 3), dtype=np.uint8)

    def append(self, pixels: np.ndarray, kept: np.ndarray | None = None) -> Piece:
        """`kept`: the vision tokens that a gate should leave standing."""
        return self.append_chunk(pixels, kept=kept)

    def append_chunk(self, *pixels: np.ndarray, kept: np.ndarray | None = None) -> Piece:
        """One or two frames encoded together; two make one grid in time like one."""
        self.appended = self.session.append(*pixels)
        self.session.video.trunk.check_integrity()
        piece = self.oracle.append(*self._patches(*pixels), self._label(), kept)
        self.arrived.update(dict.fromkeys(self.appended.frame_ids, piece))
        piece.double = len(pixels) == 2
        return piece

    def recall(self, *frames: np.ndarray) -> None:
        self.session.recall(*frames)
        self.session.video.trunk.check_integrity()
        self.oracle.recall([(*self._patches(pixels), self._label()) for pixels in frames])

    def _label(self) -> str:
        """The engine counts arrays as taken a second apart."""
        self._given += 1
        return f"<{self._given - 1:.1f} seconds>" if self._timed else ""

    def reopen(self, path: Path) -> None:
        """Close the session and go on from its export."""
        self.session.export(path)
        self.session = self._engine.open_export(path)

    def recall_kept(self, *frame_ids: str) -> None:
        self.session.recall_kept(*frame_ids)
        self.session.video.trunk.check_integrity()
        # A chunk of two frames comes whole, whichever of them is named.
        self.oracle.recall_kept(list(dict.fromkeys(self.arrived[frame_id] for frame_id in frame_ids)))

    def _patches(self, *pixels: np.ndarray) -> tuple[np.ndarray, tuple[int, int, int]]:
        chunk = self._engine.loaded.preparer.pixels(("",) * len(pixels), pixels, 1.0).patches
        return chunk.patches, tuple(chunk.grid)

    @property
    def evicted_frames(self) -> int:
        """Frames of the chunks that the oracle let go."""
        return self.oracle.evicted_frames

    def logits_error(self, prompt: str, recent: int | None = None) -> float:
        """Largest difference of the logits after a question, in units of their spread."""
        ours = first_logits(self.session, prompt, view=View(recent))
        theirs = self.oracle.ask(prompt, recent)
        return float((ours - theirs).abs().max() / theirs.std())

    def errors(self, prompt: str) -> list[float]:
        """Of the values, and of the logits at those points of a test at which the run's profile compares them too."""
        errors = [self.values_error()]
        if self._points % LOGITS_EVERY == 0:
            errors.append(self.logits_error(prompt))
        self._points += 1
        return errors

    def values_error(self) -> float:
        """Largest difference of any cached value in any layer, in units of their spread.

        The values are what every hidden state but the last layer's left behind.
        """
        trunk, store = self.session.video.trunk, self.session.video.slab.store
        theirs = torch.cat([torch.stack(piece.values) for piece in self.oracle.pieces], dim=2)
        ours = store.values[:, :, trunk.start : trunk.tail]
        assert ours.shape == theirs.shape
        return float((ours - theirs).abs().max() / theirs.std())


@pytest.fixture
def make_pair(engine: LocalEngine, short_engine: LocalEngine, hf_model: Any, run_seed: int) -> Any:
    """The engine and the oracle, in float64 unless told not to, so that what differs is the engine's own rounding.

    The run's seed and one of the test's draw their frames.
    """

    def make(
        budget: int,
        seed: int = 0,
        eviction: Eviction | None = None,
        *,
        short: bool = False,
        gate_levels: float | None = None,
        kept_kv_bytes: int = 0,
        exact: bool = True,
    ) -> Pair:
        loaded = (short_engine if short else engine).loaded
        limits = replace(loaded.limits, kept_kv_bytes=kept_kv_bytes)
        model = copy.deepcopy(hf_model).double() if exact else hf_model
        return Pair(LocalEngine(replace(loaded, limits=limits)), model, budget, (run_seed, seed), eviction, gate_levels)

    return make


@pytest.fixture
def pair_of() -> type[Pair]:
    """For an engine and a transformers model of a test's own."""
    return Pair


@pytest.fixture
def logits_of() -> Any:
    return first_logits
