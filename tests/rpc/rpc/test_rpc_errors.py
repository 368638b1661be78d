"""python -m pytest tests/rpc/rpc/test_rpc_errors.py

Every domain error crosses the wire and comes back as itself: in trailers, in streams, in a message.
"""

from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from stillwing.vlm.v1 import vlm_pb2
from stillwing_common import errors
from stillwing_common.errors import StillwingError, error_classes
from stillwing_rpc.errors import STATUS_OF_KIND, domain_errors, from_rpc_error, from_status, status_code, to_status

CLASSES = list(error_classes().values())


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.reason)
def test_status_and_back(cls: type[StillwingError]) -> None:
    error = cls("because of this", field="a", count=3)
    status = to_status(error, service="stillwing.vlm.v1.VlmService")
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == (cls.reason, "vlm.stillwing")
    back = from_status(status)
    assert type(back) is cls
    assert (back.detail, back.metadata, str(back)) == ("because of this", {"field": "a", "count": "3"}, str(error))


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.reason)
def test_no_error_is_without_a_kind(cls: type[StillwingError]) -> None:
    assert sum(issubclass(cls, kind) for kind in STATUS_OF_KIND) == 1
    assert status_code(cls) is not grpc.StatusCode.UNKNOWN


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.reason)
async def test_unary_call_raises_the_same_class(
    cls: type[StillwingError], servicer: Any, start: Any, stub: Any
) -> None:
    def refuse(context: Any) -> None:
        raise cls("over the wire", key="value")

    servicer.get_model = refuse
    _, target = await start()
    async with stub(target) as vlm:
        with pytest.raises(cls, match="over the wire") as caught, domain_errors():
            await vlm.GetModel(vlm_pb2.GetModelRequest())
    assert type(caught.value) is cls
    assert caught.value.metadata == {"key": "value"}


async def test_stream_delivers_what_came_before_the_error(servicer: Any, start: Any, stub: Any) -> None:
    def refuse_third(seq: int) -> None:
        if seq == 3:
            raise errors.WrongFirstMessage("third")

    servicer.on_message = refuse_third
    _, target = await start()
    seen = []
    async with stub(target) as vlm:
        call = vlm.Session()
        for seq in (1, 2):
            await call.write(vlm_pb2.SessionRequest(request_seq=seq))
            seen.append((await call.read()).event_seq)
        await call.write(vlm_pb2.SessionRequest(request_seq=3))
        with pytest.raises(errors.WrongFirstMessage, match="third"), domain_errors():
            await call.read()
    assert seen == [1, 2]


async def test_unexpected_error_is_hidden_and_logged_in_full(
    servicer: Any, start: Any, stub: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def break_down(context: Any) -> None:
        raise ZeroDivisionError("secret of the inside")

    servicer.get_model = break_down
    _, target = await start()
    async with stub(target) as vlm:
        with pytest.raises(errors.InternalFault) as caught, domain_errors():
            await vlm.GetModel(vlm_pb2.GetModelRequest(), metadata=(("x-request-id", "req_of_mine"),))
    assert caught.value.metadata == {"request_id": "req_of_mine"}
    assert "secret" not in str(caught.value)


async def test_a_method_nobody_wrote_is_unsupported(start: Any, stub: Any) -> None:
    _, target = await start()
    async with stub(target) as vlm:
        with pytest.raises(errors.Unsupported, match="GetSession"), domain_errors():
            await vlm.GetSession(vlm_pb2.GetSessionRequest())


async def test_deadline_of_the_caller_becomes_expired(servicer: Any, start: Any, stub: Any) -> None:
    async def never(context: Any) -> None:
        await servicer.closing.wait()

    servicer.get_model = lambda context: never(context)
    _, target = await start()
    async with stub(target) as vlm:
        with pytest.raises(errors.Expired), domain_errors():
            await vlm.GetModel(vlm_pb2.GetModelRequest(), timeout=0.1)


def test_a_reason_from_the_future_keeps_its_kind_and_name() -> None:
    status = to_status(errors.NotFound("gone", id="x"))
    info = error_details_pb2.ErrorInfo(reason="SOMETHING_NEW", domain="vlm.stillwing", metadata={"id": "x"})
    status.details[0].Pack(info)
    back = from_status(status)
    assert type(back) is errors.NotFound
    assert back.metadata == {"id": "x", "reason": "SOMETHING_NEW"}


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_bare_status_codes_have_a_kind(code: grpc.StatusCode) -> None:
    error = from_rpc_error(grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details="words"))
    assert type(error) in STATUS_OF_KIND
    assert "words" in str(error)


@given(detail=st.text(), metadata=st.dictionaries(st.sampled_from("abcdef"), st.text(), max_size=5))
def test_any_text_survives_up_to_the_limit(detail: str, metadata: dict[str, str]) -> None:
    sent = to_status(errors.InvalidInput(detail, **metadata))
    back = from_status(status_pb2.Status.FromString(sent.SerializeToString()))
    whole = {key: value for key, value in metadata.items() if len(value.encode(errors="replace")) <= 160}
    assert back.metadata.keys() == metadata.keys()
    if len(detail.encode(errors="replace")) < 900:
        assert back.detail == detail.encode(errors="replace").decode()
    for key, value in whole.items():
        assert back.metadata[key] == value.encode(errors="replace").decode()


@pytest.mark.parametrize("letter", ["x", "é", "я", "\N{HELICOPTER}"])
async def test_long_texts_are_cut_not_dropped(servicer: Any, start: Any, stub: Any, letter: str) -> None:
    def refuse(context: Any) -> None:
        raise errors.InvalidInput(letter * 100_000, **{f"a_key_of_usual_size_{n}": letter * 5_000 for n in range(50)})

    servicer.get_model = refuse
    _, target = await start()
    async with stub(target) as vlm:
        for _ in range(20):  # between the soft and the hard limit a header is refused at random
            with pytest.raises(errors.InvalidInput, match=f"{letter * 3}…") as caught, domain_errors():
                await vlm.GetModel(vlm_pb2.GetModelRequest())
            assert len(caught.value.metadata) == 12
