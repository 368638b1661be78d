"""What a memory bank is to its callers: keyframes worth keeping, and the things seen in them.

Two implementations share this protocol: the bank of this process (`core.bank.StoredBank`) and the one behind the wire
(`client.RemoteMemoryBank`). This module knows nothing of databases, embeddings or transports.

Durability: when `put_keyframe` or `merge_entities` returns, the change survives the death of the service, of its
database and of both. Order: changes have revisions that rise by one, in the order in which they were committed.

Threads: every method is called on the event loop on which the bank was opened.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from stillwing_common.types import Frame, PositionNed, Stamp

# Limits


@dataclass(frozen=True, slots=True)
class Limits:
    """What one bank takes and gives; input above a limit is refused with an error that names it, never cut."""

    max_image_bytes: int = 256 * 1024
    max_image_pixels: int = 4096 * 4096
    max_caption_chars: int = 4_000
    max_label_chars: int = 200
    max_id_chars: int = 200
    max_query_chars: int = 4_000
    max_sightings: int = 64
    max_page_size: int = 500
    max_results_with_images: int = 50


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

    `score` compares only within one mission. `put_wall_ns` (nanoseconds since 1970 UTC) is set by the bank; what a
    caller gives there is ignored.
    """

    frame: Frame
    sightings: tuple[Sighting, ...] = ()
    caption: str = ""
    mission_id: str = ""
    score: float = 0.0
    vehicle_id: str = ""
    put_wall_ns: int = 0


@dataclass(frozen=True, slots=True)
class Entity:
    """A thing that persists between keyframes; `last_position_ned_m` None if it was never placed."""

    entity_id: str
    label: str
    last_seen: Stamp
    last_position_ned_m: PositionNed | None = None
    merged_ids: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


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


Query = ByText | ByEntity | ByPlace

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


Change = KeyframePut | EntityChanged


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

    async def list_entities(self, *, page_size: int = 0, page_token: str = "") -> EntityPage:
        """A page of things; `page_size` 0 means 100. Raises BadPageToken."""

    async def merge_entities(self, into_entity_id: str, from_entity_id: str) -> Entity:
        """Make one thing of two; the second id becomes another name of the first. Durable when this returns.

        Merging what is one thing already changes nothing. Raises UnknownEntity, InvalidInput (a thing with itself).
        """

    def watch_changes(self, after_revision: int = 0) -> AsyncGenerator[Change, None]:
        """A log stream: every change after a revision, in order, none dropped; then each new one as it happens.

        Ends when the bank closes. Resume with the revision of the last change that was read. Raises InvalidInput, at
        the first change asked for, for a revision that this bank has not reached: it is another bank's.
        """

    async def close(self) -> None:
        """Let the store go; streams end. Closing twice does nothing."""
