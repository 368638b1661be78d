"""Sums with norms and gates in one launch, beside the operations they stand for: on an NVIDIA card where there is one,
else in Triton's interpreter.
"""

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("triton", reason="needs triton: pip install triton")

from stillwing_vlm.core.engines.kernels.fused import add_norm, gated

pytestmark = pytest.mark.triton

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize(("tokens", "width"), [(1, 64), (3, 33), (7, 1300), (2, 2048)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_sum_and_its_norm(run_seed: int, tokens: int, width: int, dtype: torch.dtype) -> None:
    torch.manual_seed(run_seed + width)
    hidden, added = (torch.randn(tokens, width).to(DEVICE, dtype) for _ in range(2))
    weight = torch.rand(width).to(DEVICE, dtype) + 0.5
    total, normed = add_norm(hidden, added, weight, 1e-6)
    assert torch.equal(total, hidden + added)
    wanted = F.rms_norm(total.double(), (width,), weight.double(), 1e-6)
    assert (normed.double() - wanted).abs().max() < (1e-5 if dtype == torch.float32 else 4e-3) * wanted.abs().max()


@pytest.mark.parametrize(("tokens", "width"), [(1, 96), (5, 1025), (2, 11008)])
def test_a_gate(run_seed: int, tokens: int, width: int) -> None:
    torch.manual_seed(run_seed + width)
    flat = (3 * torch.randn(tokens, 2 * width)).to(DEVICE)
    wanted = F.silu(flat[:, :width].double()) * flat[:, width:].double()
    assert (gated(flat).double() - wanted).abs().max() < 1e-5 * wanted.abs().max()
