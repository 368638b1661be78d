"""A `Bridge` and a `Simulation` behind the wire. Their caller cannot tell them from those of this process."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator

import grpc

from stillwing.sim.v1 import sim_pb2, sim_pb2_grpc
from stillwing.vehicle.v1 import lease_pb2, lease_pb2_grpc, vehicle_pb2, vehicle_pb2_grpc
from stillwing_bridge.convert.commands import command_to_wire, lease_state_from_wire, lease_to_wire, status_from_wire
from stillwing_bridge.convert.flight_log import entry_from_wire
from stillwing_bridge.convert.names import VEHICLE_SERVICE
from stillwing_bridge.convert.stops import level_from_wire, stop_from_wire, stop_request
from stillwing_bridge.convert.vehicles import (
    frame_update_from_wire,
    telemetry_from_wire,
    time_sync_from_wire,
    vehicle_from_wire,
)
from stillwing_bridge.core.commands import Command, CommandStatus
from stillwing_bridge.core.events import FlightLogEntry
from stillwing_bridge.core.recent import Recent
from stillwing_bridge.core.types import (
    RETAIN_PERIOD_S,
    STILL_WITHIN_S,
    EmergencyStop,
    FrameUpdate,
    GroundTruth,
    Lease,
    LeaseState,
    StopLevel,
    Telemetry,
    ThinkingInterval,
    TimeSync,
    VehicleInfo,
    WorldInfo,
)
from stillwing_common.errors import Expired, StillwingError, Unsupported
from stillwing_common.types import Frame, ImageEncoding, Pose, Stamp
from stillwing_rpc.channel import connect
from stillwing_rpc.channel_settings import ChannelSettings
from stillwing_rpc.convert import (
    duration_to_wire,
    encoding_to_wire,
    frame_from_wire,
    pose_from_wire,
    pose_to_wire,
    stamp_from_wire,
    timestamp_to_wire,
    velocity_from_wire,
)
from stillwing_rpc.errors import domain_errors, sendable_values
from stillwing_rpc.sendable import check_wait, checked

_WAIT_SLICE_S = RETAIN_PERIOD_S + 0.05
_REATTEND_S = 0.5
# For the answer's way, beside the time that a vehicle gets to come to rest.
_ANSWER_S = 0.5


class RemoteBridge:
    """See `core.protocol.Bridge`; calls one VehicleService and one LeaseService.

    Every lease it is given is attended until it is returned: if this process dies, the vehicle is held at once.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._vehicles: vehicle_pb2_grpc.VehicleServiceAsyncStub = checked(vehicle_pb2_grpc.VehicleServiceStub(channel))
        self._leases: lease_pb2_grpc.LeaseServiceAsyncStub = checked(lease_pb2_grpc.LeaseServiceStub(channel))
        self._authors: Recent[Lease] = Recent()
        self._lifelines: dict[str, asyncio.Task[None]] = {}

    @classmethod
    async def connect(
        cls, target: str, settings: ChannelSettings | None = None, *, wait_s: float = 10.0
    ) -> "RemoteBridge":
        """Reach the bridge at `target` ("host:port"). Raises Unavailable, WrongService."""
        return cls(await connect(target, VEHICLE_SERVICE, settings, wait_s=wait_s))

    @property
    def channel(self) -> grpc.aio.Channel:
        """The channel, for a `RemoteSimulation` of the same bridge."""
        return self._channel

    async def close(self) -> None:
        """Close the channel; streams end, and what moves under a lease of this client is held."""
        for lifeline in self._lifelines.values():
            lifeline.cancel()
        if self._lifelines:
            await asyncio.wait(self._lifelines.values())
        await self._channel.close()

    async def list_vehicles(self) -> tuple[VehicleInfo, ...]:
        """See `Bridge.list_vehicles`."""
        with domain_errors():
            response = await self._vehicles.ListVehicles(vehicle_pb2.ListVehiclesRequest())
        return tuple(vehicle_from_wire(vehicle) for vehicle in response.vehicles)

    # Leases

    async def acquire_lease(self, vehicle_id: str, holder: str, *, stale_after_s: float | None = None) -> LeaseState:
        """See `Bridge.acquire_lease`."""
        with sendable_values():
            request = lease_pb2.AcquireLeaseRequest(vehicle_id=vehicle_id, holder=holder)
            if stale_after_s is not None:
                request.stale_after.CopyFrom(duration_to_wire(stale_after_s))
        with domain_errors():
            return self._attended(lease_state_from_wire((await self._leases.AcquireLease(request)).state))

    async def take_lease(
        self, vehicle_id: str, holder: str, reason: str, *, stale_after_s: float | None = None
    ) -> LeaseState:
        """See `Bridge.take_lease`."""
        with sendable_values():
            request = lease_pb2.TakeLeaseRequest(vehicle_id=vehicle_id, holder=holder, reason=reason)
            if stale_after_s is not None:
                request.stale_after.CopyFrom(duration_to_wire(stale_after_s))
        with domain_errors():
            return self._attended(lease_state_from_wire((await self._leases.TakeLease(request)).state))

    async def retain_lease(self, lease: Lease) -> LeaseState:
        """See `Bridge.retain_lease`."""
        with sendable_values():
            request = lease_pb2.RetainLeaseRequest(lease=lease_to_wire(lease))
        with domain_errors():
            return lease_state_from_wire((await self._leases.RetainLease(request)).state)

    async def get_lease(self, vehicle_id: str) -> LeaseState | None:
        """See `Bridge.get_lease`."""
        with sendable_values():
            request = lease_pb2.GetLeaseRequest(vehicle_id=vehicle_id)
        with domain_errors():
            response = await self._leases.GetLease(request)
        return lease_state_from_wire(response.state) if response.HasField("state") else None

    async def attend_lease(self, lease: Lease) -> AsyncIterator[LeaseState]:
        """See `Bridge.attend_lease`."""
        with sendable_values():
            request = lease_pb2.AttendLeaseRequest(lease=lease_to_wire(lease))
        call = self._leases.AttendLease(request)
        try:
            with domain_errors():
                async for message in call:
                    yield lease_state_from_wire(message.state)
        finally:
            call.cancel()

    def _attended(self, state: LeaseState) -> LeaseState:
        vehicle_id = state.lease.vehicle_id
        before = self._lifelines.get(vehicle_id)
        if before is not None:
            before.cancel()
        self._lifelines[vehicle_id] = asyncio.create_task(self._attend(state.lease), name=f"lifeline-{vehicle_id}")
        return state

    async def _attend(self, lease: Lease) -> None:
        while True:
            try:
                async for _ in self.attend_lease(lease):
                    pass
                return
            except Unsupported:
                return  # a bridge from before there were lifelines: its watchdog notices the silence
            except StillwingError:
                await asyncio.sleep(_REATTEND_S)  # cut off, and held by now; the lease may still be ours

    async def return_lease(self, lease: Lease) -> None:
        """See `Bridge.return_lease`."""
        with sendable_values():
            request = lease_pb2.ReturnLeaseRequest(lease=lease_to_wire(lease))
        with domain_errors():
            await self._leases.ReturnLease(request)
        lifeline = self._lifelines.pop(lease.vehicle_id, None)
        if lifeline is not None:
            lifeline.cancel()

    # Commands

    async def command(
        self,
        lease: Lease,
        command: Command,
        *,
        ttl_s: float | None = None,
        based_on_frame_id: str = "",
        request_id: str = "",
    ) -> str:
        """See `Bridge.command`."""
        with sendable_values():
            request = vehicle_pb2.CommandRequest(
                lease=lease_to_wire(lease),
                request_id=request_id or str(uuid.uuid4()),
                based_on_frame_id=based_on_frame_id,
            )
            if ttl_s is not None:
                request.ttl.CopyFrom(duration_to_wire(ttl_s))
            command_to_wire(command, request)
        # Its way may be looked at for longer than an author may be silent.
        signs = asyncio.create_task(self._give_signs(lease))
        try:
            with domain_errors():
                command_id = (await self._vehicles.Command(request)).command_id
        finally:
            signs.cancel()
        self._authors.put(command_id, lease)
        return command_id

    async def _give_signs(self, lease: Lease) -> None:
        with contextlib.suppress(StillwingError):  # lost, and with it the command: its answer says so
            while True:
                await asyncio.sleep(RETAIN_PERIOD_S)
                await self.retain_lease(lease)

    async def wait_command(self, command_id: str, timeout_s: float) -> CommandStatus:
        """See `Bridge.wait_command`."""
        deadline_s = time.monotonic() + check_wait("timeout_s", timeout_s)
        lease = self._authors.get(command_id)
        while True:
            left_s = deadline_s - time.monotonic()
            status = await self._status(command_id, min(max(left_s, 0.1), _WAIT_SLICE_S))
            if status is not None and (status.ended or left_s <= _WAIT_SLICE_S):
                return status
            if lease is not None:
                try:
                    await self.retain_lease(lease)
                except StillwingError:
                    lease = None  # lost, and with it the command: its end is what is waited for

    async def _status(self, command_id: str, timeout_s: float) -> CommandStatus | None:
        try:
            with sendable_values():
                request = vehicle_pb2.WaitCommandRequest(command_id=command_id)
            with domain_errors():
                return status_from_wire((await self._vehicles.WaitCommand(request, timeout=timeout_s)).status)
        except Expired:
            return None  # the answer came after this slice of the wait

    async def begin_thinking(
        self, lease: Lease, expected_s: float, *, within_s: float = STILL_WITHIN_S
    ) -> ThinkingInterval:
        """See `Bridge.begin_thinking`; the bridge refuses shortly before the call's deadline."""
        with sendable_values():
            request = vehicle_pb2.BeginThinkingRequest(
                lease=lease_to_wire(lease), expected=duration_to_wire(expected_s)
            )
        with domain_errors():
            response = await self._vehicles.BeginThinking(request, timeout=check_wait("within_s", within_s) + _ANSWER_S)
        held_since = stamp_from_wire(response.held_since) if response.HasField("held_since") else None
        return ThinkingInterval(response.thinking_id, held_since)

    async def end_thinking(self, lease: Lease) -> None:
        """See `Bridge.end_thinking`."""
        with sendable_values():
            request = vehicle_pb2.EndThinkingRequest(lease=lease_to_wire(lease))
        with domain_errors():
            await self._vehicles.EndThinking(request)

    async def emergency_stop(self, vehicle_id: str, level: StopLevel, reason: str, *, who: str = "") -> StopLevel:
        """See `Bridge.emergency_stop`; "" as `who` takes this client's address."""
        request = stop_request(vehicle_id, level, reason, who)
        with domain_errors():
            return level_from_wire((await self._vehicles.EmergencyStop(request)).level)

    async def get_emergency_stop(self, vehicle_id: str) -> EmergencyStop | None:
        """See `Bridge.get_emergency_stop`."""
        with sendable_values():
            request = vehicle_pb2.GetEmergencyStopRequest(vehicle_id=vehicle_id)
        with domain_errors():
            answer = await self._vehicles.GetEmergencyStop(request)
        return stop_from_wire(answer.stop) if answer.HasField("stop") else None

    async def clear_emergency_stop(self, vehicle_id: str, operator_token: str) -> str:
        """See `Bridge.clear_emergency_stop`."""
        with sendable_values():
            request = vehicle_pb2.ClearEmergencyStopRequest(vehicle_id=vehicle_id, operator_token=operator_token)
        with domain_errors():
            return (await self._vehicles.ClearEmergencyStop(request)).not_on_disk

    async def time_sync(self, vehicle_id: str) -> TimeSync:
        """See `Bridge.time_sync`."""
        with sendable_values():
            request = vehicle_pb2.TimeSyncRequest(
                vehicle_id=vehicle_id, client_send_time=timestamp_to_wire(time.time_ns())
            )
        with domain_errors():
            return time_sync_from_wire(await self._vehicles.TimeSync(request))

    # What vehicles show

    async def capture_frame(
        self, vehicle_id: str, camera_id: str = "", encoding: ImageEncoding = ImageEncoding.JPEG
    ) -> Frame:
        """See `Bridge.capture_frame`."""
        with sendable_values():
            request = vehicle_pb2.CaptureFrameRequest(
                vehicle_id=vehicle_id, camera_id=camera_id, encoding=encoding_to_wire(encoding)
            )
        with domain_errors():
            return frame_from_wire((await self._vehicles.CaptureFrame(request)).frame)

    async def watch_telemetry(self, vehicle_id: str, *, max_rate_hz: float = 0.0) -> AsyncIterator[Telemetry]:
        """See `Bridge.watch_telemetry`."""
        with sendable_values():
            request = vehicle_pb2.WatchTelemetryRequest(vehicle_id=vehicle_id, max_rate_hz=max_rate_hz)
        with domain_errors():
            async for message in self._vehicles.WatchTelemetry(request):
                yield telemetry_from_wire(message)

    async def watch_frames(
        self,
        vehicle_id: str,
        camera_id: str = "",
        *,
        max_rate_hz: float = 0.0,
        encoding: ImageEncoding = ImageEncoding.JPEG,
    ) -> AsyncIterator[FrameUpdate]:
        """See `Bridge.watch_frames`."""
        with sendable_values():
            request = vehicle_pb2.WatchFramesRequest(
                vehicle_id=vehicle_id, camera_id=camera_id, max_rate_hz=max_rate_hz, encoding=encoding_to_wire(encoding)
            )
        with domain_errors():
            async for message in self._vehicles.WatchFrames(request):
                yield frame_update_from_wire(message)

    async def watch_flight_log(
        self, vehicle_id: str, *, after_log_seq: int = 0, until_now: bool = False
    ) -> AsyncIterator[FlightLogEntry]:
        """See `Bridge.watch_flight_log`."""
        with sendable_values():
            request = vehicle_pb2.WatchFlightLogRequest(
                vehicle_id=vehicle_id, after_log_seq=after_log_seq, until_now=until_now
            )
        with domain_errors():
            async for message in self._vehicles.WatchFlightLog(request):
                yield entry_from_wire(message)


class RemoteSimulation:
    """See `core.protocol.Simulation`; calls one SimService."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: sim_pb2_grpc.SimServiceAsyncStub = checked(sim_pb2_grpc.SimServiceStub(channel))

    async def get_world(self) -> WorldInfo:
        """See `Simulation.get_world`."""
        with domain_errors():
            world = await self._stub.GetWorld(sim_pb2.GetWorldRequest())
        return WorldInfo(world.simulator, world.settings_json, world.paused, stamp_from_wire(world.stamp))

    async def reset(self) -> Stamp:
        """See `Simulation.reset`."""
        with domain_errors():
            return stamp_from_wire((await self._stub.Reset(sim_pb2.ResetRequest())).stamp)

    async def pause(self, paused: bool) -> None:
        """See `Simulation.pause`."""
        with sendable_values():
            request = sim_pb2.PauseRequest(paused=paused)
        with domain_errors():
            await self._stub.Pause(request)

    async def step(self, duration_s: float) -> Stamp:
        """See `Simulation.step`."""
        with sendable_values():
            request = sim_pb2.StepRequest(duration=duration_to_wire(duration_s))
        with domain_errors():
            response = await self._stub.Step(request)
        return stamp_from_wire(response.stamp)

    async def vehicle_ground_truth(self, vehicle_id: str) -> GroundTruth:
        """See `Simulation.vehicle_ground_truth`."""
        with sendable_values():
            request = sim_pb2.GetGroundTruthRequest(vehicle_id=vehicle_id)
        return await self._ground_truth(request)

    async def object_ground_truth(self, object_name: str) -> GroundTruth:
        """See `Simulation.object_ground_truth`."""
        with sendable_values():
            request = sim_pb2.GetGroundTruthRequest(object_name=object_name)
        return await self._ground_truth(request)

    async def _ground_truth(self, request: sim_pb2.GetGroundTruthRequest) -> GroundTruth:
        with domain_errors():
            truth = await self._stub.GetGroundTruth(request)
        velocity = velocity_from_wire(truth.velocity) if truth.HasField("velocity") else None
        return GroundTruth(stamp_from_wire(truth.stamp), pose_from_wire(truth.pose), velocity)

    async def list_objects(self, name_regex: str = "") -> tuple[str, ...]:
        """See `Simulation.list_objects`."""
        with sendable_values():
            request = sim_pb2.ListObjectsRequest(name_regex=name_regex)
        with domain_errors():
            return tuple((await self._stub.ListObjects(request)).object_names)

    async def spawn_object(self, object_name: str, asset: str, pose: Pose, scale: float) -> str:
        """See `Simulation.spawn_object`."""
        with sendable_values():
            request = sim_pb2.SpawnObjectRequest(
                object_name=object_name, asset=asset, pose=pose_to_wire(pose), scale=scale
            )
        with domain_errors():
            return (await self._stub.SpawnObject(request)).object_name
