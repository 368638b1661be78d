"""python -m pytest tests/unit/packaging/test_check_constraints.py

The check of constraints/ passes as it stands and fails on each thing it promises to find.
"""

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_constraints", ROOT / "scripts" / "check_constraints.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "constraints", tmp_path / "constraints")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_it_stands_as_it_is(check: ModuleType, folder: Path) -> None:
    assert check.check(folder) == []


HASH = "    --hash=sha256:" + "0" * 64
BREAKS = {
    "an index": (
        "constraints/all.txt",
        "alembic==",
        "--index-url https://example.org/simple\nalembic==",
        "neither a pin",
    ),
    "an address": ("constraints/bridge.txt", "mcap==", "mcap @ https://example.org/mcap.whl\nmcap==", "neither a pin"),
    "a path": ("constraints/base.txt", "rich==", "# via -r /home/someone/pyproject.toml\nrich==", "neither a pin"),
    "out of range": ("pyproject.toml", '"transformers>=5.20,<6"', '"transformers>=4,<5"', "pyproject.toml needs <5"),
    "new in an extra": ("pyproject.toml", '"smolagents>=', '"left-pad>=1",\n"smolagents>=', "left-pad is not pinned"),
    "gone": ("constraints/all.txt", "markdown-it-py==", "another==", "markdown-it-py is not pinned, which rich needs"),
    "gone on Windows": ("constraints/base.txt", "'win32'", "'linux'", "(Python 3.12, win32): colorama is not pinned"),
    "for one Python": ("constraints/base.txt", "numpy==2.5", "nampy==2.5", "(Python 3.12, linux): numpy is not pinned"),
    "no hash": ("constraints/build.txt", "packaging==", "odd==1\npackaging==", "odd has no hash"),
    "two versions": ("constraints/all.txt", "rich==", "rich==14.0.0\nrich==", "rich is pinned to 14.0.0 and"),
    "torch with a hash": ("constraints/engine.txt", "tqdm==", f"torch==2.13.0 \\\n{HASH}\ntqdm==", "in all.txt alone"),
    "not the same": (
        "constraints/memory.txt",
        "mako==",
        f"mako==1.0 \\\n{HASH}\nmako==",
        "1.0 is not what all.txt pins",
    ),
}


@pytest.mark.parametrize("what", BREAKS)
def test_it_fails_on(check: ModuleType, folder: Path, what: str) -> None:
    file, old, new, complaint = BREAKS[what]
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    faults = check.check(folder)
    assert any(complaint in fault for fault in faults), faults


def test_a_missing_file_is_named(check: ModuleType, folder: Path) -> None:
    (folder / "constraints" / "agent.txt").unlink()
    assert check.check(folder) == ["constraints/agent.txt is missing"]
