"""python -m pytest tests/unit/common/test_extras.py

The command that adds an extra fits the way in which Stillwing was installed.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from stillwing_common.extras import install_command

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a virtual environment in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv" / "bin" / "python"))
    return tmp_path


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, source: dict[str, Any] | None) -> None:
    """Have it look as if pip had installed Stillwing from there."""
    site = folder / "site"
    metadata = site / "stillwing-0.1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.4\nName: stillwing\nVersion: 0.1.0\n")
    if source is not None:
        (metadata / "direct_url.json").write_text(json.dumps(source))
    monkeypatch.syspath_prepend(str(site))


WAYS: dict[str, tuple[dict[str, Any] | None, str]] = {
    "an index": (None, ".venv/bin/python -m pip install 'stillwing[video]'"),
    "a wheel": (
        {"url": "file:///tmp/a%20b/stillwing-0.1.0-py3-none-any.whl", "archive_info": {}},
        ".venv/bin/python -m pip install 'stillwing[video] @ file:///tmp/a%20b/stillwing-0.1.0-py3-none-any.whl'",
    ),
    "a repository": (
        {"url": "https://example.org/s.git", "vcs_info": {"vcs": "git", "commit_id": COMMIT}},
        f".venv/bin/python -m pip install 'stillwing[video] @ git+https://example.org/s.git@{COMMIT}'",
    ),
    "a folder elsewhere": (
        {"url": "file:///somewhere/my%20clone", "dir_info": {}},
        ".venv/bin/python -m pip install '/somewhere/my clone[video]'",
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_it_fits_what_was_installed(here: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    source, command = WAYS[way]
    install(here, monkeypatch, source)
    assert install_command("video") == command


def test_in_a_checkout_it_keeps_to_the_constraints(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "constraints").mkdir()
    (here / "constraints" / "all.txt").touch()
    install(here, monkeypatch, {"url": here.as_uri(), "dir_info": {"editable": True}})
    assert install_command("video") == ".venv/bin/python -m pip install -c constraints/all.txt -e '.[video]'"
