"""One AirSim multirotor as a `Vehicle`: motion and state on one connection, pictures on another.

AirSim's booleans are not believed: what came of a call is read from the state. It keeps position by itself 60 ms of
simulated time after the last setpoint, so a hold needs no stream. It drops motions silently without API control, so
that is asked for before each and watched. It has no battery: one may be simulated here.
"""

import asyncio
import math
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stillwing_bridge.core.types import Camera, GroundTruth
from stillwing_bridge.core.vehicle import (
    Capture,
    ClimbTo,
    Descend,
    FlyTo,
    FlyVelocity,
    Plan,
    TurnTo,
    VehicleSpec,
    VehicleState,
    View,
)
from stillwing_bridge.core.vehicles.airsim import dialect
from stillwing_bridge.core.vehicles.airsim.battery import SimulatedBattery
from stillwing_bridge.core.vehicles.airsim.transport import Transport
from stillwing_common.errors import InternalFault, LinkLost, SimulatorError, UnknownCamera
from stillwing_common.ids import new_id
from stillwing_common.types import Pose, PositionNed, Stamp

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
# Farther than this between two readings, and this much more for every second between them, nothing flies.
_JUMP_M = 3.0
_JUMP_M_S = 10.0
# What moved this far while its clock stood still has a clock that stands still.
_STUCK_M = 0.2
_GROUND = re.compile(r"ground|landscape|terrain|floor", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class AirSimSettings:
    """Where the simulator is, which vehicle ("" is its only one) and cameras are ours, and how long calls may take.

    `battery_endurance_s` is how long the simulated battery lasts with armed motors; 0 means that none is reported.
    """

    host: str = "127.0.0.1"
    port: int = 41451
    vehicle_name: str = ""
    vehicle_id: str = "drone"
    camera_names: tuple[str, ...] = ("front_center",)
    connect_timeout_s: float = 2.0
    state_timeout_s: float = 0.5
    hold_timeout_s: float = 2.0
    image_timeout_s: float = 3.0
    battery_endurance_s: float = 0.0

    def __post_init__(self) -> None:
        if self.battery_endurance_s < 0:
            raise ValueError("a battery lasts 0 s (none) or longer")
        if not self.camera_names:
            raise ValueError("at least one camera")


class AirSimVehicle:
    """See `core.vehicle.Vehicle`. Made by `discover`, because the cameras are known only to the simulator."""

    spec: VehicleSpec

    def __init__(self, settings: AirSimSettings) -> None:
        self._settings = settings
        self._name = settings.vehicle_name
        self._motion: Transport | None = None
        self._images: Transport | None = None
        self._dialect = dialect.MICROSOFT
        self._battery = SimulatedBattery(settings.battery_endurance_s) if settings.battery_endurance_s else None
        self._opening_images = asyncio.Lock()
        self._clock_id = new_id("clk")
        self._last_time_ns = 0
        self._armed = False
        self._state: VehicleState | None = None

    @classmethod
    async def discover(cls, settings: AirSimSettings) -> "AirSimVehicle":
        """Connect and ask for the cameras; `LinkLost`, `Unsupported` for another dialect, `SimulatorError`."""
        vehicle = cls(settings)
        await vehicle.connect()
        cameras = [await vehicle._describe(name) for name in settings.camera_names]
        vehicle.spec = VehicleSpec(settings.vehicle_id, tuple(cameras))
        return vehicle

    async def connect(self) -> None:
        """See `Vehicle.connect`."""
        await self.close()
        self._motion = await self._open("motion")
        self._dialect = await dialect.detect(self._motion, self._name, timeout_s=self._settings.connect_timeout_s)
        await self._call("enableApiControl", True, self._name)

    @property
    def dialect_name(self) -> str:
        """Which dialect the simulator speaks."""
        return self._dialect.name

    async def close(self) -> None:
        """See `Vehicle.close`."""
        for transport in (self._motion, self._images):
            if transport is not None:
                transport.close()
        self._motion = self._images = None

    # State

    @dialect.understood
    async def state(self) -> VehicleState:
        """See `Vehicle.state`."""
        reading, collision, controlled = await asyncio.gather(
            self._read(),
            self._call("simGetCollisionInfo", self._name),
            self._call("isApiControlEnabled", self._name),
        )
        reading = replace(reading, controlled=bool(controlled))
        if not collision["has_collided"] or _GROUND.search(collision["object_name"]):
            return reading
        return replace(reading, collided_with=collision["object_name"] or "unknown")

    @dialect.understood
    async def _read(self) -> VehicleState:
        # Without the collision: reading it clears it, and only `state` hands it on.
        reading = await self._call("getMultirotorState", self._name)
        kinematics = reading["kinematics_estimated"]
        time_ns, pose = dialect.time_of(reading["timestamp"]), dialect.pose_of(kinematics)
        self._check_continuity(time_ns, pose)
        self._state = VehicleState(
            stamp=self._stamp(time_ns),
            pose=pose,
            velocity=dialect.velocity_of(kinematics["linear_velocity"]),
            flying=reading["landed_state"] != dialect.LANDED,
            armed=self._armed,
            battery_fraction=None if self._battery is None else self._battery.read(time_ns, self._armed),
        )
        return self._state

    def _check_continuity(self, time_ns: int, pose: Pose) -> None:
        # A world that somebody else reset, or a vehicle that was moved, is a new world; frames and commands of the old
        # one are void. A clock that stands still would keep every frame fresh for ever.
        if self._state is None:
            return
        moved_m = pose.position.distance_m(self._state.pose.position)
        passed_s = (time_ns - self._state.stamp.time_ns) / 1e9
        if moved_m > _JUMP_M + _JUMP_M_S * max(0.0, passed_s):
            self.clock_restarted()
        elif passed_s == 0 and moved_m > _STUCK_M:
            raise SimulatorError(f"the vehicle moved {moved_m:.1f} m while its clock stood still")

    @dialect.understood
    async def ground_truth(self) -> GroundTruth:
        """See `Vehicle.ground_truth`."""
        truth, reading = await asyncio.gather(
            self._call("simGetGroundTruthKinematics", self._name), self._call("getMultirotorState", self._name)
        )
        stamp = self._stamp(dialect.time_of(reading["timestamp"]))
        return GroundTruth(stamp, dialect.pose_of(truth), dialect.velocity_of(truth["linear_velocity"]))

    def _stamp(self, time_ns: int) -> Stamp:
        # Readings may overtake each other by a few milliseconds; a world that starts over goes back much farther.
        if time_ns < self._last_time_ns - 1_000_000_000:
            self.clock_restarted()
        self._last_time_ns = max(self._last_time_ns, time_ns)
        return Stamp(time_ns, self._clock_id)

    def clock_restarted(self) -> None:
        """The world was reset: times from before mean nothing any more, and the vehicle stands disarmed."""
        self._clock_id = new_id("clk")
        self._last_time_ns = 0
        self._armed = False
        self._state = None
        if self._battery is not None:
            self._battery.replace()

    # Motion

    async def hold(self) -> None:
        """See `Vehicle.hold`."""
        timeout_s = self._settings.hold_timeout_s
        await self._call("cancelLastTask", self._name, timeout_s=timeout_s)
        state = self._state
        if state is None or not state.flying:
            return
        if state.velocity.speed_m_s < _SLOW_M_S:
            await self._call("hover", self._name, timeout_s=timeout_s)
            return
        # AirSim's hover flies back to where it was called: braked first, the vehicle stays where it comes to rest.
        yaw = dialect.yaw_to(self._heading_deg())
        self._transport().submit(
            "moveByVelocity", 0.0, 0.0, 0.0, _BRAKE_S, dialect.MAX_DEGREE_OF_FREEDOM, yaw, self._name
        )

    async def kill(self) -> None:
        """See `Vehicle.kill`."""
        timeout_s = self._settings.hold_timeout_s
        stopped = await self._call("armDisarm", False, self._name, timeout_s=timeout_s)
        if not stopped:
            # Refused without API control, and also where the motors stand already; only the first can be mended.
            await self._call("enableApiControl", True, self._name, timeout_s=timeout_s)
            stopped = await self._call("armDisarm", False, self._name, timeout_s=timeout_s)
        if not stopped and self._armed:
            raise SimulatorError("stopping the motors was refused", method="armDisarm")
        self._armed = False

    async def fly(self, plan: Plan, ttl_s: float) -> None:
        """See `Vehicle.fly`."""
        until_s = asyncio.get_running_loop().time() + ttl_s
        if not await self._call("isApiControlEnabled", self._name):
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
        if left_s > 0 and -(await self._read()).pose.position.down_m < _TAKEN_OFF_M:
            await self._task("takeoff", left_s, self._name, timeout_s=left_s)
        here = (await self._read()).pose.position
        await self._fly_to(FlyTo(replace(here, down_m=-plan.altitude_m), _CLIMB_SPEED_M_S), until_s)

    async def _descend(self, plan: Descend, ttl_s: float) -> None:
        # AirSim lands at 0.2 m/s from any height, so most of the way is flown down first.
        reading = await self._read()
        if -reading.pose.position.down_m > _TOUCHDOWN_ALTITUDE_M + 0.2:
            yaw = dialect.yaw_to(self._heading_deg())
            await self._task(
                "moveToZ", -_TOUCHDOWN_ALTITUDE_M, plan.speed_m_s, ttl_s, yaw, -1.0, 1.0, self._name, timeout_s=ttl_s
            )
        while reading.flying:
            await self._task("land", float(ttl_s), self._name, timeout_s=ttl_s)
            await asyncio.sleep(0.1)
            reading = await self._read()
        await self._arm(False)

    async def _fly_velocity(self, plan: FlyVelocity, until_s: float) -> None:
        # Short-lived and sent again: if the bridge dies, the vehicle stops within that life. Nothing is sent that would
        # outlive the ttl, even if whoever is to end this at its ttl comes late.
        while (left_s := _left_s(until_s)) > 0:
            self._transport().submit(
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
            velocity = guided_velocity(await self._read(), plan.goal, plan.speed_m_s)
            life_s = min(_VELOCITY_LIFE_S, max(_left_s(until_s), 0.0))
            self._transport().submit(
                "moveByVelocity", *velocity, life_s, dialect.MAX_DEGREE_OF_FREEDOM, yaw, self._name
            )
            await asyncio.sleep(_GUIDANCE_PERIOD_S)

    async def _task(self, method: str, *params: object, timeout_s: float) -> None:
        # The simulator's time may run slower than ours; the caller's ttl ends the wait, not this deadline.
        await self._call(method, *params, timeout_s=timeout_s + self._settings.hold_timeout_s)

    async def _arm(self, armed: bool) -> None:
        if not await self._call("armDisarm", armed, self._name, timeout_s=self._settings.hold_timeout_s):
            raise SimulatorError(f"{'arming' if armed else 'disarming'} was refused", method="armDisarm")
        self._armed = armed

    def _heading_deg(self) -> float:
        if self._state is None:
            raise InternalFault("the state is read before a motion is flown")
        return self._state.pose.orientation.yaw_deg

    # Pictures

    async def capture(self, camera_id: str, views: Collection[View]) -> Capture:
        """See `Vehicle.capture`."""
        if all(camera.camera_id != camera_id for camera in self.spec.cameras):
            raise UnknownCamera(camera_id=camera_id)
        return await self._capture(camera_id, views)

    @dialect.understood
    async def _capture(self, camera_name: str, views: Collection[View]) -> Capture:
        kinds = {View.COLOUR: (dialect.SCENE, False), View.DEPTH: (dialect.DEPTH_PLANAR, True)}
        ordered = [view for view in View if view in views]
        requests = [dialect.image_request(camera_name, kinds[view][0], as_float=kinds[view][1]) for view in ordered]
        responses = await self._image_call("simGetImages", *self._dialect.image_params(requests, self._name))
        if len(responses) != len(ordered):
            raise SimulatorError(f"{len(responses)} images instead of {len(ordered)}", camera_id=camera_name)
        pixels: dict[View, Any] = {}
        for view, response in zip(ordered, responses, strict=True):
            dialect.check_image(response, camera_name)
            pixels[view] = (
                _colour(response, blue_first=self._dialect.blue_first) if view is View.COLOUR else _depth(response)
            )
        first = responses[0]
        pose = dialect.pose_of({"position": first["camera_position"], "orientation": first["camera_orientation"]})
        stamp = Stamp(dialect.time_of(first["time_stamp"]), self._clock_id)
        return Capture(stamp, pose, pixels.get(View.COLOUR), pixels.get(View.DEPTH))

    @dialect.understood
    async def _describe(self, camera_name: str) -> Camera:
        capture = await self._capture(camera_name, (View.COLOUR,))
        info = await self._image_call("simGetCameraInfo", *self._dialect.camera_info_params(camera_name, self._name))
        if capture.rgb is None or not math.isfinite(info["fov"]):
            raise SimulatorError("the camera has no field of view", camera_id=camera_name)
        height_px, width_px, _ = capture.rgb.shape
        return Camera(camera_name, width_px, height_px, float(info["fov"]), has_depth=True)

    async def _image_call(self, method: str, *params: object) -> Any:
        async with self._opening_images:
            if self._images is None or not self._images.alive:
                self._images = await self._open("image")
            images = self._images
        try:
            return await images.call(method, *params, timeout_s=self._settings.image_timeout_s)
        except LinkLost:
            images.close()  # a hung picture hangs its connection; the next one gets a fresh one
            raise

    # Links

    async def _open(self, name: str) -> Transport:
        s = self._settings
        return await asyncio.to_thread(Transport.open, s.host, s.port, timeout_s=s.connect_timeout_s, name=name)

    def _transport(self) -> Transport:
        if self._motion is None:
            raise LinkLost("not connected")
        return self._motion

    async def _call(self, method: str, *params: object, timeout_s: float | None = None) -> Any:
        deadline_s = self._settings.state_timeout_s if timeout_s is None else timeout_s
        return await self._transport().call(method, *params, timeout_s=deadline_s)


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


def _colour(response: dict[str, Any], *, blue_first: bool) -> Any:
    height, width = response["height"], response["width"]
    data = response["image_data_uint8"]
    if len(data) != height * width * 3:
        raise SimulatorError(f"{len(data)} bytes are no {width}x{height} image of three colours")
    pixels = np.frombuffer(data, np.uint8).reshape(height, width, 3)
    return np.ascontiguousarray(pixels[:, :, ::-1]) if blue_first else pixels.copy()


def _depth(response: dict[str, Any]) -> Any:
    height, width = response["height"], response["width"]
    data = response["image_data_float"]
    if len(data) != height * width:
        raise SimulatorError(f"{len(data)} values are no {width}x{height} depth image")
    depth_m = np.asarray(data, np.float32).reshape(height, width)
    if np.isnan(depth_m).any():
        raise SimulatorError("the depth image holds what is no number")
    return depth_m
