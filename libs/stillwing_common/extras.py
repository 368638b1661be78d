"""Packages that only some installations have: imported where they are needed, and named where they are missing."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stillwing_common.errors import MissingExtra

_PROJECT = "stillwing"


@contextmanager
def needs_extra(extra: str, what: str) -> Iterator[None]:
    """Have an import inside the block that fails raise `MissingExtra`, with the command that fixes it.

    `what` needs the package: "videos", "attention 'triton'". A module of ours that is missing is a fault and stays one.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = error.name or ""
        if package.startswith(_PROJECT):
            raise
        raise MissingExtra(
            f"{what}: {package} is not installed; run: {install_command(extra)}", package=package, extra=extra
        ) from error


@contextmanager
def command_needs(extra: str, command: str) -> Iterator[None]:
    """Have a command whose imports inside the block fail end with the sentence of `needs_extra` instead of a trace."""
    try:
        with needs_extra(extra, command):
            yield
    except MissingExtra as error:
        raise SystemExit(f"{command}: {error}") from None


def install_command(extra: str) -> str:
    """The command that adds an extra to this installation, from where it came: a checkout, a file, a repository or an
    index.
    """
    python = _short(Path(sys.executable))
    source = _source()
    if source is None:
        return f"{python} -m pip install '{_PROJECT}[{extra}]'"
    url = str(source["url"])
    if "dir_info" not in source:
        vcs = source.get("vcs_info")
        url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}" if vcs else url
        return f"{python} -m pip install '{_PROJECT}[{extra}] @ {url}'"
    from urllib.request import url2pathname  # knows Windows' drives; loads a good deal, so only here

    folder = Path(url2pathname(urlsplit(url).path))
    pins = folder / "constraints" / "all.txt"
    words = [python, "-m pip install"]
    if pins.is_file():
        words.append(f"-c {_short(pins)}")
    if source["dir_info"].get("editable"):
        words.append("-e")
    return " ".join([*words, f"'{_short(folder)}[{extra}]'"])


def _source() -> dict[str, Any] | None:
    """Where this was installed from (PEP 610); None: an index, or it is not installed at all."""
    try:
        text = distribution(_PROJECT).read_text("direct_url.json")
    except PackageNotFoundError:
        return None
    return None if text is None else json.loads(text)


def _short(path: Path) -> str:
    """The path as seen from the folder one works in, where it lies below that."""
    here = Path.cwd()
    if not path.is_relative_to(here):
        return str(path)
    return str(path.relative_to(here))
