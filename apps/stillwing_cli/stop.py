"""`stillwing stop`: every vehicle stays where it is, lands or stops its motors, at once, whoever commands it.

It needs the bridge and nothing else: agent, engine and memory bank may be dead.
"""

from enum import Enum
from typing import Annotated

import typer

from stillwing_bridge.client import RemoteBridge
from stillwing_bridge.core.types import StopLevel
from stillwing_cli.plan import BRIDGE
from stillwing_cli.state import default_state, read_state
from stillwing_cli.terminal import AsJson, err, next_step, out, print_json, run
from stillwing_common.errors import StillwingError


class Level(Enum):
    """How hard to stop."""

    HOLD = "hold"
    LAND = "land"
    KILL = "kill"


def stop(
    level: Annotated[Level, typer.Option(help="hold in the air, land, or stop the motors at once.")] = Level.HOLD,
    reason: Annotated[str, typer.Option(help="Why, for the flight log.")] = "stillwing stop",
    bridge: Annotated[str, typer.Option(help="Address of a bridge that is not of this folder's stack.")] = "",
    clear: Annotated[bool, typer.Option("--clear", help="Clear the stop instead; for the operator.")] = False,
    operator_token: Annotated[str, typer.Option(help="Token of the bridge; known for a stack of this folder.")] = "",
    as_json: AsJson = False,
) -> None:
    """Emergency stop: every vehicle holds, lands or stops its motors, and refuses motion until it is cleared."""
    run(_stop(StopLevel[level.name], reason, bridge, clear, operator_token, as_json))


async def _stop(level: StopLevel, reason: str, address: str, clear: bool, operator_token: str, as_json: bool) -> None:
    state = read_state() or default_state()
    bridge = await RemoteBridge.connect(address or state.address(BRIDGE), state.channel, wait_s=2.0)
    levels: dict[str, str] = {}
    failed: StillwingError | None = None
    try:
        for vehicle in await bridge.list_vehicles():
            vehicle_id = vehicle.vehicle_id
            try:
                if clear:
                    await bridge.clear_emergency_stop(vehicle_id, operator_token or state.operator_token)
                    levels[vehicle_id] = StopLevel.NONE.name
                else:
                    latched = await bridge.emergency_stop(vehicle_id, level, reason)
                    levels[vehicle_id] = latched.name
            except StillwingError as error:  # one vehicle out of reach must not keep the others flying
                failed = error
    finally:
        await bridge.close()
    console = err if as_json else out
    for vehicle_id, name in levels.items():
        console.print(f"{vehicle_id}: emergency stop {'cleared' if clear else f'{name}, latched'}", style="bold red")
    if as_json:
        print_json({"latched": levels})
    if failed is not None:
        raise failed
    if clear:
        next_step(console, "stillwing fly", "motion is allowed again")
    else:
        next_step(console, "stillwing stop --clear", "when it is safe; until then nothing moves")
