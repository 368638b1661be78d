"""Records of an MCAP file, one after the other, none of which costs more than the file's size allows.

Lengths in a file may be damaged or lies, and compressed data may unpack to any size. So nothing is read that the file
does not hold, and a chunk is unpacked no farther than its limit. Indexes and the summary are not used: what they say
of chunks cannot mislead. It knows nothing of topics and flights.
"""

import io
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import lz4.frame
import zstandard
from mcap.data_stream import ReadDataStream
from mcap.exceptions import EndOfFile, McapError, RecordLengthLimitExceeded
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, McapRecord, Message
from mcap.stream_reader import StreamReader

from stillwing_common.errors import InvalidInput
from stillwing_recording.files import open_file

_DAMAGE = (McapError, struct.error, ValueError, OverflowError, MemoryError, zstandard.ZstdError, RuntimeError)
_HEAD = struct.Struct("<BQ")
_MESSAGE_HEAD = struct.Struct("<HIQQ")
_ROOM_FOR_NAMES = 1 << 16
_WINDOW_BYTES = 1 << 27
"""What Zstandard itself takes to be safe; its packers stay below unless told otherwise."""


@dataclass(frozen=True, slots=True)
class UnpackLimits:
    """How far a file may unpack: one chunk, and all chunks of a pass together by the size of the file.

    A chunk holds a megabyte and one message, which is at most a picture. Pictures do not shrink when compressed, and
    the rest of a flight shrinks to a quarter, so that no flight comes near the ratio.
    """

    chunk_bytes: int = 64 << 20
    ratio: int = 20
    free_bytes: int = 16 << 20
    """What any file may unpack to, however small it is."""

    def total_bytes(self, file_bytes: int) -> int:
        """What a file of this size may unpack to."""
        return self.free_bytes + self.ratio * file_bytes


def read_records(path: Path, limits: UnpackLimits | None = None) -> Iterator[McapRecord]:
    """Records up to where the file ends or makes no sense any more.

    `InvalidInput` for a file that cannot be opened, that unpacks to more than it declares or than `limits` allow.
    """
    limits = limits or UnpackLimits()
    with open_file(path) as file:
        size_bytes = os.fstat(file.fileno()).st_size
        bounded = _Bounded(file, size_bytes)
        reader = StreamReader(
            cast(Any, bounded),
            emit_chunks=True,
            validate_crcs=True,
            record_size_limit=limits.chunk_bytes + _ROOM_FOR_NAMES,
        )
        left_bytes = limits.total_bytes(size_bytes)
        records = reader.records
        while True:
            try:
                record = next(records)
                inner = b""
                if isinstance(record, Chunk):
                    inner = _unpacked(path, record, min(limits.chunk_bytes, left_bytes))
                    left_bytes -= len(inner)
            except StopIteration:
                return
            except RecordLengthLimitExceeded as error:
                if size_bytes > limits.chunk_bytes:
                    raise InvalidInput(f"{path}: {error}", path=path) from error
                return  # it declares more than the file holds
            except _DAMAGE:
                return
            if not isinstance(record, Chunk):
                yield record
                continue
            try:
                yield from _in_chunk(inner)
            except _DAMAGE:
                return


class _Bounded:
    """A file that refuses to be asked for more than it holds: a damaged length must not cost that much memory."""

    def __init__(self, file: BinaryIO, size_bytes: int) -> None:
        self._file = file
        self._left = size_bytes

    def read(self, length: int) -> bytes:
        if not 0 <= length <= self._left:
            raise EndOfFile
        self._left -= length
        return self._file.read(length)


def _unpacked(path: Path, chunk: Chunk, most_bytes: int) -> bytes:
    """The chunk's records, of the size it declares. Raises one of `_DAMAGE`, and `InvalidInput` for a bomb."""
    wanted = min(chunk.uncompressed_size, most_bytes)
    match chunk.compression:
        case "":
            data = chunk.data
        case "zstd":
            with zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES).stream_reader(chunk.data) as reader:
                data = reader.read(wanted + 1)
        case "lz4":
            data = lz4.frame.LZ4FrameDecompressor().decompress(chunk.data, max_length=wanted + 1)
        case _:
            raise InvalidInput(f"{path}: chunks in the compression {chunk.compression!r} cannot be read", path=path)
    if len(data) > wanted:
        allowed = "it declares" if wanted == chunk.uncompressed_size else "that a recording of this size may"
        raise InvalidInput(f"{path}: a chunk unpacks to more than the {wanted} bytes {allowed}", path=path)
    if len(data) != chunk.uncompressed_size:
        raise EndOfFile
    if chunk.uncompressed_crc not in (0, zlib.crc32(data)):
        raise EndOfFile
    return data


def _in_chunk(data: bytes) -> Iterator[McapRecord]:
    """Channels and messages of a chunk; what else there is says nothing that is needed."""
    place = 0
    while place < len(data):
        opcode, length = _HEAD.unpack_from(data, place)
        place += _HEAD.size
        end = place + length
        if end > len(data) or opcode == 0:  # which no record has
            raise EndOfFile
        if opcode == Opcode.MESSAGE:
            channel_id, sequence, log_time, publish_time = _MESSAGE_HEAD.unpack_from(data, place)
            start = place + _MESSAGE_HEAD.size
            if start > end:
                raise EndOfFile
            yield Message(channel_id, log_time, data[start:end], publish_time, sequence)
        elif opcode == Opcode.CHANNEL:
            yield Channel.read(ReadDataStream(io.BytesIO(data[place:end])))
        place = end
