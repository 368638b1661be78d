"""python -m pytest tests/contract/vlm/test_engine_order.py -v

Frames that come too fast and requests that are wanted by a time: promises of both engines.
"""

import asyncio
from typing import Any

import pytest
from vlm_frames import SMALL, frame

from stillwing_common.errors import (
    AnswerTimeout,
    FrameSuperseded,
    ImageEmpty,
    InvalidInput,
    OutOfCredits,
    QueueFull,
)
from stillwing_common.types import Frame, Image, ImageEncoding, Stamp
from stillwing_vlm.core.protocol import Engine
from stillwing_vlm.core.requests import AskRequest, ChoiceRequest, FramePolicy, Sampling, SessionConfig
from stillwing_vlm.core.results import DoneReason

NEWEST = SessionConfig("You fly.", 160, label="newest", frame_policy=FramePolicy.NEWEST_WINS)


class TestNewestWins:
    async def test_the_newest_waiting_frame_goes_in_and_the_others_are_named(self, engine: Engine, held: Any) -> None:
        session = await engine.open_session(NEWEST)
        await session.append(frame(0))
        device = await held()
        placed = [session.append(frame(index)) for index in range(1, 31)]
        newest = placed[-1]
        device.release()
        assert (await newest).frame_ids == ("v/c/30",)
        results = await asyncio.gather(*placed, return_exceptions=True)
        gone = [result for result in results if isinstance(result, FrameSuperseded)]
        went_in = [result for result in results if not isinstance(result, Exception)]
        assert len(gone) + len(went_in) == 30
        assert len(gone) >= 20
        assert all(f"v/c/{1 + results.index(error)}" in str(error) for error in gone)
        info = await engine.get_session(session.session_id)
        assert info.dropped_frames == len(gone)
        assert info.appended_frames == 1 + len(went_in)
        assert info.last_frame_id == "v/c/30"

    async def test_an_ask_sees_the_newest_frame_placed_before_it(self, engine: Engine, held: Any) -> None:
        session = await engine.open_session(NEWEST)
        await session.append(frame(0))
        device = await held()
        early = [session.append(frame(index)) for index in (1, 2, 3)]
        answer = session.ask(AskRequest("What is it?", max_tokens=2))
        late = [session.append(frame(index)) for index in (4, 5, 6)]
        device.release()
        done = await answer.done()
        assert done.provenance.last_frame_id == "v/c/3"
        assert (await early[-1]).frame_ids == ("v/c/3",)
        assert (await late[-1]).frame_ids == ("v/c/6",)
        await asyncio.gather(*early, *late, return_exceptions=True)

    async def test_bad_frames_are_refused_and_do_not_take_a_good_one_away(self, engine: Engine) -> None:
        session = await engine.open_session(NEWEST)
        empty = Frame("v/c/empty", "c", Stamp(0, "clock"), None, Image(ImageEncoding.JPEG, 0, 0, b""))
        for index in range(6):
            good = session.append(frame(index))
            answer = session.ask(AskRequest("What?", max_tokens=1))
            with pytest.raises(ImageEmpty):
                await session.append(empty)
            assert (await good).frame_ids == (f"v/c/{index}",)
            assert (await answer.done()).provenance.last_frame_id == f"v/c/{index}"

    async def test_chunks_are_dropped_whole_and_never_exceed_the_credits(self, engine: Engine, held: Any) -> None:
        session = await engine.open_session(NEWEST)
        await session.append(frame(0))
        device = await held()
        placed = [session.append(frame(2 * index), frame(2 * index + 1)) for index in range(1, 9)]
        with pytest.raises(OutOfCredits):
            await session.append(*(frame(100 + index) for index in range(session.frame_credits + 1)))
        device.release()
        results = await asyncio.gather(*placed, return_exceptions=True)
        dropped = sum(isinstance(result, FrameSuperseded) for result in results)
        assert (await engine.get_session(session.session_id)).dropped_frames == 2 * dropped > 0

    async def test_frames_the_caller_let_go_are_counted(self, engine: Engine) -> None:
        session = await engine.open_session(SMALL)
        await session.append(frame(0), skipped_frames=3)
        assert (await engine.get_session(session.session_id)).dropped_frames == 3


class TestDeadlines:
    async def test_an_answer_ends_at_its_deadline_with_what_there_is(self, engine: Engine) -> None:
        session = await engine.open_session(SMALL)
        await session.append(frame(0))
        request = AskRequest("Tell me all.", max_tokens=1000, sampling=Sampling(3.0), deadline_s=0.2)
        done = await session.ask(request).done()
        assert done.reason in (DoneReason.DEADLINE, DoneReason.STOP)
        assert done.answer_tokens < 1000
        assert (await session.ask(AskRequest("And now?", max_tokens=2)).done()).reason is not DoneReason.DEADLINE

    async def test_a_deadline_counts_from_the_placing(self, engine: Engine, held: Any) -> None:
        session = await engine.open_session(SMALL)
        await session.append(frame(0))
        device = await held()
        answer = session.ask(AskRequest("What?", max_tokens=5, deadline_s=0.05))
        choice = session.ask_choice(ChoiceRequest("Which?", ("left", "right"), deadline_s=0.05))
        await asyncio.sleep(0.2)
        device.release()
        done = await answer.done()
        assert (done.reason, done.text, done.answer_tokens) == (DoneReason.DEADLINE, "", 0)
        with pytest.raises(AnswerTimeout):
            await choice
        assert sum((await session.ask_choice(ChoiceRequest("Which?", ("left", "right")))).probabilities) == (
            pytest.approx(1)
        )

    async def test_deadlines_have_bounds(self, engine: Engine) -> None:
        for wrong in (0.0, -1.0, 4000.0):
            with pytest.raises(InvalidInput):
                AskRequest("What?", deadline_s=wrong)
            with pytest.raises(InvalidInput):
                ChoiceRequest("What?", ("a", "b"), deadline_s=wrong)
        session = await engine.open_session(SMALL)
        with pytest.raises(InvalidInput):
            await session.append(frame(0), deadline_s=-1.0)
        with pytest.raises(InvalidInput):
            SessionConfig(frame_period_s=-1.0)
        assert (await session.append(frame(0), deadline_s=0.5)).frame_ids == ("v/c/0",)

    async def test_the_session_with_the_earlier_deadline_goes_first(self, engine: Engine, held: Any) -> None:
        calm = await engine.open_session(SessionConfig("You fly.", 160, frame_period_s=5.0))
        quick = await engine.open_session(SessionConfig("You fly.", 160, frame_period_s=0.05))
        order: list[str] = []
        device = await held()
        # Enough of both that the order shows, whatever is ready first.
        placed = []
        for name, session in (("calm", calm), ("quick", quick)):
            for index in range(session.frame_credits):
                found = asyncio.ensure_future(session.append(frame(index)))
                found.add_done_callback(lambda _, name=name: order.append(name))
                placed.append(found)
        await asyncio.sleep(0.3)
        device.release()
        await asyncio.gather(*placed)
        assert order == ["quick"] * 4 + ["calm"] * 4


async def test_waiting_requests_are_bounded(engine: Engine, held: Any) -> None:
    session = await engine.open_session(SMALL)
    await session.append(frame(0))
    device = await held()
    placed = [asyncio.ensure_future(session.restore_snapshot("snp_none")) for _ in range(80)]
    await asyncio.sleep(0.3)
    device.release()
    errors = [type(error) for error in await asyncio.gather(*placed, return_exceptions=True)]
    assert errors.count(QueueFull) == 80 - 64
    assert (await session.append(frame(1))).frame_ids == ("v/c/1",)
