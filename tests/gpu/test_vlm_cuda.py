"""python -m pytest tests/gpu/test_vlm_cuda.py -v

The same engine on a CUDA device in bfloat16, beside the CPU in float32: same code, same memory, same choices.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from stillwing_lab.tiny_model import write_tiny_model
from stillwing_vlm.core.catalog import AttentionKind, ModelSource
from stillwing_vlm.core.engines.attention.choice import Heads, choose_attention, disagreement
from stillwing_vlm.core.local import LocalEngine
from stillwing_vlm.core.requests import AskRequest, View

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Weights of the usual size: large ones would turn the rounding of bfloat16 into other answers.
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "model", initializer_range=0.05)


def test_it_remembers_as_the_cpu_does(directory: Path) -> None:
    engines = [LocalEngine.load(ModelSource(str(directory), device=device)) for device in ("cpu", "cuda")]
    assert [engine.info().dtype for engine in engines] == ["float32", "bfloat16"]
    sessions = [engine.open("You fly.", 200) for engine in engines]
    rng = np.random.default_rng(0)
    for turn in range(60):
        pixels = rng.integers(0, 256, (56 + 28 * (turn % 3), 84, 3), dtype=np.uint8)
        for session in sessions:
            session.append(pixels)
            session.video.trunk.check_integrity()
    for view in (View(), View(recent_chunks=2)):
        scored = [session.ask_choice("Which way?", ["left", "right", "ahead"], view=view) for session in sessions]
        np.testing.assert_allclose(scored[0].probabilities, scored[1].probabilities, atol=0.02)


def test_an_ask_leaves_no_trace_on_the_device(directory: Path) -> None:
    session = LocalEngine.load(ModelSource(str(directory), device="cuda")).open("You fly.", 200)
    rng = np.random.default_rng(1)
    for _ in range(20):
        session.append(rng.integers(0, 256, (56, 84, 3), dtype=np.uint8))
    before = session.video.slab.digest()
    session.ask("What is it?", max_tokens=8)
    branch = session.fork(AskRequest("And now?", max_tokens=8))
    session.answer(branch)
    assert session.video.slab.digest() == before


flash_attn = pytest.mark.skipif(importlib.util.find_spec("flash_attn") is None, reason="needs the flash-attn package")


@flash_attn
@pytest.mark.parametrize("head_dim", [64, 128])
def test_flash_attention_equals_torchs_own(head_dim: int) -> None:
    found = choose_attention("flash", torch.device("cuda"), torch.bfloat16, Heads(16, 2, head_dim))
    assert found.name == "flash"
    assert disagreement(found, torch.device("cuda"), torch.bfloat16, head_dim) < 4 * 2**-8


@flash_attn
def test_the_engine_remembers_the_same_with_flash_attention(directory: Path) -> None:
    engines = [
        LocalEngine.load(ModelSource(str(directory), device="cuda", attention=kind))
        for kind in (AttentionKind.SDPA, AttentionKind.FLASH)
    ]
    assert [engine.info().attention for engine in engines] == ["sdpa", "flash"]
    sessions = [engine.open("You fly.", 200) for engine in engines]
    rng = np.random.default_rng(2)
    for _ in range(60):
        pixels = rng.integers(0, 256, (56, 84, 3), dtype=np.uint8)
        for session in sessions:
            session.append(pixels)
    for view in (View(), View(recent_chunks=2)):
        scored = [session.ask_choice("Which way?", ["left", "right", "ahead"], view=view) for session in sessions]
        np.testing.assert_allclose(scored[0].probabilities, scored[1].probabilities, atol=0.02)
