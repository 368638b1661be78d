"""Asks a model the six probes about a video, with a progress bar; verdicts as text, JSON and a plot."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from matplotlib.figure import Figure
from rich.progress import Progress

from stillwing_common.errors import InvalidInput
from stillwing_common.types import Frame, Image, ImageEncoding, Stamp
from stillwing_lab.evaluate.run import conditions
from stillwing_lab.experiments.footage import airfield_frames
from stillwing_lab.experiments.report import COLOURS, Check, ExperimentReport
from stillwing_lab.experiments.run import keep_report, progress
from stillwing_lab.experiments.subject import SYSTEM_TEXT, Subject, load_subject
from stillwing_lab.frame_rate import FrameRate
from stillwing_lab.instructions.probes import PROBES, Shown
from stillwing_recording.opening import open_recording
from stillwing_recording.pictures import PictureOptions
from stillwing_vlm.core.local import LocalEngine

FPS = 2.0
MOST_FRAMES = 120
"""A minute of video."""
ANSWER_TOKENS = 256
_EXCERPT_CHARS = 70


@dataclass(frozen=True, slots=True)
class Watched:
    """Frames of a video, rising in time, and what is known of it."""

    source: str
    frames: tuple[Frame, ...]
    shown: Shown


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """One answer and its verdict."""

    probe: str
    prompt: str
    answer: str
    followed: bool
    why: str
    answer_tokens: int
    elapsed_ms: float


def watch_airfield(work: Path, bar: Progress) -> Watched:
    """Half a minute round a meadow, in which there are no people. Raises NoGraphics."""
    task = bar.add_task("draw frames in airfield", total=None)
    loop = airfield_frames(work / "frames", lambda done, total: bar.update(task, completed=done, total=total))
    bar.update(task, completed=len(loop.frames), total=len(loop.frames))
    frames = []
    for number, pixels in enumerate(loop.frames):
        height_px, width_px = pixels.shape[:2]
        image = Image(ImageEncoding.RGB8, width_px, height_px, pixels.tobytes())
        frames.append(Frame(f"lab/airfield/{number}", "airfield", Stamp(round(number / FPS * 1e9), "lab"), None, image))
    return Watched(loop.source, tuple(frames), Shown((len(frames) - 1) / FPS, 0))


def watch(source: Path, people: int | None) -> Watched:
    """The first minute of a recording, a folder of pictures or a video, at two frames a second.

    Raises what `open_recording` raises.
    """
    # Of a video every frame would be made a JPEG first; folders and recordings have their own times.
    options = PictureOptions(fps=FPS if source.is_file() else None)
    rate = FrameRate(FPS)
    frames: list[Frame] = []
    for entry in open_recording(source, options).frames():
        if rate.lets_through(entry.value.frame.capture):
            frames.append(entry.value.frame)
        if len(frames) == MOST_FRAMES:
            break
    if not frames:
        raise InvalidInput(f"{source} holds no frame", field="source")
    duration_s = (frames[-1].capture.time_ns - frames[0].capture.time_ns) / 1e9
    return Watched(str(source), tuple(frames), Shown(duration_s, people))


def ask_all(engine: LocalEngine, watched: Watched, *, max_tokens: int = ANSWER_TOKENS) -> Iterator[ProbeAnswer | None]:
    """Stream the frames (None for each), then ask every variant of every probe, each forked off the same trunk."""
    session = engine.open(SYSTEM_TEXT)
    for frame in watched.frames:
        session.append(frame)
        yield None
    for probe in PROBES:
        for variant in probe.variants:
            done = session.ask(variant.prompt, max_tokens=max_tokens)
            verdict = variant.judge(done.text, watched.shown)
            yield ProbeAnswer(
                probe.name, variant.prompt, done.text, verdict.followed, verdict.why, done.answer_tokens,
                round(1000 * done.elapsed_s, 2),
            )  # fmt: skip


def report_of(subject: Subject, watched: Watched, answers: list[ProbeAnswer]) -> ExperimentReport:
    """One check a probe: it is followed where all its variants are."""
    about = {
        "model": subject.name,
        "frames": f"{len(watched.frames)} of {watched.source}, {watched.shown.duration_s:g} s",
        "answers are": subject.answers_mean,
    }
    report = ExperimentReport("instructions", "Does the model do as it is told?", about)
    for probe in PROBES:
        mine = [answer for answer in answers if answer.probe == probe.name]
        followed = sum(answer.followed for answer in mine)
        first_wrong = next((answer for answer in mine if not answer.followed), mine[0])
        found = f"{followed} of {len(mine)}; {first_wrong.why}: {_excerpt(first_wrong.answer)}"
        report.checks.append(Check(f"{probe.name}: {probe.claim}", followed == len(mine), found))
    kept = sum(check.held for check in report.checks)
    distinct = len({answer.answer for answer in answers})
    report.notes.append(
        f"{kept} of {len(PROBES)} instructions followed; {distinct} different answers to {len(answers)}"
    )
    report.numbers = {
        "followed": kept,
        "probes": len(PROBES),
        "distinct_answers": distinct,
        "people_shown": watched.shown.people,
        "answers": [asdict(answer) for answer in answers],
        "conditions": conditions(),
    }
    return report


def draw(report: ExperimentReport) -> Figure:
    """How many variants of each probe were followed."""
    figure = Figure((6.4, 2.9), layout="constrained")
    axes = figure.subplots()
    names = [probe.name for probe in PROBES]
    counts = dict.fromkeys(names, 0)
    for answer in report.numbers["answers"]:
        counts[answer["probe"]] += answer["followed"]
    most = [len(probe.variants) for probe in PROBES]
    axes.barh(names, most, color="#e6e8ea")
    bars = axes.barh(names, [counts[name] for name in names], color=COLOURS[2])
    axes.bar_label(bars, [f"{counts[name]} of {few}" for name, few in zip(names, most, strict=True)], padding=4)
    axes.set_xticks(range(max(most) + 1))
    axes.invert_yaxis()
    axes.set_xlabel(f"variants followed by {report.subject['model']}")
    return figure


def main(
    model: str,
    *,
    source: Path | None = None,
    people: int | None = None,
    device: str = "auto",
    threads: int = 1,
    max_tokens: int = ANSWER_TOKENS,
    work: Path = Path(".stillwing/lab"),
    out: Path | None = None,
    as_json: bool = False,
) -> tuple[ExperimentReport, Path]:
    """Probe `model`, store and print what was found; the report and its folder.

    Raises ModelNotUsable, DeviceAbsent, InvalidInput, NotFound, NoGraphics, MissingExtra.
    """
    with progress() as bar:
        subject = load_subject(model, work, device=device, threads=threads)
        watched = watch_airfield(work, bar) if source is None else watch(source, people)
        task = bar.add_task("frames and questions", total=len(watched.frames) + sum(len(p.variants) for p in PROBES))
        answers = []
        for answer in ask_all(subject.engine, watched, max_tokens=max_tokens):
            bar.advance(task)
            if answer is not None:
                answers.append(answer)
    report = report_of(subject, watched, answers)
    return report, keep_report(report, draw, subject.name, out, as_json)


def _excerpt(text: str) -> str:
    flat = " ".join(text.split())
    return repr(flat if len(flat) <= _EXCERPT_CHARS else flat[:_EXCERPT_CHARS] + "…")
