"""How an AirSim multirotor is read, held and flown over one open connection.

AirSim keeps position by itself 60 ms of simulated time after the last setpoint, so a hold needs no stream. It drops
motions silently without API control, so that is asked for before each and watched.
"""

import asyncio
from dataclasses import replace
from typing import Any

from stillwing_bridge.core.vehicle import ClimbTo, Descend, FlyTo, FlyVelocity, Plan, TurnTo, VehicleState
from stillwing_bridge.core.vehicles.airsim import dialect
from stillwing_bridge.core.vehicles.airsim.readings import Readings
from stillwing_bridge.core.vehicles.airsim.settings import AirSimSettings
from stillwing_bridge.core.vehicles.airsim.transport import Connection
from stillwing_common.errors import InternalFault, SimulatorError
from stillwing_common.types import PositionNed

_VELOCITY_LIFE_S = 0.6
_VELOCITY_PERIOD_S = 0.25
_GUIDANCE_PERIOD_S = 0.05
_GUIDANCE_PER_S = 1.5
_ANSWER_S = 0.3
_BRAKE_S = 1.0
_SLOW_M_S = 0.05
_TOUCHDOWN_ALTITUDE_M = 0.5
_CLIMB_SPEED_M_S = 1.0
_TAKEN_OFF_M = 0.3


class Motion:
    """One vehicle over one open connection; not reusable once that is lost. Every method raises `LinkLost`."""

    def __init__(self, connection: Connection, settings: AirSimSettings, readings: Readings) -> None:
        self._connection = connection
        self._settings = settings
        self._readings = readings
        self._name = settings.vehicle_name

    async def begin(self) -> None:
        """Ask for control; `Unsupported` for a dialect that is not flown."""
        await dialect.detect(self._connection, self._name, timeout_s=self._settings.connect_timeout_s)
        await self._call("enableApiControl", True, self._name)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    @dialect.understood
    async def read(self) -> VehicleState:
        """The state now. Without the collision: reading that clears it."""
        return self._readings.take(await self._call("getMultirotorState", self._name))

    async def collision(self) -> dict[str, Any]:
        """AirSim's CollisionInfo since it was read before."""
        info: dict[str, Any] = await self._call("simGetCollisionInfo", self._name)
        return info

    async def controlled(self) -> bool:
        """Whether the vehicle takes commands from here."""
        return bool(await self._call("isApiControlEnabled", self._name))

    async def hold(self) -> None:
        """Stop where it is; in force when this returns."""
        timeout_s = self._settings.hold_timeout_s
        await self._call("cancelLastTask", self._name, timeout_s=timeout_s)
        state = self._readings.newest
        if state is None or not state.flying:
            return
        if state.velocity.speed_m_s < _SLOW_M_S:
            await self._call("hover", self._name, timeout_s=timeout_s)
            return
        # AirSim's hover flies back to where it was called: braked first, the vehicle stays where it comes to rest.
        yaw = dialect.yaw_to(self._heading_deg())
        self._connection.submit(
            "moveByVelocity", 0.0, 0.0, 0.0, _BRAKE_S, dialect.MAX_DEGREE_OF_FREEDOM, yaw, self._name
        )

    async def kill(self) -> None:
        """See `Vehicle.kill`."""
        timeout_s = self._settings.hold_timeout_s
        stopped = await self._call("armDisarm", False, self._name, timeout_s=timeout_s)
        if not stopped:
            # Refused without API control, and also where the motors stand already; only the first can be fixed.
            await self._call("enableApiControl", True, self._name, timeout_s=timeout_s)
            stopped = await self._call("armDisarm", False, self._name, timeout_s=timeout_s)
        if not stopped and self._readings.armed:
            raise SimulatorError("stopping the motors was refused", method="armDisarm")
        self._readings.armed = False

    async def fly(self, plan: Plan, ttl_s: float) -> None:
        """See `Vehicle.fly`."""
        until_s = asyncio.get_running_loop().time() + ttl_s
        if not await self.controlled():
            await self._call("enableApiControl", True, self._name)
        match plan:
            case ClimbTo():
                await self._climb(plan, until_s)
            case Descend():
                await self._descend(plan, ttl_s)
            case FlyVelocity():
                await self._fly_velocity(plan, until_s)
            case FlyTo():
                await self._fly_to(plan, until_s)
            case TurnTo(yaw_deg):
                await self._task("rotateToYaw", float(yaw_deg), float(ttl_s), 0.5, self._name, timeout_s=ttl_s)

    async def _climb(self, plan: ClimbTo, until_s: float) -> None:
        await self._arm(True)
        left_s = _left_s(until_s)
        if left_s > 0 and -(await self.read()).pose.position.down_m < _TAKEN_OFF_M:
            await self._task("takeoff", left_s, self._name, timeout_s=left_s)
        here = (await self.read()).pose.position
        await self._fly_to(FlyTo(replace(here, down_m=-plan.altitude_m), _CLIMB_SPEED_M_S), until_s)

    async def _descend(self, plan: Descend, ttl_s: float) -> None:
        # AirSim lands at 0.2 m/s from any height, so most of the way is flown down first.
        reading = await self.read()
        if -reading.pose.position.down_m > _TOUCHDOWN_ALTITUDE_M + 0.2:
            yaw = dialect.yaw_to(self._heading_deg())
            await self._task(
                "moveToZ", -_TOUCHDOWN_ALTITUDE_M, plan.speed_m_s, ttl_s, yaw, -1.0, 1.0, self._name, timeout_s=ttl_s
            )
        while reading.flying:
            await self._task("land", float(ttl_s), self._name, timeout_s=ttl_s)
            await asyncio.sleep(0.1)
            reading = await self.read()
        await self._arm(False)

    async def _fly_velocity(self, plan: FlyVelocity, until_s: float) -> None:
        # Short-lived and sent again: if the bridge dies, the vehicle stops within that life. Nothing is sent that would
        # outlive the ttl, even if whoever is to end this at its ttl comes late.
        while (left_s := _left_s(until_s)) > 0:
            self._connection.submit(
                "moveByVelocityBodyFrame",
                float(plan.forward_m_s),
                float(plan.right_m_s),
                float(plan.down_m_s),
                min(_VELOCITY_LIFE_S, left_s),
                dialect.MAX_DEGREE_OF_FREEDOM,
                dialect.yaw_rate(plan.yaw_rate_deg_s),
                self._name,
            )
            await asyncio.sleep(_VELOCITY_PERIOD_S)

    async def _fly_to(self, plan: FlyTo, until_s: float) -> None:
        # AirSim's own way to a point ends half a metre before it and, if the bridge dies, goes on to its end. Guided
        # from here by short-lived velocities the vehicle arrives, and stops within their life.
        yaw = dialect.yaw_to(self._heading_deg() if plan.yaw_deg is None else plan.yaw_deg)
        while _left_s(until_s) > 0:
            velocity = guided_velocity(await self.read(), plan.goal, plan.speed_m_s)
            life_s = min(_VELOCITY_LIFE_S, max(_left_s(until_s), 0.0))
            self._connection.submit("moveByVelocity", *velocity, life_s, dialect.MAX_DEGREE_OF_FREEDOM, yaw, self._name)
            await asyncio.sleep(_GUIDANCE_PERIOD_S)

    async def _task(self, method: str, *params: object, timeout_s: float) -> None:
        # The simulator's time may run slower than ours; the caller's ttl ends the wait, not this deadline.
        await self._call(method, *params, timeout_s=timeout_s + self._settings.hold_timeout_s)

    async def _arm(self, armed: bool) -> None:
        if not await self._call("armDisarm", armed, self._name, timeout_s=self._settings.hold_timeout_s):
            raise SimulatorError(f"{'arming' if armed else 'disarming'} was refused", method="armDisarm")
        self._readings.armed = armed

    def _heading_deg(self) -> float:
        if self._readings.newest is None:
            raise InternalFault("the state is read before a motion is flown")
        return self._readings.newest.pose.orientation.yaw_deg

    async def _call(self, method: str, *params: object, timeout_s: float | None = None) -> Any:
        deadline_s = self._settings.state_timeout_s if timeout_s is None else timeout_s
        return await self._connection.call(method, *params, timeout_s=deadline_s)


def _left_s(until_s: float) -> float:
    return until_s - asyncio.get_running_loop().time()


def guided_velocity(state: VehicleState, goal: PositionNed, speed_m_s: float) -> tuple[float, float, float]:
    """Velocity towards `goal`, NED metres a second: `speed_m_s`, and less in proportion to the distance when near.

    The distance is taken from where the vehicle will be when its speed has answered, which keeps it from overshooting.
    """
    position, moving = state.pose.position, state.velocity
    here = PositionNed(
        position.north_m + moving.north_m_s * _ANSWER_S,
        position.east_m + moving.east_m_s * _ANSWER_S,
        position.down_m + moving.down_m_s * _ANSWER_S,
    )
    distance_m = here.distance_m(goal)
    if distance_m < 1e-6:
        return 0.0, 0.0, 0.0
    scale = min(speed_m_s, _GUIDANCE_PER_S * distance_m) / distance_m
    return (
        (goal.north_m - here.north_m) * scale,
        (goal.east_m - here.east_m) * scale,
        (goal.down_m - here.down_m) * scale,
    )
