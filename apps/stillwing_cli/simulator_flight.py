"""A small flight that shows what standing cannot: which way is up, which way is right, and whether a hold holds.

It takes off, climbs, turns and lands on the spot, by the bridge's own motions, and gives API control back as it was.
Whatever happens, the vehicle is held and landed, and it is said where that failed.
"""

import asyncio
import math
import time
from collections.abc import Coroutine
from typing import Any

from stillwing_bridge.core.vehicle import ClimbTo, Descend, TurnTo, VehicleState, View
from stillwing_bridge.core.vehicles.airsim.link import open_connection
from stillwing_bridge.core.vehicles.airsim.settings import AirSimSettings
from stillwing_bridge.core.vehicles.airsim.transport import Connection
from stillwing_bridge.core.vehicles.airsim.vehicle import AirSimVehicle
from stillwing_cli.check_page import Check, Level
from stillwing_cli.simulator_checks import Tell, detail, passed
from stillwing_common.errors import StillwingError

HEIGHT_M = 2.0
"""Above where it stood."""

_TURN_DEG = 60.0
_CLIMB_S, _TURN_S, _LAND_S, _REST_S = 20.0, 5.0, 40.0, 5.0
_CALL_S = 2.0
_AT_REST_M_S = 0.2
_MOUNT_M = 0.05
"""A camera farther ahead of the vehicle's centre than this tells by its place which way the vehicle turned."""


class SmallFlight:
    """One flight of one vehicle, which must stand."""

    def __init__(self, settings: AirSimSettings) -> None:
        self._settings = settings

    async def run(self, tell: Tell) -> None:
        """Tell each check as it comes; the last, how it ended, also where the flight is interrupted."""
        name = self._settings.vehicle_name
        control = None
        try:
            control = await open_connection(self._settings, "control")
            controlled = bool(await control.call("isApiControlEnabled", name, timeout_s=_CALL_S))
            vehicle = await AirSimVehicle.discover(self._settings)
        except StillwingError as error:
            tell(Check("flight", Level.FAILED, detail(error), "put right what failed above"))
            if control is not None:
                control.close()
            return
        try:
            start = await vehicle.state()
            if start.flying:
                tell(Check("flight", Level.SKIPPED, "the vehicle flies already", "land it and check again"))
                return
            try:
                await self._flown(vehicle, start, tell)
            except StillwingError as error:
                fix = "see the simulator's log, and what is above the vehicle"
                tell(Check("flight", Level.FAILED, detail(error), fix))
            finally:
                landing = await asyncio.shield(asyncio.create_task(_landed(vehicle)))
                tell(landing)
                # Without API control a vehicle that still flies would listen to nobody.
                if not controlled and landing.level is Level.OK:
                    await self._give_back(control, tell)
        finally:
            control.close()
            await vehicle.close()

    async def _give_back(self, control: Connection, tell: Tell) -> None:
        try:
            await control.call("enableApiControl", False, self._settings.vehicle_name, timeout_s=_CALL_S)
        except StillwingError as error:
            tell(Check("API control", Level.WARNING, f"not given back: {detail(error)}", "restart the simulator"))

    async def _flown(self, vehicle: AirSimVehicle, start: VehicleState, tell: Tell) -> None:
        before_m = start.pose.position.down_m
        await _until(
            vehicle.fly(ClimbTo(HEIGHT_M - before_m), _CLIMB_S), vehicle, _CLIMB_S, above_m=HEIGHT_M - before_m - 0.4
        )
        up = await vehicle.state()
        climbed_m = before_m - up.pose.position.down_m
        found = f"down went from {before_m:.2f} to {up.pose.position.down_m:.2f} m"
        if not (up.flying and climbed_m > HEIGHT_M / 2):
            tell(Check("up is up", Level.FAILED, found, "the vehicle did not climb: look at the simulator's log"))
            return
        tell(passed("up is up", found))
        tell(await self._held(vehicle))
        tell(await self._turned(vehicle))

    async def _held(self, vehicle: AirSimVehicle) -> Check:
        began_s = time.monotonic()
        await vehicle.hold()
        answered_s = time.monotonic() - began_s
        while (state := await vehicle.state()).velocity.speed_m_s > _AT_REST_M_S:
            if time.monotonic() - began_s > _REST_S:
                found = f"{state.velocity.speed_m_s:.2f} m/s after {_REST_S:g} s"
                return Check("hold", Level.FAILED, found, "the vehicle does not stop when told: do not fly it")
            await asyncio.sleep(0.05)
        return passed(
            "hold", f"answered in {1e3 * answered_s:.0f} ms, at rest after {time.monotonic() - began_s:.1f} s"
        )

    async def _turned(self, vehicle: AirSimVehicle) -> Check:
        before_deg = (await vehicle.state()).pose.orientation.yaw_deg
        await vehicle.fly(TurnTo(_wrapped(before_deg + _TURN_DEG)), _TURN_S)
        shot = await vehicle.capture(vehicle.spec.cameras[0].camera_id, (View.COLOUR,))
        after = await vehicle.state()
        turned_deg = _wrapped(after.pose.orientation.yaw_deg - before_deg)
        found = f"told to turn {_TURN_DEG:g}° to the right, yaw changed by {turned_deg:.0f}°"
        fix = "yaw is not clockwise from north seen from above: do not fly it"
        if abs(turned_deg - _TURN_DEG) > 15:
            return Check("right is right", Level.FAILED, found, fix)
        assert shot.camera_pose is not None
        north_m = shot.camera_pose.position.north_m - after.pose.position.north_m
        east_m = shot.camera_pose.position.east_m - after.pose.position.east_m
        if math.hypot(north_m, east_m) < _MOUNT_M:
            return passed("right is right", found)
        # The camera is ahead of the centre, so that its place tells the heading in another way than the quaternion.
        ahead_deg = _wrapped(math.degrees(math.atan2(east_m, north_m)) - after.pose.orientation.yaw_deg)
        found += f"; the camera stands {ahead_deg:.0f}° to the right of straight ahead"
        if abs(ahead_deg) > 100:
            return Check("right is right", Level.FAILED, found, fix)
        return passed("right is right", found)


async def _until(motion: Coroutine[Any, Any, None], vehicle: AirSimVehicle, limit_s: float, *, above_m: float) -> None:
    """Run a climb until the vehicle is as high above home as wanted, or its time is over."""
    task = asyncio.create_task(motion)
    try:
        until_s = time.monotonic() + limit_s
        while not task.done() and time.monotonic() < until_s:
            await asyncio.sleep(0.1)
            if -(await vehicle.state()).pose.position.down_m > above_m:
                break
    finally:
        if not task.done():
            task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()


async def _landed(vehicle: AirSimVehicle) -> Check:
    """Hold and land; over a fresh connection where the first one broke."""
    fix = "it may still fly: land it by hand, or stop the simulator"
    problem = ""
    for attempt in range(2):
        try:
            if attempt:
                await vehicle.connect()
            await vehicle.hold()
            if (await vehicle.state()).flying:
                await vehicle.fly(Descend(0.5), _LAND_S)
            state = await vehicle.state()
        except StillwingError as error:
            problem = detail(error)
            continue
        if not state.flying:
            return passed("landing", f"stands at {state.pose.position.down_m:.2f} m down, motors off")
        problem = f"still flies at {-state.pose.position.down_m:.1f} m"
    return Check("landing", Level.FAILED, problem, fix)


def _wrapped(degrees: float) -> float:
    return (degrees + 180) % 360 - 180
