"""python -m pytest tests/unit/vlm/test_vlm_cpu_kernels.py -v

The CPU's attention kernels beside float64 on random inputs of odd lengths, in every form that this processor can run.
What lies around the pieces in their slab is no number, so that whoever reads it is found out.
"""

import importlib.util
from collections.abc import Iterator, Sequence

import pytest
import torch
from attention_reference import attended
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwing_common.errors import DeviceAbsent, MissingExtra
from stillwing_vlm.core.engines.attention.choice import Heads, choose_attention, disagreement
from stillwing_vlm.core.engines.attention.plain import Attention

pytest.importorskip("llvmlite", reason="needs llvmlite: pip install llvmlite")
from stillwing_vlm.core.engines.attention.cpu_kernels import attention as cpu_attention
from stillwing_vlm.core.engines.attention.cpu_kernels.compiled import compiled
from stillwing_vlm.core.engines.attention.cpu_kernels.emit import Machine

CPU = torch.device("cpu")
# Rounding of the output, of the queries' and keys' products in pairs, and of the weights; float32 keeps 24 bits.
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 3 * 2**-8}
DTYPES = list(TOLERANCE)
LESSER = {"AVX2": ("avx512", "avx10", "amx"), "AVX-512 without products of bfloat16": ("avx512bf16",)}
"""What this processor stands in for without some of its features."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pieces_of(
    kv_heads: int, head_dim: int, lengths: Sequence[int], dtype: torch.dtype
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    slab = torch.full((2, kv_heads, sum(lengths) + 5 * len(lengths) + 3, head_dim), float("nan"))
    found, at = [], 3
    for length in lengths:
        place = slice(at, at + length)
        slab[:, :, place] = 2 * torch.randn(2, kv_heads, length, head_dim)
        found.append(place)
        at += length + 5
    slab = slab.to(dtype)
    return [(slab[0, :, place], slab[1, :, place]) for place in found]


def queries_of(heads: int, count: int, head_dim: int, dtype: torch.dtype) -> torch.Tensor:
    return (2 * torch.randn(count, heads, head_dim)).to(dtype).transpose(0, 1)


def check(
    attention: Attention, queries: torch.Tensor, pieces: list[tuple[torch.Tensor, torch.Tensor]], spare: float = 1
) -> None:
    found = attention.branch(queries, pieces)
    wanted, _ = attended(queries, pieces)
    assert found.shape == queries.shape and found.dtype == queries.dtype
    error = (found.double() - wanted).abs().max() / wanted.abs().max()
    assert error < spare * TOLERANCE[queries.dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("heads", "kv_heads", "head_dim", "count", "lengths"),
    [
        (4, 2, 64, 1, [1]),  # a first token
        (4, 2, 64, 1, [700, 9]),  # a token decoded
        (14, 2, 128, 1, [300, 1]),
        (16, 2, 128, 5, [0, 517, 6]),
        (6, 2, 32, 13, [291]),
        (3, 1, 16, 27, [255, 256, 27]),
        (8, 4, 64, 101, [1300]),
        (2, 1, 64, 600, [601]),  # most tiles are hidden from most queries
        (2, 2, 256, 3, [20]),
    ],
)
def test_queries_attend_all_pieces_as_one_up_to_themselves(
    dtype: torch.dtype, heads: int, kv_heads: int, head_dim: int, count: int, lengths: list[int]
) -> None:
    torch.manual_seed(sum(lengths))
    attention = cpu_attention.native(head_dim, dtype)
    pieces = pieces_of(kv_heads, head_dim, lengths, dtype)
    queries = queries_of(heads, count, head_dim, dtype)
    check(attention, queries, pieces)
    if len(pieces) == 1:
        assert torch.equal(attention.append(queries, *pieces[0]), attention.branch(queries, pieces))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(0, 600), max_size=3),
    st.integers(1, 40),
    st.integers(0, 300),
    st.sampled_from([(3, 1), (2, 2), (14, 2)]),
    st.sampled_from([16, 64]),
    st.sampled_from(DTYPES),
)
def test_any_lengths(
    before: list[int], count: int, own: int, heads: tuple[int, int], head_dim: int, dtype: torch.dtype
) -> None:
    torch.manual_seed(count + own)
    pieces = pieces_of(heads[1], head_dim, [*before, count + own], dtype)
    check(cpu_attention.native(head_dim, dtype), queries_of(heads[0], count, head_dim, dtype), pieces)


@pytest.mark.parametrize("dtype", DTYPES)
def test_several_branches_get_what_each_would_get_alone(dtype: torch.dtype) -> None:
    attention = cpu_attention.native(64, dtype)
    assert attention.decode is not None
    segments = [pieces_of(2, 64, lengths, dtype) for lengths in ([400, 3], [7], [0, 290, 1])]
    queries = queries_of(6, 3, 64, dtype)
    found = attention.decode(queries, segments)
    for at, pieces in enumerate(segments):
        assert torch.equal(found[:, at : at + 1], attention.branch(queries[:, at : at + 1], pieces))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_query_gets_the_same_whoever_is_beside_it(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    attention = cpu_attention.native(64, dtype)
    pieces = pieces_of(1, 64, [900, 40], dtype)
    queries = queries_of(60, 1, 64, dtype)
    whole = attention.branch(queries, pieces)
    for heads in (17, 33, 59):
        assert torch.equal(attention.branch(queries[:heads], pieces), whole[:heads])


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_share_the_work(dtype: torch.dtype, threads: int) -> None:
    """Two share out heads; three share out keys, which do not come out even either."""
    torch.manual_seed(threads)
    torch.set_num_threads(threads)
    attention = cpu_attention.native(64, dtype)
    for count, lengths in ((1, [30_001, 2]), (101, [70, 1200])):
        assert 4 * count * sum(lengths) >= cpu_attention._WORTH_THREADS / 3
        check(attention, queries_of(8, count, 64, dtype), pieces_of(4, 64, lengths, dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lesser", list(LESSER))
@pytest.mark.parametrize("head_dim", [16, 64, 128])
def test_processors_that_can_do_less_get_the_same(lesser: str, head_dim: int, dtype: torch.dtype) -> None:
    """On a processor that itself can do no more, this is what the other tests try."""
    kernels = compiled(head_dim, bfloat16=dtype == torch.bfloat16, without=LESSER[lesser])
    assert not kernels.form.dots and (lesser != "AVX2" or kernels.form.machine.lanes == 8)
    attention = cpu_attention.attention_on(kernels)
    torch.manual_seed(head_dim)
    for count, lengths in ((1, [300, 5]), (3, [41]), (40, [255, 40])):
        check(attention, queries_of(6, count, head_dim, dtype), pieces_of(2, head_dim, lengths, dtype))


def test_kernels_are_laid_out_by_what_a_processor_can_do() -> None:
    avx2, avx512 = ["avx2", "fma"], ["avx512f", "avx512bw", "avx512vl", "avx512dq"]
    for names, lanes, dots in (
        (avx2, 8, False),
        (avx2 + avx512, 16, False),
        ([*avx2, *avx512, "avx512bf16"], 16, True),
    ):
        machine = Machine.of(dict.fromkeys(names, True))
        assert (machine.lanes, machine.dots_bfloat16) == (lanes, dots)
        assert machine.registers * machine.block == 8


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [1, 30])
@pytest.mark.parametrize("size", [0.0, 1e-3, 60.0])
def test_scores_of_any_size(dtype: torch.dtype, count: int, size: float) -> None:
    """From all alike to thousands apart, where all the weight is on one key."""
    torch.manual_seed(count)
    pieces = pieces_of(2, 64, [530], dtype)
    queries = (queries_of(4, count, 64, torch.float32) * size).to(dtype)
    # A score of some thousands is itself known to a thousandth only.
    check(cpu_attention.native(64, dtype), queries, pieces, spare=max(1, size))


def test_scores_far_below_zero_still_weigh() -> None:
    """exp2 of each is zero; what counts is what they are beside each other."""
    torch.manual_seed(0)
    keys, values = pieces_of(1, 64, [400], torch.float32)[0]
    queries = -8 * torch.ones(1, 2, 64)
    check(cpu_attention.native(64, torch.float32), queries, [(keys.abs() + 3, values)])


def test_keys_of_another_order_are_read_as_they_are_meant() -> None:
    torch.manual_seed(0)
    keys, values = (torch.randn(2, 64, 90).transpose(1, 2) for _ in range(2))
    check(cpu_attention.native(64, torch.float32), queries_of(4, 3, 64, torch.float32), [(keys, values)])


@pytest.mark.parametrize("dtype", DTYPES)
def test_it_agrees_with_torchs_own(dtype: torch.dtype) -> None:
    most = 1e-5 if dtype == torch.float32 else 4 * 2**-8
    assert disagreement(cpu_attention.native(64, dtype), CPU, dtype, 64) < most


def test_the_processor_decides_who_attends(monkeypatch: pytest.MonkeyPatch) -> None:
    for capability, name, why in (
        ("AVX512", "llvm", "AVX-512"),
        ("AVX2", "llvm", "AVX2"),
        ("DEFAULT", "sdpa", "no AVX2"),
    ):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda capability=capability: capability)
        for dtype in DTYPES:
            chosen = choose_attention("auto", CPU, dtype, Heads(4, 2, 64))
            assert chosen.name == name and chosen.reason.endswith(why)
    with pytest.raises(DeviceAbsent, match="needs a processor with AVX2: say sdpa or auto"):
        choose_attention("llvm", CPU, torch.float32, Heads(4, 2, 64))
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    chosen = choose_attention("auto", CPU, torch.float32, Heads(4, 2, 24))
    assert chosen.name == "sdpa" and "heads of 24" in chosen.reason
    chosen = choose_attention("auto", CPU, torch.float32, Heads(4, 2, 64, scaled=True))
    assert chosen.name == "sdpa" and "8-bit" in chosen.reason


def test_what_the_kernels_cannot_do_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = torch.device("cuda")
    for device, dtype, dim in ((cuda, torch.float32, 64), (CPU, torch.float16, 64), (CPU, torch.float32, 24)):
        with pytest.raises(DeviceAbsent, match="say sdpa or auto"):
            choose_attention("llvm", device, dtype, Heads(4, 2, dim))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    with pytest.raises(MissingExtra, match="pip install llvmlite"):
        choose_attention("llvm", CPU, torch.float32, Heads(4, 2, 64))
    chosen = choose_attention("auto", CPU, torch.float32, Heads(4, 2, 64))
    assert chosen.name == "sdpa" and "pip install llvmlite" in chosen.reason
