"""python -m pytest tests/unit/vlm/test_vlm_int8.py -v

Weights of 8 bits: rounded once while loading, multiplied as they were rounded, and small enough for a card of 16 GB.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from stillwing_common.errors import ExportUnusable
from stillwing_lab.speed.real_sizes import real_config
from stillwing_vlm.convert.info import model_from_wire, model_to_wire
from stillwing_vlm.core.catalog import Decoding, Dtype, KvCacheDtype, ModelSource, WeightDtype, planned_use
from stillwing_vlm.core.engines.cache.slab import SlabShape
from stillwing_vlm.core.engines.kernels.shares import append_scratch_bytes, decode_scratch_bytes
from stillwing_vlm.core.engines.passes.static_step import scratch_bytes
from stillwing_vlm.core.engines.qwen import int8
from stillwing_vlm.core.engines.qwen.families import FAMILIES
from stillwing_vlm.core.engines.qwen.figures import model_figures
from stillwing_vlm.core.engines.qwen.int8 import Int8Linear, quantise, side_by_side
from stillwing_vlm.core.inputs.images import Preprocessing
from stillwing_vlm.core.limits import Limits
from stillwing_vlm.core.local import LocalEngine
from stillwing_vlm.core.planner import BudgetPolicy, peak_bytes, plan_budget
from stillwing_vlm.settings import VlmSettings

QWEN_PIXELS = Preprocessing(14, 2, 2, 56 * 56, 14 * 14 * 4 * 16384, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
CARD_FREE = 16_376 * 2**20 - 2**29
"""What a card sold as one of 16 GB shows, less what a CUDA context takes."""


def load(directory: Path, weights: WeightDtype = WeightDtype.INT8, **how: Any) -> LocalEngine:
    return LocalEngine.load(ModelSource(str(directory), device="cpu", threads=1, weight_dtype=weights, **how))


@pytest.fixture(scope="module")
def rounded(tiny_dir: Path) -> LocalEngine:
    return load(tiny_dir)


@pytest.mark.parametrize("bias", [False, True])
def test_products_are_those_of_the_rounded_weights(monkeypatch: pytest.MonkeyPatch, bias: bool) -> None:
    monkeypatch.setattr(int8, "_WIDENED", 100)
    torch.manual_seed(0)
    layers = [nn.Linear(33, outputs, bias=bias) for outputs in (7, 20)]
    layers[0].weight.data[3] = 0
    found = [Int8Linear.of(layer) for layer in layers]
    for ours, theirs in zip(found, layers, strict=True):
        wide = ours.codes.double() * ours.weight_scale.double()[:, None]
        assert ((wide - theirs.weight).abs() <= ours.weight_scale[:, None] * 0.5001).all()
        given = torch.randn(2, 5, 33)
        wanted = given.double() @ wide.T + (theirs.bias.double() if bias else 0)
        assert (ours(given) - wanted).abs().max() < 1e-5
    joined = side_by_side(found)
    assert (joined(given) - torch.cat([each(given) for each in found], dim=-1)).abs().max() < 1e-6
    assert found[1].codes.untyped_storage().data_ptr() == joined.codes.untyped_storage().data_ptr()


def test_linear_layers_of_the_language_model_alone_are_rounded(rounded: LocalEngine, engine: LocalEngine) -> None:
    info, plain = rounded.info(), engine.info()
    assert (info.weight_dtype, info.dtype, plain.weight_dtype) == ("int8", "float32", "float32")
    assert info.parameters == plain.parameters
    backend: Any = rounded.loaded.backend
    kinds = {name: weight.dtype for name, weight in backend.published.named_parameters()}
    coded = {name for name, kind in kinds.items() if kind == torch.int8}
    # Seven in each of three layers.
    assert len(coded) == 7 * 3 and all(".language_model.layers." in name for name in coded)
    assert {kind for name, kind in kinds.items() if name not in coded} == {torch.float32}


def test_what_is_computed_is_near_and_remembered_exactly(
    rounded: LocalEngine, engine: LocalEngine, tiny_dir: Path, tmp_path: Path, logits_of: Any
) -> None:
    both = load(tiny_dir, kv_cache_dtype=KvCacheDtype.FP8, decoding=Decoding.STATIC)
    draw = np.random.default_rng(0)
    sessions = [each.open("You fly.", 160) for each in (engine, rounded, both)]
    for _ in range(20):
        pixels = draw.integers(0, 256, (56, 84, 3), dtype=np.uint8)
        for session in sessions:
            session.append(pixels)
    exact, near, nearer = (logits_of(session, "Where?") for session in sessions)
    assert 0 < (near - exact).square().mean() < 0.05 * exact.var()
    assert (nearer - exact).square().mean() < 0.5 * exact.var()
    assert both.info().weight_dtype == "int8" and both.info().kv_cache_dtype == "fp8"
    told = model_from_wire(model_to_wire(both.info()))
    assert (told.dtype, told.kv_cache_dtype, told.weight_dtype) == ("float32", "fp8", "int8")
    path = tmp_path / "flight.safetensors"
    sessions[1].export(path)
    opened = load(tiny_dir).open_export(path)
    assert torch.equal(logits_of(opened, "Where?"), near)
    with pytest.raises(ExportUnusable, match="weights"):
        engine.open_export(path)


def test_a_setting_says_so() -> None:
    source = VlmSettings(kv_cache_dtype="fp8", weight_dtype="int8").source()  # type: ignore[arg-type]
    assert (source.kv_cache_dtype, source.weight_dtype) == (KvCacheDtype.FP8, WeightDtype.INT8)
    plain = VlmSettings().source()
    assert (plain.kv_cache_dtype, plain.weight_dtype) == (KvCacheDtype.AUTO, WeightDtype.AUTO)


def test_no_more_than_one_layer_is_there_twice(tiny_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = load(tiny_dir, WeightDtype.AUTO, dtype=Dtype.BFLOAT16).loaded.backend.published  # type: ignore[attr-defined]
    language, held, largest = model.model.language_model, [], 0
    of = Int8Linear.of.__func__  # type: ignore[attr-defined]

    def noted(cls: Any, linear: nn.Linear) -> Int8Linear:
        nonlocal largest
        made: Int8Linear = of(cls, linear)
        largest = max(largest, linear.weight.nbytes)
        held.append(sum(weight.nbytes for weight in language.parameters()) + made.codes.nbytes)
        return made

    before = sum(weight.nbytes for weight in language.parameters())
    monkeypatch.setattr(Int8Linear, "of", classmethod(noted))
    quantise(language)
    assert len(held) == 21 and max(held) <= before + largest and held[-1] < held[0]


def published_weights(*, rounded: bool) -> int:
    with torch.device("meta"):
        model = FAMILIES["qwen2_5_vl"].architecture._from_config(real_config({}), dtype=torch.bfloat16)
        if rounded:
            quantise(model.model.language_model)
    return sum(weight.nbytes for weight in model.parameters())


@pytest.mark.parametrize("scaled", [False, True])
def test_the_published_3b_fits_a_card_of_16_gb_with_100k_tokens(scaled: bool) -> None:
    """One session with four asks at once in either kind of cache; with an 8-bit one, two as the planner wants them."""
    weights, plain = published_weights(rounded=True), published_weights(rounded=False)
    assert plain == pytest.approx(7.5e9, rel=0.01) and weights == pytest.approx(4.7e9, rel=0.02)
    figures = model_figures(real_config({}), 2, scaled=scaled)
    scratch = scratch_bytes((16, 2, 128), 2, figures.append_bytes, 151_936, 393, 76)
    use = replace(planned_use(QWEN_PIXELS, Limits(), (480, 640), chunk_frames=2), scratch_bytes=scratch)
    assert peak_bytes(figures, replace(use, sessions=1, asks=4), 100_000, weights) < 0.95 * CARD_FREE
    for sessions, policy in ((1, BudgetPolicy.SAFE), *(((2, BudgetPolicy.SAFE),) if scaled else ())):
        plan = plan_budget(
            figures,
            replace(use, sessions=sessions),
            free_bytes=CARD_FREE - weights,
            usable_share=0.95,
            policy=policy,
        )
        assert plan.memory_tokens >= 100_000
    if not scaled:
        safe = plan_budget(figures, use, free_bytes=CARD_FREE - plain, usable_share=0.95)
        assert safe.memory_tokens < 60_000, "then nobody needs 8 bits"


def test_an_8_bit_cache_is_half_as_large() -> None:
    plain, scaled = (model_figures(real_config({}), 2, scaled=scaled) for scaled in (False, True))
    shapes = [SlabShape(36, 2, 128, torch.bfloat16, torch.device("meta"), kind) for kind in (False, True)]
    assert [2 * shape.cache(10).nbytes for shape in shapes] == [10 * each.cache_bytes for each in (plain, scaled)]
    assert scaled.cache_bytes / plain.cache_bytes < 0.52
    assert scaled.branch_bytes == plain.branch_bytes == plain.cache_bytes


def test_scratch_is_counted_as_it_is_taken() -> None:
    """16 query heads of 128 entries over 2 key heads on 132 multiprocessors."""
    sizes = (16, 2, 128)
    # One row of one token: 132 programs share each key head's tokens.
    assert decode_scratch_bytes(1, 1, *sizes, 132) == 16 * 132 * (128 + 1) * 4
    # 391 tokens of 8 heads in tiles of 128 rows, times two key heads: 50 programs, of which 5 share the tokens.
    assert append_scratch_bytes(391, *sizes, 128, 132, 100_000) == 5 * 391 * 16 * (128 + 1) * 4
    whole = scratch_bytes(sizes, 2, 80_000, 151_936, 393, 132)
    assert 60e6 < whole < 400e6
    assert whole > scratch_bytes(sizes, 2, 80_000, 0, 393, 132)
