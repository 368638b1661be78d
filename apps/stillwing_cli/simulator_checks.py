"""Whether an AirSim server answers as the bridge needs it to: each check is a line, with what to do where it is not so.

Reads alone, but for API control of a vehicle that stands, which is asked for and given back. It knows no flying and
nothing of how lines are shown.
"""

import asyncio
import math
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import numpy as np

from stillwing_bridge.core.vehicle import View
from stillwing_bridge.core.vehicles.airsim import dialect
from stillwing_bridge.core.vehicles.airsim.cameras import AirSimCameras
from stillwing_bridge.core.vehicles.airsim.readings import Readings
from stillwing_bridge.core.vehicles.airsim.settings import AirSimSettings
from stillwing_bridge.core.vehicles.airsim.transport import Transport
from stillwing_cli.check_page import Check, Level
from stillwing_common.errors import LinkLost, SimulatorError, StillwingError, Unsupported

_CALL_S = 3.0
_CLOCK_S = 1.0
_READS, _PICTURES = 40, 5
_SLOW_READ_S, _SLOW_PICTURE_S = 0.1, 0.5
_SMALL_PX = (200, 300)
"""Rows and columns below which a model sees little: AirSim's own default is 144 by 256."""

_NEAR_M = 0.5
"""Two readings of a vehicle that stands are this near to each other."""

_MOUNT_M = 3.0
"""A camera is mounted at most so far from its vehicle's centre."""

_ALL_DEPENDS_ON = ("protocol", "version", "vehicle")
"""Without these nothing further makes sense."""

_NO_ANSWER = "restart the simulator; if it is no AirSim, give the address of one"


def detail(error: StillwingError) -> str:
    """What is special about an error."""
    return str(error.detail or error)


Tell = Callable[[Check], None]
"""Takes a check as soon as it is done."""


def passed(what: str, found: str) -> Check:
    """A check that went as it should."""
    return Check(what, Level.OK, found)


class SimulatorChecks:
    """One examination of one server. `connect` first; `close` at the end."""

    def __init__(self, settings: AirSimSettings) -> None:
        self._settings = settings
        self._name = settings.vehicle_name
        self._readings = Readings(0.0)
        self._cameras = AirSimCameras(replace(settings, image_timeout_s=2 * _CALL_S), self._readings)
        self._connection: Transport | None = None

    def close(self) -> None:
        """Close all connections."""
        self._cameras.close()
        if self._connection is not None:
            self._connection.close()

    async def run(self, tell: Tell) -> None:
        """Tell every check as it is done. After the first that gets no answer the others are skipped."""
        checks: dict[str, Callable[[], Awaitable[Check]]] = {
            "connection": self._connect,
            "protocol": self._protocol,
            "version": self._version,
            "vehicle": self._vehicle,
            "API control": self._control,
            "clock": self._clock,
            "pose": self._pose,
            "down is down": self._gravity,
            "collisions": self._collisions,
            "read latency": self._latency,
        }
        checks |= {f"camera {name}": self._camera_check(name) for name in self._settings.camera_names}
        lost = False
        for what, check in checks.items():
            if lost:
                tell(Check(what, Level.SKIPPED, "not asked: no answer before"))
                continue
            try:
                tell(await check())
            except LinkLost as error:
                lost = True
                tell(Check(what, Level.FAILED, detail(error), _unreachable(what)))
            except StillwingError as error:
                lost = what in _ALL_DEPENDS_ON
                tell(Check(what, Level.FAILED, detail(error), _refused(what, error)))
            except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
                lost = what in _ALL_DEPENDS_ON
                tell(Check(what, Level.FAILED, f"the answer makes no sense: {error!r}"[:200], _NO_ANSWER))

    async def _call(self, method: str, *params: object) -> Any:
        assert self._connection is not None
        return await self._connection.call(method, *params, timeout_s=_CALL_S)

    async def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = await self._call("getMultirotorState", self._name)
        return state

    async def _connect(self) -> Check:
        s = self._settings
        began_s = time.monotonic()
        self._connection = await asyncio.to_thread(Transport.open, s.host, s.port, timeout_s=_CALL_S, name="check")
        return passed("connection", f"{s.host}:{s.port} in {1e3 * (time.monotonic() - began_s):.1f} ms")

    async def _protocol(self) -> Check:
        answer = await self._call("ping")
        if answer is not True:
            raise SimulatorError(f"ping is answered with {answer!r:.40}, not with True")
        return passed("protocol", "msgpack-rpc, ping answered")

    async def _version(self) -> Check:
        assert self._connection is not None
        language = await dialect.detect(self._connection, self._name, timeout_s=_CALL_S)
        return passed("version", f"{language.server_version}, the {language.name} dialect")

    async def _vehicle(self) -> Check:
        state = await self._state()
        where = "stands" if state["landed_state"] == dialect.LANDED else "flies"
        return passed("vehicle", f"{self._name or 'the only one'} {where}")

    async def _control(self) -> Check:
        before = bool(await self._call("isApiControlEnabled", self._name))
        if before:
            return passed("API control", "taken already; it stays so")
        if (await self._state())["landed_state"] != dialect.LANDED:
            return Check("API control", Level.WARNING, "not asked for: the vehicle flies", "land it and check again")
        await self._call("enableApiControl", True, self._name)
        try:
            given = bool(await self._call("isApiControlEnabled", self._name))
        finally:
            await self._call("enableApiControl", False, self._name)
        if not given:
            fix = "AllowAPIAlways in settings.json must not be false"
            return Check("API control", Level.FAILED, "asked for and not given", fix)
        return passed("API control", "given on request, and given back")

    async def _clock(self) -> Check:
        if await self._call("simIsPaused"):
            return Check(
                "clock", Level.FAILED, "the simulation is paused", "let it go on (Backspace in AirSim's window)"
            )
        first, began_s = dialect.time_of((await self._state())["timestamp"]), time.monotonic()
        await asyncio.sleep(_CLOCK_S)
        second, ended_s = dialect.time_of((await self._state())["timestamp"]), time.monotonic()
        speed = (second - first) / 1e9 / (ended_s - began_s)
        found = f"runs at {speed:.2f} times real time"
        if speed <= 0:
            return Check(
                "clock", Level.FAILED, "stands still, and the simulation is not paused", "restart the simulator"
            )
        if not 0.8 < speed < 1.25:
            return Check("clock", Level.WARNING, found, 'set "ClockSpeed": 1.0, or give the simulator a faster machine')
        return passed("clock", found)

    async def _pose(self) -> Check:
        state = await self._state()
        estimated = dialect.pose_of(state["kinematics_estimated"])
        truth = dialect.pose_of(await self._call("simGetVehiclePose", self._name))
        apart_m = estimated.position.distance_m(truth.position)
        p = truth.position
        found = (
            f"north {p.north_m:.2f}, east {p.east_m:.2f}, down {p.down_m:.2f} m, "
            f"yaw {truth.orientation.yaw_deg:.1f}° clockwise from north"
        )
        if apart_m > _NEAR_M and state["landed_state"] == dialect.LANDED:
            found += f"; the estimate is {apart_m:.1f} m away"
            return Check("pose", Level.WARNING, found, "fly on ground truth, or let the estimator settle")
        return passed("pose", found)

    async def _gravity(self) -> Check:
        what = "down is down"
        if (await self._state())["landed_state"] != dialect.LANDED:
            return Check(what, Level.SKIPPED, "told by a vehicle that stands; this one flies")
        felt = (await self._call("getImuData", "", self._name))["linear_acceleration"]
        size = math.hypot(felt["x_val"], felt["y_val"], felt["z_val"])
        found = f"at rest {felt['z_val']:.2f} m/s² is felt along the body's down, of {size:.2f}"
        if felt["z_val"] < -8.5:
            return passed(what, found)
        fix = "poses are not north, east, down, or the vehicle does not stand level: do not fly it"
        return Check(what, Level.FAILED, found, fix)

    async def _collisions(self) -> Check:
        info = await self._call("simGetCollisionInfo", self._name)
        collided, thing = info["has_collided"], info["object_name"]
        if not isinstance(collided, bool) or not isinstance(thing, str):
            raise TypeError(f"has_collided {collided!r:.20}, object_name {thing!r:.20}")
        return passed("collisions", f"touches {thing or 'something'}" if collided else "none")

    async def _latency(self) -> Check:
        took_s = []
        for _ in range(_READS):
            began_s = time.monotonic()
            await self._state()
            took_s.append(time.monotonic() - began_s)
        middle_s, worst_s = statistics.median(took_s), max(took_s)
        found = f"{1e3 * middle_s:.1f} ms, {1e3 * worst_s:.1f} ms at the most, of {_READS} reads of the state"
        if worst_s > self._settings.state_timeout_s:
            fix = f"the bridge waits {self._settings.state_timeout_s:g} s at the most: run it beside the simulator"
            return Check("read latency", Level.FAILED, found, fix)
        if middle_s > _SLOW_READ_S:
            return Check("read latency", Level.WARNING, found, "run the bridge on the simulator's machine")
        return passed("read latency", found)

    def _camera_check(self, name: str) -> Callable[[], Awaitable[Check]]:
        async def check() -> Check:
            return await self._camera(name)

        return check

    async def _camera(self, name: str) -> Check:
        what = f"camera {name}"
        camera = await self._cameras.describe(name)
        took_s = []
        for _ in range(_PICTURES):
            began_s = time.monotonic()
            shot = await self._cameras.capture(name, (View.COLOUR, View.DEPTH))
            took_s.append(time.monotonic() - began_s)
        assert shot.rgb is not None and shot.depth_m is not None and shot.camera_pose is not None
        middle_s = statistics.median(took_s)
        seen = shot.depth_m[np.isfinite(shot.depth_m)]
        nearest, middle = (float(seen.min()), float(np.median(seen))) if seen.size else (0.0, 0.0)
        found = (
            f"{camera.width_px}x{camera.height_px} in colour, {camera.hfov_deg:.0f}° wide, planar depth from "
            f"{nearest:.1f} m, {middle:.1f} m in the middle of its values, {1e3 * middle_s:.0f} ms for both"
        )
        here = dialect.pose_of(await self._call("simGetVehiclePose", self._name)).position
        away_m = shot.camera_pose.position.distance_m(here)
        sizes = 'give image types 0 and 1 the same "Width" and "Height" in settings.json'
        if shot.depth_m.shape != shot.rgb.shape[:2]:
            rows, columns = shot.depth_m.shape
            return Check(what, Level.FAILED, f"{found}; depth is {columns}x{rows}", sizes)
        if not seen.size or nearest < 0:
            return Check(
                what, Level.FAILED, f"{found}; depth says nothing", "image type 1 must be planar depth in metres"
            )
        problems = [
            (
                away_m > _MOUNT_M,
                f"it stands {away_m:.1f} m from the vehicle",
                "camera poses are not in the vehicle's frame",
            ),
            (
                int(np.ptp(shot.rgb)) < 8,
                "the picture is of one colour",
                "look whether the camera is in a wall or a cap",
            ),
            (
                camera.height_px < _SMALL_PX[0] or camera.width_px < _SMALL_PX[1],
                "that is small",
                'set "Width" 320 or more and "Height" 240 or more in settings.json',
            ),
            (middle_s > _SLOW_PICTURE_S, "that is slow", 'smaller pictures, or "ViewMode": "NoDisplay"'),
        ]
        for is_so, why, fix in problems:
            if is_so:
                return Check(what, Level.WARNING, f"{found}; {why}", fix)
        return passed(what, found)


def _unreachable(what: str) -> str:
    if what == "connection":
        return "start the simulator, or look at LocalHostIp and ApiServerPort in its settings.json"
    if what == "protocol":
        return "another program listens there, or the simulator hangs: AirSim's port is 41451 unless set otherwise"
    return _NO_ANSWER


def _refused(what: str, error: StillwingError) -> str:
    if what.startswith("camera "):
        return "give the names of your cameras: --camera 0"
    if isinstance(error, Unsupported):
        return "use Microsoft's or Cosys-Lab's AirSim"
    if what in ("version", "vehicle"):
        return "give the vehicle's name as in settings.json: --vehicle Drone1"
    return "this server lacks the call, or refuses it: see its log"
