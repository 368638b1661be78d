"""python -m pytest tests/e2e/agent/test_check_agent_command.py -v

`stillwing check-agent` as a user runs it, with the example's agent as a process of its own.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from stillwing_cli.plan import free_ports

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "my_agent.py"


def test_the_examples_agent_passes(tmp_path: Path) -> None:
    port = str(free_ports(("agent",))["agent"])
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    checking = subprocess.Popen(
        [sys.executable, "-m", "stillwing_cli.main", "check-agent", f"127.0.0.1:{port}", "--ports", "auto", "--json"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert checking.stderr is not None
    told: list[str] = []
    for line in checking.stderr:
        told.append(line)
        if "Start the agent" in line:
            break
    assert "Start the agent" in told[-1], "".join(told)
    addresses = re.findall(r"127\.0\.0\.1:\d+", told[-1])
    agent = subprocess.Popen([sys.executable, str(EXAMPLE), *addresses, port], env=environment)
    try:
        answer, rest = checking.communicate(timeout=200)
    finally:
        agent.terminate()
        agent.wait(20)
    report = json.loads(answer)
    assert report["ok"], (report, rest)
    assert checking.returncode == 0
    levels = {check["what"]: check["level"] for check in report["checks"]}
    assert levels["holds before it asks"] == levels["still until the answer"] == levels["returns the lease"] == "ok"
