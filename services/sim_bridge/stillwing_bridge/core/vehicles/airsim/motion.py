"""How an AirSim multirotor is read, held and flown over one open connection.

All that is flown is setpoints that live for a moment: whatever becomes of this process, the last of them ends, and
AirSim keeps the position by itself 60 ms of simulated time later. Nothing is sent without a fresh reading. AirSim drops
motions silently without API control, so that is asked for before each and watched.
"""

import asyncio
import logging
from typing import Any

from stillwing_bridge.core.vehicle import ClimbTo, Descend, FlyVelocity, Plan, VehicleState
from stillwing_bridge.core.vehicles.airsim import dialect
from stillwing_bridge.core.vehicles.airsim.guidance import Setpoint, braking, guide_of
from stillwing_bridge.core.vehicles.airsim.readings import Readings
from stillwing_bridge.core.vehicles.airsim.settings import AirSimSettings
from stillwing_bridge.core.vehicles.airsim.transport import Connection
from stillwing_common.errors import LinkLost, SimulatorError, StillwingError

_log = logging.getLogger(__name__)

_VELOCITY_PERIOD_S = 0.1
_GUIDANCE_PERIOD_S = 0.05
_BRAKING_S = 3.0
_SLOW_M_S = 0.05


class Motion:
    """One vehicle over one open connection; not reusable once that is lost. Every method raises `LinkLost`."""

    def __init__(self, connection: Connection, settings: AirSimSettings, readings: Readings) -> None:
        self._connection = connection
        self._settings = settings
        self._readings = readings
        self._name = settings.vehicle_name
        self._braking: asyncio.Task[None] | None = None
        self._silent = 0

    async def begin(self) -> None:
        """Ask for control; `Unsupported` for a dialect that is not flown."""
        await dialect.detect(self._connection, self._name, timeout_s=self._settings.connect_timeout_s)
        await self._call("enableApiControl", True, self._name)

    def close(self) -> None:
        """Close the connection."""
        self._stop_braking()
        self._connection.close()

    @dialect.understood
    async def read(self) -> VehicleState:
        """The state now. Without the collision: reading that clears it."""
        return self._readings.take(await self._ask("getMultirotorState"))

    async def collision(self) -> dict[str, Any]:
        """AirSim's CollisionInfo since it was read before."""
        info: dict[str, Any] = await self._ask("simGetCollisionInfo")
        return info

    async def controlled(self) -> bool:
        """Whether the vehicle takes commands from here."""
        return bool(await self._ask("isApiControlEnabled"))

    async def hold(self) -> None:
        """Stop where it is; in force when this returns, and the vehicle brakes from then on."""
        self._stop_braking()
        timeout_s = self._settings.hold_timeout_s
        await self._call("cancelLastTask", self._name, timeout_s=timeout_s)
        state = self._readings.newest
        if state is None or not state.flying:
            return
        if state.velocity.speed_m_s < _SLOW_M_S:
            await self._call("hover", self._name, timeout_s=timeout_s)
            return
        # AirSim's hover flies back to where it was called: braked first, the vehicle stays where it comes to rest.
        self._braking = asyncio.create_task(self._brake())

    async def kill(self) -> None:
        """See `Vehicle.kill`."""
        self._stop_braking()
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
        self._stop_braking()
        began_s = _now_s()
        until_s = began_s + ttl_s
        if not await self.controlled():
            await self._call("enableApiControl", True, self._name)
        if isinstance(plan, ClimbTo):
            await self._arm(True)
        guide = guide_of(plan, await self.read())
        period_s = _VELOCITY_PERIOD_S if isinstance(plan, FlyVelocity) else _GUIDANCE_PERIOD_S
        state = await self._next_reading(began_s, 0.0, until_s)
        while state is not None:
            if isinstance(plan, Descend) and not state.flying:
                await self._arm(False)
                return
            self._send(guide(state), until_s)
            state = await self._next_reading(_now_s(), period_s, until_s)
        if isinstance(plan, Descend):
            raise SimulatorError(f"the vehicle is not on the ground after {ttl_s:g} s")

    async def _brake(self) -> None:
        until_s = _now_s() + _BRAKING_S
        try:
            state = await self._next_reading(_now_s(), 0.0, until_s)
            while state is not None and state.velocity.speed_m_s >= _SLOW_M_S:
                self._send(braking(state), until_s)
                state = await self._next_reading(_now_s(), _GUIDANCE_PERIOD_S, until_s)
        except StillwingError as error:
            _log.warning("braking ended early: %s", error)  # the last setpoint ends, and AirSim holds

    def _stop_braking(self) -> None:
        if self._braking is not None:
            self._braking.cancel()
        self._braking = None

    async def _next_reading(self, since_s: float, pause_s: float, until_s: float) -> VehicleState | None:
        # What is flown by next, None when the time is over. Where it took longer than a setpoint lives, the simulator
        # was silent or this process stood still: whoever judges is to see that first, before anything is sent.
        life_s = self._settings.setpoint_life_s
        while True:
            await asyncio.sleep(pause_s)
            state = await self.read()
            now_s = _now_s()
            if now_s >= until_s:
                return None
            if now_s - since_s < pause_s + life_s and not self._silent:
                return state
            since_s, pause_s = now_s, life_s

    def _send(self, setpoint: Setpoint, until_s: float) -> None:
        # Nothing is sent that would outlive the ttl, even if whoever is to end this at its ttl comes late.
        life_s = min(self._settings.setpoint_life_s, until_s - _now_s())
        self._connection.submit(
            setpoint.method, *setpoint.velocity_m_s, life_s, dialect.MAX_DEGREE_OF_FREEDOM, setpoint.yaw, self._name
        )

    async def _arm(self, armed: bool) -> None:
        if not await self._call("armDisarm", armed, self._name, timeout_s=self._settings.hold_timeout_s):
            raise SimulatorError(f"{'arming' if armed else 'disarming'} was refused", method="armDisarm")
        self._readings.armed = armed

    async def _ask(self, method: str) -> Any:
        """Ask again while there is no answer, as long as `silence_limit_s`; nothing is sent to fly meanwhile."""
        s = self._settings
        until_s = _now_s() + s.silence_limit_s
        answers: list[asyncio.Future[Any]] = []
        silent = False
        try:
            while True:
                answers.append(asyncio.wrap_future(self._connection.submit(method, self._name)))
                # A late answer is as good, but for the one before the last: that would be of a time long gone.
                newest = answers[-2:]
                await asyncio.wait(newest, timeout=s.state_timeout_s, return_when=asyncio.FIRST_COMPLETED)
                for answer in newest:
                    if answer.done():
                        return answer.result()
                if _now_s() >= until_s:
                    raise LinkLost(f"{method} got no answer within {s.silence_limit_s:g} s", method=method)
                if not silent:
                    silent = True
                    self._silent += 1
                    _log.warning(
                        "%s got no answer within %g s: nothing is flown until one comes", method, s.state_timeout_s
                    )
        finally:
            self._silent -= silent
            for answer in answers:
                if not answer.cancel() and not answer.cancelled():
                    answer.exception()  # of a call that nobody waits for any more

    async def _call(self, method: str, *params: object, timeout_s: float | None = None) -> Any:
        deadline_s = self._settings.state_timeout_s if timeout_s is None else timeout_s
        return await self._connection.call(method, *params, timeout_s=deadline_s)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
