"""Chunks between the event loop, where they are placed, and the trunk.

It knows no pictures and no order: `inputs.prepare` and the lane do.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future

from stillwing_common.errors import FrameSuperseded, InvalidInput
from stillwing_common.types import Frame
from stillwing_vlm.core.inputs.prepare import PreparedChunk
from stillwing_vlm.core.memory.video_session import VideoSession
from stillwing_vlm.core.requests import FramePolicy, check_deadline
from stillwing_vlm.core.results import AppendResult, Evicted
from stillwing_vlm.core.serving.quotas import Resource
from stillwing_vlm.core.serving.scheduler import Request
from stillwing_vlm.core.serving.session_lane import SessionLane
from stillwing_vlm.core.serving.under_way import FutureUnderWay


class AppendUnderWay(FutureUnderWay[AppendResult]):
    """One chunk. Under newest-wins it is what the run holds, which ends it by `append`, `drop` or `fail`."""

    def __init__(
        self,
        lane: SessionLane,
        video: VideoSession,
        frames: Sequence[Frame],
        deadline_s: float | None,
        on_append: Callable[[Evicted | None], None],
        on_acknowledge: Callable[[], None],
        on_drop: Callable[[int], None],
    ) -> None:
        """`on_append` is called on the device's thread when it is in the trunk, with what had to go, `on_acknowledge`
        when its caller was told, and `on_drop` on the loop with its frames, where a newer chunk took its place.
        """
        super().__init__(lane)
        self.deadline_s = lane.due_s(deadline_s)
        self._video = video
        self._frames = frames
        self._within_s = deadline_s
        self._on_append = on_append
        self._on_acknowledge = on_acknowledge
        self._on_drop = on_drop
        self._placed_s = lane.clock.monotonic_s()

    def _begin(self) -> None:
        lane, frames = self._lane, self._frames
        check_deadline(self._within_s)
        if not frames:
            raise InvalidInput("a chunk needs at least one frame")
        self._hold(Resource.FRAMES, len(frames), replaces=lane.replaces())
        self._hold(Resource.FRAME_BYTES, sum(len(frame.image.data) for frame in frames))
        if self._video.config.frame_policy is FramePolicy.NEWEST_WINS:
            lane.offer(self)
            return
        ready = self.prepare()
        lane.submit(Request(lambda: self.append(ready), self.fail, ready, heavy=True, deadline_s=self.deadline_s))

    def prepare(self) -> "Future[PreparedChunk]":
        """Start making it ready for the device."""
        return self._lane.prepare(self._lane.preparer.chunk, self._frames)

    def append(self, ready: "Future[PreparedChunk]") -> None:
        """Put it into the trunk. Device thread."""
        clock, observer = self._lane.clock, self._lane.observer
        began_s = clock.monotonic_s()
        result, evicted = self._video.append(ready.result(), self._placed_s)
        observer.chunk_appended(len(self._frames), result.chunk_tokens, result.elapsed_s, clock.monotonic_s() - began_s)
        self._on_append(evicted)
        self.finish(result)
        self._on_acknowledge()

    def drop(self) -> None:
        """A newer chunk took its place. Any thread."""
        self._lane.on_loop(self._drop)

    def _drop(self) -> None:
        names = ", ".join(frame.frame_id for frame in self._frames)
        self._on_drop(len(self._frames))
        self._end(None, FrameSuperseded(names, frames=len(self._frames)))
