"""Keyframes worth keeping, what is seen in them, and how they are asked for. It knows nothing of stores or wires."""

from dataclasses import dataclass

from stillwing_common.types import Frame, PositionNed


@dataclass(frozen=True, slots=True)
class Sighting:
    """One thing in one keyframe.

    `entity_id` "" on put asks the bank to match or mint. `box` is left, top, right, bottom, each 0 to 1 of the image.
    `position_ned_m` is where the thing itself is, not the camera. `track_id` means something to its source only.
    """

    label: str
    entity_id: str = ""
    track_id: str = ""
    box: tuple[float, float, float, float] | None = None
    confidence: float = 1.0
    position_ned_m: PositionNed | None = None


@dataclass(frozen=True, slots=True)
class Keyframe:
    """A frame worth keeping, and why. Reads leave `frame.image.data` empty unless pixels are asked for.

    `score` compares only within one mission. `instruction`, `chunk` (from 1) and `place` (from 0, inside the chunk) say
    where in its mission it was filed, 0 for a frame put on its own. Set by the bank, ignored when given:
    `put_wall_ns` (nanoseconds since 1970 UTC), and `forgotten`: retention took its pixels and its place in searches.
    """

    frame: Frame
    sightings: tuple[Sighting, ...] = ()
    caption: str = ""
    mission_id: str = ""
    score: float = 0.0
    vehicle_id: str = ""
    put_wall_ns: int = 0
    instruction: int = 0
    chunk: int = 0
    place: int = 0
    forgotten: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """One search result; `score` is higher for better and compares only within one answer."""

    keyframe: Keyframe
    score: float


@dataclass(frozen=True, slots=True)
class ByText:
    """Keyframes whose caption and labels are like this text, most alike first."""

    text: str


@dataclass(frozen=True, slots=True)
class ByEntity:
    """Keyframes that show this thing, most confident sighting first; ids merged away keep working."""

    entity_id: str


@dataclass(frozen=True, slots=True)
class ByPlace:
    """Keyframes taken near this place, nearest camera first; frames without a camera pose are left out."""

    near_ned_m: PositionNed


@dataclass(frozen=True, slots=True)
class ByTime:
    """Keyframes captured from `from_ns` up to and without `to_ns` on one clock, newest first; the score is the age.

    `clock_id` is the capture clock's; times of two clocks do not compare.
    """

    clock_id: str
    from_ns: int
    to_ns: int


Query = ByText | ByEntity | ByPlace | ByTime


@dataclass(frozen=True, slots=True)
class PutResult:
    """`keyframe` as stored, entity ids filled in, without pixels; `created` False: the frame was here already."""

    keyframe: Keyframe
    revision: int
    created: bool


@dataclass(frozen=True, slots=True)
class KeyframePage:
    """Newest filed first; `next_page_token` is "" on the last page."""

    keyframes: tuple[Keyframe, ...]
    next_page_token: str
