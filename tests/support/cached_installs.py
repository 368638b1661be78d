"""Packages that cannot live beside the project's own, installed once for every checkout of this user.

`python tests/support/cached_installs.py triton` prints a folder for PYTHONPATH that holds Triton alone.

Each install is a folder below the user's cache folder, named by a hash of what is in it and of this Python. It is there
whole or not at all, and may be deleted at any time.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

INSTALL_LIMIT_S = 600

STOCK_CLIENTS: dict[str, tuple[tuple[str, ...], ...]] = {
    # Its own dependency, msgpack-rpc-python, no longer builds; rpc-msgpack is the same on current msgpack.
    "airsim": (
        ("rpc-msgpack==0.6", "numpy<2", "opencv-python-headless", "setuptools", "wheel"),
        ("--no-build-isolation", "--no-deps", "airsim==1.8.1"),
    ),
    "cosysairsim": (("cosysairsim==3.5.0", "opencv-python-headless"),),
}
TRITON = Path(__file__).resolve().parents[2] / "constraints" / "triton.txt"


def client_python(client: str) -> Path:
    """The interpreter of an environment with a stock client of AirSim."""

    def make(folder: Path) -> None:
        # An environment cannot be moved, so that it is made where it stays.
        venv.create(folder, with_pip=True, clear=True)
        for arguments in STOCK_CLIENTS[client]:
            _pip(_python_of(folder), *arguments)

    return _python_of(_installed(client, STOCK_CLIENTS[client], make))


def triton_folder() -> Path:
    """A folder with Triton alone: installed beside the rest it would be imported by transformers in every process."""

    def make(folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        _pip(Path(sys.executable), "--no-deps", "--require-hashes", "--target", str(folder), "-r", str(TRITON))

    return _installed("triton", TRITON.read_text(encoding="utf-8"), make)


def _installed(name: str, what: object, make: Callable[[Path], None]) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stillwing" / "tests"
    identity = hashlib.sha256(repr((sys.version, what)).encode()).hexdigest()
    folder = cache / f"{name}-{identity[:12]}"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not (folder / "whole").exists():
            make(folder)
            (folder / "whole").touch()
    return folder


def _python_of(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def _pip(python: Path, *arguments: str) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True, timeout=INSTALL_LIMIT_S)


if __name__ == "__main__":
    if sys.argv[1:] != ["triton"]:
        sys.exit(__doc__)
    print(triton_folder())
