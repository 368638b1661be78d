"""python -m pytest tests/unit/vlm/test_vlm_scheduler.py -v

The scheduler turned by hand on a clock that stands still: what waits for what, for any load.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwing_common.clock import FakeClock
from stillwing_common.errors import InternalFault, QueueFull, UnknownSession
from stillwing_vlm.core.serving.scheduler import MAX_STEP_TOKENS, Lane, Live, Request, Scheduler

APPEND_S, STEP_S = 0.05, 0.01


class Answering:
    """A branch that reads a question and then decodes some tokens."""

    view: Any = None

    def __init__(self, question_tokens: int, answer_tokens: int) -> None:
        self.question_tokens = question_tokens
        self.left = answer_tokens

    @property
    def finished(self) -> bool:
        return self.left <= 0

    @property
    def next_tokens(self) -> int:
        return min(self.question_tokens, 256) or 1

    def rows(self) -> list[Any]:
        return [self]

    def accept(self, outcomes: Sequence[Any]) -> None:
        assert list(outcomes) == [self]
        if self.question_tokens:
            self.question_tokens -= self.next_tokens
        else:
            self.left -= 1

    def cancel(self) -> None:
        self.left = 0


@dataclass
class Rig:
    """A scheduler whose every act takes its time and is written down."""

    clock: FakeClock = field(default_factory=FakeClock)
    trace: list[tuple[str, Any, float]] = field(default_factory=list)
    breaks: bool = False

    def __post_init__(self) -> None:
        self.scheduler = Scheduler(self, self.clock)  # type: ignore[arg-type]

    def advance(self, rows: list[Any]) -> list[Any]:
        self.trace.append(("step", list(rows), self.clock.monotonic_s()))
        self.clock.advance(STEP_S)
        if self.breaks:
            raise RuntimeError("a bug")
        return rows

    def append(self, lane: Lane, name: Any, due_s: float) -> Request:
        def run() -> None:
            self.trace.append(("append", name, self.clock.monotonic_s()))
            self.clock.advance(APPEND_S)

        request = Request(run, lambda error: None, heavy=True, deadline_s=self.clock.monotonic_s() + due_s)
        assert self.scheduler.submit(lane, request)
        return request

    def ask(self, lane: Lane, question: int, answer: int, due_s: float = 1.0) -> Answering:
        branch = Answering(question, answer)
        deadline_s = self.clock.monotonic_s() + due_s

        def run() -> None:
            live = Live(branch, lambda: None, lambda error: None, deadline_s)
            self.scheduler.start_branch(lane, live)

        assert self.scheduler.submit(lane, Request(run, lambda error: None, deadline_s=deadline_s))
        return branch

    def turn_until_idle(self) -> None:
        for _ in range(10_000):
            if not self.scheduler.has_work():
                return
            self.scheduler.turn()
        raise AssertionError("it never came to rest")

    def names(self, kind: str) -> list[Any]:
        return [name for each, name, _ in self.trace if each == kind]


def test_the_earliest_deadline_goes_first() -> None:
    rig = Rig()
    lanes = [rig.scheduler.add_lane() for _ in range(3)]
    for lane, due_s in zip(lanes, (0.5, 0.1, 0.3), strict=True):
        rig.append(lane, due_s, due_s)
    rig.turn_until_idle()
    assert rig.names("append") == [0.1, 0.3, 0.5]


def test_what_stands_in_front_inherits_the_deadline() -> None:
    rig = Rig()
    slow, quick = rig.scheduler.add_lane(), rig.scheduler.add_lane()
    rig.append(slow, "slow", 5.0)
    rig.append(quick, "quick", 1.0)
    rig.append(slow, "behind slow", 0.1)
    rig.turn_until_idle()
    assert rig.names("append") == ["slow", "behind slow", "quick"]


def test_lanes_with_equal_deadlines_take_turns() -> None:
    rig = Rig()
    lanes = [rig.scheduler.add_lane() for _ in range(3)]
    for index, lane in enumerate(lanes):
        for turn in range(2):
            rig.append(lane, (index, turn), 1.0)
    rig.turn_until_idle()
    assert [lane for lane, _ in rig.names("append")] == [0, 1, 2, 0, 1, 2]


def test_a_greedy_lane_does_not_starve_a_patient_one() -> None:
    rig = Rig()
    greedy, patient = rig.scheduler.add_lane(), rig.scheduler.add_lane()
    rig.append(patient, "patient", 0.5)
    for turn in range(100):
        rig.append(greedy, turn, 0.001)
        rig.scheduler.turn()
    began_s = next(at for _, name, at in rig.trace if name == "patient")
    assert 0.4 < began_s - 1000.0 < 0.5 + 2 * APPEND_S


def test_an_append_waits_for_one_step_and_an_answer_for_one_append() -> None:
    rig = Rig()
    lane, other = rig.scheduler.add_lane(), rig.scheduler.add_lane()
    rig.ask(lane, 300, 40)
    for index in range(20):
        rig.append(other, index, 0.1)
    rig.turn_until_idle()
    kinds = [kind for kind, *_ in rig.trace]
    assert kinds[:40] == ["step", "append"] * 20
    assert set(kinds[40:]) == {"step"}


def test_questions_that_begin_together_share_a_step_by_deadline() -> None:
    rig = Rig()
    lane = rig.scheduler.add_lane()
    answering = rig.ask(lane, 0, 30)
    late, soon, sooner = (rig.ask(lane, 256, 3, due_s) for due_s in (3.0, 2.0, 1.0))
    rig.turn_until_idle()
    first, second = rig.names("step")[:2]
    assert first == [answering, sooner, soon]
    assert late in second
    for step in rig.names("step"):
        assert answering in step or step is not first


def test_a_flood_of_light_requests_stops_nobody() -> None:
    rig = Rig()
    flooded, other = rig.scheduler.add_lane(), rig.scheduler.add_lane()

    def again() -> None:
        rig.trace.append(("light", None, rig.clock.monotonic_s()))
        rig.scheduler.submit(flooded, Request(again, lambda error: None))

    again()
    rig.append(other, "append", 1.0)
    rig.ask(other, 0, 3)
    for _ in range(5):
        rig.scheduler.turn()
    assert rig.names("append") == ["append"]
    assert len(rig.names("step")) == 3


def test_a_lane_is_bounded_and_so_are_reads() -> None:
    rig = Rig()
    lane = rig.scheduler.add_lane(capacity=2)
    rig.append(lane, 0, 1.0)
    rig.append(lane, 1, 1.0)
    with pytest.raises(QueueFull):
        rig.append(lane, 2, 1.0)
    rig.turn_until_idle()
    rig.append(lane, 3, 1.0)
    reads = [rig.scheduler.call(lambda: 1, read=True) for _ in range(300)]
    ending = rig.scheduler.call(lambda: "ended")
    rig.turn_until_idle()
    assert isinstance(reads[-1].exception(), QueueFull)
    assert reads[0].result() == 1
    assert ending.result() == "ended"
    again = rig.scheduler.call(lambda: 2, read=True)
    rig.turn_until_idle()
    assert again.result() == 2


def test_a_closed_lane_ends_what_it_holds_and_no_other() -> None:
    rig = Rig()
    closed, other = rig.scheduler.add_lane(), rig.scheduler.add_lane()
    branch = rig.ask(closed, 10, 1000)
    rest = rig.ask(other, 10, 5)
    rig.scheduler.turn()
    failed: list[Exception] = []
    assert rig.scheduler.submit(closed, Request(lambda: None, failed.append, heavy=True))
    gone = UnknownSession("closed")
    rig.scheduler.close_lane(closed, gone)
    rig.turn_until_idle()
    assert failed == [gone]
    assert branch.finished
    assert rest.finished
    assert not rig.scheduler.submit(closed, Request(lambda: None, failed.append))


def test_a_broken_request_and_a_broken_step_end_alone() -> None:
    rig = Rig()
    lane = rig.scheduler.add_lane()
    failed: list[Exception] = []

    def breaks() -> None:
        raise RuntimeError("a bug")

    rig.scheduler.submit(lane, Request(breaks, failed.append))
    rig.append(lane, "next", 1.0)
    rig.turn_until_idle()
    assert isinstance(failed[0], InternalFault)
    assert rig.names("append") == ["next"]
    ended: list[Exception] = []
    branch = Answering(0, 5)
    rig.scheduler.submit(
        lane,
        Request(lambda: rig.scheduler.start_branch(lane, Live(branch, lambda: None, ended.append)), failed.append),
    )
    rig.breaks = True
    rig.turn_until_idle()
    assert isinstance(ended[0], InternalFault)
    assert lane.live == []


def test_a_branch_ends_at_its_expiry() -> None:
    rig = Rig()
    lane = rig.scheduler.add_lane()
    branch = Answering(0, 1000)
    ends: list[str] = []

    def expire() -> None:
        branch.cancel()
        ends.append("expired")

    live = Live(branch, lambda: None, lambda error: None, expires_s=1000.05, expired=expire)
    rig.scheduler.submit(lane, Request(lambda: rig.scheduler.start_branch(lane, live), lambda error: None))
    rig.turn_until_idle()
    assert ends == ["expired"]
    assert len(rig.names("step")) == 5


PLACINGS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 3), st.sampled_from((0.001, 0.05, 0.2, 1.0))),
        st.tuples(st.just("ask"), st.integers(0, 3), st.tuples(st.integers(0, 600), st.integers(1, 12))),
        st.tuples(st.just("turn"), st.integers(1, 3), st.none()),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(PLACINGS)
def test_whatever_the_load_nobody_starves(placings: list[tuple[str, int, Any]]) -> None:
    rig = Rig()
    lanes = [rig.scheduler.add_lane() for _ in range(4)]
    placed: dict[int, tuple[int, Request, float]] = {}
    branches: list[Answering] = []
    watched = _watch_turns(rig, lanes)
    for kind, number, what in placings:
        if kind == "append":
            key = len(placed)
            placed[key] = (number, rig.append(lanes[number], key, what), rig.clock.monotonic_s())
        elif kind == "ask":
            branches.append(rig.ask(lanes[number], *what))
        else:
            for _ in range(number):
                watched()
    while rig.scheduler.has_work():
        watched()
    assert sorted(rig.names("append")) == list(placed)
    assert all(branch.finished for branch in branches)
    for lane in range(4):
        order = [key for key in rig.names("append") if placed[key][0] == lane]
        assert order == sorted(order)
    _check_lateness(rig, placed)


def _watch_turns(rig: Rig, lanes: list[Lane]) -> Callable[[], None]:
    """One turn, checked: at most one step and one append, the step with all that answer, the append the most urgent."""

    def turn() -> None:
        before = len(rig.trace)
        rig.scheduler.turn()
        kinds = [kind for kind, *_ in rig.trace[before:]]
        assert kinds in ([], ["step"], ["append"], ["step", "append"])
        if "step" in kinds:
            fed = rig.trace[before][1]
            waiting = [live.branch for lane in lanes for live in lane.live if live.branch not in fed]
            assert all(branch.question_tokens > 32 for branch in waiting)
            assert sum(branch.next_tokens for branch in fed if branch.question_tokens > 32) <= MAX_STEP_TOKENS + 256
        else:
            assert not any(lane.live for lane in lanes)

    return turn


def _check_lateness(rig: Rig, placed: dict[int, tuple[int, Request, float]]) -> None:
    """An append waits for no append with a later deadline than any that it or one behind it in its lane has.

    Apart from the one that ran when it was placed: so its wait is what the more urgent ones take, a step before each.
    """
    began = {name: at for kind, name, at in rig.trace if kind == "append"}
    for key, (lane, _, placed_s) in placed.items():
        between = [other for other, at in began.items() if placed_s <= at < began[key]]
        for other in between:
            own_lane = [
                request.deadline_s
                for number, request, at in placed.values()
                if number == placed[other][0] and at <= began[other]
            ]
            mine = placed[key][1].deadline_s
            assert placed[other][0] == lane or min(own_lane) <= mine
        most_s = (len(between) + 1) * (APPEND_S + STEP_S) + APPEND_S + STEP_S
        assert began[key] - placed_s <= most_s
