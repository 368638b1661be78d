"""OVO-Bench: its annotations as probes, its score, and its own format of results.

Facts of github.com/JoeLeelyf/OVO-Bench: `data/ovo_bench_new.json` is a list of objects with `id`, `task`, `video`; nine
tasks with `realtime`, `question`, `options`, `gt` (a place in `options`), three with `test_info`, a list of instants
`realtime` with `count` or `type`. A question at `realtime` sees [0, ceil(realtime)]. A task's score is the mean over
its questions, a category's the mean over its tasks, the total the mean over the three categories.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stillwing_common.errors import InvalidInput
from stillwing_lab.video_benchmarks.annotations import load_json, texts, wanted
from stillwing_lab.video_benchmarks.probes import LETTERS, NO, YES, Answer, Probe, ProbeKind, VideoProbes

NAME = "OVO-Bench"

CATEGORIES: Mapping[str, tuple[str, ...]] = {
    "backward": ("EPM", "ASI", "HLD"),
    "realtime": ("OCR", "ACR", "ATR", "STU", "FPD", "OJR"),
    "forward": ("REC", "SSR", "CRR"),
}
"""Tasks of each category: what was before, what is now, and whether it is time to answer."""

_OF_TASK = {task: category for category, tasks in CATEGORIES.items() for task in tasks}
_NUMBER = (int, float)


def read_annotations(path: Path) -> list[VideoProbes]:
    """Probes by video, in the order of the file. Raises NotFound, InvalidInput."""
    entries = load_json(path)
    if not isinstance(entries, list) or not entries:
        raise InvalidInput(f"{path} is to hold a list of annotations", field="annotations")
    by_video: dict[str, list[Probe]] = {}
    seen: set[str] = set()
    for place, entry in enumerate(entries):
        where = f"{path.name}, entry {place}"
        video = wanted(entry, "video", str, where)
        for probe in _probes(entry, where):
            if probe.probe_id in seen:
                raise InvalidInput(f"{where}: id {probe.probe_id} occurs twice", field="annotations")
            seen.add(probe.probe_id)
            by_video.setdefault(video, []).append(probe)
    return [VideoProbes(video, tuple(probes)) for video, probes in by_video.items()]


def _probes(entry: Any, where: str) -> list[Probe]:
    task = wanted(entry, "task", str, where)
    number = str(wanted(entry, "id", (int, str), where))
    if task not in _OF_TASK:
        raise InvalidInput(f"{where}: there is no task {task!r}", field="annotations")
    if _OF_TASK[task] != "forward":
        options, gt = texts(entry, "options", where), wanted(entry, "gt", int, where)
        if not 0 <= gt < len(options):
            raise InvalidInput(f"{where}: gt {gt} is no place in its options", field="annotations")
        question = wanted(entry, "question", str, where)
        return [Probe(number, task, ProbeKind.CHOICE, _seen_s(entry, where), question, LETTERS[gt], options)]
    return [
        _forward(entry, info, f"{number}/{place}", task, f"{where}, test_info {place}")
        for place, info in enumerate(wanted(entry, "test_info", list, where))
    ]


def _forward(entry: Any, info: Any, probe_id: str, task: str, where: str) -> Probe:
    time_s = _seen_s(info, where)
    if task == "REC":
        count = str(wanted(info, "count", int, where))
        return Probe(probe_id, task, ProbeKind.COUNT, time_s, wanted(entry, "activity", str, where), count)
    answer = YES if wanted(info, "type", int, where) else NO
    if task == "SSR":
        return Probe(probe_id, task, ProbeKind.STEP, time_s, wanted(info, "step", str, where), answer)
    return Probe(probe_id, task, ProbeKind.ENOUGH, time_s, wanted(entry, "question", str, where), answer)


def _seen_s(entry: Any, where: str) -> float:
    realtime = wanted(entry, "realtime", _NUMBER, where)
    if not 0 <= realtime < math.inf:
        raise InvalidInput(f"{where}: realtime is {realtime}", field="annotations")
    return float(math.ceil(realtime))


def official_total(by_task: Mapping[str, float]) -> tuple[dict[str, float], float]:
    """Score of each category there is, and the mean over them, from tasks' scores."""
    categories = {}
    for category, tasks in CATEGORIES.items():
        scores = [by_task[task] for task in tasks if task in by_task]
        if scores:
            categories[category] = sum(scores) / len(scores)
    return categories, sum(categories.values()) / len(categories) if categories else 0.0


def official_results(path: Path, answers: Mapping[str, Answer]) -> dict[str, list[Any]]:
    """What the benchmark's own scoring script reads, of the annotations that were asked."""
    found: dict[str, list[Any]] = {category: [] for category in CATEGORIES}
    for entry in load_json(path):
        number, category = str(entry["id"]), _OF_TASK[entry["task"]]
        if category != "forward":
            if number in answers:
                told = {name: entry[name] for name in ("id", "video", "task", "question")}
                said = answers[number].said
                found[category].append({**told, "response": said, "ground_truth": LETTERS[entry["gt"]]})
            continue
        said_of = [
            {**info, "response": answers[f"{number}/{place}"].said}
            for place, info in enumerate(entry["test_info"])
            if f"{number}/{place}" in answers
        ]
        if said_of:
            found[category].append({**entry, "test_info": said_of})
    return found
