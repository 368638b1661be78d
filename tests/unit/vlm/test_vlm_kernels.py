"""python -m pytest tests/unit/vlm/test_vlm_kernels.py -v

The attention kernels beside float64 on random inputs of odd lengths: on an NVIDIA card where there is one, else in
Triton's interpreter, which knows no bfloat16 products. Scratch and outputs start as no numbers.
"""

from typing import Any

import pytest
import torch
from attention_reference import attended
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_device import DEVICE

from stillwing_vlm.core.engines.kernels.append import Segment, Tile, append, attend
from stillwing_vlm.core.engines.kernels.decode import decode, plan_decode
from stillwing_vlm.core.engines.kernels.shares import append_splits
from stillwing_vlm.core.engines.kernels.tables import DecodeWorkspace, SegmentTable

pytestmark = pytest.mark.triton

NAN = float("nan")
SMALL = Tile(32, 32, 4, 2)
TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-3}
DTYPES = [torch.float32, torch.float16]


def _random(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    return (2 * torch.randn(*shape)).to(DEVICE, dtype)


def _close(found: torch.Tensor, wanted: torch.Tensor, dtype: torch.dtype) -> bool:
    return bool((found.double() - wanted).abs().max() <= TOLERANCE[dtype] * max(1.0, float(wanted.abs().max())))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("heads", "kv_heads", "head_dim", "count", "start", "end", "splits"),
    [(6, 2, 32, 13, 7, 291, 3), (3, 1, 64, 1, 0, 65, 2), (4, 4, 16, 70, 0, 70, 1), (14, 2, 16, 9, 20, 29, 3)],
)
def test_appended_queries_attend_all_up_to_themselves(
    run_seed: int,
    dtype: torch.dtype,
    heads: int,
    kv_heads: int,
    head_dim: int,
    count: int,
    start: int,
    end: int,
    splits: int,
) -> None:
    torch.manual_seed(run_seed + end)
    slab = _random(2, kv_heads, 300, head_dim, dtype=dtype)
    queries = _random(count, heads, head_dim, dtype=dtype).transpose(0, 1)
    span = torch.tensor([start, end], dtype=torch.int32, device=DEVICE)
    out = torch.full_like(queries, NAN)
    log_sum = torch.full((heads, count), NAN, device=DEVICE)
    attend(queries, [Segment(slab[0], slab[1], span)], out=out, log_sum=log_sum, splits=splits, tile=SMALL)
    wanted, wanted_log_sum = attended(queries, [(slab[0, :, start:end], slab[1, :, start:end])])
    assert _close(out, wanted, dtype)
    assert _close(log_sum, wanted_log_sum, torch.float32)
    # A slice says the same as a span.
    assert torch.equal(append(queries, slab[0], slab[1], span), append(queries, *slab[:, :, start:end]))


@settings(max_examples=8, deadline=None)
@given(
    st.lists(st.integers(0, 70), max_size=3),
    st.integers(1, 20),
    st.integers(0, 40),
    st.sampled_from([(3, 1), (2, 2)]),
    st.integers(1, 3),
)
def test_a_question_attends_its_pieces_as_one(
    run_seed: int, before: list[int], count: int, own: int, heads: tuple[int, int], splits: int
) -> None:
    torch.manual_seed(run_seed + count + own)
    lengths = [*before, count + own]
    pieces = [tuple(_random(2, heads[1], tokens, 16, dtype=torch.float32)) for tokens in lengths]
    queries = _random(heads[0], count, 16, dtype=torch.float32)
    log_sum = torch.full((heads[0], count), NAN, device=DEVICE)
    out = attend(
        queries, [Segment(keys, values) for keys, values in pieces], log_sum=log_sum, splits=splits, tile=SMALL
    )
    wanted, wanted_log_sum = attended(queries, pieces)
    assert _close(out, wanted, torch.float32)
    assert _close(log_sum, wanted_log_sum, torch.float32)


def test_programs_are_as_few_as_keep_the_device_busy() -> None:
    # 25 tiles of two key heads make 50 programs: 5 shares of them are 250 of 264 places, 2 would be 100 of 132.
    assert append_splits(50, 100_000, 132) == 5
    assert append_splits(132, 100_000, 132) == 1
    assert append_splits(4, 400, 132) == 1


class Rows:
    """Rows over trunks and branches of their own: `spans` names each row's trunk and what it sees of it, `own` what its
    branch held before the step, `counts` what is fed.
    """

    def __init__(
        self, heads: int, kv_heads: int, head_dim: int, spans: list[Any], own: list[int], counts: list[int], **how: Any
    ) -> None:
        torch.manual_seed(len(spans))
        self.dtype, width = how.get("dtype", torch.float32), how.get("width", 1)
        self.spans, self.own, self.counts = spans, own, counts
        self.trunks = _random(2, 2, 2, kv_heads, 700, head_dim, dtype=self.dtype)
        self.branches = _random(len(spans), 2, 2, kv_heads, 40, head_dim, dtype=self.dtype)
        self.queries = _random(heads, len(spans) * width, head_dim, dtype=self.dtype)
        self.table = SegmentTable.empty(len(spans), 3, self.dtype, DEVICE)
        for row, (trunk, *_) in enumerate(spans):
            self.table.put(row, 0, *self.trunks[trunk])
            self.table.put(row, 1, *self.trunks[trunk])
            self.table.put(row, 2, *self.branches[row])
        self.workspace = DecodeWorkspace.empty(
            self.table, heads, kv_heads, head_dim, width=width, splits=how["splits"], most_lanes=how.get("lanes", 128)
        )

    def check(self) -> None:
        self.workspace.partial.fill_(NAN)
        self.workspace.partial_log_sum.fill_(NAN)
        for row, (_, start, end) in enumerate(self.spans):
            # A few tokens of the trunk's end once more, as a piece of their own; for some rows none.
            self.table.spans[row, 0] = torch.tensor([700 - row % 3, 700])
            self.table.spans[row, 1] = torch.tensor([start, end])
            self.table.spans[row, 2, 1] = self.own[row]
            self.table.counts[row] = self.counts[row]
        plan_decode(self.table, self.workspace)
        for layer in (0, 1):
            out = torch.full_like(self.queries, NAN)
            log_sum = torch.full(self.queries.shape[:2], NAN, device=DEVICE)
            decode(self.queries, self.table, layer, out, self.workspace, log_sum)
            for row in range(len(self.spans)):
                self._check_row(row, layer, out, log_sum)

    def _check_row(self, row: int, layer: int, out: torch.Tensor, log_sum: torch.Tensor) -> None:
        width, fed = self.workspace.width, self.counts[row]
        idle = slice(row * width + fed, (row + 1) * width)
        assert not out[:, idle].any()
        assert (log_sum[:, idle] == -torch.inf).all()
        trunk, start, end = self.spans[row]
        pieces = [
            tuple(self.trunks[trunk, :, layer, :, 700 - row % 3 :]),
            tuple(self.trunks[trunk, :, layer, :, start:end]),
            tuple(self.branches[row, :, layer, :, : self.own[row] + fed]),
        ]
        asked = slice(row * width, row * width + fed)
        if fed:
            wanted, wanted_log_sum = attended(self.queries[:, asked], pieces)
            assert _close(out[:, asked], wanted, self.dtype)
            assert _close(log_sum[:, asked], wanted_log_sum, torch.float32)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_attend_their_own_views_of_shared_and_other_trunks(dtype: torch.dtype) -> None:
    spans = [(0, 7, 331), (0, 130, 333), (1, 0, 260), (0, 7, 200), (1, 699, 700), (0, 0, 50)]
    rows = Rows(6, 2, 32, spans, [0, 39, 17, 5, 3, 0], [1, 1, 1, 1, 1, 0], dtype=dtype, splits=3)
    rows.check()
    # The same scratch and the same grid go on as trunks slide, branches grow and rows come and go.
    rows.spans = [(0, 30, 360), (0, 130, 333), (1, 690, 700), (0, 7, 7), (1, 0, 65), (0, 0, 1)]
    rows.own, rows.counts = [1, 39, 0, 0, 4, 9], [1, 0, 1, 1, 1, 1]
    rows.check()


@pytest.mark.parametrize(("width", "lanes", "counts"), [(5, 64, [5, 1, 0, 3]), (9, 16, [8, 9, 1, 0])])
def test_questions_of_several_rows_are_fed_together(width: int, lanes: int, counts: list[int]) -> None:
    """Two rows to a program, and a row in two programs."""
    spans = [(0, 7, 131), (0, 90, 133), (1, 0, 50), (0, 7, 7)]
    rows = Rows(6, 2, 16, spans, [0, 29, 17, 5], counts, width=width, splits=2, lanes=lanes)
    assert (rows.workspace.together > 1) == (lanes == 64)
    rows.check()


def test_more_rows_than_one_program_takes() -> None:
    rows = Rows(32, 1, 16, [(0, row, 100 + row) for row in range(3)], [1, 2, 3], [1, 1, 1], splits=2)
    assert rows.workspace.jobs.shape[0] > 1
    rows.check()


def test_pieces_that_do_not_fit_the_kernel_are_refused() -> None:
    table = SegmentTable.empty(1, 1, torch.float32, DEVICE)
    keys = torch.empty(1, 1, 8, 16, device=DEVICE)
    with pytest.raises(ValueError, match="in a table of"):
        table.put(0, 0, keys.half(), keys.half())
    with pytest.raises(ValueError, match="strided"):
        table.put(0, 0, keys.transpose(2, 3), keys.transpose(2, 3))
    with pytest.raises(ValueError, match="strided"):
        append(torch.empty(1, 1, 8, device=DEVICE), keys[0].transpose(1, 2), keys[0].transpose(1, 2))
