"""Missions drawn from a grammar: a scene, and one to four things to do there, in English or Chinese.

The same seed draws the same missions. In the scenes that are drawn every beacon shows from the start and from each
other beacon to whoever looks round there once: what is hidden cannot be told from what is not there. It knows no minds.
"""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from stillwing_agent.core.types import MissionState
from stillwing_airfield.scenes.base import SceneSpec, build_scene
from stillwing_common.types import Frame, Image, ImageEncoding, Pose, PositionNed, Quaternion, Stamp
from stillwing_lab.stand_in.flying import Flown
from stillwing_lab.stand_in.goals import COLOURS
from stillwing_lab.stand_in.missions import (
    Faults,
    Judge,
    StandInMission,
    answers_with,
    asks_and_reaches,
    reaches,
    reports_beacons,
    says_it_is_not_there,
)
from stillwing_lab.stand_in.sight import Sight, name_of

_SCENES = ("meadow", "meadow", "orchard", "street")
_LOOK_AT_M, _HEIGHT_M = 2.8, 2.0
_HEADINGS_DEG = (0.0, 60.0, 120.0, 180.0, 240.0, 300.0)
_HOME_M = 2.0


@dataclass(frozen=True, slots=True)
class _Part:
    """A clause in both languages, and what is wrong with a flight that was to do it."""

    english: str
    chinese: str
    judge: Judge


def drawn_missions(seed: int, count: int) -> Iterator[StandInMission]:
    """`count` missions."""
    rng = random.Random(seed)
    for number in range(count):
        yield _drawn(rng, f"drawn {number} of seed {seed}")


def _drawn(rng: random.Random, name: str) -> StandInMission:
    scene, scene_seed = _scene(rng)
    beacons = [str(beacon.colour) for beacon in build_scene(scene, scene_seed).of_kind("beacon")]
    rng.shuffle(beacons)
    chinese = rng.random() < 0.3
    match rng.choice(("alone", "alone", "absent", "asked", "parts", "parts", "parts", "parts")):
        case "absent":
            colour = rng.choice([colour for colour in COLOURS if colour not in beacons])
            goal = _joined([_reach(colour)], chinese=chinese)
            return StandInMission(name, goal, says_it_is_not_there, scene, scene_seed)
        case "asked":
            goal = "飞到一个信标。" if chinese else "Fly to a beacon."
            answer = f"{COLOURS[beacons[0]]}的。" if chinese else f"The {beacons[0]} one."
            judge = asks_and_reaches(beacons[0])
            return StandInMission(name, goal, judge, scene, scene_seed, operator=answers_with(answer))
        case "alone":
            part = rng.choice((_reach(beacons[0]), _REPORT))
            return StandInMission(name, _joined([part], chinese=chinese), part.judge, scene, scene_seed)
    parts = [_reach(colour) for colour in beacons[: rng.randint(1, 2)]]
    more = rng.choice(([_HOME], [_LAND], [_HOME, _LAND], [_REPORT]))
    return StandInMission(name, _joined([*parts, *more], chinese=chinese), _all(parts, more), scene, scene_seed)


def _scene(rng: random.Random) -> tuple[str, int]:
    """The first that is drawn in which nothing is hidden."""
    while True:
        name, seed = rng.choice(_SCENES), rng.randrange(10_000)
        spec = build_scene(name, seed)
        beacons = spec.of_kind("beacon")
        feet = [beacon.position_ned_m[:2] for beacon in beacons]
        start = spec.start_position_ned_m[:2]
        places = [start, *(_short_of(to, here) for to in feet for here in (start, *feet) if here != to)]
        sight, names = Sight(spec), {name_of(beacon) for beacon in beacons}
        if all(names <= _seen_from(sight, place, start) for place in places):
            return name, seed


def _short_of(foot: tuple[float, ...], here: tuple[float, ...]) -> tuple[float, float]:
    """Where somebody stops who flies there."""
    share = _LOOK_AT_M / max(math.dist(foot, here), _LOOK_AT_M)
    return foot[0] + share * (here[0] - foot[0]), foot[1] + share * (here[1] - foot[1])


def _seen_from(sight: Sight, place: tuple[float, ...], start: tuple[float, ...]) -> set[str]:
    seen = set()
    for heading_deg in _HEADINGS_DEG:
        position = PositionNed(place[0] - start[0], place[1] - start[1], -_HEIGHT_M)
        pose = Pose(position, Quaternion.from_yaw_deg(heading_deg))
        frame = Frame("drawn", "", Stamp(0, ""), pose, Image(ImageEncoding.JPEG, 320, 240, b""))
        seen |= {sighting.name for sighting in sight.look(frame).sightings}
    return seen


def _joined(parts: Sequence[_Part], *, chinese: bool) -> str:
    if chinese:
        return "，然后".join(part.chinese for part in parts) + "。"
    text = ", then ".join(part.english for part in parts)
    return text[0].upper() + text[1:] + "."


def _reach(colour: str) -> _Part:
    return _Part(f"fly to the {colour} beacon", f"飞到{COLOURS[colour]}信标", reaches(colour))


def _all(reached: Sequence[_Part], more: Sequence[_Part]) -> Judge:
    """All of them, in whatever place the flight ends."""

    def judge(flown: Flown, scene: SceneSpec) -> Faults:
        for part in (*reached, *more):
            yield from (fault for fault in part.judge(flown, scene) if "did not end at" not in fault)

    return judge


def _ends(what: str, is_so: Callable[[Flown], bool]) -> Judge:
    def judge(flown: Flown, scene: SceneSpec) -> Faults:
        if flown.mission.state is not MissionState.ACHIEVED:
            yield f"it ended {flown.mission.state.value}: {flown.mission.answer or flown.mission.error}"
        if not is_so(flown):
            yield f"it ended {flown.track_m[-1]}, not {what}"

    return judge


_HOME = _Part(
    "return home",
    "返航",
    _ends("at home", lambda flown: max(map(abs, flown.track_m[-1][:2])) <= _HOME_M),
)
_LAND = _Part("land", "降落", _ends("on the ground", lambda flown: flown.track_m[-1][2] > -0.3))
_REPORT = _Part("look around and report which beacons you see", "看看周围，报告你看到哪些信标", reports_beacons)
