"""The wheel holds all that a user needs, and `stillwing fly` flies from it outside the checkout.

Run: python -m pytest tests/e2e/test_installed_package.py -v
Nightly, pip installs everything that the wheel asks for; else it shares the packages of this environment, not its code.
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import pytest
from run_profile import sized
from stack_process import SCENE_SEED

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
SHARED = ("grpc", "torch", "mujoco", "smolagents", "sqlalchemy", "matplotlib")
"""One package of each extra that flies: the folders that hold them hold the rest."""


@dataclass(frozen=True)
class Installed:
    """A virtual environment that Stillwing was installed into, and an empty folder to work in."""

    python: Path
    folder: Path

    def run(self, *arguments: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """A command of the environment, outside the checkout and without anything that points into it."""
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "STILLWING_"))}
        outside["PATH"] = f"{self.python.parent}{os.pathsep}{outside['PATH']}"
        command = [str(self.python.with_name(arguments[0])), *arguments[1:]]
        return subprocess.run(
            command, cwd=self.folder, env=outside, capture_output=True, text=True, timeout=timeout_s, check=False
        )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Iterator[Installed]:
    # Not pytest's folder: the database's own user has to reach it.
    with tempfile.TemporaryDirectory(prefix="sw-") as name:
        folder = Path(name)
        venv.create(folder / "venv", with_pip=False)
        python = folder / "venv" / "bin" / "python"
        sized(ci=install_wheel_alone, nightly=install_with_packages)(python, wheel)
        (folder / "work").mkdir()
        yield Installed(python, folder / "work")


def install_wheel_alone(python: Path, wheel: Path) -> None:
    """Stillwing from the wheel, every other package from this environment."""
    (site,) = (python.parents[1] / "lib").glob("python3.*/site-packages")
    origins = [importlib.util.find_spec(name) for name in SHARED]
    shared = {str(Path(spec.origin).parents[1]) for spec in origins if spec is not None and spec.origin}
    # A path in it is searched after the environment's own packages, and its .pth files, an editable install, are not.
    (site / "shared.pth").write_text("\n".join(sorted(shared)) + "\n")
    pip(python, "--no-deps", "--no-index", str(wheel))


def install_with_packages(python: Path, wheel: Path) -> None:
    """As a user does it: `pip install '.[fly]'`, with the exact versions of the constraints."""
    pip(python, "--constraint", str(ROOT / "constraints" / "all.txt"), "torch")
    pip(python, "--constraint", str(ROOT / "constraints" / "all.txt"), f"stillwing[fly] @ {wheel.as_uri()}")


def pip(python: Path, *arguments: str) -> None:
    """`pip install` into another environment."""
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-compile", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_wheel_holds_every_file_of_the_packages_and_the_models(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode()
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    packages = [
        path for path in tracked if "/stillwing" in f"/{path}" and Path(path).parts[0] not in ("tests", "protos")
    ]
    inside = {path[path.index("stillwing_") :] for path in packages if "stillwing_" in path}
    inside |= {path.removeprefix("protos/gen/") for path in tracked if path.startswith("protos/gen/")}
    inside |= {f"stillwing_common/{path}" for path in tracked if path.startswith("models/")}
    assert len(inside) > 400
    assert inside <= names
    assert any(name.endswith("migrations/script.py.mako") for name in names)
    licences = {name.rsplit("/", 1)[-1] for name in names if ".dist-info/licenses/" in name}
    assert licences == {"LICENSE", "NOTICE"}
    assert "\nLicense-Expression: Apache-2.0\n" in text


def test_it_runs_its_own_code_and_finds_its_own_models(installed: Installed) -> None:
    program = (
        "import stillwing_cli, stillwing_vlm.core.catalog as catalog, stillwing_training.recall.catalog as recall\n"
        "places = stillwing_cli.__file__, catalog.__file__, catalog.pilot_directory(), recall.recall_directory()\n"
        "print(*places, sep='\\n')"
    )
    shown = installed.run("python", "-c", program)
    assert shown.returncode == 0, shown.stderr
    places = [Path(line) for line in shown.stdout.splitlines()]
    assert len(places) == 4
    assert all(place.is_relative_to(installed.python.parents[1]) for place in places), places
    assert installed.run("stillwing", "--version").stdout == "stillwing 0.1.0\n"


def test_a_mission_is_flown_from_the_wheel(installed: Installed) -> None:
    flown = installed.run("stillwing", "fly", "--seed", str(SCENE_SEED), "--json", timeout_s=420)
    assert flown.stdout, flown.stderr[-4000:]
    summary = json.loads(flown.stdout)
    assert flown.returncode == 0, json.dumps(summary, indent=1) + flown.stderr[-2000:]
    assert summary["claimed"] and summary["verified"]
    assert summary["distance_m"] <= 3.2
    assert summary["collisions"] == 0
    assert summary["keyframes_filed"] >= 1
    assert summary["motions_while_thinking"] == 0
    assert (installed.folder / summary["report"] / "report.html").stat().st_size > 10_000


def test_what_is_missing_is_named_with_the_command_that_installs_it(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "plain", with_pip=False)
    plain = Installed(tmp_path / "plain" / "bin" / "python", tmp_path)
    constraints = str(ROOT / "constraints" / "base.txt")
    pip(plain.python, "--require-hashes", "--no-deps", "--requirement", constraints)
    pip(plain.python, "--no-deps", "--no-index", str(wheel))
    wanted = {"fly": "fly", "eval all": "fly", "certs": "certs", "train-pilot": "fly"}
    for command, extra in wanted.items():
        told = plain.run("stillwing", *command.split())
        assert told.returncode == 1, command
        assert f"-m pip install 'stillwing[{extra}] @ {wheel.as_uri()}'" in told.stderr, told.stderr
        assert "Traceback" not in told.stderr
    for service, extra in {
        "stillwing-vlm": "engine", "stillwing-agent": "agent", "stillwing-memory": "memory",
        "stillwing-bridge": "bridge", "airfield": "airfield",
    }.items():  # fmt: skip
        told = plain.run(service)
        assert told.returncode == 1, service
        assert f"'stillwing[{extra}] @ {wheel.as_uri()}'" in told.stderr, told.stderr
        assert "Traceback" not in told.stderr
