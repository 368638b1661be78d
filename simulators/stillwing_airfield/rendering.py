"""One owner of all cameras: GL contexts belong to a thread, so one thread makes, uses and closes them.

It knows nothing of vehicles: whoever asks hands over the instant to draw.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from stillwing_airfield.camera import Camera, CameraPose
from stillwing_airfield.world import RenderState, World

Images = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Optics:
    """Size and field of view of an image; `samples` and `shadows` cost speed."""

    width_px: int = 320
    height_px: int = 240
    hfov_deg: float = 90.0
    samples: int = 0
    shadows: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """What to draw from where."""

    pose: CameraPose
    optics: Optics
    kinds: frozenset[str]


class CameraSet:
    """Cameras by their optics, made when first used, all on the calling thread."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._cameras: dict[Optics, Camera] = {}

    def draw(self, state: RenderState, views: Sequence[View]) -> list[Images]:
        """Every view of one instant. Raises `NoGraphics` where OpenGL is missing."""
        return [self._camera(view.optics).render(state, view.pose, view.kinds) for view in views]

    def _camera(self, optics: Optics) -> Camera:
        camera = self._cameras.get(optics)
        if camera is None:
            camera = Camera(
                self._world,
                optics.width_px,
                optics.height_px,
                optics.hfov_deg,
                optics.samples,
                optics.shadows,
                # Where there are several vehicles they see one another.
                hide_vehicle=len(self._world.vehicle_names) == 1,
            )
            self._cameras[optics] = camera
        return camera

    def close(self) -> None:
        """Give all GL contexts back."""
        while self._cameras:
            self._cameras.popitem()[1].close()


class RenderThread:
    """A thread that owns a `CameraSet` and runs jobs on it in turn."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._jobs: queue.SimpleQueue[tuple[Callable[[CameraSet], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="airfield-render", daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[CameraSet], Any]) -> "Future[Any]":
        """Run `job` with the cameras; its result or exception is the future's."""
        answer: Future[Any] = Future()
        self._jobs.put((job, answer))
        return answer

    def close(self) -> None:
        """Finish what is queued, close the cameras, end the thread."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        cameras = CameraSet(self._world)
        while (item := self._jobs.get()) is not None:
            job, answer = item
            if not answer.set_running_or_notify_cancel():
                continue
            try:
                answer.set_result(job(cameras))
            except BaseException as error:  # the thread must outlive any job; the caller gets the error
                answer.set_exception(error)
        cameras.close()
