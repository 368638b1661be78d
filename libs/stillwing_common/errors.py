"""The domain's exception tree. It knows nothing of gRPC: `stillwing_rpc.errors` holds the one table to status codes.

An error class is a public sentence (the first line of its docstring), a `reason` that never changes or moves, and
metadata given as keywords when it is raised. The direct children of `StillwingError` say what kind of failure it is:

StillwingError
├── InvalidInput         the request itself is wrong; sending it again cannot help
├── NotFound             it names something that is not here
├── AlreadyExists        it would make something that is here already
├── WrongState           right request, wrong moment (FAILED_PRECONDITION)
├── Superseded           somebody or something newer has taken over (ABORTED)
├── Exhausted            a limit is reached; less or later may work
├── NotPermitted         the caller may not do this
├── NotAuthenticated     the caller did not say who it is
├── Unsupported          this implementation cannot do it
├── Expired              too late
├── Unavailable          a part that is needed does not answer; trying again may help
└── InternalFault        our mistake; the log has the rest
"""

from typing import ClassVar

_BY_REASON: dict[str, type["StillwingError"]] = {}


class StillwingError(Exception):
    """Something went wrong."""

    reason: ClassVar[str] = "UNKNOWN"
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str = "", /, **metadata: object) -> None:
        """`detail` continues the public sentence; `metadata` values are made text, for programs to read."""
        self.detail = detail
        self.metadata: dict[str, str] = {key: str(value) for key, value in metadata.items()}
        super().__init__(detail)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        reason = cls.__dict__.get("reason")
        if reason is None:
            raise TypeError(f"{cls.__name__} has no reason of its own")
        if reason in _BY_REASON and _BY_REASON[reason].__qualname__ != cls.__qualname__:
            raise TypeError(f"reason {reason} belongs to {_BY_REASON[reason].__name__} already")
        _BY_REASON[reason] = cls

    @classmethod
    def sentence(cls) -> str:
        """The public sentence: the first line of the docstring, without its full stop."""
        lines = (cls.__doc__ or "").strip().splitlines()
        return lines[0].rstrip(".") if lines else cls.__name__

    def __str__(self) -> str:
        return f"{self.sentence()}: {self.detail}" if self.detail else f"{self.sentence()}."


def error_classes() -> dict[str, type[StillwingError]]:
    """Every error class by reason, in order of definition."""
    return dict(_BY_REASON)


class InvalidInput(StillwingError):
    """The request is not valid."""

    reason = "INVALID_INPUT"


class NotFound(StillwingError):
    """What the request names does not exist."""

    reason = "NOT_FOUND"


class AlreadyExists(StillwingError):
    """What the request would make exists already."""

    reason = "ALREADY_EXISTS"


class WrongState(StillwingError):
    """The request does not fit the present state."""

    reason = "WRONG_STATE"


class Superseded(StillwingError):
    """Something newer took over."""

    reason = "SUPERSEDED"


class Exhausted(StillwingError):
    """A limit is reached."""

    reason = "EXHAUSTED"
    retryable = True


class NotPermitted(StillwingError):
    """The caller may not do this."""

    reason = "NOT_PERMITTED"


class NotAuthenticated(StillwingError):
    """The caller did not prove who it is; send `authorization: Bearer <token>`."""

    reason = "NOT_AUTHENTICATED"


class Unsupported(StillwingError):
    """This implementation cannot do that."""

    reason = "UNSUPPORTED"


class Expired(StillwingError):
    """The time for it has passed."""

    reason = "EXPIRED"


class Unavailable(StillwingError):
    """A part that is needed does not answer."""

    reason = "UNAVAILABLE"
    retryable = True


class InternalFault(StillwingError):
    """Something broke inside the service; its log has the rest under this request id."""

    reason = "INTERNAL_FAULT"


# Wire


class UnsetOneof(InvalidInput):
    """A oneof of the request is unset or holds a member this version does not know."""

    reason = "UNSET_ONEOF"


class DeadlineRequired(InvalidInput):
    """This rpc needs a deadline; set one on the call."""

    reason = "DEADLINE_REQUIRED"


class TextTooLong(InvalidInput):
    """A text is longer than the limit."""

    reason = "TEXT_TOO_LONG"


class WrongFirstMessage(InvalidInput):
    """The first message of a session must be `open`, and only the first."""

    reason = "WRONG_FIRST_MESSAGE"


class InsecureBind(InvalidInput):
    """Plaintext is served on loopback only; give a TLS certificate and key and a bearer token."""

    reason = "INSECURE_BIND"


class InsecureChannel(InvalidInput):
    """A bearer token is sent over TLS or to loopback only; give the file of the server's certificate authority."""

    reason = "INSECURE_CHANNEL"


class PortInUse(WrongState):
    """The port is in use; stop the other process or choose another port."""

    reason = "PORT_IN_USE"


class WrongService(WrongState):
    """The server at this address is not the service that was asked for."""

    reason = "WRONG_SERVICE"


# Images


class ImageEmpty(InvalidInput):
    """The image has no bytes."""

    reason = "IMAGE_EMPTY"


class ImageUndecodable(InvalidInput):
    """The image cannot be decoded."""

    reason = "IMAGE_UNDECODABLE"


class ImageTooLarge(InvalidInput):
    """The image has more pixels or bytes than the limit."""

    reason = "IMAGE_TOO_LARGE"


# Vehicles


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


class SimulatorError(WrongState):
    """The simulator refused the call."""

    reason = "SIMULATOR_ERROR"


# Engine


class UnknownSession(NotFound):
    """No session has this id."""

    reason = "UNKNOWN_SESSION"


class UnknownAsk(NotFound):
    """No ask under way has this sequence number."""

    reason = "UNKNOWN_ASK"


class UnknownSnapshot(NotFound):
    """No snapshot has this id."""

    reason = "UNKNOWN_SNAPSHOT"


class SnapshotOverwritten(WrongState):
    """What the snapshot covers has been evicted or moved; it can no longer be restored."""

    reason = "SNAPSHOT_OVERWRITTEN"


class FrameNotKept(NotFound):
    """No keys and values of this frame are kept aside: it was not evicted, or too long ago, or none are kept at all."""

    reason = "FRAME_NOT_KEPT"


class UnknownExport(NotFound):
    """No export has this name."""

    reason = "UNKNOWN_EXPORT"


class ExportsOff(WrongState):
    """This engine keeps no exports; start it with a folder for them."""

    reason = "EXPORTS_OFF"


class ExportUnusable(WrongState):
    """The export cannot be used here."""

    reason = "EXPORT_UNUSABLE"


class ExportNotWritten(Unavailable):
    """The export could not be written."""

    reason = "EXPORT_NOT_WRITTEN"


class OutOfCredits(Exhausted):
    """More frames were sent than there were credits; wait for frame_appended."""

    reason = "OUT_OF_CREDITS"


class FrameSuperseded(Superseded):
    """A newer frame took this one's place before it was appended."""

    reason = "FRAME_SUPERSEDED"


class QueueFull(Exhausted):
    """Too many requests are waiting; wait for answers before sending more."""

    reason = "QUEUE_FULL"


class SlowReader(Exhausted):
    """The session's events are not read as fast as they come; read them, or open the session again."""

    reason = "SLOW_READER"
    retryable = False


class BudgetTooSmall(InvalidInput):
    """The context budget cannot hold the sink, one chunk and an answer."""

    reason = "BUDGET_TOO_SMALL"


class TooManyBranches(Exhausted):
    """Too many asks are under way, in this session, of this peer or in the engine."""

    reason = "TOO_MANY_BRANCHES"


class TooManyWatches(Exhausted):
    """The session has as many watch conditions as it may; unset one."""

    reason = "TOO_MANY_WATCHES"


class UnknownWatch(NotFound):
    """No watch condition has this sequence number."""

    reason = "UNKNOWN_WATCH"


class TooManySessions(Exhausted):
    """The engine holds as many sessions as it may, or this peer does."""

    reason = "TOO_MANY_SESSIONS"


class TooManyContextTokens(Exhausted):
    """The budgets of open sessions leave no room for this one; ask for fewer context tokens or close a session."""

    reason = "TOO_MANY_CONTEXT_TOKENS"


class TooManyFrameBytes(Exhausted):
    """Too many bytes of frames are under way, of this peer or in the engine; wait for acknowledgements."""

    reason = "TOO_MANY_FRAME_BYTES"


class SessionIdle(Expired):
    """Nothing was asked of the session for longer than the engine allows; open it again."""

    reason = "SESSION_IDLE"


class BadGrammar(InvalidInput):
    """The JSON Schema cannot be compiled into a grammar."""

    reason = "BAD_GRAMMAR"


class ModelNotUsable(WrongState):
    """The model directory cannot be used."""

    reason = "MODEL_NOT_USABLE"


class DeviceAbsent(WrongState):
    """The wanted device is not in this machine."""

    reason = "DEVICE_ABSENT"


# Memory


class UnknownKeyframe(NotFound):
    """No keyframe has this frame id."""

    reason = "UNKNOWN_KEYFRAME"


class UnknownEntity(NotFound):
    """No entity has this id."""

    reason = "UNKNOWN_ENTITY"


class UnknownInstruction(NotFound):
    """The mission has no instruction of this number; begin it first."""

    reason = "UNKNOWN_INSTRUCTION"


class KeyframeForgotten(NotFound):
    """Retention has taken this keyframe's pixels; raise the bank's limits to keep more."""

    reason = "KEYFRAME_FORGOTTEN"


class BankFull(Exhausted):
    """The bank has reached its limit and keeps what it has; raise the limit or let it forget the oldest."""

    reason = "BANK_FULL"
    retryable = False


class BackupFailed(WrongState):
    """The backup was not made, or cannot be restored here."""

    reason = "BACKUP_FAILED"


class StoreUnavailable(Unavailable):
    """The store does not answer."""

    reason = "STORE_UNAVAILABLE"


class StoreInUse(WrongState):
    """Another memory bank has this data folder; stop it or choose another folder."""

    reason = "STORE_IN_USE"


class BadPageToken(InvalidInput):
    """The page token is not one this service gave out."""

    reason = "BAD_PAGE_TOKEN"


# Missions


class UnknownMission(NotFound):
    """No mission has this id."""

    reason = "UNKNOWN_MISSION"


class MissionEnded(WrongState):
    """The mission has ended or is ending; start another one."""

    reason = "MISSION_ENDED"


class VehicleBusy(WrongState):
    """The vehicle is flying another mission; cancel that one first."""

    reason = "VEHICLE_BUSY"


class BadParams(InvalidInput):
    """The mission's params do not fit the agent's schema."""

    reason = "BAD_PARAMS"


class EventLogFull(Exhausted):
    """The mission's event log has reached its bound."""

    reason = "EVENT_LOG_FULL"


class TimeLimitReached(Expired):
    """The mission's time limit passed before its goal was met."""

    reason = "TIME_LIMIT_REACHED"


class DecisionsUsedUp(Exhausted):
    """The mission used up its decisions before its goal was met."""

    reason = "DECISIONS_USED_UP"
    retryable = False


class AnswerTimeout(Expired):
    """The model did not answer in time."""

    reason = "ANSWER_TIMEOUT"


class AnswerUnreadable(WrongState):
    """The model's answer does not hold what it was asked for."""

    reason = "ANSWER_UNREADABLE"


class FramesStopped(Unavailable):
    """No new camera frame reached the model in time."""

    reason = "FRAMES_STOPPED"


class MotionFailed(WrongState):
    """A motion did not end as it was meant to."""

    reason = "MOTION_FAILED"


# Backends


class UnknownBackend(InvalidInput):
    """No implementation has this name."""

    reason = "UNKNOWN_BACKEND"


class MissingExtra(WrongState):
    """A package that this needs is not installed."""

    reason = "MISSING_EXTRA"
