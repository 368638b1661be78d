"""Who flies in an evaluation: the agent's own policies on a model, and policies that need none to compare them with.

It knows nothing of how an episode is judged.
"""

import math
import random
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, ClassVar, TypeVar

from stillwing_agent.core.agents.choice import ChoicePolicy
from stillwing_agent.core.agents.smolagents_model import LoopPort
from stillwing_agent.core.agents.tool_calling import ToolCallingPolicy
from stillwing_agent.core.json_schema import Properties
from stillwing_agent.core.policy import Policy
from stillwing_agent.core.prompting.base import ProfileName
from stillwing_agent.core.prompting.prompts import CHOICES
from stillwing_agent.core.tools.execution import Toolbox
from stillwing_agent.core.types import Claim
from stillwing_airfield.sim import Airfield
from stillwing_lab.evaluate.simulated_loop import SimulatedLoop
from stillwing_training.pilot.config import ACTIONS, STEP_M
from stillwing_training.pilot.expert import Expert, Pose
from stillwing_training.pilot.route_expert import RouteExpert

_T = TypeVar("_T")


class SimulatedPort(LoopPort):
    """Simulated time runs while the worker thread waits for the loop, and stands still while it computes."""

    def call(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """See `LoopPort`."""
        return super().call(self._timed(coroutine))

    async def _timed(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        assert isinstance(self._loop, SimulatedLoop)
        self._loop.end_computing()
        try:
            return await coroutine
        finally:
            # Before the thread is told: it is at work again from here on.
            self._loop.begin_computing()


class SimulatedToolCalling(ToolCallingPolicy):
    """The agent's tool-calling policy on simulated time."""

    port: ClassVar[type[LoopPort]] = SimulatedPort


class _WithoutModel:
    """Decides by a function; counts its decisions like any other policy."""

    properties: ClassVar[Properties] = {}
    prompt_profile: ProfileName | None = ProfileName.COMPACT

    def __init__(self, decide: Callable[[Toolbox], str]) -> None:
        self._decide = decide

    async def fly(self, toolbox: Toolbox) -> Claim:
        """See `Policy`."""
        while True:
            toolbox.cockpit.decide_unasked()
            choice = self._decide(toolbox)
            if choice == "hover":
                await toolbox.run("hover", {"duration_s": 0.2})
                continue
            call = CHOICES[choice]
            result = await toolbox.run(call["name"], call["arguments"])
            if call["name"] == "final_answer":
                return Claim(str(result.data["answer"]))


def always_forward(airfield: Airfield) -> Policy:
    """Forward, whatever is there."""
    return _as_policy(lambda toolbox: "forward")


def random_moves(airfield: Airfield) -> Policy:
    """One of the four moves by chance, the same ones for the same scene; `stop` one time in twenty."""
    rng = random.Random(airfield.scene.seed)
    return _as_policy(lambda toolbox: rng.choices(tuple(CHOICES), (0.55, 0.2, 0.2, 0.05))[0])


def hover(airfield: Airfield) -> Policy:
    """Stays where it is."""
    return _as_policy(lambda toolbox: "hover")


def expert(airfield: Airfield) -> Policy:
    """Knows where everything is; what a pilot could do at best."""
    return _as_policy(_KnowsTheWay(airfield) if airfield.scene.name == "meadow" else FollowsTheRoute(airfield))


_UNDOES = {"left": "right", "right": "left"}
_FREE_BESIDE_M = 0.45


class _KnowsTheWay:
    """The teacher's action, but no turn that undoes the one before: between two ways round it would turn for ever."""

    def __init__(self, airfield: Airfield) -> None:
        self._airfield = airfield
        self._knows = Expert(airfield.scene)
        self._last = ""

    def __call__(self, toolbox: Toolbox) -> str:
        state = self._airfield.do(lambda vehicle: vehicle.state())
        north_m, east_m, _ = state.position_ned_m
        pose = Pose(north_m, east_m, math.degrees(state.yaw_rad))
        refused = toolbox.refusal_reason is not None
        action = ACTIONS[self._knows.action(pose, self._airfield.scene.goal_colour, forward_refused=refused)]
        if _UNDOES.get(action) == self._last:
            free = not refused and not self._knows.path_collides(pose, 1.5 * STEP_M, margin_m=_FREE_BESIDE_M)
            action = "forward" if free else self._last
        self._last = action
        return action


class FollowsTheRoute:
    """The route expert's action; a turn that undoes the one before becomes the step it turned for, where it is free."""

    def __init__(self, airfield: Airfield) -> None:
        self._airfield = airfield
        self._knows = RouteExpert(airfield.scene)
        self._last = ""

    def __call__(self, toolbox: Toolbox) -> str:
        return self.action(self._airfield.scene.goal_colour, refused=toolbox.refusal_reason is not None)

    def action(self, colour: str, *, refused: bool) -> str:
        """One of `ACTIONS`, on the way to the beacon of a colour; `refused`: the way ahead was just refused."""
        state = self._airfield.do(lambda vehicle: vehicle.state())
        north_m, east_m, _ = state.position_ned_m
        pose = Pose(north_m, east_m, math.degrees(state.yaw_rad))
        action = ACTIONS[self._knows.action(pose, colour, forward_refused=refused)]
        if _UNDOES.get(action) == self._last:
            action = self._last if refused else "forward"
        self._last = action
        return action


def tool_calling(airfield: Airfield) -> Policy:
    """The agent's default: a tool call under a grammar, greedily."""
    return SimulatedToolCalling({"temperature": 0.0, "seed": 0})


def choice(airfield: Airfield) -> Policy:
    """The agent's one-question policy."""
    return ChoicePolicy({})


def _as_policy(decide: Callable[[Toolbox], str]) -> Policy:
    return _WithoutModel(decide)


MakePolicy = Callable[[Airfield], Policy]
"""Makes a policy for one episode; only the baselines look at the airfield's truth."""

MODEL_POLICIES: Mapping[str, MakePolicy] = {"tool_calling": tool_calling, "choice": choice}
"""Policies that ask a model."""

BASELINES: Mapping[str, MakePolicy] = {
    "expert": expert,
    "always_forward": always_forward,
    "hover": hover,
    "random": random_moves,
}
"""Policies that need none."""
