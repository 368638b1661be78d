"""Runs an evaluation: every policy over the same unseen scenes, with a progress bar, into a report.

It knows nothing of how an episode is flown.
"""

import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from stillwing_agent.core.cockpit import FlightSettings
from stillwing_airfield.scenes.base import build_scene
from stillwing_common.errors import InvalidInput, UnknownBackend
from stillwing_lab.evaluate.episode import MAX_DECISIONS, EpisodeResult, fly_episode
from stillwing_lab.evaluate.inline_engine import BlindEngine, InlineEngine
from stillwing_lab.evaluate.policies import BASELINES, MODEL_POLICIES, MakePolicy
from stillwing_lab.evaluate.report import Report, row_of
from stillwing_vlm.core.catalog import PILOT, ModelSource, load_engine

FIRST_UNSEEN_SEED = 1_000_000
"""Scenes from here on are for evaluation alone; training draws below."""

RANDOM_WEIGHTS = "random_weights"
"""The tool-calling policy on the model's shape with weights made up."""

POLICIES = ("tool_calling", "choice", RANDOM_WEIGHTS, "always_forward", "hover", "expert")

_AS_FLOWN = FlightSettings()

OnEpisode = Callable[[str, EpisodeResult], None]


def evaluate(
    scene: str = "meadow",
    episodes: int = 40,
    policies: Sequence[str] = POLICIES,
    *,
    model: str = PILOT,
    first_seed: int = FIRST_UNSEEN_SEED,
    max_decisions: int = MAX_DECISIONS,
    threads: int = 1,
    flight: FlightSettings = _AS_FLOWN,
    on_episode: OnEpisode = lambda policy, result: None,
) -> Report:
    """Fly `episodes` unseen scenes with each policy; `on_episode` is told of each as it ends.

    `model` is "pilot" or a model directory. Raises UnknownBackend for a policy, UnknownScene for a scene that is not
    known, InvalidInput for no episodes or seen seeds, ModelNotUsable.
    """
    if episodes < 1:
        raise InvalidInput("an evaluation flies at least one episode", field="episodes")
    if first_seed < FIRST_UNSEEN_SEED:
        raise InvalidInput(f"unseen seeds begin at {FIRST_UNSEEN_SEED}", field="first_seed")
    for name in policies:
        if name not in POLICIES:
            raise UnknownBackend(f"no policy is called {name!r}; known: {', '.join(POLICIES)}", name=name)
    build_scene(scene, first_seed)
    began_s = time.monotonic()
    results: dict[str, tuple[EpisodeResult, ...]] = {}
    rows = []
    for name in policies:
        make, engine, model_name = _flyer(name, model, threads)
        think_s = engine.think_s if isinstance(engine, InlineEngine) else []
        flown = []
        for seed in range(first_seed, first_seed + episodes):
            flown.append(fly_episode(scene, seed, make, engine, think_s, max_decisions=max_decisions, flight=flight))
            on_episode(name, flown[-1])
        results[name] = tuple(flown)
        rows.append(row_of(name, model_name, flown))
    return Report(scene, first_seed, max_decisions, tuple(rows), results, time.monotonic() - began_s)


def _flyer(name: str, model: str, threads: int) -> tuple[MakePolicy, InlineEngine | BlindEngine, str]:
    if name in BASELINES:
        return BASELINES[name], BlindEngine(), "–"
    random_weights = name == RANDOM_WEIGHTS
    source = ModelSource(model, random_weights=random_weights, device="cpu", threads=threads)
    make = MODEL_POLICIES["tool_calling" if random_weights else name]
    return make, InlineEngine(load_engine(source)), "random" if random_weights else Path(model).name


def main(
    scene: str = "meadow",
    episodes: int = 40,
    policies: Sequence[str] = POLICIES,
    *,
    model: str = PILOT,
    first_seed: int = FIRST_UNSEEN_SEED,
    out: Path | None = None,
    as_json: bool = False,
) -> Report:
    """Evaluate with a progress bar, store the report (default `runs/eval-<scene>-<time>/`) and print it.

    With `as_json` stdout carries the report's JSON alone. Raises as `evaluate` does.
    """
    folder = out or Path("runs") / f"eval-{scene}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True),
    )  # fmt: skip
    with bar:
        tasks = {name: bar.add_task(name, total=episodes, note="", start=False) for name in policies}
        reached = dict.fromkeys(policies, 0)

        def on_episode(name: str, result: EpisodeResult) -> None:
            bar.start_task(tasks[name])
            reached[name] += int(result.success)
            bar.update(tasks[name], advance=1, note=f"{reached[name]} reached")

        report = evaluate(scene, episodes, policies, model=model, first_seed=first_seed, on_episode=on_episode)
    report.save(folder)
    if as_json:
        print(json.dumps(report.to_json()))
        return report
    console = Console()
    console.print(report.to_table())
    console.print(f"stored in {folder}/report.md and report.json")
    return report
