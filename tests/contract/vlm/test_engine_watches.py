"""python -m pytest tests/contract/vlm/test_engine_watches.py -v

Standing yes/no questions: promises of both engines.
"""

import asyncio
import statistics
from typing import Any

import pytest
from vlm_frames import SMALL, frame

from stillwing_common.errors import (
    InvalidInput,
    SessionIdle,
    TextTooLong,
    TooManyWatches,
    UnknownSession,
)
from stillwing_vlm.core.catalog import LoadedEngine
from stillwing_vlm.core.local import LocalEngine
from stillwing_vlm.core.protocol import Engine, Watch
from stillwing_vlm.core.requests import AskRequest, Sampling, SessionConfig, View, WatchRequest
from stillwing_vlm.core.results import WatchEvent

PROMPT = "Is there a beacon?"
FRAMES = 24


def probabilities(loaded: LoadedEngine, request: WatchRequest) -> list[float]:
    """What the question's probability is after each frame, each read by itself."""
    session = LocalEngine(loaded).open(SMALL.system_prompt, SMALL.max_context_tokens)
    found = []
    for index in range(FRAMES):
        session.append(frame(index))
        branch = session.video.fork_choice(loaded.preparer.watch(request), 0.0)
        while not branch.finished:
            branch.accept(loaded.backend.advance(branch.rows()))
        session.video.release(branch)
        assert branch.done is not None
        found.append(branch.done.probabilities[0])
    return found


def changes(found: list[float], threshold: float, margin: float, every: int) -> list[tuple[str, bool, float]]:
    """The events that these probabilities make."""
    state, events = None, []
    for index in range(every - 1, len(found), every):
        probability = found[index]
        if state is None:
            after = probability >= threshold
        elif probability >= threshold + margin:
            after = True
        else:
            after = False if probability < threshold - margin else state
        if after is not state:
            events.append((f"v/c/{index}", after, probability))
        state = after
    return events


async def heard(watch: Watch, number: int) -> list[WatchEvent]:
    async with asyncio.timeout(20):
        events = aiter(watch)
        return [await anext(events) for _ in range(number)]


class TestWatches:
    @pytest.mark.parametrize(("every", "margin"), [(1, 0.0), (3, 0.0), (1, 0.02)])
    async def test_the_first_state_and_every_change_are_told(
        self, engine: Engine, loaded: LoadedEngine, every: int, margin: float
    ) -> None:
        found = probabilities(loaded, WatchRequest(PROMPT))
        threshold = statistics.median(found[every - 1 :: every])
        request = WatchRequest(PROMPT, every, threshold=threshold, margin=min(margin, threshold / 2))
        expected = changes(found, threshold, request.margin, every)
        assert len(expected) > 2, "the question's probability moves too little to test with"
        session = await engine.open_session(SMALL)
        watch = session.set_watch(request)
        for index in range(FRAMES):
            await session.append(frame(index))
            # A reading that is still under way is not begun again, so this waits for what an answer would see.
            await session.ask(AskRequest("?", max_tokens=1)).done()
        events = await heard(watch, len(expected))
        assert [(event.frame_id, event.is_true) for event in events] == [each[:2] for each in expected]
        assert [event.probability for event in events] == pytest.approx([each[2] for each in expected], rel=1e-4)
        assert all(event.provenance.last_frame_id == event.frame_id for event in events)

    async def test_it_is_asked_at_once_where_there_is_a_frame_and_counts_as_no_ask(self, engine: Engine) -> None:
        session = await engine.open_session(SMALL)
        await session.append(frame(0))
        before = await engine.get_session(session.session_id)
        watch = session.set_watch(WatchRequest(PROMPT, every_chunks=100, view=View(1)))
        (event,) = await heard(watch, 1)
        assert event.frame_id == "v/c/0"
        after = await engine.get_session(session.session_id)
        assert (after.watches, after.live_asks, after.answered_asks) == (1, 0, before.answered_asks)

    async def test_unset_it_is_asked_no_more(self, engine: Engine) -> None:
        session = await engine.open_session(SMALL)
        watch, other = (session.set_watch(WatchRequest(PROMPT)) for _ in range(2))
        await session.append(frame(0))
        assert len(await heard(watch, 1)) == 1
        watch.unset()
        watch.unset()
        async with asyncio.timeout(10):
            assert [event async for event in watch] == []
        assert len(await heard(other, 1)) == 1
        assert (await engine.get_session(session.session_id)).watches == 1

    async def test_watches_are_bounded_and_checked(self, engine: Engine) -> None:
        session = await engine.open_session(SMALL)
        set_ = [session.set_watch(WatchRequest(PROMPT)) for _ in range(4)]
        with pytest.raises(TooManyWatches):
            await heard(session.set_watch(WatchRequest(PROMPT)), 1)
        set_[0].unset()
        async with asyncio.timeout(10):
            assert [event async for event in set_[0]] == []
        with pytest.raises(TextTooLong):
            await heard(session.set_watch(WatchRequest("a" * 501)), 1)
        with pytest.raises(InvalidInput, match="same token"):
            await heard(session.set_watch(WatchRequest(PROMPT, yes="yes", no="yes yes")), 1)
        for wrong in ({"every_chunks": 0}, {"yes": ""}, {"no": "yes"}, {"threshold": 1.0}, {"margin": 0.5}):
            with pytest.raises(InvalidInput):
                WatchRequest(PROMPT, **wrong)  # type: ignore[arg-type]
        await session.append(frame(0))
        assert len(await heard(set_[1], 1)) == 1

    async def test_it_ends_with_its_session_and_says_why(self, engine_with: Any) -> None:
        engine = await engine_with(idle_timeout_s=0.5)
        session, idle = [await engine.open_session(SessionConfig("You fly.", 160)) for _ in range(2)]
        watch, idle_watch = (each.set_watch(WatchRequest(PROMPT)) for each in (session, idle))
        await session.append(frame(0))
        await heard(watch, 1)
        await session.close()
        async with asyncio.timeout(10):
            assert [event async for event in watch] == []
            with pytest.raises(SessionIdle):
                assert [event async for event in idle_watch] == []
        with pytest.raises(UnknownSession):
            await heard(session.set_watch(WatchRequest(PROMPT)), 1)

    async def test_frames_and_answers_go_on_beside_it(self, engine: Engine) -> None:
        session = await engine.open_session(SMALL)
        for _ in range(4):
            session.set_watch(WatchRequest(PROMPT))
        await session.append(frame(0))
        answer = session.ask(AskRequest("Tell me all.", max_tokens=300, sampling=Sampling(3.0)))
        for index in range(1, 12):
            async with asyncio.timeout(10):
                await session.append(frame(index))
        assert (await answer.done()).provenance.last_frame_id == "v/c/0"
