"""What a memory bank is to its callers: keyframes worth keeping, and the things seen in them.

Two implementations share this protocol: the bank of this process (`core.bank.StoredBank`) and the one behind the wire
(`client.RemoteMemoryBank`). This module knows nothing of databases, embeddings or transports.

Durability: when `put_keyframe` or `merge_entities` returns, the change survives the death of the service, of its
database and of both. Order: changes have revisions that rise by one, in the order in which they were committed.

Threads: every method is called on the event loop on which the bank was opened.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from stillwing_common.types import Frame, PositionNed, Stamp
from stillwing_common.vectors import Vectors

# Limits


@dataclass(frozen=True, slots=True)
class Limits:
    """What one bank takes and gives; input above a limit is refused with an error that names it, never cut."""

    max_image_bytes: int = 16 * 1024 * 1024
    max_image_pixels: int = 4096 * 4096
    max_caption_chars: int = 4_000
    max_label_chars: int = 200
    max_id_chars: int = 200
    max_query_chars: int = 4_000
    max_sightings: int = 64
    max_page_size: int = 500
    max_results_with_images: int = 50
    max_things: int = 32
    max_attributes: int = 32
    max_chunk_frames: int = 16
    max_instruction_chars: int = 4_000


# Values


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
class Attribute:
    """Something said of a thing, true from `from_wall_ns` until `until_wall_ns` (nanoseconds since 1970 UTC; 0: still).

    `slot` is what it is about ("jacket"); a later attribute of the same slot ends it. "" excludes nothing.
    """

    text: str
    slot: str = ""
    from_wall_ns: int = 0
    until_wall_ns: int = 0


@dataclass(frozen=True, slots=True)
class Entity:
    """A thing that persists between keyframes; `last_position_ned_m` None if it was never placed.

    `last_seen` is Stamp(0, "") for a thing that was spoken of and not yet seen. `kind` is its noun ("van"), "" if the
    bank was never told. `attributes` hold also what is no longer so.
    """

    entity_id: str
    label: str
    last_seen: Stamp
    last_position_ned_m: PositionNed | None = None
    merged_ids: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    kind: str = ""
    attributes: tuple[Attribute, ...] = ()

    @property
    def text(self) -> str:
        """What scorers compare frames with: its label and what holds of it now ("young man, denim jacket")."""
        return ", ".join((self.label, *(one.text for one in self.attributes if not one.until_wall_ns)))


@dataclass(frozen=True, slots=True)
class Match:
    """One search result; `score` is higher for better and compares only within one answer."""

    keyframe: Keyframe
    score: float


@dataclass(frozen=True, slots=True)
class BankInfo:
    """Which store is in use, how texts are compared in it, and how much it holds."""

    store: str
    store_version: str
    similarity: str
    keyframes: int
    entities: int
    revision: int
    tenant: str = "default"
    scorer: str = "similarity"
    image_bytes: int = 0


# Instructions and chunks


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


# Queries


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

# Results


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


@dataclass(frozen=True, slots=True)
class EntityPage:
    """Oldest known first; `next_page_token` is "" on the last page."""

    entities: tuple[Entity, ...]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class KeyframePut:
    """A keyframe was stored; without pixels."""

    revision: int
    keyframe: Keyframe


@dataclass(frozen=True, slots=True)
class EntityChanged:
    """A thing was made, seen again or merged; `entity` as it was after this change."""

    revision: int
    entity: Entity


@dataclass(frozen=True, slots=True)
class KeyframeForgotten:
    """Retention took a keyframe's pixels and its place in searches; the rest of it stays, as given here."""

    revision: int
    keyframe: Keyframe


Change = KeyframePut | EntityChanged | KeyframeForgotten


class MemoryBank(Protocol):
    """What was seen, by keyframe and by thing. Any method may raise StoreUnavailable; trying again may help."""

    async def get_bank(self) -> BankInfo:
        """Which store is in use and how much it holds."""

    async def put_keyframe(self, keyframe: Keyframe) -> PutResult:
        """Store a keyframe, its image included; durable when this returns.

        A frame is known by `frame_id` on its capture clock: the same one again changes nothing and returns what is
        stored, with `created` False. Sightings without an entity id are matched to a known thing of the same name
        (and, where both are placed, near it) or get a new one.
        Raises InvalidInput, ImageEmpty, ImageUndecodable, ImageTooLarge, TextTooLong, UnknownEntity.
        """

    async def get_keyframe(self, frame_id: str, *, clock_id: str = "", include_image: bool = False) -> Keyframe:
        """One keyframe; `clock_id` "" takes the newest filed one of that frame id. Raises UnknownKeyframe."""

    async def list_keyframes(self, *, page_size: int = 0, page_token: str = "", mission_id: str = "") -> KeyframePage:
        """A page of keyframes; `page_size` 0 means 50. Raises BadPageToken."""

    async def search_keyframes(
        self, query: Query, *, limit: int = 0, mission_id: str = "", include_image: bool = False
    ) -> tuple[Match, ...]:
        """The best matches, best first; `limit` 0 means 10. Raises UnknownEntity, InvalidInput, TextTooLong."""

    async def list_entities(self, *, page_size: int = 0, page_token: str = "", name: str = "") -> EntityPage:
        """A page of things; `page_size` 0 means 100. `name`: only those that go by it. Raises BadPageToken."""

    async def merge_entities(self, into_entity_id: str, from_entity_id: str) -> Entity:
        """Make one thing of two; the second id becomes another name of the first. Durable when this returns.

        Merging what is one thing already changes nothing. Raises UnknownEntity, InvalidInput (a thing with itself).
        """

    async def begin_instruction(self, instruction: Instruction, *, include_image: bool = False) -> InstructionBegun:
        """Take in what an instruction is about, and begin its active memory with what was filed of that.

        Things get their ids, aliases and attributes; the three keyframes that show the greatest share of them are
        recalled, ties by score, and without any the best of the most alike earlier instruction of this mission.
        Durable when this returns; the same mission and number again changes nothing. Things and all in one transaction.
        Raises InvalidInput, TextTooLong, UnknownEntity.
        """

    async def file_chunk(self, chunk: Chunk) -> ChunkFiled:
        """Score the frames of a chunk against the instruction's things, and file the best.

        It is tagged with the things visible in it and joins the active memory, or replaces the lowest of three that it
        beats. Durable when this returns; the same mission, instruction and number again changes nothing.
        Raises what `put_keyframe` raises, UnknownInstruction, and InvalidInput where the scorer lacks vectors.
        """

    async def list_instructions(self, mission_id: str) -> tuple[InstructionRecord, ...]:
        """What a mission was told and what it recalled, first first; empty for a mission the bank does not know."""

    def watch_changes(self, after_revision: int = 0) -> AsyncGenerator[Change, None]:
        """A log stream: every change after a revision, in order, none dropped; then each new one as it happens.

        Ends when the bank closes. Resume with the revision of the last change that was read. Raises InvalidInput, at
        the first change asked for, for a revision that this bank has not reached: it is another bank's.
        """

    async def close(self) -> None:
        """Let the store go; streams end. Closing twice does nothing."""
