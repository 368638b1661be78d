"""`stillwing stop`: every vehicle stays where it is, at once, whoever commands it."""

from typing import Annotated

import typer
from stillwing_bridge.client import RemoteBridge

from stillwing_bridge.core.base import StopLevel
from stillwing_cli.plan import BRIDGE
from stillwing_cli.state import default_state, read_state
from stillwing_cli.terminal import AsJson, err, next_step, out, print_json, run
from stillwing_common.errors import StillwingError


def stop(
    reason: Annotated[str, typer.Option(help="Why, for the flight log.")] = "stillwing stop",
    as_json: AsJson = False,
) -> None:
    """Emergency stop: hold every vehicle and refuse all motion until the stop is cleared."""
    run(_stop(reason, as_json))


async def _stop(reason: str, as_json: bool) -> None:
    address = (read_state() or default_state()).address(BRIDGE)
    bridge = await RemoteBridge.connect(address, wait_s=2.0)
    levels: dict[str, str] = {}
    failed: StillwingError | None = None
    try:
        for vehicle in await bridge.list_vehicles():
            try:
                level = await bridge.emergency_stop(vehicle.vehicle_id, StopLevel.HOLD, reason)
                levels[vehicle.vehicle_id] = level.name
            except StillwingError as error:  # one vehicle out of reach must not keep the others flying
                failed = error
    finally:
        await bridge.close()
    for vehicle_id, level_name in levels.items():
        (err if as_json else out).print(f"{vehicle_id}: emergency stop {level_name}, latched", style="bold red")
    if as_json:
        print_json({"latched": levels})
    if failed is not None:
        raise failed
    next_step(err if as_json else out, "stillwing status", "the stop stays until the bridge's operator clears it")
