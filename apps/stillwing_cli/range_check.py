"""Before takeoff: whether a goal is one that the model was taught, and whether to fly all the same.

Who knows is the agent, by what the model's directory says; a model that says nothing is asked nothing about.
"""

import asyncio
import sys
from collections import Counter
from dataclasses import asdict

from rich.console import Console
from rich.text import Text

from stillwing_agent.client import RemoteAgent
from stillwing_agent.core.types import OutsideRange
from stillwing_airfield.scenes import SceneSpec
from stillwing_cli.state import StackState
from stillwing_cli.terminal import next_step, print_json
from stillwing_common.errors import Unsupported

NOT_TAUGHT = 5
"""Exit code where the goal lies outside the model's range and nobody said to fly it anyway."""

AIRFIELD, AIRSIM = "airfield", "airsim"


async def may_fly(
    agent: RemoteAgent, goal: str, scene: SceneSpec | None, state: StackState, console: Console, *, anyway: bool
) -> OutsideRange | None:
    """None where the goal is to be flown; else what lies outside the model's range, which was told.

    Asks in a terminal; without one only `anyway` flies what lies outside.
    """
    # What others started may be flying anything.
    simulator = "" if not state.pid else AIRSIM if state.choices.simulator else AIRFIELD
    try:
        outside = await agent.check_mission(goal, simulator)
    except Unsupported:
        return None  # an agent that does not say
    if outside is None:
        return None
    _tell(outside, scene, console)
    if anyway or (sys.stdin.isatty() and console.is_terminal and await _wants_to_go_on(console)):
        return None
    return outside


def tell_not_flown(outside: OutsideRange, as_json: bool, console: Console) -> None:
    """The end of a command that flew nothing."""
    if as_json:
        print_json({"state": "not_flown", "outside_range": asdict(outside)})
    console.print("not flown")
    next_step(console, f"stillwing fly {outside.instruction!r} --anyway", "fly it all the same")


def _tell(outside: OutsideRange, scene: SceneSpec | None, console: Console) -> None:
    console.print(Text("This lies outside what the model was taught:", "bold yellow"))
    for reason in outside.reasons:
        console.print(Text(f"  {reason}"), soft_wrap=True)
    console.print(Text("It was taught:", "bold"))
    for line in outside.taught:
        console.print(Text(f"  {line}"), soft_wrap=True)
    if scene is not None:
        console.print(Text.assemble(("This scene has: ", "bold"), _things(scene)), soft_wrap=True)


def _things(scene: SceneSpec) -> str:
    named = Counter(f"{one.colour} {one.kind}" if one.colour else one.kind for one in scene.objects)
    return ", ".join(f"{number} {name}" if number > 1 else name for name, number in named.items())


async def _wants_to_go_on(console: Console) -> bool:
    console.print("Fly it all the same? [y/N] ", end="", markup=False)
    return (await _line()).strip().lower() in ("y", "yes")


async def _line() -> str:
    """A line of stdin, on whose wait a Ctrl-C still ends the command."""
    if sys.platform == "win32":
        return await asyncio.to_thread(sys.stdin.readline)
    loop = asyncio.get_running_loop()
    line: asyncio.Future[str] = loop.create_future()

    def read() -> None:
        loop.remove_reader(sys.stdin.fileno())
        line.set_result(sys.stdin.readline())

    loop.add_reader(sys.stdin.fileno(), read)
    try:
        return await line
    finally:
        loop.remove_reader(sys.stdin.fileno())
