"""`stillwing watch`: a mission's events as they happen, from any point of its log on."""

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from stillwing_agent.client import RemoteAgent
from stillwing_agent.core.events import (
    ActionFinished,
    ActionStarted,
    Briefed,
    FramesEvicted,
    FramesRecalled,
    Happening,
    Instructed,
    InstructionBegun,
    InstructionLost,
    KeyframeFiled,
    MotionRefused,
    NoCall,
    Observed,
    OperatorAnswered,
    OperatorAsked,
    PlanMade,
    QuestionAnswered,
    Reported,
    ServiceBack,
    ServiceLost,
    StateChanged,
    ThinkingFinished,
    ThinkingStarted,
    ToldOutside,
)
from stillwing_agent.core.prompting.prompts import call_text
from stillwing_bridge.client import RemoteBridge
from stillwing_cli.plan import AGENT, BRIDGE
from stillwing_cli.state import StackState, default_state, read_state
from stillwing_cli.terminal import AsJson, err, next_step, out, print_json, run
from stillwing_cli.told_stop import follow_stops, stops_in_force, told
from stillwing_common.errors import NotFound, StillwingError

_BRIDGE_WAIT_S = 3.0


def watch(
    mission_id: Annotated[str, typer.Argument(help="Which mission; empty takes the newest.")] = "",
    after: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Number of the last event already seen.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Follow a mission's events, live, until it ends."""
    run(_watch(mission_id, after, as_json))


async def _watch(mission_id: str, after: int, as_json: bool) -> None:
    state = read_state() or default_state()
    agent = await RemoteAgent.connect(state.address(AGENT), state.channel, wait_s=3.0)
    seen = after
    telling = await _begin_telling_stops(state, err if as_json else out)
    try:
        if not mission_id:
            missions = (await agent.list_missions(1)).missions
            if not missions:
                raise NotFound("the agent has flown no mission yet; start one with: stillwing fly")
            mission_id = missions[0].mission_id
        async for event in agent.watch_mission(mission_id, after):
            seen = event.event_seq
            if as_json:
                print_json({"event_seq": seen, "kind": type(event.happening).__name__, **as_plain(event)})
            else:
                out.print(
                    Text.assemble((f"{seen:>5} {_time(event.wall_ns)} ", "dim"), describe(event.happening)),
                    soft_wrap=True,
                )
    finally:
        await telling.aclose()
        await agent.close()
    next_step(err if as_json else out, f"stillwing watch {mission_id} --after {seen}", f"resume after event {seen}")


async def _begin_telling_stops(state: StackState, console: Console) -> AsyncExitStack:
    """Tell of the stops in force, and of those that come until this is closed."""

    def tell(text: str) -> None:
        console.print(Text(text, "bold red"), soft_wrap=True)

    async with AsyncExitStack() as stack:
        try:
            bridge = await RemoteBridge.connect(state.address(BRIDGE), state.channel, wait_s=_BRIDGE_WAIT_S)
            stack.push_async_callback(bridge.close)
            stops = await stops_in_force(bridge)
        except StillwingError as error:
            tell(f"whether an emergency stop is in force is not known: {error}")
            return stack.pop_all()
        for vehicle_id, stop in stops.items():
            tell(told(vehicle_id, stop))
        following = asyncio.create_task(follow_stops(bridge, tell, stops))
        stack.push_async_callback(asyncio.wait, {following})
        stack.callback(following.cancel)
        return stack.pop_all()


def describe(happening: Happening) -> Text:
    """One event in one line."""
    match happening:
        case StateChanged(mission):
            words = f"{mission.state.value}: {mission.goal}" + (f" → {mission.answer}" if mission.answer else "")
            return Text(words + (f" ({mission.error})" if mission.error else ""), "bold")
        case PlanMade(steps, _):
            return Text("plan: " + " · ".join(steps))
        case ActionStarted(_, tool, arguments):
            return Text(f"▶ {call_text(tool, arguments)}", "cyan")
        case ActionFinished(_, _, error) if error is not None:
            return Text(f"✗ {error}", "yellow")
        case ActionFinished(_, result, _):
            return Text("✓ " + (_compact(result) if result else "done"), "green")
        case Observed(frame_ids, summary):
            return Text(f"saw {', '.join(frame_ids)}: {summary}")
        case ThinkingStarted(_, prompt):
            return Text(f"holds and thinks: {prompt}", "magenta")
        case ThinkingFinished(_, answer, elapsed_s, last_frame_id, _, tokens):
            return Text(f"{answer}   ({elapsed_s:.2f} s, newest {last_frame_id}, {tokens} tokens)", "magenta")
        case FramesEvicted(frame_ids):
            return Text(f"evicted {', '.join(frame_ids)}", "dim")
        case Instructed(number, text):
            return Text(f"instructed ({number}): {text}", "bold")
        case InstructionBegun(number, text, entity_ids, recalled_by, recalled):
            brought = f", {len(recalled)} keyframes recalled by {recalled_by}" if recalled else ""
            return Text(f"instruction {number}: {text} ({len(entity_ids)} things{brought})")
        case InstructionLost(number, error):
            return Text(f"instruction {number} is not remembered: {error}", "yellow")
        case Briefed(profile, _, tools):
            return Text(f"speaks to the model in {profile} prompts, {len(tools)} tools in its template", "dim")
        case NoCall(answer):
            return Text(f"no tool call: {answer}", "yellow")
        case Reported(text):
            return Text(f"reports: {text}", "bold")
        case OperatorAsked(question):
            return Text(f"asks the operator, and holds: {question}   (stillwing answer '…')", "bold yellow")
        case OperatorAnswered(answer):
            return Text(f"the operator answered: {answer}", "bold")
        case QuestionAnswered(question, answer):
            return Text(f"asked by the operator: {question} → {answer}", "bold")
        case ToldOutside(outside):
            return Text(f"outside what the model was taught: {'; '.join(outside.reasons)}", "bold yellow")
        case ServiceLost(service, error):
            return Text(f"{service} is gone: {error}", "bold yellow")
        case ServiceBack(service, away_s, detail):
            return Text(f"{service} is back after {away_s:.1f} s" + (f", {detail}" if detail else ""), "bold")
        case FramesRecalled(frame_ids):
            return Text(f"recalled {', '.join(frame_ids)}", "dim")
        case KeyframeFiled(frame_id, revision):
            return Text(f"filed keyframe {frame_id} (revision {revision})", "dim")
        case MotionRefused(_, error):
            return Text(f"refused: {error}", "yellow")
    return Text(_compact(as_plain(happening)))


def as_plain(value: Any) -> Any:
    """Dataclasses, enums and errors as JSON values."""
    if isinstance(value, StillwingError):
        return {"reason": value.reason, "message": str(value), "metadata": value.metadata}
    if is_dataclass(value) and not isinstance(value, type):
        return {name: as_plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list | tuple):
        return [as_plain(each) for each in value]
    if hasattr(value, "items"):
        return {str(key): as_plain(each) for key, each in value.items()}
    return value


def _compact(value: Any) -> str:
    return json.dumps(as_plain(value), ensure_ascii=False, separators=(", ", ": "))


def _time(wall_ns: int) -> str:
    return datetime.fromtimestamp(wall_ns / 1e9, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
