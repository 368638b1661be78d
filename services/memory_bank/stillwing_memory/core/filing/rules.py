"""What is filed and what is recalled: the arithmetic of instructions, chunks and the three frames kept in sight. Pure.

First in, first out decides what leaves the window; a score decides only what of it is filed, and which filed frames
stay in the memory segment. It knows nothing of stores, images or models.

    instruction 1, chunk 1       things are read and numbered; nothing to match, nothing to recall
    until the window is full     nothing leaves, nothing is filed
    then, chunk by chunk         the best frame of the chunk that left is filed and joins the active memory; from the
                                 moment that is full, a better frame replaces the lowest of it
    instruction p > 1, chunk 1   things are matched; the active memory begins anew with what was filed of them
    end of an instruction        what is still in the window is filed too, or its last chunks would never be
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from stillwing_common.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Layout:
    """The model's video memory `[sink | memory | window]` and its chunks, in frames."""

    sink: int = 3
    memory: int = 3
    window: int = 6
    chunk: int = 3

    def __post_init__(self) -> None:
        if self.chunk < 1 or self.window < self.chunk or self.window % self.chunk or min(self.sink, self.memory) < 0:
            raise InvalidInput(
                "a layout has whole chunks in its window and no negative parts",
                sink=self.sink, memory=self.memory, window=self.window, chunk=self.chunk,
            )  # fmt: skip


ORIGINAL = Layout()


class WorkMode(Enum):
    """What a chunk of an instruction makes the bank do."""

    BEGIN = "begin"
    FILL = "fill"
    MATCH = "match"
    FILE = "file"


def work_mode(instruction: int, chunk: int, layout: Layout = ORIGINAL) -> WorkMode:
    """What to do at chunk 1, 2, 3, … of instruction 1, 2, 3, …. Raises InvalidInput for numbers below 1."""
    if instruction < 1 or chunk < 1:
        raise InvalidInput("instructions and chunks are counted from 1", instruction=instruction, chunk=chunk)
    if chunk == 1:
        return WorkMode.BEGIN if instruction == 1 else WorkMode.MATCH
    return WorkMode.FILL if evicted_chunk(chunk, layout) is None else WorkMode.FILE


def evicted_chunk(chunk: int, layout: Layout = ORIGINAL) -> int | None:
    """The chunk of the same instruction that leaves the window as `chunk` comes in; None while it fills."""
    gone = chunk - layout.window // layout.chunk
    return gone if gone >= 1 else None


def unfiled_chunks(chunks: int, layout: Layout = ORIGINAL) -> range:
    """The chunks of an instruction of `chunks` chunks that never left the window: filed at its end."""
    return range((evicted_chunk(chunks, layout) or 0) + 1, chunks + 1)


def input_frames(chunk: int, in_memory: int, layout: Layout = ORIGINAL) -> tuple[int, int, int]:
    """How many frames of sink, memory and window the model has before it as chunk `chunk` of instruction 1 comes."""
    seen = (chunk - 1) * layout.chunk
    return min(layout.sink, seen), min(layout.memory, in_memory), min(layout.window, seen)


def frame_name(instruction: int, chunk: int, frame: int) -> str:
    """A frame's name inside its mission: "p1_c3_f0"; frames are counted from 0, the rest from 1."""
    return f"p{instruction}_c{chunk}_f{frame}"


@dataclass(frozen=True, slots=True)
class Scored:
    """A filed frame, by whatever key its store has for it."""

    key: str
    score: float


def best_frame(scores: Sequence[float]) -> int:
    """The place of the frame to file; the first among equals. Raises InvalidInput for a chunk without frames."""
    if not scores:
        raise InvalidInput("a chunk holds at least one frame", frames=0)
    return max(range(len(scores)), key=lambda place: (scores[place], -place))


def admit(active: Sequence[Scored], candidate: Scored, size: int) -> tuple[Scored, ...]:
    """The active memory after `candidate`: best first, at most `size`; a full one takes only what beats its lowest."""
    if any(one.key == candidate.key for one in active):
        return tuple(active)
    if len(active) >= size:
        lowest = min(active, key=lambda one: one.score) if active else None
        if lowest is None or candidate.score <= lowest.score:
            return tuple(active)
        active = [one for one in active if one is not lowest]
    return tuple(sorted((*active, candidate), key=lambda one: -one.score))


@dataclass(frozen=True, slots=True)
class Filed:
    """A frame of the archive, with the things tagged in it and the instruction it was filed under."""

    key: str
    score: float
    things: frozenset[str]
    instruction: int


def initial_memory(archive: Iterable[Filed], wanted: Collection[str], size: int) -> tuple[Scored, ...]:
    """The frames with the greatest share of the wanted things, the better score among equals; none without any."""
    if not wanted:
        return ()
    shares = [(len(one.things & set(wanted)) / len(set(wanted)), one) for one in archive]
    ranked = sorted((pair for pair in shares if pair[0] > 0), key=lambda pair: (-pair[0], -pair[1].score, pair[1].key))
    return tuple(Scored(one.key, one.score) for _, one in ranked[:size])


def memory_of_instruction(archive: Iterable[Filed], instruction: int, size: int) -> tuple[Scored, ...]:
    """The best frames filed under one instruction: what is recalled when no wanted thing was ever filed."""
    ranked = sorted((one for one in archive if one.instruction == instruction), key=lambda one: (-one.score, one.key))
    return tuple(Scored(one.key, one.score) for one in ranked[:size])
