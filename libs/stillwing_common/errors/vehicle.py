"""What the bridge says of vehicles, leases, commands and the simulated world."""

from stillwing_common.errors.base import Expired, InvalidInput, NotFound, Superseded, Unavailable, WrongState


class UnknownVehicle(NotFound):
    """No vehicle has this id; ListVehicles names them."""

    reason = "UNKNOWN_VEHICLE"


class UnknownCamera(NotFound):
    """The vehicle has no camera of this id."""

    reason = "UNKNOWN_CAMERA"


class LeaseHeld(WrongState):
    """Somebody holds the vehicle's lease; wait until it is returned or stale."""

    reason = "LEASE_HELD"


class LeaseStale(WrongState):
    """The lease went stale because it was not retained; acquire it again."""

    reason = "LEASE_STALE"


class LeaseSuperseded(Superseded):
    """A newer lease of this vehicle was given out."""

    reason = "LEASE_SUPERSEDED"


class LeaseWrongEpoch(WrongState):
    """The lease is from before the bridge restarted; acquire a new one."""

    reason = "LEASE_WRONG_EPOCH"


class TtlRequired(InvalidInput):
    """Every motion command needs a ttl greater than zero."""

    reason = "TTL_REQUIRED"


class TtlTooLong(InvalidInput):
    """The ttl is longer than this command may have."""

    reason = "TTL_TOO_LONG"


class CommandExpired(Expired):
    """The command's ttl had passed before it could start."""

    reason = "COMMAND_EXPIRED"


class Thinking(WrongState):
    """The holder of this lease is thinking; call EndThinking before moving."""

    reason = "THINKING"


class StillMoving(WrongState):
    """The vehicle did not come to rest in time; it is held: begin to think again."""

    reason = "STILL_MOVING"
    retryable = True


class ObservationStale(WrongState):
    """The frame this motion is based on is too old; look again."""

    reason = "OBSERVATION_STALE"


class ObservationRequired(InvalidInput):
    """A motion must name the frame it is based on."""

    reason = "OBSERVATION_REQUIRED"


class UnknownFrame(NotFound):
    """No recent frame has this id."""

    reason = "UNKNOWN_FRAME"


class OutsideFence(WrongState):
    """The motion would leave the fence."""

    reason = "FENCE"


class Obstructed(WrongState):
    """Something is in the way."""

    reason = "OBSTRUCTED"


class LimitExceeded(InvalidInput):
    """A speed, step or altitude is outside the vehicle's limits."""

    reason = "LIMIT_EXCEEDED"


class WayUnseen(LimitExceeded):
    """No camera sees the way; turn towards it, or fly shorter and slower."""

    reason = "WAY_UNSEEN"


class BatteryLow(WrongState):
    """The battery is below its floor; only holding and landing are flown."""

    reason = "BATTERY_LOW"


class EmergencyStopped(WrongState):
    """The vehicle is under emergency stop; an operator must clear it."""

    reason = "ESTOP"


class NotFlying(WrongState):
    """The vehicle is on the ground; take off first."""

    reason = "NOT_FLYING"


class CommandSuperseded(Superseded):
    """A newer command, hold, stop or lease arrived while this command was being checked."""

    reason = "COMMAND_SUPERSEDED"


class Replayed(WrongState):
    """What is shown is a recording: nothing can be flown."""

    reason = "REPLAYED"


class UnknownCommand(NotFound):
    """No recent command has this id."""

    reason = "UNKNOWN_COMMAND"


class UnknownObject(NotFound):
    """The simulated world has no object of this name."""

    reason = "UNKNOWN_OBJECT"


class LinkLost(Unavailable):
    """The simulator or autopilot does not answer."""

    reason = "LINK_LOST"


class StopUnconfirmed(LinkLost):
    """The emergency stop is latched, and the vehicle has not confirmed it; it is stopped as soon as it answers."""

    reason = "ESTOP_UNCONFIRMED"


class SimulatorError(WrongState):
    """The simulator refused the call."""

    reason = "SIMULATOR_ERROR"
