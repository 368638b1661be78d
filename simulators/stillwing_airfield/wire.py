"""AirSim's wire: msgpack-rpc framing, the types its C++ server insists on, and its error strings to the letter.

A request is `[0, id, method, params]`, an answer `[1, id, error, result]`, with no header around them. It knows no
method and no simulator.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt

MOST_REQUEST_BYTES = 1 << 24
_UINT32 = 1 << 32
# Lists are made as long as they say before anything of them has come: nested, a few bytes would cost gigabytes.
_MOST_ITEMS = 1 << 14


class BadCast(Exception):
    """A parameter has not the type the method wants."""

    def __str__(self) -> str:
        return "std::bad_cast"


class ProtocolViolation(Exception):
    """What arrived is not msgpack-rpc; the connection cannot be used any further."""


@dataclass(frozen=True, slots=True)
class Request:
    """One call; `message_id` is None for a notification, which wants no answer."""

    message_id: int | None
    method: str
    params: list[Any]


# Error strings of rpclib 2.3


def unknown_function(method: str, count: int) -> str:
    """No method has that name."""
    return f"rpclib: server could not find function '{method}' with argument count {count}."


def wrong_arity(method: str, expected: int, got: int) -> str:
    """The count of parameters is wrong; there are no optional ones."""
    return (
        f"rpclib: Function '{method}' was called with an invalid number of arguments. Expected: {expected}, got: {got}"
    )


def threw(method: str, count: int, what: str) -> str:
    """The method raised."""
    return (
        f"rpclib: function '{method}' (called with {count} arg(s)) threw an exception. "
        f"The exception contained this information: {what}."
    )


# Parameter types, as msgpack-c converts them

Read = Callable[[Any], Any]
"""Turns a decoded value into what a handler takes, or raises `BadCast`."""


def boolean(value: Any) -> bool:
    """bool, and nothing else."""
    if not isinstance(value, bool):
        raise BadCast
    return value


def real(value: Any) -> float:
    """float or double; an integer will do."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadCast
    return float(value)


def integer(value: Any) -> int:
    """int: a float is refused, even a whole one."""
    if isinstance(value, bool) or not isinstance(value, int) or not -(1 << 31) <= value < (1 << 31):
        raise BadCast
    return value


def unsigned(value: Any) -> int:
    """uint32."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _UINT32:
        raise BadCast
    return value


def byte(value: Any) -> int:
    """uint8."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 256:
        raise BadCast
    return value


def text(value: Any) -> str:
    """std::string: str, or bytes, which old clients send for it."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if not isinstance(value, str):
        raise BadCast
    return value


def array_of(read: Read) -> Read:
    """std::vector of something."""

    def read_all(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise BadCast
        return [read(item) for item in value]

    return read_all


def struct_of(**fields: tuple[Read, Any]) -> Read:
    """A map with text keys: a missing key keeps its default, an unknown one is ignored."""

    def read_fields(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise BadCast
        return {name: read(value[name]) if name in value else default for name, (read, default) in fields.items()}

    return read_fields


# Encoding


@dataclass(frozen=True, slots=True)
class Float32Array:
    """A `vector<float>`, packed in one go: 0.8 ms for 320x240 where a list would take five times that."""

    values: npt.NDArray[np.float32] = field(repr=False)

    def packed(self) -> bytes:
        """msgpack array of float32, the same bytes as packing a list of them."""
        flat = np.ascontiguousarray(self.values, dtype=np.float32).ravel()
        cells = np.empty((flat.size, 5), np.uint8)
        cells[:, 0] = 0xCA
        cells[:, 1:] = flat.astype(">f4").view(np.uint8).reshape(-1, 4)
        return _array_header(flat.size) + cells.tobytes()


class Double(float):
    """A float that travels in eight bytes; every other travels in four, as AirSim's real_T is a float."""

    def packed(self) -> bytes:
        """msgpack float64."""
        return b"\xcb" + struct.pack(">d", self)


def _array_header(count: int) -> bytes:
    if count < 16:
        return bytes([0x90 | count])
    if count < 1 << 16:
        return b"\xdc" + struct.pack(">H", count)
    return b"\xdd" + struct.pack(">I", count)


def _map_header(count: int) -> bytes:
    return bytes([0x80 | count]) if count < 16 else b"\xde" + struct.pack(">H", count)


def pack(value: Any) -> bytes:
    """One value: maps keep their order, floats are single, `Double` and `Float32Array` pack themselves."""
    pieces: list[bytes] = []
    _pack_into(
        pieces, msgpack.Packer(use_single_float=True, use_bin_type=True, unicode_errors="surrogateescape"), value
    )
    return b"".join(pieces)


def _pack_into(pieces: list[bytes], packer: Any, value: Any) -> None:
    if isinstance(value, Float32Array | Double):
        pieces.append(value.packed())
    elif isinstance(value, dict):
        pieces.append(_map_header(len(value)))
        for key, item in value.items():
            pieces.append(packer.pack(key))
            _pack_into(pieces, packer, item)
    elif isinstance(value, list | tuple):
        pieces.append(_array_header(len(value)))
        for item in value:
            _pack_into(pieces, packer, item)
    else:
        pieces.append(packer.pack(value))


def pack_answer(message_id: int, error: str | None, result: Any) -> bytes:
    """A whole answer, to be sent in one write."""
    return pack([1, message_id, error, result])


class RequestStream:
    """Bytes in, requests out, whatever the pieces they arrive in."""

    def __init__(self) -> None:
        self._unpacker = msgpack.Unpacker(
            raw=False,
            strict_map_key=False,
            unicode_errors="surrogateescape",
            max_buffer_size=MOST_REQUEST_BYTES,
            max_array_len=_MOST_ITEMS,
            max_map_len=_MOST_ITEMS,
        )

    def feed(self, data: bytes) -> Iterator[Request]:
        """Requests that are complete now. Raises `ProtocolViolation`."""
        try:
            self._unpacker.feed(data)
            for message in self._unpacker:
                yield _request(message)
        except (msgpack.UnpackException, ValueError, TypeError, RecursionError, MemoryError) as error:
            raise ProtocolViolation(f"not msgpack: {error or type(error).__name__}") from error


def _request(message: Any) -> Request:
    match message:
        case [0, int(message_id), str(method), list(params)] if 0 <= message_id < _UINT32:
            return Request(message_id, method, params)
        case [2, str(method), list(params)]:
            return Request(None, method, params)
    raise ProtocolViolation("a message is neither a request nor a notification")
