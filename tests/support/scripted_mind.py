"""A mind for missions between beacons: a program that reads the conversation alone, and sees what a good model would.

`BeaconMind(sight)` answers in the form of a thought and a call. What it knows of the mission it knows from the rendered
text: the instruction, its notes, the outcome of its last call. `sight` says, for a colour, at what angle and distance a
beacon shows in the picture now; None where it is out of view.
"""

import re
from collections.abc import Callable

from fake_world import call

from stillwing_vlm.core.conversation import ToolTurn
from stillwing_vlm.core.requests import AskRequest

Sight = Callable[[str], tuple[float, float] | None]
"""Degrees to the right, and metres."""

NEAR_M = 3.0
_SIDE_STEP_M = 1.5


class BeaconMind:
    """Flies to the beacons that the instruction names, in their order; notes each; asks which where none is named."""

    def __init__(self, sight: Sight) -> None:
        self._sight = sight

    def __call__(self, request: AskRequest) -> str:
        """The next thought and call."""
        texts = [turn.text for turn in request.messages]
        opening, outcome = texts[0], _last(request)
        instruction = opening.split("\n")[0]
        on_ground = "You stand on the ground" in texts[-1]
        if "land" in instruction.lower() and "- landed" not in opening:
            if on_ground:
                return f"I stand on the ground.\n{call('note', text='landed')}"
            return f"I am told to land.\n{call('land')}"
        if on_ground:
            return f"I stand on the ground.\n{call('takeoff', altitude_m=2)}"
        wanted = re.findall(r"the (\w+) beacon", instruction)
        if not wanted:
            wanted = re.findall(r"the (\w+) one", " ".join(texts))
        if not wanted:
            return f"There are several beacons.\n{call('ask_operator', question='Which beacon?')}"
        left = [colour for colour in wanted if f"- reached the {colour} beacon" not in opening]
        if not left:
            done = f"I was at the {' and then the '.join(wanted)} beacon."
            return f"All are reached.\n{call('final_answer', achieved=True, answer=done)}"
        return self._towards(left[0], outcome)

    def _towards(self, colour: str, outcome: str) -> str:
        seen = self._sight(colour)
        if seen is None:
            return f"No {colour} beacon in view.\n{call('turn', direction='right', angle_deg=60)}"
        aside_deg, distance_m = seen
        if distance_m <= NEAR_M:
            return f"The {colour} beacon is right here.\n{call('note', text=f'reached the {colour} beacon')}"
        if outcome.startswith("Refused") and (free := re.search(r"free for (\d+\.\d) m", outcome)):
            free_m = float(free.group(1)) - 0.2
            if free_m >= 1:
                return f"The way is free for a bit.\n{call('move_forward', distance_m=round(free_m, 1))}"
            side = call("move_aside", direction="left", distance_m=_SIDE_STEP_M, speed_m_s=1)
            return f"Something is in the way.\n{side}"
        if abs(aside_deg) > 5:
            side = "right" if aside_deg > 0 else "left"
            turn = call("turn", direction=side, angle_deg=round(abs(aside_deg)))
            return f"The {colour} beacon is aside.\n{turn}"
        ahead_m = round(min(distance_m - NEAR_M + 1, 8), 1)
        return f"The {colour} beacon is ahead.\n{call('move_forward', distance_m=ahead_m, speed_m_s=2)}"


def _last(request: AskRequest) -> str:
    answers = [turn for turn in request.messages if isinstance(turn, ToolTurn)]
    return answers[-1].text if answers else ""
