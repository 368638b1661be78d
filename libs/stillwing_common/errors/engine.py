"""What the engine says of sessions, asks, exports, its quotas and the model it runs."""

from stillwing_common.errors.base import Exhausted, Expired, InvalidInput, NotFound, Superseded, Unavailable, WrongState


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


class EndpointUnreachable(Unavailable):
    """The endpoint that answers for the model does not answer."""

    reason = "ENDPOINT_UNREACHABLE"


class EndpointBusy(Exhausted):
    """The endpoint that answers for the model takes no more requests for now."""

    reason = "ENDPOINT_BUSY"


class EndpointRefused(WrongState):
    """The endpoint that answers for the model refused the request."""

    reason = "ENDPOINT_REFUSED"


class EndpointUnreadable(WrongState):
    """What the endpoint that answers for the model sent is no chat completion."""

    reason = "ENDPOINT_UNREADABLE"
