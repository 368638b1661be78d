"""Runs a benchmark with a progress bar: every video in every mode, resumable, into a report and official results."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, TaskID

from stillwing_common.errors import InvalidInput
from stillwing_lab.evaluate.run import conditions
from stillwing_lab.experiments.run import progress
from stillwing_lab.video_benchmarks import ovo_bench, streaming_bench
from stillwing_lab.video_benchmarks.annotations import digest
from stillwing_lab.video_benchmarks.ledger import AnswerLedger
from stillwing_lab.video_benchmarks.matching import judge_ovo, judge_streaming, said_what_was_due
from stillwing_lab.video_benchmarks.play import MODES, play
from stillwing_lab.video_benchmarks.probes import (
    Answer,
    Probe,
    ProbeKind,
    VideoProbes,
    find_videos,
    keep_tasks,
)
from stillwing_lab.video_benchmarks.prompts import (
    OvoWording,
    OwnWording,
    Phrasing,
    StreamingWording,
    Wording,
    phrasing_of,
)
from stillwing_lab.video_benchmarks.report import BenchmarkReport, Judge, Total, score_mode
from stillwing_lab.video_benchmarks.watching import Playing
from stillwing_recording.opening import open_recording
from stillwing_recording.pictures import PictureOptions
from stillwing_vlm.core.catalog import PILOT, ModelSource
from stillwing_vlm.core.local import LocalEngine

COMPARED = MODES[:3]
"""Modes where none is asked for."""


@dataclass(frozen=True, slots=True)
class Asking:
    """How and what to ask. `prompts` None: our own words; `tasks` and `limit` (videos) empty: all."""

    model: str = PILOT
    modes: tuple[str, ...] = COMPARED
    answers: str = "free"
    prompts: Path | None = None
    tasks: tuple[str, ...] = ()
    limit: int = 0
    skip_missing: bool = False
    device: str = "auto"
    threads: int = 1

    def __post_init__(self) -> None:
        unknown = [mode for mode in self.modes if mode not in MODES]
        if unknown or not self.modes:
            raise InvalidInput(f"a mode is {', '.join(MODES)}, not {', '.join(unknown) or 'nothing'}", field="mode")


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What differs between the two."""

    name: str
    read: Callable[[Sequence[Path]], list[VideoProbes]]
    official_wording: Callable[[Path], Wording]
    judge: Judge
    total: Total
    results: Callable[[Path, str, Mapping[str, Answer]], Any]
    extra: Callable[[Sequence[tuple[Probe, Answer]]], dict[str, float]]
    notes: Callable[[Sequence[Probe]], list[str]]


def main(
    benchmark: Benchmark,
    annotations: list[Path],
    videos: Path,
    *,
    asking: Asking,
    playing: Playing,
    phrasing: Phrasing | None = None,
    out: Path | None = None,
    as_json: bool = False,
) -> Path:
    """Run, store, print; returns the folder (default `runs/<benchmark>-<time>/`), from which a later run goes on.

    `phrasing`: in place of what `asking` says about answers and prompts. Raises NotFound, InvalidInput, UnknownBackend,
    ModelNotUsable, DeviceAbsent, Exhausted, MissingExtra.
    """
    groups = keep_tasks(benchmark.read(annotations), asking.tasks, asking.limit)
    found, missing = find_videos(videos, groups, skip_missing=asking.skip_missing)
    wording = OwnWording() if asking.prompts is None else benchmark.official_wording(asking.prompts)
    phrased = phrasing or phrasing_of(asking.answers, wording)
    engine = LocalEngine.load(ModelSource(asking.model, device=asking.device, threads=asking.threads))
    settings = {
        "benchmark": benchmark.name,
        "annotations": digest(annotations),
        "model": engine.info().model,
        "weights": engine.loaded.backend.fingerprint,
        "answers": asking.answers if phrasing is None else type(phrasing).__name__,
        "prompts": wording.name,
        **asdict(playing),
    }
    folder = out or Path("runs") / f"{benchmark.name.lower()}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    ledger = AnswerLedger(folder / "answers.jsonl", settings)
    _play_all(engine, found, phrased, asking.modes, playing, ledger)
    asked = [probe for group, _ in found for probe in group.probes]
    by_mode = {mode: _answered(found, mode, ledger) for mode in asking.modes}
    refill = {answer.probe_id: answer for _, answer in by_mode.get("refill", [])}
    report = BenchmarkReport(
        name=benchmark.name,
        settings={**settings, "device": engine.info().device},
        conditions=conditions(),
        videos=len(found),
        missing=tuple(missing),
        modes=tuple(
            score_mode(mode, answered, benchmark.judge, benchmark.total, refill, benchmark.extra(answered))
            for mode, answered in by_mode.items()
        ),
        notes=(*_notes(asking, wording, missing, asked), *benchmark.notes(asked)),
    )
    _save(benchmark, report, by_mode, annotations, folder)
    _tell(report, folder, as_json)
    return folder


def _play_all(
    engine: LocalEngine,
    found: Sequence[tuple[VideoProbes, Path]],
    phrasing: Phrasing,
    modes: Sequence[str],
    playing: Playing,
    ledger: AnswerLedger,
) -> None:
    with progress() as bar:
        total_s = int(sum(group.last_s for group, _ in found))
        tasks = {mode: bar.add_task(f"{mode}, seconds of video", total=total_s, start=False) for mode in modes}
        for mode in modes:
            bar.start_task(tasks[mode])
            before_s = 0.0
            for group, path in found:
                known = {answer.probe_id for answer in ledger.done.get((mode, group.name), ())}
                probes = [probe for probe in group.probes if probe.probe_id not in known]
                if probes:
                    recording = open_recording(path, PictureOptions(fps=playing.fps))
                    # A video that ends before its last question lets the bar catch up afterwards.
                    moved = partial(_moved, bar, tasks[mode], before_s)
                    ledger.add(mode, group.name, play(engine, recording, probes, phrasing, mode, playing, moved))
                before_s += group.last_s
                _moved(bar, tasks[mode], before_s, 0.0)


def _moved(bar: Progress, task: TaskID, before_s: float, at_s: float) -> None:
    bar.update(task, completed=int(before_s + at_s))


def _answered(found: Sequence[tuple[VideoProbes, Path]], mode: str, ledger: AnswerLedger) -> list[tuple[Probe, Answer]]:
    pairs = []
    for group, _ in found:
        answers = {answer.probe_id: answer for answer in ledger.done[mode, group.name]}
        pairs += [(probe, answers[probe.probe_id]) for probe in group.probes]
    return pairs


def _notes(asking: Asking, wording: Wording, missing: Sequence[str], asked: Sequence[Probe]) -> list[str]:
    notes = []
    if wording.name != "official":
        notes.append("prompts are Stillwing's own: scores compare with each other and with no published ones")
    if asking.answers != "free":
        notes.append(f"answers are constrained ({asking.answers}): scores compare with no published ones")
    if missing:
        notes.append(f"{len(missing)} videos are missing; what is asked of them is in no score")
    if asking.tasks or asking.limit:
        notes.append(f"a part of the benchmark: {len(asked)} questions")
    return notes


def _save(
    benchmark: Benchmark,
    report: BenchmarkReport,
    by_mode: Mapping[str, Sequence[tuple[Probe, Answer]]],
    annotations: Sequence[Path],
    folder: Path,
) -> None:
    (folder / "report.json").write_text(json.dumps(report.to_json(), indent=1) + "\n", encoding="utf-8")
    (folder / "report.md").write_text(report.to_markdown(), encoding="utf-8")
    for mode, answered in by_mode.items():
        answers = {answer.probe_id: answer for _, answer in answered}
        for path in annotations:
            results = benchmark.results(path, str(report.settings["model"]), answers)
            name = f"official-{mode}-{path.stem}.json"
            (folder / name).write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _tell(report: BenchmarkReport, folder: Path, as_json: bool) -> None:
    if as_json:
        print(json.dumps(report.to_json()))
        return
    console = Console(highlight=False, markup=False)
    console.print(report.to_table())
    for note in report.notes:
        console.print(f"note: {note}", soft_wrap=True)
    console.print(f"stored in {folder}: report.md, report.json, answers.jsonl, official-*.json", soft_wrap=True)


def _micro(by_task: Mapping[str, float], counts: Mapping[str, int]) -> tuple[dict[str, float], float]:
    asked = sum(counts[task] for task in by_task)
    return {}, sum(by_task[task] * counts[task] for task in by_task) / asked if asked else 0.0


def _proactive_answers(answered: Sequence[tuple[Probe, Answer]]) -> dict[str, float]:
    due = [said_what_was_due(probe, answer) for probe, answer in answered if probe.kind is ProbeKind.PROACTIVE]
    return {"proactive_answers": sum(due) / len(due)} if due else {}


def _deaf(asked: Sequence[Probe]) -> list[str]:
    deaf = sorted({probe.task for probe in asked} & streaming_bench.NEEDS_SOUND)
    return [f"asked without the sound that these tasks are partly about: {', '.join(deaf)}"] if deaf else []


OVO = Benchmark(
    name=ovo_bench.NAME,
    read=lambda paths: [group for path in paths for group in ovo_bench.read_annotations(path)],
    official_wording=OvoWording.read,
    judge=judge_ovo,
    total=lambda by_task, counts: ovo_bench.official_total(by_task),
    results=lambda path, model, answers: ovo_bench.official_results(path, answers),
    extra=lambda answered: {},
    notes=lambda asked: [],
)

STREAMING = Benchmark(
    name=streaming_bench.NAME,
    read=streaming_bench.read_annotations,
    official_wording=StreamingWording.read,
    judge=judge_streaming,
    total=_micro,
    results=streaming_bench.official_results,
    extra=_proactive_answers,
    notes=_deaf,
)

BENCHMARKS = {"ovo-bench": OVO, "streaming-bench": STREAMING}
"""By the name of the command."""
