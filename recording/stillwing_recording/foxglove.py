"""Our types as Foxglove's well-known messages, so that a recording shows itself: images, poses, a log in words.

Foxglove's world is ENU with z up and bodies are forward, left, up; cameras look along z with x right and y down. All
messages carry the recorder's time, on which viewers line them up. It knows no file.
"""

import math

from foxglove_schemas_protobuf.ArrowPrimitive_pb2 import ArrowPrimitive
from foxglove_schemas_protobuf.CameraCalibration_pb2 import CameraCalibration
from foxglove_schemas_protobuf.Color_pb2 import Color
from foxglove_schemas_protobuf.CompressedImage_pb2 import CompressedImage
from foxglove_schemas_protobuf.CubePrimitive_pb2 import CubePrimitive
from foxglove_schemas_protobuf.FrameTransform_pb2 import FrameTransform
from foxglove_schemas_protobuf.Log_pb2 import Log
from foxglove_schemas_protobuf.Pose_pb2 import Pose as FoxglovePose
from foxglove_schemas_protobuf.PoseInFrame_pb2 import PoseInFrame
from foxglove_schemas_protobuf.Quaternion_pb2 import Quaternion as FoxgloveQuaternion
from foxglove_schemas_protobuf.SceneEntity_pb2 import SceneEntity
from foxglove_schemas_protobuf.SceneUpdate_pb2 import SceneUpdate
from foxglove_schemas_protobuf.Vector3_pb2 import Vector3

from stillwing_agent.core.events import (
    ActionFinished,
    ActionStarted,
    KeyframeLost,
    MissionEvent,
    MotionRefused,
    StateChanged,
    ThinkingFinished,
    ThinkingStarted,
)
from stillwing_bridge.core import events
from stillwing_bridge.core.commands import CommandState
from stillwing_bridge.core.types import Telemetry
from stillwing_common.types import Frame, ImageEncoding, Pose, Quaternion
from stillwing_rpc.convert import timestamp_to_wire

WORLD = "world"
VEHICLE = "vehicle"

_SQRT_HALF = math.sqrt(0.5)
_ENU_OF_NED = Quaternion(0.0, _SQRT_HALF, _SQRT_HALF, 0.0)
_FRD_OF_FLU = Quaternion(0.0, 1.0, 0.0, 0.0)
_FRD_OF_OPTICAL = Quaternion(0.5, 0.5, 0.5, 0.5)
_FORMATS = {ImageEncoding.JPEG: "jpeg", ImageEncoding.PNG: "png"}


def camera_frame(camera_id: str) -> str:
    """Name of a camera's coordinate frame."""
    return f"camera/{camera_id}"


def image(frame: Frame, time_ns: int) -> CompressedImage:
    """The frame's pixels as they came; JPEG and PNG only."""
    return CompressedImage(
        timestamp=timestamp_to_wire(time_ns),
        frame_id=camera_frame(frame.camera_id),
        data=frame.image.data,
        format=_FORMATS[frame.image.encoding],
    )


def calibration(frame: Frame, time_ns: int) -> CameraCalibration | None:
    """A pinhole of the frame's size and field of view; None where that is unknown."""
    if frame.hfov_deg is None:
        return None
    width, height = frame.image.width_px, frame.image.height_px
    focal_px = width / 2 / math.tan(math.radians(frame.hfov_deg) / 2)
    matrix = [focal_px, 0.0, width / 2, 0.0, focal_px, height / 2, 0.0, 0.0, 1.0]
    return CameraCalibration(
        timestamp=timestamp_to_wire(time_ns),
        frame_id=camera_frame(frame.camera_id),
        width=width,
        height=height,
        K=matrix,
        R=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        P=[*matrix[:3], 0.0, *matrix[3:6], 0.0, *matrix[6:], 0.0],
    )


def camera_transform(frame: Frame, time_ns: int) -> FrameTransform | None:
    """Where the camera was; None if the frame does not say."""
    if frame.camera_pose is None:
        return None
    return _transform(frame.camera_pose, _FRD_OF_OPTICAL, camera_frame(frame.camera_id), time_ns)


def vehicle_transform(telemetry: Telemetry, time_ns: int) -> FrameTransform:
    """Where the vehicle was."""
    return _transform(telemetry.pose, _FRD_OF_FLU, VEHICLE, time_ns)


def vehicle_pose(telemetry: Telemetry, time_ns: int) -> PoseInFrame:
    """Where the vehicle was, for plots and trails."""
    return PoseInFrame(
        timestamp=timestamp_to_wire(time_ns),
        frame_id=WORLD,
        pose=FoxglovePose(position=_position(telemetry.pose), orientation=_orientation(telemetry.pose, _FRD_OF_FLU)),
    )


def vehicle_marker(time_ns: int) -> SceneUpdate:
    """A small body with an arrow forward that goes where the vehicle goes; sent once."""
    identity = FoxglovePose(position=Vector3(), orientation=FoxgloveQuaternion(w=1.0))
    return SceneUpdate(
        entities=[
            SceneEntity(
                timestamp=timestamp_to_wire(time_ns),
                frame_id=VEHICLE,
                id="vehicle",
                frame_locked=True,
                cubes=[
                    CubePrimitive(
                        pose=identity, size=Vector3(x=0.5, y=0.5, z=0.15), color=Color(r=0.1, g=0.45, b=0.9, a=1.0)
                    )
                ],
                arrows=[
                    ArrowPrimitive(
                        pose=identity,
                        shaft_length=0.5,
                        shaft_diameter=0.06,
                        head_length=0.25,
                        head_diameter=0.15,
                        color=Color(r=0.95, g=0.6, b=0.1, a=1.0),
                    )
                ],
            )
        ]
    )


def flight_log_words(entry: events.FlightLogEntry, time_ns: int) -> Log:
    """One entry of the flight log as a sentence."""
    level, words = _flight_words(entry.event)
    return Log(timestamp=timestamp_to_wire(time_ns), level=level, message=words, name="bridge")


def mission_words(event: MissionEvent, time_ns: int) -> Log:
    """One event of a mission as a sentence."""
    level, words = _mission_words(event.happening)
    return Log(timestamp=timestamp_to_wire(time_ns), level=level, message=words, name="agent")


def _flight_words(event: object) -> "tuple[Log.Level.ValueType, str]":
    match event:
        case events.CommandStarted(command_id, kind, _, frame_id, command, _):
            words = f"{kind} {command_id} in force" if command is None else f"{command} {command_id} in force"
            return Log.INFO, words + (f", based on {frame_id}" if frame_id else "")
        case events.CommandEnded(status):
            good = status.state is CommandState.SUCCEEDED
            why = f": {status.error}" if status.error else ""
            return Log.INFO if good else Log.WARNING, f"{status.kind} {status.command_id} {status.state.value}{why}"
        case events.Refused(kind, error, command):
            return Log.WARNING, f"{kind if command is None else command} refused: {error}"
        case events.Held(cause):
            return Log.INFO, f"holds: {cause}"
        case events.ThinkingBegan(thinking_id):
            return Log.INFO, f"thinking {thinking_id} began"
        case events.ThinkingEnded(thinking_id):
            return Log.INFO, f"thinking {thinking_id} ended"
        case events.LeaseChanged(change, state, reason):
            return Log.INFO, f"lease {change}, holder {state.holder}" + (f": {reason}" if reason else "")
        case events.EmergencyStopChanged(level, reason):
            return Log.ERROR, f"emergency stop {level.name}: {reason}"
        case events.Collided(object_name):
            return Log.ERROR, f"hit {object_name}"
    return Log.INFO, type(event).__name__


def _mission_words(happening: object) -> "tuple[Log.Level.ValueType, str]":
    match happening:
        case StateChanged(mission):
            why = f": {mission.error}" if mission.error else ""
            return Log.INFO, f"mission {mission.state.value}: {mission.goal}{why}"
        case ThinkingStarted(_, prompt):
            return Log.INFO, f"asked: {prompt}"
        case ThinkingFinished(_, answer, elapsed_s, last_frame_id, _, _):
            return Log.INFO, f"answered after {elapsed_s:.2f} s, newest {last_frame_id}: {answer}"
        case ActionStarted(_, tool, arguments):
            return Log.INFO, f"{tool}({', '.join(f'{key}={value}' for key, value in arguments.items())})"
        case ActionFinished(_, _, error):
            return (Log.INFO, "done") if error is None else (Log.WARNING, f"failed: {error}")
        case MotionRefused(_, error):
            return Log.WARNING, f"refused: {error}"
        case KeyframeLost(frame_id, error):
            return Log.WARNING, f"keyframe {frame_id} lost: {error}"
    return Log.DEBUG, type(happening).__name__


def _transform(pose: Pose, body_of_child: Quaternion, child: str, time_ns: int) -> FrameTransform:
    return FrameTransform(
        timestamp=timestamp_to_wire(time_ns),
        parent_frame_id=WORLD,
        child_frame_id=child,
        translation=_position(pose),
        rotation=_orientation(pose, body_of_child),
    )


def _position(pose: Pose) -> Vector3:
    return Vector3(x=pose.position.east_m, y=pose.position.north_m, z=-pose.position.down_m)


def _orientation(pose: Pose, body_of_child: Quaternion) -> FoxgloveQuaternion:
    q = _times(_times(_ENU_OF_NED, pose.orientation), body_of_child)
    return FoxgloveQuaternion(w=q.w, x=q.x, y=q.y, z=q.z)


def _times(a: Quaternion, b: Quaternion) -> Quaternion:
    """Hamilton product: first `b`, then `a`."""
    return Quaternion(
        a.w * b.w - a.x * b.x - a.y * b.y - a.z * b.z,
        a.w * b.x + a.x * b.w + a.y * b.z - a.z * b.y,
        a.w * b.y - a.x * b.z + a.y * b.w + a.z * b.x,
        a.w * b.z + a.x * b.y - a.y * b.x + a.z * b.w,
    )
