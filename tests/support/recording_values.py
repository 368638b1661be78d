"""Values of every kind that a recording holds, for its tests."""

import io

import numpy as np
from PIL import Image as Pillow

from stillwing_agent.core.events import (
    ActionFinished,
    ActionStarted,
    Happening,
    MissionEvent,
    MotionRefused,
    StateChanged,
    ThinkingFinished,
    ThinkingStarted,
)
from stillwing_agent.core.types import Mission, MissionState
from stillwing_bridge.core import events
from stillwing_bridge.core.commands import CommandState, CommandStatus, Step
from stillwing_bridge.core.types import (
    Camera,
    FrameUpdate,
    Lease,
    LeaseState,
    Limits,
    StopLevel,
    Telemetry,
    VehicleInfo,
)
from stillwing_common.errors import Obstructed
from stillwing_common.types import Frame, Image, ImageEncoding, Pose, PositionNed, Quaternion, Stamp, VelocityNed

CAMERA = Camera("front_center", 32, 24, 90.0, True)
VEHICLE = VehicleInfo("drone", (CAMERA,), Limits(), True)
POSE = Pose(PositionNed(1.0, 2.0, -3.0), Quaternion.from_yaw_deg(30))


def jpeg(number: int, width_px: int = 32, height_px: int = 24) -> bytes:
    """A picture unlike that of any other number."""
    noise = np.random.default_rng(number).integers(0, 255, (height_px, width_px, 3), np.uint8)
    file = io.BytesIO()
    Pillow.fromarray(noise).save(file, "JPEG")
    return file.getvalue()


def frame_update(number: int, camera_id: str = "front_center") -> FrameUpdate:
    """Frame `number` of a camera."""
    image = Image(ImageEncoding.JPEG, 32, 24, jpeg(number))
    stamp = Stamp(number * 250_000_000, "clk_1")
    frame = Frame(f"drone/{camera_id}/{number}", camera_id, stamp, POSE, image, 90.0)
    return FrameUpdate(number, frame, 5_000 + number, 4_000 + number, 6_000 + number)


def telemetry(number: int) -> Telemetry:
    """State `number`."""
    status = CommandStatus("cmd_1", "step", CommandState.RUNNING)
    return Telemetry(
        number, Stamp(number * 50_000_000, "clk_1"), POSE, VelocityNed(0.5, 0, 0), status, True, True, 0, False,
        StopLevel.NONE, "",
    )  # fmt: skip


def flight_log() -> list[events.FlightLogEntry]:
    """One entry of every kind."""
    lease = LeaseState(Lease("drone", "epo_1", 1), "test", 9_000, False)
    record: list[events.FlightEvent] = [
        events.LeaseChanged("acquired", lease),
        events.CommandStarted("cmd_1", "step", True, "drone/front_center/3", Step(forward_m=1.5), 5.0),
        events.CommandEnded(CommandStatus("cmd_1", "step", CommandState.SUCCEEDED)),
        events.Refused("step", Obstructed("0.8 m", distance_m="0.8")),
        events.Held("thinking"),
        events.ThinkingBegan("thk_1"),
        events.ThinkingEnded("thk_1"),
        events.EmergencyStopChanged(StopLevel.HOLD, "test"),
        events.Collided("tree"),
    ]
    stamp = Stamp(1_000, "clk_1")
    return [events.FlightLogEntry(number, 7_000 + number, stamp, event) for number, event in enumerate(record, 1)]


def mission_events() -> list[MissionEvent]:
    """A short mission."""
    mission = Mission("mis_1", "Fly.", "drone", MissionState.RUNNING, 1_000)
    happenings: list[Happening] = [
        StateChanged(mission),
        ThinkingStarted("thk_1", "What now?"),
        ThinkingFinished("thk_1", "forward", 0.5, "drone/front_center/3", "drone/front_center/1", 99),
        ActionStarted("act_1", "move", {"distance_m": 1.0}),
        MotionRefused("act_1", Obstructed("0.8 m")),
        ActionFinished("act_1", error=Obstructed("0.8 m")),
    ]
    return [MissionEvent(number, 8_000 + number, happening) for number, happening in enumerate(happenings, 1)]
