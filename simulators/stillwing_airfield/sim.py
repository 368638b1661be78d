"""Airfield itself: one scene, its vehicles, their cameras and one clock, used in process or behind a server.

Two ways to run it, never both at once. Stepped: `advance` and `capture` work on the calling thread, as fast as the
machine goes and the same every time. Live: `start` gives physics a thread that keeps real time and drawing a thread
of its own. All methods that are not marked otherwise may be called from any thread while live. It knows no wire.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self, TypeVar

from stillwing_airfield.camera import CameraPose
from stillwing_airfield.clock import SteppableClock
from stillwing_airfield.fleet import DistanceSensor, Fleet, VehiclePlan
from stillwing_airfield.flight.controller import Triple, VehicleState
from stillwing_airfield.flight.tasks import Task
from stillwing_airfield.live_time import LiveTime
from stillwing_airfield.mounts import DEFAULT_CAMERA, Mount, camera_name, place_camera
from stillwing_airfield.rendering import CameraSet, Images, Optics, RenderThread, View
from stillwing_airfield.scenes.base import SceneSpec, build_scene
from stillwing_airfield.spares import Spares
from stillwing_airfield.vehicle import Vehicle
from stillwing_airfield.world import RenderState, World
from stillwing_common.errors import InternalFault, UnknownCamera, UnknownVehicle, WrongState

Result = TypeVar("Result")


class RunningLive(WrongState):
    """The simulator runs in real time and cannot be stepped by hand."""

    reason = "RUNNING_LIVE"


@dataclass(frozen=True, slots=True)
class Shot:
    """Images of one camera at one instant.

    Attributes:
        images: By kind: `scene` uint8 (H, W, 3) RGB; `depth` float32 (H, W) planar metres; `segmentation` int32 (H, W)
            index into the scene's objects, -1 for none.
        time_ns: Simulated time of the instant.
        camera: Full name of the camera.
        camera_pose: Where the camera was.
        vehicle: Where the vehicle was.
    """

    images: Images
    time_ns: int
    camera: str
    camera_pose: CameraPose
    vehicle: VehicleState


@dataclass(frozen=True, slots=True)
class Take:
    """Images that are wanted: which camera of which vehicle, what kinds, as large as for which AirSim image type."""

    camera: str
    kinds: Sequence[str]
    vehicle: str = ""
    image_type: int | None = None


class _Craft:
    """A vehicle with its cameras as they are mounted now."""

    def __init__(self, world: World, index: int, plan: VehiclePlan) -> None:
        assert plan.origin_ned_m is not None
        self.plan = plan
        self.vehicle = Vehicle(world, index, plan.origin_ned_m, plan.orientation_wxyz)
        self.remount()

    def remount(self) -> None:
        """Cameras and sensors as at the start."""
        self.mounts = {name: camera.mount for name, camera in self.plan.cameras.items()}
        self.hfov_deg: dict[str, float] = {}


class Airfield:
    """The simulator. A context manager: leaving it stops the threads and gives the GL contexts back.

    Vehicles are called by name; "" is the first.
    """

    def __init__(
        self,
        scene: SceneSpec,
        optics: Optics = Optics(),  # noqa: B008 (frozen)
        fleet: Fleet = Fleet(),  # noqa: B008 (frozen)
    ) -> None:
        """Compile `scene`; the vehicles stand at their starts and time stands still until `start` or `advance`."""
        self.scene = scene
        self.optics = optics
        self.fleet = fleet
        plans = fleet.placed()
        self.vehicle_names = tuple(plan.name for plan in plans)
        self._world = World(scene, vehicle_names=self.vehicle_names)
        self._craft = {plan.name: _Craft(self._world, index, plan) for index, plan in enumerate(plans)}
        self._craft[""] = self._craft[plans[0].name]
        self._flown = [self._craft[name].vehicle for name in self.vehicle_names]
        self._clock = SteppableClock(self._world.timestep_s, speed=fleet.clock_speed)
        self._lock = threading.RLock()
        self._live_time = LiveTime(self._clock, self._lock, self._step, self._cancel_all)
        self._render: RenderThread | None = None
        self._own_cameras = CameraSet(self._world)
        self.set_wind(fleet.wind_ned_m_s)

    @classmethod
    def of(
        cls,
        scene: str = "meadow",
        seed: int = 0,
        optics: Optics = Optics(),  # noqa: B008 (frozen)
        fleet: Fleet = Fleet(),  # noqa: B008 (frozen)
    ) -> Self:
        """The simulator of a scene by name and seed. Raises `UnknownScene`."""
        return cls(build_scene(scene, seed), optics, fleet)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Time

    @property
    def live(self) -> bool:
        """Whether real time drives it."""
        return self._live_time.running

    def start(self) -> None:
        """Let real time drive it from now on."""
        if self.live:
            return
        self._own_cameras.close()
        self._render = RenderThread(self._world)
        self._live_time.start()

    def close(self) -> None:
        """Stop the threads, cancel the running task, free the cameras.

        Idempotent; call it where `capture` was called.
        """
        self._live_time.stop()
        if self._render is not None:
            self._render.close()
            self._render = None
        with self._lock:
            self._cancel_all()
        self._own_cameras.close()

    def _cancel_all(self) -> None:
        for vehicle in self._flown:
            vehicle.tasks.cancel()

    def _step(self) -> None:
        for vehicle in self._flown:
            vehicle.before_step()
        self._world.step(1)
        for vehicle in self._flown:
            vehicle.after_step()
        self._clock.stepped()

    def advance(self, seconds: float) -> None:
        """Stepped: let `seconds` of simulated time pass (rounded to steps of 5 ms). Raises `RunningLive`."""
        if self.live:
            raise RunningLive("advance() is for stepped use")
        for _ in range(round(seconds / self._clock.step_s)):
            self._step()

    def fly(self, make: Callable[[Vehicle], Task], at_most_s: float = 600.0, vehicle: str = "") -> bool | None:
        """Stepped: run one task to its end. Its answer, or None if `at_most_s` of simulated time was not enough."""
        answer = self.begin(make, vehicle)
        end_ns = self.time_ns + round(at_most_s * 1e9)
        while not answer.done() and self.time_ns < end_ns:
            self.advance(self._clock.step_s)
        return answer.result() if answer.done() else None

    def pause(self, paused: bool) -> None:
        """Freeze everything but drawing, or go on."""
        self._live_time.pause(paused)

    @property
    def paused(self) -> bool:
        """Whether time stands still."""
        with self._lock:
            return self._clock.paused

    def continue_for(self, seconds: float) -> Future[None]:
        """Live: let simulated `seconds` pass, then pause; the future is done then, or when something else pauses."""
        return self._live_time.continue_for(seconds)

    @property
    def time_ns(self) -> int:
        """Simulated nanoseconds since it was made; `reset` does not set it back."""
        with self._lock:
            return self._flown[0].time_ns

    @property
    def lost_s(self) -> float:
        """Real seconds that simulated time fell behind because the machine was too slow."""
        with self._lock:
            return self._clock.lost_s

    # The vehicles

    def do(self, what: Callable[[Vehicle], Result], vehicle: str = "") -> Result:
        """Do something with a vehicle while physics waits; keep it short.

        Raises `UnknownVehicle`, and `InternalFault` if physics broke.
        """
        with self._lock:
            if self._live_time.fault is not None:
                raise InternalFault(f"physics stopped: {self._live_time.fault!r}")
            return what(self._of(vehicle).vehicle)

    def begin(self, make: Callable[[Vehicle], Task], vehicle: str = "") -> Future[bool]:
        """Start a motion made by `make`, cancelling the one that runs. The future's result is the motion's answer."""
        return self.do(lambda v: v.tasks.start(make(v)), vehicle)

    def _of(self, vehicle: str) -> _Craft:
        craft = self._craft.get(vehicle)
        if craft is None:
            raise UnknownVehicle(f"{vehicle!r}; known: {', '.join(self.vehicle_names)}", vehicle=vehicle)
        return craft

    def reset(self) -> None:
        """Everything back to the start; time goes on."""
        with self._lock:
            self._world.reset()
            for name in self.vehicle_names:
                self._craft[name].vehicle.reset()
                self._craft[name].remount()
            self.set_wind(self.fleet.wind_ned_m_s)

    def set_wind(self, wind_ned_m_s: Triple) -> None:
        """Let air move past every vehicle, metres a second towards north, east, down."""
        with self._lock:
            self.wind_ned_m_s = wind_ned_m_s
            for vehicle in self._flown:
                vehicle.autopilot.wind_ned_m_s = wind_ned_m_s

    def cast_ray(
        self, origin_ned_m: tuple[float, float, float], direction_ned: tuple[float, float, float], max_m: float
    ) -> float | None:
        """Distance to the first thing along a ray in the world's NED, or None; the first vehicle is not hit."""
        with self._lock:
            return self._world.cast_ray(origin_ned_m, direction_ned, max_m)

    def spares(self, what: Callable[[Spares], Result]) -> Result:
        """Do something with the things that were or can be spawned, while physics waits."""
        with self._lock:
            return what(self._world.spares)

    @property
    def object_names(self) -> tuple[str, ...]:
        """Everything with an index in a segmentation image, "" where nothing was spawned."""
        with self._lock:
            return self._world.object_names

    # Cameras

    def mount(self, camera: str, vehicle: str = "", image_type: int | None = None) -> tuple[str, Mount, Optics]:
        """Full name, place and optics of a camera. Raises `UnknownCamera`, `UnknownVehicle`."""
        craft = self._of(vehicle)
        name = camera_name(camera, craft.mounts)
        if name is None:
            raise UnknownCamera(f"{camera!r}; known: {', '.join(craft.mounts)}", camera=camera)
        with self._lock:
            planned = craft.plan.cameras[name].optics
            optics = planned.get(0 if image_type is None else image_type, self.optics)
            return name, craft.mounts[name], replace(optics, hfov_deg=craft.hfov_deg.get(name, optics.hfov_deg))

    def set_mount(self, camera: str, mount: Mount, vehicle: str = "") -> None:
        """Move a camera on its vehicle. Raises `UnknownCamera`, `UnknownVehicle`."""
        name, _, _ = self.mount(camera, vehicle)
        with self._lock:
            self._of(vehicle).mounts[name] = mount

    def set_hfov(self, camera: str, hfov_deg: float, vehicle: str = "") -> None:
        """Change a camera's horizontal field of view. Raises `UnknownCamera`, `UnknownVehicle`."""
        name, _, _ = self.mount(camera, vehicle)
        with self._lock:
            self._of(vehicle).hfov_deg[name] = hfov_deg

    def distance_sensors(self, vehicle: str = "") -> Mapping[str, DistanceSensor]:
        """The distance sensors of a vehicle by name, the default one first."""
        return self._of(vehicle).plan.distance_sensors

    def capture(self, camera: str = DEFAULT_CAMERA, kinds: Sequence[str] = ("scene",), vehicle: str = "") -> Shot:
        """Images of one camera, now. Live or stepped (then on the calling thread, always the same one)."""
        return self.shoot([Take(camera, kinds, vehicle)])[0]

    def shoot(self, takes: Sequence[Take]) -> list[Shot]:
        """Images of several cameras and vehicles at one instant. Raises `UnknownCamera`, `NoGraphics`."""
        if self._render is None:
            return self._shoot(takes, self._own_cameras)
        return self.capture_later(takes).result()

    def capture_later(self, takes: Sequence[Take]) -> Future[list[Shot]]:
        """Live: like `shoot`, without waiting."""
        for take in takes:
            self.mount(take.camera, take.vehicle)
        if self._render is None:
            raise WrongState("start() first")
        return self._render.submit(lambda cameras: self._shoot(takes, cameras))

    def _shoot(self, takes: Sequence[Take], cameras: CameraSet) -> list[Shot]:
        # The instant is taken when drawing begins, not when it was asked for: an image is never older than need be.
        with self._lock:
            instant: RenderState = self._world.copy_render_state()
            vehicles = [self._of(take.vehicle).vehicle for take in takes]
            states, time_ns = [vehicle.state() for vehicle in vehicles], self._flown[0].time_ns
            mounts = [self.mount(take.camera, take.vehicle, take.image_type) for take in takes]
        views, poses = [], []
        for take, vehicle, state, (_, mount, optics) in zip(takes, vehicles, states, mounts, strict=True):
            position, orientation = place_camera(state, mount)
            poses.append(CameraPose(position, orientation))
            seen_from = CameraPose(vehicle.world_position(position), orientation)
            views.append(View(seen_from, optics, frozenset(take.kinds)))
        drawn = cameras.draw(instant, views)
        return [
            Shot(images, time_ns, name, pose, state)
            for images, pose, state, (name, _, _) in zip(drawn, poses, states, mounts, strict=True)
        ]
