"""python -m pytest tests/unit/agent/test_mission_chunks.py

Which frames of a mission are handed to the bank, under which instruction and chunk, and when.
"""

import asyncio
import time
from typing import Any

import pytest
from fake_world import PICTURE
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stillwing_agent.core.flight import MissionMemorySettings
from stillwing_agent.core.memory.mission_memory import MissionMemory
from stillwing_agent.core.mission_record import MissionRecord
from stillwing_agent.core.types import Mission, MissionState
from stillwing_common.clock import WallClock
from stillwing_common.types import Frame, Stamp
from stillwing_memory.core.entities import EntityPage
from stillwing_memory.core.instructions import Chunk, InstructionBegun, RecalledBy

SINK, WINDOW, CHUNK = 3, 6, 3
"""The engine's video memory and its chunks, in frames."""


class Reader:
    async def read(self, text: str, instruction: int, registry: Any) -> list[Any]:
        return []


class Bank:
    async def list_entities(self, **options: Any) -> EntityPage:
        return EntityPage((), "")

    async def begin_instruction(self, instruction: Any, **options: Any) -> InstructionBegun:
        return InstructionBegun((), (), RecalledBy.NOTHING, True)


class Pump:
    """All frames that were ever taken in, by number."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def frame(self, frame_id: str) -> Frame:
        return Frame(frame_id, "c", Stamp(int(frame_id), "clock"), None, PICTURE)

    def kept_since(self, frame_id: str) -> tuple[str, ...]:
        return tuple(self.ids[self.ids.index(frame_id) + 1 :] if frame_id in self.ids else self.ids)

    def kept_before(self, frame_id: str) -> tuple[str, ...]:
        return tuple(self.ids[: self.ids.index(frame_id)])


class Filer:
    def __init__(self) -> None:
        self.chunks: list[Chunk] = []

    def offer_chunk(self, chunk: Chunk, on_filed: Any) -> None:
        self.chunks.append(chunk)


class Flight:
    """A mission's memory beside an engine that keeps `[sink(3) | window(6)]` frames and takes chunks of three."""

    def __init__(self) -> None:
        mission = Mission("mis_1", "goal", "v", MissionState.PENDING, time.time_ns())
        self.pump, self.filer = Pump(), Filer()
        record = MissionRecord(mission, WallClock(), max_events=1000)
        self.memory = MissionMemory(
            Bank(), Reader(), None, self.pump, record, self.filer, MissionMemorySettings(), 0  # type: ignore[arg-type]
        )  # fmt: skip
        self._window: list[str] = []

    def chunk_comes_in(self) -> None:
        for _ in range(CHUNK):
            self.pump.ids.append(str(len(self.pump.ids)))
        came = self.pump.ids[-CHUNK:]
        if len(self.pump.ids) > SINK:
            self._window += came
        if len(self._window) > WINDOW:
            gone, self._window = self._window[:CHUNK], self._window[CHUNK:]
            self.memory.evicted(gone)


async def check(chunks_of: list[int]) -> None:
    """Fly so many chunks under each instruction."""
    flight = Flight()
    expected: list[tuple[int, int, tuple[str, ...]]] = []
    for number, chunks in enumerate(chunks_of, 1):
        await flight.memory.begin(f"instruction {number}", number)
        for chunk in range(1, chunks + 1):
            before = len(flight.filer.chunks)
            flight.chunk_comes_in()
            expected.append((number, chunk, tuple(flight.pump.ids[-CHUNK:])))
            handed = flight.filer.chunks[before:]
            if number > 1:
                # What leaves the window as a chunk comes in, once those of this instruction have filled it.
                gone = chunk - WINDOW // CHUNK
                assert [one.number for one in handed] == ([gone] if gone >= 1 else [])
            else:
                # The first chunk stays in the engine's sink; it is handed over with the first that leaves.
                assert [one.number for one in handed] == {4: [1, 2]}.get(chunk, [chunk - 2] if chunk > 4 else [])
        await flight.memory.flush()
    found = [
        (one.instruction, one.number, tuple(frame.keyframe.frame.frame_id for frame in one.frames))
        for one in flight.filer.chunks
    ]
    assert found == expected


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5))
@example([10, 10, 10])
@example([1, 1, 1])
@example([2, 5])
@settings(max_examples=50, deadline=None)
def test_every_frame_is_handed_over_once_under_its_own_instruction_and_chunk(chunks_of: list[int]) -> None:
    asyncio.run(check(chunks_of))


@pytest.mark.parametrize("sizes", [(4, 2), (12,)])
async def test_a_last_chunk_that_is_not_full_is_handed_over_too(sizes: tuple[int, ...]) -> None:
    flight = Flight()
    await flight.memory.begin("instruction 1", 1)
    for _ in range(sizes[0]):
        flight.chunk_comes_in()
    flight.pump.ids.append("999")
    await flight.memory.flush()
    assert [frame.keyframe.frame.frame_id for frame in flight.filer.chunks[-1].frames] == ["999"]
