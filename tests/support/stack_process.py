"""The whole stack as a user starts it: five real processes under `stillwing up`."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

READY_WITHIN_S = 180
SCENE_SEED = 3


@dataclass(frozen=True)
class Stack:
    """A running stack: the folder it belongs to and the address of each part."""

    folder: Path
    addresses: dict[str, str]
    process: subprocess.Popen[str]

    def cli(self, *arguments: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        """Run `stillwing …` beside the stack."""
        return subprocess.run(
            [sys.executable, "-m", "stillwing_cli.main", *arguments],
            cwd=self.folder, capture_output=True, text=True, timeout=timeout_s, check=False,
        )  # fmt: skip


def start_stack(folder: Path, *arguments: str) -> Stack:
    """`stillwing up` on free ports; returns when it says that it is ready."""
    log = (folder / "up.log").open("w", encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "stillwing_cli.main", "up", "--ports", "auto", "--json", *arguments],
        cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    log.close()
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        process.wait(30)
        pytest.fail("the stack did not come up:\n" + (folder / "up.log").read_text(encoding="utf-8")[-4000:])
    ready = json.loads(line)
    assert ready["state"] == "ready"
    return Stack(folder, ready["addresses"], process)


def stop_stack(stack: Stack, number: signal.Signals = signal.SIGINT) -> int:
    """Ctrl-C, as a user does, or another signal; returns the exit code of `stillwing up`."""
    stack.process.send_signal(number)
    code = stack.process.wait(60)
    if stack.process.stdout is not None:
        stack.process.stdout.close()
    return code
