"""Airfield itself: one scene, one vehicle, its cameras and its clock, used in process or behind a server.

Two ways to run it, never both at once. Stepped: `advance` and `capture` work on the calling thread, as fast as the
machine goes and the same every time. Live: `start` gives physics a thread that keeps real time and drawing a thread
of its own. All methods that are not marked otherwise may be called from any thread while live. It knows no wire.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self, TypeVar

from stillwing_airfield.camera import CameraPose
from stillwing_airfield.clock import SteppableClock
from stillwing_airfield.flight.controller import VehicleState
from stillwing_airfield.flight.tasks import Task
from stillwing_airfield.mounts import DEFAULT_CAMERA, DEFAULT_MOUNTS, Mount, camera_name, place_camera
from stillwing_airfield.rendering import CameraSet, Images, Optics, RenderThread, View
from stillwing_airfield.scenes.base import SceneSpec, build_scene
from stillwing_airfield.vehicle import Vehicle
from stillwing_airfield.world import RenderState, World
from stillwing_common.errors import InternalFault, UnknownCamera, WrongState

Result = TypeVar("Result")

# Steps taken in one hold of the lock, and the shortest nap between two: 10 ms of simulated time.
_STEPS_AT_ONCE = 4
_STEPS_PER_NAP = 2


class RunningLive(WrongState):
    """The simulator runs in real time and cannot be stepped by hand."""

    reason = "RUNNING_LIVE"


@dataclass(frozen=True, slots=True)
class Shot:
    """Images of one camera at one instant.

    Attributes:
        images: By kind: `scene` uint8 (H, W, 3) RGB; `depth` float32 (H, W) planar metres; `segmentation` int32 (H,
        W) index
            into the scene's objects, -1 for none.
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


class Airfield:
    """The simulator. A context manager: leaving it stops the threads and gives the GL contexts back."""

    def __init__(self, scene: SceneSpec, optics: Optics = Optics()) -> None:  # noqa: B008 (frozen)
        """Compile `scene`; the vehicle stands at its start and time stands still until `start` or `advance`."""
        self.scene = scene
        self.optics = optics
        self._world = World(scene)
        self._vehicle = Vehicle(self._world)
        self._clock = SteppableClock(self._world.timestep_s)
        self._mounts = dict(DEFAULT_MOUNTS)
        self._hfov_deg: dict[str, float] = {}
        self._lock = threading.RLock()
        self._wake = threading.Condition(self._lock)
        self._physics: threading.Thread | None = None
        self._render: RenderThread | None = None
        self._own_cameras = CameraSet(self._world)
        self._stopping = False
        self._fault: BaseException | None = None
        self._continued: tuple[int, Future[None]] | None = None

    @classmethod
    def of(cls, scene: str = "meadow", seed: int = 0, optics: Optics = Optics()) -> Self:  # noqa: B008 (frozen)
        """The simulator of a scene by name and seed. Raises `UnknownScene`."""
        return cls(build_scene(scene, seed), optics)

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
        return self._physics is not None

    def start(self) -> None:
        """Let real time drive it from now on."""
        if self.live:
            return
        self._own_cameras.close()
        self._render = RenderThread(self._world)
        self._stopping = False
        self._clock.pause(False)
        self._physics = threading.Thread(target=self._keep_time, name="airfield-physics", daemon=True)
        self._physics.start()

    def close(self) -> None:
        """Stop the threads, cancel the running task, free the cameras.

        Idempotent; call it where `capture` was called.
        """
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        if self._physics is not None:
            self._physics.join()
            self._physics = None
        if self._render is not None:
            self._render.close()
            self._render = None
        with self._lock:
            self._vehicle.tasks.cancel()
            self._end_continue()
        self._own_cameras.close()

    def advance(self, seconds: float) -> None:
        """Stepped: let `seconds` of simulated time pass (rounded to steps of 5 ms). Raises `RunningLive`."""
        if self.live:
            raise RunningLive("advance() is for stepped use")
        for _ in range(round(seconds / self._clock.step_s)):
            self._vehicle.step()
            self._clock.stepped()

    def fly(self, make: Callable[[Vehicle], Task], at_most_s: float = 600.0) -> bool | None:
        """Stepped: run one task to its end. Its answer, or None if `at_most_s` of simulated time was not enough."""
        answer = self.begin(make)
        end_ns = self.time_ns + round(at_most_s * 1e9)
        while not answer.done() and self.time_ns < end_ns:
            self.advance(self._clock.step_s)
        return answer.result() if answer.done() else None

    def pause(self, paused: bool) -> None:
        """Freeze everything but drawing, or go on."""
        with self._wake:
            self._clock.pause(paused)
            self._end_continue()
            self._wake.notify_all()

    @property
    def paused(self) -> bool:
        """Whether time stands still."""
        with self._lock:
            return self._clock.paused

    def continue_for(self, seconds: float) -> "Future[None]":
        """Live: let simulated `seconds` pass, then pause; the future is done then, or when something else pauses."""
        done: Future[None] = Future()
        with self._wake:
            self._end_continue()
            self._continued = (self._clock.continue_for(seconds), done)
            self._settle_continue()
            self._wake.notify_all()
        return done

    def _settle_continue(self) -> None:
        if self._continued is not None and self._clock.steps >= self._continued[0]:
            self._end_continue()

    def _end_continue(self) -> None:
        if self._continued is not None:
            done, self._continued = self._continued[1], None
            done.set_result(None)

    def _keep_time(self) -> None:
        """Body of the physics thread: take what is due, nap, again. If it breaks, whoever asks is told so."""
        try:
            self._run_until_stopped()
        except BaseException as fault:
            with self._lock:
                self._fault = fault
                self._vehicle.tasks.cancel()
                self._end_continue()
            raise

    def _run_until_stopped(self) -> None:
        while True:
            with self._wake:
                if self._stopping:
                    return
                due = self._clock.due()
                if not due:
                    self._wake.wait(self._clock.until_due_s(_STEPS_PER_NAP))
                    continue
                for _ in range(min(due, _STEPS_AT_ONCE)):
                    self._vehicle.step()
                    self._clock.stepped()
                self._settle_continue()

    @property
    def time_ns(self) -> int:
        """Simulated nanoseconds since it was made; `reset` does not set it back."""
        with self._lock:
            return self._vehicle.time_ns

    @property
    def lost_s(self) -> float:
        """Real seconds that simulated time fell behind because the machine was too slow."""
        with self._lock:
            return self._clock.lost_s

    # The vehicle

    def do(self, what: Callable[[Vehicle], Result]) -> Result:
        """Do something with the vehicle while physics waits; keep it short. Raises `InternalFault` if physics broke."""
        with self._lock:
            if self._fault is not None:
                raise InternalFault(f"physics stopped: {self._fault!r}")
            return what(self._vehicle)

    def begin(self, make: Callable[[Vehicle], Task]) -> "Future[bool]":
        """Start a motion made by `make`, cancelling the one that runs. The future's result is the motion's answer."""
        return self.do(lambda vehicle: vehicle.tasks.start(make(vehicle)))

    def reset(self) -> None:
        """Everything back to the start; time goes on."""
        with self._lock:
            self._vehicle.reset()
            self._mounts = dict(DEFAULT_MOUNTS)
            self._hfov_deg = {}

    def cast_ray(
        self, origin_ned_m: tuple[float, float, float], direction_ned: tuple[float, float, float], max_m: float
    ) -> float | None:
        """Distance to the first thing along a ray, or None."""
        with self._lock:
            return self._world.cast_ray(origin_ned_m, direction_ned, max_m)

    # Cameras

    def mount(self, camera: str) -> tuple[str, Mount, Optics]:
        """Full name, place and optics of a camera. Raises `UnknownCamera`."""
        name = camera_name(camera)
        if name is None:
            raise UnknownCamera(f"{camera!r}; known: {', '.join(DEFAULT_MOUNTS)}", camera=camera)
        with self._lock:
            return (
                name,
                self._mounts[name],
                replace(self.optics, hfov_deg=self._hfov_deg.get(name, self.optics.hfov_deg)),
            )

    def set_mount(self, camera: str, mount: Mount) -> None:
        """Move a camera on the vehicle. Raises `UnknownCamera`."""
        name, _, _ = self.mount(camera)
        with self._lock:
            self._mounts[name] = mount

    def set_hfov(self, camera: str, hfov_deg: float) -> None:
        """Change a camera's horizontal field of view. Raises `UnknownCamera`."""
        name, _, _ = self.mount(camera)
        with self._lock:
            self._hfov_deg[name] = hfov_deg

    def capture(self, camera: str = DEFAULT_CAMERA, kinds: Sequence[str] = ("scene",)) -> Shot:
        """Images of one camera, now. Live or stepped (then on the calling thread, always the same one)."""
        return self.capture_many([(camera, kinds)])[0]

    def capture_many(self, wanted: Sequence[tuple[str, Sequence[str]]]) -> list[Shot]:
        """Images of several cameras at one and the same instant. Raises `UnknownCamera`, `NoGraphics`."""
        if self._render is None:
            return self._shoot(wanted, self._own_cameras)
        return self.capture_later(wanted).result()

    def capture_later(self, wanted: Sequence[tuple[str, Sequence[str]]]) -> "Future[list[Shot]]":
        """Live: like `capture_many`, without waiting."""
        for camera, _ in wanted:
            self.mount(camera)
        if self._render is None:
            raise WrongState("start() first")
        return self._render.submit(lambda cameras: self._shoot(wanted, cameras))

    def _shoot(self, wanted: Sequence[tuple[str, Sequence[str]]], cameras: CameraSet) -> list[Shot]:
        # The instant is taken when drawing begins, not when it was asked for: an image is never older than need be.
        with self._lock:
            instant: RenderState = self._world.copy_render_state()
            vehicle, time_ns = self._vehicle.state(), self._vehicle.time_ns
            mounts = [self.mount(camera) for camera, _ in wanted]
        views = []
        for (_, mount, optics), (_, kinds) in zip(mounts, wanted, strict=True):
            views.append(View(CameraPose(*place_camera(vehicle, mount)), optics, frozenset(kinds)))
        drawn = cameras.draw(instant, views)
        return [
            Shot(images, time_ns, name, view.pose, vehicle)
            for images, view, (name, _, _) in zip(drawn, views, mounts, strict=True)
        ]
