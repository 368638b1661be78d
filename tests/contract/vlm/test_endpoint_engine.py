"""python -m pytest tests/contract/vlm/test_endpoint_engine.py -v

An endpoint as an engine, in this process and over the wire, before a real server of chat completions.
"""

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from chat_endpoint import KEY, ChatServer, calls, chat_server
from PIL import Image as PilImage
from vlm_frames import frame

from stillwing_common.errors import (
    AnswerUnreadable,
    ExportsOff,
    FrameNotKept,
    ImageUndecodable,
    InvalidInput,
    TextTooLong,
    TooManyBranches,
    TooManySessions,
    Unsupported,
)
from stillwing_common.types import Frame, Image, ImageEncoding, Stamp
from stillwing_rpc.server import RpcServer
from stillwing_rpc.settings import ServerSettings
from stillwing_vlm.client import RemoteEngine
from stillwing_vlm.core.conversation import (
    AssistantTurn,
    JsonFormat,
    Tool,
    ToolCall,
    ToolCallFormat,
    ToolTurn,
    UserTurn,
)
from stillwing_vlm.core.endpoint.engine import EndpointEngine
from stillwing_vlm.core.endpoint.http import EndpointAddress
from stillwing_vlm.core.endpoint.window import PictureBudget
from stillwing_vlm.core.limits import Limits
from stillwing_vlm.core.protocol import Engine, Session
from stillwing_vlm.core.requests import (
    AskRequest,
    ChoiceRequest,
    FrameLayout,
    Sampling,
    SessionConfig,
    View,
    WatchRequest,
)
from stillwing_vlm.core.results import DoneReason
from stillwing_vlm.server import registration

MOVE = Tool("move", "Flies.", '{"type": "object", "properties": {"distance_m": {"type": "number"}}}')
HOVER = Tool("hover", "Waits.")
CONFIG = SessionConfig("You fly.", label="contract", tools=(MOVE, HOVER))
LIMITS = Limits(idle_timeout_s=0, max_watches=0, max_sessions=2, max_asks=2, max_text_chars=300)
SCHEMA = '{"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}'


@pytest.fixture
def chat() -> Iterator[ChatServer]:
    with chat_server() as running:
        yield running


@pytest.fixture(params=["in_process", "over_the_wire"])
async def engine(request: pytest.FixtureRequest, chat: ChatServer) -> AsyncIterator[Engine]:
    budget = PictureBudget(FrameLayout(1, 2, 3), max_side_px=64)
    local = EndpointEngine(EndpointAddress(chat.url, "eyes-1", KEY, timeout_s=5), budget, LIMITS)
    if request.param == "in_process":
        yield local
    else:
        server = RpcServer([registration(local)], ServerSettings(drain_grace_s=1.0))
        port = await server.start()
        await server.set_serving()
        remote = await RemoteEngine.connect(f"127.0.0.1:{port}")
        yield remote
        await remote.close()
        await server.drain()
    await local.close()


async def filled(engine: Engine, frames: int, config: SessionConfig = CONFIG) -> Session:
    session = await engine.open_session(config)
    for index in range(frames):
        await session.append(frame(index))
    return session


def pictures(request: dict[str, Any]) -> list[PilImage.Image]:
    parts = request["messages"][1]["content"]
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    assert all(url.startswith("data:image/jpeg;base64,") for url in urls)
    return [PilImage.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) for url in urls]


class TestEndpointEngine:
    async def test_it_says_whose_model_it_is_and_how_it_is_spoken_to(self, engine: Engine) -> None:
        info = await engine.model_info()
        assert (info.engine, info.model, info.can_snapshot, info.can_recall) == ("openai", "eyes-1", False, True)
        assert info.chat.template
        assert info.default_layout == FrameLayout(1, 2, 3)

    async def test_the_first_and_the_newest_frames_go_along(self, engine: Engine, chat: ChatServer) -> None:
        session = await filled(engine, 6)
        done = await session.ask(AskRequest("What is there?")).done()
        assert (done.text, done.reason) == ("A hedge.", DoneReason.STOP)
        assert (done.provenance.oldest_frame_id, done.provenance.last_frame_id) == ("v/c/3", "v/c/5")
        assert done.provenance.evicted_frames == 2
        assert done.provenance.context_tokens == 700
        assert [one.size for one in pictures(chat.requests[0])] == [(64, 43)] * 4
        assert (chat.requests[0]["model"], chat.authorizations) == ("eyes-1", [f"Bearer {KEY}"])
        assert chat.requests[0]["messages"][0] == {"role": "system", "content": "You fly."}
        assert (await engine.get_session(session.session_id)).evicted_frames == 2

    async def test_evictions_are_told(self, engine: Engine) -> None:
        session = await engine.open_session(CONFIG)
        evictions = session.evictions()
        for index in range(5):
            result = await session.append(frame(index))
        assert result.shown_px == (43, 64)
        assert (await anext(evictions)).frame_ids == ("v/c/1",)

    async def test_a_question_sees_what_was_placed_before_it_and_nothing_after(
        self, engine: Engine, chat: ChatServer
    ) -> None:
        session = await filled(engine, 1)
        placed = session.append(frame(1))
        answer = session.ask(AskRequest("Now?"))
        later = session.append(frame(2))
        await asyncio.gather(placed, later)
        assert (await answer.done()).provenance.last_frame_id == "v/c/1"

    async def test_recent_chunks_alone(self, engine: Engine, chat: ChatServer) -> None:
        session = await filled(engine, 5)
        await session.recall([frame(90)])
        await session.ask(AskRequest("Now?", view=View(recent_chunks=1))).done()
        assert len(pictures(chat.requests[0])) == 2
        done = await session.ask(AskRequest("Now?")).done()
        assert done.provenance.recalled_frame_ids == ("v/c/90",)
        assert len(pictures(chat.requests[1])) == 5

    async def test_a_conversation_in_turns_and_tools(self, engine: Engine, chat: ChatServer) -> None:
        chat.say = lambda request: calls("move", "A door. ", distance_m=2)
        session = await filled(engine, 1)
        turns = (
            UserTurn("Fly on."),
            AssistantTurn("A wall.", (ToolCall("hover"), ToolCall("move", '{"distance_m": 1}'))),
            ToolTurn("Done.", "hover"),
            ToolTurn("Refused.", "move"),
            UserTurn("Next?"),
        )
        done = await session.ask(AskRequest(messages=turns, answer_format=ToolCallFormat(max_thought_tokens=9))).done()
        assert (done.thought, done.tool_call) == ("A door.", ToolCall("move", '{"distance_m": 2}'))
        sent = chat.requests[0]
        assert [tool["function"]["name"] for tool in sent["tools"]] == ["move", "hover"]
        assert sent["tools"][0]["function"]["parameters"] == MOVE.schema()
        assert (sent["tool_choice"], sent["parallel_tool_calls"], sent["temperature"]) == ("required", False, 0)
        assistant, *answers, user = sent["messages"][2:]
        ids = [one["id"] for one in assistant["tool_calls"]]
        assert [(one["tool_call_id"], one["content"]) for one in answers] == [(ids[0], "Done."), (ids[1], "Refused.")]
        assert user == {"role": "user", "content": "Next?"}

    async def test_answers_that_are_no_whole_call(self, engine: Engine, chat: ChatServer) -> None:
        session = await filled(engine, 1)
        request = AskRequest(messages=(UserTurn("Fly."),), answer_format=ToolCallFormat())
        broken = calls("move")
        broken["tool_calls"][0]["function"]["arguments"] = '{"distance_m": 1'
        for message in (broken, {"role": "assistant", "content": "I would rather not."}):
            chat.say = lambda _, message=message: message
            done = await session.ask(request).done()
            assert done.tool_call is None
            assert done.text
        only_hover = AskRequest(messages=(UserTurn("Wait."),), answer_format=ToolCallFormat(("hover",)))
        await session.ask(only_hover).done()
        assert [tool["function"]["name"] for tool in chat.requests[-1]["tools"]] == ["hover"]

    async def test_json_is_checked_as_a_grammar_would_hold_it(self, engine: Engine, chat: ChatServer) -> None:
        session = await filled(engine, 1, SessionConfig("You fly."))
        for said, fits in (('{"n": 3}', True), ('{"n": "three"}', False), ("three", False)):
            chat.say = lambda _, said=said: {"role": "assistant", "content": said}
            request = AskRequest("How many?", answer_format=JsonFormat(SCHEMA))
            if fits:
                assert json.loads((await session.ask(request).done()).json) == {"n": 3}
            else:
                with pytest.raises(AnswerUnreadable):
                    await session.ask(request).done()
        assert chat.requests[0]["response_format"]["json_schema"]["schema"] == json.loads(SCHEMA)

    async def test_options_are_scored_by_their_first_token(self, engine: Engine, chat: ChatServer) -> None:
        tokens = [{"token": " Yes", "logprob": -0.2}, {"token": "no", "logprob": -2.0}, {"token": "x", "logprob": -3.0}]
        content = [{"token": "Yes", "logprob": -0.2, "top_logprobs": tokens}]
        chat.say = lambda _: {"role": "assistant", "content": "Yes", "logprobs": {"content": content}}
        session = await filled(engine, 1)
        result = await session.ask_choice(ChoiceRequest("Is it done?", ("yes", "no")))
        assert result.best_index == 0
        assert result.probabilities == pytest.approx((0.858, 0.142), abs=0.001)
        chat.say = lambda _: {"role": "assistant", "content": "Yes"}
        with pytest.raises(Unsupported):
            await session.ask_choice(ChoiceRequest("Is it done?", ("yes", "no")))

    async def test_sampling_is_passed_on(self, engine: Engine, chat: ChatServer) -> None:
        session = await filled(engine, 1)
        await session.ask(AskRequest("Now?", 7, sampling=Sampling(0.5, 0.9, seed=4))).done()
        sent = chat.requests[0]
        assert [sent[name] for name in ("temperature", "top_p", "seed", "max_tokens")] == [0.5, 0.9, 4, 7]

    async def test_an_answer_is_cancelled_or_late(self, engine: Engine, chat: ChatServer) -> None:
        chat.fault = lambda handler: chat.ended.wait(20)
        session = await filled(engine, 1)
        answer = session.ask(AskRequest("Now?"))
        await asyncio.sleep(0.05)
        answer.cancel()
        assert (await answer.done()).reason is DoneReason.CANCELLED
        late = await session.ask(AskRequest("Now?", deadline_s=0.05)).done()
        assert (late.reason, late.text) == (DoneReason.DEADLINE, "")

    async def test_limits(self, engine: Engine, chat: ChatServer) -> None:
        with pytest.raises(TextTooLong):
            await engine.open_session(SessionConfig("x" * 301))
        with pytest.raises(Unsupported):
            await engine.open_session(SessionConfig("You fly.", 1000))
        session = await filled(engine, 1)
        await engine.open_session(CONFIG)
        with pytest.raises(TooManySessions):
            await engine.open_session(CONFIG)
        with pytest.raises(TextTooLong):
            await session.ask(AskRequest("x" * 301)).done()
        with pytest.raises(InvalidInput):
            await session.recall([frame(1), frame(2), frame(3)])
        chat.fault = lambda handler: chat.ended.wait(20)
        under_way = [session.ask(AskRequest("Now?")) for _ in range(2)]
        with pytest.raises(TooManyBranches):
            await session.ask(AskRequest("Now?")).done()
        for answer in under_way:
            answer.cancel()

    async def test_a_bad_picture_is_refused_and_the_session_goes_on(self, engine: Engine) -> None:
        session = await filled(engine, 1)
        bad = Frame("v/c/bad", "c", Stamp(0, "clock"), None, Image(ImageEncoding.JPEG, 4, 3, b"\xff\xd8\xff\xe0"))
        with pytest.raises(ImageUndecodable):
            await session.append(bad)
        assert (await session.ask(AskRequest("Now?")).done()).provenance.last_frame_id == "v/c/0"

    async def test_what_an_endpoint_has_not_is_refused(self, engine: Engine) -> None:
        session = await filled(engine, 1)
        for wanted, request in (
            (Unsupported, session.take_snapshot()),
            (Unsupported, session.pool_vectors(["a"])),
            (FrameNotKept, session.recall_kept(["v/c/0"])),
            (ExportsOff, session.export("one")),
            (ExportsOff, engine.list_exports()),
        ):
            with pytest.raises(wanted):
                await request
        with pytest.raises(Unsupported):
            await anext(aiter(session.set_watch(WatchRequest("A door?"))))

    async def test_bytes_are_bounded_and_the_newest_go_first(self, chat: ChatServer) -> None:
        tight = PictureBudget(FrameLayout(1, 2, 3), max_side_px=64, max_bytes=10_000)
        noisy = EndpointEngine(EndpointAddress(chat.url, "eyes-1", KEY), tight, LIMITS)
        session = await filled(noisy, 4)
        await session.ask(AskRequest("Now?")).done()
        sizes = [
            len(part["image_url"]["url"])
            for part in chat.requests[0]["messages"][1]["content"][1::2]
            if "image_url" in part
        ]
        assert 0 < sum(sizes) < 10_000 * 1.4
        await noisy.close()
