"""What the engine's design buys, as ratios within one run: `python benchmarks/engine.py [--model pilot] [--frames 24]`.

Against the same model on the same machine, re-filling the whole context at every ask, the way it is done without a
streaming cache. Times are medians; the first lines name the hardware. Numbers of one machine say little about another,
the ratios say more.
"""

import argparse
import asyncio
import io
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image as PilImage

from stillwing_agent.core.prompting.prompts import (
    CHOICES,
    choice_prompt,
    decision_prompt,
    system_prompt,
    tool_call_schema,
)
from stillwing_common.conditions import hardware
from stillwing_common.types import Frame, Image, ImageEncoding, Stamp
from stillwing_rpc.logs import configure_logs
from stillwing_rpc.server import RpcServer
from stillwing_rpc.settings import ServerSettings
from stillwing_vlm.client import RemoteEngine
from stillwing_vlm.core.catalog import PILOT, ModelSource
from stillwing_vlm.core.local import LocalEngine, LocalSession
from stillwing_vlm.core.requests import AskRequest, SessionConfig, View
from stillwing_vlm.core.serving.engine import AsyncEngine
from stillwing_vlm.server import registration

GOAL = "Fly to the red beacon."


def median_ms(repeats: int, work: Callable[[int], Any]) -> float:
    """Median wall time of `work`, after one unmeasured turn."""
    work(0)
    times = []
    for turn in range(repeats):
        began_s = time.perf_counter()
        work(turn)
        times.append((time.perf_counter() - began_s) * 1e3)
    return statistics.median(times)


def measure(engine: LocalEngine, frames: int, repeats: int) -> dict[str, float]:
    """Milliseconds of each operation on a full window."""
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (240, 320, 3), dtype=np.uint8) for _ in range(8)]
    session = full_session(engine, frames, pictures)
    schema, question = tool_call_schema(), AskRequest(decision_prompt(GOAL), max_tokens=24)

    def fork_and_drop(turn: int) -> None:
        session.video.release(session.fork(question))

    def one_token(turn: int) -> None:
        session.ask(choice_prompt(GOAL), max_tokens=1)

    def refill(turn: int) -> None:
        fresh = full_session(engine, frames, pictures)
        fresh.ask(choice_prompt(GOAL), max_tokens=1)

    def snapshot(turn: int) -> None:
        taken = session.take_snapshot().snapshot_id
        session.restore_snapshot(taken)
        session.video.delete_snapshot(taken)

    return {
        "append_a_frame": median_ms(repeats, lambda turn: session.append(pictures[turn % 8])),
        "fork_and_drop": median_ms(repeats, fork_and_drop),
        "ask_one_token": median_ms(repeats, one_token),
        "ask_one_token_of_2_frames": median_ms(
            repeats, lambda turn: session.ask(choice_prompt(GOAL), max_tokens=1, view=View(2))
        ),
        "ask_a_choice": median_ms(repeats, lambda turn: session.ask_choice(choice_prompt(GOAL), list(CHOICES))),
        "ask_a_tool_call": median_ms(
            repeats, lambda turn: session.ask(decision_prompt(GOAL), json_schema=schema, max_tokens=24)
        ),
        "snapshot_and_restore": median_ms(repeats, snapshot),
        "refill_and_ask_one_token": median_ms(max(3, repeats // 10), refill),
    }


def full_session(engine: LocalEngine, frames: int, pictures: list[np.ndarray]) -> LocalSession:
    """A session whose window holds `frames` frames; half as many again were appended, so that some have left."""
    tokens = engine.loaded.preparer.pixels(("",), [pictures[0]], 1.0).patches.grid.merged_tokens(2) + 2
    opening = len(engine.loaded.preparer.opening(system_prompt()))
    session = engine.open(system_prompt(), opening + (frames + 1) * tokens)
    for turn in range(frames + 1):
        session.append(pictures[turn % len(pictures)])
    return session


async def measure_wire(engine: LocalEngine, repeats: int) -> dict[str, float]:
    """Median milliseconds of an append over gRPC on loopback: seen by the client, spent in the engine, the rest."""
    local = AsyncEngine(engine.loaded)
    server = RpcServer([registration(local)], ServerSettings(port=0), on_drain=local.close)
    port = await server.start()
    await server.set_serving()
    remote = await RemoteEngine.connect(f"127.0.0.1:{port}")
    session = await remote.open_session(SessionConfig(system_prompt()))
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    PilImage.fromarray(pixels).save(file, "JPEG", quality=90)
    image = Image(ImageEncoding.JPEG, 320, 240, file.getvalue())
    seen, inside = [], []
    for turn in range(repeats + 5):
        began_s = time.perf_counter()
        result = await session.append(Frame(f"v/c/{turn}", "c", Stamp(turn, ""), None, image))
        seen.append((time.perf_counter() - began_s) * 1e3)
        inside.append(result.elapsed_s * 1e3)
    await remote.close()
    await server.drain()
    rest = statistics.median(whole - part for whole, part in zip(seen[5:], inside[5:], strict=True))
    return {
        "append_over_grpc": statistics.median(seen[5:]),
        "of_that_in_the_engine": statistics.median(inside[5:]),
        "of_that_grpc": rest,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=PILOT)
    parser.add_argument("--random-weights", action="store_true", help="the model directory has no weights")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    flags = parser.parse_args()
    configure_logs("warning")
    source = ModelSource(flags.model, flags.random_weights, flags.device, flags.threads)
    engine = LocalEngine.load(source)
    info = engine.info()
    where = f"{hardware()}, load {os.getloadavg()[0]:.1f} at the start; model on {engine.info().device}"
    found = measure(engine, flags.frames, flags.repeats)
    found |= asyncio.run(measure_wire(engine, flags.repeats))
    whole = found["refill_and_ask_one_token"]
    if flags.json:
        print(json.dumps({"hardware": where, "model": info.model, "milliseconds": found}))
        return
    print(f"{where}\n{info.model}: {info.parameters:,} parameters, {info.dtype}; a window of {flags.frames} frames\n")
    for name, milliseconds in found.items():
        print(f"{name.replace('_', ' '):28} {milliseconds:9.2f} ms   1/{whole / milliseconds:,.0f} of refilling")


if __name__ == "__main__":
    main()
