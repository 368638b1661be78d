"""python -m pytest tests/gpu/test_vlm_kernels_cuda.py -v

The kernels on a card, in bfloat16 and at the sizes of a 3B model, beside float64; captured in a graph; and over windows
that move over themselves. Small odd sizes in other types: tests/unit/vlm/test_vlm_kernels.py, which runs on the card
too where there is one.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attention_reference import attended

pytest.importorskip("triton", reason="needs triton: pip install triton")

from stillwing_lab.tiny_model import write_tiny_model
from stillwing_vlm.core.catalog import AttentionKind, ModelSource
from stillwing_vlm.core.engines.attention.choice import Heads, choose_attention, disagreement
from stillwing_vlm.core.engines.kernels.append import Segment, append, attend
from stillwing_vlm.core.engines.kernels.cache import move, place
from stillwing_vlm.core.engines.kernels.decode import decode, plan_decode
from stillwing_vlm.core.engines.kernels.tables import DecodeWorkspace, SegmentTable
from stillwing_vlm.core.engines.kernels.writing import turn_and_write
from stillwing_vlm.core.engines.tensors.rotary import rotate
from stillwing_vlm.core.local import LocalEngine
from stillwing_vlm.core.requests import View

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

HEADS, KV_HEADS, HEAD_DIM, DTYPE = 16, 2, 128, torch.bfloat16
NAN = float("nan")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, device="cuda", dtype=DTYPE)


def _error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """||found - wanted|| / ||wanted||; rounding to bfloat16 alone makes 2e-3 of it."""
    return float((found.double() - wanted).norm() / wanted.norm())


@pytest.mark.parametrize(("count", "start", "end"), [(400, 1031, 21_000), (391, 0, 391), (1, 7, 16_411), (32, 3, 99)])
def test_appends_of_real_sizes(count: int, start: int, end: int) -> None:
    slab, queries = _random(2, KV_HEADS, 24_000, HEAD_DIM), _random(count, HEADS, HEAD_DIM).transpose(0, 1)
    slab[:, :, :start], slab[:, :, end:] = NAN, NAN
    span = torch.tensor([start, end], dtype=torch.int32, device="cuda")
    out, log_sum = torch.full_like(queries, NAN), torch.full((HEADS, count), NAN, device="cuda")
    append(queries, slab[0], slab[1], span, out=out, log_sum=log_sum)
    wanted, wanted_log_sum = attended(queries, [(slab[0, :, start:end], slab[1, :, start:end])])
    assert _error(out, wanted) < 6e-3
    assert (log_sum - wanted_log_sum).abs().max() < 1e-3
    # The corner that the newest make among themselves is seen in the first of them.
    assert _error(out[:, :1], wanted[:, :1]) < 6e-3


def test_questions_over_pieces() -> None:
    pieces = [tuple(_random(2, KV_HEADS, tokens, HEAD_DIM)) for tokens in (517, 9001, 77)]
    queries = _random(33, HEADS, HEAD_DIM).transpose(0, 1)
    wanted, _ = attended(queries, pieces)
    assert _error(attend(queries, [Segment(*piece) for piece in pieces]), wanted) < 6e-3


class Rows:
    """Eight rows: five on one trunk with views of their own, three on another; one of them is idle."""

    def __init__(self, width: int) -> None:
        self.width, self.trunks = width, _random(2, 2, 2, KV_HEADS, 20_000, HEAD_DIM)
        self.branches = _random(8, 2, 2, KV_HEADS, 100, HEAD_DIM)
        self.queries = _random(8 * width, HEADS, HEAD_DIM).transpose(0, 1)
        self.table = SegmentTable.empty(8, 3, DTYPE, torch.device("cuda"))
        self.workspace = DecodeWorkspace.empty(self.table, HEADS, KV_HEADS, HEAD_DIM, width=width)
        self.out = torch.full_like(self.queries, NAN)
        for row in range(8):
            self.table.put(row, 1, *self.trunks[int(row > 4)])
            self.table.put(row, 2, *self.branches[row])

    def tell(self, turn: int) -> None:
        self.spans = [(13 * row + turn, 13 * row + turn + (16_001 if row % 3 else 4000)) for row in range(8)]
        self.own = [(7 * row + turn) % 60 for row in range(8)]
        self.counts = [0 if row == 6 else 1 + (row + turn) % self.width for row in range(8)]
        self.table.spans[:, 1] = torch.tensor(self.spans, device="cuda")
        self.table.spans[:, 2, 1] = torch.tensor(self.own, device="cuda")
        self.table.counts.copy_(torch.tensor(self.counts))

    def run(self) -> None:
        plan_decode(self.table, self.workspace)
        decode(self.queries, self.table, 1, self.out, self.workspace)

    def check(self) -> None:
        for row in range(8):
            first, fed = row * self.width, self.counts[row]
            assert not self.out[:, first + fed : first + self.width].any()
            if fed:
                start, end = self.spans[row]
                pieces = [
                    tuple(self.trunks[int(row > 4), :, 1, :, start:end]),
                    tuple(self.branches[row, :, 1, :, : self.own[row] + fed]),
                ]
                asked = slice(first, first + fed)
                assert _error(self.out[:, asked], attended(self.queries[:, asked], pieces)[0]) < 6e-3


@pytest.mark.parametrize("width", [1, 8, 32])
def test_a_captured_step_goes_on_as_trunks_slide(width: int) -> None:
    rows = Rows(width)
    rows.tell(0)
    rows.run()
    rows.check()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        rows.run()
    for turn in (1, 900, 2500):
        rows.tell(turn)
        rows.out.fill_(NAN)
        graph.replay()
        rows.check()


def test_a_step_gives_the_same_bits_each_time() -> None:
    rows = Rows(1)
    rows.tell(5)
    rows.run()
    first = rows.out.clone()
    for _ in range(20):
        rows.run()
        assert torch.equal(rows.out, first)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("source", "target"), [(5000, 0), (3, 0), (100, 5), (0, 61), (0, 4000)])
def test_windows_move_over_themselves(source: int, target: int, turned: bool) -> None:
    length = 15_001
    keys, values = _random(2, 4, KV_HEADS, 20_100, HEAD_DIM)
    angles = 6.3 * torch.rand(1, HEAD_DIM // 2, device="cuda")
    turn = (angles.cos(), angles.sin()) if turned else None
    wanted_keys, wanted_values = keys.clone(), values.clone()
    moved, goal = keys[:, :, source : source + length].clone(), slice(target, target + length)
    wanted_keys[:, :, goal] = moved if turn is None else rotate(moved, turn).to(DTYPE)
    wanted_values[:, :, goal] = values[:, :, source : source + length].clone()
    move(keys, values, source, target, length, turn)
    assert torch.equal(values, wanted_values)
    assert (keys.float() - wanted_keys.float()).abs().max() <= (0.04 if turned else 0)
    assert _error(keys, wanted_keys.double()) < (1e-3 if turned else 1e-12)


def test_fed_and_kept_keys_are_turned_into_place() -> None:
    angles = 6.3 * torch.rand(400, HEAD_DIM // 2, device="cuda")
    cos_sin = (angles.cos(), angles.sin())
    slab, kept = _random(2, 4, KV_HEADS, 600, HEAD_DIM), _random(2, 4, KV_HEADS, 400, HEAD_DIM)
    place(kept[0], kept[1], cos_sin, slab[0, :, :, 9:409], slab[1, :, :, 9:409])
    assert _error(slab[0, :, :, 9:409], rotate(kept[0], cos_sin).to(DTYPE).double()) < 1e-3
    assert torch.equal(slab[1, :, :, 9:409], kept[1])
    table = SegmentTable.empty(1, 3, DTYPE, torch.device("cuda"))
    table.put(0, 2, *slab)
    table.spans[0, 2, 1], table.counts[0] = 33, 300
    joined = _random(400, HEADS + 2 * KV_HEADS, HEAD_DIM).transpose(0, 1)
    queries, keys, values = joined.split([HEADS, KV_HEADS, KV_HEADS])
    turned = torch.zeros_like(queries)
    turn_and_write(queries, keys, values, cos_sin, turned, table, 2)
    assert _error(turned[:, :300], rotate(queries, cos_sin)[:, :300].double()) < 3e-3
    assert _error(slab[0, 2, :, 33:333], rotate(keys, cos_sin)[:, :300].double()) < 3e-3
    assert torch.equal(slab[1, 2, :, 33:333], values[:, :300])


@pytest.mark.parametrize("head_dim", [64, 128, 256])
def test_kernels_equal_torchs_own(head_dim: int) -> None:
    cuda = torch.device("cuda")
    for dtype, most in ((torch.bfloat16, 4 * 2**-8), (torch.float32, 1e-4)):
        found = choose_attention("triton", cuda, dtype, Heads(16, 2, head_dim))
        assert disagreement(found, cuda, dtype, head_dim) < most


def test_kernels_come_by_flag() -> None:
    found = choose_attention("auto", torch.device("cuda"), DTYPE, Heads(HEADS, KV_HEADS, HEAD_DIM))
    assert (found.name, found.reason) == ("sdpa", "torch's own: others come by flag on CUDA")


def test_the_engine_remembers_the_same_on_the_kernels(tmp_path: Path) -> None:
    directory = write_tiny_model(tmp_path / "model", initializer_range=0.05)
    engines = [
        LocalEngine.load(ModelSource(str(directory), device="cuda", attention=kind))
        for kind in (AttentionKind.SDPA, AttentionKind.TRITON)
    ]
    assert [engine.info().attention for engine in engines] == ["sdpa", "triton"]
    sessions: list[Any] = [engine.open("You fly.", 200) for engine in engines]
    draw = np.random.default_rng(2)
    for _ in range(60):
        pixels = draw.integers(0, 256, (56, 84, 3), dtype=np.uint8)
        for session in sessions:
            session.append(pixels)
    for view in (View(), View(recent_chunks=2)):
        scored = [session.ask_choice("Which way?", ["left", "right", "ahead"], view=view) for session in sessions]
        np.testing.assert_allclose(scored[0].probabilities, scored[1].probabilities, atol=0.02)
