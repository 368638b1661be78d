"""Leases and commands: what callers ask for, and how it stands."""

from collections.abc import Callable
from typing import Any

from stillwing.vehicle.v1 import lease_pb2, vehicle_pb2
from stillwing_bridge.convert.names import VEHICLE_SERVICE, id_from_wire
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
from stillwing_bridge.core.types import Lease, LeaseState
from stillwing_common.errors import InvalidInput, UnsetOneof
from stillwing_rpc.convert import position_from_wire, position_to_wire, timestamp_from_wire, timestamp_to_wire
from stillwing_rpc.errors import from_status, to_status

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
