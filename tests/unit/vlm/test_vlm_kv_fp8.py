"""python -m pytest tests/unit/vlm/test_vlm_kv_fp8.py -v

A memory kept as 8-bit floats with scales: rounded once and never again, whatever becomes of it, and attended exactly as
it was rounded.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attention_reference import attended
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwing_common.errors import DeviceAbsent, ExportUnusable
from stillwing_lab.tiny_model import write_tiny_model
from stillwing_vlm.core.catalog import AttentionKind, Decoding, Dtype, KvCacheDtype, ModelSource, load_engine
from stillwing_vlm.core.engines.attention import scaled as scaled_attention
from stillwing_vlm.core.engines.attention.scaled import append_scaled, branch_scaled
from stillwing_vlm.core.engines.tensors.rotary import rotate
from stillwing_vlm.core.engines.tensors.scaled import CODES, HALF_TO_ONE, Scaled, halves, joined, stored
from stillwing_vlm.core.limits import Limits
from stillwing_vlm.core.local import LocalEngine, LocalSession
from stillwing_vlm.core.requests import AskRequest, Eviction, EvictionLevel, EvictionPositions, View

WAYS = [Eviction(level, positions) for level in EvictionLevel for positions in EvictionPositions]
SHORT_RANGE = 320


def load(directory: Path, kept: KvCacheDtype = KvCacheDtype.FP8, **how: Any) -> LocalEngine:
    limits = how.pop("limits", None)
    return LocalEngine.load(ModelSource(str(directory), device="cpu", threads=1, kv_cache_dtype=kept, **how), limits)


@pytest.fixture(scope="module")
def short_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made for so few positions that they begin anew every few dozen frames."""
    return write_tiny_model(tmp_path_factory.mktemp("short") / "model", max_position_embeddings=SHORT_RANGE)


@pytest.fixture(scope="module")
def fp8(tiny_dir: Path) -> LocalEngine:
    return load(tiny_dir)


def picture(turn: int) -> np.ndarray:
    return np.random.default_rng(turn).integers(0, 256, (56 + 28 * (turn % 3), 84, 3), dtype=np.uint8)


def fed(engine: LocalEngine, turns: range, budget: int = 160, **how: Any) -> LocalSession:
    session = engine.open("You fly.", budget, **how)
    for turn in turns:
        session.append(picture(turn))
    return session


# Vectors


def test_codes_are_read_as_the_numbers_they_are() -> None:
    codes = torch.arange(256, dtype=torch.uint8).view(CODES)
    told, read = codes.float(), halves(codes).float() * HALF_TO_ONE
    assert torch.equal(read[~told.isnan()], told[~told.isnan()]) and int(told.isnan().sum()) == 2


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-25, 1e-6, 1.0, 3e4, 1e30]), st.integers(1, 40))
def test_an_entry_is_rounded_by_a_sixteenth_of_itself_at_most(seed: int, size: float, width: int) -> None:
    vectors = torch.randn(3, 5, width, generator=torch.Generator().manual_seed(seed)) * size
    vectors[0, 0] = 0
    found = Scaled.of(vectors)
    wide = found.wide()
    # Below the type's least normal number, a step is a fixed one.
    least = found.scales[..., None] * 2**-10
    assert ((wide - vectors).abs() <= torch.maximum(vectors.abs() / 16, least) * (1 + 1e-6)).all()
    assert torch.equal(wide[0, 0], torch.zeros(width))
    again = Scaled.of(wide)
    assert torch.equal(again.codes.view(torch.uint8), found.codes.view(torch.uint8)), "a second rounding changes codes"
    assert (again.scales / found.scales - 1).abs().max() < 1e-6


def test_a_vector_that_is_no_number_stays_none() -> None:
    vectors = torch.ones(4, 8)
    vectors[1, 3], vectors[2, 0] = float("nan"), float("inf")
    wide = Scaled.of(vectors).wide()
    assert wide[[0, 3]].isfinite().all() and not wide[1].isfinite().any() and not wide[2].isfinite().all()


def test_vectors_of_both_kinds_are_not_mixed() -> None:
    plain = torch.zeros(1, 2, 4)
    with pytest.raises(TypeError, match="not joined"):
        joined([plain, Scaled.of(plain)], 1)
    assert [part.shape for part in stored(joined([Scaled.of(plain)] * 2, 1))] == [(1, 4, 4), (1, 4)]


# Attention


@pytest.mark.parametrize(
    ("before", "count", "own"), [([], 1, 0), ([290], 5, 0), ([0, 33, 131], 7, 19), ([300], 13, 400)]
)
def test_what_is_attended_is_what_was_rounded(
    run_seed: int, monkeypatch: pytest.MonkeyPatch, before: list[int], count: int, own: int
) -> None:
    """Beside float64, over pieces with scales and one without, at odd lengths and in short blocks."""
    monkeypatch.setattr(scaled_attention, "_LEAST_BLOCK", 37)
    monkeypatch.setattr(scaled_attention, "_BLOCK_SCORES", 1)
    torch.manual_seed(run_seed + count)
    queries = 2 * torch.randn(6, count, 32)
    pieces = [tuple(Scaled.of(2 * torch.randn(2, tokens, 32)) for _ in range(2)) for tokens in before]
    last: list[Any] = [2 * torch.randn(2, own + count, 32) for _ in range(2)]
    wide = [tuple(part.wide() for part in piece) for piece in pieces]
    found = branch_scaled(queries, [*pieces, tuple(last)])
    assert (found - attended(queries, [*wide, tuple(last)])[0]).abs().max() < 1e-5
    last = [Scaled.of(part) for part in last]
    found = append_scaled(queries, *(joined([piece[part] for piece in [*pieces, last]], 1) for part in (0, 1)))
    assert (found - attended(queries, [*wide, tuple(part.wide() for part in last)])[0]).abs().max() < 1e-5


def test_no_more_than_a_block_is_ever_widened(monkeypatch: pytest.MonkeyPatch) -> None:
    widened: list[int] = []

    def noted(codes: torch.Tensor) -> torch.Tensor:
        widened.append(codes.numel() // codes.shape[-1])
        return halves(codes)

    monkeypatch.setattr(scaled_attention, "halves", noted)
    cache = Scaled.of(torch.randn(2, 30_000, 16))
    append_scaled(torch.randn(4, 1, 16), cache, cache)
    append_scaled(torch.randn(4, 300, 16), cache, cache)
    assert max(widened) <= 2 * 4096 and sum(widened) == 2 * 2 * 2 * 30_000


# Memory


def test_it_takes_what_was_reckoned(fp8: LocalEngine, engine: LocalEngine) -> None:
    info, plain = fp8.info(), engine.info()
    assert (info.kv_cache_dtype, info.dtype, plain.kv_cache_dtype) == ("fp8", "float32", "float32")
    # 3 layers, 2 key heads of 16.
    assert plain.cache_bytes_per_token == 2 * 3 * 2 * 16 * 4
    assert info.cache_bytes_per_token == 2 * 3 * 2 * (16 + 4)
    session = fed(fp8, range(20), 400)
    trunk, figures = session.video.trunk, fp8.loaded.backend.figures
    sink = trunk.sink_tokens * figures.pristine_bytes
    assert figures.pristine_bytes == 3 * 2 * (16 * 4 + 16 + 4)
    assert session.video.slab.size_bytes == trunk.capacity * figures.cache_bytes + sink


def sink_of(session: LocalSession) -> tuple[Scaled, Scaled]:
    """The sink's keys as the slab has them, and as one rounding of the un-rotated ones gives them."""
    trunk, store = session.video.trunk, session.video.slab.store
    place = slice(trunk.start, trunk.start + trunk.sink_tokens)
    front = trunk.front()[: len(trunk.sink)]
    turned = [rotate(chunk.kept.keys, store._rotary.cos_sin(chunk.kept.positions + at)) for chunk, at in front]  # type: ignore[attr-defined]
    return store.keys[:, :, place], Scaled.of(torch.cat(turned, dim=2))  # type: ignore[attr-defined]


def test_keys_are_rounded_once_whatever_moves(short_dir: Path) -> None:
    """Over 200 evictions with compactions and new beginnings of positions the sink is one rounding away from its
    un-rotated keys, and a window that only moves has the very bytes with which it arrived.
    """
    session = load(short_dir).open("You fly.", 160)
    trunk, arrived, kept = session.video.trunk, {}, 0
    for turn in range(260):
        session.append(picture(turn))
        place = trunk.head
        for chunk in trunk.window:
            digest = session.video.slab.store.digest(place, place + chunk.tokens)
            place += chunk.tokens
            key = (chunk.ordinal, trunk.rebases)
            kept += key in arrived
            assert arrived.setdefault(key, digest) == digest
    assert trunk.evicted_frames > 200 and trunk.moves > 10 and trunk.rebases > 2 and kept > 300
    found, wanted = sink_of(session)
    for ours, theirs in zip(stored(found), stored(wanted), strict=True):
        assert torch.equal(ours.view(torch.uint8), theirs.view(torch.uint8))


def test_its_error_does_not_grow(short_dir: Path, logits_of: Any) -> None:
    """Beside the same stream in float32, over more than 200 evictions and new beginnings of positions: no later third
    is worse than the first by more than chance.
    """
    sessions = [load(short_dir, kept).open("You fly.", 160) for kept in (KvCacheDtype.AUTO, KvCacheDtype.FP8)]
    errors = []
    for turn in range(240):
        for session in sessions:
            session.append(picture(turn))
        if turn % 3 == 2:
            exact, rounded = (logits_of(session, "Where?") for session in sessions)
            errors.append(float((rounded - exact).square().mean() / exact.var()))
    assert sessions[1].video.trunk.evicted_frames > 200 and sessions[1].video.trunk.rebases > 2
    first, *later = (float(np.median(part)) ** 0.5 for part in np.array_split(errors, 3))
    assert first > 0 and max(later) < 1.4 * first


def test_an_ask_leaves_no_trace_and_is_undisturbed(fp8: LocalEngine, logits_of: Any) -> None:
    session, alone = (fed(fp8, range(20)) for _ in range(2))
    wanted = alone.ask("What is it?", max_tokens=12).text
    before = session.video.slab.digest()
    branches = [session.fork(AskRequest("What is it?", max_tokens=12)) for _ in range(2)]
    recent = session.fork(AskRequest("And now?", max_tokens=6, view=View(recent_chunks=2)))
    steps = 0
    while live := [branch for branch in (*branches, recent) if not branch.finished]:
        for branch in live:
            branch.accept(fp8.loaded.backend.advance(branch.rows()))
        if steps == 0:
            assert session.video.slab.digest() == before
        session.append(picture(20 + steps))
        alone.append(picture(20 + steps))
        steps += 1
    for branch in (*branches, recent):
        session.video.release(branch)
    assert [branch.done.text for branch in branches if branch.done] == [wanted] * 2
    assert session.video.slab.digest() == alone.video.slab.digest()
    assert torch.equal(logits_of(session, "Where?"), logits_of(alone, "Where?"))


def test_a_snapshot_brings_every_byte_back(fp8: LocalEngine) -> None:
    session = fed(fp8, range(5), 400)
    before = session.video.slab.digest()
    snapshot = session.take_snapshot().snapshot_id
    for turn in range(5, 8):
        session.append(picture(turn))
    assert session.video.slab.digest() != before
    session.restore_snapshot(snapshot)
    assert session.video.slab.digest() == before


@pytest.mark.parametrize("eviction", WAYS, ids=lambda way: f"{way.level.value} {way.positions.value}")
def test_whoever_opens_its_export_goes_on_to_the_last_bit(short_dir: Path, tmp_path: Path, eviction: Eviction) -> None:
    """Whatever leaves, with recalled memories and gated tokens."""
    engine, path = load(short_dir, dtype=Dtype.BFLOAT16), tmp_path / "flight.safetensors"
    session = fed(engine, range(25), eviction=eviction, gate_levels=1.0)
    session.recall(picture(3), picture(7))
    assert session.export(path) == path.stat().st_size
    opened = engine.open_export(path)
    for turn in range(25, 60):
        session.append(picture(turn))
        opened.append(picture(turn))
    assert opened.video.slab.digest() == session.video.slab.digest()
    assert opened.ask("What is it?", max_tokens=12).text == session.ask("What is it?", max_tokens=12).text
    if eviction.positions is EvictionPositions.CONTIGUOUS:
        assert opened.video.trunk.rebases > 0
    for other in (load(short_dir, KvCacheDtype.AUTO, dtype=Dtype.BFLOAT16), load(short_dir)):
        with pytest.raises(ExportUnusable, match="dtype"):
            other.open_export(path)


def test_a_damaged_export_is_refused(fp8: LocalEngine, tmp_path: Path) -> None:
    path = tmp_path / "flight.safetensors"
    fed(fp8, range(12)).export(path)
    whole = path.read_bytes()
    for damaged in (whole[:-4], whole + b"\0" * 4, whole[:-1] + bytes([whole[-1] ^ 1])):
        path.write_bytes(damaged)
        with pytest.raises(ExportUnusable):
            fp8.open_export(path)


def test_evicted_frames_come_back_as_they_were(tiny_dir: Path) -> None:
    engine = load(tiny_dir, limits=Limits(kept_kv_bytes=1 << 20))
    session = fed(engine, range(20))
    assert engine.info().can_recall_kept
    store, trunk = session.video.slab.store, session.video.trunk
    gone = session.evicted[-1].frame_ids[0]
    chunk = session.video.slab.kept_frames.chunks_of((gone,))[0]  # type: ignore[union-attr]
    session.recall_kept(gone)
    values = store.values[:, :, trunk.start + trunk.sink_tokens : trunk.head]  # type: ignore[attr-defined]
    assert torch.equal(values.codes.view(torch.uint8), chunk.kept.values.codes.view(torch.uint8))
    assert session.ask("What is it?", max_tokens=3).text


def test_vectors_for_memory_scorers_are_of_what_the_model_computed(fp8: LocalEngine, engine: LocalEngine) -> None:
    """Keys are averaged before they are rounded: the first frame's are those of a memory in float32, but for what the
    opening text before it lost.
    """
    found = []
    for each in (engine, fp8):
        session = each.open("You fly.", 400, pooled_layers=(0, 2))
        session.append(picture(0))
        frame_id = session.info().last_frame_id
        (frame,) = session.pool_vectors(["a door"], (frame_id,)).frames
        found.append(frame.keys.array)
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-4, atol=1e-5)
    assert 0 < np.abs(found[0][1] - found[1][1]).max() < 0.2 * np.abs(found[0][1]).max()


def test_static_buffers_compute_the_same(tiny_dir: Path) -> None:
    found = []
    for decoding in (Decoding.EAGER, Decoding.STATIC):
        engine = load(tiny_dir, decoding=decoding)
        session = engine.open("You fly.", 160)
        for turn in range(30):
            session.append(picture(turn // 7 * 3))
        texts = [
            session.ask(prompt, max_tokens=12, view=view).text
            for prompt, view in (("Where?", View()), ("It?", View(2)))
        ]
        found.append((engine.info().decoding, session.video.slab.digest(), texts))
    assert [each[0] for each in found] == ["eager", "static"]
    assert found[0][1:] == found[1][1:]


def test_what_cannot_read_it_is_refused_at_the_start(tiny_dir: Path) -> None:
    source = ModelSource(str(tiny_dir), device="cpu", kv_cache_dtype=KvCacheDtype.FP8, attention=AttentionKind.FLASH)
    with pytest.raises(DeviceAbsent, match="reads no 8-bit cache: say triton, sdpa or auto"):
        load_engine(source)
