"""python -m pytest tests/unit/vlm/test_vlm_one_failure.py

One failure is one session's: whatever breaks in a branch, a request or what hears of them, the others are decoded as
if it had not been there, and nothing of what broke is held on to.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vlm_frames import SMALL, frame

from stillwing_common.clock import FakeClock
from stillwing_common.errors import BadGrammar, InternalFault, StillwingError
from stillwing_vlm.core.inputs.grammar import Matcher
from stillwing_vlm.core.local import LocalEngine
from stillwing_vlm.core.memory.branch import AskBranch, ChoiceBranch
from stillwing_vlm.core.memory.video_session import VideoSession
from stillwing_vlm.core.protocol import Answer
from stillwing_vlm.core.requests import AskRequest, ChoiceRequest, WatchRequest
from stillwing_vlm.core.serving.asking import AskUnderWay
from stillwing_vlm.core.serving.engine import AsyncEngine
from stillwing_vlm.core.serving.scheduler import Live, Scheduler

SCHEMA = '{"type": "object", "properties": {"go": {"enum": ["left", "right"]}}, "required": ["go"]}'


class Panic(BaseException):
    """What a library throws that is no Exception."""


# By itself

BRANCH_SEAMS = ("finished", "next_tokens", "rows", "accept", "cancel", "progressed", "expired", "fail", "advance")
REQUEST_SEAMS = ("is_ready", "run", "spent", "fail", "deadline_s")


class Toy:
    """A branch, or a request, that breaks the n-th time it comes to one of its seams."""

    view: Any = None
    heavy = False

    def __init__(self, seam: str = "", nth: int = 0, error: type[BaseException] = ValueError) -> None:
        self.left = 5
        self.ends: list[Exception] = []
        self.ran = 0
        self._seam, self._nth, self._error = seam, nth, error

    def come_to(self, seam: str) -> None:
        if seam == self._seam:
            self._nth -= 1
            if self._nth < 0:
                raise self._error(seam)

    @property
    def finished(self) -> bool:
        self.come_to("finished")
        return self.left <= 0

    @property
    def next_tokens(self) -> int:
        self.come_to("next_tokens")
        return 1

    def rows(self) -> list[Any]:
        self.come_to("rows")
        return [self]

    def accept(self, outcomes: Sequence[Any]) -> None:
        self.come_to("accept")
        assert list(outcomes) == [self]
        self.left -= 1

    def cancel(self) -> None:
        self.come_to("cancel")
        self.left = 0

    def progressed(self) -> None:
        self.come_to("progressed")

    def expired(self) -> None:
        self.come_to("expired")
        self.left = 0

    def fail(self, error: Exception) -> None:
        self.come_to("fail")
        self.ends.append(error)

    @property
    def deadline_s(self) -> float:
        self.come_to("deadline_s")
        return 0.0

    def is_ready(self) -> bool:
        self.come_to("is_ready")
        return True

    def run(self) -> None:
        self.come_to("run")
        self.ran += 1

    def spent(self) -> bool:
        self.come_to("spent")
        return True


class ToyDevice:
    """Feeds rows; one that breaks a pass breaks all of it, before any row is fed."""

    def advance(self, rows: list[Any]) -> list[Any]:
        for row in rows:
            row.come_to("advance")
        return rows


@settings(max_examples=200)
@given(
    st.lists(st.sampled_from(BRANCH_SEAMS), min_size=1, max_size=3),
    st.sampled_from(REQUEST_SEAMS),
    st.integers(0, 4),
    st.booleans(),
    st.sampled_from([ValueError, BadGrammar, Panic]),
)
def test_what_breaks_at_any_seam_ends_alone(
    seams: list[str], request_seam: str, nth: int, heavy: bool, error: type[BaseException]
) -> None:
    logging.disable(logging.CRITICAL)
    try:
        scheduler = Scheduler(ToyDevice(), FakeClock())  # type: ignore[arg-type]
        good, bad = [Toy() for _ in range(3)], [Toy(seam, nth, error) for seam in seams]
        lanes = {branch: scheduler.add_lane() for branch in (*good, *bad)}
        for branch, lane in lanes.items():
            expires_s = 1000.0 if branch._seam == "expired" else 1e9
            scheduler.start_branch(lane, Live(branch, branch.progressed, branch.fail, 0.0, expires_s, branch.expired))
        requests, broken = [Toy() for _ in range(2)], Toy(request_seam, nth % 2, error)
        for request in (requests[0], broken, requests[1]):
            request.heavy = heavy
            assert scheduler.submit(scheduler.add_lane(), request)
        for _ in range(30):
            scheduler.has_work()
            scheduler.turn()
        assert not scheduler.has_work()
        assert all(branch.left == 0 and not branch.ends for branch in good)
        assert all(not lane.live and not lane.requests for lane in lanes.values())
        assert [request.ran for request in requests] == [1, 1]
        assert broken.ran == 1 or broken.ends or request_seam == "fail"
        for branch in bad:
            assert len(branch.ends) <= 1
            reasons = {BadGrammar: BadGrammar}.get(error, InternalFault)
            assert all(isinstance(end, reasons) for end in branch.ends)
    finally:
        logging.disable(logging.NOTSET)


def test_a_lane_that_closes_tells_each_of_its_own() -> None:
    scheduler = Scheduler(ToyDevice(), FakeClock())  # type: ignore[arg-type]
    lane = scheduler.add_lane()
    branches = [Toy("cancel"), Toy("progressed"), Toy()]
    for branch in branches:
        scheduler.start_branch(lane, Live(branch, branch.progressed, branch.fail))
    waiting = [Toy("fail"), Toy()]
    for one in waiting:
        one.heavy = True
        assert scheduler.submit(lane, one)
    scheduler.close_lane(lane, BadGrammar("closed"))
    asked = scheduler.call(lambda: 1)
    scheduler.turn()
    assert branches[2].left == 0
    assert isinstance(waiting[1].ends[0], BadGrammar)
    assert asked.result(0) == 1
    assert not lane.live


# In the engine

Break = Callable[[pytest.MonkeyPatch, Callable[[Any], bool]], None]


def breaking(owner: type, name: str, error: BaseException) -> Break:
    """A method that breaks for whom it is told to."""

    def put(patch: pytest.MonkeyPatch, is_guilty: Callable[[Any], bool]) -> None:
        real = getattr(owner, name)

        def broken(self: Any, *arguments: Any, **named: Any) -> Any:
            if is_guilty(self):
                raise error
            return real(self, *arguments, **named)

        patch.setattr(owner, name, broken)

    return put


FAULT = RuntimeError("a bug")
SEAMS: dict[str, Break] = {
    "rows": breaking(AskBranch, "rows", FAULT),
    "accept": breaking(AskBranch, "accept", FAULT),
    "cancel": breaking(AskBranch, "_finish", FAULT),
    "deltas": breaking(AskBranch, "take_deltas", FAULT),
    "choosing": breaking(AskBranch, "_choosing", Panic("a bug")),
    "a step of the grammar": breaking(Matcher, "accept", BadGrammar("too wide")),
    "what the grammar allows": breaking(Matcher, "allowed", FAULT),
    "what the grammar forces": breaking(Matcher, "forced", FAULT),
    "fork": breaking(VideoSession, "fork_ask", Panic("a bug")),
    "observed": breaking(AskUnderWay, "_observe", FAULT),
    "scores": breaking(ChoiceBranch, "accept", FAULT),
    "append": breaking(VideoSession, "append", FAULT),
    "snapshot": breaking(VideoSession, "take_snapshot", FAULT),
    "restore": breaking(VideoSession, "restore_snapshot", FAULT),
}


async def everything(session: Any) -> list[Any]:
    """All that a session can be asked at once; results, or errors in their places."""
    answers: list[Answer] = [
        session.ask(AskRequest("What is it?", max_tokens=12)),
        session.ask(AskRequest("Where?", max_tokens=24, json_schema=SCHEMA)),
    ]
    watch = session.set_watch(WatchRequest("Is it red?"))
    choice = session.ask_choice(ChoiceRequest("Which?", ("left", "right", "far ahead")))
    placed = [session.append(frame(5)), session.take_snapshot(), session.restore_snapshot("nothing")]
    found: list[Any] = list(
        await asyncio.gather(*(answer.done() for answer in answers), choice, *placed, return_exceptions=True)
    )
    watch.unset()
    told = [
        getattr(each, "text", getattr(each, "probabilities", getattr(each, "chunk_tokens", None))) for each in found
    ]
    return [each if isinstance(each, Exception) else text for each, text in zip(found, told, strict=True)]


@pytest.mark.parametrize("seam", SEAMS)
async def test_a_fault_in_one_session_is_no_others(
    engine: LocalEngine, seam: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    served = AsyncEngine(engine.loaded)
    try:
        sessions = [await served.open_session(SMALL) for _ in range(3)]
        for index in range(5):
            await asyncio.gather(*(session.append(frame(index)) for session in sessions))
        alone = await everything(await _twin(served))
        guilty = sessions[1]

        def is_guilty(self: Any) -> bool:
            if self is guilty.video or getattr(self, "_video", None) is guilty.video:
                return True
            view = getattr(self, "view", None)
            mine = view is not None and any(each is view for each in guilty.video.slab._views)
            return mine or (isinstance(self, Matcher) and self in matchers)

        matchers: set[Matcher] = set()
        real_fork = VideoSession.fork_ask

        def fork(self: VideoSession, ask: Any, placed_s: float) -> AskBranch:
            if self is guilty.video and ask.matcher is not None:
                matchers.add(ask.matcher)
            return real_fork(self, ask, placed_s)

        monkeypatch.setattr(VideoSession, "fork_ask", fork)
        SEAMS[seam](monkeypatch, is_guilty)
        async with asyncio.timeout(60):
            first, broken, last = await asyncio.gather(*(everything(session) for session in sessions))
        assert [str(each) for each in first] == [str(each) for each in alone]
        assert [str(each) for each in last] == [str(each) for each in alone]
        failed = [each for each in broken if isinstance(each, Exception)]
        assert all(isinstance(each, StillwingError) for each in failed)
        assert [str(each) for each in broken] != [str(each) for each in alone]
        monkeypatch.undo()
        # Nothing is left of what broke, and the session itself goes on.
        assert (await guilty.ask(AskRequest("What is it?", max_tokens=4)).done()).answer_tokens > 0
        await guilty.append(frame(9))
        load = await served.load()
        assert (load.live_asks, load.waiting_requests, load.waiting_frames, load.waiting_frame_bytes) == (0, 0, 0, 0)
        for session in sessions:
            assert session.video.slab.live_views == 0
    finally:
        await served.close()
    assert served.machinery.quotas._held_by == {}


async def _twin(served: AsyncEngine) -> Any:
    session = await served.open_session(SMALL)
    for index in range(5):
        await session.append(frame(index))
    return session


def test_an_observer_that_breaks_ends_nothing(engine: LocalEngine, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def __getattr__(self, name: str) -> Callable[..., None]:
            def broken(*_: Any) -> None:
                raise RuntimeError(name)

            return broken

    async def use() -> None:
        served = AsyncEngine(engine.loaded, Broken())  # type: ignore[arg-type]
        session = await served.open_session(SMALL)
        await session.append(frame(0))
        assert (await session.ask(AskRequest("What is it?", max_tokens=4)).done()).answer_tokens > 0
        with pytest.raises(BadGrammar):
            await session.ask(AskRequest("a", json_schema="{")).done()
        await served.close()

    caplog.set_level(logging.CRITICAL)
    asyncio.run(use())
