"""The bridge of this process: `Bridge` over the vehicles it was given. Knows no wire format and no simulator."""

import asyncio
import hmac
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from stillwing_bridge.core.commands import Command, CommandStatus
from stillwing_bridge.core.driver.driver import VehicleDriver
from stillwing_bridge.core.events import FlightLogEntry
from stillwing_bridge.core.judge.commander import Commander
from stillwing_bridge.core.judge.effects import WatchdogSettings
from stillwing_bridge.core.judge.flight_log import FlightLog
from stillwing_bridge.core.judge.guards import GuardSettings
from stillwing_bridge.core.judge.lease import LeaseBook
from stillwing_bridge.core.judge.seen_frames import FrameRegistry
from stillwing_bridge.core.judge.stops import StopKeeper, StopStore
from stillwing_bridge.core.sight.camera_hub import FrameSettings
from stillwing_bridge.core.types import (
    RETAIN_PERIOD_S,
    STILL_WITHIN_S,
    EmergencyStop,
    FrameUpdate,
    Lease,
    LeaseState,
    Limits,
    StopLevel,
    Telemetry,
    ThinkingInterval,
    TimeSync,
    VehicleInfo,
)
from stillwing_bridge.core.vehicle import Vehicle
from stillwing_common.clock import Clock, WallClock
from stillwing_common.errors import (
    InvalidInput,
    NotPermitted,
    StillwingError,
    StopUnconfirmed,
    UnknownCommand,
    UnknownVehicle,
)
from stillwing_common.ids import new_id
from stillwing_common.types import Frame, ImageEncoding


@dataclass(frozen=True, slots=True)
class BridgeSettings:
    """Everything a bridge enforces and how it works; `operator_token` "" means that no stop can be cleared."""

    limits: Limits = field(default_factory=Limits)
    guards: GuardSettings = field(default_factory=GuardSettings)
    watchdog: WatchdogSettings = field(default_factory=WatchdogSettings)
    frames: FrameSettings = field(default_factory=FrameSettings)
    simulated: bool = True
    operator_token: str = ""
    lease_stale_after_s: float = 3.0
    state_rate_hz: float = 20.0
    flight_log_capacity: int = 20_000


class LocalBridge:
    """See `core.protocol.Bridge`. Made on its event loop; `start` before anything else, `close` holds every vehicle."""

    def __init__(
        self,
        vehicles: Sequence[Vehicle],
        settings: BridgeSettings,
        clock: Clock | None = None,
        stops: StopStore | None = None,
    ) -> None:
        """`stops` keeps emergency stops over a restart; without it they end with this bridge."""
        self._settings = settings
        self._keeper = StopKeeper(stops)
        self._clock = clock or WallClock()
        epoch = new_id("epo")
        self._drivers = {vehicle.spec.vehicle_id: self._driver(vehicle, epoch) for vehicle in vehicles}
        if len(self._drivers) != len(vehicles):
            raise ValueError("vehicle ids are unique")
        self._open = tuple(self._drivers.values())

    def _driver(self, vehicle: Vehicle, epoch: str) -> VehicleDriver:
        s = self._settings
        vehicle_id = vehicle.spec.vehicle_id
        log = FlightLog(self._clock, capacity=s.flight_log_capacity)
        frames = FrameRegistry(vehicle_id)
        leases = LeaseBook(vehicle_id, epoch, self._clock, stale_after_s=s.lease_stale_after_s)
        commander = Commander(leases, frames, log, self._clock, s.limits, s.watchdog)
        return VehicleDriver(
            vehicle, commander, frames, log, self._clock, s.limits, s.guards, s.frames, state_rate_hz=s.state_rate_hz
        )

    async def start(self) -> None:
        """Begin to supervise every vehicle, stopped as it was kept; `LinkLost`, `InvalidInput` from the store."""
        kept = await self._keeper.load()
        for vehicle_id, driver in self._drivers.items():
            await driver.start()
            if (stop := kept.get(vehicle_id)) is not None:
                driver.emergency_stop(stop.level, stop.reason, stop.who)
            self._keeper.follow(vehicle_id, driver.log)

    async def run(self) -> None:
        """Wait until a driver breaks, which must never happen; raises what broke it."""
        await asyncio.gather(*(driver.crashed for driver in self._drivers.values()))

    async def close(self) -> None:
        """Hold every vehicle, end every stream, close every link; once."""
        drivers, self._open = self._open, ()
        for driver in drivers:
            await driver.close()

    def driver(self, vehicle_id: str) -> VehicleDriver:
        """The driver of a vehicle, for simulators and recorders; `UnknownVehicle`."""
        driver = self._drivers.get(vehicle_id)
        if driver is None:
            raise UnknownVehicle(vehicle_id=vehicle_id, known=", ".join(self._drivers))
        return driver

    @property
    def drivers(self) -> tuple[VehicleDriver, ...]:
        """The drivers of all vehicles."""
        return tuple(self._drivers.values())

    async def list_vehicles(self) -> tuple[VehicleInfo, ...]:
        """See `Bridge.list_vehicles`."""
        return tuple(
            VehicleInfo(spec.vehicle_id, spec.cameras, self._settings.limits, self._settings.simulated)
            for spec in (driver.vehicle.spec for driver in self._drivers.values())
        )

    # Leases

    async def acquire_lease(self, vehicle_id: str, holder: str, *, stale_after_s: float | None = None) -> LeaseState:
        """See `Bridge.acquire_lease`."""
        driver = self.driver(vehicle_id)
        try:
            return driver.commander.acquire_lease(holder, stale_after_s)
        finally:
            driver.pump()

    async def take_lease(
        self, vehicle_id: str, holder: str, reason: str, *, stale_after_s: float | None = None
    ) -> LeaseState:
        """See `Bridge.take_lease`."""
        driver = self.driver(vehicle_id)
        try:
            return driver.commander.take_lease(holder, reason, stale_after_s)
        finally:
            driver.pump()

    async def retain_lease(self, lease: Lease) -> LeaseState:
        """See `Bridge.retain_lease`."""
        driver = self.driver(lease.vehicle_id)
        try:
            return driver.commander.retain_lease(lease)
        finally:
            driver.pump()

    async def get_lease(self, vehicle_id: str) -> LeaseState | None:
        """See `Bridge.get_lease`."""
        driver = self.driver(vehicle_id)
        driver.commander.tick()
        driver.pump()
        return driver.commander.lease_state

    def attend_lease(self, lease: Lease) -> AsyncIterator[LeaseState]:
        """See `Bridge.attend_lease`."""
        return self.driver(lease.vehicle_id).attend_lease(lease)

    async def return_lease(self, lease: Lease) -> None:
        """See `Bridge.return_lease`."""
        driver = self.driver(lease.vehicle_id)
        try:
            driver.commander.return_lease(lease)
        finally:
            driver.pump()

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
        return await self.driver(lease.vehicle_id).command(
            lease, command, ttl_s=ttl_s, based_on_frame_id=based_on_frame_id, request_id=request_id
        )

    async def wait_command(self, command_id: str, timeout_s: float) -> CommandStatus:
        """See `Bridge.wait_command`."""
        driver = self._driver_of(command_id)
        deadline_s = self._clock.monotonic_s() + timeout_s
        while True:
            left_s = deadline_s - self._clock.monotonic_s()
            status = await driver.wait_command(command_id, min(left_s, RETAIN_PERIOD_S))
            if status.ended or left_s <= 0:
                return status
            lease = driver.commander.lease_of_motion() if driver.commander.motion_id == command_id else None
            if lease is not None:
                try:
                    await self.retain_lease(lease)
                except StillwingError:
                    continue  # the lease is lost, and with it the command: its end is what is waited for

    async def watch_command(self, command_id: str, timeout_s: float) -> CommandStatus:
        """`wait_command` for an onlooker: no sign of life of anybody."""
        return await self._driver_of(command_id).wait_command(command_id, timeout_s)

    def _driver_of(self, command_id: str) -> VehicleDriver:
        for driver in self._drivers.values():
            try:
                driver.commander.status(command_id)
            except UnknownCommand:
                continue
            return driver
        raise UnknownCommand(command_id=command_id)

    async def begin_thinking(
        self, lease: Lease, expected_s: float, *, within_s: float = STILL_WITHIN_S
    ) -> ThinkingInterval:
        """See `Bridge.begin_thinking`."""
        if not 0 <= expected_s < 3600:
            raise InvalidInput("expected is between 0 and 3600 s", field="expected")
        return await self.driver(lease.vehicle_id).begin_thinking(lease, expected_s, min(within_s, STILL_WITHIN_S))

    async def end_thinking(self, lease: Lease) -> None:
        """See `Bridge.end_thinking`."""
        driver = self.driver(lease.vehicle_id)
        try:
            driver.commander.end_thinking(lease)
        finally:
            driver.pump()

    async def emergency_stop(self, vehicle_id: str, level: StopLevel, reason: str, *, who: str = "") -> StopLevel:
        """See `Bridge.emergency_stop`."""
        driver = self.driver(vehicle_id)
        # Nothing is awaited before the latch has fallen: a caller that goes away at once has stopped the vehicle.
        confirmed = driver.emergency_stop(level, reason, who)
        settled = asyncio.ensure_future(self._keeper.settle())
        try:
            if confirmed is not None:
                await asyncio.shield(confirmed)
        except StillwingError as error:
            level_name = driver.commander.stop_level.name
            raise StopUnconfirmed(f"level {level_name}; {error}", vehicle_id=vehicle_id, level=level_name) from error
        finally:
            # Shielded: a caller that goes away takes no write with it.
            await asyncio.shield(settled)
        return driver.commander.stop_level

    async def get_emergency_stop(self, vehicle_id: str) -> EmergencyStop | None:
        """See `Bridge.get_emergency_stop`."""
        self.driver(vehicle_id)
        return self._keeper.stop_of(vehicle_id)

    async def clear_emergency_stop(self, vehicle_id: str, operator_token: str) -> str:
        """See `Bridge.clear_emergency_stop`."""
        driver = self.driver(vehicle_id)
        if not self._settings.operator_token:
            raise NotPermitted("the bridge was started without an operator token")
        offered = operator_token.encode("utf-8", "surrogatepass")
        if not hmac.compare_digest(offered, self._settings.operator_token.encode()):
            raise NotPermitted("this is not the operator's token")
        driver.commander.clear_emergency_stop()
        driver.pump()
        return await asyncio.shield(asyncio.ensure_future(self._keeper.settle()))

    async def time_sync(self, vehicle_id: str, client_send_time_ns: int | None = None) -> TimeSync:
        """See `Bridge.time_sync`; `client_send_time_ns` is the present for a caller in this process."""
        received_ns = self._clock.wall_ns()
        stamp = (await self.driver(vehicle_id).refresh()).stamp
        sent_ns = received_ns if client_send_time_ns is None else client_send_time_ns
        return TimeSync(sent_ns, received_ns, self._clock.wall_ns(), stamp)

    # What vehicles show

    async def capture_frame(
        self, vehicle_id: str, camera_id: str = "", encoding: ImageEncoding = ImageEncoding.JPEG
    ) -> Frame:
        """See `Bridge.capture_frame`."""
        updates = await self.driver(vehicle_id).camera(camera_id).capture({encoding})
        return updates[encoding].frame

    def watch_telemetry(self, vehicle_id: str, *, max_rate_hz: float = 0.0) -> AsyncIterator[Telemetry]:
        """See `Bridge.watch_telemetry`."""
        return self.driver(vehicle_id).telemetry.watch(_rate_hz(max_rate_hz))

    def watch_frames(
        self,
        vehicle_id: str,
        camera_id: str = "",
        *,
        max_rate_hz: float = 0.0,
        encoding: ImageEncoding = ImageEncoding.JPEG,
    ) -> AsyncIterator[FrameUpdate]:
        """See `Bridge.watch_frames`."""
        return self.driver(vehicle_id).camera(camera_id).watch(_rate_hz(max_rate_hz), encoding)

    def watch_flight_log(
        self, vehicle_id: str, *, after_log_seq: int = 0, until_now: bool = False
    ) -> AsyncIterator[FlightLogEntry]:
        """See `Bridge.watch_flight_log`."""
        return self.driver(vehicle_id).watch_log(after_log_seq, until_now)


def _rate_hz(max_rate_hz: float) -> float:
    if not 0 <= max_rate_hz < 1e4:
        raise InvalidInput("max_rate_hz is 0 or above", field="max_rate_hz")
    return max_rate_hz
