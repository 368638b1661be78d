"""Runs an ablation with a progress bar; what is stored already is not run again."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from stillwing_common.conditions import hardware
from stillwing_common.errors import InvalidInput
from stillwing_lab.ablation.grid import Score, Setting, settings
from stillwing_lab.ablation.plot import draw
from stillwing_lab.experiments.report import results_folder
from stillwing_lab.experiments.run import progress
from stillwing_training.recall.catalog import recall_directory
from stillwing_training.recall.signs import SYSTEM_TEXT
from stillwing_training.recall.task import AGES, play
from stillwing_training.recall.train import FIRST_UNSEEN_SEED
from stillwing_vlm.core.catalog import ModelSource
from stillwing_vlm.core.local import LocalEngine

WINDOWS = 3
"""How often the window is filled anew in one stream before the last question."""

ASKS = 8
"""Instants at which a stream is asked for every age."""


def score(engine: LocalEngine, setting: Setting, stream: int) -> "list[Any]":
    """One stream's answers: asked only once the window has been full twice and eviction is at work."""
    layout = setting.layout
    opening = len(engine.loaded.preparer.opening(SYSTEM_TEXT))
    budget = opening + setting.chunk_tokens + setting.budget
    # Ages are counted in signs: without as many shown there is nothing to ask for.
    chunks_per_sign = layout.frames_per_sign / layout.chunk_frames
    oldest = round((max(AGES) + 2) * chunks_per_sign)
    skip = max(oldest, 2 * (setting.budget // setting.chunk_tokens))
    every = max(1, round(setting.budget / setting.chunk_tokens / ASKS * WINDOWS / 2))
    return play(
        engine,
        layout,
        budget,
        setting.eviction,
        seed=FIRST_UNSEEN_SEED + stream,
        chunks=skip + every * ASKS,
        ask_every=every,
        skip_chunks=skip,
    )


def ablate(
    engine: LocalEngine,
    chosen: Sequence[Setting],
    streams: int,
    known: dict[str, Score],
    on_stream: Callable[[Score], None] = lambda score: None,
) -> list[Score]:
    """Score every setting on `streams` streams, the same for all; `known` holds what an earlier run has."""
    scores = []
    for setting in chosen:
        found = known.get(setting.key) or Score(setting, {})
        while found.streams < streams:
            found.add(score(engine, setting, found.streams))
            on_stream(found)
        scores.append(found)
    return scores


def main(
    *,
    model: Path | None = None,
    streams: int = 6,
    quick: bool = False,
    out: Path | None = None,
    as_json: bool = False,
) -> Path:
    """Ablate, store after every stream, print the table; returns the folder, from which a later run goes on.

    Raises ModelNotUsable, and InvalidInput where the folder holds another model's scores.
    """
    directory = model or recall_directory()
    folder = results_folder("ablation", out)
    engine = LocalEngine.load(ModelSource(str(directory), device="cpu", threads=1))
    about = {"model": directory.name, "parameters": engine.info().parameters, "machine": hardware()}
    known = _stored(folder, about)
    chosen = settings(quick)
    folder.mkdir(parents=True, exist_ok=True)
    with progress() as bar:
        task = bar.add_task("streams", total=streams * len(chosen))
        done = sum(min(streams, known[s.key].streams) for s in chosen if s.key in known)
        bar.update(task, completed=done)

        def on_stream(found: Score) -> None:
            known[found.setting.key] = found
            _save(folder, about, known.values())
            bar.advance(task)
            bar.update(task, description=found.setting.key)

        scores = ablate(engine, chosen, streams, known, on_stream)
    _save(folder, about, known.values())
    draw(scores).savefig(folder / "ablation.png", dpi=130)
    (folder / "ablation.md").write_text(_markdown(scores, about), encoding="utf-8")
    if as_json:
        print(json.dumps({**about, "scores": [each.to_json() for each in scores]}))
    else:
        console = Console(highlight=False, markup=False)
        console.print(_table(scores))
        console.print(f"stored in {folder}: ablation.json, ablation.md, ablation.png", soft_wrap=True)
    return folder


def _stored(folder: Path, about: dict[str, Any]) -> dict[str, Score]:
    path = folder / "ablation.json"
    if not path.is_file():
        return {}
    stored = json.loads(path.read_text())
    if (stored["model"], stored["parameters"]) != (about["model"], about["parameters"]):
        raise InvalidInput(f"{path} holds scores of another model; give another --out", field="out")
    scores = [Score.from_json(each) for each in stored["scores"]]
    return {each.setting.key: each for each in scores}


def _save(folder: Path, about: dict[str, Any], scores: Any) -> None:
    partial = folder / "ablation.partial"
    lines = ",\n".join(json.dumps(each.to_json()) for each in scores)
    partial.write_text(f'{json.dumps(about)[:-1]}, "scores": [\n{lines}\n]}}\n', encoding="utf-8")
    partial.replace(folder / "ablation.json")


_COLUMNS = (
    "window",
    "frames a chunk",
    "frames/s",
    "leaves",
    "positions",
    "recall",
    "reach",
    "visible",
    "first",
    "honest",
)
_LEGEND = (
    "recall: share right, mean over ages 0 to 32 signs; reach: oldest age, in signs, up to which three in four are "
    "right; visible: share right of signs still in the trunk; first: the very first sign, in the sink; honest: 'none' "
    "said of a sign that has left"
)


def _cells(score: Score) -> list[str]:
    s = score.setting
    shares = [score.visible.share, score.first.share, score.honest.share]
    return [
        f"{s.budget} tokens", str(s.chunk_frames), f"{s.fps:g}", s.level, s.positions, f"{score.recall:.0%}",
        "–" if score.reach_signs < 0 else str(score.reach_signs), *("–" if x is None else f"{x:.0%}" for x in shares),
    ]  # fmt: skip


def _table(scores: Sequence[Score]) -> Table:
    table = Table(title="Recall of signs", caption=_LEGEND, caption_justify="left", box=box.SIMPLE_HEAD)
    for column in _COLUMNS:
        table.add_column(column, justify="left" if column in ("leaves", "positions") else "right")
    for each in scores:
        table.add_row(*_cells(each))
    return table


def _markdown(scores: Sequence[Score], about: dict[str, Any]) -> str:
    lines = ["# Recall of signs", "", ", ".join(f"{key}: {value}" for key, value in about.items()), ""]
    lines += ["| " + " | ".join(_COLUMNS) + " |", "|---" * len(_COLUMNS) + "|"]
    lines += ["| " + " | ".join(_cells(each)) + " |" for each in scores]
    return "\n".join([*lines, "", _LEGEND, ""])
