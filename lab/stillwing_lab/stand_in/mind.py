"""One policy for any mission: it reads the prompt, looks at the pictures in sight, and says one sentence and one call.

It keeps nothing between two answers. What it knows of the mission stands in the prompt, what it knows of the world in
the pictures and in what earlier calls brought back. It knows no mission's name, no scene and no position.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from stillwing_lab.stand_in.goals import (
    COLOURS,
    Ahead,
    CountVisits,
    Goal,
    Highest,
    Home,
    Land,
    Patrol,
    Reach,
    Recall,
    TakeOff,
    Tell,
    Turn,
    goals_of,
    in_words,
    is_chinese,
)
from stillwing_lab.stand_in.reading import Reading
from stillwing_lab.stand_in.sight import Picture, Sighting
from stillwing_lab.stand_in.steering import LEAST_WAY_M, LONGEST_LEG_M, MARGIN_M, NEAR_M, Call, Calls, Steering

_PAST_M = 2.5
_HIGH_M = 3.0
_MOST_SCANS = 4
_MOST_TOLD = 6
_QUOTED = 40
"""Characters of an instruction that stand in a note, to tell it from others."""


class StandInMind:
    """See `Mind`."""

    def answer(self, prompt: str, pictures: Sequence[Picture]) -> str:
        """A call where one is asked for, else yes or no, else words."""
        reading = Reading.of(prompt)
        newest = pictures[-1] if pictures else Picture("")
        if "Answer yes or no" in reading.closing:
            return "yes" if _carried_out(reading.closing, newest) else "no"
        if "without a call" in reading.closing:
            return words_for(newest, chinese=is_chinese(reading.closing))
        seen, call = _Decision(reading, pictures).next_call()
        return f"{seen}\n<tool_call>\n{json.dumps(call, ensure_ascii=False)}\n</tool_call>"


def words_for(picture: Picture, *, chinese: bool) -> str:
    """What a picture shows, in words."""
    if not picture.sightings:
        return "没有看到东西。" if chinese else "Nothing but ground and sky."
    striking_first = sorted(picture.sightings, key=lambda each: each.name.split()[0] not in COLOURS)
    told = [_one_in_words(each, chinese=chinese) for each in striking_first[:_MOST_TOLD]]
    return ("，" if chinese else "; ").join(told) + ("。" if chinese else ".")


def _one_in_words(seen: Sighting, *, chinese: bool) -> str:
    aside = round(abs(seen.aside_deg))
    if chinese:
        side = "右" if seen.aside_deg > 0 else "左"
        return f"{in_words(seen.name, chinese=True)}在{side}{aside}度，距离{seen.distance_m:.0f}米"
    side = "right" if seen.aside_deg > 0 else "left"
    return f"a {seen.name} {aside} degrees to the {side}, {seen.distance_m:.0f} m away"


def _carried_out(question: str, newest: Picture) -> bool:
    """Judged by the newest picture alone: whether the last thing to be reached is near; else there is nothing to see
    that speaks against it.
    """
    match = re.search(r"The drone was told: (.*) Is that carried out now", question, re.DOTALL)
    reached = [goal for goal in goals_of(match[1] if match else "") if isinstance(goal, Reach)]
    if not reached:
        return True
    wanted = reached[-1]
    return any(_is(each, wanted) and each.distance_m <= NEAR_M + 1 for each in newest.sightings)


def _is(seen: Sighting, wanted: Reach) -> bool:
    return seen.name == wanted.name or (not wanted.colour and seen.name.endswith(wanted.kind))


@dataclass(frozen=True)
class _Decision:
    reading: Reading
    pictures: Sequence[Picture]

    # What is known

    @property
    def newest(self) -> Picture:
        return self.pictures[-1] if self.pictures else Picture("")

    @cached_property
    def chinese(self) -> bool:
        return is_chinese(self.reading.instruction)

    @cached_property
    def goals(self) -> tuple[Goal, ...]:
        return goals_of(self.reading.instruction)

    @property
    def quote(self) -> str:
        text = self.reading.instruction
        return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}…"

    @cached_property
    def done(self) -> int:
        """How many goals its notes say are met."""
        found = [0]
        for note in self.reading.notes:
            match = re.match(rf"“{re.escape(self.quote)}” (\d+): ", note)
            if match:
                found.append(int(match[1]))
        return max(found)

    # What is said

    def next_call(self) -> tuple[str, Call]:
        seen = self._sentence()
        if not self.goals:
            question = "我该做什么？" if self.chinese else "What am I to do? I do not understand the instruction."
            return seen, self._call("ask_operator", question=question)
        if self.done >= len(self.goals):
            return seen, self._final(achieved=True, answer=self._summary())
        goal = self.goals[self.done]
        return seen, self._towards(goal)

    def _sentence(self) -> str:
        """The thing that matters most: what the instruction names, else what stands out, else what is nearest."""
        wanted = [goal for goal in self.goals if isinstance(goal, Reach)]
        named = [each for each in self.newest.sightings if any(_is(each, goal) for goal in wanted)]
        striking = [each for each in self.newest.sightings if each.name.split()[0] in COLOURS]
        chosen = (named or striking or list(self.newest.sightings))[:1]
        if not chosen:
            return "前面没有东西。" if self.chinese else "Nothing stands out ahead."
        words = _one_in_words(chosen[0], chinese=self.chinese)
        return f"看到{words}。" if self.chinese else f"I see {words}."

    def _call(self, name: str, **arguments: Any) -> Call:
        return Calls(self.reading).call(name, **arguments)

    @property
    def _steering(self) -> Steering:
        return Steering(Calls(self.reading), self.newest)

    def _final(self, *, achieved: bool, answer: str) -> Call:
        return self._call("final_answer", achieved=achieved, answer=answer)

    def _note(self, what: str, number: int = 0) -> Call:
        return self._call("note", text=f"“{self.quote}” {number or self.done + 1}: {what}")

    def _summary(self) -> str:
        said = [note.partition(f"“{self.quote}” ")[2].partition(": ")[2] for note in self.reading.notes]
        ending = "；" if self.chinese else "; "
        return ending.join(each for each in said if each)[:290] or ("完成。" if self.chinese else "Done.")

    def _say(self, english: str, chinese: str) -> str:
        return chinese if self.chinese else english

    # Goals

    def _towards(self, goal: Goal) -> Call:
        if isinstance(goal, Land):
            return self._note(self._say("landed", "已降落")) if self.reading.on_ground else self._call("land")
        if self.reading.on_ground:
            return self._call("takeoff", altitude_m=2.0)
        match goal:
            case Reach():
                return self._reach(goal)
            case TakeOff():
                return self._note(self._say("took off", "已起飞"))
            case Home():
                return self._home()
            case Highest():
                return self._highest()
            case Tell(kind):
                return self._tell(kind)
            case Recall(kind):
                return self._recall(kind)
            case Turn(angle_deg):
                return self._turn_round(angle_deg)
            case Ahead():
                return self._ahead()
            case Patrol(stops):
                return self._patrol(stops)
            case CountVisits():
                return self._count_visits()

    def _reach(self, goal: Reach, number: int = 0) -> Call:
        goal = self._meant(goal)
        if not goal.colour:
            # Which is meant can be told only by who knows which there are.
            if not self.reading.outcomes_of("look_around"):
                return self._scan(goal)
            known = sorted(self._known(goal))
            if len(known) > 1:
                names = (self._say(" or ", "还是")).join(in_words(name, chinese=self.chinese) for name in known)
                return self._call("ask_operator", question=self._say(f"Which one: {names}?", f"哪一个：{names}？"))
        seen = next((each for each in self.newest.sightings if _is(each, goal)), None)
        if seen is None:
            return self._search(goal)
        if seen.distance_m <= NEAR_M:
            name = in_words(seen.name, chinese=self.chinese)
            return self._note(self._say(f"reached {name}", f"已到达{name}"), number)
        return self._steering.approach(seen)

    def _meant(self, goal: Reach) -> Reach:
        """With the colour that the operator named, where one was asked for."""
        if goal.colour:
            return goal
        for answer in reversed(self.reading.outcomes_of("ask_operator")):
            named = goals_of(f"fly to the {answer} {goal.kind}")
            colours = [each.colour for each in named if isinstance(each, Reach) and each.colour]
            english = [colour for colour, word in COLOURS.items() if colour in answer.lower() or word in answer]
            if colours or english:
                return Reach(goal.kind, (english or colours)[0])
        return goal

    def _known(self, goal: Reach) -> set[str]:
        """Names of things of its kind that are in the picture, or that a scan brought back."""
        seen = {each.name for each in self.newest.sightings if each.name.endswith(goal.kind)}
        for outcome in self.reading.outcomes_of("look_around"):
            seen |= set(self._names(outcome, goal.kind))
        return seen

    def _names(self, text: str, kind: str = "") -> list[str]:
        """Coloured things that a text names, in English."""
        found = []
        for goal in goals_of(
            f"fly to {text}".replace(";", " ").replace(".", " ").replace("，", " ").replace("。", " ")
        ):
            if isinstance(goal, Reach) and (not kind or goal.kind == kind) and goal.name not in found:
                found.append(goal.name)
        return found

    def _scan(self, goal: Reach) -> Call:
        name = in_words(goal.name, chinese=self.chinese)
        return self._call("look_around", question=self._say(f"Where is {name}?", f"{name}在哪里？"))

    def _search(self, goal: Reach) -> Call:
        """Turn to where a scan saw it; else scan once; else say that it is not there."""
        step = self.reading.last
        if step is not None and step.tool == "look_around" and not step.refused:
            heading_deg = self._heading_of(goal, step.outcome)
            if heading_deg is not None:
                return self._steering.turn_by((heading_deg - self.reading.heading_deg + 180) % 360 - 180)
        if step is not None and step.tool == "move_aside" and not step.refused:
            # What was to be passed hides it now: past that.
            return self._call("move_forward", distance_m=_PAST_M, speed_m_s=1.0)
        if step is not None and step.refused and step.tool in ("move_forward", "move_aside"):
            return self._steering.go_round(step)
        height_m = self.reading.height_m or 0.0
        if step is not None and not step.refused and step.tool == "move_forward" and height_m > _HIGH_M:
            # It was flown to, and is below the picture now.
            return self._call("climb", height_m=-min(2.0, height_m - 2))
        mentioned = self._mentioned(goal)
        scans = [each for each in self.reading.steps if each.tool == "look_around"]
        if not scans or (mentioned and step is not None and step.tool not in ("look_around", "turn")):
            return self._scan(goal)
        if mentioned and len(scans) < _MOST_SCANS:
            return self._steering.other_place()
        name = in_words(goal.name, chinese=self.chinese)
        return self._final(
            achieved=False,
            answer=self._say(
                f"I looked all round and there is no {goal.name} to be seen.", f"我看了一圈，没有看到{name}。"
            ),
        )

    def _heading_of(self, goal: Reach, outcome: str) -> float | None:
        """Where a scan saw it, degrees clockwise from north."""
        best: tuple[float, float] | None = None
        for line in outcome.splitlines():
            match = re.match(r"Heading (\d+): (.*)", line)
            if match is None:
                continue
            for thing in re.split(r"[;，。]", match[2]):
                if goal.name not in self._names(thing, goal.kind) and (
                    goal.colour or not thing.strip().removeprefix("a ").startswith(goal.kind)
                ):
                    continue
                aside = re.search(r"(\d+) degrees to the (left|right)|在(左|右)(\d+)度", thing)
                if aside is None:
                    continue
                degrees = float(aside[1] or aside[4])
                turned_deg = degrees if "right" in aside[0] or "右" in aside[0] else -degrees
                if best is None or abs(turned_deg) < best[0]:
                    best = (abs(turned_deg), float(match[1]) + turned_deg)
        return None if best is None else best[1]

    def _mentioned(self, goal: Reach) -> bool:
        """Whether anything that is told says that it was seen."""
        said = [part for step in (*self.reading.earlier, *self.reading.steps) for part in (step.seen, step.outcome)]
        folded = self.reading.opening.partition("Of that time:")[2]
        return any(goal.name in self._names(text, goal.kind) for text in (*said, folded) if text)

    # Ways

    def _turn_round(self, angle_deg: float) -> Call:
        if any(step.tool == "turn" and not step.refused for step in self.reading.steps):
            return self._note(self._say("turned round", "已掉头"))
        return self._steering.turn_by(angle_deg)

    def _ahead(self) -> Call:
        """Along a way between walls: on, what is free of it, and a little off the wall that was come too near."""
        step = self.reading.last
        if step is not None and step.refused and step.tool == "move_forward":
            free = re.search(r"free for (\d+\.\d) m", step.outcome)
            if free and float(free[1]) - MARGIN_M >= LEAST_WAY_M:
                return self._call("move_forward", distance_m=float(free[1]) - MARGIN_M, speed_m_s=2.0)
            return self._note(self._say("came to where it ends", "已到尽头"))
        return self._call("move_forward", distance_m=LONGEST_LEG_M, speed_m_s=3.0)

    def _home(self) -> Call:
        home_m, _ = self.reading.home
        if home_m <= 1.5:
            return self._note(self._say("back home", "已返航"))
        step = self.reading.last
        if step is not None and step.tool == "return_home" and step.refused:
            return self._call("climb", height_m=2.0)
        return self._call("return_home")

    def _highest(self) -> Call:
        """Up by what is usual, and after a refusal by what is left to the limit that it tells."""
        step = self.reading.last
        height_m = self.reading.height_m or 0.0
        if step is not None and step.tool == "climb" and step.refused:
            limit = re.search(r"max_altitude_m ([\d.]+)", step.outcome)
            if limit is None:
                return self._final(
                    achieved=False, answer=self._say("I may not climb on, and was not told why.", "不能再上升。")
                )
            left_m = float(limit[1]) - height_m - 0.2
            if left_m < 0.2:
                return self._highest_met(height_m)
            return self._call("climb", height_m=left_m)
        if any(one.tool == "climb" and one.refused for one in self.reading.steps) or (
            step is not None and step.tool == "report"
        ):
            return self._highest_met(height_m)
        return self._call("climb", height_m=2.0)

    def _highest_met(self, height_m: float) -> Call:
        return self._report(
            self._say(f"I am at {height_m:.1f} m, as high as is allowed.", f"高度{height_m:.1f}米，已是最高。")
        )

    # Words

    def _report(self, text: str) -> Call:
        """Say it to the operator; once it is said, note that."""
        step = self.reading.last
        if step is not None and step.tool == "report" and step.arguments["text"] == text:
            return self._note(self._say("reported", "已报告"))
        return self._call("report", text=text)

    def _tell(self, kind: str) -> Call:
        question = self._say(f"Which {kind or 'thing'}s are there?", "有哪些东西？")
        asked = [step for step in self.reading.steps if step.arguments.get("question") == question]
        if not asked:
            return self._call("look_around", question=question)
        names = [in_words(name, chinese=self.chinese) for name in sorted(self._names(asked[-1].outcome, kind))]
        told = (self._say(", ", "、")).join(names) or self._say("nothing", "没有东西")
        return self._report(self._say(f"I see: {told}.", f"我看到：{told}。"))

    def _recall(self, kind: str) -> Call:
        """What is in sight, or told; else what the memory bank brings back; else what a scan shows."""
        names = [each.name for picture in reversed(self.pictures) for each in picture.sightings]
        names += [name for text in reversed(self.reading.told) for name in self._names(text)]
        name = next((each for each in names if each.endswith(kind) and " " in each), None)
        if name is not None:
            colour = name.split()[0]
            said = in_words(kind, chinese=self.chinese)
            return self._report(self._say(f"The {kind} was {colour}.", f"{said}是{COLOURS[colour]}的。"))
        tried = {step.tool for step in self.reading.steps}
        if "recall" not in tried and "recall" in self.reading.tools:
            return self._call("recall", query=kind)
        if "look_around" not in tried:
            return self._call("look_around", question=self._say(f"Is there a {kind}?", "有标志吗？"))
        return self._final(achieved=False, answer=self._say(f"I do not know of any {kind}.", "我没有看到。"))

    def _patrol(self, stops: tuple[Reach, ...]) -> Call:
        visits = self._visits()
        goal = stops[visits % len(stops)]
        call = self._reach(goal)
        if call["name"] != "note":
            return call
        text = self._say(f"visit {visits + 1}: {goal.name}", f"第{visits + 1}次：{goal.name}")
        return self._call("note", text=text)

    def _visits(self) -> int:
        found = [re.match(r"visit (\d+): |第(\d+)次：", note) for note in self.reading.notes]
        return max([int(match[1] or match[2]) for match in found if match], default=0)

    def _count_visits(self) -> Call:
        visits = self._visits()
        return self._report(self._say(f"I reached {visits} beacons.", f"我到达了{visits}次。"))
