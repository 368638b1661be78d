"""python -m pytest tests/unit/recording/test_mcap_file.py

What is written to a recording is read again, by us and by any reader of MCAP, whole or cut off anywhere.
"""

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap_protobuf.decoder import DecoderFactory
from recording_values import VEHICLE, flight_log, frame_update, mission_events, telemetry

from stillwing_agent.core.events import MissionEvent
from stillwing_bridge.core.events import FlightLogEntry
from stillwing_bridge.core.types import FrameUpdate
from stillwing_common.errors import AlreadyExists, InvalidInput, NotFound, StillwingError, Unsupported
from stillwing_common.types import ImageEncoding
from stillwing_recording.base import Losses
from stillwing_recording.mcap_file import McapRecording
from stillwing_recording.opening import open_recording
from stillwing_recording.writer import FlightWriter


def plain(entry: FlightLogEntry) -> str:
    """Errors compare by identity; their words and metadata are what counts."""
    error = getattr(entry.event, "error", None)
    return repr(entry) + (f"{error} {error.metadata} {error.reason}" if isinstance(error, StillwingError) else "")


def write(path: Path, frames: int = 6) -> None:
    """A small flight with a chunk for every frame."""
    writer = FlightWriter(path, VEHICLE, 100, {"goal": "Fly."})
    writer.flush()
    for number in range(1, frames + 1):
        writer.frame(frame_update(number), number * 1000)
        writer.telemetry(telemetry(number), number * 1000 + 1)
        writer.flush()
    for entry in flight_log():
        writer.flight_log(entry, 50_000 + entry.log_seq)
    for event in mission_events():
        writer.mission_event(event, 60_000 + event.event_seq)
    writer.close()


@pytest.fixture(scope="module")
def flight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "flight.mcap"
    write(path)
    return path


def test_everything_comes_back_as_it_went_in(flight: Path) -> None:
    recording = open_recording(flight)
    assert recording.vehicle == VEHICLE
    frames = list(recording.frames())
    assert [entry.value.frame.image.data for entry in frames] == [
        frame_update(number).frame.image.data for number in range(1, 7)
    ]
    assert [entry.time_ns for entry in frames] == [number * 1000 for number in range(1, 7)]
    first = frames[0].value
    assert (first.sequence, first.receive_time_ns, first.request_time_ns, first.offer_time_ns) == (1, 5001, 4001, 6001)
    assert first.frame.capture == frame_update(1).frame.capture
    assert first.frame.frame_id == "drone/front_center/1"
    assert [entry.value.stamp for entry in recording.telemetry()] == [telemetry(n).stamp for n in range(1, 7)]
    assert [plain(entry.value) for entry in recording.flight_log()] == [plain(entry) for entry in flight_log()]
    events = [entry.value for entry in recording.entries() if isinstance(entry.value, MissionEvent)]
    assert [event.event_seq for event in events] == list(range(1, 7))
    times = [entry.time_ns for entry in recording.entries()]
    assert times == sorted(times)


def test_the_glance(flight: Path) -> None:
    info = open_recording(flight).info()
    assert (info.kind, info.whole, info.frames) == ("mcap", True, 6)
    assert info.counts["/commands"] == 2
    assert info.counts["/refusals"] == 1
    assert info.metadata["goal"] == "Fly."
    assert info.losses == Losses()


def test_any_reader_of_mcap_shows_it(flight: Path) -> None:
    with flight.open("rb") as file:
        reader = make_reader(file, validate_crcs=True, decoder_factories=[DecoderFactory()])
        decoded = [
            (schema.name, channel.topic, message) for schema, channel, _, message in reader.iter_decoded_messages()
        ]
    names = {topic: name for name, topic, _ in decoded}
    assert names["/camera/front_center/image"] == "foxglove.CompressedImage"
    assert names["/camera/front_center/calibration"] == "foxglove.CameraCalibration"
    assert names["/pose"] == "foxglove.PoseInFrame"
    assert names["/tf"] == "foxglove.FrameTransform"
    assert names["/scene"] == "foxglove.SceneUpdate"
    assert names["/log"] == "foxglove.Log"
    assert names["/commands"] == "stillwing.vehicle.v1.WatchFlightLogResponse"
    assert names["/mission"] == "stillwing.agent.v1.WatchMissionResponse"
    pose = next(message for _, topic, message in decoded if topic == "/pose").pose
    assert (pose.position.x, pose.position.y, pose.position.z) == (2.0, 1.0, 3.0)  # east, north, up
    words = [message.message for _, topic, message in decoded if topic == "/log"]
    assert "step refused: Something is in the way: 0.8 m" in words
    assert any(message.level >= 3 for _, topic, message in decoded if topic == "/log")


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1))
def test_a_file_cut_anywhere_reads_up_to_the_cut(
    flight: Path, tmp_path_factory: pytest.TempPathFactory, share: float
) -> None:
    data = flight.read_bytes()
    cut = tmp_path_factory.mktemp("cut") / "cut.mcap"
    cut.write_bytes(data[: round(share * (len(data) - 1))])
    try:
        recording = McapRecording(cut)
    except InvalidInput:
        assert share < 0.7  # not even the first chunk: schemas are most of so small a file
        return
    values = [entry.value for entry in recording.entries()]
    frames = [value for value in values if isinstance(value, FrameUpdate)]
    assert [frame.sequence for frame in frames] == list(range(1, len(frames) + 1))
    assert all(frame.frame.image.data == frame_update(frame.sequence).frame.image.data for frame in frames)
    assert not recording.info().whole


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damage_ends_a_recording_and_never_crashes(
    flight: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    raw = bytearray(flight.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=4)):
        raw[place] ^= data.draw(st.integers(1, 255))
    damaged = tmp_path_factory.mktemp("damaged") / "damaged.mcap"
    damaged.write_bytes(bytes(raw))
    try:
        recording = McapRecording(damaged)
    except InvalidInput:
        return
    recording.info()
    originals = {frame_update(number).frame.image.data for number in range(1, 7)}
    try:
        for entry in itertools.islice(recording.entries(), 1000):
            if isinstance(entry.value, FrameUpdate):
                assert entry.value.frame.image.data in originals  # checksums: damaged pixels are never handed on
    except InvalidInput:
        return


def test_a_recording_is_never_overwritten(flight: Path) -> None:
    before = flight.read_bytes()
    with pytest.raises(AlreadyExists, match="never overwritten"):
        FlightWriter(flight, VEHICLE, 0)
    assert flight.read_bytes() == before


def test_what_is_no_recording_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        open_recording(tmp_path / "absent.mcap")
    strange = tmp_path / "strange.mcap"
    strange.write_bytes(b"no recording at all")
    with pytest.raises(InvalidInput, match="no recording of ours"):
        open_recording(strange)
    from mcap.writer import Writer

    foreign = tmp_path / "foreign.mcap"
    with foreign.open("wb") as file:
        other = Writer(file)
        other.start(profile="ros2")
        other.finish()
    with pytest.raises(InvalidInput, match="no recording of ours"):
        open_recording(foreign)


def test_raw_pixels_are_refused(tmp_path: Path) -> None:
    from dataclasses import replace

    update = frame_update(1)
    raw = replace(update, frame=replace(update.frame, image=replace(update.frame.image, encoding=ImageEncoding.RGB8)))
    writer = FlightWriter(tmp_path / "flight.mcap", VEHICLE, 0)
    with pytest.raises(Unsupported, match="rgb8"):
        writer.frame(raw, 1)
    writer.close()
