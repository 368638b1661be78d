"""What the engine promises, measured: `python benchmarks/engine_figures.py [--only pilot middle fork eviction ...]`.

Every figure is a ratio within this run, and what is compared takes turns. Times are the processor's for the one thread
that all of them use, so that waiting for other programs does not count. `--quick` makes everything smaller, to see that
it runs; `--json` and `--out FILE` are for programs.

- pilot: per decision (append a frame, ask, drop) on the pilot with 64 chunks in the trunk, against re-computing it all,
  and against the same with torch's own attention.
- middle: the same on a random model of 8 layers and 4 key heads of 64 with 16K tokens in the trunk, in float32 and in
  bfloat16, for small and large frames, against transformers' DynamicCache in the same type, with the attention that
  transformers chooses, deep-copied snapshots and concatenating eviction, and against re-computing it all.
- fork: fork and drop of an ask at 1K and 16K tokens; what of the trunk was copied.
- eviction: letting a chunk go at 1K and 16K tokens.
- endless: append after 5,000 chunks against append on a young session, and the slope of the process's memory.
"""

import argparse
import gc
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from rich.console import Console
from rich.table import Table

from stillwing_agent.core.prompting.prompts import decision_prompt, system_prompt
from stillwing_common.conditions import hardware
from stillwing_lab.speed.library import LibraryStream
from stillwing_lab.tiny_model import write_middle_model
from stillwing_vlm.core.catalog import AttentionKind, Dtype, ModelSource, pilot_directory
from stillwing_vlm.core.engines.cache.slab import KvSlab
from stillwing_vlm.core.inputs.images import Pixels
from stillwing_vlm.core.local import LocalEngine, LocalSession
from stillwing_vlm.core.requests import AskRequest

GOAL = "Fly to the red beacon."
ANSWER_TOKENS = 8
_err = Console(stderr=True, highlight=False)


@dataclass(frozen=True, slots=True)
class Figure:
    """One promise: `measured` against `target`, at least or at most, and the times it comes from, in milliseconds."""

    name: str
    measured: float
    target: float
    at_least: bool
    detail: dict[str, float]

    @property
    def met(self) -> bool:
        """Whether it holds."""
        return self.measured >= self.target if self.at_least else self.measured <= self.target


def in_turns(repeats: int, *works: Callable[[int], Any], warm_up: int = 1) -> list[list[float]]:
    """Milliseconds of each work, each called once a turn, in turns."""
    times: list[list[float]] = [[] for _ in works]
    for turn in range(-warm_up, repeats):
        for work, taken in zip(works, times, strict=True):
            began_s = time.process_time()
            work(turn)
            if turn >= 0:
                taken.append((time.process_time() - began_s) * 1e3)
    return times


def ratio(over: list[float], under: list[float]) -> float:
    """Median over the turns of the one divided by the other of the same turn."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def pictures(rows_px: int = 240, columns_px: int = 320, count: int = 8) -> list[Pixels]:
    """Noise that compresses to nothing."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (rows_px, columns_px, 3), dtype=np.uint8) for _ in range(count)]


def filled(engine: LocalEngine, tokens: int, shown: list[Pixels], system: str = "You watch.") -> LocalSession:
    """A session whose trunk holds about `tokens` and is full: the next chunk lets one go."""
    session = engine.open(system, tokens)
    turn = 0
    while not session.evicted:
        session.append(shown[turn % len(shown)])
        turn += 1
    return session


def measure_pilot(quick: bool) -> list[Figure]:
    """Per decision with 64 chunks, also with torch's own attention."""
    chunks, repeats = (16, 3) if quick else (64, 40)
    engine = LocalEngine.load(ModelSource(device="cpu", threads=1))
    plain = LocalEngine.load(ModelSource(device="cpu", threads=1, attention=AttentionKind.SDPA))
    shown = pictures()
    opening = engine.loaded.preparer.opening(system_prompt())
    one = engine.loaded.preparer.pixels(("",), [shown[0]], 1.0).patches.grid.merged_tokens(2) + 2
    sessions = [each.open(system_prompt(), len(opening) + chunks * one) for each in (engine, plain)]
    library = LibraryStream.load(str(pilot_directory()), engine.loaded, opening)
    window = [shown[index % 8] for index in range(chunks)]
    prompt = decision_prompt(GOAL)
    question = engine.loaded.text.question(prompt)
    answered = {_decide(session, window, prompt, ANSWER_TOKENS) for session in sessions}
    (tokens,) = answered

    ours_ms, plain_ms, refill_ms = in_turns(
        repeats,
        lambda turn: _decide(sessions[0], [shown[turn % 8]], prompt, tokens),
        lambda turn: _decide(sessions[1], [shown[turn % 8]], prompt, tokens),
        # The slowest by far, and not in every turn.
        lambda turn: library.refill(window, question, tokens) if turn % 4 == 0 else None,
        warm_up=4,
    )
    refills = refill_ms[::4]
    times = {"engine": statistics.median(ours_ms), "answer_tokens": tokens}
    return [
        Figure(
            f"pilot, {chunks} chunks: times faster than refilling",
            ratio(refills, ours_ms[::4]), 10, True, {**times, "refill": statistics.median(refills)},
        ),
        Figure(
            f"pilot, {chunks} chunks: time of {engine.info().attention}/{plain.info().attention}",
            ratio(ours_ms, plain_ms), 1.05, False, {**times, plain.info().attention: statistics.median(plain_ms)},
        ),
    ]  # fmt: skip


def _decide(session: LocalSession, frames: list[Pixels], prompt: str, most_tokens: int) -> int:
    """Append the frames and ask; returns how many tokens the answer had."""
    for pixels in frames:
        session.append(pixels)
    return session.ask(prompt, max_tokens=most_tokens).answer_tokens


def measure_middle(quick: bool) -> list[Figure]:
    """Per decision with 16K tokens on the middle-sized random model: in both types, for small and large frames."""
    directory = write_middle_model(Path(tempfile.gettempdir()) / "stillwing-middle-model")
    return [
        *_measure_middle(directory, Dtype.FLOAT32, quick),
        *_measure_middle(directory, Dtype.BFLOAT16, quick),
    ]


def _measure_middle(directory: Path, dtype: Dtype, quick: bool) -> list[Figure]:
    tokens, repeats = (2048, 3) if quick else (16_384, 8)
    engine = LocalEngine.load(ModelSource(str(directory), device="cpu", threads=1, dtype=dtype))
    opening = engine.loaded.preparer.opening("You watch.")
    library = LibraryStream.load(str(directory), engine.loaded, opening, getattr(torch, dtype.value))
    who = f"{engine.info().attention} against {library.attention}"
    question = engine.loaded.text.question(GOAL)
    figures = []
    for shown in (pictures(112, 140), pictures(240, 320)):
        session = _stuffed(engine, tokens, shown)
        trunk, (keys, values) = session.video.trunk, _cache(session)
        place = slice(trunk.start, trunk.tail)
        library.take(keys[:, :, place], values[:, :, place], trunk.cursor)
        chunk_tokens = trunk.window[0].tokens

        def ours(turn: int, session: LocalSession = session, shown: list[Pixels] = shown) -> None:
            session.append(shown[turn % 8])
            session.ask(GOAL, max_tokens=ANSWER_TOKENS)

        def theirs(turn: int, sink: int = trunk.sink_tokens, gone: int = chunk_tokens, shown: Any = shown) -> None:
            library.evict(sink, gone)
            library.append(shown[turn % 8])
            library.ask(question, ANSWER_TOKENS)

        ours_ms, theirs_ms = in_turns(repeats, ours, theirs)
        detail = {
            "engine": statistics.median(ours_ms),
            "dynamic_cache": statistics.median(theirs_ms),
            "tokens": trunk.tokens,
        }
        name = f"middle, {dtype.value}, {tokens // 1024}K tokens, frames of {chunk_tokens}"
        told = f"{name}: times faster than DynamicCache ({who})"
        figures.append(Figure(told, ratio(theirs_ms, ours_ms), 3, True, detail))
    window = [shown[index % 8] for index in range(len(trunk.window) + 1)]
    (refill_ms,) = in_turns(1, lambda turn: library.refill(window, question, ANSWER_TOKENS), warm_up=0)
    detail = {"engine": statistics.median(ours_ms), "refill": refill_ms[0], "tokens": trunk.tokens}
    whole = refill_ms[0] / statistics.median(ours_ms)
    return [*figures, Figure(f"{name}: times faster than refilling", whole, 30, True, detail)]


def _cache(session: LocalSession) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and values of the whole slab, `[layers, kv_heads, tokens, head_dim]`."""
    store = session.video.slab.store
    assert isinstance(store, KvSlab) and isinstance(store.keys, torch.Tensor) and isinstance(store.values, torch.Tensor)
    return store.keys, store.values


def _stuffed(engine: LocalEngine, tokens: int, shown: list[Pixels]) -> LocalSession:
    """A session with a full trunk of noise: what the keys hold changes no time, and computing them takes minutes."""
    session = engine.open("You watch.", tokens)
    session.append(shown[0])
    session.append(shown[1])
    trunk = session.video.trunk
    with torch.inference_mode():
        for part in _cache(session):
            part.normal_()
    chunk = trunk.window[0]
    while trunk.tokens + chunk.tokens <= tokens:
        trunk.append(chunk)
    return session


def two_windows(quick: bool) -> tuple[LocalSession, LocalSession, list[Pixels]]:
    """The pilot with a full trunk of 1K and of 16K tokens."""
    engine = LocalEngine.load(ModelSource(device="cpu", threads=1))
    shown = pictures()
    return filled(engine, 1024, shown), filled(engine, 2048 if quick else 16_384, shown), shown


def measure_fork(quick: bool) -> list[Figure]:
    """Fork and drop at two lengths of the trunk."""
    short, long, _ = two_windows(quick)
    request = AskRequest(GOAL, max_tokens=24)
    copied = 0

    def work(session: LocalSession) -> Callable[[int], None]:
        def fork_and_drop(turn: int) -> None:
            nonlocal copied
            branch = session.fork(request)
            copied += branch.view.kept is not None
            session.video.release(branch)

        return fork_and_drop

    short_ms, long_ms = in_turns(100 if quick else 2000, work(short), work(long), warm_up=50)
    detail = {"1K": statistics.median(short_ms), "16K": statistics.median(long_ms), "forks_that_copied": copied}
    lengths = f"{long.video.trunk.budget // 1024}K/1K"
    return [
        Figure(
            f"fork and drop: {lengths}", statistics.median(long_ms) / statistics.median(short_ms), 1.2, False, detail
        ),
        Figure("fork and drop: forks that copied of the trunk", copied, 0, False, detail),
    ]


def measure_eviction(quick: bool) -> list[Figure]:
    """Letting one chunk go and writing the front anew, at two lengths of the trunk; moves of the slab counted apart."""
    short, long, shown = two_windows(quick)
    times: dict[int, list[float]] = {1: [], 16: []}
    moves: list[float] = []
    for turn in range(60 if quick else 600):
        pair = ((1, short), (16, long))
        # Whoever comes second finds the other's chunk in the processor's caches.
        for length, session in pair if turn % 2 else reversed(pair):
            video = session.video
            before, chunk = video.trunk.moves, video.trunk.window[0]
            began_s = time.process_time()
            video.slab.make_room(chunk.tokens, chunk.span, len(chunk.frame_ids))
            taken = (time.process_time() - began_s) * 1e3
            if video.trunk.moves != before:
                moves.extend([taken] if length == 16 else [])
            elif turn > 10:
                times[length].append(taken)
            session.append(shown[turn % 8])
    detail = {"1K": statistics.median(times[1]), "16K": statistics.median(times[16]), "slab_moves_16K": len(moves)}
    if moves:
        detail |= {"slab_move_16K": statistics.median(moves)}
    share = statistics.median(times[16]) / statistics.median(times[1])
    return [Figure(f"eviction: {long.video.trunk.budget // 1024}K/1K", share, 1.2, False, detail)]


def measure_endless(quick: bool) -> list[Figure]:
    """5,000 chunks: append on the old session beside one that is never old, and resident memory."""
    chunks, young_age = (600, 100) if quick else (5000, 250)
    engine = LocalEngine.load(ModelSource(device="cpu", threads=1))
    shown = pictures()
    budget = engine.loaded.plan.budget(len(engine.loaded.preparer.opening("You watch.")))
    old, young = filled(engine, budget, shown), filled(engine, budget, shown)
    shares, resident, at = [], [], []
    process = psutil.Process()
    warm = chunks // 10
    for turn in range(warm + chunks):
        if turn % young_age == young_age - 1:
            young = filled(engine, budget, shown)
        pair = [old, young] if turn % 2 else [young, old]
        taken = {}
        for session in pair:
            session.evicted.clear()
            began_s = time.process_time()
            session.append(shown[turn % 8])
            taken[id(session)] = time.process_time() - began_s
        if turn < warm:
            continue
        shares.append(taken[id(old)] / taken[id(young)])
        if turn % 25 == 0:
            gc.collect()
            resident.append(process.memory_info().rss)
            at.append(turn)
    tenth = len(shares) // 10
    first, last = statistics.median(shares[:tenth]), statistics.median(shares[-tenth:])
    slope, error = _slope(np.array(at, float), np.array(resident, float))
    detail = {
        "first_tenth_old_over_young": first,
        "last_tenth_old_over_young": last,
        "slope_bytes_per_1000_chunks": 1000 * slope,
        "slope_error_bytes_per_1000_chunks": 1000 * error,
    }
    # Within two standard errors of zero, or less than a page a chunk could account for.
    sigmas = abs(slope) / error if error > 0 and abs(slope) * len(shares) > 2**19 else 0.0
    return [
        Figure(f"append over {chunks} chunks: last tenth/first tenth", last / first, 1.05, False, detail),
        Figure(f"memory over {chunks} chunks: slope in standard errors", sigmas, 2, False, detail),
    ]


def _slope(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Least squares; the error reckons with readings that resemble their neighbours, by blocks of ten."""
    blocks = len(x) // 10
    x, y = (part[: blocks * 10].reshape(blocks, 10).mean(axis=1) for part in (x, y))
    centred = x - x.mean()
    slope = float((centred * y).sum() / (centred**2).sum())
    rest = y - y.mean() - slope * centred
    return slope, float(np.sqrt((rest**2).sum() / max(1, blocks - 2) / (centred**2).sum()))


SECTIONS: dict[str, Callable[[bool], list[Figure]]] = {
    "pilot": measure_pilot,
    "middle": measure_middle,
    "fork": measure_fork,
    "eviction": measure_eviction,
    "endless": measure_endless,
}


def main() -> None:
    """Measure, print, and exit with 1 where a promise was not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(SECTIONS), default=list(SECTIONS))
    parser.add_argument("--quick", action="store_true", help="smaller, to see that it runs; figures mean nothing")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path, help="also write the JSON to this file")
    flags = parser.parse_args()
    torch.set_num_threads(1)
    where = f"{hardware()}, load {os.getloadavg()[0]:.1f} at the start, torch {torch.__version__}, 1 thread"
    figures = []
    for name in flags.only:
        with _err.status(f"measuring {name} …"):
            figures += SECTIONS[name](flags.quick)
    found = {"hardware": where, "quick": flags.quick, "figures": [{**asdict(f), "met": f.met} for f in figures]}
    if flags.out:
        flags.out.write_text(json.dumps(found, indent=1) + "\n")
    if flags.json:
        print(json.dumps(found))
    else:
        print(where)
        table = Table("figure", "measured", "promised", "kept", "from")
        for figure in figures:
            detail = ", ".join(f"{key} {value:,.3g}" for key, value in figure.detail.items())
            sign = "≥" if figure.at_least else "≤"
            kept = "yes" if figure.met else "NO"
            table.add_row(figure.name, f"{figure.measured:.2f}", f"{sign} {figure.target:g}", kept, detail)
        Console(highlight=False).print(table)
    if not flags.quick and not all(figure.met for figure in figures):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
