"""python -m pytest tests/e2e/agent/test_endpoint_stack.py -v

The whole stack with a model that answers behind a url, as a user starts it and flies it.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from chat_endpoint import KEY, calls, chat_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


def decide(request: dict[str, Any]) -> dict[str, Any]:
    """Turns once, then says that it cannot."""
    if any(turn.get("tool_calls", [{}])[0].get("function", {}).get("name") == "turn" for turn in request["messages"]):
        return calls("final_answer", achieved=False, answer="No beacon is to be seen.")
    return calls("turn", direction="left", angle_deg=20)


def test_a_stack_of_its_own_flies_with_an_endpoint() -> None:
    with chat_server(say=decide) as chat, tempfile.TemporaryDirectory(prefix="sw-") as name:
        options = ["--endpoint", chat.url, "--model", "eyes-1", "--json", "--record-fps", "0"]
        flown = subprocess.run(
            [sys.executable, "-m", "stillwing_cli.main", "fly", "Fly to the red beacon.", *options],
            cwd=name, capture_output=True, text=True, timeout=200, check=False,
            env=os.environ | {"STILLWING_ENDPOINT_KEY": KEY, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        report = json.loads(flown.stdout.splitlines()[-1])
        assert report["state"] == "not_achieved", flown.stdout + flown.stderr
        assert flown.returncode != 0
        assert len(chat.requests) >= 2
        assert set(chat.authorizations) == {f"Bearer {KEY}"}
        for file in Path(name).rglob("*"):
            if file.is_file() and file.suffix in (".log", ".json", ".jsonl", ".html", ".md"):
                assert KEY not in file.read_text(encoding="utf-8", errors="replace"), file
