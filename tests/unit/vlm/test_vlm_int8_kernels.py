"""python -m pytest tests/unit/vlm/test_vlm_int8_kernels.py -v

Products with weights of 8 bits beside float64: on an NVIDIA card where there is one, else in Triton's interpreter.
"""

import pytest
import torch
from kernel_device import DEVICE

from stillwing_vlm.core.engines.kernels.int8_linear import linear

pytestmark = pytest.mark.triton


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(("count", "inputs", "outputs"), [(1, 200, 33), (16, 64, 70), (19, 130, 131), (0, 16, 5)])
@pytest.mark.parametrize("bias", [False, True])
def test_products_with_codes(
    run_seed: int, dtype: torch.dtype, count: int, inputs: int, outputs: int, bias: bool
) -> None:
    torch.manual_seed(run_seed + count)
    rows = torch.randn(count, inputs).to(DEVICE, dtype)
    codes = torch.randint(-127, 128, (outputs, inputs), dtype=torch.int8).to(DEVICE)
    scales = torch.rand(outputs, device=DEVICE) / 50
    added = torch.randn(outputs).to(DEVICE, dtype) if bias else None
    found = linear(rows, codes, scales, added)
    wanted = rows.double() @ (codes.double() * scales.double()[:, None]).T + (0 if added is None else added.double())
    assert found.shape == (count, outputs) and found.dtype == dtype
    most = 1e-5 if dtype == torch.float32 else 2e-3
    assert not count or (found.double() - wanted).abs().max() <= most * max(1.0, float(wanted.abs().max()))


def test_codes_that_do_not_lie_row_by_row_are_refused() -> None:
    codes = torch.zeros(8, 16, dtype=torch.int8, device=DEVICE)
    with pytest.raises(ValueError, match="row by row"):
        linear(torch.zeros(2, 8, device=DEVICE), codes.T, torch.zeros(16, device=DEVICE), None)
