"""python -m pytest tests/contract/vlm -v

One class of promises, kept by the engine in this process and by the one behind the wire.
"""

import asyncio
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from vlm_frames import SMALL, frame

from stillwing_common.errors import (
    BadGrammar,
    BudgetTooSmall,
    Exhausted,
    FrameNotKept,
    ImageEmpty,
    ImageTooLarge,
    ImageUndecodable,
    InvalidInput,
    OutOfCredits,
    SnapshotOverwritten,
    TextTooLong,
    TooManyBranches,
    TooManySessions,
    UnknownSession,
    UnknownSnapshot,
)
from stillwing_common.types import Frame, Image, ImageEncoding, Stamp
from stillwing_vlm.core.catalog import LoadedEngine
from stillwing_vlm.core.local import LocalEngine
from stillwing_vlm.core.protocol import Engine, Session
from stillwing_vlm.core.requests import (
    AskRequest,
    ChoiceRequest,
    Eviction,
    EvictionLevel,
    EvictionPositions,
    Sampling,
    SessionConfig,
    View,
)
from stillwing_vlm.core.results import DoneReason, TokenSaving

SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"name": {"enum": ["move", "turn"]}, "metres": {"type": "integer", "minimum": 0, "maximum": 99}},
        "required": ["name", "metres"],
        "additionalProperties": False,
    }
)


def broken(data: bytes, encoding: ImageEncoding = ImageEncoding.JPEG, width_px: int = 0) -> Frame:
    return Frame("v/c/broken", "c", Stamp(0, "clock"), None, Image(encoding, width_px, width_px, data))


async def filled(engine: Engine, frames: int, config: SessionConfig = SMALL) -> Session:
    session = await engine.open_session(config)
    for index in range(frames):
        await session.append(frame(index))
    return session


class TestEngine:
    async def test_it_says_what_is_loaded(self, engine: Engine) -> None:
        info = await engine.model_info()
        assert (info.engine, info.device, info.dtype) == ("qwen2_5_vl", "cpu", "float32")
        assert info.attention in ("sdpa", "llvm") and "AVX" in info.attention_reason
        assert info.parameters > 0
        assert info.default_max_context_tokens > 0
        assert info.budget_reason
        assert info.limits.max_asks == 3

    async def test_frames_go_in_and_are_acknowledged(self, engine: Engine) -> None:
        session = await engine.open_session(SMALL)
        one = await session.append(frame(0))
        two = await session.append(frame(1), frame(2))
        assert one.frame_ids == ("v/c/0",)
        assert two.frame_ids == ("v/c/1", "v/c/2")
        assert two.context_tokens == one.context_tokens + two.chunk_tokens
        assert two.elapsed_s > 0

    async def test_an_ask_sees_exactly_the_frames_placed_before_it(self, engine: Engine) -> None:
        session = await engine.open_session(SMALL)
        early = session.append(frame(0))
        answer = session.ask(AskRequest("What is it?", max_tokens=3))
        late = session.append(frame(1))
        done = await answer.done()
        assert done.provenance.last_frame_id == "v/c/0"
        assert (await late).context_tokens > (await early).context_tokens
        assert done.provenance.context_tokens == (await early).context_tokens

    async def test_deltas_make_up_the_answer(self, engine: Engine) -> None:
        session = await filled(engine, 2)
        answer = session.ask(AskRequest("What is it?", max_tokens=12))
        pieces = [delta.text async for delta in answer]
        done = await answer.done()
        assert "".join(pieces) == done.text
        assert done.reason in (DoneReason.STOP, DoneReason.LENGTH)
        assert 0 < done.time_to_first_token_s <= done.elapsed_s

    async def test_answers_are_those_of_the_core_alone(self, engine: Engine, loaded: LoadedEngine) -> None:
        local = LocalEngine(loaded).open("You fly.", 160)
        session = await engine.open_session(SMALL)
        for index in range(25):
            local.append(frame(index))
            await session.append(frame(index))
        ours = await session.ask(AskRequest("What is it?", max_tokens=16)).done()
        theirs = local.ask("What is it?", max_tokens=16)
        assert (ours.text, ours.answer_tokens, ours.reason) == (theirs.text, theirs.answer_tokens, theirs.reason)
        assert ours.provenance == theirs.provenance
        options = ("left", "right", "straight on")
        scored = await session.ask_choice(ChoiceRequest("Which way?", options))
        np.testing.assert_allclose(scored.probabilities, local.ask_choice("Which way?", options).probabilities)

    async def test_several_asks_at_once_answer_as_if_alone(self, engine: Engine) -> None:
        session = await filled(engine, 12)
        requests = [AskRequest(f"Question {index}?", max_tokens=10) for index in range(3)]
        alone = [(await session.ask(request).done()).text for request in requests]
        placed = [session.ask(request) for request in requests]
        for index in range(12, 18):
            await session.append(frame(index))
        together = await asyncio.gather(*(answer.done() for answer in placed))
        assert [done.text for done in together] == alone

    async def test_a_schema_is_kept(self, engine: Engine) -> None:
        session = await filled(engine, 3)
        for seed in range(5):
            sampling = Sampling(1.5, seed=seed) if seed else None
            done = await session.ask(AskRequest("Next?", max_tokens=60, json_schema=SCHEMA, sampling=sampling)).done()
            assert done.reason is DoneReason.STOP
            found = json.loads(done.text)
            assert list(found) == ["name", "metres"]
            assert found["name"] in ("move", "turn")
            assert " " not in done.text

    async def test_draws_follow_their_seed(self, engine: Engine) -> None:
        session = await filled(engine, 2)

        async def drawn(seed: int) -> str:
            sampling = Sampling(1.0, 0.95, seed)
            return (await session.ask(AskRequest("What is it?", max_tokens=12, sampling=sampling)).done()).text

        assert await drawn(1) == await drawn(1)
        assert len({await drawn(seed) for seed in range(6)}) > 1

    async def test_options_are_scored(self, engine: Engine) -> None:
        session = await filled(engine, 2)
        options = ("forward", "left", "turn right by 15 degrees")
        result = await session.ask_choice(ChoiceRequest("Which way?", options))
        assert sum(result.probabilities) == pytest.approx(1)
        assert result.best_index == int(np.argmax(result.probabilities))
        swapped = await session.ask_choice(ChoiceRequest("Which way?", options[::-1]))
        np.testing.assert_allclose(swapped.probabilities[::-1], result.probabilities, rtol=1e-4)

    async def test_an_answer_can_be_cancelled(self, engine: Engine) -> None:
        session = await filled(engine, 1)
        sampling = Sampling(2.0)
        answer = session.ask(AskRequest("Tell me all.", max_tokens=1000, sampling=sampling))
        await anext(aiter(answer))
        answer.cancel()
        done = await answer.done()
        assert done.reason in (DoneReason.CANCELLED, DoneReason.STOP)
        assert done.answer_tokens < 1000
        assert (await session.ask(AskRequest("And now?", max_tokens=1)).done()).text is not None

    async def test_frames_go_on_during_an_answer(self, engine: Engine) -> None:
        session = await filled(engine, 1)
        answer = session.ask(AskRequest("Tell me all.", max_tokens=1000, sampling=Sampling(3.0)))
        await anext(aiter(answer))
        for index in range(1, 4):
            await asyncio.wait_for(session.append(frame(index)), 10)
        assert (await engine.get_session(session.session_id)).live_asks == 1
        answer.cancel()
        assert (await answer.done()).provenance.last_frame_id == "v/c/0"

    async def test_views(self, engine: Engine) -> None:
        session = await filled(engine, 8)
        full = (await session.ask(AskRequest("What?", max_tokens=1)).done()).provenance
        recent = (await session.ask(AskRequest("What?", max_tokens=1, view=View(2))).done()).provenance
        assert recent.last_frame_id == full.last_frame_id == "v/c/7"
        assert recent.oldest_frame_id == "v/c/6"
        assert recent.context_tokens < full.context_tokens

    async def test_old_chunks_leave_whole_and_are_named(self, engine: Engine) -> None:
        session = await engine.open_session(SMALL)
        evictions = session.evictions()
        for index in range(40):
            result = await session.append(frame(index))
            assert result.context_tokens <= 160
        info = await engine.get_session(session.session_id)
        gone: list[str] = []
        while len(gone) < info.evicted_frames:
            evicted = await asyncio.wait_for(anext(evictions), 5)
            gone += evicted.frame_ids
        # The first frame belongs to the sink, so it never leaves.
        assert gone == [f"v/c/{index}" for index in range(1, 1 + len(gone))]
        assert info.oldest_frame_id == f"v/c/{1 + len(gone)}"
        done = await session.ask(AskRequest("What?", max_tokens=1)).done()
        assert done.provenance.evicted_frames == len(gone)
        assert done.provenance.oldest_frame_id == info.oldest_frame_id

    async def test_a_session_chooses_how_old_chunks_leave(self, engine: Engine) -> None:
        assert (await engine.model_info()).default_eviction == Eviction()
        wanted = Eviction(EvictionLevel.SUBSAMPLED, EvictionPositions.GAP)
        session = await engine.open_session(replace(SMALL, eviction=wanted))
        plain = await filled(engine, 20)
        evictions = session.evictions()
        for index in range(60):
            await session.append(frame(index))
        info = await engine.get_session(session.session_id)
        assert info.eviction == wanted
        assert (await engine.get_session(plain.session_id)).eviction == Eviction()
        gone: list[str] = []
        while len(gone) < info.evicted_frames:
            gone += (await asyncio.wait_for(anext(evictions), 5)).frame_ids
        left = [index for index in range(1, 60) if f"v/c/{index}" not in gone]
        assert info.oldest_frame_id == f"v/c/{left[0]}"
        older, newer = left[: len(left) // 2], left[len(left) // 2 :]
        assert newer == list(range(60 - len(newer), 60))
        # Every eighth of the whole history is left; of every fourth only the newest, but for what has just come in.
        assert [index for index in range(8, older[-1] + 1, 8) if index not in older] == []
        assert [index for index in older[:-3] if index % 8] == []

    async def test_a_gated_session_says_what_it_left_out(self, engine: Engine) -> None:
        assert (await engine.model_info()).default_gate_levels == 0
        plain = await engine.open_session(SMALL)
        gated = await engine.open_session(replace(SMALL, gate_levels=4.0))
        for session in (plain, gated):
            whole = await session.append(frame(0))
            again = await session.append(replace(frame(0), frame_id="v/c/again"))
            other = await session.append(frame(1))
            info = await engine.get_session(session.session_id)
            if session is plain:
                assert (whole.saving, again.saving, info.dropped_tokens, info.gate_levels) == (None, None, 0, 0.0)
                assert whole.chunk_tokens == again.chunk_tokens == other.chunk_tokens
                continue
            places = whole.chunk_tokens - 2
            assert whole.saving == TokenSaving(0, 0.0, 1.0)
            assert again.saving == TokenSaving(places - 1, (places - 1) / places, 0.0)
            assert (again.chunk_tokens, other.saving) == (3, TokenSaving(0, 0.0, 1.0))
            assert other.context_tokens == whole.context_tokens + 3 + other.chunk_tokens
            assert (info.dropped_tokens, info.gate_levels) == (places - 1, 4.0)

    async def test_recalled_frames_are_seen_and_named(self, engine: Engine) -> None:
        session = await filled(engine, 30)
        recalled = await session.recall([frame(1), frame(2)])
        assert recalled.frame_ids == ("v/c/1", "v/c/2")
        assert recalled.context_tokens <= 160
        done = await session.ask(AskRequest("Seen before?", max_tokens=1)).done()
        assert done.provenance.recalled_frame_ids == ("v/c/1", "v/c/2")
        assert (await session.recall([])).frame_ids == ()
        with pytest.raises(InvalidInput):
            await session.recall([frame(1), frame(2), frame(3)])

    async def test_evicted_frames_are_recalled_as_they_were(self, engine: Engine) -> None:
        assert (await engine.model_info()).can_recall_kept
        session = await filled(engine, 30)
        info = await engine.get_session(session.session_id)
        assert info.recallable_frames == info.evicted_frames > 5
        recalled = await session.recall_kept(["v/c/2", "v/c/1"])
        assert recalled.frame_ids == ("v/c/2", "v/c/1")
        done = await session.ask(AskRequest("Seen before?", max_tokens=1)).done()
        assert done.provenance.recalled_frame_ids == ("v/c/2", "v/c/1")
        for wrong in (["v/c/0"], ["v/c/29"], ["v/c/1", "v/c/none"]):
            with pytest.raises(FrameNotKept):
                await session.recall_kept(wrong)
        with pytest.raises(InvalidInput):
            await session.recall_kept(["v/c/1", "v/c/2", "v/c/3"])
        again = await session.ask(AskRequest("Seen before?", max_tokens=1)).done()
        assert again.provenance == done.provenance
        assert (await session.recall_kept([])).frame_ids == ()

    async def test_snapshots_rewind_until_written_over(self, engine: Engine) -> None:
        session = await filled(engine, 3)
        before = await session.ask(AskRequest("What?", max_tokens=8)).done()
        snapshot = await session.take_snapshot()
        await session.append(frame(3))
        assert await session.restore_snapshot(snapshot.snapshot_id) == "v/c/2"
        again = await session.ask(AskRequest("What?", max_tokens=8)).done()
        assert (again.text, again.provenance) == (before.text, before.provenance)
        for index in range(3, 20):
            await session.append(frame(index))
        with pytest.raises(SnapshotOverwritten):
            await session.restore_snapshot(snapshot.snapshot_id)
        with pytest.raises(UnknownSnapshot):
            await session.restore_snapshot("snp_none")
        await engine.delete_snapshot(snapshot.snapshot_id)
        await engine.delete_snapshot(snapshot.snapshot_id)
        with pytest.raises(UnknownSnapshot):
            await session.restore_snapshot(snapshot.snapshot_id)
        await session.take_snapshot(ttl_s=60)
        await session.take_snapshot()
        with pytest.raises(Exhausted):
            await session.take_snapshot()
        with pytest.raises(InvalidInput):
            await session.take_snapshot(ttl_s=-1)

    async def test_snapshots_go_by_name_too(self, engine: Engine) -> None:
        session = await filled(engine, 2)
        at_home = await session.take_snapshot(name="home")
        assert (at_home.name, at_home.last_frame_id, at_home.is_restorable) == ("home", "v/c/1", True)
        await session.append(frame(2))
        unnamed = await session.take_snapshot()
        assert (unnamed.name, unnamed.last_frame_id) == ("", "v/c/2")
        assert (await engine.get_session(session.session_id)).snapshots == (at_home, unnamed)
        assert await session.restore_snapshot("home") == "v/c/1"
        assert await session.restore_snapshot(unnamed.snapshot_id) == "v/c/2"
        assert await session.restore_snapshot(at_home.snapshot_id) == "v/c/1"
        for unknown in ("", "away", "HOME", "home "):
            with pytest.raises(UnknownSnapshot):
                await session.restore_snapshot(unknown)

    async def test_a_snapshots_name_is_used_again(self, engine: Engine) -> None:
        session = await filled(engine, 2)
        old = await session.take_snapshot(name="home")
        unnamed = await session.take_snapshot()
        await session.append(frame(2))
        # There are as many as may be, so that one more is only taken in the place of another.
        new = await session.take_snapshot(name="home")
        assert (await engine.get_session(session.session_id)).snapshots == (unnamed, new)
        with pytest.raises(UnknownSnapshot):
            await session.restore_snapshot(old.snapshot_id)
        for wrong, error in (({"name": "away"}, Exhausted), ({"name": "home", "ttl_s": -1}, InvalidInput)):
            with pytest.raises(error):
                await session.take_snapshot(**wrong)
        assert await session.restore_snapshot(unnamed.snapshot_id) == "v/c/1"
        assert await session.restore_snapshot("home") == "v/c/2"

    @pytest.mark.parametrize("name", ["a" * 65, "two words", "-x", "../x", "ö", "snp_x", "x\n"])
    async def test_what_is_no_snapshots_name_is_refused(self, engine: Engine, name: str) -> None:
        session = await engine.open_session(SMALL)
        with pytest.raises(InvalidInput, match="name"):
            await session.take_snapshot(name=name)
        assert (await engine.get_session(session.session_id)).snapshots == ()
        await session.take_snapshot(name="a" * 64)

    async def test_a_session_tells_which_snapshots_are_of_no_more_use(self, engine: Engine) -> None:
        session = await filled(engine, 1)
        early = await session.take_snapshot(name="early")
        for index in range(1, 20):
            await session.append(frame(index))
        late = await session.take_snapshot(name="late")
        lost = replace(early, is_restorable=False)
        assert (await engine.get_session(session.session_id)).snapshots == (lost, late)
        with pytest.raises(SnapshotOverwritten):
            await session.restore_snapshot("early")
        assert await session.restore_snapshot("late") == "v/c/19"
        fresh = await session.take_snapshot(name="early")
        assert (await engine.get_session(session.session_id)).snapshots == (late, fresh)
        assert await session.restore_snapshot("early") == "v/c/19"

    async def test_snapshots_are_deleted_in_their_session(self, engine: Engine) -> None:
        ours, theirs = await filled(engine, 1), await filled(engine, 2)
        await ours.take_snapshot(name="home")
        kept = await theirs.take_snapshot(name="home")
        with pytest.raises(InvalidInput, match="session"):
            await engine.delete_snapshot("home")
        await engine.delete_snapshot(kept.snapshot_id, ours.session_id)
        for _ in range(2):
            await engine.delete_snapshot("home", ours.session_id)
        with pytest.raises(UnknownSnapshot):
            await ours.restore_snapshot("home")
        assert await theirs.restore_snapshot("home") == "v/c/1"
        await engine.delete_snapshot(kept.snapshot_id, theirs.session_id)
        assert (await engine.get_session(theirs.session_id)).snapshots == ()
        await theirs.close()
        await engine.delete_snapshot("home", theirs.session_id)

    @pytest.mark.parametrize(
        ("bad", "error"),
        [
            (broken(b""), ImageEmpty),
            (broken(b"no picture"), ImageUndecodable),
            (broken(b"\xff\xd8\xff\xe0 cut short"), ImageUndecodable),
            (broken(bytes(12), ImageEncoding.RGB8, 3), ImageUndecodable),
            (broken(bytes(16), ImageEncoding.DEPTH_F32, 2), ImageUndecodable),
            (broken(bytes(9 * 1024 * 1024)), ImageTooLarge),
            (broken(b"x", ImageEncoding.RGB8, 5000), ImageTooLarge),
        ],
        ids=["empty", "noise", "cut", "wrong size", "depth", "heavy", "bomb"],
    )
    async def test_a_bad_frame_costs_nothing(self, engine: Engine, bad: Frame, error: type[Exception]) -> None:
        session = await filled(engine, 2)
        before = await engine.get_session(session.session_id)
        for _ in range(session.frame_credits + 1):
            with pytest.raises(error):
                await session.append(bad)
        assert await engine.get_session(session.session_id) == before
        await session.append(frame(2))

    async def test_frames_cost_credits(self, engine: Engine) -> None:
        session = await engine.open_session(SMALL)
        placed = [session.append(frame(index)) for index in range(session.frame_credits)]
        assert [len((await each).frame_ids) for each in placed] == [1] * session.frame_credits
        # Too many in one request, so that it does not matter how fast the engine gives credits back.
        with pytest.raises(OutOfCredits):
            await session.append(*(frame(10 + index) for index in range(session.frame_credits + 1)))
        await session.append(frame(99))

    async def test_frames_of_one_chunk_fit_together(self, engine: Engine) -> None:
        session = await engine.open_session(SMALL)
        with pytest.raises(InvalidInput, match="one size"):
            await session.append(frame(0), frame(1, width_px=56))
        with pytest.raises(InvalidInput, match="rise in time"):
            await session.append(frame(1), frame(0))
        with pytest.raises(InvalidInput):
            await session.append()

    async def test_limits_have_errors_of_their_own(self, engine: Engine) -> None:
        session = await filled(engine, 1)
        long = AskRequest("Tell me all.", max_tokens=1000, sampling=Sampling(3.0))
        answers = [session.ask(long) for _ in range(3)]
        with pytest.raises(TooManyBranches):
            await session.ask(long).done()
        for answer in answers:
            answer.cancel()
        await asyncio.gather(*(answer.done() for answer in answers))
        with pytest.raises(TextTooLong):
            await session.ask(AskRequest("a" * 501)).done()
        with pytest.raises(BadGrammar):
            await session.ask(AskRequest("a", json_schema="{")).done()
        with pytest.raises(BadGrammar):
            await session.ask(AskRequest("a", json_schema='{"type":"nonsense"}')).done()
        with pytest.raises(InvalidInput):
            await session.ask(AskRequest("a", max_tokens=5000)).done()
        with pytest.raises(TextTooLong):
            await engine.open_session(SessionConfig("a" * 501))
        with pytest.raises(BudgetTooSmall):
            await engine.open_session(SessionConfig("You fly.", 4))
        narrow = await engine.open_session(SessionConfig("You fly.", 28))
        with pytest.raises(BudgetTooSmall):
            await narrow.append(frame(0, 280, 280))
        await engine.open_session(SMALL)
        with pytest.raises(TooManySessions):
            await engine.open_session(SMALL)

    async def test_a_closed_session_is_gone(self, engine: Engine) -> None:
        session = await filled(engine, 1)
        others = await filled(engine, 1)
        assert [info.session_id for info in await engine.list_sessions()] == [session.session_id, others.session_id]
        under_way = session.ask(AskRequest("Tell me all.", max_tokens=1000, sampling=Sampling(3.0)))
        evictions: Any = session.evictions()
        await session.close()
        await session.close()
        assert (await under_way.done()).reason in (DoneReason.CANCELLED, DoneReason.STOP)
        assert [evicted async for evicted in evictions] == []
        with pytest.raises(UnknownSession):
            await session.append(frame(1))
        with pytest.raises(UnknownSession):
            await session.ask(AskRequest("a")).done()
        with pytest.raises(UnknownSession):
            await engine.get_session(session.session_id)
        assert [info.session_id for info in await engine.list_sessions()] == [others.session_id]
