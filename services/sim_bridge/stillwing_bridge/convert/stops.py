"""Emergency stops as messages. Apart from `commands`, so that whoever stops imports no more than a stop needs."""

from stillwing.vehicle.v1 import vehicle_pb2
from stillwing_bridge.core.types import MAX_REASON_CHARS, MAX_WHO_CHARS, EmergencyStop, StopLevel
from stillwing_common.errors import InvalidInput
from stillwing_common.told_text import told_text
from stillwing_rpc.convert import timestamp_from_wire, timestamp_to_wire
from stillwing_rpc.errors import sendable_values

_LEVEL_TO_WIRE: dict[StopLevel, vehicle_pb2.EmergencyStopRequest.Level] = {
    StopLevel.NONE: vehicle_pb2.EmergencyStopRequest.LEVEL_UNSPECIFIED,
    StopLevel.HOLD: vehicle_pb2.EmergencyStopRequest.LEVEL_HOLD,
    StopLevel.LAND: vehicle_pb2.EmergencyStopRequest.LEVEL_LAND,
    StopLevel.KILL: vehicle_pb2.EmergencyStopRequest.LEVEL_KILL,
}
_LEVEL_FROM_WIRE = {int(wire): level for level, wire in _LEVEL_TO_WIRE.items()}


def level_to_wire(level: StopLevel) -> vehicle_pb2.EmergencyStopRequest.Level:
    """How hard a stop is; none is unspecified."""
    return _LEVEL_TO_WIRE[level]


def level_from_wire(value: int) -> StopLevel:
    """How hard a stop is; unspecified is none, `InvalidInput` for what this version does not know."""
    level = _LEVEL_FROM_WIRE.get(value)
    if level is None:
        raise InvalidInput(f"emergency stop level {value} is unknown", field="level", value=value)
    return level


def requested_level(value: int) -> StopLevel:
    """How hard a stop is asked for: a hold where it is not said or not known. Nobody is refused for a number."""
    return _LEVEL_FROM_WIRE.get(value) or StopLevel.HOLD


def stop_request(vehicle_id: str, level: StopLevel, reason: object, who: object) -> vehicle_pb2.EmergencyStopRequest:
    """What asks for a stop; no words are refused. `InvalidInput` for a vehicle or a level that cannot be."""
    if level is StopLevel.NONE:
        raise InvalidInput("a stop has a level: hold, land or kill", field="level")
    with sendable_values():
        return vehicle_pb2.EmergencyStopRequest(
            vehicle_id=vehicle_id,
            level=level_to_wire(StopLevel(level)),
            reason=told_text(reason, MAX_REASON_CHARS),
            who=told_text(who, MAX_WHO_CHARS),
        )


def stop_to_wire(stop: EmergencyStop) -> vehicle_pb2.EmergencyStop:
    """A latched stop."""
    return vehicle_pb2.EmergencyStop(
        level=level_to_wire(stop.level),
        reason=stop.reason,
        who=stop.who,
        latch_time=timestamp_to_wire(stop.latched_time_ns),
        not_on_disk=stop.not_on_disk,
    )


def stop_from_wire(message: vehicle_pb2.EmergencyStop) -> EmergencyStop:
    """A latched stop."""
    latched_time_ns = timestamp_from_wire(message.latch_time)
    return EmergencyStop(
        level_from_wire(message.level), message.reason, latched_time_ns, message.who, message.not_on_disk
    )
