"""python -m pytest tests/unit/vlm/test_vlm_kv_fp8_kernels.py -v

The kernels over 8-bit caches beside float64 and beside torch's own rounding, at odd lengths: on an NVIDIA card where
there is one, else in Triton's interpreter.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attention_reference import attended
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_device import DEVICE

from stillwing_lab.tiny_model import write_tiny_model
from stillwing_vlm.core.catalog import AttentionKind, Decoding, Dtype, KvCacheDtype, ModelSource
from stillwing_vlm.core.engines.attention.choice import Heads, choose_attention
from stillwing_vlm.core.engines.kernels import cache
from stillwing_vlm.core.engines.kernels.append import Segment, Tile, append, attend
from stillwing_vlm.core.engines.kernels.cache import move, place
from stillwing_vlm.core.engines.kernels.decode import decode, plan_decode
from stillwing_vlm.core.engines.kernels.tables import DecodeWorkspace, SegmentTable
from stillwing_vlm.core.engines.kernels.writing import turn_and_write
from stillwing_vlm.core.engines.passes.decoding import StaticPasses, make_decoder, no_capture
from stillwing_vlm.core.engines.passes.static_append import StaticAppends
from stillwing_vlm.core.engines.tensors.rotary import CosSin, rotate
from stillwing_vlm.core.engines.tensors.scaled import Scaled
from stillwing_vlm.core.local import LocalEngine
from stillwing_vlm.core.requests import Sampling, View

pytestmark = pytest.mark.triton

NAN = float("nan")
LAYERS, KV_HEADS, CAPACITY, HEAD_DIM = 2, 2, 500, 32


def _drawn(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return (2 * torch.randn(*shape)).to(DEVICE, dtype)


def _slab() -> Scaled:
    return Scaled.of(_drawn(LAYERS, KV_HEADS, CAPACITY, HEAD_DIM))


def _angles(tokens: int) -> CosSin:
    angles = 6.3 * torch.rand(tokens, HEAD_DIM // 2, device=DEVICE)
    return angles.cos(), angles.sin()


def _same(found: Scaled, wanted: Scaled) -> bool:
    """The very codes, but that a card may fuse products and sums, which turns a tie now and then."""
    off = (found.codes.view(torch.uint8) != wanted.codes.view(torch.uint8)).float().mean()
    scales = (found.scales / wanted.scales - 1).abs().max()
    return bool(off <= (0.01 if DEVICE.type == "cuda" else 0.0) and scales <= 1e-6)


def _identical(found: Scaled, wanted: Scaled) -> bool:
    return torch.equal(found.codes.view(torch.uint8), wanted.codes.view(torch.uint8)) and torch.equal(
        found.scales, wanted.scales
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(("count", "start", "end", "splits"), [(13, 7, 291, 3), (1, 0, 65, 2), (70, 0, 70, 1)])
def test_appended_queries_attend_codes(
    run_seed: int, dtype: torch.dtype, count: int, start: int, end: int, splits: int
) -> None:
    torch.manual_seed(run_seed + end)
    keys, values = (Scaled.of(_drawn(KV_HEADS, 300, HEAD_DIM)) for _ in range(2))
    queries = _drawn(count, 6, HEAD_DIM, dtype=dtype).transpose(0, 1)
    span = torch.tensor([start, end], dtype=torch.int32, device=DEVICE)
    out = torch.full_like(queries, NAN)
    log_sum = torch.full((6, count), NAN, device=DEVICE)
    attend(queries, [Segment(keys, values, span)], out=out, log_sum=log_sum, splits=splits, tile=Tile(32, 32, 4, 2))
    wide = (keys[:, start:end].wide(), values[:, start:end].wide())
    wanted, wanted_log_sum = attended(queries, [wide])
    most = 1e-5 if dtype == torch.float32 else 4e-3
    assert (out.double() - wanted).abs().max() <= most * max(1.0, float(wanted.abs().max()))
    assert (log_sum.double() - wanted_log_sum).abs().max() < 1e-4
    assert torch.equal(append(queries, keys, values, span), append(queries, keys[:, start:end], values[:, start:end]))


@settings(max_examples=6, deadline=None)
@given(st.lists(st.integers(0, 70), min_size=1, max_size=2), st.integers(1, 20), st.integers(0, 40))
def test_a_question_attends_codes_and_its_own_tokens(run_seed: int, before: list[int], count: int, own: int) -> None:
    torch.manual_seed(run_seed + count + own)
    pieces = [tuple(Scaled.of(_drawn(2, tokens, 16)) for _ in range(2)) for tokens in before]
    last = tuple(_drawn(2, count + own, 16) for _ in range(2))
    queries = _drawn(4, count, 16)
    segments = [Segment(*piece) for piece in pieces]
    out = attend(queries, [*segments, Segment(*last)], splits=2, tile=Tile(32, 32, 4, 2))
    wanted, _ = attended(queries, [*(tuple(part.wide() for part in piece) for piece in pieces), last])
    assert (out - wanted).abs().max() < 1e-5 * max(1.0, float(wanted.abs().max()))


@pytest.mark.parametrize("width", [1, 5])
def test_rows_attend_trunks_of_codes_behind_their_own_tokens(run_seed: int, width: int) -> None:
    """Views of shared and other trunks, one row with a piece copied aside, one that is fed nothing."""
    torch.manual_seed(run_seed + width)
    trunks = [(_slab(), _slab()) for _ in range(2)]
    aside = (_slab()[:, :, :33].clone(), _slab()[:, :, :33].clone())
    spans, counts = [(0, 7, 331), (1, 0, 260), (0, 130, 333), (0, 0, 50)], [1, width, 1, 0]
    branches = _drawn(4, 2, LAYERS, KV_HEADS, 40, HEAD_DIM)
    queries = _drawn(6, 4 * width, HEAD_DIM)
    table = SegmentTable.empty(4, 3, torch.float32, DEVICE, scaled=True)
    for row, (trunk, start, end) in enumerate(spans):
        table.put(row, 0, *aside)
        table.put(row, 1, *trunks[trunk])
        table.put(row, 2, *branches[row])
        table.spans[row] = torch.tensor([[0, 33 if row == 2 else 0], [start, end], [0, 3 * row]])
        table.counts[row] = counts[row]
    work = DecodeWorkspace.empty(table, 6, KV_HEADS, HEAD_DIM, width=width, splits=3)
    work.partial.fill_(NAN)
    plan_decode(table, work)
    for layer in range(LAYERS):
        out = torch.full_like(queries, NAN)
        decode(queries, table, layer, out, work)
        for row, (trunk, start, end) in enumerate(spans):
            fed = slice(row * width, row * width + counts[row])
            if not counts[row]:
                continue
            pieces = [(part[0][layer], part[1][layer]) for part in ([aside] if row == 2 else [])]
            pieces += [(trunks[trunk][0][layer, :, start:end], trunks[trunk][1][layer, :, start:end])]
            wide = [(keys.wide(), values.wide()) for keys, values in pieces]
            own = branches[row, :, layer, :, : 3 * row + counts[row]]
            wanted, _ = attended(queries[:, fed], [*wide, tuple(own)])
            assert (out[:, fed] - wanted).abs().max() < 1e-5 * max(1.0, float(wanted.abs().max()))


@pytest.mark.parametrize("size", [1e-20, 1.0, 1e20])
def test_fed_tokens_are_rounded_as_torch_rounds_them(run_seed: int, size: float) -> None:
    torch.manual_seed(run_seed)
    slab = (_slab(), _slab())
    before = tuple(part.clone() for part in slab)
    table = SegmentTable.empty(1, 1, torch.float32, DEVICE, scaled=True)
    table.put(0, 0, *slab)
    table.spans[0, 0, 1], table.counts[0] = 17, 9
    joined = size * _drawn(9, 6 + 2 * KV_HEADS, HEAD_DIM).transpose(0, 1)
    queries, keys, values = joined.split([6, KV_HEADS, KV_HEADS])
    # Entries near zero, zeros, and entries that are ties between two codes.
    values[0, 0] = torch.linspace(0, size * 1e-3, HEAD_DIM, device=DEVICE)
    values[0, 1] = 0
    values[1, 0] = size * torch.arange(HEAD_DIM, device=DEVICE) / 32 * 448 / (HEAD_DIM - 1)
    cos_sin = _angles(9)
    turned = torch.zeros_like(queries)
    turn_and_write(queries, keys, values, cos_sin, turned, table, 1)
    assert _same(slab[0][1, :, 17:26], Scaled.of(rotate(keys, cos_sin)))
    assert _same(slab[1][1, :, 17:26], Scaled.of(values))
    for part, old in zip(slab, before, strict=True):
        old[1, :, 17:26] = part[1, :, 17:26]
        assert _identical(part, old)


def test_what_is_no_number_is_seen() -> None:
    slab, table = (_slab(), _slab()), SegmentTable.empty(1, 1, torch.float32, DEVICE, scaled=True)
    table.put(0, 0, *slab)
    table.counts[0] = 2
    queries, keys, values = _drawn(8, 2, HEAD_DIM), _drawn(KV_HEADS, 2, HEAD_DIM), _drawn(KV_HEADS, 2, HEAD_DIM)
    values[0, 0, 5] = NAN
    turn_and_write(queries, keys, values, _angles(2), torch.zeros_like(queries), table, 0)
    assert not slab[1][0, 0, 0].wide().isfinite().any()
    assert slab[1][0, 0, 1].wide().isfinite().all() and slab[1][0, 1, :2].wide().isfinite().all()


def test_kept_chunks_are_turned_rounded_and_put_into_their_place(run_seed: int) -> None:
    torch.manual_seed(run_seed)
    slab = (_slab(), _slab())
    before = tuple(part.clone() for part in slab)
    keys, values = _drawn(LAYERS, KV_HEADS, 45, HEAD_DIM), Scaled.of(_drawn(LAYERS, KV_HEADS, 45, HEAD_DIM))
    cos_sin = _angles(45)
    place(keys, values, cos_sin, *(part[:, :, 7:52] for part in slab))
    assert _same(slab[0][:, :, 7:52], Scaled.of(rotate(keys, cos_sin)))
    assert _identical(slab[1][:, :, 7:52], values)
    for part, old in zip(slab, before, strict=True):
        old[:, :, 7:52] = part[:, :, 7:52]
        assert _identical(part, old)


@pytest.mark.parametrize(("source", "target", "length"), [(5, 0, 300), (300, 10, 131), (1, 130, 257)])
def test_codes_and_scales_move_together(run_seed: int, source: int, target: int, length: int) -> None:
    torch.manual_seed(run_seed + length)
    slab = (_slab(), _slab())
    wanted = tuple(part.clone() for part in slab)
    for part, old in zip(wanted, slab, strict=True):
        part[:, :, target : target + length] = old[:, :, source : source + length].clone()
    move(*slab, source, target, length)
    assert all(_identical(found, part) for found, part in zip(slab, wanted, strict=True))
    with pytest.raises(ValueError, match="not turned"):
        move(*slab, 0, 1, 5, _angles(1))


def test_pieces_that_do_not_fit_are_refused() -> None:
    slab, plain = _slab(), _drawn(LAYERS, KV_HEADS, CAPACITY, HEAD_DIM)
    with pytest.raises(ValueError, match="in a table of"):
        SegmentTable.empty(1, 1, torch.float32, DEVICE).put(0, 0, slab, slab)
    table = SegmentTable.empty(1, 1, torch.float32, DEVICE, scaled=True)
    with pytest.raises(ValueError, match="in a table of"):
        table.put(0, 0, slab, plain)
    with pytest.raises(ValueError, match="beside scales strided"):
        table.put(0, 0, *(Scaled(slab.codes, slab.scales[:, :, :1].expand(-1, -1, CAPACITY)),) * 2)
    with pytest.raises(ValueError, match="with scales"):
        append(plain[0, :, :1], slab[0], plain[0])
    with pytest.raises(ValueError, match="with scales"):
        move(slab, plain, 0, 1, 5)


# Engines


def test_the_kernels_are_what_auto_may_choose() -> None:
    found = choose_attention("triton", DEVICE, torch.float32, Heads(4, 2, 16, scaled=True))
    assert found.name == "triton"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("short") / "model", max_position_embeddings=320)


def _load(directory: Path, decoding: Decoding = Decoding.EAGER, **how: Any) -> LocalEngine:
    return LocalEngine.load(
        ModelSource(
            str(directory),
            device=DEVICE.type,
            dtype=Dtype.FLOAT32,
            decoding=decoding,
            kv_cache_dtype=KvCacheDtype.FP8,
            threads=1,
            **how,
        )
    )


def _picture(turn: int) -> np.ndarray:
    return np.random.default_rng(turn).integers(0, 256, (56 + 28 * (turn % 2), 84, 3), dtype=np.uint8)


def test_a_memory_moved_and_rewritten_by_kernels_is_the_same(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through evictions, compactions and positions that begin anew, with a recalled frame."""
    found = []
    for kernels in (None, cache):
        monkeypatch.setattr(
            "stillwing_vlm.core.engines.cache.slab.cache_kernels", lambda shape, kernels=kernels: kernels
        )
        session = _load(directory, attention=AttentionKind.SDPA).open("You fly.", 160)
        for turn in range(50):
            session.append(_picture(turn))
        session.recall(_picture(0))
        trunk = session.video.trunk
        assert min(trunk.evicted_frames, trunk.moves, trunk.rebases) > 0
        found.append((session.video.slab.store.keys[:, :, trunk.start : trunk.tail], session.video.slab.digest()))  # type: ignore[attr-defined]
    assert _same(found[1][0], found[0][0])
    assert DEVICE.type == "cuda" or found[0][1] == found[1][1]


def test_the_kernels_step_the_same(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Appends and questions through static buffers, on the kernels and on torch's own."""
    from stillwing_vlm.core.engines.passes.kernel_segments import KernelAppend, KernelSegments

    found = []
    for on_kernels in (False, True):
        engine = _load(directory, Decoding.STATIC, attention=AttentionKind.SDPA)
        backend: Any = engine.loaded.backend
        if on_kernels:
            layers, rotary = backend._layers, backend._rotary
            decoder = make_decoder(
                layers, rotary, backend.vocab_size, lambda step: KernelSegments(step, scaled=True), no_capture
            )
            appends = StaticAppends(layers, KernelAppend, no_capture)
            monkeypatch.setattr(backend, "_static", StaticPasses(decoder, appends, no_capture))
        session = engine.open("You fly.", 110)
        for turn in range(7):
            session.append(_picture(2 * turn))
        texts = [
            session.ask("Where?", max_tokens=4, view=view, sampling=sampling).text
            for view, sampling in ((View(), None), (View(2), Sampling(1.5, 0.9, 3)))
        ]
        found.append((session.video.slab.store.keys.wide(), texts))  # type: ignore[attr-defined]
        held = backend._static.appends._slabs
        assert any(sizes.held for sizes in held.values()), "no append went through the buffers"
    trunk = session.video.trunk
    ours, theirs = (keys[:, :, trunk.start : trunk.tail] for keys, _ in found)
    assert (ours - theirs).square().mean() < 1e-4 * theirs.square().mean()
    assert found[0][1] == found[1][1]
