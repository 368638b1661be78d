"""AirSim's wire: round trips, the packing of floats, strict types, error strings to the letter.

python -m pytest tests/unit/airfield/test_airfield_wire.py -q
"""

import math
import struct
from itertools import chain
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwing_airfield import values, wire
from stillwing_airfield.fleet import HomePoint
from stillwing_airfield.wire import BadCast, Double, Float32Array, ProtocolViolation, Request, RequestStream

HOME = HomePoint()
_SINGLE = st.floats(width=32, allow_nan=False)
_SCALAR = st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | _SINGLE | st.text() | st.binary()
_VALUE = st.recursive(
    _SCALAR, lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(), inner, max_size=20), max_leaves=40
)


def unpack(data: bytes) -> Any:
    return msgpack.unpackb(data, raw=False, strict_map_key=False)


@given(_VALUE)
def test_whatever_is_packed_comes_back(value: Any) -> None:
    assert unpack(wire.pack(value)) == value


@given(st.lists(_SINGLE, max_size=200))
def test_float_arrays_are_the_bytes_of_a_packed_list(numbers: list[float]) -> None:
    packed = Float32Array(np.array(numbers, np.float32)).packed()
    assert packed == msgpack.Packer(use_single_float=True).pack(numbers)


def test_a_depth_image_is_packed_as_a_list_would_be() -> None:
    image = np.random.default_rng(0).random((240, 320), np.float32)
    assert Float32Array(image).packed() == msgpack.Packer(use_single_float=True).pack(image.ravel().tolist())


def test_floats_are_single_and_doubles_double() -> None:
    assert wire.pack(0.1) == b"\xca" + struct.pack(">f", 0.1)
    assert wire.pack({"latitude": Double(47.641468)}) == b"\x81\xa8latitude\xcb" + struct.pack(">d", 47.641468)


def test_bytes_travel_as_bin() -> None:
    assert wire.pack(b"ab") == b"\xc4\x02ab"


def test_answers_are_arrays_of_four() -> None:
    assert unpack(wire.pack_answer(7, None, True)) == [1, 7, None, True]
    assert unpack(wire.pack_answer(7, "rpclib: no", None)) == [1, 7, "rpclib: no", None]


_REQUESTS = st.lists(
    st.tuples(st.integers(0, (1 << 32) - 1), st.text(max_size=40), st.lists(_VALUE, max_size=3)), min_size=1, max_size=5
)


@given(_REQUESTS, st.data())
def test_requests_arrive_whole_whatever_the_pieces(
    requests: list[tuple[int, str, list[Any]]], data: st.DataObject
) -> None:
    sent = b"".join(msgpack.packb([0, *request]) for request in requests)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=6)))
    stream, got = RequestStream(), []
    for begin, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        got += stream.feed(sent[begin:end])
    assert [(request.message_id, request.method) for request in got] == [(item[0], item[1]) for item in requests]
    assert len(got) == len(requests)


@pytest.mark.parametrize("header", [b"\xa4ping", b"\xd9\x04ping", b"\xda\x00\x04ping"])
def test_old_and_new_text_headers_are_text(header: bytes) -> None:
    (request,) = RequestStream().feed(b"\x94\x00\x01" + header + b"\x90")
    assert request == Request(1, "ping", [])


def test_notifications_have_no_id() -> None:
    (request,) = RequestStream().feed(msgpack.packb([2, "ping", []]))
    assert request.message_id is None


@pytest.mark.parametrize(
    "message",
    [
        msgpack.packb("hello"),
        msgpack.packb([0, 1, "ping"]),
        msgpack.packb([1, 1, None, True]),
        msgpack.packb([0, -1, "ping", []]),
        b"\xc1",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x91" * 5000,
    ],
)
def test_what_is_no_request_is_a_violation(message: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        list(RequestStream().feed(message))


def test_a_request_beyond_the_limit_is_a_violation() -> None:
    stream = RequestStream()
    piece = b"\xc6\x7f\xff\xff\xff" + bytes(1 << 20)
    with pytest.raises(ProtocolViolation):
        list(chain.from_iterable(stream.feed(piece) for _ in range(64)))


@pytest.mark.parametrize(
    ("read", "good", "bad"),
    [
        (wire.boolean, [True, False], [0, 1, "true", None]),
        (wire.real, [0, 1, -1, 0.5, 1 << 40], [True, "1", None, [], {}]),
        (wire.integer, [0, -(1 << 31), (1 << 31) - 1], [0.0, 1.5, True, 1 << 31, "1", None]),
        (wire.unsigned, [0, (1 << 32) - 1], [-1, 1 << 32, 0.0, False]),
        (wire.byte, [0, 255], [-1, 256, 1.0, True]),
        (wire.text, ["", "x", b"x"], [0, None, ["x"]]),
        (wire.array_of(wire.real), [[], [1, 2.5]], [(1, "2"), ["2"], {}, None, 1.0]),
        (values.VECTOR, [{}, {"x_val": 1}, {"x_val": 1, "other": "?"}], [[], None, {"x_val": "1"}]),
        (values.YAW_MODE, [{"is_rate": True, "yaw_or_rate": 0}], [{"is_rate": 1}, []]),
    ],
)
def test_types_are_strict_as_in_the_real_server(read: wire.Read, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        read(value)
    for value in bad:
        with pytest.raises(BadCast, match=r"^std::bad_cast$"):
            read(value)


def test_missing_fields_keep_their_defaults() -> None:
    assert values.POSE({"position": {"z_val": -2}}) == {
        "position": {"x_val": 0.0, "y_val": 0.0, "z_val": -2.0},
        "orientation": {"w_val": 1.0, "x_val": 0.0, "y_val": 0.0, "z_val": 0.0},
    }


def test_error_strings_are_the_real_ones_to_the_letter() -> None:
    assert wire.unknown_function("fly", 2) == "rpclib: server could not find function 'fly' with argument count 2."
    assert (
        wire.wrong_arity("takeoff", 2, 1)
        == "rpclib: Function 'takeoff' was called with an invalid number of arguments. Expected: 2, got: 1"
    )
    assert (
        wire.threw("takeoff", 2, "std::bad_cast")
        == "rpclib: function 'takeoff' (called with 2 arg(s)) threw an exception. "
        "The exception contained this information: std::bad_cast."
    )


@given(st.tuples(*[st.floats(-5000, 5000)] * 3))
def test_geo_points_and_local_positions_are_inverse(position: tuple[float, float, float]) -> None:
    assert math.dist(values.local_position(values.geo_point(position, HOME), HOME), position) < 1e-6
