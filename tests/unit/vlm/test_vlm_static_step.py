"""Steps over static buffers beside steps as they come: the same model, the same memory, the same answers."""

import gc
import weakref
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stillwing_lab.tiny_model import write_tiny_model
from stillwing_vlm.core.backend import Choosing, Row
from stillwing_vlm.core.catalog import Decoding, ModelSource
from stillwing_vlm.core.engines.passes.decoding import StaticPasses, kernels_fit, make_decoder, no_capture
from stillwing_vlm.core.engines.passes.static_append import StaticAppends
from stillwing_vlm.core.engines.passes.static_step import PendingToken, StaticStep
from stillwing_vlm.core.engines.passes.vision import CapturedVision
from stillwing_vlm.core.engines.qwen.families import FAMILIES
from stillwing_vlm.core.engines.qwen.layers import fused_between
from stillwing_vlm.core.engines.qwen.vision import VisionEncoder
from stillwing_vlm.core.inputs.positions import text_positions
from stillwing_vlm.core.local import LocalEngine, LocalSession
from stillwing_vlm.core.memory.branch import AskBranch
from stillwing_vlm.core.requests import AskRequest, Sampling, View
from stillwing_vlm.core.results import DoneReason

SCHEMA = (
    '{"type":"object","properties":{"name":{"enum":["move","turn"]},"sure":{"type":"boolean"}},'
    '"required":["name","sure"],"additionalProperties":false}'
)


def load(directory: Path, decoding: Decoding) -> LocalEngine:
    return LocalEngine.load(ModelSource(str(directory), device="cpu", threads=1, decoding=decoding))


@pytest.fixture(scope="module", params=["qwen2_5_vl", "qwen3_vl"])
def engines(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[LocalEngine, ...]:
    """As steps come, and static."""
    directory = write_tiny_model(tmp_path_factory.mktemp("tiny") / "model", family=request.param)
    return load(directory, Decoding.EAGER), load(directory, Decoding.STATIC)


@pytest.fixture
def static(engines: tuple[LocalEngine, ...]) -> LocalEngine:
    return engines[1]


def frame(turn: int) -> np.ndarray:
    return np.random.default_rng(turn).integers(0, 256, (56 + 28 * (turn % 2), 84, 3), dtype=np.uint8)


def decode(engine: LocalEngine, branches: list[AskBranch], between: Callable[[int], None] = lambda step: None) -> None:
    """All together, a step at a time."""
    step = 0
    while live := [branch for branch in branches if not branch.finished]:
        parts = [branch.rows() for branch in live]
        outcomes = iter(engine.loaded.backend.advance([row for rows in parts for row in rows]))
        for branch, rows in zip(live, parts, strict=True):
            branch.accept([next(outcomes) for _ in rows])
        between(step)
        step += 1


REQUESTS = [
    AskRequest("What is it?", max_tokens=25),
    AskRequest("And now?", max_tokens=12, view=View(recent_chunks=2)),
    AskRequest("Which way, and why? Say all that matters, and say it slowly. " * 4, max_tokens=9),
    AskRequest("Next action?", json_schema=SCHEMA),
    AskRequest("Dream.", max_tokens=20, sampling=Sampling(1.5, 0.9, 3)),
    AskRequest("Dream by rules.", json_schema=SCHEMA, sampling=Sampling(3.0, seed=4)),
]


def fly(engine: LocalEngine) -> list[Any]:
    """Two streams that are seen, asked about and asked about together, through evictions, compactions and recalls."""
    sessions = [engine.open("You fly.", budget) for budget in (160, 260)]
    found: list[Any] = []
    for turn in range(40):
        for session in sessions:
            session.append(frame(turn))
    found += [sessions[0].ask(request.prompt, max_tokens=5).text for request in REQUESTS[:2]]
    branches = [session.fork(request) for request in REQUESTS for session in sessions]

    def between(step: int) -> None:
        for session in sessions:
            session.append(frame(100 + step))
        if step == 7:
            sessions[0].recall(frame(200))

    decode(engine, branches, between)
    for index, branch in enumerate(branches):
        sessions[index % 2].video.release(branch)
        assert branch.done is not None
        found.append((branch.done.text, branch.done.reason, branch.done.answer_tokens))
    assert all(session.video.trunk.moves > 2 for session in sessions)
    found += [session.ask_choice("Which way?", ["left", "right", "ahead"]).best_index for session in sessions]
    return [*found, *(session.video.slab.digest() for session in sessions)]


def test_answers_and_memories_are_the_same(engines: tuple[LocalEngine, ...]) -> None:
    assert [engine.info().decoding for engine in engines] == ["eager", "static"]
    eager, static = (fly(engine) for engine in engines)
    assert static == eager
    assert len({part[0] for part in eager if isinstance(part, tuple)}) > 6, "the answers tell nothing apart"


def logits_of(engine: LocalEngine, rows: list[Row]) -> torch.Tensor:
    return torch.stack(engine.loaded.backend.advance(rows))


def questions(session: LocalSession, lengths: tuple[int, ...], capacity: int = 120) -> list[Row]:
    """One row for each, of so many tokens."""
    backend, trunk, rows = session._engine.backend, session.video.trunk, []
    for length in lengths:
        view, _ = session.video.slab.pin(View())
        positions, _ = text_positions(trunk.cursor, length)
        branch = backend.new_branch(session.video.slab.store, view, capacity)
        rows.append(Row(branch, [7 + at % 40 for at in range(length)], positions))
    return rows


@pytest.mark.parametrize("lengths", [(1,), (2,), (8,), (33, 40, 64), (1, 1, 1, 5, 9), (100, 1), (1,) * 40])
def test_logits_are_the_same_at_any_length_and_number(
    engines: tuple[LocalEngine, ...], lengths: tuple[int, ...]
) -> None:
    found = []
    for engine in engines:
        session = engine.open("You fly.", 200)
        for turn in range(12):
            session.append(frame(turn))
        rows = questions(session, lengths)
        first = logits_of(engine, rows)
        again = [
            Row(row.branch, [9], text_positions(int(row.positions[0, -1]) + 1, 1)[0]) for row in rows
        ]  # fmt: skip
        found.append(torch.cat((first, logits_of(engine, again))))
    assert (found[0] - found[1]).abs().max() < 1e-4 * found[0].std()


@torch.inference_mode()
def test_what_earlier_steps_left_in_the_buffers_changes_nothing(static: LocalEngine) -> None:
    session = static.open("You fly.", 200)
    for turn in range(12):
        session.append(frame(turn))
    clean = logits_of(static, questions(session, (1, 1, 1, 5, 9)))
    for step in static.loaded.backend._static.decoder._steps.values():  # type: ignore[attr-defined]
        step.inputs._block.fill_(3)
        step.inputs.allowed.fill_(False)
        step._logits.fill_(float("nan"))
        step._chosen.fill_(-1)
    rows = questions(session, (1, 1, 1, 5, 9))
    assert torch.equal(logits_of(static, rows), clean)
    chosen = [Row(row.branch, row.token_ids, row.positions, choosing=Choosing()) for row in questions(session, (1, 5))]
    assert [token.read() for token in static.loaded.backend.advance(chosen)] == clean[[0, 3]].argmax(-1).tolist()


@torch.inference_mode()
def test_nothing_is_written_beyond_what_is_fed(static: LocalEngine) -> None:
    session = static.open("You fly.", 200)
    session.append(frame(0))
    before = session.video.slab.digest()
    rows = questions(session, (5, 1, 8), capacity=20)
    for row in rows:
        row.branch._keys.fill_(11)
        row.branch._values.fill_(11)
    static.loaded.backend.advance(rows)
    for row in rows:
        count = len(row.token_ids)
        assert row.branch.length == count
        for part in (row.branch._keys, row.branch._values):
            assert (part[:, :, count:] == 11).all() and (part[:, :, :count] != 11).any(dim=3).all()
    assert session.video.slab.digest() == before


def test_a_branch_that_is_full_is_not_written_over(static: LocalEngine) -> None:
    session = static.open("You fly.", 200)
    (row,) = questions(session, (6,), capacity=5)
    with pytest.raises(ValueError, match="6 tokens behind 0 do not fit a branch of 5"):
        static.loaded.backend.advance([row])


def test_a_size_is_captured_once_whatever_becomes_of_the_trunk(
    static: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder: Any = static.loaded.backend._static.decoder  # type: ignore[attr-defined]
    captured: list[tuple[int, int]] = []
    make = decoder._make_step

    def counted(rows: int, width: int) -> StaticStep:
        step: StaticStep = make(rows, width)
        capture = step._capture

        def noted(function: Callable[[], None]) -> Callable[[], None]:
            captured.append((rows, width))
            return capture(function)

        step._capture = noted
        return step

    monkeypatch.setattr(decoder, "_steps", {})
    monkeypatch.setattr(decoder, "_make_step", counted)
    fly(static)
    sizes = set(captured)
    assert len(sizes) > 5 and all(captured.count(size) <= 2 for size in sizes), "most probable, and drawn"
    fly(static)
    assert set(captured) == sizes and all(captured.count(size) <= 2 for size in sizes)


def test_a_token_is_fed_before_it_is_read(static: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    read, backend = PendingToken.read, static.loaded.backend

    def noted(token: PendingToken) -> int:
        order.append("read")
        return read(token)

    monkeypatch.setattr(PendingToken, "read", noted)
    session = static.open("You fly.", 200)
    session.append(frame(0))
    for most in (1, 2, 6):
        order.clear()
        branch = session.fork(AskRequest("Tell me all.", max_tokens=most, sampling=Sampling(3.0, seed=most)))
        while not branch.finished:
            rows = branch.rows()
            order.append("step")
            branch.accept(backend.advance(rows))
        assert branch.done is not None and branch.done.reason is DoneReason.LENGTH, "another seed is wanted"
        assert order == ["step", *["step", "read"] * (most - 1), "read"]
        assert branch.done.answer_tokens == most
        session.video.release(branch)


@pytest.mark.triton
def test_the_kernels_step_the_same(engines: tuple[LocalEngine, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Several sessions, a copied view, questions and single tokens, in Triton's interpreter where there is no card."""
    pytest.importorskip("triton", reason="needs triton: pip install triton")
    from stillwing_vlm.core.engines.passes.kernel_segments import KernelAppend, KernelSegments

    backends: list[Any] = [engine.loaded.backend for engine in engines]
    layers, rotary = backends[1]._layers, backends[1]._rotary
    if not kernels_fit(layers):
        pytest.skip(f"the kernels take no heads of {layers.head_dim}")
    decoder = make_decoder(layers, rotary, backends[1].vocab_size, KernelSegments, no_capture)
    appends = StaticAppends(layers, KernelAppend, no_capture)
    monkeypatch.setattr(layers, "between", fused_between())
    monkeypatch.setattr(backends[1], "_static", StaticPasses(decoder, appends, no_capture))
    found = []
    for engine in engines:
        sessions = [engine.open("You fly.", budget) for budget in (70, 200)]
        for turn in range(5):
            for session in sessions:
                session.append(frame(2 * turn))
        rows = [row for session in sessions for row in questions(session, (1, 3))]
        view, _ = sessions[1].video.slab.pin(View(recent_chunks=2))
        branch = engine.loaded.backend.new_branch(sessions[1].video.slab.store, view, 30)
        rows.append(Row(branch, [4, 5], text_positions(view.cursor, 2)[0]))
        first = logits_of(engine, rows)
        again = [Row(row.branch, [9], text_positions(int(row.positions[0, -1]) + 1, 1)[0]) for row in rows]
        found.append(torch.cat((first, logits_of(engine, again))))
    assert (found[0] - found[1]).abs().max() < 1e-4 * found[0].std()
    assert any(sizes.held for sizes in appends._slabs.values()), "no append went through the buffers"


def test_appends_of_one_size_go_through_the_buffers(engines: tuple[LocalEngine, ...]) -> None:
    """Two sessions, sizes that change and come again, evictions and compactions: every byte as without."""
    found = []
    for engine in engines:
        sessions = [engine.open("You fly.", budget) for budget in (120, 200)]
        for turn in range(60):
            for session in sessions:
                session.append(frame(turn // 7 * 2 + turn % 7 // 6))
        found.append([session.video.slab.digest() for session in sessions])
        assert all(session.video.trunk.moves > 2 for session in sessions)
    assert found[0] == found[1]
    slabs = engines[1].loaded.backend._static.appends._slabs  # type: ignore[attr-defined]
    # Where a chunk says its time in words, chunks of one picture come in two sizes.
    assert {len(slabs[session.video.slab.store].held) for session in sessions} <= {1, 2}
    gone = [weakref.ref(session.video.slab.store) for session in sessions]
    before = len(slabs)
    del session, sessions
    gc.collect()
    assert not any(ref() for ref in gone) and len(slabs) == before - 2, "what is captured keeps a session's memory"


def test_pictures_of_a_size_are_captured_once(engines: tuple[LocalEngine, ...]) -> None:
    backend: Any = engines[0].loaded.backend
    captured: list[str] = []

    def capture(function: Callable[[], None]) -> Callable[[], None]:
        captured.append("")
        return no_capture(function)

    vision = CapturedVision(backend._vision, capture)
    sizes = [(56, 84), (84, 84), (112, 56), (56, 56), (84, 112), (112, 84)]
    rng = np.random.default_rng(0)
    for turn in range(4):
        for size in sizes[:3]:
            pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
            chunk = engines[0].loaded.preparer.pixels(("",), [pixels], 1.0).patches
            patches = torch.from_numpy(chunk.patches)
            with torch.inference_mode():
                ours, theirs = vision(patches, chunk.grid), backend._vision(patches, chunk.grid)
            pairs = zip((ours.merged, *ours.deep), (theirs.merged, *theirs.deep), strict=True)
            assert all(torch.equal(our, their) for our, their in pairs)
        assert len(captured) == (0 if turn == 0 else 3), "what comes once is not worth it"
    for size in sizes * 3:
        chunk = engines[0].loaded.preparer.pixels(("",), [np.zeros((*size, 3), np.uint8)], 1.0).patches
        with torch.inference_mode():
            vision(torch.from_numpy(chunk.patches), chunk.grid)
    assert len(vision._held) == 4


def test_windows_by_length_see_the_same(engines: tuple[LocalEngine, ...]) -> None:
    backend: Any = engines[0].loaded.backend
    visual, family = backend.published.model.visual, FAMILIES[backend.name]
    by_place, by_length = VisionEncoder(visual, family), VisionEncoder(visual, family, by_length=True)
    rng = np.random.default_rng(0)
    for rows_px, columns_px, frames in ((84, 140, 1), (140, 84, 4), (84, 84, 2)):
        pixels = [rng.integers(0, 256, (rows_px, columns_px, 3), dtype=np.uint8) for _ in range(frames)]
        chunk = engines[0].loaded.preparer.pixels(("",) * frames, pixels, 1.0).patches
        patches = torch.from_numpy(chunk.patches)
        with torch.inference_mode():
            ours, theirs = by_length(patches, chunk.grid).merged, by_place(patches, chunk.grid).merged
        assert (ours - theirs).abs().max() < 1e-4 * theirs.std()
        geometry = by_length._geometry(chunk.grid)
        if family.windowed_vision:
            runs = [len(list(run)) for _, run in groupby(geometry.window_lengths)]
            assert len(runs) == len(set(geometry.window_lengths)) * chunk.grid.time
