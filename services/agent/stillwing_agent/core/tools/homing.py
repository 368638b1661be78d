"""The way home: turn towards it, fly what is free, look again. It knows nothing of models or tools."""

from stillwing_agent.core.tools.cockpit import Cockpit
from stillwing_bridge.core.commands import Step, Turn
from stillwing_common.errors import MotionFailed

AT_HOME_M = 1.0
_MOST_LEGS = 40
_STRAIGHT_DEG = 3.0


async def fly_home(cockpit: Cockpit, max_step_m: float) -> float:
    """Fly to above home; returns how far from it the vehicle is in the end, metres over ground.

    Every leg ends in a hold and is based on a frame that was captured after the one before. Raises what the bridge
    refuses a leg with, and MotionFailed where home is not reached in forty legs.
    """
    for _ in range(_MOST_LEGS):
        state = await cockpit.instruments.vehicle()
        if state.home_m <= AT_HOME_M:
            return state.home_m
        aside_deg = (state.home_bearing_deg - state.heading_deg + 180) % 360 - 180
        if abs(aside_deg) > _STRAIGHT_DEG:
            await cockpit.fly_on(Turn(aside_deg))
        await cockpit.fly_on(Step(forward_m=min(state.home_m, max_step_m)))
    raise MotionFailed(f"home is still {state.home_m:.1f} m away")
