import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from stillwing.common.v1 import common_pb2 as _common_pb2
from stillwing.vehicle.v1 import lease_pb2 as _lease_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListVehiclesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Camera(_message.Message):
    __slots__ = ("camera_id", "width_px", "height_px", "hfov_deg", "has_depth")
    CAMERA_ID_FIELD_NUMBER: _ClassVar[int]
    WIDTH_PX_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_PX_FIELD_NUMBER: _ClassVar[int]
    HFOV_DEG_FIELD_NUMBER: _ClassVar[int]
    HAS_DEPTH_FIELD_NUMBER: _ClassVar[int]
    camera_id: str
    width_px: int
    height_px: int
    hfov_deg: float
    has_depth: bool
    def __init__(self, camera_id: _Optional[str] = ..., width_px: _Optional[int] = ..., height_px: _Optional[int] = ..., hfov_deg: _Optional[float] = ..., has_depth: bool = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("max_speed_m_s", "max_step_m", "min_altitude_m", "max_altitude_m", "fence_radius_m", "max_velocity_ttl", "max_motion_ttl", "max_observation_age", "max_unseen_step_m", "max_unseen_speed_m_s", "battery_floor_fraction", "battery_land_fraction")
    MAX_SPEED_M_S_FIELD_NUMBER: _ClassVar[int]
    MAX_STEP_M_FIELD_NUMBER: _ClassVar[int]
    MIN_ALTITUDE_M_FIELD_NUMBER: _ClassVar[int]
    MAX_ALTITUDE_M_FIELD_NUMBER: _ClassVar[int]
    FENCE_RADIUS_M_FIELD_NUMBER: _ClassVar[int]
    MAX_VELOCITY_TTL_FIELD_NUMBER: _ClassVar[int]
    MAX_MOTION_TTL_FIELD_NUMBER: _ClassVar[int]
    MAX_OBSERVATION_AGE_FIELD_NUMBER: _ClassVar[int]
    MAX_UNSEEN_STEP_M_FIELD_NUMBER: _ClassVar[int]
    MAX_UNSEEN_SPEED_M_S_FIELD_NUMBER: _ClassVar[int]
    BATTERY_FLOOR_FRACTION_FIELD_NUMBER: _ClassVar[int]
    BATTERY_LAND_FRACTION_FIELD_NUMBER: _ClassVar[int]
    max_speed_m_s: float
    max_step_m: float
    min_altitude_m: float
    max_altitude_m: float
    fence_radius_m: float
    max_velocity_ttl: _duration_pb2.Duration
    max_motion_ttl: _duration_pb2.Duration
    max_observation_age: _duration_pb2.Duration
    max_unseen_step_m: float
    max_unseen_speed_m_s: float
    battery_floor_fraction: float
    battery_land_fraction: float
    def __init__(self, max_speed_m_s: _Optional[float] = ..., max_step_m: _Optional[float] = ..., min_altitude_m: _Optional[float] = ..., max_altitude_m: _Optional[float] = ..., fence_radius_m: _Optional[float] = ..., max_velocity_ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_motion_ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_observation_age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_unseen_step_m: _Optional[float] = ..., max_unseen_speed_m_s: _Optional[float] = ..., battery_floor_fraction: _Optional[float] = ..., battery_land_fraction: _Optional[float] = ...) -> None: ...

class Vehicle(_message.Message):
    __slots__ = ("vehicle_id", "cameras", "limits", "simulated")
    VEHICLE_ID_FIELD_NUMBER: _ClassVar[int]
    CAMERAS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    SIMULATED_FIELD_NUMBER: _ClassVar[int]
    vehicle_id: str
    cameras: _containers.RepeatedCompositeFieldContainer[Camera]
    limits: Limits
    simulated: bool
    def __init__(self, vehicle_id: _Optional[str] = ..., cameras: _Optional[_Iterable[_Union[Camera, _Mapping]]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., simulated: bool = ...) -> None: ...

class ListVehiclesResponse(_message.Message):
    __slots__ = ("vehicles",)
    VEHICLES_FIELD_NUMBER: _ClassVar[int]
    vehicles: _containers.RepeatedCompositeFieldContainer[Vehicle]
    def __init__(self, vehicles: _Optional[_Iterable[_Union[Vehicle, _Mapping]]] = ...) -> None: ...

class CommandRequest(_message.Message):
    __slots__ = ("lease", "request_id", "ttl", "based_on_frame_id", "takeoff", "land", "hold", "go_to", "set_velocity", "step", "turn", "fly_towards")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    BASED_ON_FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    TAKEOFF_FIELD_NUMBER: _ClassVar[int]
    LAND_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    GO_TO_FIELD_NUMBER: _ClassVar[int]
    SET_VELOCITY_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    TURN_FIELD_NUMBER: _ClassVar[int]
    FLY_TOWARDS_FIELD_NUMBER: _ClassVar[int]
    lease: _lease_pb2.Lease
    request_id: str
    ttl: _duration_pb2.Duration
    based_on_frame_id: str
    takeoff: Takeoff
    land: Land
    hold: Hold
    go_to: GoTo
    set_velocity: SetVelocity
    step: Step
    turn: Turn
    fly_towards: FlyTowards
    def __init__(self, lease: _Optional[_Union[_lease_pb2.Lease, _Mapping]] = ..., request_id: _Optional[str] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., based_on_frame_id: _Optional[str] = ..., takeoff: _Optional[_Union[Takeoff, _Mapping]] = ..., land: _Optional[_Union[Land, _Mapping]] = ..., hold: _Optional[_Union[Hold, _Mapping]] = ..., go_to: _Optional[_Union[GoTo, _Mapping]] = ..., set_velocity: _Optional[_Union[SetVelocity, _Mapping]] = ..., step: _Optional[_Union[Step, _Mapping]] = ..., turn: _Optional[_Union[Turn, _Mapping]] = ..., fly_towards: _Optional[_Union[FlyTowards, _Mapping]] = ...) -> None: ...

class Takeoff(_message.Message):
    __slots__ = ("altitude_m",)
    ALTITUDE_M_FIELD_NUMBER: _ClassVar[int]
    altitude_m: float
    def __init__(self, altitude_m: _Optional[float] = ...) -> None: ...

class Land(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Hold(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GoTo(_message.Message):
    __slots__ = ("position", "yaw_deg", "speed_m_s")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    YAW_DEG_FIELD_NUMBER: _ClassVar[int]
    SPEED_M_S_FIELD_NUMBER: _ClassVar[int]
    position: _common_pb2.PositionNed
    yaw_deg: float
    speed_m_s: float
    def __init__(self, position: _Optional[_Union[_common_pb2.PositionNed, _Mapping]] = ..., yaw_deg: _Optional[float] = ..., speed_m_s: _Optional[float] = ...) -> None: ...

class SetVelocity(_message.Message):
    __slots__ = ("forward_m_s", "right_m_s", "down_m_s", "yaw_rate_deg_s")
    FORWARD_M_S_FIELD_NUMBER: _ClassVar[int]
    RIGHT_M_S_FIELD_NUMBER: _ClassVar[int]
    DOWN_M_S_FIELD_NUMBER: _ClassVar[int]
    YAW_RATE_DEG_S_FIELD_NUMBER: _ClassVar[int]
    forward_m_s: float
    right_m_s: float
    down_m_s: float
    yaw_rate_deg_s: float
    def __init__(self, forward_m_s: _Optional[float] = ..., right_m_s: _Optional[float] = ..., down_m_s: _Optional[float] = ..., yaw_rate_deg_s: _Optional[float] = ...) -> None: ...

class Step(_message.Message):
    __slots__ = ("forward_m", "right_m", "up_m", "speed_m_s")
    FORWARD_M_FIELD_NUMBER: _ClassVar[int]
    RIGHT_M_FIELD_NUMBER: _ClassVar[int]
    UP_M_FIELD_NUMBER: _ClassVar[int]
    SPEED_M_S_FIELD_NUMBER: _ClassVar[int]
    forward_m: float
    right_m: float
    up_m: float
    speed_m_s: float
    def __init__(self, forward_m: _Optional[float] = ..., right_m: _Optional[float] = ..., up_m: _Optional[float] = ..., speed_m_s: _Optional[float] = ...) -> None: ...

class Turn(_message.Message):
    __slots__ = ("angle_deg",)
    ANGLE_DEG_FIELD_NUMBER: _ClassVar[int]
    angle_deg: float
    def __init__(self, angle_deg: _Optional[float] = ...) -> None: ...

class FlyTowards(_message.Message):
    __slots__ = ("u", "v", "step_m", "speed_m_s")
    U_FIELD_NUMBER: _ClassVar[int]
    V_FIELD_NUMBER: _ClassVar[int]
    STEP_M_FIELD_NUMBER: _ClassVar[int]
    SPEED_M_S_FIELD_NUMBER: _ClassVar[int]
    u: float
    v: float
    step_m: float
    speed_m_s: float
    def __init__(self, u: _Optional[float] = ..., v: _Optional[float] = ..., step_m: _Optional[float] = ..., speed_m_s: _Optional[float] = ...) -> None: ...

class CommandResponse(_message.Message):
    __slots__ = ("command_id",)
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    def __init__(self, command_id: _Optional[str] = ...) -> None: ...

class CommandStatus(_message.Message):
    __slots__ = ("command_id", "kind", "state", "error")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[CommandStatus.State]
        STATE_RUNNING: _ClassVar[CommandStatus.State]
        STATE_SUCCEEDED: _ClassVar[CommandStatus.State]
        STATE_TIMEOUT: _ClassVar[CommandStatus.State]
        STATE_PREEMPTED: _ClassVar[CommandStatus.State]
        STATE_COLLISION: _ClassVar[CommandStatus.State]
        STATE_FENCE: _ClassVar[CommandStatus.State]
        STATE_OBSTRUCTED: _ClassVar[CommandStatus.State]
        STATE_ESTOP: _ClassVar[CommandStatus.State]
        STATE_LINK_LOST: _ClassVar[CommandStatus.State]
        STATE_FAILED: _ClassVar[CommandStatus.State]
        STATE_NOTED: _ClassVar[CommandStatus.State]
    STATE_UNSPECIFIED: CommandStatus.State
    STATE_RUNNING: CommandStatus.State
    STATE_SUCCEEDED: CommandStatus.State
    STATE_TIMEOUT: CommandStatus.State
    STATE_PREEMPTED: CommandStatus.State
    STATE_COLLISION: CommandStatus.State
    STATE_FENCE: CommandStatus.State
    STATE_OBSTRUCTED: CommandStatus.State
    STATE_ESTOP: CommandStatus.State
    STATE_LINK_LOST: CommandStatus.State
    STATE_FAILED: CommandStatus.State
    STATE_NOTED: CommandStatus.State
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    kind: str
    state: CommandStatus.State
    error: _status_pb2.Status
    def __init__(self, command_id: _Optional[str] = ..., kind: _Optional[str] = ..., state: _Optional[_Union[CommandStatus.State, str]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class WaitCommandRequest(_message.Message):
    __slots__ = ("command_id",)
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    def __init__(self, command_id: _Optional[str] = ...) -> None: ...

class WaitCommandResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: CommandStatus
    def __init__(self, status: _Optional[_Union[CommandStatus, _Mapping]] = ...) -> None: ...

class BeginThinkingRequest(_message.Message):
    __slots__ = ("lease", "expected")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    lease: _lease_pb2.Lease
    expected: _duration_pb2.Duration
    def __init__(self, lease: _Optional[_Union[_lease_pb2.Lease, _Mapping]] = ..., expected: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class BeginThinkingResponse(_message.Message):
    __slots__ = ("thinking_id", "held_since")
    THINKING_ID_FIELD_NUMBER: _ClassVar[int]
    HELD_SINCE_FIELD_NUMBER: _ClassVar[int]
    thinking_id: str
    held_since: _common_pb2.Stamp
    def __init__(self, thinking_id: _Optional[str] = ..., held_since: _Optional[_Union[_common_pb2.Stamp, _Mapping]] = ...) -> None: ...

class EndThinkingRequest(_message.Message):
    __slots__ = ("lease",)
    LEASE_FIELD_NUMBER: _ClassVar[int]
    lease: _lease_pb2.Lease
    def __init__(self, lease: _Optional[_Union[_lease_pb2.Lease, _Mapping]] = ...) -> None: ...

class EndThinkingResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class EmergencyStopRequest(_message.Message):
    __slots__ = ("vehicle_id", "reason", "level", "who")
    class Level(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        LEVEL_UNSPECIFIED: _ClassVar[EmergencyStopRequest.Level]
        LEVEL_HOLD: _ClassVar[EmergencyStopRequest.Level]
        LEVEL_LAND: _ClassVar[EmergencyStopRequest.Level]
        LEVEL_KILL: _ClassVar[EmergencyStopRequest.Level]
    LEVEL_UNSPECIFIED: EmergencyStopRequest.Level
    LEVEL_HOLD: EmergencyStopRequest.Level
    LEVEL_LAND: EmergencyStopRequest.Level
    LEVEL_KILL: EmergencyStopRequest.Level
    VEHICLE_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    vehicle_id: str
    reason: str
    level: EmergencyStopRequest.Level
    who: str
    def __init__(self, vehicle_id: _Optional[str] = ..., reason: _Optional[str] = ..., level: _Optional[_Union[EmergencyStopRequest.Level, str]] = ..., who: _Optional[str] = ...) -> None: ...

class EmergencyStop(_message.Message):
    __slots__ = ("level", "reason", "who", "latch_time", "not_on_disk")
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    LATCH_TIME_FIELD_NUMBER: _ClassVar[int]
    NOT_ON_DISK_FIELD_NUMBER: _ClassVar[int]
    level: EmergencyStopRequest.Level
    reason: str
    who: str
    latch_time: _timestamp_pb2.Timestamp
    not_on_disk: str
    def __init__(self, level: _Optional[_Union[EmergencyStopRequest.Level, str]] = ..., reason: _Optional[str] = ..., who: _Optional[str] = ..., latch_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., not_on_disk: _Optional[str] = ...) -> None: ...

class EmergencyStopResponse(_message.Message):
    __slots__ = ("level", "stop")
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    level: EmergencyStopRequest.Level
    stop: EmergencyStop
    def __init__(self, level: _Optional[_Union[EmergencyStopRequest.Level, str]] = ..., stop: _Optional[_Union[EmergencyStop, _Mapping]] = ...) -> None: ...

class GetEmergencyStopRequest(_message.Message):
    __slots__ = ("vehicle_id",)
    VEHICLE_ID_FIELD_NUMBER: _ClassVar[int]
    vehicle_id: str
    def __init__(self, vehicle_id: _Optional[str] = ...) -> None: ...

class GetEmergencyStopResponse(_message.Message):
    __slots__ = ("stop",)
    STOP_FIELD_NUMBER: _ClassVar[int]
    stop: EmergencyStop
    def __init__(self, stop: _Optional[_Union[EmergencyStop, _Mapping]] = ...) -> None: ...

class ClearEmergencyStopRequest(_message.Message):
    __slots__ = ("vehicle_id", "operator_token")
    VEHICLE_ID_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_TOKEN_FIELD_NUMBER: _ClassVar[int]
    vehicle_id: str
    operator_token: str
    def __init__(self, vehicle_id: _Optional[str] = ..., operator_token: _Optional[str] = ...) -> None: ...

class ClearEmergencyStopResponse(_message.Message):
    __slots__ = ("not_on_disk",)
    NOT_ON_DISK_FIELD_NUMBER: _ClassVar[int]
    not_on_disk: str
    def __init__(self, not_on_disk: _Optional[str] = ...) -> None: ...

class TimeSyncRequest(_message.Message):
    __slots__ = ("vehicle_id", "client_send_time")
    VEHICLE_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_SEND_TIME_FIELD_NUMBER: _ClassVar[int]
    vehicle_id: str
    client_send_time: _timestamp_pb2.Timestamp
    def __init__(self, vehicle_id: _Optional[str] = ..., client_send_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class TimeSyncResponse(_message.Message):
    __slots__ = ("client_send_time", "bridge_receive_time", "bridge_send_time", "vehicle")
    CLIENT_SEND_TIME_FIELD_NUMBER: _ClassVar[int]
    BRIDGE_RECEIVE_TIME_FIELD_NUMBER: _ClassVar[int]
    BRIDGE_SEND_TIME_FIELD_NUMBER: _ClassVar[int]
    VEHICLE_FIELD_NUMBER: _ClassVar[int]
    client_send_time: _timestamp_pb2.Timestamp
    bridge_receive_time: _timestamp_pb2.Timestamp
    bridge_send_time: _timestamp_pb2.Timestamp
    vehicle: _common_pb2.Stamp
    def __init__(self, client_send_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., bridge_receive_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., bridge_send_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., vehicle: _Optional[_Union[_common_pb2.Stamp, _Mapping]] = ...) -> None: ...

class CaptureFrameRequest(_message.Message):
    __slots__ = ("vehicle_id", "camera_id", "encoding")
    VEHICLE_ID_FIELD_NUMBER: _ClassVar[int]
    CAMERA_ID_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    vehicle_id: str
    camera_id: str
    encoding: _common_pb2.Image.Encoding
    def __init__(self, vehicle_id: _Optional[str] = ..., camera_id: _Optional[str] = ..., encoding: _Optional[_Union[_common_pb2.Image.Encoding, str]] = ...) -> None: ...

class CaptureFrameResponse(_message.Message):
    __slots__ = ("frame",)
    FRAME_FIELD_NUMBER: _ClassVar[int]
    frame: _common_pb2.Frame
    def __init__(self, frame: _Optional[_Union[_common_pb2.Frame, _Mapping]] = ...) -> None: ...

class WatchTelemetryRequest(_message.Message):
    __slots__ = ("vehicle_id", "max_rate_hz")
    VEHICLE_ID_FIELD_NUMBER: _ClassVar[int]
    MAX_RATE_HZ_FIELD_NUMBER: _ClassVar[int]
    vehicle_id: str
    max_rate_hz: float
    def __init__(self, vehicle_id: _Optional[str] = ..., max_rate_hz: _Optional[float] = ...) -> None: ...

class WatchTelemetryResponse(_message.Message):
    __slots__ = ("sequence", "stamp", "pose", "velocity", "command", "armed", "flying", "collisions", "thinking", "emergency_stop", "last_collision_object", "battery_fraction")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    STAMP_FIELD_NUMBER: _ClassVar[int]
    POSE_FIELD_NUMBER: _ClassVar[int]
    VELOCITY_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    ARMED_FIELD_NUMBER: _ClassVar[int]
    FLYING_FIELD_NUMBER: _ClassVar[int]
    COLLISIONS_FIELD_NUMBER: _ClassVar[int]
    THINKING_FIELD_NUMBER: _ClassVar[int]
    EMERGENCY_STOP_FIELD_NUMBER: _ClassVar[int]
    LAST_COLLISION_OBJECT_FIELD_NUMBER: _ClassVar[int]
    BATTERY_FRACTION_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    stamp: _common_pb2.Stamp
    pose: _common_pb2.Pose
    velocity: _common_pb2.VelocityNed
    command: CommandStatus
    armed: bool
    flying: bool
    collisions: int
    thinking: bool
    emergency_stop: EmergencyStopRequest.Level
    last_collision_object: str
    battery_fraction: float
    def __init__(self, sequence: _Optional[int] = ..., stamp: _Optional[_Union[_common_pb2.Stamp, _Mapping]] = ..., pose: _Optional[_Union[_common_pb2.Pose, _Mapping]] = ..., velocity: _Optional[_Union[_common_pb2.VelocityNed, _Mapping]] = ..., command: _Optional[_Union[CommandStatus, _Mapping]] = ..., armed: bool = ..., flying: bool = ..., collisions: _Optional[int] = ..., thinking: bool = ..., emergency_stop: _Optional[_Union[EmergencyStopRequest.Level, str]] = ..., last_collision_object: _Optional[str] = ..., battery_fraction: _Optional[float] = ...) -> None: ...

class WatchFramesRequest(_message.Message):
    __slots__ = ("vehicle_id", "camera_id", "max_rate_hz", "encoding")
    VEHICLE_ID_FIELD_NUMBER: _ClassVar[int]
    CAMERA_ID_FIELD_NUMBER: _ClassVar[int]
    MAX_RATE_HZ_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    vehicle_id: str
    camera_id: str
    max_rate_hz: float
    encoding: _common_pb2.Image.Encoding
    def __init__(self, vehicle_id: _Optional[str] = ..., camera_id: _Optional[str] = ..., max_rate_hz: _Optional[float] = ..., encoding: _Optional[_Union[_common_pb2.Image.Encoding, str]] = ...) -> None: ...

class WatchFramesResponse(_message.Message):
    __slots__ = ("sequence", "frame", "receive_time", "request_time", "offer_time")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    RECEIVE_TIME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_TIME_FIELD_NUMBER: _ClassVar[int]
    OFFER_TIME_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    frame: _common_pb2.Frame
    receive_time: _timestamp_pb2.Timestamp
    request_time: _timestamp_pb2.Timestamp
    offer_time: _timestamp_pb2.Timestamp
    def __init__(self, sequence: _Optional[int] = ..., frame: _Optional[_Union[_common_pb2.Frame, _Mapping]] = ..., receive_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., request_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., offer_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class WatchFlightLogRequest(_message.Message):
    __slots__ = ("vehicle_id", "after_log_seq", "until_now")
    VEHICLE_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_LOG_SEQ_FIELD_NUMBER: _ClassVar[int]
    UNTIL_NOW_FIELD_NUMBER: _ClassVar[int]
    vehicle_id: str
    after_log_seq: int
    until_now: bool
    def __init__(self, vehicle_id: _Optional[str] = ..., after_log_seq: _Optional[int] = ..., until_now: bool = ...) -> None: ...

class WatchFlightLogResponse(_message.Message):
    __slots__ = ("log_seq", "log_time", "vehicle_time", "command_started", "command_ended", "refused", "held", "thinking_began", "thinking_ended", "lease_changed", "emergency_stop_changed", "collided", "silence_noticed", "landing_began")
    LOG_SEQ_FIELD_NUMBER: _ClassVar[int]
    LOG_TIME_FIELD_NUMBER: _ClassVar[int]
    VEHICLE_TIME_FIELD_NUMBER: _ClassVar[int]
    COMMAND_STARTED_FIELD_NUMBER: _ClassVar[int]
    COMMAND_ENDED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    THINKING_BEGAN_FIELD_NUMBER: _ClassVar[int]
    THINKING_ENDED_FIELD_NUMBER: _ClassVar[int]
    LEASE_CHANGED_FIELD_NUMBER: _ClassVar[int]
    EMERGENCY_STOP_CHANGED_FIELD_NUMBER: _ClassVar[int]
    COLLIDED_FIELD_NUMBER: _ClassVar[int]
    SILENCE_NOTICED_FIELD_NUMBER: _ClassVar[int]
    LANDING_BEGAN_FIELD_NUMBER: _ClassVar[int]
    log_seq: int
    log_time: _timestamp_pb2.Timestamp
    vehicle_time: _common_pb2.Stamp
    command_started: CommandStarted
    command_ended: CommandStatus
    refused: Refused
    held: Held
    thinking_began: ThinkingBegan
    thinking_ended: ThinkingEnded
    lease_changed: LeaseChanged
    emergency_stop_changed: EmergencyStopChanged
    collided: Collided
    silence_noticed: SilenceNoticed
    landing_began: LandingBegan
    def __init__(self, log_seq: _Optional[int] = ..., log_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., vehicle_time: _Optional[_Union[_common_pb2.Stamp, _Mapping]] = ..., command_started: _Optional[_Union[CommandStarted, _Mapping]] = ..., command_ended: _Optional[_Union[CommandStatus, _Mapping]] = ..., refused: _Optional[_Union[Refused, _Mapping]] = ..., held: _Optional[_Union[Held, _Mapping]] = ..., thinking_began: _Optional[_Union[ThinkingBegan, _Mapping]] = ..., thinking_ended: _Optional[_Union[ThinkingEnded, _Mapping]] = ..., lease_changed: _Optional[_Union[LeaseChanged, _Mapping]] = ..., emergency_stop_changed: _Optional[_Union[EmergencyStopChanged, _Mapping]] = ..., collided: _Optional[_Union[Collided, _Mapping]] = ..., silence_noticed: _Optional[_Union[SilenceNoticed, _Mapping]] = ..., landing_began: _Optional[_Union[LandingBegan, _Mapping]] = ...) -> None: ...

class CommandStarted(_message.Message):
    __slots__ = ("command_id", "kind", "motion", "based_on_frame_id", "request")
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MOTION_FIELD_NUMBER: _ClassVar[int]
    BASED_ON_FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    kind: str
    motion: bool
    based_on_frame_id: str
    request: CommandRequest
    def __init__(self, command_id: _Optional[str] = ..., kind: _Optional[str] = ..., motion: bool = ..., based_on_frame_id: _Optional[str] = ..., request: _Optional[_Union[CommandRequest, _Mapping]] = ...) -> None: ...

class Refused(_message.Message):
    __slots__ = ("kind", "status", "request")
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    kind: str
    status: _status_pb2.Status
    request: CommandRequest
    def __init__(self, kind: _Optional[str] = ..., status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., request: _Optional[_Union[CommandRequest, _Mapping]] = ...) -> None: ...

class Held(_message.Message):
    __slots__ = ("cause",)
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    cause: str
    def __init__(self, cause: _Optional[str] = ...) -> None: ...

class ThinkingBegan(_message.Message):
    __slots__ = ("thinking_id", "expected")
    THINKING_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    thinking_id: str
    expected: _duration_pb2.Duration
    def __init__(self, thinking_id: _Optional[str] = ..., expected: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ThinkingEnded(_message.Message):
    __slots__ = ("thinking_id",)
    THINKING_ID_FIELD_NUMBER: _ClassVar[int]
    thinking_id: str
    def __init__(self, thinking_id: _Optional[str] = ...) -> None: ...

class LeaseChanged(_message.Message):
    __slots__ = ("change", "state", "reason")
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    change: str
    state: _lease_pb2.LeaseState
    reason: str
    def __init__(self, change: _Optional[str] = ..., state: _Optional[_Union[_lease_pb2.LeaseState, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class EmergencyStopChanged(_message.Message):
    __slots__ = ("level", "reason", "who")
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    level: EmergencyStopRequest.Level
    reason: str
    who: str
    def __init__(self, level: _Optional[_Union[EmergencyStopRequest.Level, str]] = ..., reason: _Optional[str] = ..., who: _Optional[str] = ...) -> None: ...

class Collided(_message.Message):
    __slots__ = ("object_name",)
    OBJECT_NAME_FIELD_NUMBER: _ClassVar[int]
    object_name: str
    def __init__(self, object_name: _Optional[str] = ...) -> None: ...

class SilenceNoticed(_message.Message):
    __slots__ = ("silence_s",)
    SILENCE_S_FIELD_NUMBER: _ClassVar[int]
    silence_s: float
    def __init__(self, silence_s: _Optional[float] = ...) -> None: ...

class LandingBegan(_message.Message):
    __slots__ = ("cause",)
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    cause: str
    def __init__(self, cause: _Optional[str] = ...) -> None: ...
