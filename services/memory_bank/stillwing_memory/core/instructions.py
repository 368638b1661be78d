"""What a mission was told to do and what it is about, and the chunks of frames filed under it.

It knows nothing of how frames are scored, stored or sent.
"""

from dataclasses import dataclass
from enum import Enum

from stillwing_common.vectors import Vectors
from stillwing_memory.core.entities import Attribute, Entity
from stillwing_memory.core.keyframes import Keyframe


@dataclass(frozen=True, slots=True)
class ThingMention:
    """A thing that an instruction is about. `entity_id` "" asks the bank to match by name or mint; `new` only to mint.

    `label` is how it is called there and becomes an alias. `attributes` are appended: one whose slot another holds ends
    that one.
    """

    label: str
    entity_id: str = ""
    new: bool = False
    kind: str = ""
    attributes: tuple[Attribute, ...] = ()


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of a mission, counted from 1, and the things it is about."""

    mission_id: str
    number: int
    text: str
    things: tuple[ThingMention, ...] = ()


class RecalledBy(Enum):
    """Why the active memory of a new instruction holds what it holds."""

    NOTHING = "nothing"
    THINGS = "things"
    SIMILARITY = "similarity"


@dataclass(frozen=True, slots=True)
class InstructionBegun:
    """The instruction's things in the order of its mentions, and the active memory to begin with, oldest first.

    `created` False: this instruction had begun before, and its memory is returned as it stands.
    """

    entities: tuple[Entity, ...]
    memory: tuple[Keyframe, ...]
    recalled_by: RecalledBy
    created: bool


@dataclass(frozen=True, slots=True)
class ChunkFrame:
    """One frame of a chunk. `keys`: the model's keys of its tokens, averaged: [layers, key heads, dimensions]."""

    keyframe: Keyframe
    keys: Vectors | None = None


@dataclass(frozen=True, slots=True)
class ThingView:
    """The model's view of a thing's text: its queries, averaged over `tokens` tokens: [layers, heads, dimensions]."""

    entity_id: str
    query: Vectors
    tokens: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Frames that left the model's window together, under the instruction they were seen in; both counted from 1.

    `views` are for a bank that scores by the model's attention.
    """

    mission_id: str
    instruction: int
    number: int
    frames: tuple[ChunkFrame, ...]
    views: tuple[ThingView, ...] = ()


@dataclass(frozen=True, slots=True)
class ChunkFiled:
    """The chunk's best frame as stored, the frame ids of the active memory after it, best first, and the revision.

    `created` False: this chunk was filed before and nothing changed.
    """

    keyframe: Keyframe
    memory_frame_ids: tuple[str, ...]
    created: bool
    revision: int


@dataclass(frozen=True, slots=True)
class InstructionRecord:
    """An instruction as the bank remembers it: its things, and the frames it began with and holds now.

    `mentions` are what it called each thing of `entity_ids`, in the same order, and what it said of it.
    """

    mission_id: str
    number: int
    text: str
    entity_ids: tuple[str, ...]
    recalled_by: RecalledBy
    recalled_frame_ids: tuple[str, ...]
    memory_frame_ids: tuple[str, ...]
    begin_wall_ns: int
    mentions: tuple[ThingMention, ...] = ()
