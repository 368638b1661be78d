"""python -m pytest tests/rpc/vlm -v

What clients do wrong, and what becomes of it: one sentence and one reason each, in band where the session can go on.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from stillwing.common.v1 import common_pb2
from stillwing.vlm.v1 import conversation_pb2 as wire
from stillwing.vlm.v1 import vlm_pb2
from stillwing_common.errors import ModelNotUsable, PortInUse, StillwingError
from stillwing_rpc.errors import from_rpc_error, from_status
from stillwing_rpc.server import RpcServer
from stillwing_rpc.settings import ServerSettings
from stillwing_vlm.__main__ import serve_engine as serve
from stillwing_vlm.client import RemoteEngine
from stillwing_vlm.core.requests import AskRequest, Sampling, SessionConfig
from stillwing_vlm.core.serving.engine import AsyncSession
from stillwing_vlm.settings import VlmSettings

OPEN = vlm_pb2.OpenSession(system_prompt="You fly.", max_context_tokens=160, label="test")
RGB = common_pb2.Image(encoding=common_pb2.Image.ENCODING_RGB8, width_px=84, height_px=56, data=bytes(84 * 56 * 3))


def frame(index: int, image: common_pb2.Image = RGB) -> common_pb2.Frame:
    return common_pb2.Frame(frame_id=f"v/c/{index}", camera_id="c", image=image)


SAID = wire.Message(user=wire.UserTurn(text="a"))
FORMAT = wire.AnswerFormat(json=wire.JsonFormat(json_schema="{}"))
ANSWERED = wire.Message(tool=wire.ToolTurn(text="a"))


def called(arguments: str, name: str = "a") -> wire.Message:
    call = wire.ToolCall(name=name, arguments_json=arguments)
    return wire.Message(assistant=wire.AssistantTurn(tool_calls=[call]))


def held(**wanted: Any) -> vlm_pb2.Ask:
    return vlm_pb2.Ask(prompt="a", answer_format=wire.AnswerFormat(**wanted))


class Call:
    """One session call, spoken by hand."""

    def __init__(self, stub: Any) -> None:
        self.call = stub.Session()
        self.seq = 0
        self.events: list[vlm_pb2.SessionResponse] = []

    async def say(self, seq: int | None = None, **request: Any) -> int:
        self.seq = self.seq + 1 if seq is None else seq
        await self.call.write(vlm_pb2.SessionRequest(request_seq=self.seq, **request))
        return self.seq

    async def hear(self, kind: str, seq: int | None = None) -> Any:
        """Skip to the next event of this kind."""
        while True:
            event = await asyncio.wait_for(self.call.read(), 10)
            assert event is not grpc.aio.EOF, f"the call ended before {kind}"
            self.events.append(event)
            assert event.event_seq == len(self.events)
            if event.WhichOneof("event") == kind and seq in (None, event.request_seq):
                return getattr(event, kind)

    async def fails(self, reason: str) -> Any:
        failed = await self.hear("failed", self.seq)
        assert from_status(failed.status).reason == reason
        return failed

    @classmethod
    async def opened(cls, stub: Any) -> "Call":
        call = cls(stub)
        await call.say(open=OPEN)
        await call.hear("opened")
        return call


async def _until(condition: Callable[[], Any]) -> None:
    async def poll() -> None:
        while not await condition():  # noqa: ASYNC110  # the server's state has no event to wait for
            await asyncio.sleep(0.01)

    await asyncio.wait_for(poll(), 10)


async def test_the_first_message_opens_or_the_call_ends(served: Any) -> None:
    for first in ({"ask": vlm_pb2.Ask(prompt="a")}, {}):
        call = Call(served.stub)
        await call.say(**first)
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call.hear("opened")
        assert from_rpc_error(error.value).reason == "WRONG_FIRST_MESSAGE"
    silent = Call(served.stub)
    await silent.call.done_writing()
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await silent.hear("opened")
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("levels", [-1.0, 256.0, float("nan")])
async def test_a_gate_that_cannot_be_is_refused(served: Any, levels: float) -> None:
    call = Call(served.stub)
    await call.say(open=vlm_pb2.OpenSession(gate_levels=levels))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.call.read()
    assert from_rpc_error(caught.value).reason == "INVALID_INPUT"


@pytest.mark.parametrize(
    ("tools", "reason"),
    [
        ([wire.Tool()], "INVALID_INPUT"),
        ([wire.Tool(name="<|im_end|>")], "INVALID_INPUT"),
        ([wire.Tool(name="a"), wire.Tool(name="a")], "INVALID_INPUT"),
        ([wire.Tool(name=f"a{at}") for at in range(65)], "INVALID_INPUT"),
        ([wire.Tool(name="a", parameters_json_schema="[")], "BAD_GRAMMAR"),
        ([wire.Tool(name="a", parameters_json_schema='{"type": "object", "minimum": NaN}')], "BAD_GRAMMAR"),
        ([wire.Tool(name="a", parameters_json_schema='{"type": "string"}')], "BAD_GRAMMAR"),
        ([wire.Tool(name="a", description="x" * 90_000)], "TEXT_TOO_LONG"),
        ([wire.Tool(name="a")], "MODEL_NOT_USABLE"),
    ],
)
async def test_tools_that_no_session_can_have_are_refused(served: Any, tools: list[wire.Tool], reason: str) -> None:
    call = Call(served.stub)
    await call.say(open=vlm_pb2.OpenSession(tools=tools))
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call.hear("opened")
    assert from_rpc_error(error.value).reason == reason
    assert (await served.stub.ListSessions(vlm_pb2.ListSessionsRequest())).sessions == []


async def test_a_budget_that_is_too_small_is_refused(served: Any) -> None:
    call = Call(served.stub)
    await call.say(open=vlm_pb2.OpenSession(max_context_tokens=3))
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call.hear("opened")
    assert from_rpc_error(error.value).reason == "BUDGET_TOO_SMALL"
    assert (await served.stub.ListSessions(vlm_pb2.ListSessionsRequest())).sessions == []


@pytest.mark.parametrize(
    ("request_", "reason", "credits"),
    [
        ({}, "UNSET_ONEOF", 0),
        ({"open": OPEN}, "WRONG_FIRST_MESSAGE", 0),
        ({"append_frame": vlm_pb2.AppendFrame()}, "INVALID_INPUT", 1),
        ({"append_frame": vlm_pb2.AppendFrame(frame=common_pb2.Frame(image=RGB))}, "INVALID_INPUT", 1),
        ({"append_frame": vlm_pb2.AppendFrame(frame=frame(1, common_pb2.Image(data=b"x")))}, "INVALID_INPUT", 1),
        ({"append_chunk": vlm_pb2.AppendChunk()}, "INVALID_INPUT", 0),
        ({"append_chunk": vlm_pb2.AppendChunk(frames=[frame(i) for i in range(9)])}, "OUT_OF_CREDITS", 9),
        ({"ask": vlm_pb2.Ask(prompt="a", view=vlm_pb2.View())}, "UNSET_ONEOF", 0),
        ({"ask": vlm_pb2.Ask(prompt="a", view=vlm_pb2.View(recent_n=vlm_pb2.RecentN()))}, "INVALID_INPUT", 0),
        ({"ask": vlm_pb2.Ask(prompt="a", sampling=vlm_pb2.Sampling())}, "INVALID_INPUT", 0),
        ({"ask": vlm_pb2.Ask(prompt="a", sampling=vlm_pb2.Sampling(temperature=1, top_p=2))}, "INVALID_INPUT", 0),
        ({"ask": vlm_pb2.Ask(prompt="a" * 20_001)}, "TEXT_TOO_LONG", 0),
        ({"ask": vlm_pb2.Ask(prompt="a", json_schema="[1]")}, "BAD_GRAMMAR", 0),
        ({"ask": vlm_pb2.Ask(prompt="a", messages=[SAID])}, "INVALID_INPUT", 0),
        ({"ask": vlm_pb2.Ask(messages=[wire.Message()])}, "UNSET_ONEOF", 0),
        ({"ask": vlm_pb2.Ask(messages=[wire.Message(tool=wire.ToolTurn(text="a"))])}, "INVALID_INPUT", 0),
        ({"ask": vlm_pb2.Ask(messages=[SAID, wire.Message(assistant=wire.AssistantTurn())])}, "INVALID_INPUT", 0),
        ({"ask": vlm_pb2.Ask(messages=[SAID, called("[]"), ANSWERED])}, "INVALID_INPUT", 0),
        ({"ask": vlm_pb2.Ask(messages=[SAID, called("{}", "a b"), ANSWERED])}, "INVALID_INPUT", 0),
        ({"ask": vlm_pb2.Ask(messages=[SAID] * 300)}, "INVALID_INPUT", 0),
        ({"ask": vlm_pb2.Ask(messages=[SAID])}, "MODEL_NOT_USABLE", 0),
        ({"ask": vlm_pb2.Ask(prompt="a", answer_format=wire.AnswerFormat())}, "UNSET_ONEOF", 0),
        ({"ask": held(json=wire.JsonFormat(json_schema="{"))}, "BAD_GRAMMAR", 0),
        ({"ask": held(json=wire.JsonFormat(json_schema="{}", style=9))}, "INVALID_INPUT", 0),  # type: ignore[arg-type]
        ({"ask": held(json=wire.JsonFormat(json_schema="{}"), max_thought_tokens=513)}, "INVALID_INPUT", 0),
        ({"ask": held(tool_call=wire.ToolCallFormat())}, "MODEL_NOT_USABLE", 0),
        ({"ask": vlm_pb2.Ask(prompt="a", json_schema="{}", answer_format=FORMAT)}, "INVALID_INPUT", 0),
        ({"ask": vlm_pb2.Ask(prompt="a", sampling=vlm_pb2.Sampling(as_model=True, top_p=0.5))}, "INVALID_INPUT", 0),
        ({"ask": vlm_pb2.Ask(prompt="\U0001f681" * 20_000)}, "TEXT_TOO_LONG", 0),
        ({"ask_choice": vlm_pb2.AskChoice(prompt="a", options=["one", "\U0001f681" * 300])}, "TEXT_TOO_LONG", 0),
        ({"pool_vectors": vlm_pb2.PoolVectors(texts=["\U0001f681" * 2000] * 64)}, "TEXT_TOO_LONG", 0),
        ({"ask_choice": vlm_pb2.AskChoice(prompt="a", options=["one"])}, "INVALID_INPUT", 0),
        ({"ask_choice": vlm_pb2.AskChoice(prompt="a", options=["one", "one"])}, "INVALID_INPUT", 0),
        ({"cancel_ask": vlm_pb2.CancelAsk(ask_seq=77)}, "UNKNOWN_ASK", 0),
        ({"unset_watch": vlm_pb2.UnsetWatch(watch_seq=77)}, "UNKNOWN_WATCH", 0),
        ({"set_watch": vlm_pb2.SetWatch(prompt="a", threshold=2)}, "INVALID_INPUT", 0),
        ({"set_watch": vlm_pb2.SetWatch(prompt="a", yes="b", no="bb")}, "INVALID_INPUT", 0),
        ({"restore_snapshot": vlm_pb2.RestoreSnapshot(snapshot_id="snp_x")}, "UNKNOWN_SNAPSHOT", 0),
    ],
)
async def test_a_bad_request_is_answered_in_band(served: Any, request_: Any, reason: str, credits: int) -> None:
    call = await Call.opened(served.stub)
    await call.say(**request_)
    failed = await call.fails(reason)
    assert failed.credits == credits
    await call.say(append_frame=vlm_pb2.AppendFrame(frame=frame(0)))
    assert list((await call.hear("chunk_appended")).frame_ids) == ["v/c/0"]


async def test_request_numbers_rise(served: Any) -> None:
    call = await Call.opened(served.stub)
    await call.say(seq=1, ask=vlm_pb2.Ask(prompt="a"))
    await call.fails("INVALID_INPUT")
    await call.say(seq=9, append_frame=vlm_pb2.AppendFrame(frame=frame(0)))
    await call.hear("chunk_appended", 9)


async def test_what_was_asked_is_answered_after_the_client_has_said_all(served: Any) -> None:
    call = await Call.opened(served.stub)
    await call.say(append_frame=vlm_pb2.AppendFrame(frame=frame(0)))
    asked = await call.say(ask=vlm_pb2.Ask(prompt="What is it?", max_tokens=5))
    await call.call.done_writing()
    done = await call.hear("answer_done", asked)
    assert done.provenance.last_frame_id == "v/c/0"
    assert await call.call.read() is grpc.aio.EOF
    assert await call.call.code() is grpc.StatusCode.OK


async def test_watches_end_when_the_client_has_said_all(served: Any) -> None:
    call = await Call.opened(served.stub)
    watched = await call.say(set_watch=vlm_pb2.SetWatch(prompt="Is there a beacon?"))
    await call.say(append_frame=vlm_pb2.AppendFrame(frame=frame(0)))
    changed = await call.hear("watch_changed", watched)
    assert (changed.frame_id, changed.is_true) == ("v/c/0", changed.probability >= 0.5)
    await call.call.done_writing()
    await call.hear("watch_ended", watched)
    assert await call.call.read() is grpc.aio.EOF
    assert await call.call.code() is grpc.StatusCode.OK


async def test_a_client_that_vanishes_frees_its_session(served: Any) -> None:
    call = await Call.opened(served.stub)
    await call.say(append_frame=vlm_pb2.AppendFrame(frame=frame(0)))
    endless = vlm_pb2.Ask(prompt="Tell me all.", max_tokens=1000, sampling=vlm_pb2.Sampling(temperature=3))
    await call.say(ask=endless)
    await call.hear("answer_delta")
    (info,) = (await served.stub.ListSessions(vlm_pb2.ListSessionsRequest())).sessions
    assert (info.live_asks, info.label) == (1, "test")
    assert info.peer
    call.call.cancel()

    async def gone() -> bool:
        return not (await served.stub.ListSessions(vlm_pb2.ListSessionsRequest())).sessions

    await _until(gone)


async def test_a_slow_reader_gets_everything_in_order(served: Any) -> None:
    call = await Call.opened(served.stub)
    for _ in range(700):
        await call.say(cancel_ask=vlm_pb2.CancelAsk(ask_seq=10_000))
    await call.call.done_writing()
    seqs = []
    while (event := await asyncio.wait_for(call.call.read(), 10)) is not grpc.aio.EOF:
        seqs.append((event.event_seq, event.request_seq))
    assert seqs == [(seq, seq) for seq in range(2, 702)]


async def test_sessions_are_described_one_by_one(served: Any) -> None:
    call = await Call.opened(served.stub)
    session_id = call.events[0].opened.session_id
    await call.say(append_frame=vlm_pb2.AppendFrame(frame=frame(4)))
    await call.hear("chunk_appended")
    session = (await served.stub.GetSession(vlm_pb2.GetSessionRequest(session_id=session_id))).session
    assert (session.last_frame_id, session.appended_frames, session.max_context_tokens) == ("v/c/4", 1, 160)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await served.stub.GetSession(vlm_pb2.GetSessionRequest(session_id="ses_none"))
    assert from_rpc_error(error.value).reason == "UNKNOWN_SESSION"


async def test_a_part_that_breaks_ends_the_call(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def breaks(session: AsyncSession, ttl_s: float | None = None) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(AsyncSession, "take_snapshot", breaks)
    call = await Call.opened(served.stub)
    await call.say(take_snapshot=vlm_pb2.TakeSnapshot())
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call.hear("snapshot_taken")
    assert from_rpc_error(error.value).reason == "INTERNAL_FAULT"

    async def gone() -> bool:
        return not (await served.stub.ListSessions(vlm_pb2.ListSessionsRequest())).sessions

    await _until(gone)


async def test_draining_ends_sessions_and_their_answers(served: Any) -> None:
    remote = await RemoteEngine.connect(f"127.0.0.1:{served.port}")
    session = await remote.open_session(SessionConfig("You fly.", 160))
    answer = session.ask(AskRequest("Tell me all.", max_tokens=1000, sampling=Sampling(3.0)))
    await anext(aiter(answer))
    await served.server.drain()
    await asyncio.wait_for(answer.done(), 5)
    # gRPC keeps the server's last word from whoever is sending at that very moment.
    with pytest.raises(StillwingError, match=r"closed|shutting down|ended by the other side"):
        await session.take_snapshot()
    await remote.close()


async def test_a_taken_port_is_told_before_the_model_is_loaded(tmp_path: Path) -> None:
    holder = RpcServer([], ServerSettings(drain_grace_s=1.0))
    port = await holder.bind()
    # Were the model looked at first, its absence would be the error.
    with pytest.raises(PortInUse, match=str(port)):
        await serve(VlmSettings(port=port, model=str(tmp_path / "nothing")))
    await holder.drain()
    with pytest.raises(ModelNotUsable):
        await serve(VlmSettings(port=port, model=str(tmp_path / "nothing")))
