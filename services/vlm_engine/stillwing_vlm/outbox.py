"""Requests of a session on their way to the connection: in order, bounded, and never a stale frame behind a slow link.

It knows nothing of answers, credits or sessions.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from stillwing.vlm.v1 import vlm_pb2
from stillwing_common.errors import QueueFull
from stillwing_common.mailbox import BoundedLog, Closed, Full

MOST_REQUESTS = 256
"""Requests waiting for a slow connection before further ones are refused."""

MOST_BYTES = 64 * 1024 * 1024
"""Their bytes: eight pictures as large as an engine takes them by default."""


@dataclass(frozen=True, slots=True)
class UnsentChunk:
    """A chunk that was taken back; `skipped_frames`: those let go before it."""

    request_seq: int
    frame_ids: tuple[str, ...]
    skipped_frames: int


class Outbox:
    """Used on one event loop."""

    def __init__(self, *, newest_wins: bool) -> None:
        """`newest_wins`: a chunk that has not left yet may be taken back for a newer one."""
        self._newest_wins = newest_wins
        self._requests: BoundedLog[vlm_pb2.SessionRequest] = BoundedLog(MOST_REQUESTS)
        self._bytes = 0

    def put(self, request: vlm_pb2.SessionRequest) -> None:
        """Add one at the end. Raises QueueFull; then nothing was added."""
        size = request.ByteSize()
        if len(self._requests) and self._bytes + size > MOST_BYTES:
            raise QueueFull(f"{self._bytes} bytes have not left yet", limit=MOST_BYTES)
        try:
            self._requests.put(request)
        except Full:
            raise QueueFull(f"{MOST_REQUESTS} have not left yet", limit=MOST_REQUESTS) from None
        self._bytes += size

    def take_back_chunk(self) -> UnsentChunk | None:
        """The newest request, where it is a chunk that nothing was placed behind and newer ones may replace."""
        if not self._newest_wins:
            return None
        request = self._requests.take_back(
            lambda request: request.WhichOneof("request") in ("append_frame", "append_chunk")
        )
        if request is None:
            return None
        self._bytes -= request.ByteSize()
        if request.HasField("append_frame"):
            frames, skipped = [request.append_frame.frame], request.append_frame.skipped_frames
        else:
            frames, skipped = list(request.append_chunk.frames), request.append_chunk.skipped_frames
        return UnsentChunk(request.request_seq, tuple(frame.frame_id for frame in frames), skipped)

    async def requests(self) -> AsyncIterator[vlm_pb2.SessionRequest]:
        """All of them, each once the connection is ready for it; ends after `close`."""
        try:
            while True:
                request = await self._requests.get()
                self._bytes -= request.ByteSize()
                yield request
        except Closed:
            return

    def close(self) -> None:
        """No more are taken; what waits still leaves."""
        self._requests.close()
