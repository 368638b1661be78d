"""`stillwing.vehicle.v1` messages to the core's types and back; refuses what the core cannot hold.

It knows nothing of leases' meaning or of how anything is carried out.
"""

from collections.abc import Callable
from typing import Any

from google.protobuf.json_format import MessageToJson

from stillwing.vehicle.v1 import lease_pb2, vehicle_pb2
from stillwing_bridge.core.commands import (
    Command,
    CommandState,
    CommandStatus,
    FlyTowards,
    GoTo,
    Hold,
    Land,
    SetVelocity,
    Step,
    Takeoff,
    Turn,
)
from stillwing_bridge.core.events import (
    Collided,
    CommandEnded,
    CommandStarted,
    EmergencyStopChanged,
    FlightEvent,
    FlightLogEntry,
    Held,
    LandingBegan,
    LeaseChanged,
    Refused,
    SilenceNoticed,
    ThinkingBegan,
    ThinkingEnded,
)
from stillwing_bridge.core.types import (
    Camera,
    FrameUpdate,
    Lease,
    LeaseState,
    Limits,
    StopLevel,
    Telemetry,
    TimeSync,
    VehicleInfo,
)
from stillwing_common.errors import InvalidInput, TextTooLong, UnsetOneof
from stillwing_rpc.convert import (
    duration_from_wire,
    duration_to_wire,
    frame_from_wire,
    frame_to_wire,
    pose_from_wire,
    pose_to_wire,
    position_from_wire,
    position_to_wire,
    stamp_from_wire,
    stamp_to_wire,
    timestamp_from_wire,
    timestamp_to_wire,
    velocity_from_wire,
    velocity_to_wire,
)
from stillwing_rpc.errors import from_status, to_status

VEHICLE_SERVICE = "stillwing.vehicle.v1.VehicleService"
LEASE_SERVICE = "stillwing.vehicle.v1.LeaseService"
SIM_SERVICE = "stillwing.sim.v1.SimService"

MAX_TEXT_CHARS = 1000
_MAX_ID_CHARS = 200

_STATE_TO_WIRE: dict[CommandState, vehicle_pb2.CommandStatus.State] = {
    CommandState.RUNNING: vehicle_pb2.CommandStatus.STATE_RUNNING,
    CommandState.SUCCEEDED: vehicle_pb2.CommandStatus.STATE_SUCCEEDED,
    CommandState.TIMEOUT: vehicle_pb2.CommandStatus.STATE_TIMEOUT,
    CommandState.PREEMPTED: vehicle_pb2.CommandStatus.STATE_PREEMPTED,
    CommandState.COLLISION: vehicle_pb2.CommandStatus.STATE_COLLISION,
    CommandState.FENCE: vehicle_pb2.CommandStatus.STATE_FENCE,
    CommandState.OBSTRUCTED: vehicle_pb2.CommandStatus.STATE_OBSTRUCTED,
    CommandState.ESTOP: vehicle_pb2.CommandStatus.STATE_ESTOP,
    CommandState.LINK_LOST: vehicle_pb2.CommandStatus.STATE_LINK_LOST,
    CommandState.FAILED: vehicle_pb2.CommandStatus.STATE_FAILED,
    CommandState.NOTED: vehicle_pb2.CommandStatus.STATE_NOTED,
}
_STATE_FROM_WIRE = {int(wire): state for state, wire in _STATE_TO_WIRE.items()}
_LEVEL_TO_WIRE: dict[StopLevel, vehicle_pb2.EmergencyStopRequest.Level] = {
    StopLevel.NONE: vehicle_pb2.EmergencyStopRequest.LEVEL_UNSPECIFIED,
    StopLevel.HOLD: vehicle_pb2.EmergencyStopRequest.LEVEL_HOLD,
    StopLevel.LAND: vehicle_pb2.EmergencyStopRequest.LEVEL_LAND,
    StopLevel.KILL: vehicle_pb2.EmergencyStopRequest.LEVEL_KILL,
}
_LEVEL_FROM_WIRE = {int(wire): level for level, wire in _LEVEL_TO_WIRE.items()}


def text_from_wire(field: str, text: str) -> str:
    """A text for people; `TextTooLong`."""
    if len(text) > MAX_TEXT_CHARS:
        raise TextTooLong(f"{field} has {len(text)} characters, at most {MAX_TEXT_CHARS}", field=field)
    return text


def id_from_wire(field: str, value: str) -> str:
    """A required id; `InvalidInput` if it is empty or no id of ours could be so long."""
    if not value or len(value) > _MAX_ID_CHARS:
        raise InvalidInput(f"{field} has 1 to {_MAX_ID_CHARS} characters", field=field)
    return value


# Vehicles


def vehicle_to_wire(info: VehicleInfo) -> vehicle_pb2.Vehicle:
    """One vehicle and what it can do."""
    limits = info.limits
    return vehicle_pb2.Vehicle(
        vehicle_id=info.vehicle_id,
        cameras=[
            vehicle_pb2.Camera(
                camera_id=camera.camera_id,
                width_px=camera.width_px,
                height_px=camera.height_px,
                hfov_deg=camera.hfov_deg,
                has_depth=camera.has_depth,
            )
            for camera in info.cameras
        ],
        limits=vehicle_pb2.Limits(
            max_speed_m_s=limits.max_speed_m_s,
            max_step_m=limits.max_step_m,
            min_altitude_m=limits.min_altitude_m,
            max_altitude_m=limits.max_altitude_m,
            fence_radius_m=limits.fence_radius_m,
            max_velocity_ttl=duration_to_wire(limits.max_velocity_ttl_s),
            max_motion_ttl=duration_to_wire(limits.max_motion_ttl_s),
            max_observation_age=duration_to_wire(limits.max_observation_age_s),
            max_unseen_step_m=limits.max_unseen_step_m,
            max_unseen_speed_m_s=limits.max_unseen_speed_m_s,
            battery_floor_fraction=limits.battery_floor_fraction,
            battery_land_fraction=limits.battery_land_fraction,
        ),
        simulated=info.simulated,
    )


def vehicle_from_wire(message: vehicle_pb2.Vehicle) -> VehicleInfo:
    """One vehicle and what it can do."""
    cameras = tuple(
        Camera(camera.camera_id, camera.width_px, camera.height_px, camera.hfov_deg, camera.has_depth)
        for camera in message.cameras
    )
    return VehicleInfo(message.vehicle_id, cameras, _limits_from_wire(message.limits), message.simulated)


def _limits_from_wire(limits: vehicle_pb2.Limits) -> Limits:
    try:
        return Limits(
            max_speed_m_s=limits.max_speed_m_s,
            max_step_m=limits.max_step_m,
            min_altitude_m=limits.min_altitude_m,
            max_altitude_m=limits.max_altitude_m,
            fence_radius_m=limits.fence_radius_m,
            max_velocity_ttl_s=duration_from_wire(limits.max_velocity_ttl),
            max_motion_ttl_s=duration_from_wire(limits.max_motion_ttl),
            max_observation_age_s=duration_from_wire(limits.max_observation_age),
            max_unseen_step_m=limits.max_unseen_step_m,
            max_unseen_speed_m_s=limits.max_unseen_speed_m_s,
            battery_floor_fraction=limits.battery_floor_fraction,
            battery_land_fraction=limits.battery_land_fraction,
        )
    except ValueError as error:
        raise InvalidInput(f"limits: {error}", field="limits") from error


# Leases


def lease_to_wire(lease: Lease) -> lease_pb2.Lease:
    """The right to command."""
    return lease_pb2.Lease(vehicle_id=lease.vehicle_id, epoch=lease.epoch, sequence=lease.sequence)


def lease_from_wire(message: lease_pb2.Lease) -> Lease:
    """The right to command; a request without one names no vehicle and is refused."""
    return Lease(id_from_wire("lease.vehicle_id", message.vehicle_id), message.epoch, message.sequence)


def lease_state_to_wire(state: LeaseState) -> lease_pb2.LeaseState:
    """Who holds a vehicle."""
    return lease_pb2.LeaseState(
        lease=lease_to_wire(state.lease),
        holder=state.holder,
        expire_time=timestamp_to_wire(state.expire_time_ns),
        stale=state.stale,
    )


def lease_state_from_wire(message: lease_pb2.LeaseState) -> LeaseState:
    """Who holds a vehicle."""
    lease = Lease(message.lease.vehicle_id, message.lease.epoch, message.lease.sequence)
    return LeaseState(lease, message.holder, timestamp_from_wire(message.expire_time), message.stale)


# Commands


def command_to_wire(command: Command, request: vehicle_pb2.CommandRequest) -> None:
    """Fill the request's oneof."""
    match command:
        case Takeoff(altitude_m):
            request.takeoff.altitude_m = altitude_m
        case Land():
            request.land.SetInParent()
        case Hold():
            request.hold.SetInParent()
        case GoTo(position, yaw_deg, speed_m_s):
            request.go_to.position.CopyFrom(position_to_wire(position))
            request.go_to.speed_m_s = speed_m_s
            if yaw_deg is not None:
                request.go_to.yaw_deg = yaw_deg
        case SetVelocity(forward, right, down, yaw_rate):
            request.set_velocity.CopyFrom(
                vehicle_pb2.SetVelocity(forward_m_s=forward, right_m_s=right, down_m_s=down, yaw_rate_deg_s=yaw_rate)
            )
        case Step(forward, right, up, speed_m_s):
            request.step.CopyFrom(vehicle_pb2.Step(forward_m=forward, right_m=right, up_m=up, speed_m_s=speed_m_s))
        case Turn(angle_deg):
            request.turn.angle_deg = angle_deg
        case FlyTowards(u, v, step_m, speed_m_s):
            request.fly_towards.CopyFrom(vehicle_pb2.FlyTowards(u=u, v=v, step_m=step_m, speed_m_s=speed_m_s))


def _go_to(message: vehicle_pb2.GoTo) -> GoTo:
    if not message.HasField("position"):
        raise InvalidInput("go_to has no position", field="go_to.position")
    yaw_deg = message.yaw_deg if message.HasField("yaw_deg") else None
    return GoTo(position_from_wire(message.position), yaw_deg, message.speed_m_s)


_COMMAND_FROM_WIRE: dict[str, Callable[[Any], Command]] = {
    "takeoff": lambda m: Takeoff(m.altitude_m),
    "land": lambda m: Land(),
    "hold": lambda m: Hold(),
    "go_to": _go_to,
    "set_velocity": lambda m: SetVelocity(m.forward_m_s, m.right_m_s, m.down_m_s, m.yaw_rate_deg_s),
    "step": lambda m: Step(m.forward_m, m.right_m, m.up_m, m.speed_m_s),
    "turn": lambda m: Turn(m.angle_deg),
    "fly_towards": lambda m: FlyTowards(m.u, m.v, m.step_m, m.speed_m_s),
}


def command_from_wire(request: vehicle_pb2.CommandRequest) -> Command:
    """The request's command; `UnsetOneof`."""
    kind = request.WhichOneof("command")
    if kind is None:
        raise UnsetOneof("command", field="command")
    return _COMMAND_FROM_WIRE[kind](getattr(request, kind))


def status_to_wire(status: CommandStatus) -> vehicle_pb2.CommandStatus:
    """How a command stands."""
    return vehicle_pb2.CommandStatus(
        command_id=status.command_id,
        kind=status.kind,
        state=_STATE_TO_WIRE[status.state],
        error=None if status.error is None else to_status(status.error, service=VEHICLE_SERVICE),
    )


def status_from_wire(message: vehicle_pb2.CommandStatus) -> CommandStatus:
    """How a command stands; `InvalidInput` for a state this version does not know."""
    state = _STATE_FROM_WIRE.get(message.state)
    if state is None:
        raise InvalidInput(f"command state {message.state} is unset or unknown", field="state")
    error = from_status(message.error) if message.HasField("error") else None
    return CommandStatus(message.command_id, message.kind, state, error)


def level_to_wire(level: StopLevel) -> vehicle_pb2.EmergencyStopRequest.Level:
    """How hard a stop is; none is unspecified."""
    return _LEVEL_TO_WIRE[level]


def level_from_wire(value: int) -> StopLevel:
    """How hard a stop is; unspecified is none, `InvalidInput` for what this version does not know."""
    level = _LEVEL_FROM_WIRE.get(value)
    if level is None:
        raise InvalidInput(f"emergency stop level {value} is unknown", field="level", value=value)
    return level


# What vehicles show


def telemetry_to_wire(telemetry: Telemetry) -> vehicle_pb2.WatchTelemetryResponse:
    """The newest state."""
    return vehicle_pb2.WatchTelemetryResponse(
        sequence=telemetry.sequence,
        stamp=stamp_to_wire(telemetry.stamp),
        pose=pose_to_wire(telemetry.pose),
        velocity=velocity_to_wire(telemetry.velocity),
        command=None if telemetry.command is None else status_to_wire(telemetry.command),
        armed=telemetry.armed,
        flying=telemetry.flying,
        collisions=telemetry.collisions,
        thinking=telemetry.thinking,
        emergency_stop=level_to_wire(telemetry.emergency_stop),
        last_collision_object=telemetry.last_collision_object,
        battery_fraction=telemetry.battery_fraction,
    )


def telemetry_from_wire(message: vehicle_pb2.WatchTelemetryResponse) -> Telemetry:
    """The newest state."""
    return Telemetry(
        sequence=message.sequence,
        stamp=stamp_from_wire(message.stamp),
        pose=pose_from_wire(message.pose),
        velocity=velocity_from_wire(message.velocity),
        command=status_from_wire(message.command) if message.HasField("command") else None,
        armed=message.armed,
        flying=message.flying,
        collisions=message.collisions,
        thinking=message.thinking,
        emergency_stop=level_from_wire(message.emergency_stop),
        last_collision_object=message.last_collision_object,
        battery_fraction=message.battery_fraction if message.HasField("battery_fraction") else None,
    )


def frame_update_to_wire(update: FrameUpdate) -> vehicle_pb2.WatchFramesResponse:
    """The newest frame."""
    return vehicle_pb2.WatchFramesResponse(
        sequence=update.sequence,
        frame=frame_to_wire(update.frame),
        receive_time=timestamp_to_wire(update.receive_time_ns),
        request_time=timestamp_to_wire(update.request_time_ns),
        offer_time=timestamp_to_wire(update.offer_time_ns),
    )


def frame_update_from_wire(message: vehicle_pb2.WatchFramesResponse) -> FrameUpdate:
    """The newest frame."""
    return FrameUpdate(
        message.sequence,
        frame_from_wire(message.frame),
        timestamp_from_wire(message.receive_time),
        timestamp_from_wire(message.request_time),
        timestamp_from_wire(message.offer_time),
    )


def time_sync_to_wire(sync: TimeSync) -> vehicle_pb2.TimeSyncResponse:
    """The second half of a round trip."""
    return vehicle_pb2.TimeSyncResponse(
        client_send_time=timestamp_to_wire(sync.client_send_time_ns),
        bridge_receive_time=timestamp_to_wire(sync.bridge_receive_time_ns),
        bridge_send_time=timestamp_to_wire(sync.bridge_send_time_ns),
        vehicle=None if sync.vehicle is None else stamp_to_wire(sync.vehicle),
    )


def time_sync_from_wire(message: vehicle_pb2.TimeSyncResponse) -> TimeSync:
    """The second half of a round trip."""
    return TimeSync(
        timestamp_from_wire(message.client_send_time),
        timestamp_from_wire(message.bridge_receive_time),
        timestamp_from_wire(message.bridge_send_time),
        stamp_from_wire(message.vehicle) if message.HasField("vehicle") else None,
    )


# Flight log


def entry_to_wire(entry: FlightLogEntry) -> vehicle_pb2.WatchFlightLogResponse:
    """One entry of the flight log."""
    message = vehicle_pb2.WatchFlightLogResponse(
        log_seq=entry.log_seq,
        log_time=timestamp_to_wire(entry.log_time_ns),
        vehicle_time=None if entry.vehicle_time is None else stamp_to_wire(entry.vehicle_time),
    )
    _event_to_wire(entry.event, message)
    return message


def entry_to_json(entry: FlightLogEntry) -> str:
    """One entry as one line of JSON, in the wire's field names."""
    return MessageToJson(entry_to_wire(entry), preserving_proto_field_name=True, indent=None)


def _event_to_wire(event: FlightEvent, message: vehicle_pb2.WatchFlightLogResponse) -> None:
    match event:
        case CommandStarted(command_id, kind, motion, based_on_frame_id, command, ttl_s):
            started = message.command_started
            started.command_id, started.kind, started.motion = command_id, kind, motion
            started.based_on_frame_id = based_on_frame_id
            if command is not None:
                command_to_wire(command, started.request)
                started.request.based_on_frame_id = based_on_frame_id
                if ttl_s is not None:
                    started.request.ttl.CopyFrom(duration_to_wire(ttl_s))
        case CommandEnded(status):
            message.command_ended.CopyFrom(status_to_wire(status))
        case Refused(kind, error, command):
            if command is not None:
                command_to_wire(command, message.refused.request)
            message.refused.kind = kind
            message.refused.status.CopyFrom(to_status(error, service=VEHICLE_SERVICE))
        case Held(cause):
            message.held.cause = cause
        case ThinkingBegan(thinking_id, expected_s):
            message.thinking_began.thinking_id = thinking_id
            message.thinking_began.expected.CopyFrom(duration_to_wire(expected_s))
        case ThinkingEnded(thinking_id):
            message.thinking_ended.thinking_id = thinking_id
        case LeaseChanged(change, state, reason):
            message.lease_changed.CopyFrom(
                vehicle_pb2.LeaseChanged(change=change, state=lease_state_to_wire(state), reason=reason)
            )
        case EmergencyStopChanged(level, reason):
            message.emergency_stop_changed.level = level_to_wire(level)
            message.emergency_stop_changed.reason = reason
        case Collided(object_name):
            message.collided.object_name = object_name
        case SilenceNoticed(silence_s):
            message.silence_noticed.silence_s = silence_s
        case LandingBegan(cause):
            message.landing_began.cause = cause


def entry_from_wire(message: vehicle_pb2.WatchFlightLogResponse) -> FlightLogEntry:
    """One entry of the flight log; `UnsetOneof` for an event this version does not know."""
    vehicle_time = stamp_from_wire(message.vehicle_time) if message.HasField("vehicle_time") else None
    return FlightLogEntry(message.log_seq, timestamp_from_wire(message.log_time), vehicle_time, _event(message))


_EVENT_FROM_WIRE: dict[str, Callable[[Any], FlightEvent]] = {
    "command_started": lambda m: CommandStarted(
        m.command_id,
        m.kind,
        m.motion,
        m.based_on_frame_id,
        command_from_wire(m.request) if m.HasField("request") else None,
        duration_from_wire(m.request.ttl) if m.request.HasField("ttl") else None,
    ),
    "command_ended": lambda m: CommandEnded(status_from_wire(m)),
    "refused": lambda m: Refused(
        m.kind, from_status(m.status), command_from_wire(m.request) if m.HasField("request") else None
    ),
    "held": lambda m: Held(m.cause),
    "thinking_began": lambda m: ThinkingBegan(m.thinking_id, duration_from_wire(m.expected)),
    "thinking_ended": lambda m: ThinkingEnded(m.thinking_id),
    "lease_changed": lambda m: LeaseChanged(m.change, lease_state_from_wire(m.state), m.reason),
    "emergency_stop_changed": lambda m: EmergencyStopChanged(level_from_wire(m.level), m.reason),
    "collided": lambda m: Collided(m.object_name),
    "silence_noticed": lambda m: SilenceNoticed(m.silence_s),
    "landing_began": lambda m: LandingBegan(m.cause),
}


def _event(message: vehicle_pb2.WatchFlightLogResponse) -> FlightEvent:
    kind = message.WhichOneof("entry")
    if kind is None:
        raise UnsetOneof("entry", field="entry")
    return _EVENT_FROM_WIRE[kind](getattr(message, kind))
