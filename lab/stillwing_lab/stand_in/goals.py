"""What an instruction asks for, read from its words, English or Chinese: goals in the order in which they are met.

It knows kinds of things and colours as a reader does, and no mission, no place and no scene.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

COLOURS = {"red": "红色", "blue": "蓝色", "yellow": "黄色", "green": "绿色", "purple": "紫色", "white": "白色"}
KINDS = {
    "beacon": "信标",
    "tree": "树",
    "van": "面包车",
    "kiosk": "售货亭",
    "lamp": "路灯",
    "sign": "标志",
    "building": "楼",
}
_TO_ENGLISH = {chinese: english for english, chinese in (COLOURS | KINDS).items()}
_CHINESE = re.compile(r"[\u4e00-\u9fff]")


@dataclass(frozen=True, slots=True)
class Reach:
    """Fly to a thing: a kind, and a colour where it is said; `any_of` where one of several is meant."""

    kind: str
    colour: str = ""
    any_of: bool = False

    @property
    def name(self) -> str:
        """In English, as `Sighting.name` is."""
        return f"{self.colour} {self.kind}".strip()


@dataclass(frozen=True, slots=True)
class Ahead:
    """Fly on as the camera looks, until nothing more is free."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Turn round by so many degrees to the right."""

    angle_deg: float


@dataclass(frozen=True, slots=True)
class Land:
    """Stand on the ground."""


@dataclass(frozen=True, slots=True)
class TakeOff:
    """Fly."""


@dataclass(frozen=True, slots=True)
class Home:
    """Be where the flight began."""


@dataclass(frozen=True, slots=True)
class Highest:
    """Be as high as is allowed, and say how high that is."""


@dataclass(frozen=True, slots=True)
class Tell:
    """Report which things of a kind are there; "" of any."""

    kind: str = ""


@dataclass(frozen=True, slots=True)
class Recall:
    """Report the colour of a thing that was seen earlier."""

    kind: str


@dataclass(frozen=True, slots=True)
class Patrol:
    """Fly from one of several things to the next and on, until something else is said."""

    stops: tuple[Reach, ...]


@dataclass(frozen=True, slots=True)
class CountVisits:
    """Report how many things were reached so far."""


Goal = Reach | Ahead | Turn | Land | TakeOff | Home | Highest | Tell | Recall | Patrol | CountVisits


def is_chinese(text: str) -> bool:
    """Whether it is to be answered in Chinese."""
    return _CHINESE.search(text) is not None


def goals_of(instruction: str) -> tuple[Goal, ...]:
    """The goals of an instruction; none where it is not understood."""
    clauses = re.split(
        r"[.,;!。，；！]|\bthen\b|\band(?! the)\b|然后|接着|再(?=飞|起|报|降|返)", _in_english(instruction).lower()
    )
    return tuple(goal for clause in clauses for goal in _goals_of_clause(clause.strip()))


def _goals_of_clause(clause: str) -> Iterator[Goal]:
    things = list(_things(clause))
    if re.search(r"\bbetween\b|之间", clause):
        yield Patrol(tuple(things))
    elif re.search(r"how many|多少次", clause):
        yield CountVisits()
    elif re.search(r"\b(report|tell|say)\b|报告|告诉", clause):
        if re.search(r"colou?r|颜色", clause) and things:
            yield Recall(things[0].kind)
        elif not re.search(r"height|高度", clause):
            yield Tell(things[0].kind if things else "")
    elif re.search(r"as high as|highest|最高", clause):
        yield Highest()
    elif re.search(r"\btake off\b|起飞", clause):
        yield TakeOff()
    elif re.search(r"\bland\b|降落", clause):
        yield Land()
    elif re.search(r"\b(return|come|go|fly) (back )?home\b|返航|飞回", clause):
        yield Home()
    elif re.search(r"\bturn (right )?round\b|掉头", clause):
        yield Turn(180.0)
    elif re.search(r"\b(on ahead|straight on|end of)\b|往前", clause):
        yield Ahead()
    elif things and re.search(r"\b(fly|go|head|move|come|to)\b|飞|去|到", clause):
        yield from things


def _things(clause: str) -> Iterator[Reach]:
    colours, kinds = "|".join(COLOURS), "|".join(KINDS)
    for match in re.finditer(rf"(?:\b(an?|one) )?(?:({colours}) ?)?\b({kinds})s?\b", clause):
        yield Reach(match[3], match[2] or "", any_of=match[1] is not None and not match[2])


def _in_english(text: str) -> str:
    """With the names of things and colours in English, in whatever language the rest is."""
    for chinese, english in sorted(_TO_ENGLISH.items(), key=lambda pair: -len(pair[0])):
        text = text.replace(f"一个{chinese}", f" a {english} ").replace(chinese, f" {english} ")
    return re.sub(r" +", " ", text)


def in_words(name: str, *, chinese: bool) -> str:
    """A thing's name as it is said."""
    if not chinese:
        return f"the {name}"
    return "".join((COLOURS | KINDS).get(word, word) for word in name.split())
