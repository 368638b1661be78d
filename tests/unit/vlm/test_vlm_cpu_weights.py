"""python -m pytest tests/unit/vlm/test_vlm_cpu_weights.py -v

How weights and slabs lie on the CPU, and products of bfloat16 on a processor that does not multiply it.
"""

from pathlib import Path

import pytest
import torch
from torch import nn

from stillwing_common.errors import Exhausted
from stillwing_vlm.core.catalog import Dtype, ModelSource
from stillwing_vlm.core.engines import loading
from stillwing_vlm.core.engines.qwen import wide_linear
from stillwing_vlm.core.engines.qwen.families import FAMILIES
from stillwing_vlm.core.engines.qwen.wide_linear import WideLinear, widen
from stillwing_vlm.core.engines.tensors.pages import in_huge_pages
from stillwing_vlm.core.local import LocalEngine


def load(directory: Path, dtype: Dtype) -> LocalEngine:
    return LocalEngine.load(ModelSource(str(directory), device="cpu", threads=1, dtype=dtype))


@pytest.mark.parametrize("bias", [False, True])
def test_wide_products_are_float32s_rounded_once(monkeypatch: pytest.MonkeyPatch, bias: bool) -> None:
    monkeypatch.setattr(wide_linear, "_WIDENED", 300)
    torch.manual_seed(0)
    given = torch.randn(2, 5, 33).bfloat16()
    layer = nn.Linear(33, 20, bias=bias).bfloat16()
    wide = WideLinear.of(layer)
    assert wide.weight is layer.weight and wide.bias is layer.bias
    wanted = given.double() @ layer.weight.double().T + (layer.bias.double() if bias else 0)
    found = wide(given)
    assert found.dtype == torch.bfloat16
    assert ((found.double() - wanted).abs() <= 2**-8 * wanted.abs() + 1e-5).all()
    # Few rows are the library's.
    assert torch.equal(wide(given[0, :4]), layer(given[0, :4]))


def test_all_linear_layers_are_widened() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4), nn.ReLU()))
    names = list(dict(model.named_parameters()))
    widen(model)
    assert all(type(each) is not nn.Linear for each in model.modules())
    assert list(dict(model.named_parameters())) == names


def test_a_processor_that_does_not_multiply_bfloat16_answers_as_one_that_does(
    tiny_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside float32, whose numbers both round: the widened one is no further off."""
    question, choices = "Which way?", ["left", "right", "stop"]
    found = {}
    for name, multiplies, dtype in (
        ("exact", True, Dtype.FLOAT32),
        ("usual", True, Dtype.BFLOAT16),
        ("widened", False, Dtype.BFLOAT16),
    ):
        monkeypatch.setattr(loading, "multiplies_bfloat16", lambda multiplies=multiplies: multiplies)
        engine = load(tiny_dir, dtype)
        widened = [each for each in engine.loaded.backend.published.modules() if isinstance(each, WideLinear)]
        assert bool(widened) == (name == "widened")
        session = engine.open("You fly.", 400)
        for shade in range(0, 240, 20):
            session.append(torch.full((56, 56, 3), shade, dtype=torch.uint8).numpy())
        found[name] = torch.tensor(session.ask_choice(question, choices).probabilities)
    off = {name: (found[name] - found["exact"]).abs().max() for name in ("usual", "widened")}
    assert off["widened"] < max(0.02, 2 * off["usual"])


def test_weights_go_on_as_the_published_modules_see_them(tiny_dir: Path) -> None:
    """Their order in memory is changed where they are loaded, no number of theirs is."""
    ours = load(tiny_dir, Dtype.FLOAT32).loaded.backend.published.state_dict()
    theirs = FAMILIES["qwen2_5_vl"].architecture.from_pretrained(tiny_dir, dtype=torch.float32).state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())


def test_a_slab_is_zeros_of_its_shape_that_can_be_written() -> None:
    slab = in_huge_pages((2, 3, 5, 16), torch.bfloat16)
    assert slab.shape == (2, 3, 5, 16) and slab.dtype == torch.bfloat16 and not slab.any()
    slab[1, :, 2:4] = 7
    assert slab.sum() == 7 * 3 * 2 * 16 and slab[1, 2].is_contiguous()


def test_a_slab_that_no_memory_holds_is_refused(tiny_dir: Path) -> None:
    for tokens in (2**45, 2**62):
        with pytest.raises(MemoryError):
            in_huge_pages((tokens,), torch.float32)
    with pytest.raises(Exhausted, match="no memory for a cache"):
        load(tiny_dir, Dtype.FLOAT32).loaded.backend.new_store(2**45)
