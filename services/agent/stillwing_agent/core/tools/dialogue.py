"""The operator and the model: a question of the mission's that waits for an answer, questions in flight, and a scan.

In each the vehicle holds while somebody thinks. It knows nothing of tools' names or of how a question is worded.
"""

import math
from typing import Any

from stillwing_agent.core.tools.cockpit import Cockpit
from stillwing_bridge.core.commands import Turn
from stillwing_common.errors import OperatorSilent

_USUAL_VIEW_DEG = 90.0
_NEW_SHARE = 0.8
"""Of each view of a scan. The rest overlaps: what stands at an edge, or where a turn fell short, would be missed."""


async def ask_operator(cockpit: Cockpit, question: str) -> str:
    """Hold until the operator has answered.

    Raises OperatorSilent after `operator_wait_s`, and InstructionChanged where the operator instructs it instead.
    """
    flight, record = cockpit.flight, cockpit.flight.record
    await cockpit.asking.hold()
    record.ask_operator(question)
    try:
        give_up_s = flight.clock.monotonic_s() + flight.settings.operator_wait_s
        while (answer := record.operators_answer()) is None:
            if flight.clock.monotonic_s() >= give_up_s:
                raise OperatorSilent(f"within {flight.settings.operator_wait_s:g} s")
            await flight.pause(flight.settings.wait_step_s)
            flight.life.beat()
            await cockpit.answer_questions()
        return answer
    finally:
        record.close_question()


async def look_around(cockpit: Cockpit, question: str, hfov_deg: float | None) -> list[dict[str, Any]]:
    """Turn once round and ask at each stop; headings in degrees clockwise from north. Raises what asks and turns do."""
    stops = max(3, math.ceil(360 / ((hfov_deg or _USUAL_VIEW_DEG) * _NEW_SHARE)))
    seen = []
    for _ in range(stops):
        heading_deg = (await cockpit.instruments.vehicle()).heading_deg
        thought = await cockpit.ask(question)
        seen.append({"heading_deg": round(heading_deg) % 360, "seen": thought.text})
        await cockpit.fly(Turn(360 / stops))
    return seen
