"""python -m pytest tests/unit/vlm/test_vlm_kernel_engine.py -v

A whole engine that attends by the kernels beside the same on torch's own: on an NVIDIA card where there is one, else in
Triton's interpreter.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kernel_device import DEVICE

from stillwing_lab.tiny_model import write_tiny_model
from stillwing_vlm.core.catalog import AttentionKind, Decoding, Dtype, ModelSource
from stillwing_vlm.core.engines.kernels import cache
from stillwing_vlm.core.local import LocalEngine

pytestmark = pytest.mark.triton


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


def _load(directory: Path, **how: Any) -> LocalEngine:
    source = ModelSource(
        str(directory), device=DEVICE.type, dtype=Dtype.FLOAT32, decoding=Decoding.EAGER, threads=1, **how
    )
    return LocalEngine.load(source)


def _pictures(count: int) -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    return [draw.integers(0, 256, (56 + 28 * (turn % 2), 84, 3), dtype=np.uint8) for turn in range(count)]


def test_an_engine_on_the_kernels_remembers_the_same(directory: Path, logits_of: Any) -> None:
    engines = [_load(directory, attention=kind) for kind in (AttentionKind.SDPA, AttentionKind.TRITON)]
    assert [engine.info().attention for engine in engines] == ["sdpa", "triton"]
    found = []
    for engine in engines:
        session = engine.open("You fly.", 160)
        for picture in _pictures(7):
            session.append(picture)
        found.append(logits_of(session, "Where?"))
    assert (found[0] - found[1]).abs().max() < 1e-4 * found[0].std()


def test_a_memory_moved_and_rewritten_by_kernels_is_the_same(
    directory: Path, logits_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through evictions, compactions and positions that begin anew."""
    short = write_tiny_model(directory.parent / "short", max_position_embeddings=320)
    found = []
    for kernels in (None, cache):
        monkeypatch.setattr(
            "stillwing_vlm.core.engines.cache.slab.cache_kernels", lambda shape, kernels=kernels: kernels
        )
        session = _load(short, attention=AttentionKind.SDPA).open("You fly.", 160)
        for picture in _pictures(60):
            session.append(picture)
        session.recall(_pictures(1)[0])
        trunk = session.video.trunk
        assert min(trunk.evicted_frames, trunk.moves, trunk.rebases) > 0
        found.append(logits_of(session, "Where?"))
    assert (found[0] - found[1]).abs().max() < 1e-4 * found[0].std()
