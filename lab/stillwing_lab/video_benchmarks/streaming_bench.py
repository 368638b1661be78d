"""StreamingBench: its annotations as probes, its score, and its own format of results.

Facts of github.com/THUNLP-MT/StreamingBench: files of entries with `video_path` and `questions`, each with `task_type`,
`question`, `time_stamp`; multiple choice with `options` and the letter `answer`; sequential ones (lists of entries) are
asked with the questions before them and their right answers; proactive ones have `ground_truth_time_stamp` and
`ground_truth_output` and are asked every second. Scores are micro averages.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stillwing_common.errors import InvalidInput
from stillwing_lab.video_benchmarks.annotations import load_json, texts, wanted
from stillwing_lab.video_benchmarks.probes import LETTERS, Answer, Probe, ProbeKind, VideoProbes

NAME = "StreamingBench"

NEEDS_SOUND = frozenset({"Emotion Recognition", "Source Discrimination", "Multimodal Alignment", "Scene Understanding"})
"""Tasks whose questions are partly about sound, which no model here hears."""

_LONGEST_S = 24 * 3600


def read_annotations(paths: Sequence[Path]) -> list[VideoProbes]:
    """Probes by video, in the order of the files. Raises NotFound, InvalidInput."""
    by_video: dict[str, list[Probe]] = {}
    for path in paths:
        for place, video, probe in _probes(path):
            known = by_video.setdefault(video, [])
            if any(other.probe_id == probe.probe_id for other in known):
                raise InvalidInput(f"{path.name}, entry {place}: {probe.probe_id} occurs twice", field="annotations")
            known.append(probe)
    return [VideoProbes(video, tuple(probes)) for video, probes in by_video.items()]


def _probes(path: Path) -> list[tuple[int, str, Probe]]:
    entries = load_json(path)
    if not isinstance(entries, list) or not entries:
        raise InvalidInput(f"{path} is to hold a list of annotations", field="annotations")
    found: list[tuple[int, str, Probe]] = []
    for place, entry in enumerate(entries):
        sequence = entry if isinstance(entry, list) else None
        context = "" if sequence is not None else None
        for part in sequence or [entry]:
            where = f"{path.name}, entry {place}"
            video = wanted(part, "video_path", str, where)
            for number, question in enumerate(wanted(part, "questions", list, where)):
                asked = f"{where}, question {number}"
                probe = _probe(question, f"{path.stem}/{place}/{len(found)}", context, asked)
                found.append((place, video, probe))
                if context is not None:
                    context += _told(question, probe)
    return found


def _probe(entry: Any, probe_id: str, context: str | None, where: str) -> Probe:
    task = wanted(entry, "task_type", str, where)
    question = wanted(entry, "question", str, where)
    time_s = seconds(wanted(entry, "time_stamp", str, where), where)
    if "ground_truth_time_stamp" in entry:
        due_s = seconds(wanted(entry, "ground_truth_time_stamp", str, where), where)
        output = wanted(entry, "ground_truth_output", str, where)
        return Probe(probe_id, task, ProbeKind.PROACTIVE, time_s, question, output, due_s=due_s)
    options = tuple(_unlettered(place, option) for place, option in enumerate(texts(entry, "options", where)))
    answer = wanted(entry, "answer", str, where).strip()
    if answer not in LETTERS[: len(options)] or not answer:
        raise InvalidInput(f"{where}: answer {answer!r} is no letter of its options", field="annotations")
    return Probe(probe_id, task, ProbeKind.CHOICE, time_s, question, answer, options, context)


def seconds(stamp: str, where: str = "time_stamp") -> float:
    """ "00:03:10" as seconds: parts of sixty, as the benchmark reads them, so that its slips stay what they are there.

    A stamp beyond a day is taken for the video's end. Raises InvalidInput.
    """
    try:
        parts = [int(part) for part in stamp.strip().split(":")]
    except ValueError:
        parts = []
    if not parts or min(parts) < 0:
        raise InvalidInput(f"{where}: {stamp!r} is no time", field="annotations")
    total = sum(part * 60**power for power, part in enumerate(reversed(parts)))
    return float(min(total, _LONGEST_S))


def _unlettered(place: int, option: str) -> str:
    return option.removeprefix(f"{LETTERS[place]}.").strip() or option


def _told(entry: Any, probe: Probe) -> str:
    options = ", ".join(f"{letter}. {option}" for letter, option in zip(LETTERS, probe.options, strict=False))
    return f"Asked at {entry['time_stamp']}: {probe.question} Options: {options}. The answer was {probe.answer}.\n"


def official_results(path: Path, model: str, answers: Mapping[str, Answer]) -> list[Any]:
    """The annotations with what was said below the model's name, as the benchmark's own counting script reads them."""
    entries = load_json(path)
    number = 0
    for place, entry in enumerate(entries):
        for part in entry if isinstance(entry, list) else [entry]:
            for question in part["questions"]:
                answer = answers.get(f"{path.stem}/{place}/{number}")
                number += 1
                if answer is not None:
                    question[model] = _official(question, answer)
    return list(entries)


def _official(question: Any, answer: Answer) -> Any:
    if "ground_truth_time_stamp" not in question:
        return answer.said or ""
    told = [{"role": "assistant", "content": said, "time": at_s, "cost": 0.0} for at_s, said in answer.dialog]
    return {"answered": answer.asked_s if answer.said is not None else False, "dialog_history": told}
