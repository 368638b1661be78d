"""What is told of a training: its curve as JSON and picture, the closed-loop table, the model card.

It knows nothing of how training works; it reads the log that training wrote.
"""

import json
import platform
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from stillwing_training.pilot.config import TrainingPlan
from stillwing_training.pilot.evaluate import (
    FIRST_REPORTED_SEED,
    Flyer,
    Tally,
    evaluate,
    expert_flyer,
    forward_flyer,
    pilot_flyer,
)
from stillwing_training.pilot.model import make_model
from stillwing_training.pilot.policy import WINDOW_FRAMES, Pilot, load_pilot
from stillwing_training.pilot.sequence import Words
from stillwing_training.pilot.tokenizer import build_tokenizer
from stillwing_training.statistics import wilson

SCENES = ("meadow", "street", "orchard", "maze")
_CHUNK = 10
_COLUMNS = ("episodes", "reached", "collided", "stopped_elsewhere", "timed_out", "decisions", "refused")


@dataclass(frozen=True)
class Flown:
    """One row of the closed-loop table to be: a policy through the first `episodes` unseen seeds of a scene."""

    policy: str
    scene: str
    guarded: bool
    episodes: int


def closed_loop_table(
    folder: Path, flown: list[Flown], workers: int, on_episodes: Callable[[int, int], None] = lambda done, total: None
) -> list[dict[str, Any]]:
    """Fly every row of `flown` in `workers` processes; the trained one is the pilot in `folder`.

    `on_episodes(done, total)` is called as episodes end. Rates come with their 95 % interval (Wilson's).
    """
    chunks = [
        (row, first, min(_CHUNK, flown[row].episodes - first))
        for row in range(len(flown))
        for first in range(0, flown[row].episodes, _CHUNK)
    ]
    tallies, done = [Tally() for _ in flown], 0
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(_fly, folder, flown[row], first, count): row for row, first, count in chunks}
        for future in as_completed(futures):
            tally = future.result()
            tallies[futures[future]].add(tally)
            done += tally.episodes
            on_episodes(done, sum(row.episodes for row in flown))
    return [
        {"scene": row.scene, "policy": row.policy, "guarded": row.guarded, **tally.row(), **_intervals(tally)}
        for row, tally in zip(flown, tallies, strict=True)
    ]


def _fly(folder: Path, row: Flown, first: int, count: int) -> Tally:
    torch.set_num_threads(1)
    return evaluate(
        _flyer(row.policy, folder),
        count,
        guarded=row.guarded,
        scene=row.scene,
        first_seed=FIRST_REPORTED_SEED + first,
    )


def _flyer(policy: str, folder: Path) -> Flyer:
    if policy == "expert":
        return expert_flyer()
    if policy == "always forward":
        return forward_flyer()
    if policy == "trained":
        return pilot_flyer(load_pilot(folder))
    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    return pilot_flyer(Pilot(make_model(len(tokenizer)), Words(tokenizer)))


def _intervals(tally: Tally) -> dict[str, tuple[float, float]]:
    found = {}
    for name, count in (("reached", tally.reached), ("collided", tally.collided)):
        low, high = wilson(count, tally.episodes)
        found[f"{name}_interval"] = round(low, 3), round(high, 3)
    return found


def read_log(path: Path) -> list[dict[str, Any]]:
    """Rows of a training's log, in order."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def write_curve(rows: list[dict[str, Any]], folder: Path) -> None:
    """Write `training_curve.json` and `training_curve.png`."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    (folder / "training_curve.json").write_text(json.dumps(rows, separators=(",", ":")).replace("},{", "},\n{") + "\n")
    figure, axes = pyplot.subplots(figsize=(8, 4), layout="constrained")
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
    figure.savefig(folder / "training_curve.png", dpi=110)
    pyplot.close(figure)


def write_model_card(
    folder: Path,
    *,
    plan: TrainingPlan,
    command: str,
    log: list[dict[str, Any]],
    frames: int,
    table: list[dict[str, Any]],
    notes: str = "",
    student_flights: int | None = None,
) -> None:
    """Write `README.md` and `evaluation.json` of the weights in `folder`.

    `notes` tells what the command does not, `student_flights` how many there were if not as many as planned.
    """
    (folder / "evaluation.json").write_text(json.dumps(table, indent=1) + "\n")
    last = {row["stage"]: row for row in log}
    spent_min = sum(row["spent_s"] for row in last.values()) / 60
    stages = "\n".join(
        f"| {stage} | {row['step']} | {row['spent_s'] / 60:.1f} | "
        + ("beacons found, F1 " if stage == "dense" else "deciding tokens right ")
        + f"{row['beacon_f1' if stage == 'dense' else 'accuracy']:.3f} |"
        for stage, row in last.items()
    )
    planned = sum(plan.dagger_scenes.values()) * len(plan.dagger_at)
    rounds = planned if student_flights is None else student_flights
    flown = ", ".join(
        f"{count} {how}"
        for count, how in (
            (sum(plan.scenes.values()), "scenes flown by the expert"),
            (sum(plan.headlong_scenes.values()), "flown straight at the goal, blind to trees"),
            (sum(plan.wandering_scenes.values()), "flown by an expert who at times turns on and on"),
            (rounds, "flown by the student"),
        )
        if count
    )
    megabytes = (folder / "model.safetensors").stat().st_size / 1e6
    card = _CARD.format(
        command=command,
        megabytes=megabytes,
        frames=frames,
        flown=flown,
        notes=notes,
        samples=log[-1]["samples"],
        spent_min=spent_min,
        torch_version=torch.__version__.partition("+")[0],
        python_version=platform.python_version(),
        window=WINDOW_FRAMES,
        longest=plan.longest_trunk,
        first_seed=FIRST_REPORTED_SEED,
        stages=stages,
        table=_table_text(table),
    )
    (folder / "README.md").write_text(card)


def _table_text(table: list[dict[str, Any]]) -> str:
    lines = []
    for guarded in (False, True):
        rows = [row for row in table if row["guarded"] is guarded]
        if rows:
            lines.append("**With the guard**" if guarded else "**Without the guard**")
            lines.append("")
            lines.append("| scene | policy | " + " | ".join(name.replace("_", " ") for name in _COLUMNS) + " |")
            lines.append("|---|---|" + "---|" * len(_COLUMNS))
            lines += [
                f"| {row['scene']} | {row['policy']} | {' | '.join(_cell(row, n) for n in _COLUMNS)} |" for row in rows
            ]
            lines.append("")
    return "\n".join(lines)


def _cell(row: dict[str, Any], name: str) -> str:
    interval = row.get(f"{name}_interval")
    return str(row[name]) + (f" ({interval[0]} to {interval[1]})" if interval else "")


_CARD = """---
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

{frames} frames of {flown}, all labelled by the
expert; {samples} samples; {spent_min:.0f} minutes of training on one CPU core beside other work
(Python {python_version}, torch {torch_version}).

{notes}

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
most 60 decisions. *Reached*: the policy ended the mission within 3.2 m of the right beacon and touched nothing. The
guard refuses a move into something near, as the bridge does in flight. In brackets the 95 % interval.

{table}
"""
