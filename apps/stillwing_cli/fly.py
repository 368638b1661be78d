"""`stillwing fly`: one mission end to end. Brings up what is not up, flies, reports, takes down what it brought up."""

import asyncio
import shutil
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from stillwing_agent.client import RemoteAgent
from stillwing_agent.core.types import Mission, MissionRequest
from stillwing_airfield.scenes import SceneSpec, build_scene
from stillwing_bridge.client import RemoteBridge, RemoteSimulation
from stillwing_cli.flight_record import FlightRecord, ThinkingAudit, goal_in
from stillwing_cli.fly_display import FlightDisplay
from stillwing_cli.plan import AGENT, BRIDGE, MEMORY, Choices
from stillwing_cli.range_check import NOT_TAUGHT, may_fly, tell_not_flown
from stillwing_cli.report import LABELS, fresh_folder, write_report
from stillwing_cli.stack import running_stack
from stillwing_cli.state import StackState, default_state, read_state
from stillwing_cli.supervisor import Supervisor
from stillwing_cli.terminal import AsJson, err, finite, next_step, out, print_json, run
from stillwing_cli.told_stop import CLEAR_COMMAND, follow_stops, stop_words, stops_in_force
from stillwing_cli.up import AgentName, Certs, Endpoint, Model, Profile, Scene, Seed, absolute
from stillwing_common.errors import EmergencyStopped, NotFound, StillwingError
from stillwing_common.ids import new_id
from stillwing_common.signals import end_on_signals
from stillwing_memory.client import RemoteMemoryBank
from stillwing_recording.flight_file import RecordingSummary
from stillwing_recording.recorder import FlightRecorder, RecorderSettings

_TELEMETRY_HZ = 10.0
_FIGURES_EVERY_S = 0.5
_CONNECT_WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Order:
    """What the user asked for."""

    goal: str
    goal_thing: str
    vehicle: str
    time_limit_s: float
    runs: Path
    record_fps: float
    as_json: bool
    anyway: bool


@dataclass(frozen=True, slots=True)
class Links:
    """Connections to the services a flight is watched through."""

    agent: RemoteAgent
    bridge: RemoteBridge
    memory: RemoteMemoryBank


def fly(
    goal: Annotated[str, typer.Argument(help="What to do; empty takes the scene's own mission.")] = "",
    scene: Scene = "meadow",
    seed: Seed = 3,
    model: Model = "",
    endpoint: Endpoint = "",
    agent: AgentName = "tool_calling",
    profile: Profile = "auto",
    goal_thing: Annotated[
        str,
        typer.Option(
            "--goal-thing", help="Thing of the scene at which it is to end, such as beacon_red, to verify it."
        ),
    ] = "",
    vehicle: Annotated[str, typer.Option(help="Which vehicle; empty takes the first.")] = "",
    time_limit_s: Annotated[
        float, typer.Option("--time-limit", min=1, callback=finite, help="Seconds until the mission gives up.")
    ] = 300,
    runs: Annotated[Path, typer.Option("--out", help="Where the report's folder is made.")] = Path("runs"),
    record_fps: Annotated[
        float,
        typer.Option(
            "--record-fps",
            min=0,
            max=1000,
            callback=finite,
            help="Frames a second of the recording; 0 records nothing.",
        ),
    ] = 2,
    attach: Annotated[
        bool, typer.Option("--attach", help="Fly with services started otherwise, on their default ports.")
    ] = False,
    certs: Certs = "",
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Fly also what the model was not taught, without being asked.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Fly one mission, show it live, and store a report. Exit code 0 only if it was achieved."""
    order = Order(goal, goal_thing, vehicle, time_limit_s, runs, record_fps, as_json, anyway)

    def choose() -> Choices:
        return Choices(scene, seed, model, agent, profile, certs=absolute(certs), endpoint=endpoint)

    exit_code = run(_fly(order, choose, attach))
    if exit_code:
        raise typer.Exit(exit_code)


async def _fly(order: Order, choose: Callable[[], Choices], attach: bool) -> int:
    console = err if order.as_json else out
    exit_code = 1
    with end_on_signals() as watch:
        present = read_state()
        if present is not None:
            console.print(f"flying with the stack that is up (process {present.pid})", style="dim")
            exit_code = await _fly_with(order, present, None, console)
        elif attach:
            console.print("flying with the services on their default ports", style="dim")
            exit_code = await _fly_with(order, replace(default_state(), choices=choose()), None, console)
        else:
            exit_code = await _fly_alone(order, choose(), console)
    if watch.came:
        console.print("ended early; the vehicle holds, and what was brought up is down")
    return exit_code


async def _fly_alone(order: Order, choices: Choices, console: Console) -> int:
    build_scene(choices.scene, choices.seed)  # a scene that is not known is told before anything starts
    async with AsyncExitStack() as stack:
        with console.status("starting") as status:
            began_s = time.monotonic()

            def say(name: str, line: str) -> None:
                if not name:
                    status.update(f"starting: {line}")
                    if not console.is_terminal:
                        console.print(line, style="dim")

            # Any free ports: this stack is nobody else's, and another one on the usual ports is left alone.
            state, supervisor = await stack.enter_async_context(running_stack(choices, "auto", say))
        console.print(f"everything is up after {time.monotonic() - began_s:.1f} s", style="dim")
        return await _fly_with(order, state, supervisor, console)


async def _fly_with(order: Order, state: StackState, supervisor: Supervisor | None, console: Console) -> int:
    async with AsyncExitStack() as stack:
        links = await _connect(state, stack)
        scene, request = await _request(order, state, links)
        if (stop := (await stops_in_force(links.bridge)).get(request.vehicle_id)) is not None:
            raise EmergencyStopped(stop_words(request.vehicle_id, stop))
        goal = goal_in(scene, request.goal, order.goal_thing)
        outside = await may_fly(links.agent, request.goal, scene, state, console, anyway=order.anyway)
        if outside is not None:
            tell_not_flown(outside, order.as_json, console)
            return NOT_TAUGHT
        folder = fresh_folder(order.runs, datetime.now().astimezone())
        recorder = await _begin_recording(order, links, request, folder, console)
        try:
            mission = await links.agent.start_mission(request)
        except BaseException:
            await _end_recording(recorder, console)
            await asyncio.to_thread(shutil.rmtree, folder)  # nothing flew: there is nothing to keep
            raise
        record = FlightRecord(scene, goal, mission, order.goal_thing)
        if recorder is not None:
            recorder.follow_mission(links.agent, mission.mission_id)
        flight = asyncio.create_task(_follow(links, record, console))
        failure = asyncio.create_task(supervisor.keep_up()) if supervisor else None
        try:
            await asyncio.wait({flight, failure} if failure else {flight}, return_when=asyncio.FIRST_COMPLETED)
            if failure is not None and failure.done() and not flight.done():
                raise failure.result()
            await flight
        finally:
            for task in (flight, failure):
                if task is not None:
                    task.cancel()
            if not record.mission.state.ended:
                await _cancel(links.agent, record.mission)
            summary = await asyncio.shield(_end_recording(recorder, console))
        with console.status("writing the report"):
            await _gather_rest(links, record)
            await asyncio.to_thread(write_report, record, folder)
            stops = await stops_in_force(links.bridge)
    _tell(record, folder, summary, order.as_json, console)
    for vehicle_id, stop in stops.items():
        console.print(Text(stop_words(vehicle_id, stop), "bold red"), soft_wrap=True)
    if stops:
        next_step(console, CLEAR_COMMAND, "when it is safe; until then nothing moves")
    else:
        next_step(console, f"stillwing fly --seed {(record.summary()['seed'] or 0) + 1}", "another scene")
    return record.exit_code


async def _begin_recording(
    order: Order, links: Links, request: MissionRequest, folder: Path, console: Console
) -> FlightRecorder | None:
    """The recorder of this flight; None where it is not wanted, or, told to the user, not possible."""
    if order.record_fps == 0:
        return None
    recorder = FlightRecorder(
        folder / "flight.mcap",
        links.bridge,
        request.vehicle_id,
        RecorderSettings(fps=order.record_fps, telemetry_hz=_TELEMETRY_HZ),
        metadata={"goal": request.goal, "recorder": "stillwing fly"},
    )
    try:
        await recorder.start()
    except StillwingError as error:
        console.print(f"this flight is not recorded: {error}", style="yellow")
        return None
    return recorder


async def _end_recording(recorder: FlightRecorder | None, console: Console) -> RecordingSummary | None:
    if recorder is None:
        return None
    summary = await recorder.close()
    if summary.fault:
        console.print(f"the recording ended early: {summary.fault}", style="yellow")
    return summary


async def _connect(state: StackState, stack: AsyncExitStack) -> Links:
    channel = state.channel
    links = Links(
        await RemoteAgent.connect(state.address(AGENT), channel, wait_s=_CONNECT_WAIT_S),
        await RemoteBridge.connect(state.address(BRIDGE), channel, wait_s=_CONNECT_WAIT_S),
        await RemoteMemoryBank.connect(state.address(MEMORY), channel, wait_s=_CONNECT_WAIT_S),
    )
    for link in (links.agent, links.bridge, links.memory):
        stack.push_async_callback(link.close)
    return links


async def _request(order: Order, state: StackState, links: Links) -> tuple[SceneSpec | None, MissionRequest]:
    scene = None if state.choices.simulator else build_scene(state.choices.scene, state.choices.seed)
    if not order.goal and scene is None:
        raise NotFound("no scene's own mission is known for this simulator; say what to do: stillwing fly 'Fly to …'")
    goal = order.goal or (scene.mission if scene else "")
    vehicles = await links.bridge.list_vehicles()
    if not vehicles:
        raise NotFound("the bridge has no vehicle")
    vehicle_id = order.vehicle or vehicles[0].vehicle_id
    return scene, MissionRequest(new_id("req"), goal, vehicle_id, order.time_limit_s)


async def _follow(links: Links, record: FlightRecord, console: Console) -> None:
    """Take events, telemetry and figures until the mission has ended, and show them."""
    with FlightDisplay(record, console) as display:
        background = [
            asyncio.create_task(_take_telemetry(links.bridge, record)),
            asyncio.create_task(_take_figures(links.agent, record, display)),
            asyncio.create_task(follow_stops(links.bridge, display.warn)),
        ]
        try:
            async for event in links.agent.watch_mission(record.mission.mission_id):
                record.add_event(event)
                display.show(event)
            record.mission = await links.agent.get_mission(record.mission.mission_id)
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)


async def _take_telemetry(bridge: RemoteBridge, record: FlightRecord) -> None:
    began_s = time.monotonic()
    before: int | None = None
    async for telemetry in bridge.watch_telemetry(record.mission.vehicle_id, max_rate_hz=_TELEMETRY_HZ):
        before = telemetry.collisions if before is None else min(before, telemetry.collisions)
        record.add_telemetry(telemetry, time.monotonic() - began_s, before)


async def _take_figures(agent: RemoteAgent, record: FlightRecord, display: FlightDisplay) -> None:
    while True:
        record.mission = await agent.get_mission(record.mission.mission_id)
        display.refresh()
        await asyncio.sleep(_FIGURES_EVERY_S)


async def _cancel(agent: RemoteAgent, mission: Mission) -> None:
    try:
        async with asyncio.timeout(5.0):
            await agent.cancel_mission(mission.mission_id)
    except (StillwingError, TimeoutError) as error:
        err.print(f"the mission could not be cancelled ({error}); the bridge holds the vehicle by itself")


async def _gather_rest(links: Links, record: FlightRecord) -> None:
    """Ground truth of the end, the bridge's own record, and the pixels of each decision."""
    vehicle_id = record.mission.vehicle_id
    if record.scene is not None:
        truth = await RemoteSimulation(links.bridge.channel).vehicle_ground_truth(vehicle_id)
        record.end_position = truth.pose.position
    audit = ThinkingAudit()
    async for entry in links.bridge.watch_flight_log(vehicle_id, until_now=True):
        audit.add(entry)
    record.motions_while_thinking = audit.violations
    for decision in record.decisions:
        if not decision.frame_id:
            continue  # it was asked and the mission ended before the answer
        try:
            keyframe = await links.memory.get_keyframe(decision.frame_id, include_image=True)
        except NotFound:
            continue  # lost on the way, as the mission's own events say; the report shows the decision without it
        decision.jpeg = keyframe.frame.image.data


def _tell(
    record: FlightRecord, folder: Path, recording: RecordingSummary | None, as_json: bool, console: Console
) -> None:
    summary = record.summary()
    if as_json:
        print_json(summary | {"report": str(folder), "recording": str(recording.path) if recording else None})
    console.print()
    for key, label in LABELS.items():
        value = summary[key]
        shown = "–" if value is None else ("yes" if value else "no") if isinstance(value, bool) else str(value)
        style = ("bold green" if value else "bold red") if key in ("claimed", "verified") and value is not None else ""
        console.print(f"  {label:<40} {shown}", style=style)
    if summary["error"]:
        console.print(f"  {summary['error']}", style="red")
    console.print(f"\nReport: {folder / 'report.html'}")
    if recording is not None:
        console.print(f"Recording: {recording.path}   {recording.frames} frames, {recording.size_bytes / 1e6:.1f} MB")
