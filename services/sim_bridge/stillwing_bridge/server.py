"""The bridge behind the wire: convert in, call the core, convert out. Errors are mapped by the interceptor."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Protocol, cast
from urllib.parse import unquote

from stillwing.sim.v1 import sim_pb2, sim_pb2_grpc
from stillwing.vehicle.v1 import lease_pb2, lease_pb2_grpc, vehicle_pb2, vehicle_pb2_grpc
from stillwing_bridge.convert.commands import command_from_wire, lease_from_wire, lease_state_to_wire, status_to_wire
from stillwing_bridge.convert.flight_log import entry_to_wire
from stillwing_bridge.convert.names import LEASE_SERVICE, SIM_SERVICE, VEHICLE_SERVICE, id_from_wire, text_from_wire
from stillwing_bridge.convert.stops import level_to_wire, requested_level, stop_to_wire
from stillwing_bridge.convert.vehicles import (
    frame_update_to_wire,
    telemetry_to_wire,
    time_sync_to_wire,
    vehicle_to_wire,
)
from stillwing_bridge.core.commands import CommandStatus
from stillwing_bridge.core.protocol import Bridge, Simulation
from stillwing_bridge.core.types import STILL_WITHIN_S, GroundTruth, TimeSync
from stillwing_common.errors import UnsetOneof
from stillwing_common.types import ImageEncoding
from stillwing_rpc.convert import (
    duration_from_wire,
    encoding_from_wire,
    frame_to_wire,
    pose_from_wire,
    pose_to_wire,
    stamp_to_wire,
    timestamp_from_wire,
    velocity_to_wire,
)
from stillwing_rpc.errors import Context
from stillwing_rpc.server import Registration

_V = f"/{VEHICLE_SERVICE}/"
DEADLINE_REQUIRED = (f"{_V}Command", f"{_V}WaitCommand", f"{_V}BeginThinking", f"{_V}CaptureFrame")
"""Calls whose author must say how long the answer is of use."""


class ServedBridge(Bridge, Protocol):
    """What can be put behind the wire: a bridge that also knows onlookers and their clocks."""

    async def watch_command(self, command_id: str, timeout_s: float) -> CommandStatus:
        """`wait_command` for an onlooker: no sign of life of anybody."""

    async def time_sync(self, vehicle_id: str, client_send_time_ns: int | None = None) -> TimeSync:
        """See `Bridge.time_sync`; `client_send_time_ns` is the present for a caller in this process."""


class LeaseServicer(lease_pb2_grpc.LeaseServiceServicer):
    """Who may command."""

    def __init__(self, bridge: ServedBridge) -> None:
        self._bridge = bridge

    async def AcquireLease(
        self, request: lease_pb2.AcquireLeaseRequest, context: Context
    ) -> lease_pb2.AcquireLeaseResponse:
        """A free vehicle."""
        state = await self._bridge.acquire_lease(
            request.vehicle_id, request.holder, stale_after_s=_stale_after_s(request)
        )
        return lease_pb2.AcquireLeaseResponse(state=lease_state_to_wire(state))

    async def TakeLease(self, request: lease_pb2.TakeLeaseRequest, context: Context) -> lease_pb2.TakeLeaseResponse:
        """A held vehicle."""
        reason = text_from_wire("reason", request.reason)
        state = await self._bridge.take_lease(
            request.vehicle_id, request.holder, reason, stale_after_s=_stale_after_s(request)
        )
        return lease_pb2.TakeLeaseResponse(state=lease_state_to_wire(state))

    async def RetainLease(
        self, request: lease_pb2.RetainLeaseRequest, context: Context
    ) -> lease_pb2.RetainLeaseResponse:
        """A sign of life."""
        state = await self._bridge.retain_lease(lease_from_wire(request.lease))
        return lease_pb2.RetainLeaseResponse(state=lease_state_to_wire(state))

    async def GetLease(self, request: lease_pb2.GetLeaseRequest, context: Context) -> lease_pb2.GetLeaseResponse:
        """Who holds a vehicle."""
        state = await self._bridge.get_lease(request.vehicle_id)
        return lease_pb2.GetLeaseResponse(state=None if state is None else lease_state_to_wire(state))

    async def AttendLease(
        self, request: lease_pb2.AttendLeaseRequest, context: Context
    ) -> AsyncIterator[lease_pb2.AttendLeaseResponse]:
        """The holder's lifeline."""
        lease = lease_from_wire(request.lease)
        async with aclosing(cast(Any, self._bridge.attend_lease(lease))) as states:
            async for state in states:
                yield lease_pb2.AttendLeaseResponse(state=lease_state_to_wire(state))

    async def ReturnLease(
        self, request: lease_pb2.ReturnLeaseRequest, context: Context
    ) -> lease_pb2.ReturnLeaseResponse:
        """The vehicle back."""
        await self._bridge.return_lease(lease_from_wire(request.lease))
        return lease_pb2.ReturnLeaseResponse()


def _stale_after_s(request: lease_pb2.AcquireLeaseRequest | lease_pb2.TakeLeaseRequest) -> float | None:
    return duration_from_wire(request.stale_after) if request.HasField("stale_after") else None


class VehicleServicer(vehicle_pb2_grpc.VehicleServiceServicer):
    """Commands, and what vehicles show."""

    def __init__(self, bridge: ServedBridge) -> None:
        self._bridge = bridge

    async def ListVehicles(
        self, request: vehicle_pb2.ListVehiclesRequest, context: Context
    ) -> vehicle_pb2.ListVehiclesResponse:
        """The vehicles."""
        vehicles = await self._bridge.list_vehicles()
        return vehicle_pb2.ListVehiclesResponse(vehicles=[vehicle_to_wire(vehicle) for vehicle in vehicles])

    async def Command(self, request: vehicle_pb2.CommandRequest, context: Context) -> vehicle_pb2.CommandResponse:
        """Start one command."""
        command_id = await self._bridge.command(
            lease_from_wire(request.lease),
            command_from_wire(request),
            ttl_s=duration_from_wire(request.ttl) if request.HasField("ttl") else None,
            based_on_frame_id=request.based_on_frame_id,
            request_id=id_from_wire("request_id", request.request_id),
        )
        return vehicle_pb2.CommandResponse(command_id=command_id)

    async def WaitCommand(
        self, request: vehicle_pb2.WaitCommandRequest, context: Context
    ) -> vehicle_pb2.WaitCommandResponse:
        """How a command ended, or stands shortly before the call's deadline."""
        left_s = context.time_remaining() or 0.0
        status = await self._bridge.watch_command(request.command_id, left_s - min(0.1, left_s / 5))
        return vehicle_pb2.WaitCommandResponse(status=status_to_wire(status))

    async def BeginThinking(
        self, request: vehicle_pb2.BeginThinkingRequest, context: Context
    ) -> vehicle_pb2.BeginThinkingResponse:
        """Hold, and refuse motion."""
        lease = lease_from_wire(request.lease)
        left_s = context.time_remaining()
        within_s = STILL_WITHIN_S if left_s is None else left_s - min(0.5, left_s / 5)
        interval = await self._bridge.begin_thinking(lease, duration_from_wire(request.expected), within_s=within_s)
        return vehicle_pb2.BeginThinkingResponse(
            thinking_id=interval.thinking_id,
            held_since=None if interval.held_since is None else stamp_to_wire(interval.held_since),
        )

    async def EndThinking(
        self, request: vehicle_pb2.EndThinkingRequest, context: Context
    ) -> vehicle_pb2.EndThinkingResponse:
        """Allow motion."""
        await self._bridge.end_thinking(lease_from_wire(request.lease))
        return vehicle_pb2.EndThinkingResponse()

    async def EmergencyStop(
        self, request: vehicle_pb2.EmergencyStopRequest, context: Context
    ) -> vehicle_pb2.EmergencyStopResponse:
        """Stop and latch."""
        level = requested_level(request.level)
        who = request.who or unquote(context.peer())
        latched = await self._bridge.emergency_stop(request.vehicle_id, level, request.reason, who=who)
        stop = await self._bridge.get_emergency_stop(request.vehicle_id)
        return vehicle_pb2.EmergencyStopResponse(
            level=level_to_wire(latched), stop=None if stop is None else stop_to_wire(stop)
        )

    async def GetEmergencyStop(
        self, request: vehicle_pb2.GetEmergencyStopRequest, context: Context
    ) -> vehicle_pb2.GetEmergencyStopResponse:
        """The stop in force."""
        stop = await self._bridge.get_emergency_stop(request.vehicle_id)
        return vehicle_pb2.GetEmergencyStopResponse(stop=None if stop is None else stop_to_wire(stop))

    async def ClearEmergencyStop(
        self, request: vehicle_pb2.ClearEmergencyStopRequest, context: Context
    ) -> vehicle_pb2.ClearEmergencyStopResponse:
        """Unlatch."""
        not_on_disk = await self._bridge.clear_emergency_stop(request.vehicle_id, request.operator_token)
        return vehicle_pb2.ClearEmergencyStopResponse(not_on_disk=not_on_disk)

    async def TimeSync(self, request: vehicle_pb2.TimeSyncRequest, context: Context) -> vehicle_pb2.TimeSyncResponse:
        """Half a round trip."""
        sent_ns = timestamp_from_wire(request.client_send_time)
        return time_sync_to_wire(await self._bridge.time_sync(request.vehicle_id, sent_ns))

    async def CaptureFrame(
        self, request: vehicle_pb2.CaptureFrameRequest, context: Context
    ) -> vehicle_pb2.CaptureFrameResponse:
        """One picture now."""
        frame = await self._bridge.capture_frame(
            request.vehicle_id, request.camera_id, encoding_from_wire(request.encoding)
        )
        return vehicle_pb2.CaptureFrameResponse(frame=frame_to_wire(frame))

    async def WatchTelemetry(
        self, request: vehicle_pb2.WatchTelemetryRequest, context: Context
    ) -> AsyncIterator[vehicle_pb2.WatchTelemetryResponse]:
        """The newest state."""
        watch = self._bridge.watch_telemetry(request.vehicle_id, max_rate_hz=request.max_rate_hz)
        async with aclosing(cast(Any, watch)) as states:
            async for telemetry in states:
                yield telemetry_to_wire(telemetry)

    async def WatchFrames(
        self, request: vehicle_pb2.WatchFramesRequest, context: Context
    ) -> AsyncIterator[vehicle_pb2.WatchFramesResponse]:
        """The newest frame."""
        encoding: ImageEncoding = encoding_from_wire(request.encoding)
        watch = self._bridge.watch_frames(
            request.vehicle_id, request.camera_id, max_rate_hz=request.max_rate_hz, encoding=encoding
        )
        async with aclosing(cast(Any, watch)) as updates:
            async for update in updates:
                yield frame_update_to_wire(update)

    async def WatchFlightLog(
        self, request: vehicle_pb2.WatchFlightLogRequest, context: Context
    ) -> AsyncIterator[vehicle_pb2.WatchFlightLogResponse]:
        """The record."""
        watch = self._bridge.watch_flight_log(
            request.vehicle_id, after_log_seq=request.after_log_seq, until_now=request.until_now
        )
        async with aclosing(cast(Any, watch)) as entries:
            async for entry in entries:
                yield entry_to_wire(entry)


class SimServicer(sim_pb2_grpc.SimServiceServicer):
    """The simulated world."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def GetWorld(self, request: sim_pb2.GetWorldRequest, context: Context) -> sim_pb2.GetWorldResponse:
        """What is simulated."""
        world = await self._simulation.get_world()
        return sim_pb2.GetWorldResponse(
            simulator=world.simulator,
            settings_json=world.settings_json,
            paused=world.paused,
            stamp=stamp_to_wire(world.stamp),
        )

    async def Reset(self, request: sim_pb2.ResetRequest, context: Context) -> sim_pb2.ResetResponse:
        """The world back to its start."""
        return sim_pb2.ResetResponse(stamp=stamp_to_wire(await self._simulation.reset()))

    async def Pause(self, request: sim_pb2.PauseRequest, context: Context) -> sim_pb2.PauseResponse:
        """Time stopped or resumed."""
        await self._simulation.pause(request.paused)
        return sim_pb2.PauseResponse()

    async def Step(self, request: sim_pb2.StepRequest, context: Context) -> sim_pb2.StepResponse:
        """Time run for a while."""
        stamp = await self._simulation.step(duration_from_wire(request.duration))
        return sim_pb2.StepResponse(stamp=stamp_to_wire(stamp))

    async def GetGroundTruth(
        self, request: sim_pb2.GetGroundTruthRequest, context: Context
    ) -> sim_pb2.GetGroundTruthResponse:
        """Where something really is."""
        subject = request.WhichOneof("subject")
        if subject is None:
            raise UnsetOneof("subject", field="subject")
        truth: GroundTruth
        if subject == "vehicle_id":
            truth = await self._simulation.vehicle_ground_truth(request.vehicle_id)
        else:
            truth = await self._simulation.object_ground_truth(request.object_name)
        return sim_pb2.GetGroundTruthResponse(
            stamp=stamp_to_wire(truth.stamp),
            pose=pose_to_wire(truth.pose),
            velocity=None if truth.velocity is None else velocity_to_wire(truth.velocity),
        )

    async def ListObjects(self, request: sim_pb2.ListObjectsRequest, context: Context) -> sim_pb2.ListObjectsResponse:
        """Names of objects."""
        name_regex = text_from_wire("name_regex", request.name_regex)
        return sim_pb2.ListObjectsResponse(object_names=await self._simulation.list_objects(name_regex))

    async def SpawnObject(self, request: sim_pb2.SpawnObjectRequest, context: Context) -> sim_pb2.SpawnObjectResponse:
        """A new object."""
        name = await self._simulation.spawn_object(
            id_from_wire("object_name", request.object_name),
            id_from_wire("asset", request.asset),
            pose_from_wire(request.pose),
            request.scale,
        )
        return sim_pb2.SpawnObjectResponse(object_name=name)


def registrations(bridge: ServedBridge, simulation: Simulation | None) -> list[Registration]:
    """What `RpcServer` serves; no SimService where nothing is simulated."""
    vehicles, leases = VehicleServicer(bridge), LeaseServicer(bridge)
    services = [
        Registration(VEHICLE_SERVICE, lambda s: vehicle_pb2_grpc.add_VehicleServiceServicer_to_server(vehicles, s)),
        Registration(LEASE_SERVICE, lambda s: lease_pb2_grpc.add_LeaseServiceServicer_to_server(leases, s)),
    ]
    if simulation is not None:
        sim = SimServicer(simulation)
        services.append(Registration(SIM_SERVICE, lambda s: sim_pb2_grpc.add_SimServiceServicer_to_server(sim, s)))
    return services
