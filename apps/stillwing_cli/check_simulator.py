"""`stillwing check-simulator`: whether an AirSim at HOST:PORT answers as the bridge needs it to, check by check."""

import asyncio
from dataclasses import replace
from typing import Annotated

import typer

from stillwing_bridge.core.vehicles.airsim.settings import AirSimSettings
from stillwing_cli.check_page import Check, Level, show
from stillwing_cli.simulator_checks import SimulatorChecks
from stillwing_cli.simulator_flight import SmallFlight
from stillwing_cli.terminal import AsJson, err, next_step, out, print_json, told_errors
from stillwing_common.errors import InvalidInput
from stillwing_common.signals import end_on_signals

_FLIGHT_CALL_S = 2.0


def check_simulator(
    address: Annotated[str, typer.Argument(help="HOST:PORT of an AirSim; the port is 41451 unless given.")],
    vehicle: Annotated[str, typer.Option(help="The vehicle's name in settings.json; empty is its only one.")] = "",
    camera: Annotated[list[str] | None, typer.Option(help="A camera's name; may be given again.")] = None,
    fly: Annotated[
        bool,
        typer.Option("--fly", help="Take off, climb 2 m, turn and land on the spot: clear the air above it first."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check what an AirSim simulator answers, line by line, with what to do.

    It only reads, unless `--fly`. Exit code 1 where something would keep the bridge from flying it.
    """
    with told_errors():
        host, port = _host_and_port(address)
        settings = AirSimSettings(host, port, vehicle, camera_names=tuple(camera or ("front_center",)))
        checks, was_interrupted = asyncio.run(_examined(settings, fly=fly, shown=not as_json))
    failed = [check for check in checks if check.level is Level.FAILED]
    if as_json:
        rows = [check.as_json() for check in checks]
        print_json({"address": f"{host}:{port}", "ok": not failed and not was_interrupted, "checks": rows})
    if was_interrupted:
        raise typer.Exit(130)
    console = err if as_json else out
    if failed:
        next_step(console, f"stillwing check-simulator {address}", f"again, when this is done: {failed[0].fix}")
        raise typer.Exit(1)
    next_step(console, f"stillwing up --simulator {host}:{port}", "fly it")


async def _examined(settings: AirSimSettings, *, fly: bool, shown: bool) -> tuple[list[Check], bool]:
    """The checks, and whether a signal ended them early."""
    found: list[Check] = []

    def tell(check: Check) -> None:
        found.append(check)
        if shown:
            show(check)

    with end_on_signals() as watch:
        reading = SimulatorChecks(settings)
        try:
            await reading.run(tell)
        finally:
            reading.close()
        if fly and any(check.level is Level.FAILED for check in found):
            tell(Check("flight", Level.SKIPPED, "not flown: something failed before", "put that right first"))
        elif fly:
            await SmallFlight(replace(settings, state_timeout_s=_FLIGHT_CALL_S)).run(tell)
    return found, watch.came


def _host_and_port(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if not colon:
        host, port = address, "41451"
    if not _is_host(host) or not port.isdigit() or len(port) > 5 or not 0 < int(port) < 65536:
        raise InvalidInput(f"{address!r} is no HOST:PORT, such as 127.0.0.1:41451", field="address")
    return host, int(port)


def _is_host(host: str) -> bool:
    """Whether a name can be looked up at all."""
    try:
        return bool(host.encode("idna"))
    except UnicodeError:
        return False
