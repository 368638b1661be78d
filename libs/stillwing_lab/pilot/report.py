"""What is told of a training: its curve as JSON and picture, the closed-loop table, the model card.

It knows nothing of how training works; it reads the log that training wrote.
"""

import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from stillwing_lab.pilot.config import TrainingPlan
from stillwing_lab.pilot.evaluate import FIRST_UNSEEN_SEED, Tally, evaluate, expert_flyer, forward_flyer, pilot_flyer
from stillwing_lab.pilot.export import export_pilot
from stillwing_lab.pilot.model import make_model
from stillwing_lab.pilot.policy import WINDOW_FRAMES, load_pilot
from stillwing_lab.pilot.tokenizer import build_tokenizer

_COLUMNS = ("episodes", "reached", "collided", "stopped_elsewhere", "timed_out", "decisions", "refused")


def closed_loop_table(
    folder: Path, scratch: Path, episodes: int, on_row: Callable[[dict[str, Any]], None] = lambda row: None
) -> list[dict[str, Any]]:
    """Fly `episodes` unseen meadows with each policy, unguarded and guarded; one row each, told to `on_row` at once.

    `scratch` is a folder for a pilot with random weights.
    """
    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    export_pilot(make_model(len(tokenizer)), tokenizer, scratch / "random")
    flyers = {
        "expert": expert_flyer(),
        "trained": pilot_flyer(load_pilot(folder)),
        "random weights": pilot_flyer(load_pilot(scratch / "random")),
        "always forward": forward_flyer(),
    }
    rows = []
    for guarded in (False, True):
        for name, flyer in flyers.items():
            tally: Tally = evaluate(flyer, episodes, guarded=guarded)
            rows.append({"policy": name, "guarded": guarded, **tally.row()})
            on_row(rows[-1])
    return rows


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
) -> None:
    """Write `README.md` and `evaluation.json` of the weights in `folder`; `notes` tells what the command does not."""
    (folder / "evaluation.json").write_text(json.dumps(table, indent=1) + "\n")
    last = {row["stage"]: row for row in log}
    spent_min = sum(row["spent_s"] for row in last.values()) / 60
    stages = "\n".join(
        f"| {stage} | {row['step']} | {row['spent_s'] / 60:.1f} | "
        + ("beacons found, F1 " if stage == "dense" else "deciding tokens right ")
        + f"{row['beacon_f1' if stage == 'dense' else 'accuracy']:.3f} |"
        for stage, row in last.items()
    )
    rounds = sum(plan.dagger_scenes.values()) * len(plan.dagger_at)
    flown = ", ".join(
        f"{count} {how}"
        for count, how in (
            (sum(plan.scenes.values()), "scenes flown by the expert"),
            (sum(plan.headlong_scenes.values()), "flown straight at the goal, blind to trees"),
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
        first_seed=FIRST_UNSEEN_SEED,
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
            lines.append("| policy | " + " | ".join(name.replace("_", " ") for name in _COLUMNS) + " |")
            lines.append("|---|" + "---|" * len(_COLUMNS))
            lines += [f"| {row['policy']} | " + " | ".join(str(row[name]) for name in _COLUMNS) + " |" for row in rows]
            lines.append("")
    return "\n".join(lines)


_CARD = """---
library_name: transformers
pipeline_tag: image-text-to-text
---
# The pilot

A `Qwen2_5_VLForConditionalGeneration` of 2.4 million parameters ({megabytes:.1f} MB, float32), trained from scratch by
imitation of an expert on pictures of airfield, this project's simulator. It flies to the beacon of a named colour
through the trees of a meadow, and runs through the same code as the published weights. It is no language model: it
knows the words it is asked in flight, and nothing else.

- **Pictures**: 320x240, horizontal field of view 90°, resized to 140x112: 20 tokens and the two around them.
- **Memory**: trained on trunks of up to {longest} frames, some behind a first frame kept for good; give the engine a
  window of about {window} frames and feed it two to four frames a decision.
- **Questions**: `Fly to the red beacon. Next action?` (a tool call in JSON), `Fly to the red beacon. Which way?`
  (forward, left, right or stop), `Where is the red beacon?` (ahead, left, right or none). A refused move is told as
  `Refused: OBSTRUCTED.`
- **Steps**: forward 1 m, turn 15°, `final_answer` within 2.4 m of the beacon; two metres above the ground.
- **Limits**: trees and beacons of `meadow` only; colours red, blue, yellow and green; daylight.

## Training

```
{command}
```

{frames} frames of {flown}, all labelled by the expert;
{samples} samples; {spent_min:.0f} minutes of training on two CPU cores shared with other work
(Python {python_version}, torch {torch_version}).

{notes}

| stage | steps | minutes | at its end |
|---|---|---|---|
{stages}

1. *dense*: the vision tower alone, on the simulator's truth in every cell of the picture: what it holds and how near.
2. *grounding*: one or two frames; where every beacon is, and what to do.
3. *joint*: trunks as in flight. At one frame the same trunk is asked for several goals, so that only the question
   says which is meant; some frames repeat as in hovering, some are under way, windows begin anywhere.

![training curve](training_curve.png)

## Closed loop

Unseen meadows from seed {first_seed} on, without dynamics. *Reached*: the policy ended the mission within 3.2 m of the
right beacon and touched nothing. The guard refuses a move into something near, as the bridge does in flight.

{table}
"""
