"""python -m pytest tests/unit/agent/test_recalled_pictures.py

Where the pictures of recalled frames come from: the pump while it has them, else the bank, all in one call.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from fake_world import PICTURE

from stillwing_agent.core.events import FramesRecalled
from stillwing_agent.core.flight import MissionMemorySettings
from stillwing_agent.core.memory.mission_memory import MissionMemory
from stillwing_agent.core.mission_record import MissionRecord
from stillwing_agent.core.types import Mission, MissionState
from stillwing_common.clock import WallClock
from stillwing_common.types import Frame, Stamp
from stillwing_memory.core.entities import EntityPage
from stillwing_memory.core.instructions import Chunk, ChunkFiled, InstructionBegun, RecalledBy
from stillwing_memory.core.keyframes import Keyframe, Sighting
from stillwing_vlm.core.results import RecallResult


def frame(frame_id: str, clock_id: str = "now", data: bytes = b"pump") -> Frame:
    return Frame(frame_id, "c", Stamp(int(frame_id), clock_id), None, replace(PICTURE, data=data))


class Reader:
    async def read(self, text: str, instruction: int, registry: Any) -> list[Any]:
        return []


class Bank:
    """Answers a begun instruction by its active memory as it stands."""

    def __init__(self, memory: Sequence[Frame] = ()) -> None:
        self.memory = list(memory)
        self.calls: list[str] = []

    async def list_entities(self, **options: Any) -> EntityPage:
        return EntityPage((), "")

    async def begin_instruction(self, instruction: Any, *, include_image: bool) -> InstructionBegun:
        assert include_image
        self.calls.append(instruction.text)
        keyframes = tuple(Keyframe(one, (Sighting("van"),)) for one in self.memory)
        return InstructionBegun((), keyframes, RecalledBy.NOTHING, len(self.calls) == 1)


class Pump:
    def __init__(self) -> None:
        self.kept: dict[str, Frame] = {}

    def frame(self, frame_id: str) -> Frame | None:
        return self.kept.get(frame_id)

    def kept_before(self, frame_id: str) -> tuple[str, ...]:
        return ()


class Filer:
    def __init__(self) -> None:
        self.on_filed: list[Callable[[ChunkFiled], Awaitable[None]]] = []

    def offer_chunk(self, chunk: Chunk, on_filed: Callable[[ChunkFiled], Awaitable[None]]) -> None:
        self.on_filed.append(on_filed)


class Session:
    def __init__(self) -> None:
        self.recalled: list[list[Frame]] = []

    async def recall(self, frames: Sequence[Frame]) -> RecallResult:
        self.recalled.append(list(frames))
        return RecallResult(tuple(one.frame_id for one in frames), 100)


class Flight:
    def __init__(self, bank: Bank) -> None:
        mission = Mission("mis_1", "goal", "v", MissionState.PENDING, time.time_ns())
        self.bank, self.pump, self.filer, self.session = bank, Pump(), Filer(), Session()
        self.record = MissionRecord(mission, WallClock(), max_events=1000)
        self.memory = MissionMemory(
            bank, Reader(), self.session, self.pump, self.record, self.filer,  # type: ignore[arg-type]
            MissionMemorySettings(recall=True, chunk_frames=1), 3,
        )  # fmt: skip

    async def see_and_file(self, frame_id: str, in_sight: tuple[str, ...]) -> None:
        """A frame left the window and was filed; the active memory is `in_sight` after it."""
        seen = frame(frame_id)
        self.pump.kept[frame_id] = seen
        self.memory.evicted([frame_id])
        await self.filer.on_filed[-1](ChunkFiled(Keyframe(seen, (Sighting("van"),)), in_sight, True, 1))


async def test_what_the_pump_has_is_not_fetched() -> None:
    flight = Flight(Bank())
    await flight.memory.begin("van", 1)
    await flight.see_and_file("1", ("1",))
    await flight.see_and_file("2", ("2", "1"))
    assert [[one.frame_id for one in frames] for frames in flight.session.recalled] == [["1"], ["1", "2"]]
    assert {one.image.data for frames in flight.session.recalled for one in frames} == {b"pump"}
    assert flight.bank.calls == ["van"]
    recalled = [event.happening async for event in _events(flight)]
    assert [one.frame_ids for one in recalled if isinstance(one, FramesRecalled)] == [("1",), ("1", "2")]


async def test_what_the_pump_lacks_is_fetched_in_one_call() -> None:
    flight = Flight(Bank())
    await flight.memory.begin("van", 1)
    for number in ("1", "2"):
        await flight.see_and_file(number, tuple(str(one) for one in range(1, int(number) + 1)))
    flight.pump.kept.clear()
    flight.bank.memory = [frame(number, data=b"bank") for number in ("1", "2", "3")]
    await flight.see_and_file("3", ("1", "2", "3"))
    assert [(one.frame_id, one.image.data) for one in flight.session.recalled[-1]] == [
        ("1", b"bank"), ("2", b"bank"), ("3", b"bank"),
    ]  # fmt: skip
    assert flight.bank.calls == ["van"] * 2


async def test_a_frame_of_an_earlier_flight_is_not_mistaken_for_one_of_this() -> None:
    earlier = frame("1", "before", b"bank")
    flight = Flight(Bank([earlier]))
    await flight.memory.begin("van", 1)
    flight.pump.kept["1"] = frame("1")
    flight.bank.memory = [earlier, frame("2", data=b"bank")]
    await flight.see_and_file("2", ("1", "2"))
    assert flight.session.recalled == [[earlier], [earlier, frame("2", data=b"bank")]]


async def _events(flight: Flight) -> Any:
    flight.record.change_state(MissionState.CANCELLED)
    async for event in flight.record.watch():
        yield event
