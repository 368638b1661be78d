"""python -m pytest tests/unit/recording/test_recorder.py

The recorder over a bridge of this process: it takes down what flies, drops rather than delays, and says what it lacks.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from bridge_toys import ToyVehicle, toy_settings
from recording_values import VEHICLE, flight_log, frame_update, telemetry

from stillwing_bridge.core.bridge import LocalBridge
from stillwing_bridge.core.commands import Step, Takeoff
from stillwing_bridge.core.events import CommandStarted
from stillwing_bridge.core.types import Lease
from stillwing_common.errors import AlreadyExists, LinkLost, StillwingError, UnknownVehicle
from stillwing_recording import topics
from stillwing_recording.flight_file import FileSettings, FlightFile
from stillwing_recording.opening import open_recording
from stillwing_recording.recorder import FlightRecorder, RecorderSettings
from stillwing_recording.writer import FlightWriter


@pytest.fixture
async def bridge() -> AsyncIterator[LocalBridge]:
    made = LocalBridge([ToyVehicle()], toy_settings())
    await made.start()
    yield made
    await made.close()


async def fly(bridge: LocalBridge) -> Lease:
    lease = (await bridge.acquire_lease("drone", "test")).lease
    await bridge.wait_command(await bridge.command(lease, Takeoff(), ttl_s=5), 5)
    frame_id = (await bridge.capture_frame("drone")).frame_id
    step = await bridge.command(lease, Step(forward_m=1), ttl_s=5, based_on_frame_id=frame_id)
    await bridge.wait_command(step, 5)
    with pytest.raises(StillwingError):
        await bridge.command(lease, Step(forward_m=1), ttl_s=5)
    return lease


async def test_a_flight_is_in_its_file(bridge: LocalBridge, tmp_path: Path) -> None:
    lease = await fly(bridge)  # before the recording, and so not in it
    path = tmp_path / "flight.mcap"
    recorder = FlightRecorder(path, bridge, "drone", RecorderSettings(fps=20), metadata={"goal": "test"})
    await recorder.start()
    frame_id = (await bridge.capture_frame("drone")).frame_id
    step = await bridge.command(lease, Step(forward_m=1), ttl_s=5, based_on_frame_id=frame_id)
    await bridge.wait_command(step, 5)
    await bridge.return_lease(lease)
    summary = await recorder.close()
    assert await recorder.close() == summary
    assert (summary.fault, summary.dropped) == ("", {})
    recording = open_recording(path)
    assert recording.vehicle == (await bridge.list_vehicles())[0]
    info = recording.info()
    assert info.whole
    assert info.metadata["goal"] == "test"
    assert info.frames == summary.frames >= 1
    assert sum(1 for _ in recording.telemetry()) == summary.written[topics.TELEMETRY] > 2
    entries = [entry.value for entry in recording.flight_log()]
    expected = [entry async for entry in bridge.watch_flight_log("drone", until_now=True)]
    assert [entry.log_seq for entry in entries] == [entry.log_seq for entry in expected][-len(entries) :]
    started = [entry.event.command_id for entry in entries if isinstance(entry.event, CommandStarted)]
    assert started == [step]


async def test_streams_that_break_are_taken_up_again(bridge: LocalBridge, tmp_path: Path) -> None:
    breaks = 2

    class Flaky:
        def __getattr__(self, name: str) -> object:
            return getattr(bridge, name)

        async def watch_telemetry(self, vehicle_id: str, *, max_rate_hz: float = 0.0) -> AsyncIterator[object]:
            nonlocal breaks
            async for state in bridge.watch_telemetry(vehicle_id, max_rate_hz=max_rate_hz):
                yield state
                if breaks:
                    breaks -= 1
                    raise LinkLost("as the test wants")

    recorder = FlightRecorder(tmp_path / "flight.mcap", Flaky(), "drone")  # type: ignore[arg-type]
    await recorder.start()
    while breaks or len(list(open_recording(tmp_path / "flight.mcap").telemetry())) < 3:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    await recorder.close()
    losses = open_recording(tmp_path / "flight.mcap").info().losses
    assert losses.interruptions == {topics.TELEMETRY: 2}


async def test_what_cannot_begin_says_why(bridge: LocalBridge, tmp_path: Path) -> None:
    with pytest.raises(UnknownVehicle):
        await FlightRecorder(tmp_path / "a.mcap", bridge, "other").start()
    (tmp_path / "b.mcap").touch()
    with pytest.raises(AlreadyExists):
        await FlightRecorder(tmp_path / "b.mcap", bridge, "drone").start()


class SlowDisk:
    """Makes writing wait until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free = threading.Event()
        write = FlightWriter.frame

        def slow(writer: FlightWriter, *args: object) -> None:
            assert self.free.wait(30)
            write(writer, *args)  # type: ignore[arg-type]

        monkeypatch.setattr(FlightWriter, "frame", slow)


def test_a_slow_disk_costs_frames_first_and_never_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SlowDisk(monkeypatch)
    settings = FileSettings(max_queue_items=10, max_queue_bytes=10**9)
    file = FlightFile(tmp_path / "flight.mcap", VEHICLE, settings, {})
    began_s = time.monotonic()
    for number in range(1, 101):
        file.put(topics.frame_topic("front_center"), frame_update(1))
        file.put(topics.TELEMETRY, telemetry(number))
    for entry in flight_log():
        file.put(topics.FLIGHT_LOG, entry)
    waited_s = time.monotonic() - began_s
    disk.free.set()
    summary = file.close(1.0)
    assert waited_s < 10, "putting waited for the disk"
    assert topics.FLIGHT_LOG not in summary.dropped
    assert summary.written[topics.FLIGHT_LOG] == len(flight_log())
    dropped = summary.dropped[topics.frame_topic("front_center")] + summary.dropped[topics.TELEMETRY]
    assert dropped >= 200 - 12
    losses = open_recording(tmp_path / "flight.mcap").info().losses
    assert losses.dropped == summary.dropped, "the file itself says what it lacks"


def test_the_queue_has_a_bound_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SlowDisk(monkeypatch)
    file = FlightFile(tmp_path / "flight.mcap", VEHICLE, FileSettings(max_queue_bytes=1), {})
    topic = topics.frame_topic("front_center")
    file.put(topic, frame_update(1))
    disk.free.set()
    assert file.close(1.0).dropped == {topic: 1}


def test_gaps_are_counted(tmp_path: Path) -> None:
    file = FlightFile(tmp_path / "flight.mcap", VEHICLE, FileSettings(), {})
    file.missed(topics.TELEMETRY, 3)
    assert file.close(1.0).missed == {topics.TELEMETRY: 3}
    assert open_recording(tmp_path / "flight.mcap").info().losses.missed == {topics.TELEMETRY: 3}


def test_a_fault_of_the_disk_ends_the_recording_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = FlightFile(tmp_path / "flight.mcap", VEHICLE, FileSettings(), {})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FlightWriter, "telemetry", full)
    file.put(topics.TELEMETRY, telemetry(1))
    while not file.fault:
        time.sleep(0.01)
    file.put(topics.TELEMETRY, replace(telemetry(2)))
    summary = file.close(1.0)
    assert "No space left" in summary.fault
    assert summary.dropped == {topics.TELEMETRY: 1}
    assert open_recording(tmp_path / "flight.mcap").vehicle == VEHICLE, "what was flushed stays readable"
