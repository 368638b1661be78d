"""`airfield`: serve one scene to AirSim clients, draw the scenes, measure the speed. The composition root; no logic."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from stillwing_common.errors import StillwingError
from stillwing_common.extras import command_needs
from stillwing_common.signals import end_on_signals

with command_needs("airfield", "airfield"):
    from stillwing_airfield.bench import measure
    from stillwing_airfield.contact_sheet import draw_sheet
    from stillwing_airfield.dialects import Dialect
    from stillwing_airfield.faults import FaultPlan, Faults
    from stillwing_airfield.fleet import Fleet
    from stillwing_airfield.rendering import Optics
    from stillwing_airfield.scenes.base import build_scene, scene_names
    from stillwing_airfield.server import DEFAULT_PORT, AirfieldServer
    from stillwing_airfield.settings_file import Settings, load_settings
    from stillwing_airfield.sim import Airfield

app = typer.Typer(add_completion=False, help="Airfield: a headless simulator that speaks AirSim's wire protocol.")
_SELF_CHECK_S = 0.4
_LOOPBACK = ("127.0.0.1", "::1", "localhost")

Scene = Annotated[str, typer.Option(help="Which kind of scene: maze, meadow, orchard, street; maze,corridor_m=40.")]
Seed = Annotated[int, typer.Option(min=0, help="The scene is drawn from this number.")]
Width = Annotated[int, typer.Option(min=16, max=1920, help="Pixels across.")]
Height = Annotated[int, typer.Option(min=16, max=1080, help="Pixels down.")]
Samples = Annotated[int, typer.Option(min=0, max=8, help="Samples a pixel; 4 smooths edges and costs speed.")]
Shadows = Annotated[bool, typer.Option(help="Draw cast shadows; costs speed.")]


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    scene: Scene = "meadow",
    seed: Seed = 0,
    host: Annotated[
        str | None,
        typer.Option(help="Address to listen on, 127.0.0.1 if unset; the protocol has no authentication."),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help=f"{DEFAULT_PORT} if unset; 0 takes any free one.")
    ] = None,
    dialect: Annotated[Dialect, typer.Option(help="Whose server to be: Microsoft's or Cosys-AirSim's.")] = Dialect.MS,
    settings: Annotated[
        Path | None, typer.Option(help="A settings.json of AirSim: vehicles, cameras, sensors, wind, clock.")
    ] = None,
    faults: Annotated[
        str, typer.Option(help="Faults of real servers to show, as in empty-images=3,landed-late=2.")
    ] = "",
    width: Width = 320,
    height: Height = 240,
    samples: Samples = 0,
    shadows: Shadows = False,
) -> None:
    """Serve one scene until interrupted."""
    if context.invoked_subcommand is not None:
        return
    logging.basicConfig(level=logging.INFO, format="airfield: %(message)s")
    try:
        plan = FaultPlan.parse(faults)
        optics = Optics(width, height, samples=samples, shadows=shadows)
        read = load_settings(settings, optics) if settings else Settings(Fleet(), optics)
        for key in read.unused:
            typer.echo(f"airfield: warning: {settings}: {key} has no effect here", err=True)
        where = host or read.host or "127.0.0.1", _first(port, read.port, DEFAULT_PORT)
        with Airfield.of(scene, seed, read.optics, read.fleet) as airfield:
            asyncio.run(_serve(airfield, *where, dialect, plan))
    except StillwingError as error:
        typer.echo(f"airfield: {error}", err=True)
        raise typer.Exit(1) from error


def _first(*numbers: int | None) -> int:
    return next(number for number in numbers if number is not None)


async def _serve(airfield: Airfield, host: str, port: int, dialect: Dialect, faults: FaultPlan) -> None:
    shown = Faults(faults)
    with end_on_signals():
        await _serve_until_cancelled(airfield, AirfieldServer(airfield, dialect, shown), host, port, dialect, faults)
    typer.echo(f"airfield: stopped; {shown.shown} faults shown")


async def _serve_until_cancelled(
    airfield: Airfield, server: AirfieldServer, host: str, port: int, dialect: Dialect, faults: FaultPlan
) -> None:
    try:
        # Before anybody can connect, because the check flies the vehicle and resets it.
        airfield.start()
        speed = await asyncio.to_thread(measure, airfield, _SELF_CHECK_S)
        bound = await server.start(host, port)
        typer.echo(f"airfield: scene {airfield.scene.name}, seed {airfield.scene.seed}: {airfield.scene.mission}")
        typer.echo(f"airfield: {speed}")
        typer.echo(f"airfield: dialect {dialect}, vehicles {', '.join(airfield.vehicle_names)}, faults {faults}")
        if host not in _LOOPBACK:
            typer.echo(f"airfield: warning: whoever reaches {host}:{bound} can fly; the protocol has no authentication")
        typer.echo(f"airfield: listening on {host}:{bound}")
        typer.echo(
            f"Next: stillwing-bridge --simulator {_reachable(host)}:{bound}   (or any AirSim client; Ctrl-C ends)"
        )
        await asyncio.Event().wait()
    finally:
        await server.close()


def _reachable(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "::", "") else host


@app.command()
def bench(
    scene: Scene = "meadow",
    seed: Seed = 0,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to measure.")] = 5.0,
    width: Width = 320,
    height: Height = 240,
    samples: Samples = 0,
    shadows: Shadows = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure RGB+depth frames a second while the simulation keeps real time."""
    try:
        with Airfield.of(scene, seed, Optics(width, height, samples=samples, shadows=shadows)) as airfield:
            airfield.start()
            speed = measure(airfield, seconds)
    except StillwingError as error:
        typer.echo(f"airfield: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(json.dumps(speed.as_dict(), indent=2) if as_json else str(speed))


@app.command()
def scenes(
    name: Annotated[
        list[str] | None, typer.Argument(help="Scenes to draw, as in maze,corridor_m=40; unset: all.")
    ] = None,
    first_seed: Annotated[int, typer.Option(min=0, help="The first seed drawn.")] = 0,
    count: Annotated[int, typer.Option(min=1, max=12, help="How many seeds of each scene.")] = 3,
    out: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("scenes.png"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Draw the scenes side by side: from above, with start and goal, and as first seen from 2 m up."""
    families = name or scene_names()
    seeds = range(first_seed, first_seed + count)
    try:
        missions = {family: [build_scene(family, seed).mission for seed in seeds] for family in families}
        with Progress(console=Console(stderr=True), transient=True) as bar:
            drawing = bar.add_task("drawing", total=len(families) * count)
            draw_sheet(families, seeds, out, on_tile=lambda: bar.advance(drawing))
    except (StillwingError, OSError) as error:
        typer.echo(f"airfield: {error}", err=True)
        raise typer.Exit(1) from error
    if as_json:
        typer.echo(json.dumps({"file": str(out), "first_seed": first_seed, "missions": missions}, indent=2))
        return
    typer.echo(f"airfield: {', '.join(families)}, seeds {seeds[0]} to {seeds[-1]}, in {out}")
    typer.echo(f"Next: airfield --scene {families[0]} --seed {seeds[0]}   (serve one of them)")


def main() -> None:
    """Entry point of the `airfield` command."""
    app()


if __name__ == "__main__":
    main()
