"""Recalls between the event loop, where they are placed, and the memory segment."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future

from stillwing_common.errors import InvalidInput
from stillwing_common.types import Frame
from stillwing_vlm.core.inputs.prepare import PreparedChunk
from stillwing_vlm.core.memory.video_session import VideoSession
from stillwing_vlm.core.results import Evicted, RecallResult
from stillwing_vlm.core.serving.quotas import Resource
from stillwing_vlm.core.serving.scheduler import Request
from stillwing_vlm.core.serving.session_lane import SessionLane
from stillwing_vlm.core.serving.under_way import FutureUnderWay


class RecallUnderWay(FutureUnderWay[RecallResult]):
    """Frames that are encoded again; their bytes count like those of a chunk."""

    def __init__(
        self,
        lane: SessionLane,
        video: VideoSession,
        frames: Sequence[Frame],
        on_eviction: Callable[[Evicted | None], None],
    ) -> None:
        """`on_eviction` is called on the device's thread with what had to go."""
        super().__init__(lane)
        self._video = video
        self._frames = frames
        self._on_eviction = on_eviction

    def _begin(self) -> None:
        lane, frames, most = self._lane, self._frames, self._lane.limits.max_recalled_frames
        if len(frames) > most:
            raise InvalidInput(f"at most {most} frames can be recalled", frames=len(frames))
        self._hold(Resource.FRAME_BYTES, sum(len(frame.image.data) for frame in frames))
        ready = lane.prepare(lambda: [lane.preparer.chunk([frame]) for frame in frames])
        lane.submit(Request(lambda: self._run(ready), self.fail, ready, heavy=True, deadline_s=lane.due_s()))

    def _run(self, ready: "Future[list[PreparedChunk]]") -> None:
        result, evicted = self._video.recall(ready.result())
        self._on_eviction(evicted)
        self.finish(result)
