"""`stillwing record`: a flight by hand, by a script or by somebody else, into one MCAP file."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from stillwing_bridge.client import RemoteBridge
from stillwing_bridge.core.types import Telemetry
from stillwing_cli.keyboard import keys
from stillwing_cli.manual import KEYS_HELP, TICK_S, ManualFlight
from stillwing_cli.plan import BRIDGE
from stillwing_cli.report import fresh_folder
from stillwing_cli.script import TimedCommand, parse_script
from stillwing_cli.state import default_state, read_state
from stillwing_cli.terminal import AsJson, err, finite, next_step, out, print_json, run
from stillwing_common.errors import InvalidInput, NotFound, StillwingError
from stillwing_common.signals import end_on_signals
from stillwing_recording.flight_file import RecordingSummary
from stillwing_recording.recorder import FlightRecorder, RecorderSettings

_CONNECT_WAIT_S = 3.0


def record(
    script: Annotated[Path | None, typer.Option(help="Fly these timed commands instead of the keyboard's.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Record what somebody else flies; until Ctrl-C.")] = False,
    fps: Annotated[float, typer.Option(min=2, max=1000, callback=finite, help="Frames a second.")] = 4.0,
    vehicle: Annotated[str, typer.Option(help="Which vehicle; empty takes the first.")] = "",
    file: Annotated[
        Path | None, typer.Option("--out", help="The file; a fresh folder under runs if not given.")
    ] = None,
    take: Annotated[bool, typer.Option("--take", help="Take the vehicle from whoever holds it.")] = False,
    bridge: Annotated[
        str, typer.Option(help="Address of the bridge, host:port; known for a stack of this folder.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Fly by keyboard or script, and record it. Exit code 1 if a command of a script failed."""
    if script is not None and watch:
        raise typer.BadParameter("--script flies and --watch does not")
    if run(_record(script, watch, fps, vehicle, file, take, bridge, as_json)):
        raise typer.Exit(1)


async def _record(
    script: Path | None,
    watch: bool,
    fps: float,
    vehicle: str,
    file: Path | None,
    take: bool,
    address: str,
    as_json: bool,
) -> int:
    console = err if as_json else out
    commands = _read_script(script) if script is not None else None
    stack = read_state() or default_state()
    failed, summary = 0, None
    with end_on_signals():
        link = await RemoteBridge.connect(address or stack.address(BRIDGE), stack.channel, wait_s=_CONNECT_WAIT_S)
        try:
            vehicles = await link.list_vehicles()
            if not vehicles:
                raise NotFound("the bridge has no vehicle")
            vehicle_id = vehicle or vehicles[0].vehicle_id
            path = file or fresh_folder(Path("runs"), datetime.now().astimezone()) / "flight.mcap"
            how = "script" if commands else "watch" if watch else "keyboard"
            recorder = FlightRecorder(
                path, link, vehicle_id, RecorderSettings(fps=fps), metadata={"recorder": f"stillwing record, {how}"}
            )
            try:
                await recorder.start()
                if as_json:
                    print_json({"state": "recording", "path": str(path), "pid": os.getpid()})
                console.print(f"recording to {path}")
                if watch:
                    await asyncio.Event().wait()
                else:
                    failed = await _fly(link, vehicle_id, commands, take, console)
            finally:
                summary = await recorder.close()
        finally:
            await link.close()
    if summary is not None:
        _tell(summary, as_json, console)
    return failed


async def _fly(
    link: RemoteBridge, vehicle_id: str, commands: list[TimedCommand] | None, take: bool, console: Console
) -> int:
    holder = f"stillwing record, process {os.getpid()}"
    state = (
        await link.take_lease(vehicle_id, holder, "stillwing record --take")
        if take
        else await link.acquire_lease(vehicle_id, holder)
    )
    flight = ManualFlight(link, state.lease, lambda words: console.print(words, style="yellow", highlight=False))
    try:
        if commands is not None:
            return await flight.fly_script(commands)
        await _fly_by_keys(flight, link, vehicle_id, console)
        return 0
    finally:
        # Given back the vehicle holds; if this fails the bridge holds it by itself.
        with contextlib.suppress(StillwingError):
            await link.return_lease(state.lease)


async def _fly_by_keys(flight: ManualFlight, link: RemoteBridge, vehicle_id: str, console: Console) -> None:
    with console.status(KEYS_HELP) as status, keys(flight.press):
        shown = asyncio.create_task(_show(link, vehicle_id, status.update))
        try:
            while not flight.ended:
                await flight.tick()
                await asyncio.sleep(TICK_S)
        finally:
            shown.cancel()
            await asyncio.gather(shown, return_exceptions=True)


async def _show(link: RemoteBridge, vehicle_id: str, update: Callable[[str], None]) -> None:
    async for state in link.watch_telemetry(vehicle_id, max_rate_hz=4):
        update(f"{_line(state)}   {KEYS_HELP}")


def _line(state: Telemetry) -> str:
    position = state.pose.position
    stop = f" · STOPPED: {state.emergency_stop.name}" if state.emergency_stop else ""
    return (
        f"north {position.north_m:.1f} east {position.east_m:.1f} up {-position.down_m:.1f} m"
        f" · {state.velocity.speed_m_s:.1f} m/s{stop}"
    )


def _read_script(path: Path) -> list[TimedCommand]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: {error}", path=path) from error
    return parse_script(text)


def _tell(summary: RecordingSummary, as_json: bool, console: Console) -> None:
    if as_json:
        print_json(
            {
                "path": str(summary.path),
                "duration_s": round(summary.duration_s, 2),
                "frames": summary.frames,
                "size_bytes": summary.size_bytes,
                "dropped": summary.dropped,
                "missed": summary.missed,
                "fault": summary.fault,
            }
        )
    console.print(
        f"\n{summary.path}: {summary.duration_s:.1f} s, {summary.frames} frames, {summary.size_bytes / 1e6:.1f} MB"
    )
    if summary.dropped or summary.missed:
        console.print(f"not in it: dropped {summary.dropped}, missed {summary.missed}", style="yellow")
    if summary.fault:
        console.print(f"it ended early: {summary.fault}", style="red")
    next_step(console, f"stillwing replay {summary.path}", "serve it as if it were live")
