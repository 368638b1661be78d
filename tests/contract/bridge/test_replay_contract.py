"""python -m pytest tests/contract/bridge/test_replay_contract.py -v

What a bridge promises holds over a recording too, in this process and behind the wire; what cannot be done is refused.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from recording_values import VEHICLE, frame_update, jpeg, telemetry

from stillwing_bridge.client import RemoteBridge, RemoteSimulation
from stillwing_bridge.core.commands import CommandState, Hold, SetVelocity, Step, Takeoff
from stillwing_bridge.core.events import CommandStarted, LeaseChanged, Refused
from stillwing_bridge.core.protocol import Bridge
from stillwing_bridge.core.types import FrameUpdate, Lease, StopLevel
from stillwing_bridge.server import DEADLINE_REQUIRED, registrations
from stillwing_common.errors import (
    EmergencyStopped,
    InvalidInput,
    LeaseHeld,
    LeaseSuperseded,
    NotPermitted,
    ObservationRequired,
    Replayed,
    Thinking,
    TtlRequired,
    TtlTooLong,
    UnknownCamera,
    UnknownCommand,
    UnknownFrame,
    UnknownVehicle,
    Unsupported,
)
from stillwing_common.types import ImageEncoding
from stillwing_recording.opening import open_recording
from stillwing_recording.replay import CommandMode, ReplayBridge
from stillwing_recording.writer import FlightWriter
from stillwing_rpc.server import RpcServer
from stillwing_rpc.settings import ServerSettings

FRAMES = 12
PERIOD_NS = 100_000_000


@pytest.fixture(scope="module")
def flight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1.1 s of flight: a frame and two states each tenth of a second."""
    path = tmp_path_factory.mktemp("recording") / "flight.mcap"
    writer = FlightWriter(path, VEHICLE, 1)
    for number in range(FRAMES):
        time_ns = 1 + number * PERIOD_NS
        writer.frame(frame_update(number + 1), time_ns)
        writer.telemetry(telemetry(2 * number + 1), time_ns + 1)
        writer.telemetry(telemetry(2 * number + 2), time_ns + PERIOD_NS // 2)
    writer.close()
    return path


@dataclass
class Theatre:
    """A replay and how its caller sees it."""

    bridge: Bridge
    local: ReplayBridge

    async def lease(self) -> Lease:
        return (await self.bridge.acquire_lease("drone", "test")).lease


Open = Callable[..., "asyncio.Future[Theatre]"]


@pytest.fixture(params=["local", "remote"])
async def play(request: pytest.FixtureRequest, flight: Path) -> AsyncIterator[Open]:
    ends = []

    async def begin(path: Path = flight, **options: object) -> Theatre:
        local = ReplayBridge(open_recording(path), **options)  # type: ignore[arg-type]
        await local.start()
        ends.append(local.close)
        if request.param == "local":
            return Theatre(local, local)
        server = RpcServer(registrations(local, None), ServerSettings(), deadline_required=DEADLINE_REQUIRED)
        port = await server.start()
        await server.set_serving()
        remote = await RemoteBridge.connect(f"127.0.0.1:{port}")
        ends.extend((server.drain, remote.close))
        return Theatre(remote, local)

    yield begin  # type: ignore[misc]
    for end in reversed(ends):
        await end()


async def frames_of(theatre: Theatre, **options: object) -> list[FrameUpdate]:
    return [update async for update in theatre.bridge.watch_frames("drone", **options)]  # type: ignore[arg-type]


async def test_frames_come_bit_for_bit_and_in_order(play: Open) -> None:
    frames = await frames_of(await play(speed=0))
    assert [update.frame.image.data for update in frames] == [jpeg(number) for number in range(1, FRAMES + 1)]
    assert [update.frame.frame_id for update in frames] == [f"drone/front_center/{n}" for n in range(1, FRAMES + 1)]
    assert [update.frame.capture for update in frames] == [frame_update(n).frame.capture for n in range(1, FRAMES + 1)]
    assert [update.sequence for update in frames] == list(range(1, FRAMES + 1))


async def test_a_slow_reader_loses_nothing_at_speed_0(play: Open) -> None:
    theatre = await play(speed=0)
    seen = []
    async for update in theatre.bridge.watch_frames("drone"):
        await asyncio.sleep(0.01)
        seen.append(update.sequence)
    assert seen == list(range(1, FRAMES + 1))


@pytest.mark.parametrize("speed", [1.0, 3.0])
async def test_times_are_scaled(play: Open, speed: float) -> None:
    theatre = await play(speed=speed)
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    arrived_s = [loop.time() - began_s async for _ in theatre.bridge.watch_frames("drone")]
    # Never early; late by as much as a busy machine makes it, which no test can bound.
    assert arrived_s[-1] >= (FRAMES - 1) * PERIOD_NS / 1e9 / speed


async def test_rates_count_on_the_recordings_clock(play: Open) -> None:
    frames = await frames_of(await play(speed=0), max_rate_hz=2.5)
    assert [update.frame.frame_id.rpartition("/")[2] for update in frames] == ["1", "5", "9"]


async def test_a_rate_next_to_nothing_is_the_first_frame(play: Open) -> None:
    frames = await frames_of(await play(speed=0), max_rate_hz=1e-320)
    assert [update.sequence for update in frames] == [1]


async def test_other_encodings_are_made_and_depth_is_refused(play: Open) -> None:
    theatre = await play(speed=0)
    frame = await theatre.bridge.capture_frame("drone", encoding=ImageEncoding.RGB8)
    assert len(frame.image.data) == 32 * 24 * 3
    assert (await theatre.bridge.capture_frame("drone")).image.data == jpeg(1)
    with pytest.raises(Unsupported, match="depth"):
        await theatre.bridge.capture_frame("drone", encoding=ImageEncoding.DEPTH_F32)
    with pytest.raises(Unsupported, match="depth"):
        await frames_of(theatre, encoding=ImageEncoding.DEPTH_F32)
    frames = await frames_of(theatre, encoding=ImageEncoding.PNG)
    assert {update.frame.image.encoding for update in frames} == {ImageEncoding.PNG}


async def test_telemetry_is_the_recorded_one(play: Open) -> None:
    theatre = await play(speed=1.0)
    watch = asyncio.ensure_future(_states(theatre))
    await frames_of(theatre)
    states = await watch
    recorded = [telemetry(number).stamp for number in range(1, 2 * FRAMES + 1)]
    assert states[-1].stamp == recorded[-1]
    places = [recorded.index(state.stamp) for state in states]
    assert places == sorted(set(places)), "in order, each at most once; a slow reader may lose some"
    assert states[-1].pose.position == telemetry(1).pose.position


async def _states(theatre: Theatre) -> list:  # type: ignore[type-arg]
    return [state async for state in theatre.bridge.watch_telemetry("drone")]


async def test_the_vehicles_clock_is_the_recorded_one(play: Open) -> None:
    theatre = await play(speed=1.0)
    first = (await theatre.bridge.time_sync("drone")).vehicle
    assert first == telemetry(1).stamp, "it stands until the first reader"
    async for state in theatre.bridge.watch_telemetry("drone"):
        assert state.stamp == first, "the state can be seen before anything plays"
        break
    await frames_of(theatre)
    last = (await theatre.bridge.time_sync("drone")).vehicle
    assert last is not None
    assert last == telemetry(2 * FRAMES).stamp


async def test_motions_are_refused_and_holds_are_not(play: Open) -> None:
    theatre = await play()
    lease = await theatre.lease()
    for command in (Takeoff(), Step(forward_m=1)):
        with pytest.raises(Replayed, match="recording"):
            await theatre.bridge.command(lease, command, ttl_s=5, based_on_frame_id="drone/front_center/1")
    hold = await theatre.bridge.command(lease, Hold())
    assert (await theatre.bridge.wait_command(hold, 1)).state is CommandState.SUCCEEDED
    log = [entry.event async for entry in theatre.bridge.watch_flight_log("drone", until_now=True)]
    assert [type(event).__name__ for event in log] == [
        "LeaseChanged", "Refused", "Refused", "CommandStarted", "CommandEnded", "Held",
    ]  # fmt: skip
    assert isinstance(log[1], Refused)
    assert isinstance(log[1].error, Replayed)


async def test_noted_motions_are_checked_and_said_to_be_noted(play: Open) -> None:
    theatre = await play(commands=CommandMode.NOTE)
    lease = await theatre.lease()
    frame_id = (await theatre.bridge.capture_frame("drone")).frame_id
    fly = theatre.bridge.command
    noted = await fly(lease, Step(forward_m=1), ttl_s=5, based_on_frame_id=frame_id, request_id="req_1")
    assert (await theatre.bridge.wait_command(noted, 1)).state is CommandState.NOTED
    assert await fly(lease, Step(forward_m=1), ttl_s=5, based_on_frame_id=frame_id, request_id="req_1") == noted
    with pytest.raises(TtlRequired):
        await fly(lease, Step(forward_m=1), based_on_frame_id=frame_id)
    with pytest.raises(TtlTooLong):
        await fly(lease, SetVelocity(forward_m_s=1), ttl_s=6, based_on_frame_id=frame_id)
    with pytest.raises(ObservationRequired):
        await fly(lease, Step(forward_m=1), ttl_s=5)
    with pytest.raises(UnknownFrame):
        await fly(lease, Step(forward_m=1), ttl_s=5, based_on_frame_id="drone/front_center/9999")
    await theatre.bridge.begin_thinking(lease, 1)
    with pytest.raises(Thinking):
        await fly(lease, Step(forward_m=1), ttl_s=5, based_on_frame_id=frame_id)
    await theatre.bridge.end_thinking(lease)
    await fly(lease, Takeoff(), ttl_s=5)
    assert await theatre.bridge.emergency_stop("drone", StopLevel.HOLD, "test") is StopLevel.HOLD
    with pytest.raises(EmergencyStopped):
        await fly(lease, Takeoff(), ttl_s=5)
    log = [entry.event async for entry in theatre.bridge.watch_flight_log("drone", until_now=True)]
    assert not any(event.motion for event in log if isinstance(event, CommandStarted)), "nothing ever moved"


async def test_leases_work_as_live(play: Open) -> None:
    theatre = await play()
    lease = await theatre.lease()
    with pytest.raises(LeaseHeld):
        await theatre.bridge.acquire_lease("drone", "other")
    taken = (await theatre.bridge.take_lease("drone", "operator", "test")).lease
    with pytest.raises(LeaseSuperseded):
        await theatre.bridge.retain_lease(lease)
    await theatre.bridge.return_lease(taken)
    assert await theatre.bridge.get_lease("drone") is None
    log = [entry.event async for entry in theatre.bridge.watch_flight_log("drone", until_now=True)]
    assert [event.change for event in log if isinstance(event, LeaseChanged)] == ["acquired", "taken", "returned"]


async def test_what_is_not_there_is_named(play: Open) -> None:
    theatre = await play()
    (vehicle,) = await theatre.bridge.list_vehicles()
    assert vehicle.cameras == VEHICLE.cameras
    assert not vehicle.simulated
    with pytest.raises(UnknownVehicle):
        await theatre.bridge.acquire_lease("other", "test")
    with pytest.raises(UnknownCamera):
        await theatre.bridge.capture_frame("drone", "back")
    with pytest.raises(UnknownCommand):
        await theatre.bridge.wait_command("cmd_0", 1)
    with pytest.raises(NotPermitted):
        await theatre.bridge.clear_emergency_stop("drone", "token")
    if isinstance(theatre.bridge, RemoteBridge):
        with pytest.raises(Unsupported):
            await RemoteSimulation(theatre.bridge.channel).get_world()


async def test_pictures_play_too(play: Open, tmp_path: Path) -> None:
    for number in range(1, 4):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(number))
    frames = await frames_of(await play(tmp_path, speed=0))
    assert [update.frame.image.data for update in frames] == [jpeg(1), jpeg(2), jpeg(3)]


async def test_a_recording_without_frames_is_refused(tmp_path: Path) -> None:
    FlightWriter(tmp_path / "empty.mcap", VEHICLE, 1).close()
    with pytest.raises(InvalidInput, match="no frame"):
        await ReplayBridge(open_recording(tmp_path / "empty.mcap")).start()
    with pytest.raises(InvalidInput, match="speed"):
        ReplayBridge(open_recording(tmp_path / "empty.mcap"), speed=-1)
