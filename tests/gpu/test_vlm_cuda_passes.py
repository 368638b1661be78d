"""python -m pytest tests/gpu/test_vlm_cuda_passes.py -v

Captured passes on a CUDA device beside the same passes as they come, in float32 so that answers can be compared:
nothing is waited for inside a token, nothing is captured anew while trunks slide, and captures go with their session.
"""

import gc
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stillwing_lab.tiny_model import write_tiny_model
from stillwing_vlm.core.backend import Choosing, Row
from stillwing_vlm.core.catalog import AttentionKind, Decoding, Dtype, ModelSource
from stillwing_vlm.core.engines.passes.graphs import GraphCapture
from stillwing_vlm.core.inputs.positions import text_positions
from stillwing_vlm.core.local import LocalEngine, LocalSession
from stillwing_vlm.core.memory.branch import AskBranch
from stillwing_vlm.core.proof.paths import prove
from stillwing_vlm.core.requests import AskRequest, Sampling, View

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton"),
]

SCHEMA = '{"type":"object","properties":{"name":{"enum":["move","turn"]}},"required":["name"]}'


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> tuple[LocalEngine, LocalEngine]:
    """As passes come, and captured. Heads of 64, as the published models' are of 64 and 128."""
    directory = write_tiny_model(
        tmp_path_factory.mktemp("tiny") / "model",
        hidden_size=256,
        rope_parameters={"rope_type": "default", "mrope_section": [8, 12, 12], "rope_theta": 1e4},
        initializer_range=0.1,
    )
    return load(directory, Decoding.EAGER), load(directory, Decoding.GRAPHS)


def load(directory: Path, decoding: Decoding) -> LocalEngine:
    source = ModelSource(
        str(directory), device="cuda", dtype=Dtype.FLOAT32, attention=AttentionKind.SDPA, decoding=decoding
    )
    return LocalEngine.load(source)


def frame(turn: int) -> np.ndarray:
    return np.random.default_rng(turn).integers(0, 256, (56 + 28 * (turn % 10 == 9), 84, 3), dtype=np.uint8)


def seen(engine: LocalEngine, budget: int, frames: int) -> LocalSession:
    session = engine.open("You fly.", budget)
    for turn in range(frames):
        session.append(frame(turn))
        session.video.trunk.check_integrity()
    return session


def questions(session: LocalSession, lengths: tuple[int, ...], view: View | None = None) -> list[Row]:
    backend, rows = session._engine.backend, []
    for length in lengths:
        pinned, _ = session.video.slab.pin(view or View())
        branch = backend.new_branch(session.video.slab.store, pinned, 120)
        rows.append(
            Row(branch, [7 + at % 40 for at in range(length)], text_positions(session.video.trunk.cursor, length)[0])
        )
    return rows


def further(rows: list[Row], tokens: list[Any]) -> list[Row]:
    return [
        Row(row.branch, [token], text_positions(int(row.positions[0, -1]) + 1, 1)[0], choosing=row.choosing)
        for row, token in zip(rows, tokens, strict=True)
    ]


@pytest.mark.parametrize("frames", [3, 40, 120])
def test_memories_and_logits_are_the_same(engines: tuple[LocalEngine, ...], frames: int) -> None:
    found, values = [], []
    for engine in engines:
        sessions = [seen(engine, budget, frames) for budget in (160, 400)]
        rows = [row for session in sessions for row in questions(session, (1, 9, 30, 64))]
        rows += questions(sessions[1], (3,), View(recent_chunks=2))
        logits = engine.loaded.backend.advance(rows)
        found.append(torch.stack([*logits, *engine.loaded.backend.advance(further(rows, [9] * len(rows)))]).cpu())
        trunk, store = sessions[1].video.trunk, sessions[1].video.slab.store
        values.append(store.values[:, :, trunk.start : trunk.tail].cpu())
    assert (found[0] - found[1]).abs().max() < 1e-3 * found[0].std()
    assert (values[0] - values[1]).abs().max() < 1e-3 * values[0].std()


def test_answers_are_the_same(engines: tuple[LocalEngine, ...]) -> None:
    requests = [
        AskRequest("What is it?", max_tokens=20),
        AskRequest("Next action?", json_schema=SCHEMA),
        AskRequest("Dream.", max_tokens=20, sampling=Sampling(1.2, 0.9, 3)),
    ]
    found = []
    for engine in engines:
        sessions = [seen(engine, budget, 50) for budget in (160, 400)]
        branches: list[AskBranch] = [session.fork(request) for request in requests for session in sessions]
        while live := [branch for branch in branches if not branch.finished]:
            rows = [branch.rows()[0] for branch in live]
            for branch, outcome in zip(live, engine.loaded.backend.advance(rows), strict=True):
                branch.accept([outcome])
            for session in sessions:
                session.append(frame(len(live)))
        found.append([branch.done.text for branch in branches if branch.done])
    assert found[0] == found[1]


def test_nothing_is_waited_for_inside_a_token(engines: tuple[LocalEngine, ...]) -> None:
    session = seen(engines[1], 300, 30)
    backend = engines[1].loaded.backend
    for how in (Choosing(), Choosing(sampling=Sampling(1.0), uniform=0.4)):
        rows = questions(session, (5, 5))
        for row in rows:
            row.choosing = how
        tokens = backend.advance(rows)
        rows = further(rows, tokens)
        tokens = backend.advance(rows)
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(5):
                rows = further(rows, tokens)
                tokens = backend.advance(rows)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert all(0 <= token.read() < backend.vocab_size for token in tokens)


def test_nothing_is_captured_anew_while_trunks_slide(
    engines: tuple[LocalEngine, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = seen(engines[1], 200, 12)
    session.ask("What is it?", max_tokens=4)
    captured: list[int] = []
    capture = GraphCapture.__call__

    def counted(self: GraphCapture, function: Callable[[], None]) -> Callable[[], None]:
        captured.append(1)
        return capture(self, function)

    monkeypatch.setattr(GraphCapture, "__call__", counted)
    for turn in range(60):
        session.append(frame(2 * (turn % 4)))
        session.ask("What is it?", max_tokens=4)
    assert session.video.trunk.moves > 3
    assert not captured


def test_what_is_captured_goes_with_its_session(engines: tuple[LocalEngine, ...]) -> None:
    def allocated() -> int:
        gc.collect()
        torch.cuda.synchronize()
        return torch.cuda.memory_allocated()

    seen(engines[1], 400, 5)
    before = allocated()
    for _ in range(5):
        seen(engines[1], 400, 5)
    assert allocated() <= before + (1 << 20)


def test_pictures_that_were_brought_over_are_those_that_are_read(engines: tuple[LocalEngine, ...]) -> None:
    loaded = engines[1].loaded
    for turn in range(20):
        chunk = loaded.preparer.pixels(("",), [frame(turn)], 1.0)
        assert chunk.staged is not None
        assert torch.equal(chunk.staged.ready().cpu(), torch.from_numpy(chunk.patches.patches))


def test_faster_paths_prove_themselves_on_the_card(tmp_path: Path) -> None:
    """In a process of its own, in bfloat16, as when an engine starts; what comes by itself has none of them."""
    directory = str(write_tiny_model(tmp_path / "model", initializer_range=0.05))
    wanted = ModelSource(directory, device="cuda", attention=AttentionKind.TRITON, decoding=Decoding.GRAPHS)
    source, proofs = prove(wanted, 120.0)
    assert [(proof.setting, proof.is_taken) for proof in proofs] == [("attention", True), ("decoding", True)], proofs
    assert source == wanted
    info = LocalEngine.load(ModelSource(directory, device="cuda")).info()
    assert (info.attention, info.decoding) == ("sdpa", "eager")
