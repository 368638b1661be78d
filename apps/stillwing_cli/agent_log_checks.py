"""What a mission's event log must be, read as it came over the wire: whole, in order, and without a word too much."""

from collections.abc import Sequence, Set

from stillwing.agent.v1 import agent_pb2

Events = Sequence[agent_pb2.WatchMissionResponse]

ENDED = (
    agent_pb2.Mission.STATE_ACHIEVED,
    agent_pb2.Mission.STATE_FAILED,
    agent_pb2.Mission.STATE_CANCELLED,
    agent_pb2.Mission.STATE_NOT_ACHIEVED,
)


def faults(events: Events, thinking_ids: Set[str]) -> list[str]:
    """What is wrong with the log of a mission that has ended; `thinking_ids` are those of the bridge's flight log."""
    if not events:
        return ["there is no event"]
    return [*_numbers(events), *_states(events), *_actions(events), *_thinking(events, thinking_ids)]


def _numbers(events: Events) -> list[str]:
    wrong = []
    numbers = [event.event_seq for event in events]
    if numbers != list(range(1, len(events) + 1)):
        wrong.append(f"event_seq is not 1, 2, 3, …: {numbers[:12]}")
    times = [event.event_time.ToNanoseconds() for event in events]
    if times != sorted(times) or not all(times):
        wrong.append("event_time is missing or runs backwards")
    if any(event.WhichOneof("event") is None for event in events):
        wrong.append("an event says nothing")
    return wrong


def _states(events: Events) -> list[str]:
    states = [event.state_changed for event in events if event.HasField("state_changed")]
    wrong = []
    if not events[0].HasField("state_changed") or states[0].state != agent_pb2.Mission.STATE_PENDING:
        wrong.append("the first event is not state_changed to PENDING")
    if not events[-1].HasField("state_changed") or states[-1].state not in ENDED:
        wrong.append("the last event is not state_changed to an end")
    ends = [state for state in states if state.state in ENDED]
    if len(ends) > 1:
        wrong.append(f"the mission ends {len(ends)} times")
    if ends and not ends[-1].HasField("end_time"):
        wrong.append("the mission's end has no end_time")
    if any(end.state == agent_pb2.Mission.STATE_FAILED and not end.HasField("error") for end in ends):
        wrong.append("the mission failed and no error says why")
    return wrong


def _actions(events: Events) -> list[str]:
    started: list[str] = []
    finished: list[str] = []
    wrong = []
    for event in events:
        if event.HasField("action_started"):
            started.append(event.action_started.action_id)
        elif event.HasField("action_finished"):
            finished.append(event.action_finished.action_id)
            if finished[-1] not in started:
                wrong.append(f"action {finished[-1]!r} finished and never started")
            if event.action_finished.WhichOneof("outcome") is None:
                wrong.append(f"action {finished[-1]!r} finished without result or error")
    for ids, what in ((started, "started"), (finished, "finished")):
        if len(set(ids)) != len(ids) or not all(ids):
            wrong.append(f"an action {what} twice, or without an action_id")
    return wrong


def _thinking(events: Events, thinking_ids: Set[str]) -> list[str]:
    wrong = []
    open_id = ""
    for event in events:
        if event.HasField("thinking_started"):
            open_id = event.thinking_started.thinking_id
            if open_id not in thinking_ids:
                wrong.append(f"thinking_started names {open_id!r}, which no hold of the bridge has")
        elif event.HasField("thinking_finished"):
            if event.thinking_finished.thinking_id != open_id:
                wrong.append("thinking_finished names another interval than the one that was open")
            open_id = ""
    return wrong
