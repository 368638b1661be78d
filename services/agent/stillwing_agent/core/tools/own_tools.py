"""Tools of the user's own, by what each of them does to the world.

One that reads runs while the vehicle holds. One that moves names motions, which are checked and flown one by one as the
model's own would be: it never has the lease. One whose doing cannot be undone runs only once the operator has said yes.
It knows no framework in which a tool was written, and not how a mission's own tools are carried out.
"""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from stillwing_agent.core.prompting.prompts import ToolSpec, call_text
from stillwing_agent.core.tools.cockpit import Cockpit
from stillwing_common.errors import InvalidInput, OperatorRefused, ToolFailed

MOTIONS = frozenset({"takeoff", "move_forward", "move_aside", "turn", "climb", "point_and_fly", "land"})
"""What a tool that moves may name."""
_MOST_MOTIONS = 20
_MOST_CHARS = 2000
_YES = frozenset({"yes", "y"})


class Effect(Enum):
    """What a tool does to the world."""

    READ = "read"
    """Nothing: it looks something up."""
    MOTION = "motion"
    """It returns calls of motion tools, each with `name` and `arguments`, to be flown in order."""
    IRREVERSIBLE = "irreversible"
    """Something that cannot be undone; the operator is asked first, each time."""


@dataclass(frozen=True, slots=True)
class OwnTool:
    """A tool of the user's own; `forward` may block and is called with the arguments on a thread of its own."""

    spec: ToolSpec
    effect: Effect
    forward: Callable[[Mapping[str, Any]], Any]


AskOperator = Callable[[str], Awaitable[str]]
Fly = Callable[[str, Mapping[str, Any]], Awaitable[None]]
"""Checks one motion call and flies it, based on the newest frame."""


async def run_own_tool(
    tool: OwnTool, arguments: Mapping[str, Any], cockpit: Cockpit, ask_operator: AskOperator, fly: Fly
) -> dict[str, Any]:
    """Carry it out; what it came to, for the log.

    Raises ToolFailed, OperatorRefused, OperatorSilent, InvalidInput for what is no motion, and what flying raises.
    """
    if tool.effect is Effect.IRREVERSIBLE:
        await _ask_leave(tool, arguments, ask_operator)
    await cockpit.asking.hold()
    value = await _call(tool, arguments, cockpit)
    if tool.effect is not Effect.MOTION:
        return {"answer": _text(value)}
    calls = _motions(tool, value)
    for name, wanted in calls:
        await fly(name, wanted)
    return {"flown": [call_text(name, wanted) for name, wanted in calls]}


async def _ask_leave(tool: OwnTool, arguments: Mapping[str, Any], ask_operator: AskOperator) -> None:
    question = f'May {call_text(tool.spec.name, arguments)} be done? It cannot be undone. "yes" allows it.'
    answer = await ask_operator(question)
    if answer.strip().rstrip(".!").lower() not in _YES:
        raise OperatorRefused(f"{tool.spec.name}: {answer[:200]}", tool=tool.spec.name)


async def _call(tool: OwnTool, arguments: Mapping[str, Any], cockpit: Cockpit) -> Any:
    """On a thread that nothing waits for: one that never ends costs the mission its time limit for tools, no more."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Any] = loop.create_future()

    def settle(value: Any, error: Exception | None) -> None:
        if ended.done():
            return
        if error is None:
            ended.set_result(value)
        else:
            ended.set_exception(error)

    def work() -> None:
        value, failure = None, None
        try:
            value = tool.forward(arguments)
        except Exception as error:
            failure = ToolFailed(f"{tool.spec.name}: {type(error).__name__}: {error}"[:400], tool=tool.spec.name)
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, value, failure)

    threading.Thread(target=work, name=f"tool {tool.spec.name}", daemon=True).start()
    flight = cockpit.flight
    until_s = flight.clock.monotonic_s() + flight.settings.tool_timeout_s
    with flight.life.waiting():
        while not ended.done():
            await asyncio.wait({ended}, timeout=flight.settings.wait_step_s)
            flight.life.beat()
            if not ended.done() and flight.clock.monotonic_s() >= until_s:
                limit_s = flight.settings.tool_timeout_s
                raise ToolFailed(f"{tool.spec.name} did not end within {limit_s:g} s", tool=tool.spec.name)
    return ended.result()


def _motions(tool: OwnTool, value: Any) -> list[tuple[str, Mapping[str, Any]]]:
    calls = value if isinstance(value, list | tuple) else [value]
    if len(calls) > _MOST_MOTIONS:
        raise InvalidInput(f"{tool.spec.name} names {len(calls)} motions, at most {_MOST_MOTIONS}")
    motions = []
    for call in calls:
        name = call.get("name") if isinstance(call, Mapping) else None
        wanted = call.get("arguments", {}) if isinstance(call, Mapping) else None
        if name not in MOTIONS or not isinstance(wanted, Mapping):
            raise InvalidInput(f"{tool.spec.name} moves by {', '.join(sorted(MOTIONS))}, not by {str(call)[:80]!r}")
        motions.append((str(name), wanted))
    return motions


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value[:_MOST_CHARS]
    try:
        return json.dumps(value, ensure_ascii=False)[:_MOST_CHARS]
    except (TypeError, ValueError):
        return str(value)[:_MOST_CHARS]
