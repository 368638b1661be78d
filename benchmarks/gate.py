"""What the token-saving gate saves, and whether the answers stay: `python benchmarks/gate.py [--episodes 10]`.

A vehicle hovers, and the pilot flies, over unseen meadows with the gate off. How far patches differ from frame to frame
says which threshold tells a camera that stands from one that moves. Each stream is then replayed, frame by frame and
question by question, with the gate at several thresholds: what it saves, and how many of the same answers are given.
With `--closed-loop N ...` the pilot also flies with the gate on, and missions that succeed are counted.
"""

import argparse
import json
import platform
from itertools import pairwise
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from stillwing_common.conditions import hardware
from stillwing_lab.evaluate.policies import BASELINES
from stillwing_lab.evaluate.recorded import Flight, fly
from stillwing_vlm.core.catalog import LoadedEngine, ModelSource, load_engine
from stillwing_vlm.core.local import LocalSession
from stillwing_vlm.core.memory.gate import patch_differences
from stillwing_vlm.core.requests import SessionConfig

LEVELS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)


def replay(loaded: LoadedEngine, flight: Flight, levels: float) -> dict[str, float]:
    """Counts of one flight with the gate at `levels`."""
    session = LocalSession(loaded, SessionConfig(flight.config.system_prompt, gate_levels=levels))
    found = dict.fromkeys(("frames", "vision_tokens", "dropped", "asks", "same", "context_tokens", "reach"), 0.0)
    for kind, what in flight.events:
        if kind == "frames":
            saving = session.append(*what).saving
            found["frames"] += len(what)
            found["dropped"] += saving.dropped_tokens if saving else 0
            tokens = loaded.preparer.chunk(what).patches.grid.merged_tokens(loaded.backend.preprocessing.merge)
            found["vision_tokens"] += tokens
            continue
        request, answer = what
        done = session.answer(session.fork(request))
        found["asks"] += 1
        found["same"] += done.text == answer
        found["context_tokens"] += done.provenance.context_tokens
        found["reach"] += len(session.video.trunk.window)
    return found


def differences(loaded: LoadedEngine, flights: list[Flight]) -> dict[str, float]:
    """Shares of the mean difference of each patch from one frame to the next."""
    how, found = loaded.backend.preprocessing, []
    for flight in flights:
        frames = [frame for kind, what in flight.events if kind == "frames" for frame in what]
        pixels = [loaded.preparer.chunk([frame]).patches.pixels[0] for frame in frames]
        for before, after in pairwise(pixels):
            found += patch_differences(after, before, how.patch_px).ravel().tolist()
    return {f"p{share}": round(float(np.percentile(found, share)), 3) for share in (50, 90, 99, 99.9)}


def saved(loaded: LoadedEngine, flights: list[Flight], levels: float) -> dict[str, float]:
    """The counts of all flights together."""
    parts = [replay(loaded, flight, levels) for flight in flights]
    return {key: sum(part[key] for part in parts) for key in parts[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=10)
    parser.add_argument("--closed-loop", type=float, nargs="*", default=[], metavar="LEVELS")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    wanted = parser.parse_args()
    source = ModelSource(device="cpu", threads=1)
    loaded = load_engine(source)
    hovering, _ = fly(loaded, wanted.episodes, "hovering", BASELINES["hover"], 30)
    flights, reached = fly(loaded, wanted.episodes, "flying, gate off")
    noise = {"hovers": differences(loaded, hovering), "flies": differences(loaded, flights)}
    rows = []
    for levels in track(LEVELS, "replaying", console=Console(stderr=True)):
        standing, total = saved(loaded, hovering, levels), saved(loaded, flights, levels)
        rows.append(
            {
                "levels": levels,
                "dropped_share_hovering": standing["dropped"] / standing["vision_tokens"],
                "dropped_share": total["dropped"] / total["vision_tokens"],
                "same_answers": total["same"] / total["asks"],
                "asks": int(total["asks"]),
                "window_chunks_at_an_ask": total["reach"] / total["asks"],
                "context_tokens_at_an_ask": total["context_tokens"] / total["asks"],
            }
        )
    closed = {0.0: reached}
    for levels in wanted.closed_loop:
        closed[levels] = fly(load_engine(source, gate_levels=levels), wanted.episodes, f"flying, gate at {levels:g}")[1]
    if wanted.json:
        print(
            json.dumps({"episodes": wanted.episodes, "patch_differences": noise, "replayed": rows, "reached": closed})
        )
        return
    show(wanted.episodes, noise, rows, closed)


def show(episodes: int, noise: dict[str, Any], rows: list[dict[str, float]], closed: dict[float, int]) -> None:
    """Print the tables."""
    console = Console()
    console.print(f"pilot, meadow, {episodes} unseen scenes; {hardware()}, Python {platform.python_version()}")
    table = Table("the vehicle", "median", "90 %", "99 %", "99.9 %", title="difference of a patch, levels of 255")
    for name, shares in noise.items():
        table.add_row(name, *[f"{value:.2f}" for value in shares.values()])
    console.print(table)
    table = Table(
        "gate", "left out, hovering", "left out, flying", "same answers", "chunks", "tokens", title="replayed"
    )
    for row in rows:
        table.add_row(
            f"{row['levels']:g}" if row["levels"] else "off",
            f"{row['dropped_share_hovering']:.1%}",
            f"{row['dropped_share']:.1%}",
            f"{row['same_answers']:.1%} of {row['asks']}",
            f"{row['window_chunks_at_an_ask']:.1f}",
            f"{row['context_tokens_at_an_ask']:.0f}",
        )
    console.print(table)
    for levels, reached in closed.items():
        console.print(f"gate {'off' if not levels else f'at {levels:g}'}: {reached} of {episodes} missions succeeded")
    console.print("Next: stillwing-vlm --gate-levels N, or gate_levels when a session is opened.")


if __name__ == "__main__":
    main()
