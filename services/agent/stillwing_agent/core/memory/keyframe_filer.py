"""Files keyframes in the memory bank beside the mission, never in its way: a bounded queue, newest refused when full.

A keyframe that cannot be filed is logged and noted in the mission's events, and the mission goes on. This module knows
nothing of what makes a frame worth keeping.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from stillwing_agent.core.events import KeyframeFiled, KeyframeLost, ServiceBack, ServiceLost
from stillwing_agent.core.mission_record import MissionRecord
from stillwing_common.errors import Exhausted, Expired, StillwingError, Unavailable
from stillwing_memory.core.instructions import Chunk, ChunkFiled
from stillwing_memory.core.keyframes import Keyframe, PutResult
from stillwing_memory.core.protocol import MemoryBank

_log = logging.getLogger(__name__)


OnFiled = Callable[[ChunkFiled], Awaitable[None]]
"""What is to happen once a chunk is filed."""


@dataclass(frozen=True, slots=True)
class _Offered:
    """A chunk that waits to be filed, and what follows."""

    chunk: Chunk
    on_filed: OnFiled


class KeyframeFiler:
    """One queue to one bank; `put_timeout_s` bounds each put."""

    def __init__(self, bank: MemoryBank, record: MissionRecord, *, queue_size: int, put_timeout_s: float) -> None:
        self._bank = bank
        self._record = record
        self._queue: asyncio.Queue[Keyframe | _Offered] = asyncio.Queue(queue_size)
        self._put_timeout_s = put_timeout_s
        self._away_since_s: float | None = None

    def offer(self, keyframe: Keyframe) -> None:
        """Queue a keyframe; returns at once. A full queue loses it, and the event log says so."""
        self._offer(keyframe)

    def offer_chunk(self, chunk: Chunk, on_filed: OnFiled) -> None:
        """Queue a chunk, of which the bank files the best frame; returns at once. A full queue loses it and says so.

        Once it is filed, `on_filed` is awaited before the next is.
        """
        self._offer(_Offered(chunk, on_filed))

    def _offer(self, item: Keyframe | _Offered) -> None:
        try:
            self._queue.put_nowait(item)
        except asyncio.QueueFull:
            self._lost(item, Exhausted(f"{self._queue.maxsize} keyframes wait to be filed"))

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

    async def _file(self, item: Keyframe | _Offered) -> None:
        try:
            async with asyncio.timeout(self._put_timeout_s):
                filed = await self._put(item)
        except TimeoutError:
            self._lost(item, self._away(Expired(f"the memory bank took longer than {self._put_timeout_s:g} s")))
        except Unavailable as error:
            self._lost(item, self._away(error))
        except StillwingError as error:
            self._lost(item, error)
        else:
            self._back()
            # What was there already is no news: two decisions on one picture file it once.
            if filed.created:
                self._record.add(KeyframeFiled(filed.keyframe.frame.frame_id, filed.revision))
            if isinstance(item, _Offered) and isinstance(filed, ChunkFiled):
                await item.on_filed(filed)

    def _away(self, error: StillwingError) -> StillwingError:
        """The bank does not answer: said once, until it does again."""
        if self._away_since_s is None:
            self._away_since_s = time.monotonic()
            self._record.add(ServiceLost("memory_bank", error))
        return error

    def _back(self) -> None:
        if self._away_since_s is not None:
            self._record.add(ServiceBack("memory_bank", time.monotonic() - self._away_since_s))
            self._away_since_s = None

    async def _put(self, item: Keyframe | _Offered) -> PutResult | ChunkFiled:
        if isinstance(item, _Offered):
            return await self._bank.file_chunk(item.chunk)
        return await self._bank.put_keyframe(item)

    def _lost(self, item: Keyframe | _Offered, error: StillwingError) -> None:
        frames = [one.keyframe for one in item.chunk.frames] if isinstance(item, _Offered) else [item]
        for keyframe in frames:
            _log.warning("keyframe %s not filed: %s", keyframe.frame.frame_id, error)
            self._record.add(KeyframeLost(keyframe.frame.frame_id, error))
