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

from stillwing_memory.core.changes import Change
from stillwing_memory.core.entities import Entity, EntityPage
from stillwing_memory.core.instructions import Chunk, ChunkFiled, Instruction, InstructionBegun, InstructionRecord
from stillwing_memory.core.keyframes import Keyframe, KeyframePage, Match, PutResult, Query


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
