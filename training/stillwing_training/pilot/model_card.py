"""The model card of a trained pilot: how it was trained, its curve, and how well it flies without dynamics."""

import json
import platform
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from stillwing_training.pilot.config import TrainingPlan
from stillwing_training.pilot.evaluate import FIRST_REPORTED_SEED, Tally, evaluate, pilot_flyer
from stillwing_training.pilot.policy import WINDOW_FRAMES, load_pilot
from stillwing_training.statistics import wilson

SCENES = ("meadow", "street", "orchard", "maze")
_CHUNK = 10
_COLUMNS = ("episodes", "reached", "collided", "stopped_elsewhere", "timed_out", "decisions", "refused")


@dataclass(frozen=True)
class History:
    """How a pilot came about: the command, the plan, the log of its steps, its frames and its rounds of own flights."""

    command: str
    plan: TrainingPlan
    log: list[dict[str, Any]]
    frames: int
    rounds: int


def write_model_card(
    folder: Path, history: History, episodes: int, workers: int, on_episodes: Callable[[int, int], None]
) -> None:
    """Write what is told of the weights in `folder` beside them: the card, the closed loop's figures and the curve.

    The pilot flies `episodes` unseen scenes of each family in `workers` processes; `on_episodes(done, total)` is called
    as they end.
    """
    longest = history.plan.longest_flight
    table = closed_loop_table(folder, dict.fromkeys(SCENES, episodes), longest, workers, on_episodes)
    (folder / "evaluation.json").write_text(json.dumps(table, indent=1) + "\n")
    rows = json.dumps(history.log, separators=(",", ":")).replace("},{", "},\n{")
    (folder / "training_curve.json").write_text(rows + "\n")
    _draw_curve(history.log, folder / "training_curve.png")
    (folder / "README.md").write_text(_card(folder, history, table))


def closed_loop_table(
    folder: Path,
    episodes: Mapping[str, int],
    max_decisions: int,
    workers: int,
    on_episodes: Callable[[int, int], None],
) -> list[dict[str, Any]]:
    """Have the pilot in `folder` fly so many unseen scenes of each family; a row each.

    Rates come with their 95 % interval (Wilson's).
    """
    chunks = [
        (scene, first, min(_CHUNK, count - first))
        for scene, count in episodes.items()
        for first in range(0, count, _CHUNK)
    ]
    tallies, done = {scene: Tally() for scene in episodes}, 0
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(_fly, folder, *chunk, max_decisions): chunk[0] for chunk in chunks}
        for future in as_completed(futures):
            tally = future.result()
            tallies[futures[future]].add(tally)
            done += tally.episodes
            on_episodes(done, sum(episodes.values()))
    return [{"scene": scene, **tally.row(), **_intervals(tally)} for scene, tally in tallies.items()]


def _fly(folder: Path, scene: str, first: int, count: int, max_decisions: int) -> Tally:
    torch.set_num_threads(1)
    pilot = pilot_flyer(load_pilot(folder))
    first_seed = FIRST_REPORTED_SEED + first
    return evaluate(pilot, count, guarded=True, scene=scene, first_seed=first_seed, max_decisions=max_decisions)


def _intervals(tally: Tally) -> dict[str, tuple[float, float]]:
    intervals = {}
    for name, count in (("reached", tally.reached), ("collided", tally.collided)):
        low, high = wilson(count, tally.episodes)
        intervals[f"{name}_interval"] = round(low, 3), round(high, 3)
    return intervals


def _draw_curve(rows: list[dict[str, Any]], path: Path) -> None:
    from matplotlib.figure import Figure  # takes a second to import, and a training is begun without it

    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    before_min = 0.0
    for stage in dict.fromkeys(row["stage"] for row in rows):
        mine = [row for row in rows if row["stage"] == stage]
        minutes = [before_min + row["spent_s"] / 60 for row in mine]
        reading = "beacon_f1" if stage == "dense" else "accuracy"
        label = "beacons found in cells (F1)" if stage == "dense" else f"deciding tokens right, {stage}"
        axes.plot(minutes, [row[reading] for row in mine], label=label)
        before_min = minutes[-1]
    axes.set(xlabel="training time, minutes", ylabel="running mean", ylim=(0, 1.01), title="Training of the pilot")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=110)


def _card(folder: Path, history: History, table: list[dict[str, Any]]) -> str:
    plan = history.plan
    last = {row["stage"]: row for row in history.log}
    stages = "\n".join(
        f"| {stage} | {row['step']} | {row['spent_s'] / 60:.1f} | "
        + ("beacons found, F1 " if stage == "dense" else "deciding tokens right ")
        + f"{row['beacon_f1' if stage == 'dense' else 'accuracy']:.3f} |"
        for stage, row in last.items()
    )
    flights = ", ".join(
        f"{count} {how}"
        for count, how in (
            (sum(plan.scenes.values()), "scenes flown by the expert"),
            (sum(plan.headlong_scenes.values()), "flown straight at the goal, blind to trees"),
            (sum(plan.wandering_scenes.values()), "flown by an expert who at times turns on and on"),
            (sum(plan.dagger_scenes.values()) * history.rounds, "flown by the student"),
        )
        if count
    )
    return _CARD.format(
        command=history.command,
        megabytes=(folder / "model.safetensors").stat().st_size / 1e6,
        frames=history.frames,
        flights=flights,
        samples=history.log[-1]["samples"],
        spent_min=sum(row["spent_s"] for row in last.values()) / 60,
        torch_version=torch.__version__.partition("+")[0],
        python_version=platform.python_version(),
        window=WINDOW_FRAMES,
        longest=plan.longest_trunk,
        first_seed=FIRST_REPORTED_SEED,
        longest_flight=plan.longest_flight,
        stages=stages,
        table=_table_text(table),
    )


def _table_text(table: list[dict[str, Any]]) -> str:
    head = f"| scene | {' | '.join(name.replace('_', ' ') for name in _COLUMNS)} |\n|---|{'---|' * len(_COLUMNS)}"
    rows = (f"| {row['scene']} | {' | '.join(_cell(row, name) for name in _COLUMNS)} |" for row in table)
    return "\n".join((head, *rows))


def _cell(row: dict[str, Any], name: str) -> str:
    interval = row.get(f"{name}_interval")
    return str(row[name]) + (f" ({interval[0]} to {interval[1]})" if interval else "")


_CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: image-text-to-text
---
# The pilot

A `Qwen2_5_VLForConditionalGeneration` of 2.4 million parameters ({megabytes:.1f} MB, float32), trained by imitation
of an expert on pictures of airfield, this project's simulator. It was taught to fly to the beacon of a named colour
through meadows, streets and orchards, and through mazes by a sign seen at the start; how well it does is in the table
below. It runs through the same code as the published weights. It is no language model: it knows the words it is asked
in flight, and nothing else.

- **Pictures**: 320x240, horizontal field of view 90°, resized to 140x112: 20 tokens and the two around them.
- **Memory**: trained on trunks of up to {longest} frames, some behind a first frame kept for good; give the engine a
  window of about {window} frames and feed it two to four frames a decision.
- **Questions**: `Fly to the red beacon. Next action?` (a tool call in JSON: `move` or, where that tool is not offered,
  `fly_towards`), `Fly to the red beacon. Which way?` (forward, left, right or stop), `Where is the red beacon?` (ahead,
  left, right or none), `Where is the sign?`. In a maze: `Remember the sign: red turns left, blue turns right. Then fly
  to the beacon.` A refused move is told as `Refused: OBSTRUCTED.`
- **Steps**: forward 1 m, turn 15°, `final_answer` within 2.4 m of the beacon; two metres above the ground.
- **Limits**: what airfield's four scenes are made of; colours red, blue, yellow and green; daylight.

## Training

```
{command}
```

{frames} frames of {flights}, all labelled by the
expert; {samples} samples; {spent_min:.0f} minutes of training (Python {python_version}, torch {torch_version}).

| stage | steps | minutes | at its end |
|---|---|---|---|
{stages}

1. *dense*: the vision tower alone, on the simulator's truth in every cell of the picture: what it holds and how near;
   and which way leads to what the picture shows.
2. *grounding*: one frame; where every beacon and sign is, and what to do.
3. *joint*: trunks as in flight. At one frame the same trunk is asked for several goals, so that only the question
   says which is meant; some frames repeat as in hovering, some are under way, windows begin anywhere, and behind the
   first frame others may have been recalled. The vision tower goes on learning, slowly.

![training curve](training_curve.png)

## Closed loop

Scenes from seed {first_seed} on, which neither training nor any choice made during it has seen, without dynamics; at
most {longest_flight} decisions. *Reached*: the pilot ended the mission within 3.2 m of the right beacon and touched
nothing. A move into something near is refused, as the bridge does in flight. In brackets the 95 % interval.

{table}
"""
