"""What the agent says of missions and of what ended them."""

from stillwing_common.errors.base import (
    Exhausted,
    Expired,
    InvalidInput,
    NotFound,
    NotPermitted,
    Unavailable,
    WrongState,
)


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


class EngineAway(Unavailable):
    """The engine is gone for now; the vehicle holds until it is back."""

    reason = "ENGINE_AWAY"


class EngineGone(Unavailable):
    """The mission cannot go on without the engine; the vehicle holds."""

    reason = "ENGINE_GONE"


class BridgeGone(Unavailable):
    """The bridge is gone or was started anew, and no mission goes on over that; start another one."""

    reason = "BRIDGE_GONE"


class FramesStopped(Unavailable):
    """No new camera frame reached the model in time."""

    reason = "FRAMES_STOPPED"


class MotionFailed(WrongState):
    """A motion did not end as it was meant to."""

    reason = "MOTION_FAILED"


class NoQuestionOpen(WrongState):
    """The mission waits for no answer of the operator's."""

    reason = "NO_QUESTION_OPEN"


class OperatorSilent(Expired):
    """The operator did not answer the mission's question in time."""

    reason = "OPERATOR_SILENT"


class OperatorRefused(NotPermitted):
    """The operator did not allow it."""

    reason = "OPERATOR_REFUSED"


class ToolFailed(WrongState):
    """A tool of the user's own did not do what it is for."""

    reason = "TOOL_FAILED"
