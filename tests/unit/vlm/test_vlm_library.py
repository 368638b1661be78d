"""python -m pytest tests/unit/vlm/test_vlm_library.py -v

The engine's core serves as a library: the example runs as it stands, in a process that never sees gRPC.
"""

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[3] / "examples" / "library_only.py"


def test_the_example_runs_without_grpc_and_is_short() -> None:
    lines = [line for line in EXAMPLE.read_text().splitlines() if line.strip()]
    assert len(lines) < 20
    spy = f"import runpy, sys; runpy.run_path({str(EXAMPLE)!r}, run_name='__main__'); print('grpc' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", spy], capture_output=True, text=True, timeout=240, check=False)
    assert found.returncode == 0, found.stderr
    answer, probabilities, has_grpc = found.stdout.strip().splitlines()
    assert "last_frame_id='local/39'" in answer and "evicted_frames=0" not in answer
    first, second = (float(part) for part in probabilities.strip("()").split(","))
    assert abs(first + second - 1) < 1e-6
    assert has_grpc == "False"
