"""What several sessions cost each other, as ratios within one run: `python benchmarks/sessions.py [--json]`.

Tokens per second of 1, 2, 4 and 8 sessions that decode at the same time, against one alone; and what a frame waits for
while four answers are under way, against an idle engine. Rounds of all kinds take turns, so that a busy machine spoils
them alike; figures are medians of rounds. Two models: the pilot, and a random one of medium size (8 layers, 4 key heads
of 64) whose weights are large enough that reading them is what a token costs.
"""

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from stillwing_common.conditions import hardware
from stillwing_common.types import Frame, Image, ImageEncoding, Stamp
from stillwing_lab.tiny_model import write_tiny_model
from stillwing_rpc.logs import configure_logs
from stillwing_vlm.core.catalog import PILOT, LoadedEngine, ModelSource, load_engine
from stillwing_vlm.core.inputs.text import ChatText
from stillwing_vlm.core.protocol import Session
from stillwing_vlm.core.requests import AskRequest, SessionConfig
from stillwing_vlm.core.serving.engine import AsyncEngine

SESSIONS = (1, 2, 4, 8)
MID_SIZE: dict[str, Any] = {
    "hidden_size": 1024,
    "intermediate_size": 2816,
    "num_hidden_layers": 8,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "initializer_range": 0.05,
    "rope_parameters": {"rope_type": "default", "mrope_section": [8, 12, 12], "rope_theta": 1e4},
}


class EndlessText(ChatText):
    """A tokenizer by which no answer ends before its longest, so that all rounds decode the same number of tokens."""

    @property
    def end_ids(self) -> frozenset[int]:
        """None."""
        return frozenset()


def load(model: str, directory: Path, threads: int) -> LoadedEngine:
    """The pilot, or the random one of medium size."""
    if model == PILOT:
        source = ModelSource(PILOT, device="cpu", threads=threads)
    else:
        source = ModelSource(str(write_tiny_model(directory / model, **MID_SIZE)), device="cpu", threads=threads)
    return replace(load_engine(source), text=EndlessText.from_file(source.directory() / "tokenizer.json"))


def picture(index: int) -> Frame:
    """A frame of noise."""
    pixels = np.random.default_rng(index).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    return Frame(f"v/c/{index}", "c", Stamp(index, ""), None, Image(ImageEncoding.RGB8, 320, 240, pixels.tobytes()))


async def decode(sessions: list[Session], tokens: int) -> float:
    """Tokens per second of all sessions together, from the first token of the last that began."""
    began_s = time.perf_counter()
    done = await asyncio.gather(*(session.ask(AskRequest("?", max_tokens=tokens)).done() for session in sessions))
    first_s = max(answer.time_to_first_token_s for answer in done)
    return len(sessions) * (tokens - 1) / (time.perf_counter() - began_s - first_s)


async def append_ms(session: Session, repeats: int) -> float:
    """Median milliseconds of an append on the engine as it is."""
    times = [(await session.append(picture(index))).elapsed_s * 1e3 for index in range(repeats)]
    return statistics.median(times)


async def measure(loaded: LoadedEngine, trunk_tokens: int, tokens: int, rounds: int, tick: Any) -> dict[str, float]:
    """Medians of rounds on sessions whose trunks are full."""
    engine = AsyncEngine(loaded)
    sessions: list[Session] = []
    for _ in range(max(SESSIONS)):
        session = await engine.open_session(SessionConfig("You fly.", trunk_tokens))
        while not (await engine.get_session(session.session_id)).evicted_frames:
            await session.append(picture(0))
        sessions.append(session)
    found: dict[str, list[float]] = {}
    await decode(sessions[:4], tokens)
    for _ in range(rounds):
        for count in SESSIONS:
            found.setdefault(f"tokens_per_s_{count}", []).append(await decode(sessions[:count], tokens))
        found.setdefault("append_ms_idle", []).append(await append_ms(sessions[0], 5))
        answers = [session.ask(AskRequest("?", max_tokens=1000)) for session in sessions[1:5]]
        await asyncio.gather(*(anext(aiter(answer)) for answer in answers))
        found.setdefault("append_ms_beside_4_answers", []).append(await append_ms(sessions[0], 5))
        for answer in answers:
            answer.cancel()
        await asyncio.gather(*(answer.done() for answer in answers))
        tick()
    await engine.close()
    medians = {name: statistics.median(values) for name, values in found.items()}
    for count in SESSIONS[1:]:
        pairs = zip(found[f"tokens_per_s_{count}"], found["tokens_per_s_1"], strict=True)
        medians[f"ratio_{count}"] = statistics.median(many / one for many, one in pairs)
    medians["step_ms_of_4"] = 4e3 / medians["tokens_per_s_4"]
    return medians


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", choices=(PILOT, "mid"), default=(PILOT, "mid"))
    parser.add_argument("--trunk-tokens", nargs="+", type=int, default=(512, 1400))
    parser.add_argument("--tokens", type=int, default=48, help="tokens of each answer")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    flags = parser.parse_args()
    configure_logs("warning")
    where, found = f"{hardware()}, load {os.getloadavg()[0]:.1f} at the start", {}
    with tempfile.TemporaryDirectory() as directory, Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("measuring", total=len(flags.models) * len(flags.trunk_tokens) * flags.rounds)
        for model in flags.models:
            loaded = load(model, Path(directory), flags.threads)
            for trunk in flags.trunk_tokens:
                found[f"{model}, trunk of {trunk} tokens"] = asyncio.run(
                    measure(loaded, trunk, flags.tokens, flags.rounds, lambda: bar.advance(task))
                )
    if flags.json:
        print(json.dumps({"hardware": where, "found": found}))
        return
    print(where)
    for name, medians in found.items():
        print(f"\n{name}")
        for count in SESSIONS:
            ratio = f"{medians[f'ratio_{count}']:.2f} x one" if count > 1 else ""
            print(f"  {count} sessions decoding {medians[f'tokens_per_s_{count}']:10.0f} tokens/s   {ratio}")
        idle, beside = medians["append_ms_idle"], medians["append_ms_beside_4_answers"]
        step = medians["step_ms_of_4"]
        print(f"  an append alone {idle:.1f} ms, beside 4 answers {beside:.1f} ms, their step {step:.1f} ms")
    print("\nNext: docs/engine.md says what bounds these; benchmarks/engine.py has what one session costs.")


if __name__ == "__main__":
    main()
