"""Files keyframes in the memory bank beside the mission, never in its way: a bounded queue, newest refused when full.

A keyframe that cannot be filed is logged and noted in the mission's events, and the mission goes on. This module knows
nothing of what makes a frame worth keeping.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from stillwing_agent.core.base import KeyframeFiled, KeyframeLost
from stillwing_agent.core.record import MissionRecord
from stillwing_common.errors import Exhausted, Expired, StillwingError
from stillwing_memory.core.base import Chunk, ChunkFiled, Keyframe, MemoryBank, PutResult

_log = logging.getLogger(__name__)


class KeyframeFiler:
    """One queue to one bank; `put_timeout_s` bounds each put. `on_filed` is told of each chunk once it is filed."""

    def __init__(self, bank: MemoryBank, record: MissionRecord, *, queue_size: int, put_timeout_s: float) -> None:
        self._bank = bank
        self._record = record
        self._queue: asyncio.Queue[Keyframe | Chunk] = asyncio.Queue(queue_size)
        self._put_timeout_s = put_timeout_s
        self.on_filed: Callable[[Chunk, ChunkFiled], Awaitable[None]] | None = None

    def offer(self, keyframe: Keyframe) -> None:
        """Queue a keyframe; returns at once. A full queue loses it, and the event log says so."""
        try:
            self._queue.put_nowait(keyframe)
        except asyncio.QueueFull:
            self._lost(keyframe, Exhausted(f"{self._queue.maxsize} keyframes wait to be filed"))

    def offer_chunk(self, chunk: Chunk) -> None:
        """Queue a chunk, of which the bank files the best frame; returns at once. A full queue loses it and says so."""
        try:
            self._queue.put_nowait(chunk)
        except asyncio.QueueFull:
            self._lost(chunk, Exhausted(f"{self._queue.maxsize} keyframes wait to be filed"))

    async def run(self) -> None:
        """File until cancelled; what is not filed by then is lost, and the event log says so."""
        while True:
            keyframe = await self._queue.get()
            try:
                await self._file(keyframe)
            except asyncio.CancelledError:
                ended = Expired("the mission ended before it was filed")
                self._lost(keyframe, ended)
                while not self._queue.empty():
                    self._lost(self._queue.get_nowait(), ended)
                raise
            finally:
                self._queue.task_done()

    async def drain(self, timeout_s: float) -> None:
        """Wait until all that was offered is filed or lost, at most `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._queue.join()
        except TimeoutError:
            _log.warning("%d keyframes still wait to be filed", self._queue.qsize())

    async def _file(self, item: Keyframe | Chunk) -> None:
        try:
            async with asyncio.timeout(self._put_timeout_s):
                filed = await self._put(item)
        except TimeoutError:
            self._lost(item, Expired(f"the memory bank took longer than {self._put_timeout_s:g} s"))
        except StillwingError as error:
            self._lost(item, error)
        else:
            # What was there already is no news: two decisions on one picture file it once.
            if filed.created:
                self._record.add(KeyframeFiled(filed.keyframe.frame.frame_id, filed.revision))
            if isinstance(item, Chunk) and isinstance(filed, ChunkFiled) and self.on_filed is not None:
                await self.on_filed(item, filed)

    async def _put(self, item: Keyframe | Chunk) -> PutResult | ChunkFiled:
        return await (self._bank.file_chunk(item) if isinstance(item, Chunk) else self._bank.put_keyframe(item))

    def _lost(self, item: Keyframe | Chunk, error: StillwingError) -> None:
        frames = [one.keyframe for one in item.frames] if isinstance(item, Chunk) else [item]
        for keyframe in frames:
            _log.warning("keyframe %s not filed: %s", keyframe.frame.frame_id, error)
            self._record.add(KeyframeLost(keyframe.frame.frame_id, error))
