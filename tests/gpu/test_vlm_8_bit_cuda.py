"""python -m pytest tests/gpu/test_vlm_8_bit_cuda.py -v

Caches and weights of 8 bits on a card, in bfloat16 and at the sizes of a 3B model, beside float64; and a whole engine
with both, captured and as passes come. Small odd sizes in other types: tests/unit/vlm/test_vlm_kv_fp8_kernels.py and
test_vlm_int8_kernels.py, which run on the card too where there is one.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from attention_reference import attended

pytest.importorskip("triton", reason="needs triton: pip install triton")

from stillwing_lab.tiny_model import write_tiny_model
from stillwing_vlm.core.catalog import AttentionKind, Decoding, Dtype, KvCacheDtype, ModelSource, WeightDtype
from stillwing_vlm.core.engines.attention.choice import Heads, choose_attention, disagreement
from stillwing_vlm.core.engines.kernels.append import append
from stillwing_vlm.core.engines.kernels.codes import reads_codes
from stillwing_vlm.core.engines.kernels.decode import decode, plan_decode
from stillwing_vlm.core.engines.kernels.int8_linear import linear
from stillwing_vlm.core.engines.kernels.tables import DecodeWorkspace, SegmentTable
from stillwing_vlm.core.engines.kernels.writing import turn_and_write
from stillwing_vlm.core.engines.tensors.rotary import rotate
from stillwing_vlm.core.engines.tensors.scaled import Scaled
from stillwing_vlm.core.local import LocalEngine
from stillwing_vlm.core.requests import View

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

HEADS, KV_HEADS, HEAD_DIM, DTYPE = 16, 2, 128, torch.bfloat16


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, device="cuda", dtype=DTYPE)


def _error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """||found - wanted|| / ||wanted||; rounding to bfloat16 alone makes 2e-3 of it."""
    return float((found.double() - wanted).norm() / wanted.norm())


def test_a_card_that_knows_codes_is_asked_to_read_them() -> None:
    assert reads_codes(torch.device("cuda")) == (torch.cuda.get_device_capability() >= (8, 9))


@pytest.mark.parametrize(("count", "start", "end"), [(400, 1031, 21_000), (1, 7, 16_411), (32, 3, 99)])
def test_appends_of_real_sizes_over_codes(count: int, start: int, end: int) -> None:
    keys, values = (Scaled.of(_random(KV_HEADS, 24_000, HEAD_DIM)) for _ in range(2))
    queries = _random(count, HEADS, HEAD_DIM).transpose(0, 1)
    span = torch.tensor([start, end], dtype=torch.int32, device="cuda")
    wanted, _ = attended(queries, [(keys[:, start:end].wide(), values[:, start:end].wide())])
    assert _error(append(queries, keys, values, span), wanted) < 8e-3


@pytest.mark.parametrize("width", [1, 8])
def test_rows_attend_trunks_of_codes(width: int) -> None:
    trunk = [Scaled.of(_random(2, KV_HEADS, 20_000, HEAD_DIM)) for _ in range(2)]
    branches = _random(4, 2, 2, KV_HEADS, 100, HEAD_DIM)
    queries = _random(4 * width, HEADS, HEAD_DIM).transpose(0, 1)
    table = SegmentTable.empty(4, 3, DTYPE, torch.device("cuda"), scaled=True)
    for row in range(4):
        table.put(row, 1, *trunk)
        table.put(row, 2, *branches[row])
        table.spans[row] = torch.tensor([[0, 0], [row, 16_001 + 77 * row], [0, 9 * row]])
        table.counts[row] = width
    work = DecodeWorkspace.empty(table, HEADS, KV_HEADS, HEAD_DIM, width=width)
    out = torch.full_like(queries, float("nan"))
    plan_decode(table, work)
    decode(queries, table, 1, out, work)
    for row in range(4):
        fed = slice(row * width, (row + 1) * width)
        seen = tuple(part[1, :, row : 16_001 + 77 * row].wide() for part in trunk)
        wanted, _ = attended(queries[:, fed], [seen, tuple(branches[row, :, 1, :, : 9 * row + width])])
        assert _error(out[:, fed], wanted) < 8e-3


def test_fed_tokens_are_rounded_to_codes() -> None:
    slab = [Scaled.of(_random(2, KV_HEADS, 500, HEAD_DIM)) for _ in range(2)]
    table = SegmentTable.empty(1, 1, DTYPE, torch.device("cuda"), scaled=True)
    table.put(0, 0, *slab)
    table.spans[0, 0, 1], table.counts[0] = 11, 393
    joined = _random(393, HEADS + 2 * KV_HEADS, HEAD_DIM).transpose(0, 1)
    queries, keys, values = joined.split([HEADS, KV_HEADS, KV_HEADS])
    angles = 6.3 * torch.rand(393, HEAD_DIM // 2, device="cuda")
    cos_sin = (angles.cos(), angles.sin())
    turn_and_write(queries, keys, values, cos_sin, torch.empty_like(queries), table, 1)
    for part, wanted in zip(slab, (rotate(keys, cos_sin).to(DTYPE), values), strict=True):
        told, found = Scaled.of(wanted), part[1, :, 11:404]
        assert (told.codes.view(torch.uint8) != found.codes.view(torch.uint8)).float().mean() < 0.01
        # A code's neighbour is an eighth of it away.
        assert _error(found.wide(), wanted.double()) < 0.04


@pytest.mark.parametrize(("count", "inputs", "outputs"), [(1, 2048, 2560), (8, 11008, 2048), (393, 2048, 22016)])
def test_products_of_real_sizes(count: int, inputs: int, outputs: int) -> None:
    rows, bias = _random(count, inputs), _random(outputs)
    codes = torch.randint(-127, 128, (outputs, inputs), dtype=torch.int8, device="cuda")
    scales = torch.rand(outputs, device="cuda") / 1000
    wanted = rows.double() @ (codes.double() * scales.double()[:, None]).T + bias.double()
    assert _error(linear(rows, codes, scales, bias), wanted) < 6e-3


def test_the_kernels_agree_with_torchs_own() -> None:
    device, heads = torch.device("cuda"), Heads(HEADS, KV_HEADS, HEAD_DIM, scaled=True)
    for name in ("sdpa", "triton"):
        found = choose_attention(name, device, DTYPE, heads)
        assert disagreement(found, device, DTYPE, HEAD_DIM, scaled=True) < 4 * 2**-8
    assert choose_attention("auto", device, DTYPE, heads).name in ("sdpa", "triton")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(
        tmp_path_factory.mktemp("tiny") / "model",
        hidden_size=256,
        rope_parameters={"rope_type": "default", "mrope_section": [8, 12, 12], "rope_theta": 1e4},
        max_position_embeddings=320,
        initializer_range=0.05,
    )


def test_an_engine_of_8_bits_remembers_as_in_full(directory: Path) -> None:
    """Through evictions, moves and new beginnings of positions: as passes come, captured, and on the CPU in float32."""
    eight = {"kv_cache_dtype": KvCacheDtype.FP8, "weight_dtype": WeightDtype.INT8}
    sources = [
        ModelSource(str(directory), device="cpu"),
        ModelSource(str(directory), device="cuda", decoding=Decoding.EAGER, attention=AttentionKind.SDPA, **eight),
        ModelSource(str(directory), device="cuda", decoding=Decoding.GRAPHS, attention=AttentionKind.TRITON, **eight),
    ]
    engines = [LocalEngine.load(source) for source in sources]
    assert [engine.info().decoding for engine in engines[1:]] == ["eager", "graphs"]
    assert all((engine.info().kv_cache_dtype, engine.info().weight_dtype) == ("fp8", "int8") for engine in engines[1:])
    sessions = [engine.open("You fly.", 200) for engine in engines]
    for turn in range(80):
        pixels = np.random.default_rng(turn).integers(0, 256, (56, 84, 3), dtype=np.uint8)
        for session in sessions:
            session.append(pixels)
            session.video.trunk.check_integrity()
    assert all(min(session.video.trunk.moves, session.video.trunk.rebases) > 0 for session in sessions)
    for view in (View(), View(recent_chunks=2)):
        scored = [session.ask_choice("Which way?", ["left", "right", "ahead"], view=view) for session in sessions]
        for other in scored[1:]:
            np.testing.assert_allclose(scored[0].probabilities, other.probabilities, atol=0.05)
    before = sessions[2].video.slab.digest()
    assert sessions[2].ask("What is it?", max_tokens=8).answer_tokens
    assert sessions[2].video.slab.digest() == before


def test_the_kernels_and_the_captured_passes_take_no_more_than_is_reckoned(directory: Path) -> None:
    engine = LocalEngine.load(
        ModelSource(str(directory), device="cuda", dtype=Dtype.BFLOAT16, decoding=Decoding.GRAPHS)
    )
    session = engine.open("You fly.", 200)
    for turn in range(6):
        session.append(np.random.default_rng(turn).integers(0, 256, (56, 84, 3), dtype=np.uint8))
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    for length in (1, 6, 20, 40):
        session.ask("so " * length, max_tokens=4)
    torch.cuda.synchronize()
    taken = torch.cuda.memory_allocated() - before
    assert taken < engine.loaded.backend.scratch_bytes(30) + (32 << 20)
