"""python -m pytest tests/e2e/agent/test_smolagents_example.py -v

The example's smolagents agent flies the pilot, beside a stack as a user starts it.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from stack_process import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "smolagents_agent.py"


def test_the_examples_agent_flies_three_steps(stack: Stack) -> None:
    addresses = [stack.addresses["sim_bridge"], stack.addresses["vlm_engine"]]
    flown = subprocess.run(
        [sys.executable, str(EXAMPLE), "Fly to the yellow beacon.", *addresses, "3"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert flown.returncode == 0, flown.stdout + flown.stderr
    assert "Calling tool: 'move'" in flown.stdout or "Calling tool: 'turn'" in flown.stdout, flown.stdout
    assert "decisions=3" in flown.stdout.splitlines()[-1] or "achieved" in flown.stdout.splitlines()[-1]
