"""The profile of pretrained models: tools with descriptions, and the mission so far as a conversation on each ask.

The engine writes both in the model's own chat template and holds the answer to its form of a call. It knows nothing of
templates, tokens or how a tool is carried out.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from stillwing_agent.core.prompting.base import Action, Entry, Moment, ProfileName, Question, VehicleState
from stillwing_agent.core.prompting.conversation import Room, conversation
from stillwing_agent.core.prompting.native_tools import ToolLimits, native_tools, pointing_words
from stillwing_agent.core.prompting.prompts import ToolSpec
from stillwing_vlm.core.conversation import Briefing, Tool, ToolCallFormat, UserTurn

_SYSTEM = """You fly a small multirotor drone. You see through its camera, which looks straight ahead: a video, \
the oldest picture first and the newest last. While you think, the drone hovers in place. Each of your calls is \
carried out to its end; then it hovers again and you see new pictures.

First write one short sentence about what you see that matters, then make exactly one tool call.

Distances are metres, angles degrees, speeds metres a second. A heading is counted clockwise from north: 0 is north, \
90 east, 180 south, 270 west. Left and right are as you see them. {pointing}

What is not safe is refused and not flown; the answer says why and which limit it met. Then choose another way. Do not \
guess that a thing is reached: look. When the instruction is carried out, or you are sure that it cannot be, call \
final_answer and say honestly which."""

_WINDS = ("north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west")
_CIRCLE_DEG = 350.0
_VERIFY = (
    "Judge only by what the newest pictures show. The drone was told: {instruction} Is that carried out now? "
    "Answer yes or no, without a call."
)
_IN_WORDS = "Answer in words, in one or two sentences, without a call: "


@dataclass(frozen=True, slots=True)
class NativeProfile:
    """See `Profile`. `max_thought_tokens`: of the sentence before a call; 0 leaves none."""

    limits: ToolLimits
    room: Room
    max_thought_tokens: int = 48
    own_tools: tuple[ToolSpec, ...] = ()
    name: ProfileName = ProfileName.NATIVE
    converses: bool = True

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        """What the bridge's limits allow, and those of the user's own."""
        return (*native_tools(self.limits), *self.own_tools)

    def briefing(self) -> Briefing:
        """What the vehicle is, how directions and points are told, and every tool."""
        system = _SYSTEM.format(pointing="For a point, " + pointing_words(self.limits.pointing))
        return Briefing(system, tuple(as_tool(tool) for tool in self.tools))

    def decision(self, moment: Moment) -> Question:
        """The conversation so far; the answer is one call of any tool."""
        closing = "\n".join(
            [*state_lines(moment), *advice(moment.entries), "What do you see, and what do you do next?"]
        )
        turns = conversation(moment.instruction, moment.entries, moment.notes, closing, self.room)
        return Question(messages=turns, answer_format=ToolCallFormat(max_thought_tokens=self.max_thought_tokens))

    def in_words(self, question: str) -> Question:
        """One turn of the user's, answered freely."""
        return Question(messages=(UserTurn(_IN_WORDS + question),))

    def verification(self, instruction: str) -> str:
        """By what the newest pictures show, whatever was said before."""
        return _VERIFY.format(instruction=instruction)


def as_tool(spec: ToolSpec) -> Tool:
    """A tool as the engine is told of it, which takes no arguments but those that are named."""
    parameters = spec.parameters()
    del parameters["additionalProperties"]
    return Tool(spec.name, spec.purpose, json.dumps(parameters))


def state_lines(moment: Moment) -> list[str]:
    """Vehicle, pictures and what is left, one line each."""
    lines = []
    if moment.vehicle is not None:
        lines.append(_vehicle_line(moment.vehicle))
    if moment.picture_px is not None:
        reach = "" if moment.sight_s is None else f" The pictures in sight reach {moment.sight_s:.0f} s back."
        lines.append(f"The newest picture is {moment.picture_px[0]} wide and {moment.picture_px[1]} high.{reach}")
    minutes, seconds = divmod(max(0, int(moment.time_left_s)), 60)
    lines.append(f"{moment.decisions_left} decisions and {minutes} min {seconds} s are left.")
    return lines


def _vehicle_line(vehicle: VehicleState) -> str:
    where = f"{vehicle.height_m:.1f} m above home" if vehicle.is_flying else "You stand on the ground"
    heading = vehicle.heading_deg % 360
    wind = _WINDS[round(heading / 45) % 8]
    parts = [where, f"heading {heading:.0f} ({wind})", f"{vehicle.flown_m:.1f} m flown"]
    if vehicle.home_m >= 0.5:
        aside = (vehicle.home_bearing_deg - heading + 180) % 360 - 180
        side = "ahead" if abs(aside) < 1 else f"{abs(aside):.0f} degrees to the {'right' if aside > 0 else 'left'}"
        parts.append(f"home is {vehicle.home_m:.1f} m away, {side}")
    else:
        parts.append("home is here")
    if vehicle.battery_fraction is not None:
        parts.append(f"battery {vehicle.battery_fraction:.0%}")
    return ", ".join(parts) + "."


def advice(entries: Sequence[Entry]) -> list[str]:
    """A word to a model that has turned a whole circle on one spot, or that does again what was just refused."""
    lines = []
    turned_deg = 0.0
    actions = [entry for entry in entries if isinstance(entry, Action)]
    for action in reversed(actions):
        if action.tool == "look_around" and not action.refused:
            turned_deg += 360
        elif action.tool == "turn" and not action.refused:
            turned_deg += float(action.arguments["angle_deg"])
        elif action.tool in _MOVES and not action.refused:
            break
    if turned_deg >= _CIRCLE_DEG:
        lines.append(
            f"You have turned {turned_deg:.0f} degrees since you last moved and have seen all there is to see here: "
            "move on, or say that it cannot be done."
        )
    last = actions[-1:]
    if last and last[0].refused and _same_before(actions):
        lines.append("You were refused the same call before: it will be refused again from here.")
    return lines


_MOVES = ("takeoff", "move_forward", "move_aside", "climb", "point_and_fly", "return_home")


def _same_before(actions: list[Action]) -> bool:
    last = actions[-1]
    for action in reversed(actions[:-1]):
        if not action.refused:
            return False
        if (action.tool, dict(action.arguments)) == (last.tool, dict(last.arguments)):
            return True
    return False
