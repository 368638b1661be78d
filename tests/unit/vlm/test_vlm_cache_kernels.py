"""python -m pytest tests/unit/vlm/test_vlm_cache_kernels.py -v

Kernels that write, rotate and move cached keys, beside torch's own operations on the same numbers: on an NVIDIA card
where there is one, else in Triton's interpreter.
"""

import pytest
import torch
from kernel_device import DEVICE

from stillwing_vlm.core.engines.kernels.cache import move, place
from stillwing_vlm.core.engines.kernels.tables import SegmentTable
from stillwing_vlm.core.engines.kernels.writing import turn_and_write, turn_into, write
from stillwing_vlm.core.engines.tensors.rotary import CosSin, rotate

pytestmark = pytest.mark.triton

DTYPES = [torch.float32, torch.float16]
LAYERS, KV_HEADS, CAPACITY, HEAD_DIM = 2, 2, 500, 32


def _slab(dtype: torch.dtype, *first: int) -> torch.Tensor:
    return torch.randn(*first, LAYERS, KV_HEADS, CAPACITY, HEAD_DIM).to(DEVICE, dtype)


def _angles(*tokens: int) -> CosSin:
    angles = 6.3 * torch.rand(*tokens, HEAD_DIM // 2, device=DEVICE)
    return angles.cos(), angles.sin()


def _same(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    """To one rounding: products and sums may be fused in one and not in the other."""
    rounding = 2 * torch.finfo(found.dtype).eps
    return bool((found.float() - wanted.float()).abs().max() <= rounding * wanted.float().abs().max())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("source", "target", "length"),
    [(5, 0, 300), (40, 0, 140), (300, 10, 131), (0, 1, 129), (1, 130, 257), (3, 3, 50), (0, 200, 0)],
)
def test_moving_within_a_slab_is_copying_aside_and_back(
    run_seed: int, dtype: torch.dtype, turned: bool, source: int, target: int, length: int
) -> None:
    torch.manual_seed(run_seed + length)
    keys, values = _slab(dtype, 2)
    turn = _angles(1) if turned else None
    wanted_keys, wanted_values = keys.clone(), values.clone()
    moved = keys[:, :, source : source + length]
    goal = slice(target, target + length)
    wanted_keys[:, :, goal] = (moved if turn is None else rotate(moved, turn)).to(dtype)
    wanted_values[:, :, goal] = values[:, :, source : source + length].clone()
    move(keys, values, source, target, length, turn)
    assert torch.equal(values, wanted_values)
    assert _same(keys, wanted_keys) if turned else torch.equal(keys, wanted_keys)
    untouched = [place for place in range(CAPACITY) if not target <= place < target + length]
    assert torch.equal(keys[:, :, untouched], wanted_keys[:, :, untouched])


@pytest.mark.parametrize("dtype", DTYPES)
def test_kept_chunks_are_turned_into_their_place_and_nowhere_else(run_seed: int, dtype: torch.dtype) -> None:
    torch.manual_seed(run_seed)
    slab = _slab(dtype, 2)
    before = slab.clone()
    keys, values = torch.randn(2, LAYERS, KV_HEADS, 45, HEAD_DIM).to(DEVICE, dtype)
    cos_sin = _angles(45)
    place(keys, values, cos_sin, slab[0, :, :, 7:52], slab[1, :, :, 7:52])
    assert _same(slab[0, :, :, 7:52], rotate(keys, cos_sin).to(dtype))
    assert torch.equal(slab[1, :, :, 7:52], values)
    for part in (slice(0, 7), slice(52, None)):
        assert torch.equal(slab[:, :, :, part], before[:, :, :, part])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [1, 4])
def test_fed_tokens_are_turned_and_written_behind_what_their_branches_hold(
    run_seed: int, dtype: torch.dtype, width: int
) -> None:
    torch.manual_seed(run_seed + width)
    lengths, counts, layer = [0, 13, 499, 3], [1, width, 1, 0], 1
    slab = _slab(dtype, 4, 2)
    before = slab.clone()
    table = SegmentTable.empty(4, 2, dtype, DEVICE)
    for row, length in enumerate(lengths):
        table.put(row, 1, *slab[row])
        table.spans[row, 1, 1] = length
        table.counts[row] = counts[row]
    # As projections give them: heads side by side in each token.
    joined = torch.randn(4 * width, 6 + 2 * KV_HEADS, HEAD_DIM).to(DEVICE, dtype).transpose(0, 1)
    queries, keys, values = joined.split([6, KV_HEADS, KV_HEADS])
    cos_sin = _angles(4 * width)
    turned = torch.zeros_like(queries)
    turn_and_write(queries, keys, values, cos_sin, turned, table, layer)
    wanted_keys, wanted_queries = rotate(keys, cos_sin).to(dtype), rotate(queries, cos_sin).to(dtype)
    for row, (length, count) in enumerate(zip(lengths, counts, strict=True)):
        fed = slice(row * width, row * width + count)
        if count:
            assert _same(turned[:, fed], wanted_queries[:, fed])
            assert _same(slab[row, 0, layer, :, length : length + count], wanted_keys[:, fed])
            assert torch.equal(slab[row, 1, layer, :, length : length + count], values[:, fed])
        before[row, :, layer, :, length : length + count] = slab[row, :, layer, :, length : length + count]
    assert torch.equal(slab, before)
    # What is turned already is written as it is.
    write(wanted_keys, values, table, 0)
    for row, (length, count) in enumerate(zip(lengths, counts, strict=True)):
        fed = slice(row * width, row * width + count)
        assert torch.equal(slab[row, 0, 0, :, length : length + count], wanted_keys[:, fed])
        before[row, :, 0, :, length : length + count] = slab[row, :, 0, :, length : length + count]
    assert torch.equal(slab, before)


def test_a_chunk_is_turned_into_its_slice(run_seed: int) -> None:
    torch.manual_seed(run_seed)
    slab = _slab(torch.float32, 2)
    before = slab.clone()
    joined = torch.randn(9, 6 + 2 * KV_HEADS, HEAD_DIM, device=DEVICE).transpose(0, 1)
    queries, keys, values = joined.split([6, KV_HEADS, KV_HEADS])
    cos_sin = _angles(9)
    turned = torch.empty_like(queries)
    turn_into(queries, keys, values, cos_sin, turned, *slab[:, 1, :, 70:79])
    assert _same(turned, rotate(queries, cos_sin))
    assert _same(slab[0, 1, :, 70:79], rotate(keys, cos_sin))
    assert torch.equal(slab[1, 1, :, 70:79], values)
    before[:, 1, :, 70:79] = slab[:, 1, :, 70:79]
    assert torch.equal(slab, before)


def test_slabs_strided_apart_are_refused() -> None:
    keys, values = _slab(torch.float32, 2)
    with pytest.raises(ValueError, match="strided"):
        move(keys, values[:, :, ::2], 0, 10, 5)
