"""Entries of the flight log, as messages and as lines of JSON."""

from collections.abc import Callable
from typing import Any

from google.protobuf.json_format import MessageToJson

from stillwing.vehicle.v1 import vehicle_pb2
from stillwing_bridge.convert.commands import (
    command_from_wire,
    command_to_wire,
    lease_state_from_wire,
    lease_state_to_wire,
    status_from_wire,
    status_to_wire,
)
from stillwing_bridge.convert.names import VEHICLE_SERVICE
from stillwing_bridge.convert.stops import level_from_wire, level_to_wire
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
from stillwing_common.errors import UnsetOneof
from stillwing_rpc.convert import (
    duration_from_wire,
    duration_to_wire,
    stamp_from_wire,
    stamp_to_wire,
    timestamp_from_wire,
    timestamp_to_wire,
)
from stillwing_rpc.errors import from_status, to_status


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
        case EmergencyStopChanged(level, reason, who):
            message.emergency_stop_changed.CopyFrom(
                vehicle_pb2.EmergencyStopChanged(level=level_to_wire(level), reason=reason, who=who)
            )
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
    "emergency_stop_changed": lambda m: EmergencyStopChanged(level_from_wire(m.level), m.reason, m.who),
    "collided": lambda m: Collided(m.object_name),
    "silence_noticed": lambda m: SilenceNoticed(m.silence_s),
    "landing_began": lambda m: LandingBegan(m.cause),
}


def _event(message: vehicle_pb2.WatchFlightLogResponse) -> FlightEvent:
    kind = message.WhichOneof("entry")
    if kind is None:
        raise UnsetOneof("entry", field="entry")
    return _EVENT_FROM_WIRE[kind](getattr(message, kind))
