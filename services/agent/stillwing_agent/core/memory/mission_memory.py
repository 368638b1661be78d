"""A mission's memory: what its instruction is about, which of that a frame shows, what is filed and what comes back.

At a new instruction the things it mentions are read, the memory bank gives them their ids and hands back the keyframes
that show them, and those enter the engine's memory segment before the next frame does. In flight, frames that leave the
model's sight are handed on in chunks; the bank files the best of each, and the segment follows what the instruction has
in sight from then on: what leaves the window comes back as memory. All of it is beside the mission, never in its way: a
bank that is silent or an instruction that cannot be read costs memory, is logged, and the mission goes on.

It knows nothing of how an instruction is read or of how the bank scores. All methods run on one event loop.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from stillwing_agent.core.events import FramesRecalled, InstructionBegun, InstructionLost
from stillwing_agent.core.flight import MissionMemorySettings, RecallBy
from stillwing_agent.core.frame_pump import FramePump
from stillwing_agent.core.lasting_session import LastingSession
from stillwing_agent.core.memory.keyframe_filer import KeyframeFiler
from stillwing_agent.core.memory.reading import registry as reading
from stillwing_agent.core.memory.reading.noun_phrases import slot_of
from stillwing_agent.core.memory.reading.registry import InstructionReader, Known, Mention, Registry
from stillwing_agent.core.mission_record import MissionRecord
from stillwing_agent.core.prompting import prompts
from stillwing_common.errors import Expired, FrameNotKept, StillwingError
from stillwing_common.types import Frame, Stamp
from stillwing_common.vectors import Vectors
from stillwing_memory.core.entities import Attribute, Entity
from stillwing_memory.core.instructions import Chunk, ChunkFiled, ChunkFrame, Instruction, ThingMention, ThingView
from stillwing_memory.core.instructions import InstructionBegun as Begun
from stillwing_memory.core.keyframes import Keyframe, Sighting
from stillwing_memory.core.protocol import MemoryBank
from stillwing_vlm.core.requests import ChoiceRequest, View
from stillwing_vlm.core.results import FrameKeys

_log = logging.getLogger(__name__)

MAX_KNOWN = 200
"""Things the bank knows from other missions that are offered for matching."""

VISIBLE_FROM = 0.5


@dataclass(slots=True)
class MissionMemory:
    """One mission's things and chunks. `begin` an instruction, then tell it of evictions; `flush` before the next one
    begins, `end` at the end.
    """

    bank: MemoryBank
    reader: InstructionReader
    session: LastingSession
    pump: FramePump
    record: MissionRecord
    filer: KeyframeFiler
    settings: MissionMemorySettings
    most_recalled: int
    """Frames that the engine's memory segment holds; 0 where the engine recalls none."""
    scores_attention: bool = False
    """The bank scores by the model's attention, and the session hands out mean vectors for it."""
    _registry: Registry = field(default_factory=Registry)
    _things: tuple[tuple[str, Entity], ...] = ()
    _learned: bool = False
    _followed: Instruction | None = None
    _chunks: int = 0
    _last_evicted: str = ""
    _waiting: list[str] = field(default_factory=list)
    _handed: set[str] = field(default_factory=set)
    _seen: dict[str, tuple[Sighting, ...]] = field(default_factory=dict)
    _views: tuple[ThingView, ...] = ()
    _keys: dict[str, Vectors] = field(default_factory=dict)
    _showing: dict[str, Stamp] = field(default_factory=dict)
    """Frames of the active memory that show one of the things, with their captures."""
    _recalled: tuple[str, ...] = ()
    _over: bool = False

    def follows(self, number: int) -> bool:
        """Whether the instruction of this number was taken in."""
        return self._followed is not None and self._followed.number == number

    async def begin(self, text: str, number: int) -> None:
        """Take instruction 1, 2, … in and recall what was filed of its things; what fails is logged as lost, and frames
        are filed under the instruction before, if there was one.
        """
        try:
            if not self._learned:
                await self._learn()
            mentions = await self.reader.read(text, number, self._registry)
            async with asyncio.timeout(self.settings.timeout_s):
                instruction, begun = await self._register(text, number, mentions)
            views = await self._view(begun.entities)
            recalled: tuple[str, ...] = ()
            self._showing = {one.frame.frame_id: one.frame.capture for one in begun.memory}
            if self._recalls and (begun.memory or self._recalled):
                best = sorted(begun.memory, key=lambda one: -one.score)[: self.most_recalled]
                recalled = await self._bring_back([one.frame for one in begun.memory if one in best])
        except TimeoutError:
            self._lost(number, Expired(f"the memory bank took longer than {self.settings.timeout_s:g} s"))
        except StillwingError as error:
            self._lost(number, error)
        else:
            self._followed, self._chunks, self._views = instruction, 0, views
            ids = tuple(one.entity_id for one in begun.entities)
            self.record.add(InstructionBegun(number, text, ids, begun.recalled_by.value, recalled))

    async def _learn(self) -> None:
        """What the bank knows by kind is known here too, so that "the van" of another mission is that van."""
        async with asyncio.timeout(self.settings.timeout_s):
            page = await self.bank.list_entities(page_size=MAX_KNOWN)
        for entity in page.entities:
            if entity.kind:
                number = self._registry.next_number()
                self._registry.known[number] = _known(number, entity)
        self._learned = True

    async def _register(self, text: str, number: int, mentions: Sequence[Mention]) -> tuple[Instruction, Begun]:
        draft = self._registry.copy()
        said: dict[int, ThingMention] = {}
        for mention in mentions:
            known = draft.known.get(mention.number)
            thing = draft.add(number, mention, slot_of)
            attributes = tuple(Attribute(attr, slot_of(attr)) for attr in mention.attrs)
            if mention.number in said:
                before = said[mention.number]
                said[mention.number] = replace(before, attributes=(*before.attributes, *attributes))
                continue
            label = mention.entity or (thing.aliases[0] if thing.aliases else thing.kind)
            entity_id = known.entity_id if known is not None else ""
            said[mention.number] = ThingMention(label, entity_id, known is None, thing.kind, attributes)
        mission_id = self.record.mission.mission_id
        instruction = Instruction(mission_id, number, text, tuple(said.values()))
        begun = await self.bank.begin_instruction(instruction, include_image=self._recalls)
        for place, entity in zip(said, begun.entities, strict=False):
            draft.known[place] = replace(draft.known[place], entity_id=entity.entity_id)
        self._registry = draft
        names = [draft.known[place].text.split(",")[0] for place in said]
        self._things = tuple(zip(names, begun.entities, strict=False))
        return instruction, begun

    async def _view(self, entities: Sequence[Entity]) -> tuple[ThingView, ...]:
        """How the model asks for each thing, for a bank that scores by its attention."""
        if not self.scores_attention or not entities:
            return ()
        pooled = await self.session.pool_vectors([entity.text for entity in entities])
        return tuple(
            ThingView(entity.entity_id, asked.query, asked.tokens)
            for entity, asked in zip(entities, pooled.texts, strict=True)
        )

    def _lost(self, number: int, error: StillwingError) -> None:
        _log.warning("instruction %d is not remembered: %s", number, error)
        self.record.add(InstructionLost(number, error))

    # What a frame shows

    async def look(self, frame_id: str) -> tuple[Sighting, ...]:
        """Ask the model where each thing is in its newest frame, and keep what it sees as that frame's sightings.

        Returns those of `frame_id`. The vehicle is held by whoever calls. Each question is a choice on a branch that
        sees the newest chunk alone.
        """
        if not self.settings.tag or not frame_id:
            return ()
        things = self._things[: self.settings.max_tagged]
        # Placed together, so that all of them see the same newest frame.
        asked = [
            self.session.ask_choice(
                ChoiceRequest(prompts.where_prompt(f"the {name}"), prompts.WHERES, View(recent_chunks=1))
            )
            for name, _ in things
        ]
        for (_, entity), result in zip(things, await asyncio.gather(*asked), strict=True):
            visible = 1.0 - result.probabilities[prompts.WHERES.index("none")]
            if visible >= VISIBLE_FROM:
                sighting = Sighting(entity.label, entity.entity_id, confidence=min(1.0, visible))
                newest = result.provenance.last_frame_id
                self._seen[newest] = (*self._seen.get(newest, ()), sighting)
        return self._seen.get(frame_id, ())

    # What left the model's sight

    def evicted(self, frame_ids: Sequence[str], frame_keys: Sequence[FrameKeys] = ()) -> None:
        """Frames left the window; whole chunks of them are handed to the filer, never waited for."""
        self._take_keys(frame_keys)
        if not self._last_evicted and frame_ids:
            # What came before the first that leaves is in the sink and will never leave.
            self._wait(self.pump.kept_before(frame_ids[0]))
        self._last_evicted = frame_ids[-1] if frame_ids else self._last_evicted
        self._wait(frame_ids)
        self._handed.difference_update(frame_ids)

    def _wait(self, frame_ids: Sequence[str]) -> None:
        """For a chunk to be full of them; those that were flushed before they left are filed."""
        self._waiting.extend(one for one in frame_ids if one not in self._handed)
        while len(self._waiting) >= self.settings.chunk_frames:
            self._hand_over(self._waiting[: self.settings.chunk_frames])
            del self._waiting[: self.settings.chunk_frames]

    async def end(self) -> None:
        """The mission is over: what still waits is filed, and nothing comes back any more."""
        self._over = True
        await self.flush()

    async def flush(self) -> None:
        """The instruction is over: what still waits, and what is still in the window, is filed too."""
        left = self.pump.kept_since(self._last_evicted)
        if self.scores_attention and left:
            try:
                async with asyncio.timeout(self.settings.timeout_s):
                    self._take_keys((await self.session.pool_vectors([], left)).frames)
            except (TimeoutError, StillwingError) as error:
                _log.warning("the frames in sight are not filed: %s", error or type(error).__name__)
        self._wait(left)
        self._handed.update(left)
        if self._waiting:
            self._hand_over(self._waiting)
            self._waiting.clear()

    def _take_keys(self, frame_keys: Sequence[FrameKeys]) -> None:
        self._keys |= {each.frame_id: each.keys for each in frame_keys}

    # What comes back

    async def _filed(self, instruction: Instruction, filed: ChunkFiled) -> None:
        """A chunk was filed: what its instruction has in sight goes before the model, where that has changed.

        Frames that show none of its things stay away: they are in the active memory for want of better.
        """
        if self._over or instruction is not self._followed:
            return
        newest = filed.keyframe.frame
        if filed.keyframe.sightings:
            self._showing[newest.frame_id] = newest.capture
        self._showing = {one: self._showing[one] for one in filed.memory_frame_ids if one in self._showing}
        wanted = tuple(self._showing)[: self.most_recalled]
        if not self._recalls or set(wanted) == set(self._recalled):
            return
        try:
            async with asyncio.timeout(self.settings.timeout_s):
                # What another clock has stamped is from before this flight.
                frames = sorted(
                    await self._pictures(instruction, wanted),
                    key=lambda frame: (frame.capture.clock_id == newest.capture.clock_id, frame.capture.time_ns),
                )
                self.record.add(FramesRecalled(await self._bring_back(frames)))
        except (TimeoutError, StillwingError) as error:
            _log.warning("frames %s are not recalled: %s", ", ".join(wanted), error or "the memory bank took too long")

    async def _pictures(self, instruction: Instruction, frame_ids: Sequence[str]) -> list[Frame]:
        """Frames of the active memory with their pixels: the pump's, or in one call the bank's where it lacks one."""
        kept = [self.pump.frame(frame_id) for frame_id in frame_ids]
        # A frame of an earlier flight may have the same id, and another capture.
        pictures = [one for one in kept if one is not None and one.capture == self._showing[one.frame_id]]
        if len(pictures) == len(frame_ids):
            return pictures
        # An instruction that has begun is answered by its active memory as it stands.
        begun = await self.bank.begin_instruction(instruction, include_image=True)
        return [one.frame for one in begun.memory if one.frame.frame_id in frame_ids]

    @property
    def _recalls(self) -> bool:
        return self.most_recalled > 0 and self.settings.recall

    async def _bring_back(self, frames: Sequence[Frame]) -> tuple[str, ...]:
        self._recalled = tuple(frame.frame_id for frame in frames)
        if self.settings.recall_by is RecallBy.KEPT:
            try:
                return (await self.session.recall_kept(self._recalled)).frame_ids
            except FrameNotKept as error:
                _log.info("encoded again, because %s", error)
        return (await self.session.recall(frames)).frame_ids

    def _hand_over(self, frame_ids: Sequence[str]) -> None:
        frames = []
        for frame_id in frame_ids:
            sightings, keys = self._seen.pop(frame_id, ()), self._keys.pop(frame_id, None)
            frame = self.pump.frame(frame_id)
            if frame is not None and (keys is not None or not self.scores_attention):
                frames.append(ChunkFrame(self._keyframe(frame, sightings), keys))
        followed = self._followed
        if not frames or followed is None:
            return
        self._chunks += 1
        chunk = Chunk(followed.mission_id, followed.number, self._chunks, tuple(frames), self._views)
        self.filer.offer_chunk(chunk, partial(self._filed, followed))

    def _keyframe(self, frame: Frame, sightings: tuple[Sighting, ...]) -> Keyframe:
        mission = self.record.mission
        return Keyframe(frame, sightings, mission_id=mission.mission_id, vehicle_id=mission.vehicle_id)


def _known(number: int, entity: Entity) -> Known:
    """A thing of another mission, as this mission's registry holds things."""
    attributes = tuple(
        reading.Attribute(one.text, one.slot, 0 if one.until_wall_ns else None) for one in entity.attributes
    )
    aliases = (entity.label, *entity.aliases)
    return Known(number, f"{entity.kind}_{number}", entity.kind, aliases, attributes, entity.entity_id)
