"""What keeping a session costs and what going on from it takes: `python benchmarks/session_exports.py [--frames 120]`.

A full session of the pilot takes frames in, one after another, with an export every so many chunks; the interleaved
rounds say what an append costs with each. Then the session goes on in a new one: the export read, and the frames since
appended again, as a mission does when its engine comes back.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from stillwing_common.conditions import hardware
from stillwing_common.types import Frame, Image, ImageEncoding, Stamp
from stillwing_vlm.core.catalog import ModelSource, load_engine
from stillwing_vlm.core.memory.exports import ExportFolder
from stillwing_vlm.core.protocol import Session
from stillwing_vlm.core.requests import PeriodicExport, SessionConfig
from stillwing_vlm.core.serving.engine import AsyncEngine

EVERY = (0, 1, 5, 10, 30)
ROUNDS = 3
FRAMES_PER_S = 2.0
"""Of a mission, by default."""

_PIXELS = np.random.default_rng(0).integers(0, 256, (8, 240, 320, 3), np.uint8)


def frame(index: int) -> Frame:
    """One of eight pictures of noise, as from a camera of the usual size."""
    image = Image(ImageEncoding.RGB8, 320, 240, _PIXELS[index % len(_PIXELS)].tobytes())
    return Frame(f"v/c/{index}", "c", Stamp(index, ""), None, image)


async def appended(session: Session, first: int, frames: int) -> float:
    """Milliseconds a frame."""
    began_s = time.perf_counter()
    for index in range(first, first + frames):
        await session.append(frame(index))
    return (time.perf_counter() - began_s) / frames * 1000


async def measure(frames: int, folder: Path) -> dict[str, object]:
    """Append times by how often it is exported, size and time of an export, and how long going on takes."""
    engine = AsyncEngine(load_engine(ModelSource(device="cpu")), exports=ExportFolder(folder, 64))
    times_ms: dict[int, list[float]] = {every: [] for every in EVERY}
    for turn in range(ROUNDS):
        for every in EVERY:
            export = PeriodicExport(f"every-{every}", every) if every else None
            session = await engine.open_session(SessionConfig("You fly.", periodic_export=export))
            await appended(session, 0, 40)
            times_ms[every].append(await appended(session, 40, frames))
            if turn < ROUNDS - 1 or every != EVERY[-1]:
                await session.close()
    began_s = time.perf_counter()
    info = await session.export("last")
    export_ms = (time.perf_counter() - began_s) * 1000
    await session.close()
    began_s = time.perf_counter()
    again = await engine.open_session(SessionConfig(from_export="last"))
    open_ms = (time.perf_counter() - began_s) * 1000
    again_ms = await appended(again, 1000, max(EVERY))
    await engine.close()
    plain = statistics.median(times_ms[0])
    return {
        "append_ms": {str(every): round(statistics.median(each), 2) for every, each in times_ms.items()},
        "append_ratio": {str(every): round(statistics.median(each) / plain, 3) for every, each in times_ms.items()},
        "export_bytes": info.size_bytes,
        "export_ms": round(export_ms, 1),
        "open_ms": round(open_ms, 1),
        "go_on_ms": {str(every): round(open_ms + every * again_ms, 0) for every in EVERY if every},
        "written_mb_per_s": {
            str(every): round(info.size_bytes / 1e6 * FRAMES_PER_S / every, 3) for every in EVERY if every
        },
    }


def main() -> None:
    """Measure and print a table; `--save FILE` keeps the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--save", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(measure(chosen.frames, Path(folder)))
    table = Table(title="exports of the pilot's session", box=None)
    for title in ("figure", "value"):
        table.add_column(title)
    for name, value in figures.items():
        table.add_row(name, json.dumps(value))
    Console().print(table)
    if chosen.save:
        chosen.save.write_text(json.dumps({"conditions": hardware(), **figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
