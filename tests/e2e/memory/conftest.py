"""The memory bank as real processes: started, killed in every way, started again."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from PIL import Image as PilImage

from stillwing_common.types import Frame, Image, ImageEncoding, Stamp
from stillwing_memory.core.keyframes import Keyframe, Sighting

_START_LIMIT_S = 60.0
_END_LIMIT_S = 30.0


class Service:
    """One `python -m stillwing_memory` on a folder of its own."""

    def __init__(self, folder: Path, log_path: Path) -> None:
        self.folder = folder
        self._log_path = log_path
        log_path.write_bytes(b"")
        environment = {**os.environ, "STILLWING_MEMORY_LOG_FORMAT": "json", "PYTHONUNBUFFERED": "1"}
        with log_path.open("ab") as log_file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "stillwing_memory", "--port", "0", "--folder", str(folder)],
                stderr=log_file,
                env=environment,
                start_new_session=True,
            )

    def log(self) -> list[dict[str, object]]:
        lines = self._log_path.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def text(self) -> str:
        return self._log_path.read_text()

    def wait_serving(self) -> str:
        """Its address, once it serves."""
        deadline = time.monotonic() + _START_LIMIT_S
        while time.monotonic() < deadline and self.process.poll() is None:
            for line in self.log():
                if line["event"] == "rpc.serving":
                    return f"127.0.0.1:{line['port']}"
            time.sleep(0.05)
        raise AssertionError(f"not serving, exit code {self.process.poll()}:\n{self.text()}")

    def wait_event(self, event: str) -> None:
        deadline = time.monotonic() + _START_LIMIT_S
        while not any(line["event"] == event for line in self.log()):
            assert time.monotonic() < deadline, f"no {event!r} in:\n{self.text()}"
            time.sleep(0.05)

    def postgres(self) -> list[psutil.Process]:
        """Every process of its database server."""
        first = [
            process
            for process in psutil.process_iter(["name", "cmdline"])
            if process.info["name"] == "postgres" and str(self.folder / "postgres") in (process.info["cmdline"] or [])
        ]
        return [*first, *(child for process in first for child in process.children())]

    def guards(self) -> list[psutil.Process]:
        """The processes that stop the server when the service is gone."""
        pids = {str(process.pid) for process in self.postgres()}
        return [
            process
            for process in psutil.process_iter(["cmdline"])
            if "stillwing-guard" in (process.info["cmdline"] or []) and pids & set(process.info["cmdline"])
        ]

    def postmaster(self) -> psutil.Process:
        return self.postgres()[0]

    @staticmethod
    def alive(process: psutil.Process) -> bool:
        """Dead ones that nobody has waited for are dead."""
        try:
            return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def signal(self, number: signal.Signals) -> int:
        """Send it and wait for the exit code."""
        self.process.send_signal(number)
        return self.process.wait(_END_LIMIT_S)

    def wait_no_postgres(self) -> None:
        deadline = time.monotonic() + _END_LIMIT_S
        while left := self.postgres():
            assert time.monotonic() < deadline, left
            time.sleep(0.05)


@pytest.fixture
def new_folder() -> Iterator[Path]:
    """A data folder that is not there yet, with a short path: a socket's path may have 107 bytes."""
    made = Path(tempfile.mkdtemp(prefix="swm-"))
    yield made / "m"
    shutil.rmtree(made)


@pytest.fixture(scope="session")
def pattern() -> Iterator[Path]:
    """A data folder as a service leaves it that was started once; making one takes seconds of a processor."""
    with tempfile.TemporaryDirectory(prefix="swm-") as parent:
        service = Service(Path(parent) / "m", Path(parent) / "service.log")
        service.wait_serving()
        assert service.signal(signal.SIGTERM) == 0
        yield service.folder


@pytest.fixture
def folder(new_folder: Path, pattern: Path) -> Path:
    """A data folder of an empty bank."""
    # Its files belong to the database's own user.
    subprocess.run(["cp", "--archive", str(pattern), str(new_folder)], check=True)
    return new_folder


@pytest.fixture
def start(request: pytest.FixtureRequest, new_folder: Path) -> Iterator[Callable[..., Service]]:
    """`start()` runs a service on the test's folder, or another; all are gone afterwards, with their databases."""
    services: list[Service] = []

    def begin(at: Path | None = None) -> Service:
        folder = at or request.getfixturevalue("folder")
        services.append(Service(folder, new_folder.parent / f"service_{len(services)}.log"))
        return services[-1]

    yield begin
    for service in services:
        if service.process.poll() is None:
            service.signal(signal.SIGTERM)
    for service in services:
        for process in service.postgres():
            process.kill()
        service.wait_no_postgres()


@pytest.fixture
def make_keyframe() -> Callable[[int], Keyframe]:
    file = io.BytesIO()
    PilImage.effect_noise((320, 240), 90).convert("RGB").save(file, "JPEG")
    image = Image(ImageEncoding.JPEG, 320, 240, file.getvalue())

    def make(number: int) -> Keyframe:
        frame = Frame(f"drone/front/{number}", "front", Stamp(number, "clock_1"), None, image)
        return Keyframe(frame, (Sighting(f"thing {number % 5}"),), caption=f"frame {number}")

    return make
