"""python -m pytest tests/unit/recording/test_mcap_limits.py

Files that unpack to far more than they are, that lie about themselves, or that hold what they do not say.
"""

import io
import struct
import tracemalloc
import zlib
from pathlib import Path

import lz4.frame
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import Chunk
from mcap.writer import MCAP0_MAGIC, CompressionType, Writer
from recording_values import VEHICLE, frame_update, telemetry

from stillwing_bridge.convert.vehicles import vehicle_to_wire
from stillwing_common.errors import InvalidInput
from stillwing_recording import topics
from stillwing_recording.mcap_file import McapRecording
from stillwing_recording.mcap_records import UnpackLimits, read_records
from stillwing_recording.opening import open_recording
from stillwing_recording.writer import FlightWriter

MIB = 1 << 20
PACK = {"": bytes, "zstd": zstandard.compress, "lz4": lz4.frame.compress}


def padding(size: int) -> bytes:
    """A record of a kind that nobody knows, of zeros."""
    return struct.pack("<BQ", 0x90, size) + bytes(size)


def chunk(compression: str, records: bytes, declared: int | None = None, *, packed: bytes | None = None) -> bytes:
    data = PACK[compression](records) if packed is None else packed
    size = len(records) if declared is None else declared
    builder = RecordBuilder()
    Chunk(compression, data, 1, 1, zlib.crc32(records) if declared is None else 0, size).write(builder)
    return builder.end()


def flight(path: Path, *more: bytes) -> Path:
    """Two messages of a flight, not compressed, then `more` records, and the end of a file."""
    file = io.BytesIO()
    writer = Writer(file, compression=CompressionType.NONE, use_statistics=False)
    writer.start(profile=topics.PROFILE)
    channel = writer.register_channel(topics.VEHICLE, "protobuf", 0)
    writer.add_message(channel, 5, vehicle_to_wire(VEHICLE).SerializeToString(), 5)
    writer.finish()
    whole = file.getvalue()
    end = whole.rindex(struct.pack("<BQ", Opcode.DATA_END, 4))
    path.write_bytes(whole[:end] + b"".join(more) + whole[end:])
    return path


def read_all(path: Path) -> None:
    recording = open_recording(path)
    recording.info()
    list(recording.entries())


def refused(path: Path, said: str) -> None:
    """Refused by the domain's error, having held no more than a few chunks."""
    tracemalloc.start()
    try:
        with pytest.raises(InvalidInput, match=said) as caught:
            McapRecording(path).info()
        with pytest.raises(InvalidInput, match=said):
            list(McapRecording(path).entries())
        assert tracemalloc.get_traced_memory()[1] < 150 * MIB
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_a_chunk_that_is_a_bomb(tmp_path: Path, compression: str) -> None:
    big = padding(UnpackLimits().chunk_bytes)
    refused(flight(tmp_path / "a.mcap", chunk(compression, big)), "bytes that a recording")
    refused(flight(tmp_path / "b.mcap", chunk(compression, big, declared=100)), "more than the 100 bytes it declares")


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_chunks_that_are_a_bomb_together(tmp_path: Path, compression: str) -> None:
    each = chunk(compression, padding(8 * MIB))
    path = flight(tmp_path / "a.mcap", each * 30)
    assert path.stat().st_size < 1.2 * MIB
    refused(path, "bytes that a recording of this size may")


def test_a_chunk_without_compression_is_held_to_its_size(tmp_path: Path) -> None:
    refused(flight(tmp_path / "a.mcap", chunk("", padding(2000), declared=1000)), "the 1000 bytes it declares")
    refused(flight(tmp_path / "b.mcap", chunk("", padding(65 * MIB))), "exceeds limit")


def test_a_frame_that_says_it_is_small_is_unpacked_no_farther(tmp_path: Path) -> None:
    """Zstandard's own header may declare any size; it is not believed either."""
    packer = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    packed = packer.compress(bytes(80 * MIB)) + packer.flush()
    refused(flight(tmp_path / "a.mcap", chunk("zstd", b"", declared=2**63, packed=packed)), "bytes that a recording")


@pytest.mark.parametrize("compression", ["", "zstd", "lz4"])
def test_what_is_within_the_limits_is_read(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "flight.mcap"
    kinds = {"": CompressionType.NONE, "zstd": CompressionType.ZSTD, "lz4": CompressionType.LZ4}
    with path.open("wb") as file:
        writer = Writer(file, chunk_size=1000, compression=kinds[compression])
        writer.start(profile=topics.PROFILE)
        channel = writer.register_channel(topics.VEHICLE, "protobuf", 0)
        for number in range(50):
            writer.add_message(channel, number, vehicle_to_wire(VEHICLE).SerializeToString(), number)
        writer.finish()
    info = open_recording(path).info()
    assert (info.vehicle, info.counts, info.whole) == (VEHICLE, {topics.VEHICLE: 50}, True)


def test_the_limits_are_the_callers(tmp_path: Path) -> None:
    path = flight(tmp_path / "a.mcap", chunk("zstd", padding(2 * MIB)))
    McapRecording(path).info()
    with pytest.raises(InvalidInput, match="1048576 bytes that"):
        McapRecording(path, UnpackLimits(chunk_bytes=MIB)).info()
    with pytest.raises(InvalidInput, match="bytes that a recording"):
        McapRecording(path, UnpackLimits(ratio=10, free_bytes=MIB)).info()


def test_a_flight_is_far_from_the_limit(tmp_path: Path) -> None:
    """States alone, without a frame: nothing that is recorded compresses better."""
    path = tmp_path / "flight.mcap"
    writer = FlightWriter(path, VEHICLE, 0)
    writer.flush()
    for number in range(4_000):
        writer.telemetry(telemetry(number), number * 100_000_000)
        if number % 500 == 0:
            writer.flush()
    writer.close()
    unpacked = sum(len(getattr(record, "data", b"")) for record in read_records(path))
    assert unpacked < UnpackLimits().ratio / 3 * path.stat().st_size


def test_a_compression_that_nobody_knows(tmp_path: Path) -> None:
    builder = RecordBuilder()
    Chunk("rar", b"x", 1, 1, 0, 1).write(builder)
    with pytest.raises(InvalidInput, match="compression 'rar'"):
        McapRecording(flight(tmp_path / "a.mcap", builder.end())).info()


def test_a_chunk_in_a_chunk_is_passed_over(tmp_path: Path) -> None:
    inner = chunk("zstd", padding(1000))
    path = flight(tmp_path / "a.mcap", chunk("zstd", chunk("lz4", inner)))
    assert McapRecording(path).info().counts == {topics.VEHICLE: 1}


def test_indexes_and_summary_are_not_believed(tmp_path: Path) -> None:
    """Every byte behind the data is another one; what was flown is the same."""
    path = tmp_path / "flight.mcap"
    writer = FlightWriter(path, VEHICLE, 1)
    for number in range(1, 4):
        writer.frame(frame_update(number), number)
    writer.close()
    before = [entry.value.frame.frame_id for entry in open_recording(path).frames()]
    data = bytearray(path.read_bytes())
    summary = data.index(struct.pack("<BQ", Opcode.DATA_END, 4)) + 13
    for place in range(summary, len(data) - len(MCAP0_MAGIC) - 29):
        data[place] ^= 0x5A
    path.write_bytes(data)
    assert [entry.value.frame.frame_id for entry in open_recording(path).frames()] == before


def test_chunks_whose_times_overlap_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "flight.mcap"
    writer = FlightWriter(path, VEHICLE, 10)
    for number, time_ns in enumerate((10, 30, 20, 40), 1):
        writer.telemetry(telemetry(number), time_ns)
        writer.flush()
    writer.close()
    entries = list(open_recording(path).telemetry())
    assert [entry.value.sequence for entry in entries] == [1, 2, 3, 4]
    assert [entry.time_ns for entry in entries] == [10, 30, 30, 50], "time stands still and goes on"


def test_a_clock_that_was_set_back_ends_no_flight_before_it_began(tmp_path: Path) -> None:
    path = tmp_path / "flight.mcap"
    second_ns = 1_000_000_000
    writer = FlightWriter(path, VEHICLE, 3600 * second_ns)
    for number in range(1, 5):
        time_ns = (3600 if number < 3 else 0) * second_ns + number * second_ns
        writer.frame(frame_update(number), time_ns)
    writer.close()
    recording = open_recording(path)
    assert recording.info().duration_s == 3.0
    times_s = [entry.time_ns / 1e9 - 3600 for entry in recording.frames()]
    assert times_s == [1.0, 2.0, 2.0, 3.0]


@pytest.mark.parametrize("topic", [topics.VEHICLE, topics.TELEMETRY, topics.COMMANDS, topics.MISSION, topics.RECORDER])
@pytest.mark.parametrize(("encoding", "said"), [("json", "encoding 'json'"), ("protobuf", "is not what this topic")])
def test_json_where_messages_belong(tmp_path: Path, topic: str, encoding: str, said: str) -> None:
    path = tmp_path / "flight.mcap"
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start(profile=topics.PROFILE)
        vehicle = writer.register_channel(topics.VEHICLE, "protobuf", 0)
        if topic != topics.VEHICLE:
            writer.add_message(vehicle, 1, vehicle_to_wire(VEHICLE).SerializeToString(), 1)
        channel = writer.register_channel(topic, encoding, 0)
        writer.add_message(channel, 1, b'{"vehicle_id": "drone"}', 1)
        writer.finish()
    with pytest.raises(InvalidInput, match=said) as caught:
        read_all(path)
    assert topic in str(caught.value)


@pytest.mark.parametrize("data", [b"", MCAP0_MAGIC, b"\0" * 100, b"\x89MCAP1\r\n" * 2, b"PK\x03\x04" * 50])
def test_what_is_no_flight_says_so(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "flight.mcap"
    path.write_bytes(data)
    with pytest.raises(InvalidInput, match="holds no flight"):
        open_recording(path)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["zstd", "lz4"]), st.integers(0, 5000), st.integers(0, 5000), st.binary(max_size=200))
def test_no_chunk_gives_more_than_it_may(
    tmp_path_factory: pytest.TempPathFactory, compression: str, size: int, declared: int, damage: bytes
) -> None:
    path = tmp_path_factory.mktemp("chunk") / "a.mcap"
    records = padding(size)
    packed = PACK[compression](records)
    place = len(damage) % len(packed)
    packed = packed[:place] + damage + packed[place:]
    flight(path, chunk(compression, records, declared, packed=packed))
    limits = UnpackLimits(chunk_bytes=3000)
    try:
        list(read_records(path, limits))
    except InvalidInput as error:
        assert "a chunk unpacks to more than" in str(error)  # noqa: PT017  either way is right
