"""python -m pytest tests/e2e/bridge/test_bridge_faults.py -v

The bridge over airfield showing the faults of real AirSim servers, and over airfield as Cosys-AirSim: it flies on.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import pytest

from stillwing_airfield.dialects import Dialect
from stillwing_airfield.faults import FaultPlan, Faults
from stillwing_airfield.fleet import Fleet, VehiclePlan
from stillwing_airfield.server import serving
from stillwing_airfield.sim import Airfield
from stillwing_bridge.core.bridge import BridgeSettings, LocalBridge
from stillwing_bridge.core.commands import Command, CommandState, CommandStatus, Hold, Land, Step, Takeoff, Turn
from stillwing_bridge.core.types import Lease
from stillwing_bridge.core.vehicles.airsim.settings import AirSimSettings
from stillwing_bridge.core.vehicles.airsim.simulation import AirSimSimulation
from stillwing_bridge.core.vehicles.airsim.vehicle import AirSimVehicle
from stillwing_common.errors import StillwingError

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

_TRIES = 25
_IMAGE_TIMEOUT_S, _SHORT_IMAGE_TIMEOUT_S = 10.0, 0.5


@dataclass
class Rig:
    """A bridge over a spoilt simulator, and whoever flies it."""

    bridge: LocalBridge
    airfield: Airfield
    faults: Faults
    settings: AirSimSettings
    lease: Lease | None = None

    async def insist(self, what: Callable[[], Awaitable[CommandStatus]]) -> CommandStatus:
        """As an agent does: what was refused or lost is tried again, with a lease that is fresh."""
        last: object = None
        for _ in range(_TRIES):
            try:
                last = await what()
                if last.state is CommandState.SUCCEEDED:
                    return last
            except StillwingError as error:
                last = error
            with suppress(StillwingError):
                self.lease = (await self.bridge.take_lease("drone", "test", "it was lost")).lease
            await asyncio.sleep(0.2)
        raise AssertionError(f"never succeeded: {last}")

    async def do(self, command: Command, ttl_s: float = 15) -> CommandStatus:
        """One command from a fresh frame, the lease retained for as long as it flies."""
        if self.lease is None:
            self.lease = (await self.bridge.acquire_lease("drone", "test")).lease
        lease = self.lease
        frame_id = (await self.bridge.capture_frame("drone")).frame_id
        keeping = asyncio.create_task(self._keep(lease))
        try:
            command_id = await self.bridge.command(lease, command, ttl_s=ttl_s, based_on_frame_id=frame_id)
            return await self.bridge.wait_command(command_id, ttl_s + 5)
        finally:
            keeping.cancel()

    async def _keep(self, lease: Lease) -> None:
        with suppress(StillwingError):
            while True:
                await asyncio.sleep(0.4)
                await self.bridge.retain_lease(lease)

    async def fly(self) -> None:
        """Up, round, a step, down."""
        for command, ttl_s in ((Takeoff(), 30.0), (Turn(30), 15.0), (Step(up_m=0.5), 15.0), (Land(), 50.0)):
            await self.insist(lambda command=command, ttl_s=ttl_s: self.do(command, ttl_s))  # type: ignore[misc]
        assert abs(self.airfield.do(lambda v: v.state()).position_ned_m[2]) < 0.1


@asynccontextmanager
async def rig(faults: str = "", dialect: Dialect = Dialect.MS, fleet: Fleet | None = None) -> AsyncIterator[Rig]:
    # Three times real time: these flights are about what goes wrong, not about how long it takes.
    airfield = Airfield.of("meadow", 3, fleet=fleet or Fleet(clock_speed=3.0))
    spoiling = Faults(FaultPlan.parse(faults))
    with serving(airfield, dialect=dialect, faults=spoiling) as port:
        name = fleet.vehicles[-1].name if fleet else ""
        # Short only where images hang: a busy machine may take long over a sound one.
        timeout_s = _SHORT_IMAGE_TIMEOUT_S if "hang" in faults else _IMAGE_TIMEOUT_S
        settings = AirSimSettings(port=port, vehicle_name=name, image_timeout_s=timeout_s)
        vehicle = await _discovered(settings)
        bridge = LocalBridge([vehicle], BridgeSettings())
        await bridge.start()
        try:
            yield Rig(bridge, airfield, spoiling, settings)
        finally:
            await bridge.close()


async def _discovered(settings: AirSimSettings) -> AirSimVehicle:
    """As the bridge's own start does: until it works."""
    for _ in range(_TRIES):
        try:
            return await AirSimVehicle.discover(settings)
        except StillwingError:
            await asyncio.sleep(0.1)
    raise AssertionError("the simulator was never found")


@pytest.mark.parametrize(
    "faults",
    ["empty-images=3", "hang-images=3", "landed-late=2", "drop-connection=150"],
)
async def test_it_flies_a_simulator_that_shows(faults: str) -> None:
    async with rig(faults) as flown:
        await flown.fly()
        assert flown.faults.shown > 0


async def test_it_flies_on_after_a_reset_whose_first_image_is_the_one_before_it() -> None:
    async with rig("late-first-image") as flown:
        await flown.insist(lambda: flown.do(Takeoff(), 30))
        await flown.bridge.capture_frame("drone")
        world = AirSimSimulation(flown.settings, flown.bridge)
        await world.reset()
        await world.close()
        flown.lease = (await flown.bridge.take_lease("drone", "test", "the world was reset")).lease
        await flown.fly()
        assert flown.faults.shown > 0


async def test_a_hanging_image_does_not_delay_a_hold() -> None:
    # The first image, which tells the camera's size, is answered; none after it is.
    airfield = Airfield.of("meadow", 3)
    faults = Faults()
    with serving(airfield, faults=faults) as port:
        vehicle = await AirSimVehicle.discover(AirSimSettings(port=port, image_timeout_s=20))
        bridge = LocalBridge([vehicle], BridgeSettings())
        await bridge.start()
        try:
            lease = (await bridge.acquire_lease("drone", "test")).lease
            faults.plan = FaultPlan.parse("hang-images=1")
            hanging = asyncio.create_task(bridge.capture_frame("drone"))
            await asyncio.sleep(0.1)
            async with asyncio.timeout(5):
                command_id = await bridge.command(lease, Hold())
                assert (await bridge.wait_command(command_id, 5)).state is CommandState.SUCCEEDED
            assert not hanging.done()
            hanging.cancel()
            with suppress(asyncio.CancelledError, StillwingError):
                await hanging
        finally:
            await bridge.close()


async def test_it_flies_airfield_as_cosys_airsim_and_one_of_several_vehicles() -> None:
    fleet = Fleet(vehicles=(VehiclePlan("Alpha"), VehiclePlan("Beta", (0.0, -3.0, 0.0))), clock_speed=3.0)
    async with rig(dialect=Dialect.COSYS, fleet=fleet) as flown:
        await flown.insist(lambda: flown.do(Takeoff(), 30))
        beta = flown.airfield.do(lambda v: v.state(), "Beta").position_ned_m
        assert beta[2] == pytest.approx(-2, abs=0.3)
        assert abs(flown.airfield.do(lambda v: v.state(), "Alpha").position_ned_m[2]) < 0.05
        frame = await flown.bridge.capture_frame("drone")
        assert frame.frame_id
