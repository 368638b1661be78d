"""What one session's worst input costs another, as ratios within one run: `python benchmarks/neighbour.py [--json]`.

One session of the pilot appends a frame ten times a second. Beside it another one opens, asks, chooses, appends and
cancels the largest that the engine takes, again and again. For each kind: the neighbour's append, median and worst,
beside the same without anybody, in the same run; and how long a cancelled question takes to end.
"""

import argparse
import asyncio
import io
import json
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from PIL import Image as PilImage
from rich.console import Console

from stillwing_common.conditions import hardware
from stillwing_common.errors import StillwingError
from stillwing_common.types import Frame, Image, ImageEncoding, Stamp
from stillwing_vlm.core.catalog import PILOT, ModelSource, load_engine
from stillwing_vlm.core.limits import Limits
from stillwing_vlm.core.requests import AskRequest, ChoiceRequest, SessionConfig
from stillwing_vlm.core.serving.engine import AsyncEngine

PERIOD_S = 0.1
WORDS = "What stands left of the red beacon, and how far away is it? "


def picture(width_px: int, height_px: int, seed: int) -> Image:
    """A JPEG of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height_px, width_px, 3), dtype=np.uint8)
    file = io.BytesIO()
    PilImage.fromarray(pixels).save(file, "JPEG", quality=60)
    return Image(ImageEncoding.JPEG, width_px, height_px, file.getvalue())


def frame(index: int, image: Image) -> Frame:
    """The `index`-th frame."""
    return Frame(f"v/c/{index}", "c", Stamp(index * 100_000_000, "clock"), None, image)


def longest_question(engine: AsyncEngine) -> str:
    """As many characters as make as many tokens as the engine takes in one question."""
    preparer, limits = engine.machinery.loaded.preparer, engine.machinery.loaded.limits
    text = (WORDS * 400)[: limits.max_text_chars]
    while True:
        try:
            preparer.ask(AskRequest(text))
            return text
        except StillwingError:
            text = text[: len(text) * 9 // 10]


class Beside:
    """What the other session does, by name."""

    def __init__(self, engine: AsyncEngine, session: Any) -> None:
        limits = engine.machinery.loaded.limits
        self._engine, self._session = engine, session
        self._question = longest_question(engine)
        self._large = picture(4000, 3000, 7)
        self._schema = json.dumps({"enum": [f"answer {at:05}" for at in range(1000)]})[: limits.max_text_chars]
        self._frames = 0
        self.cancels_s: list[float] = []

    async def nothing(self) -> None:
        """The same without anybody."""
        await asyncio.sleep(PERIOD_S)

    async def question(self) -> None:
        """The longest question."""
        await self._session.ask(AskRequest(self._question, max_tokens=4)).done()

    async def cancelled(self) -> None:
        """The longest question, cancelled while it is read."""
        ask = self._session.ask(AskRequest(self._question, max_tokens=1000))
        await asyncio.sleep(0.05)
        began_s = time.perf_counter()
        ask.cancel()
        await ask.done()
        self.cancels_s.append(time.perf_counter() - began_s)

    async def large_picture(self) -> None:
        """A picture of 12 million pixels."""
        self._frames += 1
        await self._session.append(frame(self._frames, self._large))

    async def large_schema(self) -> None:
        """A schema of 1000 values, another each time."""
        schema = self._schema.replace("answer", f"a{time.perf_counter_ns() % 10_000:05}"[:6])
        await self._session.ask(AskRequest("Which?", max_tokens=16, json_schema=schema)).done()

    async def choice(self) -> None:
        """The longest question with 64 long options."""
        options = tuple(f"{at} {WORDS}" for at in range(64))
        await self._session.ask_choice(ChoiceRequest(self._question, options))

    async def opening(self) -> None:
        """A session whose system prompt is as long as a question."""
        opened = await self._engine.open_session(SessionConfig(self._question))
        await opened.close()


async def measure(engine: AsyncEngine, own: Any, other: Callable[[], Awaitable[None]], seconds: float) -> list[float]:
    """Seconds of each append, one in a period, while `other` is done again and again."""
    small, taken = picture(280, 210, 1), []
    going = True

    async def disturb() -> None:
        while going:
            try:
                await other()
            except StillwingError as error:
                raise SystemExit(f"{other.__name__}: {error}") from error

    disturbing = asyncio.create_task(disturb())
    end_s, index = time.perf_counter() + seconds, 0
    while time.perf_counter() < end_s:
        began_s = time.perf_counter()
        await own.append(frame(time.perf_counter_ns() // 100_000_000, small))
        taken.append(time.perf_counter() - began_s)
        index += 1
        await asyncio.sleep(max(0.0, PERIOD_S - taken[-1]))
    going = False
    await disturbing
    return taken


async def run(seconds: float, threads: int) -> dict[str, Any]:
    """Figures of every kind."""
    engine = AsyncEngine(load_engine(ModelSource(PILOT, device="cpu", threads=threads), Limits()))
    own, other = await engine.open_session(SessionConfig()), await engine.open_session(SessionConfig())
    beside = Beside(engine, other)
    await other.append(frame(0, picture(280, 210, 1)))
    kinds = ("nothing", "question", "cancelled", "large_picture", "large_schema", "choice", "opening")
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    for turn in range(2):
        for kind in kinds:
            found[kind] += await measure(engine, own, getattr(beside, kind), seconds / 2)
            Console(stderr=True, highlight=False).print(f"round {turn + 1}: {kind}: worst {max(found[kind]):.3f} s")
    await engine.close()
    alone = statistics.median(found["nothing"])
    return {
        "machine": hardware(),
        "threads": threads,
        "append_alone_ms": round(1e3 * alone, 1),
        "beside": {
            kind: {
                "median_ratio": round(statistics.median(taken) / alone, 2),
                "worst_ratio": round(max(taken) / alone, 2),
                "worst_ms": round(1e3 * max(taken), 1),
                "appends": len(taken),
            }
            for kind, taken in found.items()
        },
        "cancel_ms": {
            "median": round(1e3 * statistics.median(beside.cancels_s), 1),
            "worst": round(1e3 * max(beside.cancels_s), 1),
        },
    }


def main() -> None:
    """Print, or with --json write results/neighbour.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0, help="for each kind")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", action="store_true", help="write results/neighbour.json")
    flags = parser.parse_args()
    figures = asyncio.run(run(flags.seconds, flags.threads))
    text = json.dumps(figures, indent=2) + "\n"
    if flags.json:
        with open("results/neighbour.json", "w", encoding="utf-8") as file:
            file.write(text)
    Console(highlight=False).print(text)


if __name__ == "__main__":
    main()
