"""`stillwing instruct`: a further instruction for the mission that is being flown."""

from collections.abc import Awaitable, Callable
from typing import Annotated

import typer
from rich.console import Console

from stillwing_agent.client import RemoteAgent
from stillwing_agent.core.types import InstructionRequest, Mission, When
from stillwing_cli.plan import AGENT
from stillwing_cli.state import default_state, read_state
from stillwing_cli.terminal import AsJson, err, next_step, out, print_json, run
from stillwing_common.errors import NotFound
from stillwing_common.ids import new_id

MissionId = Annotated[str, typer.Option("--mission", help="Which mission; empty takes the one under way.")]


def instruct(
    text: Annotated[str, typer.Argument(help='What to do: "Now fly to the green beacon."')],
    mission_id: MissionId = "",
    then: Annotated[
        bool, typer.Option("--then", help="Once what was told before is done, instead of breaking it off.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Give the mission under way a further instruction; the vehicle holds while it is read."""
    run(_instruct(text, mission_id, When.THEN if then else When.NOW, as_json))


async def _instruct(text: str, mission_id: str, when: When, as_json: bool) -> None:
    state = read_state() or default_state()
    agent = await RemoteAgent.connect(state.address(AGENT), state.channel, wait_s=3.0)
    try:
        wanted = mission_id or await _under_way(agent)
        mission = await agent.instruct_mission(InstructionRequest(new_id("req"), wanted, text, when))
    finally:
        await agent.close()
    waiting = list(mission.waiting_instructions)
    if as_json:
        print_json({"mission_id": wanted, "instruction": mission.instruction, "waiting_instructions": waiting})
    _tell(mission, when, err if as_json else out)


async def with_mission(mission_id: str, work: Callable[[RemoteAgent, Mission], Awaitable[None]], as_json: bool) -> None:
    """Do something with the agent and the mission of this id, "": the one under way."""
    state = read_state() or default_state()
    agent = await RemoteAgent.connect(state.address(AGENT), state.channel, wait_s=3.0)
    try:
        mission = await agent.get_mission(mission_id or await _under_way(agent))
        await work(agent, mission)
    finally:
        await agent.close()
    next_step(err if as_json else out, f"stillwing watch {mission.mission_id}", "follow it")


async def _under_way(agent: RemoteAgent) -> str:
    """The one mission that has not ended, so that nobody's instruction goes to another's vehicle."""
    missions = [mission for mission in (await agent.list_missions(100)).missions if not mission.state.ended]
    if not missions:
        raise NotFound("no mission is under way; start one with: stillwing fly")
    if len(missions) > 1:
        known = ", ".join(f"{mission.mission_id} ({mission.vehicle_id})" for mission in missions)
        raise NotFound(f"several missions are under way; say which with --mission: {known}")
    return missions[0].mission_id


def _tell(mission: Mission, when: When, console: Console) -> None:
    """In words, what the mission will do."""
    if when is When.NOW:
        console.print(f"mission {mission.mission_id} holds and turns to it")
    else:
        console.print(f"mission {mission.mission_id} turns to it after: {mission.instruction}")
    next_step(console, f"stillwing watch {mission.mission_id}", "follow it")
