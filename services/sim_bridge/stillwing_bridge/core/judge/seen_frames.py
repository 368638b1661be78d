"""Which frames were seen, when and from where: what a motion may be based on. Knows no pixels."""

from dataclasses import dataclass

from stillwing_bridge.core.recent import Recent
from stillwing_common.errors import ObservationRequired, ObservationStale, UnknownFrame
from stillwing_common.types import Pose, Stamp

_CLOCK_SLACK_S = 1.0


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """What is remembered of a frame; `hfov_deg` is horizontal."""

    frame_id: str
    camera_id: str
    capture: Stamp
    camera_pose: Pose | None
    width_px: int
    height_px: int
    hfov_deg: float


class FrameRegistry:
    """Numbers the frames of one vehicle and remembers the newest `capacity` of them."""

    def __init__(self, vehicle_id: str, *, capacity: int = 1024) -> None:
        self._vehicle_id = vehicle_id
        self._records: Recent[FrameRecord] = Recent(capacity)
        self._count = 0

    def next_id(self, camera_id: str) -> str:
        """A fresh frame id, "<vehicle>/<camera>/<n>"."""
        self._count += 1
        return f"{self._vehicle_id}/{camera_id}/{self._count}"

    def add(self, record: FrameRecord) -> None:
        """Remember a frame that was handed out."""
        self._records.put(record.frame_id, record)

    def check(self, frame_id: str, now: Stamp, max_age_s: float) -> FrameRecord:
        """The frame, if a motion at `now` may be based on it.

        Age is read on the vehicle's clock, so that a paused world grows no frame old. Raises `ObservationRequired`,
        `UnknownFrame`, `ObservationStale` (also for a frame of a world that was reset since, and for one from the
        future, whose camera and vehicle disagree on the time: it would stay fresh for as long as they do).
        """
        if not frame_id:
            raise ObservationRequired()
        record = self._records.get(frame_id)
        if record is None:
            raise UnknownFrame(frame_id=frame_id)
        if record.capture.clock_id != now.clock_id:
            raise ObservationStale("the vehicle's clock restarted since", frame_id=frame_id)
        age_s = (now.time_ns - record.capture.time_ns) / 1e9
        if age_s < -_CLOCK_SLACK_S:
            raise ObservationStale(f"its time is {-age_s:.1f} s ahead of the vehicle's", frame_id=frame_id)
        if age_s > max_age_s:
            raise ObservationStale(f"{age_s:.1f} s, at most {max_age_s:g} s", frame_id=frame_id, age_s=f"{age_s:.3f}")
        return record
