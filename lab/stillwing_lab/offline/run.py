"""Runs a model's decisions over a recording with a progress bar, logs each as it is made, and writes the report."""

import json
from datetime import UTC, datetime
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from stillwing_agent.core.flight import FlightSettings
from stillwing_common.errors import InvalidInput
from stillwing_lab.evaluate.run import conditions
from stillwing_lab.experiments.run import progress
from stillwing_lab.offline.asking import Asker, asker_of
from stillwing_lab.offline.decide import Decision, Pace, decide
from stillwing_lab.offline.flown import FlownDecisions, read_flown
from stillwing_lab.offline.page import PAGE, TIMELINE, write_frame, write_page
from stillwing_lab.offline.report import OfflineReport, draw_timeline
from stillwing_recording import topics
from stillwing_recording.base import Recording, RecordingInfo
from stillwing_recording.opening import open_recording
from stillwing_recording.pictures import PictureOptions
from stillwing_vlm.core.catalog import PILOT, ModelSource
from stillwing_vlm.core.local import LocalEngine

DECISIONS = "decisions.jsonl"
FLIGHT_FPS = FlightSettings().frame_rate_hz
"""Frames a second that the agent gives the model in flight."""


def main(
    source: Path,
    *,
    model: str = PILOT,
    agent: str = "tool_calling",
    goal: str = "",
    question: str = "",
    pace: Pace | None = None,
    camera_id: str = "",
    device: str = "cpu",
    threads: int = 1,
    max_context_tokens: int = 0,
    out: Path | None = None,
    as_json: bool = False,
) -> Path:
    """Decide over `source`, store everything in a folder (default `runs/eval-recording-<time>/`), print the figures.

    Raises NotFound, InvalidInput (no goal and no question for a recording without a mission, no such camera, a folder
    that holds another run), UnknownBackend, ModelNotUsable, DeviceAbsent, MissingExtra.
    """
    pace = pace or Pace(fps=FLIGHT_FPS)
    recording = open_recording(source, PictureOptions())
    with progress() as bar:
        bar.add_task(f"read {source.name}", total=None)
        info = recording.info()
        asker = asker_of(agent, goal or info.metadata.get("goal", ""), question)
        _check(recording, asker, goal or info.metadata.get("goal", ""), question, camera_id)
        flown = read_flown(recording, camera_id) if asker.decides and _has_log(info) else FlownDecisions("nothing")
        engine = LocalEngine.load(ModelSource(model, device=device, threads=threads))
        folder = out or Path("runs") / f"eval-recording-{datetime.now(UTC):%Y%m%d-%H%M%S}"
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / DECISIONS).exists():
            raise InvalidInput(f"{folder} holds decisions already; give another --out", field="out")
        camera = camera_id or recording.vehicle.cameras[0].camera_id
        total = info.counts.get(topics.frame_topic(camera), 0)
        task = bar.add_task("frames", total=total)
        decisions: list[Decision] = []
        passed = appended = 0
        bad: list[str] = []
        with (folder / DECISIONS).open("w", encoding="utf-8") as log:
            for step in decide(
                engine, recording, asker, flown.by_frame(), pace,
                camera_id=camera_id, max_context_tokens=max_context_tokens, first_frame_id=flown.first_frame_id,
            ):  # fmt: skip
                passed, appended = passed + 1, appended + step.appended
                bad += [step.bad] if step.bad else []
                bar.advance(task)
                if step.decision is not None:
                    decisions.append(step.decision)
                    write_frame(folder, step.decision)
                    print(json.dumps(step.decision.to_json()), file=log, flush=True)
    about = {
        "recording": str(source),
        "kind": info.kind,
        "model": engine.info().model,
        "asked": question or f"as the {agent} agent: {asker.prompt}",
        "pace": f"a decision every {pace.every} frames, "
        + ("every frame" if pace.fps is None else f"at most {pace.fps:g} frames a second")
        + (f", from {flown.first_frame_id} on, as the mission" if flown.first_frame_id else ""),
    }
    report = OfflineReport(about, conditions(), passed, appended, tuple(decisions), flown.source, tuple(bad))
    _save(report, folder)
    _tell(report, folder, as_json)
    return folder


def _has_log(info: RecordingInfo) -> bool:
    return any(info.counts.get(topic) for topic in (topics.MISSION, topics.COMMANDS))


def _check(recording: Recording, asker: Asker, goal: str, question: str, camera_id: str) -> None:
    if not goal and not question:
        raise InvalidInput("the recording names no mission; say --goal, or ask something else with --question")
    known = [camera.camera_id for camera in recording.vehicle.cameras]
    if camera_id and camera_id not in known:
        raise InvalidInput(f"it has no camera {camera_id!r}; known: {', '.join(known)}", field="camera")


def _save(report: OfflineReport, folder: Path) -> None:
    (folder / "report.json").write_text(json.dumps(report.to_json(), indent=1) + "\n", encoding="utf-8")
    draw_timeline(report.decisions).savefig(folder / TIMELINE, dpi=130)
    write_page(report, folder)


def _tell(report: OfflineReport, folder: Path, as_json: bool) -> None:
    if as_json:
        print(json.dumps(report.to_json()))
        return
    table = Table(box=box.SIMPLE_HEAD, show_header=False, padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    for label, value in report.lines():
        table.add_row(label, value)
    console = Console(highlight=False, markup=False)
    console.print(table)
    console.print(f"stored in {folder}: {PAGE}, {DECISIONS}, report.json, {TIMELINE}", soft_wrap=True)
