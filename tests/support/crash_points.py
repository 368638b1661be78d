"""Kills a process of the memory bank's own code at its n-th step to the disk or the database, for every n.

    python crash_points.py writes DSN IMAGES FIRST STEP SEED ROUNDS
    python crash_points.py backup FOLDER TO FIRST STEP
    python crash_points.py restore BACKUP FOLDER FIRST STEP

A step is a file opened for writing, renamed, removed or flushed, a folder made, a program started, a statement or
commit sent, a member put into a tar, an acknowledgement. Each n has a forked child of its own, which dies by SIGKILL
before its n-th step; then another child looks whether all is well. After every other death of `writes` the images
folder is first cut down to what was flushed: files whose bytes were, and whose name in each folder down to them was (a
loss of power keeps no page cache). One line of JSON at the end says how many died.
"""

import asyncio
import json
import os
import random
import shutil
import signal
import sys
import tarfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Engine, event

from stillwing_common.errors import BackupFailed, KeyframeForgotten
from stillwing_common.types import Frame, Image, ImageEncoding, Stamp
from stillwing_memory.core.bank import BankConfig, StoredBank
from stillwing_memory.core.instructions import Chunk, ChunkFrame, Instruction
from stillwing_memory.core.keyframes import Keyframe
from stillwing_memory.core.stores.backup import back_up, restore
from stillwing_memory.core.stores.backup_file import open_backup
from stillwing_memory.core.stores.retention import Retention
from stillwing_memory.core.stores.server import embedded_server

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_FILE_EVENTS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "subprocess.Popen")


class Steps:
    """Counts the steps of this process from `arm` on, and ends it before the n-th."""

    def __init__(self, last: int, flushed: Path) -> None:
        self._last = last
        self._count = 0
        self._armed = False
        self._fsync = os.fsync
        self._flushed = os.open(flushed, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        sys.addaudithook(self._on_event)
        os.fsync = self._on_flush  # type: ignore[assignment]
        event.listen(Engine, "before_cursor_execute", lambda *_: self.step())
        event.listen(Engine, "commit", lambda *_: self.step())
        addfile = tarfile.TarFile.addfile

        def add(*arguments: Any) -> None:
            self.step()
            addfile(*arguments)

        tarfile.TarFile.addfile = add  # type: ignore[method-assign]

    def arm(self) -> None:
        self._armed = True

    def step(self) -> None:
        if not self._armed:
            return
        self._count += 1
        if self._count >= self._last:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)

    def _on_event(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name in _FILE_EVENTS or (name == "open" and int(arguments[2] or 0) & _WRITES):
            self.step()

    def _on_flush(self, handle: int) -> None:
        self.step()
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        about = path.stat()
        note: dict[str, Any] = {"file": [about.st_ino, about.st_size, about.st_mtime_ns]}
        if path.is_dir():
            note = {
                "folder": str(path),
                "names": {one.name: one.stat(follow_symlinks=False).st_ino for one in _in(path)},
            }
        self._fsync(handle)
        os.write(self._flushed, json.dumps(note).encode() + b"\n")


def _in(folder: Path) -> list[Path]:
    return [one for one in folder.iterdir() if one.exists()]


def cut_power(root: Path, flushed: Path) -> int:
    """Leave of the files under `root` what was flushed; returns how many went."""
    files: set[tuple[int, ...]] = set()
    folders: dict[str, dict[str, int]] = {}
    for line in flushed.read_text().splitlines():
        note = json.loads(line)
        if "file" in note:
            files.add(tuple(note["file"]))
        else:
            folders[note["folder"]] = note["names"]

    def cut(path: Path) -> int:
        about = path.stat()
        named = folders.get(str(path.parent), {}).get(path.name) == about.st_ino
        if path.is_dir():
            if not named:
                shutil.rmtree(path)
                return 1
            return sum(cut(one) for one in list(path.iterdir()))
        if not named or (about.st_ino, about.st_size, about.st_mtime_ns) not in files:
            path.unlink()
            return 1
        return 0

    return cut(root) if root.exists() else 0


def forked(work: Callable[[], None]) -> int:
    """The exit status of a child that does the work: 0, 1 with the reason on stderr, or minus the signal."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


# Writes: puts of large images that share files, and retention that forgets them

MOST = 2
LARGE = [bytes([shade]) * 3000 for shade in (1, 2)]


def picture(data: bytes) -> Image:
    import io

    from PIL import Image as PilImage

    file = io.BytesIO()
    PilImage.new("RGB", (8, 8), (data[0] * 80,) * 3).save(file, "JPEG")
    return Image(ImageEncoding.JPEG, 8, 8, file.getvalue() + data)


def keyframe(name: str, image: Image) -> Keyframe:
    return Keyframe(Frame(name, "front", Stamp(7, "clock_1"), None, image), mission_id=name.partition("/")[0])


def config(dsn: str, images: Path) -> BankConfig:
    return BankConfig(
        dsn=dsn,
        similarity="token_overlap",
        images_url=str(images),
        row_image_bytes=2000,
        retention=Retention(max_keyframes=MOST, forget=True),
    )


async def write(dsn: str, images: Path, prefix: str, seed: int, steps: Steps, acknowledged: Path) -> None:
    large, small = [picture(data) for data in LARGE], picture(b"\3")
    puts = [(1, large[0]), (2, large[0]), (3, large[1]), (4, small), (5, large[0]), (1, large[0]), (6, small)]
    random.Random(seed).shuffle(puts)
    told = os.open(acknowledged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    bank = await StoredBank.open(config(dsn, images))
    await bank.begin_instruction(Instruction(prefix, 1, "-"))
    steps.arm()
    for number, image in puts:
        name = f"{prefix}/{number}"
        await bank.put_keyframe(keyframe(name, image))
        steps.step()
        os.write(told, f"{name} {large.index(image) if image in large else -1}\n".encode())
    filed = keyframe(f"{prefix}/7", large[seed % 2])
    await bank.file_chunk(Chunk(prefix, 1, 1, (ChunkFrame(filed),)))
    steps.step()
    os.write(told, f"{prefix}/7 {seed % 2}\n".encode())
    await bank.close()


def connected(dsn: str) -> psycopg.Connection[Any]:
    """A connection; a server that starts a dozen processes a second now and then fails to draw one's random key."""
    for _ in range(5):
        try:
            return psycopg.connect(dsn)
        except psycopg.OperationalError as error:
            if "random cancel key" not in str(error):
                raise
            time.sleep(0.2)
    return psycopg.connect(dsn)


def look(dsn: str, images: Path, acknowledged: Path) -> None:
    """Raises for anything acknowledged that is not there, and for a file or a row too many."""
    told = [line.split() for line in acknowledged.read_text().splitlines()]
    revision, keyframes = asyncio.run(look_at_bank(dsn, images, told))
    with connected(dsn) as connection:
        rows = connection.execute(
            "SELECT image_ref FROM keyframes WHERE image_ref IS NOT NULL AND forgotten_revision IS NULL"
        ).fetchall()
        log = connection.execute("SELECT count(*), coalesce(max(revision), 0) FROM changes").fetchone()
        kept = connection.execute("SELECT count(*) FROM keyframes WHERE forgotten_revision IS NULL").fetchone()
        loose = connection.execute("SELECT count(*) FROM loose_images").fetchone()
    named = {str(row[0]).rpartition("/")[2] for row in rows}
    files = {path.name for path in images.rglob("*") if path.is_file() and "." not in path.name}
    assert files == named, (files - named, named - files)
    assert loose == (0,) and log is not None and log[0] == log[1] == revision and kept == (keyframes,)


async def look_at_bank(dsn: str, images: Path, acknowledged: list[list[str]]) -> tuple[int, int]:
    """Its revision, and how many keyframes it says it has; their pixels are there."""
    large, small = [picture(data) for data in LARGE], picture(b"\3")
    bank = await StoredBank.open(config(dsn, images))
    for name, place in acknowledged:
        image = small if place == "-1" else large[int(place)]
        try:
            assert (await bank.get_keyframe(name, include_image=True)).frame.image == image, name
        except KeyframeForgotten:
            assert (await bank.get_keyframe(name)).forgotten
    for one in (await bank.list_keyframes(page_size=100)).keyframes:
        if not one.forgotten:
            assert (await bank.get_keyframe(one.frame.frame_id, include_image=True)).frame.image.data
    info = await bank.get_bank()
    await bank.close()
    return info.revision, info.keyframes


def writes(dsn: str, images: Path, first: int, step: int, first_seed: int, rounds: int) -> int:
    flushed, acknowledged = images.with_suffix(".flushed"), images.with_suffix(".acknowledged")
    died = 0
    for seed in range(first_seed, first_seed + rounds):
        for last in range(first, 10_000, step):
            prefix = f"mis_{seed}_{last}"

            def work(seed: int = seed, last: int = last, prefix: str = prefix) -> None:
                steps = Steps(last, flushed)
                asyncio.run(write(dsn, images, prefix, seed, steps, acknowledged))

            status = forked(work)
            if status == 1:
                raise SystemExit(f"the work itself failed: {prefix}")
            died += status == -signal.SIGKILL
            if last // step % 2 and flushed.exists():
                cut_power(images, flushed)
            if forked(lambda: look(dsn, images, acknowledged)):
                raise SystemExit(f"round {seed}, step {last}: something acknowledged is lost, or left over")
            if status == 0:
                break
    return died


def backup(folder: Path, to: Path, first: int, step: int) -> int:
    died = 0
    for last in range(first, 10_000, step):

        def work(last: int = last) -> None:
            steps = Steps(last, to.with_suffix(".flushed"))
            steps.arm()
            back_up(folder, "", to)

        def check() -> None:
            if to.exists():
                with open_backup(to) as whole:
                    assert whole.dump().read(5) == b"PGDMP"
                to.unlink()
            back_up(folder, "", to)
            with open_backup(to):
                to.unlink()
            assert not list(to.parent.glob(f".{to.name}*"))

        status = forked(work)
        died += status == -signal.SIGKILL
        if status == 1 or forked(check):
            raise SystemExit(f"step {last}: the backup is not whole or not there")
        if status == 0:
            break
    return died


def bring_back(source: Path, folder: Path, first: int, step: int) -> int:
    died = 0
    for last in range(first, 10_000, step):

        def work(last: int = last) -> None:
            steps = Steps(last, source.with_suffix(".flushed"))
            steps.arm()
            restore(source, folder, "")

        def check() -> None:
            if not (folder / "postgres").exists():
                if (folder / "restore.unfinished").exists():
                    try:
                        embedded_server(folder)
                    except BackupFailed:
                        pass
                    else:
                        raise AssertionError("half a restore is served")
                restore(source, folder, "")
            asyncio.run(whole(folder))

        status = forked(work)
        died += status == -signal.SIGKILL
        if status == 1 or forked(check):
            raise SystemExit(f"step {last}: the restore is neither whole nor nothing")
        shutil.rmtree(folder)
        if status == 0:
            break
    return died


async def whole(folder: Path) -> None:
    """Every keyframe of the backup is in the bank, with its pixels."""
    bank = await StoredBank.open(BankConfig(folder=folder, similarity="token_overlap"))
    found = (await bank.list_keyframes(page_size=100)).keyframes
    assert found and (await bank.get_bank()).keyframes == sum(not one.forgotten for one in found)
    for one in found:
        if not one.forgotten:
            assert (await bank.get_keyframe(one.frame.frame_id, include_image=True)).frame.image.data
    await bank.close()


def main(mode: str, where: str, to: str, *numbers: str) -> None:
    first, step, *rounds = map(int, numbers)
    if mode == "writes":
        died = writes(where, Path(to), first, step, *rounds)
    else:
        died = {"backup": backup, "restore": bring_back}[mode](Path(where), Path(to), first, step)
    print(json.dumps({"mode": mode, "died": died}))


if __name__ == "__main__":
    main(*sys.argv[1:])
