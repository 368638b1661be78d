"""Kills the memory bank while it writes, again and again: `python benchmarks/memory_kill.py [--trials 200] [--json]`.

Each trial starts the service as a process, lets four writers put keyframes and file chunks, and after a random number
of acknowledged writes sends SIGKILL to the service, to its database or to both. Then the bank is opened again and
everything that was ever acknowledged is looked for, pixels and all, and the log of changes is read for gaps. A number
other than 0 in the last lines, and the exit code 1, mean that something was lost or could not be read.
"""

import argparse
import asyncio
import io
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from PIL import Image as PilImage
from rich.console import Console
from rich.progress import Progress

from stillwing_common.conditions import hardware
from stillwing_common.errors import StillwingError, Unavailable
from stillwing_common.types import Frame, Image, ImageEncoding, Stamp
from stillwing_memory.client import RemoteMemoryBank
from stillwing_memory.core.instructions import Chunk, ChunkFrame, Instruction, ThingMention
from stillwing_memory.core.keyframes import Keyframe, Sighting

VICTIMS = ("service", "database", "both")
_START_LIMIT_S = 90.0
_TRIALS_A_FOLDER = 20
_MOST_WRITES = 80
_PATIENCE_S = 30.0


@dataclass(slots=True)
class Folder:
    """One data folder and what was acknowledged in it: keyframes by frame id, filed chunks by number."""

    path: Path
    keyframes: set[str] = field(default_factory=set)
    chunks: dict[int, str] = field(default_factory=dict)
    number: int = 0

    @property
    def acknowledged(self) -> int:
        """Writes so far."""
        return len(self.keyframes) + len(self.chunks)


def picture() -> Image:
    """A JPEG of 160 x 120."""
    file = io.BytesIO()
    PilImage.effect_noise((160, 120), 60).convert("RGB").save(file, "JPEG")
    return Image(ImageEncoding.JPEG, 160, 120, file.getvalue())


IMAGE = picture()


def keyframe(number: int) -> Keyframe:
    """Keyframe `number`; it shows one of five things."""
    frame = Frame(f"f/{number}", "front", Stamp(number, "c"), None, IMAGE)
    return Keyframe(frame, (Sighting(f"thing {number % 5}"),), f"frame {number}", "mis_1")


class Service:
    """The service as a process on a folder."""

    def __init__(self, folder: Path) -> None:
        self.log = folder.parent / "service.log"
        self.log.write_bytes(b"")
        environment = {**os.environ, "STILLWING_MEMORY_LOG_FORMAT": "json", "PYTHONUNBUFFERED": "1"}
        with self.log.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "stillwing_memory", "--port", "0", "--folder", str(folder)],
                stderr=file, env=environment, start_new_session=True,
            )  # fmt: skip
        self._data = str(folder / "postgres")

    def address(self) -> str:
        """Where it serves, once it does; raises RuntimeError where it does not come up."""
        deadline_s = time.monotonic() + _START_LIMIT_S
        while time.monotonic() < deadline_s and self.process.poll() is None:
            for line in self.log.read_text().splitlines():
                with suppress(ValueError):
                    event = json.loads(line)
                    if event.get("event") == "rpc.serving":
                        return f"127.0.0.1:{event['port']}"
            time.sleep(0.05)
        raise RuntimeError(f"does not come up:\n{self.log.read_text()[-2000:]}")

    def kill(self, victims: str) -> None:
        """SIGKILL, and no process of them is left."""
        database = [one for one in psutil.process_iter(["cmdline"]) if self._data in (one.info["cmdline"] or [])]
        if victims in ("database", "both"):
            for process in database:
                process.kill()
        if victims in ("service", "both"):
            self.process.kill()
            self.process.wait()
            psutil.wait_procs(database, timeout=30)

    def stop(self) -> None:
        """A proper end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)


async def write(bank: RemoteMemoryBank, folder: Folder) -> None:
    """Four writers until the bank breaks; what was acknowledged is noted at once."""

    async def put() -> None:
        while True:
            folder.number += 1
            one = keyframe(folder.number)
            await bank.put_keyframe(one)
            folder.keyframes.add(one.frame.frame_id)

    async def file() -> None:
        while True:
            folder.number += 1
            number = folder.number
            filed = await bank.file_chunk(Chunk("mis_1", 1, number, (ChunkFrame(keyframe(number)),)))
            folder.chunks[number] = filed.keyframe.frame.frame_id

    await asyncio.gather(put(), put(), put(), file())


async def trial(folder: Folder, victims: str, dice: random.Random) -> tuple[int, int]:
    """One kill; returns how many acknowledged writes are lost, and 1 if the store cannot be read."""
    service = Service(folder.path)
    try:
        bank = await RemoteMemoryBank.connect(await asyncio.to_thread(service.address))
        await bank.begin_instruction(Instruction("mis_1", 1, "thing 1", (ThingMention("thing 1"),)))
        writing = asyncio.ensure_future(write(bank, folder))
        await acknowledged(folder, folder.acknowledged + dice.randint(1, _MOST_WRITES))
        await asyncio.sleep(dice.uniform(0.0, 0.02))
        await asyncio.to_thread(service.kill, victims)
        with suppress(Unavailable):
            await writing
        await bank.close()
        if victims != "database":
            service = Service(folder.path)
        return await check(await asyncio.to_thread(service.address), folder)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 0, 1
    finally:
        service.stop()


async def acknowledged(folder: Folder, writes: int) -> None:
    """Wait for so many, however busy the machine is; a bank that takes none for a while is killed as it is."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                if folder.acknowledged >= writes:
                    return
                await asyncio.sleep(0.001)


async def check(address: str, folder: Folder) -> tuple[int, int]:
    """Look for everything that was acknowledged."""
    bank = await RemoteMemoryBank.connect(address)
    try:
        await answers(bank)
        lost = 0
        for frame_id in (*folder.keyframes, *folder.chunks.values()):
            with suppress(StillwingError):
                if (await bank.get_keyframe(frame_id, include_image=True)).frame.image == IMAGE:
                    continue
            lost += 1
        for number in folder.chunks:
            again = await bank.file_chunk(Chunk("mis_1", 1, number, (ChunkFrame(keyframe(number)),)))
            lost += again.created
        info = await bank.get_bank()
        last = 0
        async for change in bank.watch_changes():
            lost += change.revision != last + 1
            last = change.revision
            if last == info.revision:
                break
        return lost, 0
    except StillwingError as error:
        print(error, file=sys.stderr)
        return 0, 1
    finally:
        await bank.close()


async def answers(bank: RemoteMemoryBank) -> None:
    """A database that was killed under its service is started again by it; wait for that."""
    deadline_s = time.monotonic() + _START_LIMIT_S
    while True:
        try:
            await bank.get_bank()
            return
        except Unavailable:
            if time.monotonic() > deadline_s:
                raise
            await asyncio.sleep(0.1)


def main() -> int:
    """Run the trials and print what was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    given = parser.parse_args()
    dice = random.Random(given.seed)
    written = lost = unreadable = 0
    began_s = time.monotonic()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("kills", total=given.trials)
        for first in range(0, given.trials, _TRIALS_A_FOLDER):
            with tempfile.TemporaryDirectory(prefix="swm-", ignore_cleanup_errors=True) as made:
                folder = Folder(Path(made) / "m")
                for number in range(first, min(first + _TRIALS_A_FOLDER, given.trials)):
                    found = asyncio.run(trial(folder, VICTIMS[number % 3], dice))
                    lost, unreadable = lost + found[0], unreadable + found[1]
                    progress.advance(task)
                written += folder.acknowledged
    figures = {
        "machine": f"{hardware()}, Python {platform.python_version()}",
        "trials": given.trials,
        "seconds": round(time.monotonic() - began_s),
        "acknowledged_writes": written,
        "load": round(os.getloadavg()[0], 1),
        "lost_writes": lost,
        "unreadable_stores": unreadable,
    }
    body = json.dumps(figures, indent=2)
    if given.out:
        given.out.write_text(body + "\n", encoding="utf-8")
    print(body if given.json else "\n".join(f"{name:20} {value}" for name, value in figures.items()))
    return 1 if lost or unreadable else 0


if __name__ == "__main__":
    sys.exit(main())
