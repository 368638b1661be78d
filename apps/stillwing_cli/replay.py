"""`stillwing replay`: a recording served as if it were live, or told at a glance."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from stillwing_cli.terminal import AsJson, err, finite, next_step, out, print_json, run
from stillwing_cli.up import Certs
from stillwing_common.signals import end_on_signals
from stillwing_recording.base import Recording, RecordingInfo
from stillwing_recording.opening import open_recording
from stillwing_recording.pictures import PictureOptions
from stillwing_rpc.certificates import CertificateFolder
from stillwing_rpc.settings import ServerSettings


def replay(
    file: Annotated[Path, typer.Argument(help="A flight.mcap, a folder of JPEG or PNG files, or a video.")],
    info: Annotated[bool, typer.Option("--info", help="Tell what it holds and serve nothing.")] = False,
    speed: Annotated[
        float,
        typer.Option(
            min=0, max=1000, callback=finite, help="Times the recorded pace; 0 goes as fast as readers take frames."
        ),
    ] = 1.0,
    commands: Annotated[
        str, typer.Option(help="refuse motions, or note those that a live bridge would check.")
    ] = "refuse",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes any free one.")] = 50061,
    fps: Annotated[
        float, typer.Option(min=0, callback=finite, help="Pictures: their rate. Videos: at most so many; 0 every one.")
    ] = 0.0,
    hfov_deg: Annotated[
        float, typer.Option("--hfov-deg", callback=finite, help="Horizontal field of view of pictures and videos.")
    ] = 90.0,
    certs: Certs = "",
    as_json: AsJson = False,
) -> None:
    """Serve a recording through the bridge's own protos, so that agents and engines can be tried on it."""
    run(
        _replay(file, PictureOptions(fps or None, hfov_deg), info, speed, commands, _served(host, port, certs), as_json)
    )


def _served(host: str, port: int, certs: str) -> ServerSettings:
    tls = CertificateFolder(Path(certs)).server_settings() if certs else {}
    return ServerSettings(host=host, port=port, **tls)  # type: ignore[arg-type]  # texts become paths and a secret


async def _replay(
    file: Path,
    options: PictureOptions,
    info: bool,
    speed: float,
    commands: str,
    settings: ServerSettings,
    as_json: bool,
) -> None:
    console = err if as_json else out
    with console.status(Text(f"reading {file}")):
        recording = await asyncio.to_thread(open_recording, file, options)
        glance = await asyncio.to_thread(recording.info)
    tell(glance, as_json and info)
    if info:
        next_step(console, f"stillwing replay {file}", "serve it as if it were live")
        return
    with end_on_signals() as watch:
        await _serve(recording, glance, speed, commands, settings, as_json)
    if watch.came:
        console.print("ended early")
    next_step(console, f"stillwing replay {file} --speed 0", "again, as fast as it is read")


async def _serve(
    recording: Recording, glance: RecordingInfo, speed: float, commands: str, settings: ServerSettings, as_json: bool
) -> None:
    from stillwing_bridge.server import DEADLINE_REQUIRED, registrations
    from stillwing_common.errors import InvalidInput
    from stillwing_recording.replay import CommandMode, ReplayBridge
    from stillwing_rpc.server import RpcServer

    if commands not in {mode.value for mode in CommandMode}:
        raise InvalidInput(f"commands is refuse or note, not {commands!r}", field="commands")
    console = err if as_json else out
    bridge = ReplayBridge(recording, speed=speed, commands=CommandMode(commands))
    server = RpcServer(
        registrations(bridge, None),
        settings,
        on_drain=bridge.close,
        deadline_required=DEADLINE_REQUIRED,
    )
    async with AsyncExitStack() as stack:
        await bridge.start()
        stack.push_async_callback(bridge.close)
        address = f"{settings.host}:{await server.start()}"
        stack.push_async_callback(server.drain)
        await server.set_serving()
        if as_json:
            print_json({"state": "serving", "address": address})
        console.print(f"serving on {address}; it begins with the first reader of frames, Ctrl-C ends it")
        with Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.completed:.1f} of {task.total:.1f} s"),
            console=console,
            transient=True,
        ) as progress:
            task = progress.add_task("waiting for a reader", total=glance.duration_s)
            ended = asyncio.ensure_future(bridge.playback.run())
            while not ended.done():
                await asyncio.wait({ended}, timeout=0.2)
                progress.update(
                    task,
                    completed=bridge.playback.position_s,
                    description="replaying" if bridge.playback.began else "waiting for a reader",
                )
            await ended
        console.print(f"the recording is over after {bridge.playback.position_s:.1f} s of it")


def tell(glance: RecordingInfo, as_json: bool) -> None:
    """What a recording holds, for people or programs."""
    if as_json:
        print_json(as_plain_info(glance))
        return
    vehicle = glance.vehicle
    cameras = ", ".join(f"{each.camera_id} {each.width_px}x{each.height_px}" for each in vehicle.cameras)
    out.print(f"{glance.path}: {glance.kind}, {glance.duration_s:.1f} s, vehicle {vehicle.vehicle_id} ({cameras})")
    for topic, count in sorted(glance.counts.items()):
        out.print(f"  {topic:<32} {count:>8}")
    if not glance.whole:
        out.print("  cut off: it was never closed, and ends with its last whole chunk", style="yellow")
    for what, counts in (
        ("dropped", glance.losses.dropped),
        ("missed", glance.losses.missed),
        ("broken off and taken up again", glance.losses.interruptions),
    ):
        for topic, count in counts.items():
            out.print(f"  {topic}: {count} {what}", style="yellow")


def as_plain_info(glance: RecordingInfo) -> dict[str, object]:
    """The same as JSON values."""
    return {
        "path": str(glance.path),
        "kind": glance.kind,
        "vehicle_id": glance.vehicle.vehicle_id,
        "began_ns": glance.began_ns,
        "duration_s": round(glance.duration_s, 3),
        "frames": glance.frames,
        "counts": glance.counts,
        "whole": glance.whole,
        "dropped": glance.losses.dropped,
        "missed": glance.losses.missed,
        "interruptions": glance.losses.interruptions,
        "metadata": glance.metadata,
    }
