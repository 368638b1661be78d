"""python -m pytest tests/contract/vlm/test_engine_sessions.py -v

Many sessions on one engine: what each may hold, when it ends, and that no trouble of one is felt by another.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from vlm_frames import SMALL, frame

from stillwing_common.errors import (
    InvalidInput,
    SessionIdle,
    TooManyBranches,
    TooManyContextTokens,
    TooManyFrameBytes,
    TooManySessions,
    UnknownSession,
)
from stillwing_vlm.core.catalog import LoadedEngine
from stillwing_vlm.core.local import LocalEngine
from stillwing_vlm.core.protocol import Engine, Session
from stillwing_vlm.core.requests import AskRequest, ChoiceRequest, Sampling, SessionConfig
from stillwing_vlm.core.results import AnswerDone, DoneReason

OWNER = SessionConfig("You fly.", 160, owner="ipv4:127.0.0.1")
ENDLESS = AskRequest("Tell me all.", max_tokens=1000, sampling=Sampling(3.0))


class TestLimits:
    async def test_budgets_of_all_sessions_are_bounded(self, engine_with: Any) -> None:
        engine = await engine_with(max_engine_context_tokens=300)
        first = await engine.open_session(OWNER)
        with pytest.raises(TooManyContextTokens) as error:
            await engine.open_session(OWNER)
        assert error.value.metadata["scope"] == "engine"
        await engine.open_session(SessionConfig("You fly.", 140))
        await first.close()
        await (await engine.open_session(OWNER)).append(frame(0))

    async def test_a_peer_has_limits_of_its_own(self, engine_with: Any) -> None:
        engine = await engine_with(max_peer_sessions=1, max_peer_asks=1)
        session = await engine.open_session(OWNER)
        with pytest.raises(TooManySessions) as error:
            await engine.open_session(OWNER)
        assert error.value.metadata["scope"] == "peer"
        answer = session.ask(ENDLESS)
        await anext(aiter(answer))
        with pytest.raises(TooManyBranches) as refused:
            await session.ask_choice(ChoiceRequest("Which?", ("left", "right")))
        assert refused.value.metadata["scope"] == "peer"
        answer.cancel()
        await answer.done()
        await session.ask(AskRequest("And now?", max_tokens=1)).done()

    async def test_bytes_of_frames_under_way_are_bounded(self, engine_with: Any) -> None:
        size = len(frame(0).image.data)
        engine = await engine_with(max_engine_frame_bytes=round(2.5 * size))
        session = await engine.open_session(OWNER)
        with pytest.raises(TooManyFrameBytes):
            await session.append(*(frame(index) for index in range(3)))
        assert (await session.append(frame(0), frame(1))).frame_ids == ("v/c/0", "v/c/1")
        with pytest.raises(TooManyFrameBytes):
            await session.append(*(frame(index) for index in range(3)))
        assert (await session.append(frame(2))).frame_ids == ("v/c/2",)

    async def test_a_refused_session_costs_nothing(self, engine_with: Any) -> None:
        engine = await engine_with(max_sessions=1)
        for _ in range(3):
            with pytest.raises(InvalidInput):
                await engine.open_session(SessionConfig("You fly.", 4))
        await engine.open_session(OWNER)


class TestIdle:
    async def test_a_session_nothing_is_asked_of_is_ended_and_told(self, engine_with: Any) -> None:
        engine = await engine_with(idle_timeout_s=0.3)
        session = await engine.open_session(OWNER)
        await session.append(frame(0))
        async with asyncio.timeout(10):
            reason = await session.wait_closed()
        assert isinstance(reason, SessionIdle)
        with pytest.raises(SessionIdle):
            await session.append(frame(1))
        assert await engine.list_sessions() == []
        assert [evicted async for evicted in session.evictions()] == []

    async def test_a_session_in_use_lives_on(self, engine_with: Any) -> None:
        engine = await engine_with(idle_timeout_s=0.4)
        session = await engine.open_session(OWNER)
        idle = await engine.open_session(OWNER)
        ended = asyncio.ensure_future(idle.wait_closed())
        async with asyncio.timeout(20):
            for index in range(1000):
                await session.append(frame(index % 7))
                if ended.done():
                    break
                await asyncio.sleep(0.02)
        assert isinstance(await ended, SessionIdle)
        assert (await session.append(frame(0))).frame_ids == ("v/c/0",)

    async def test_0_lets_it_live_and_closing_is_no_failure(self, engine_with: Any) -> None:
        engine = await engine_with(idle_timeout_s=0)
        session = await engine.open_session(OWNER)
        await session.close()
        async with asyncio.timeout(10):
            assert await session.wait_closed() is None


class Bystander:
    """A session beside the trouble, and what it answers when alone."""

    def __init__(self, session: Session, alone: list[AnswerDone]) -> None:
        self.session = session
        self._alone = alone
        self._asked = 0

    async def asks_as_if_alone(self) -> None:
        done = await self.session.ask(AskRequest(f"Question {self._asked}?", max_tokens=12)).done()
        alone = self._alone[self._asked]
        assert (done.text, done.answer_tokens, done.reason) == (alone.text, alone.answer_tokens, alone.reason)
        assert done.provenance == alone.provenance
        self._asked += 1
        await self.session.append(frame(100 + self._asked))


@asynccontextmanager
async def bystander(engine: Engine, loaded: LoadedEngine) -> AsyncIterator[Bystander]:
    """Asks before, during and after what happens inside the block, and is answered as if it were alone."""
    local = LocalEngine(loaded).open("You fly.", 160)
    session = await engine.open_session(SMALL)
    for index in range(12):
        local.append(frame(index))
        await session.append(frame(index))
    alone = []
    for turn in range(6):
        alone.append(local.ask(f"Question {turn}?", max_tokens=12))
        local.append(frame(101 + turn))
    found = Bystander(session, alone)
    await found.asks_as_if_alone()
    yield found
    await found.asks_as_if_alone()
    await session.close()


class TestTrouble:
    async def test_a_model_that_says_nothing(self, engine_with: Any) -> None:
        engine = await engine_with(ends_at_once=True)
        session = await engine.open_session(SMALL)
        await session.append(frame(0))
        answer = session.ask(AskRequest("What is it?", max_tokens=8))
        assert [delta.text async for delta in answer] == []
        done = await answer.done()
        assert (done.text, done.answer_tokens, done.reason) == ("", 0, DoneReason.STOP)
        assert 0 < done.time_to_first_token_s <= done.elapsed_s
        assert (await engine.get_session(session.session_id)).live_asks == 0

    async def test_an_answer_of_no_tokens(self, engine: Engine, loaded: LoadedEngine) -> None:
        async with bystander(engine, loaded) as other:
            session = await engine.open_session(SMALL)
            await session.append(frame(0))
            schema = '{"const": ""}'
            for request in (AskRequest("", max_tokens=1), AskRequest("Say nothing.", max_tokens=4, json_schema=schema)):
                done = await session.ask(request).done()
                assert done.answer_tokens <= 4
            expired = await session.ask(AskRequest("Now!", max_tokens=5, deadline_s=1e-9)).done()
            assert (expired.text, expired.answer_tokens, expired.reason) == ("", 0, DoneReason.DEADLINE)
            await other.asks_as_if_alone()
            assert (await engine.get_session(session.session_id)).live_asks == 0

    async def test_a_cancelled_ask(self, engine: Engine, loaded: LoadedEngine) -> None:
        async with bystander(engine, loaded) as other:
            session = await engine.open_session(SMALL)
            await session.append(frame(0))
            for begun in (True, False, True):
                answer = session.ask(ENDLESS)
                if begun:
                    await anext(aiter(answer))
                answer.cancel()
                answer.cancel()
                done = await answer.done()
                assert done.reason in (DoneReason.CANCELLED, DoneReason.STOP)
            await other.asks_as_if_alone()
            assert (await session.append(frame(1))).frame_ids == ("v/c/1",)
            assert (await engine.get_session(session.session_id)).live_asks == 0

    async def test_a_session_closed_during_an_append(self, engine: Engine, loaded: LoadedEngine, held: Any) -> None:
        async with bystander(engine, loaded) as other:
            session = await engine.open_session(SMALL)
            await session.append(frame(0))
            device = await held()
            placed = [asyncio.ensure_future(session.append(frame(index))) for index in range(1, 4)]
            answer = session.ask(ENDLESS)
            closing = asyncio.ensure_future(session.close())
            await asyncio.sleep(0.05)
            device.release()
            await closing
            results = await asyncio.gather(*placed, return_exceptions=True)
            for index, result in enumerate(results, 1):
                appended = not isinstance(result, BaseException) and result.frame_ids == (f"v/c/{index}",)
                assert appended or isinstance(result, UnknownSession)
            assert (await answer.done()).reason in (DoneReason.CANCELLED, DoneReason.STOP)
            with pytest.raises(UnknownSession):
                await engine.get_session(session.session_id)
            await other.asks_as_if_alone()

    async def test_two_asks_racing(self, engine: Engine, loaded: LoadedEngine) -> None:
        async with bystander(engine, loaded) as other:
            session = await engine.open_session(SMALL)
            for index in range(9):
                await session.append(frame(index))
            request = AskRequest("Which way?", max_tokens=16)
            alone = await session.ask(request).done()
            for _ in range(3):
                first, second = session.ask(request), session.ask(request)
                beside = asyncio.ensure_future(other.session.ask(AskRequest("?", max_tokens=16)).done())
                for answer in (second, first):
                    done = await answer.done()
                    assert (done.text, done.provenance) == (alone.text, alone.provenance)
                await beside
            await other.asks_as_if_alone()

    async def test_an_answer_nobody_reads(self, engine: Engine, loaded: LoadedEngine) -> None:
        async with bystander(engine, loaded) as other:
            session = await engine.open_session(SMALL)
            await session.append(frame(0))
            unread = [session.ask(AskRequest(f"Tell me {turn}.", max_tokens=200)) for turn in range(3)]
            await other.asks_as_if_alone()
            for index in range(1, 30):
                await session.append(frame(index))
            for answer in unread:
                done = await answer.done()
                assert "".join([delta.text async for delta in answer]) == done.text
