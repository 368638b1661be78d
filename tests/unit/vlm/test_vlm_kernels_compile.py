"""python -m pytest tests/unit/vlm/test_vlm_kernels_compile.py -v

The kernels compile for cards that are not here, at the sizes of a 3B model, fit their shared memory and all but keep to
their registers. The interpreter knows nothing of types, layouts or sizes; the compiler does.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from run_profile import sized

pytest.importorskip("triton", reason="needs triton: pip install triton")

pytestmark = pytest.mark.triton

SCRIPT = Path(__file__).resolve().parents[2] / "support" / "compile_kernels.py"
MOST_SPILLED_BYTES = 64
"""Of a thread: a few words that are put aside once, none of them in a loop over tokens."""

KERNELS = {
    "_add_norm_kernel",
    "_attend_kernel",
    "_decode_kernel",
    "_gated_kernel",
    "_linear_kernel",
    "_merge_kernel",
    "_move_kernel",
    "_place_kernel",
    "_plan_kernel",
    "_turn_kernel",
}


@pytest.mark.parametrize("capability", sized(ci=[86], nightly=[80, 86, 89, 90]))
def test_kernels_compile_and_fit(capability: int) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", str(SCRIPT), str(capability)],
        env={**os.environ, "TRITON_INTERPRET": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found = [json.loads(line) for line in run.stdout.splitlines()]
    assert {each["kernel"] for each in found} == KERNELS
    for each in found:
        assert each["stack"] <= MOST_SPILLED_BYTES, each
        assert each["shared"] <= each["most_shared"], each
