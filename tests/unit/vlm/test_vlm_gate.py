"""python -m pytest tests/unit/vlm/test_vlm_gate.py -v

The token-saving gate drops what the model has seen and still sees, and nothing else; what stays is exact.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForImageTextToText

from stillwing_common.errors import InvalidInput
from stillwing_lab.tiny_model import write_tiny_model
from stillwing_vlm.core.catalog import ModelSource
from stillwing_vlm.core.inputs.images import Preprocessing
from stillwing_vlm.core.local import LocalEngine
from stillwing_vlm.core.memory.gate import TokenGate
from stillwing_vlm.core.requests import Eviction, EvictionLevel, SessionConfig

TOLERANCE = 1e-4
LEVELS = 6.0
HOW = Preprocessing(4, 2, 2, 64, 6400, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


@pytest.fixture(scope="module", params=["qwen2_5_vl", "qwen3_vl"])
def family_dir(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("gate") / request.param, family=request.param)


@pytest.fixture(scope="module")
def engine(family_dir: Path) -> LocalEngine:
    return LocalEngine.load(ModelSource(str(family_dir), device="cpu", threads=1))


@pytest.fixture(scope="module")
def hf_model(family_dir: Path) -> Any:
    return AutoModelForImageTextToText.from_pretrained(family_dir, dtype=torch.float32).eval()


class PlainGate:
    """The rule, a place at a time, with the oracle's own pieces for what is still there."""

    def __init__(self, pair: Any, side_px: int) -> None:
        self._oracle, self._side = pair.oracle, side_px
        self._shown: dict[tuple[int, int], tuple[np.ndarray, Any]] = {}
        self._shape: tuple[int, ...] = ()

    def keep(self, pixels: np.ndarray, tokens: int) -> np.ndarray:
        side = self._side
        places = [(row, column) for row in range(pixels.shape[0] // side) for column in range(pixels.shape[1] // side)]
        if pixels.shape != self._shape:
            self._shape, self._shown = pixels.shape, {}
        staying = self._staying(tokens)
        differences = []
        kept = []
        for place in places:
            new = self._at(pixels, place)
            old, holder = self._shown.get(place, (None, None))
            worst = 999.0 if old is None else self._worst(new, old)
            differences.append(worst)
            kept.append(worst > LEVELS or not any(holder is piece for piece in staying))
        if not any(kept):
            kept[int(np.argmax(differences))] = True
        self._fresh = {place: self._at(pixels, place) for place, wanted in zip(places, kept, strict=True) if wanted}
        return np.array(kept)

    def accept(self, piece: Any) -> None:
        self._shown |= {place: (new, piece) for place, new in self._fresh.items()}

    def _staying(self, tokens: int) -> list[Any]:
        window = list(self._oracle.window)
        used = sum(int(piece.keep.sum()) for piece in self._oracle.pieces)
        while window and used + tokens > self._oracle._budget:
            used -= int(window.pop(0).keep.sum())
        return [*self._oracle.sink, *window]

    def _at(self, pixels: np.ndarray, place: tuple[int, int]) -> np.ndarray:
        rows, columns = (slice(at * self._side, (at + 1) * self._side) for at in place)
        return pixels[rows, columns].astype(float)

    def _worst(self, new: np.ndarray, old: np.ndarray) -> float:
        half = self._side // 2
        corners = [(slice(a, a + half), slice(b, b + half)) for a in (0, half) for b in (0, half)]
        return max(float(np.abs(new[corner] - old[corner]).mean()) for corner in corners)


def stream(side_px: int, count: int, seed: int) -> list[np.ndarray]:
    """Pictures in which single places change at once or slowly, noise is everywhere, and a new size comes at times."""
    rng = np.random.default_rng(seed)
    pictures: list[np.ndarray] = []
    for index in range(count):
        if index % 40 == 0:
            rows, columns = [(2, 3), (3, 3), (2, 4)][index // 40 % 3]
            scene = rng.integers(20, 200, (rows * side_px, columns * side_px, 3)).astype(float)
        row, column = rng.integers(rows), rng.integers(columns)
        part = scene[row * side_px : (row + 1) * side_px, column * side_px : (column + 1) * side_px]
        part[:] = np.clip(part + rng.choice([0.0, 2.0, 60.0]), 0, 250)
        pictures.append(np.clip(scene + rng.normal(0, 1.5, scene.shape), 0, 255).astype(np.uint8))
    return pictures


def test_what_stays_equals_the_oracle(make_pair: Any, engine: LocalEngine) -> None:
    """The same tokens at the places they would have had, through evictions, new sizes, recalls and deepstack."""
    side = engine.loaded.backend.preprocessing.factor_px
    pair = make_pair(130, seed=1, gate_levels=LEVELS)
    gate, worst, dropped = PlainGate(pair, side), 0.0, 0
    around = 2 + len(engine.loaded.text.encode("<10.0 seconds>")) * (engine.info().engine == "qwen3_vl")
    for index, picture in enumerate(stream(side, 240, seed=2)):
        label = len(engine.loaded.text.encode(f"<{pair._given:.1f} seconds>")) if around > 2 else 0
        places = picture.shape[0] * picture.shape[1] // side**2
        keep = gate.keep(picture, places + 2 + label)
        gate.accept(pair.append(picture, keep))
        saving = pair.appended.saving
        assert saving.dropped_tokens == places - keep.sum()
        assert pair.appended.chunk_tokens == keep.sum() + 2 + label
        dropped += saving.dropped_tokens
        if index % 60 == 30:
            pair.recall(pair.frame(2 * side, 2 * side))
        if index % 6 == 0:
            worst = max(worst, *pair.errors("What is it?"))
    assert worst < TOLERANCE
    assert pair.oracle.evicted > 40
    assert dropped > 500
    assert pair.session.info().dropped_tokens == dropped


def test_what_stays_equals_the_oracle_where_old_chunks_are_thinned_out(make_pair: Any, engine: LocalEngine) -> None:
    side = engine.loaded.backend.preprocessing.factor_px
    pair = make_pair(130, seed=1, eviction=Eviction(EvictionLevel.SUBSAMPLED), gate_levels=LEVELS)
    for picture in stream(side, 100, seed=3):
        session, places = pair.session.video, picture.shape[0] * picture.shape[1] // side**2
        accepted: list[np.ndarray] = []
        session._gate.accept = _spy(session._gate, accepted)
        pair.session.append(picture)
        chunk = pair._patches(picture)
        pair.oracle.append(*chunk, pair._label(), accepted[0])
        assert accepted[0].size == places
    assert pair.oracle.evicted > 10
    assert max(pair.logits_error("What is it?"), pair.values_error()) < TOLERANCE


def _spy(gate: TokenGate, seen: list[np.ndarray]) -> Any:
    def accept(verdict: Any, number: int) -> None:
        seen.append(verdict.keep)
        TokenGate.accept(gate, verdict, number)

    return accept


@given(st.data())
@settings(deadline=None)
def test_the_trunk_always_shows_the_present(data: Any) -> None:
    """Put together from the chunks that are there, newest on top, the picture is the last one, up to the threshold."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    gate, shape = TokenGate(LEVELS, HOW), (16, 24, 3)
    scene = rng.integers(0, 256, shape).astype(float)
    trunk: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for number in range(data.draw(st.integers(2, 25))):
        scene = np.clip(scene + rng.normal(0, rng.choice([0, 1, 30]), shape) * (rng.random((16, 24, 1)) < 0.1), 0, 255)
        frames = scene[None].astype(np.uint8)
        leaving = set() if number == 0 else set(data.draw(st.sets(st.sampled_from(sorted(trunk) or [0]), max_size=2)))
        present = set(trunk) - leaving - {0}
        verdict = gate.judge(frames, present)
        gate.accept(verdict, number)
        trunk = {known: chunk for known, chunk in trunk.items() if known in present or known == 0}
        trunk[number] = (verdict.keep.reshape(2, 3), frames[0])
        shown = np.zeros(shape)
        for _, (keep, picture) in sorted(trunk.items()):
            wanted = keep.repeat(8, 0).repeat(8, 1)
            shown[wanted] = picture[wanted]
        difference = np.abs(frames[0] - shown).reshape(4, 4, 6, 12).mean(axis=(1, 3))
        assert difference.max() <= LEVELS
        assert verdict.keep.any()
        assert 0 <= verdict.changed_share <= 1


def test_each_grid_of_a_chunk_is_compared_with_the_one_before(engine: LocalEngine) -> None:
    side = engine.loaded.backend.preprocessing.factor_px
    session = engine.open("You fly.", 500, gate_levels=LEVELS)
    still = np.full((2 * side, 3 * side, 3), 90, np.uint8)
    moved = still.copy()
    moved[:side, :side] = 140
    session.append(still)
    result = session.append(still, moved, moved, moved)
    # The first grid shows the move, in its second frame; the second says nothing new and keeps one token.
    assert result.saving is not None
    assert (result.saving.dropped_tokens, result.saving.changed_share) == (10, 4 / 48)


def test_a_place_is_held_by_the_chunk_that_showed_it_in_any_of_its_grids() -> None:
    """And what is lost is shown once in a chunk, not in each grid."""
    gate, plain = TokenGate(LEVELS, HOW), np.full((16, 24, 3), 90, np.uint8)
    first, second = plain.copy(), plain.copy()
    first[:8, :8] = second[:8, :8] = 140
    second[8:, 16:] = 140
    gate.accept(gate.judge(plain[None], set()), 0)
    moving = gate.judge(np.stack([first, first, second, second]), set())
    assert moving.keep.tolist() == [True] + [False] * 5 + [False] * 5 + [True]
    gate.accept(moving, 1)
    still = np.stack([second] * 4)
    # Chunk 1 stays: nothing new, one token of each grid. It leaves: both its places, once, and one token of the other.
    assert gate.judge(still, {1}).keep.reshape(2, 6).sum(axis=1).tolist() == [1, 1]
    lost = gate.judge(still, set()).keep.reshape(2, 6)
    assert lost[0].tolist() == [True, False, False, False, False, True]
    assert lost[1].sum() == 1


def test_what_cannot_be_compared_is_kept_whole(engine: LocalEngine) -> None:
    side = engine.loaded.backend.preprocessing.factor_px
    session = engine.open("You fly.", 500, gate_levels=LEVELS)
    before = session.take_snapshot()
    picture = np.full((2 * side, 2 * side, 3), 90, np.uint8)

    def dropped(pixels: np.ndarray) -> int:
        saving = session.append(pixels).saving
        assert saving is not None
        return saving.dropped_tokens

    assert dropped(picture) == 0
    snapshot = session.take_snapshot()
    assert dropped(picture) == 3
    assert dropped(np.full((2 * side, 3 * side, 3), 90, np.uint8)) == 0
    session.restore_snapshot(snapshot.snapshot_id)
    assert dropped(picture) == 0
    session.restore_snapshot(snapshot.snapshot_id)
    other = np.full_like(picture, 200)
    assert dropped(other) == 0
    session.restore_snapshot(snapshot.snapshot_id)
    # What the trunk no longer holds has not been shown.
    assert dropped(other) == 0
    session.restore_snapshot(before.snapshot_id)
    assert dropped(picture) == 0
    assert dropped(picture) == 3


def test_a_slow_change_is_not_lost(engine: LocalEngine) -> None:
    """No step is above the threshold, the sum of them is."""
    side = engine.loaded.backend.preprocessing.factor_px
    session = engine.open("You fly.", 5000, gate_levels=LEVELS)
    shares = []
    for level in range(60, 160, 2):
        saving = session.append(np.full((2 * side, 2 * side, 3), level, np.uint8)).saving
        assert saving is not None
        shares.append(saving.changed_share)
    # Every place is shown anew after four steps, and one place of each chunk that would be empty in between.
    assert sum(share > 0 for share in shares[1:]) >= 12


def test_it_is_off_unless_asked_for(engine: LocalEngine) -> None:
    picture = np.zeros((56, 84, 3), np.uint8)
    plain = engine.open("You fly.", 500)
    results = [plain.append(picture) for _ in range(3)]
    assert [result.saving for result in results] == [None] * 3
    assert len({result.chunk_tokens for result in results}) == 1
    for bad in (-1.0, 256.0, float("nan")):
        with pytest.raises(InvalidInput, match="gate_levels"):
            SessionConfig(gate_levels=bad)
