"""Faults known of real AirSim servers, on request, so that whoever flies can be shown to survive them.

A specification is a list as in `empty-images=3,landed-late=2`. Nothing here is random: the same calls meet the same
faults. It knows the wire's answers and nothing of sockets.
"""

import math
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, fields
from typing import Any

from stillwing_common.errors import InvalidInput

_EMPTY_MESSAGE = "Can't take screenshot because none camera type is not active"


class ConnectionDropped(Exception):
    """The connection is to be closed instead of answered."""


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Which faults; 0 is none.

    Attributes:
        empty_images: Every so many image calls (1: each) are answered with no pixels and a message.
        hang_images: Every so many image calls are never answered.
        late_first_image: 1: the first image after a teleport or a reset shows what the one before it showed.
        landed_late: Seconds of simulated time that `landed_state` lags behind.
        drop_connection: Every so many requests the connection is closed instead.
    """

    empty_images: int = 0
    hang_images: int = 0
    late_first_image: int = 0
    landed_late: float = 0.0
    drop_connection: int = 0

    @classmethod
    def parse(cls, text: str) -> "FaultPlan":
        """Read a specification; "" is no fault. Raises `InvalidInput`, naming the faults there are."""
        known = {field.name.replace("_", "-"): field.name for field in fields(cls)}
        figures: dict[str, Any] = {}
        for item in filter(None, (part.strip() for part in text.split(","))):
            name, _, value = item.partition("=")
            try:
                number = float(value or "1")
            except ValueError:
                number = math.nan
            whole = name == "landed-late" or number.is_integer()
            if name not in known or not 0 <= number <= 1e6 or not whole:
                names = ", ".join(f"{fault}=N" for fault in known)
                raise InvalidInput(f"{item!r} is no fault; known: {names}", field="faults")
            figures[known[name]] = number if name == "landed-late" else int(number)
        return cls(**figures)

    def __str__(self) -> str:
        figures = ((field.name, getattr(self, field.name)) for field in fields(self))
        return ", ".join(f"{name.replace('_', '-')}={value:g}" for name, value in figures if value) or "none"


class Faults:
    """Counts calls and spoils those whose turn it is; `shown` says how many were. Any thread."""

    def __init__(self, plan: FaultPlan = FaultPlan()) -> None:
        self.plan = plan
        self.shown = 0
        self._lock = threading.Lock()
        self._requests = 0
        self._image_calls = 0
        self._last_images: dict[str, Any] = {}
        self._stale: set[str] = set()
        self._landed: dict[str, tuple[bool, int]] = {}
        self.reset()

    def reset(self) -> None:
        """The world starts over."""
        with self._lock:
            self._stale = set(self._last_images)
            self._landed = {}

    def moved(self, vehicle: str) -> None:
        """A vehicle was teleported."""
        with self._lock:
            self._stale |= {key for key in self._last_images if key.startswith(f"{vehicle}/")}

    def request(self) -> None:
        """A request came. Raises `ConnectionDropped`."""
        if not self.plan.drop_connection:
            return
        with self._lock:
            self._requests += 1
            if self._requests % self.plan.drop_connection == 0:
                self.shown += 1
                raise ConnectionDropped(f"request {self._requests}, as --faults wants it")

    def landed(self, vehicle: str, landed: bool, time_ns: int) -> bool:
        """What to tell: the truth, or what was true `landed_late` seconds ago."""
        if not self.plan.landed_late:
            return landed
        with self._lock:
            told, since_ns = self._landed.get(vehicle, (landed, -1))
            if told == landed:
                self._landed[vehicle] = (told, -1)
                return told
            since_ns = time_ns if since_ns < 0 else since_ns
            if time_ns - since_ns >= self.plan.landed_late * 1e9:
                self._landed[vehicle] = (landed, -1)
                return landed
            self._landed[vehicle] = (told, since_ns)
            self.shown += 1
            return told

    def images(self, vehicle: str, requests: list[dict[str, Any]], take: Callable[[], "Future[Any]"]) -> Any:
        """Answer of an image call, spoilt or not."""
        number = self._next_image_call()
        if self._due(self.plan.hang_images, number):
            return Future()
        if self._due(self.plan.empty_images, number):
            return [_empty(fields) for fields in requests]
        if not self.plan.late_first_image:
            return take()
        key = f"{vehicle}/{requests!r}"
        with self._lock:
            if key in self._stale:
                self._stale.discard(key)
                self.shown += 1
                return self._last_images[key]
        taken = take()
        taken.add_done_callback(lambda done: self._keep(key, done))
        return taken

    def image(self, take: Callable[[], "Future[Any]"]) -> Any:
        """Answer of a call for one PNG, spoilt or not."""
        number = self._next_image_call()
        if self._due(self.plan.hang_images, number):
            return Future()
        return b"\0" if self._due(self.plan.empty_images, number) else take()

    def _keep(self, key: str, done: "Future[Any]") -> None:
        if done.exception() is None:
            with self._lock:
                self._last_images[key] = done.result()

    def _next_image_call(self) -> int:
        with self._lock:
            self._image_calls += 1
            return self._image_calls

    def _due(self, every: int, number: int) -> bool:
        due = bool(every) and number % every == 0
        if due:
            with self._lock:
                self.shown += 1
        return due


def _empty(request: dict[str, Any]) -> dict[str, Any]:
    """ImageResponse as the real server sends it when a camera gave nothing."""
    return {
        "image_data_uint8": b"",
        "image_data_float": [],
        "camera_position": {"x_val": 0.0, "y_val": 0.0, "z_val": 0.0},
        "camera_name": request["camera_name"],
        "camera_orientation": {"w_val": 1.0, "x_val": 0.0, "y_val": 0.0, "z_val": 0.0},
        "time_stamp": 0,
        "message": _EMPTY_MESSAGE,
        "pixels_as_float": request["pixels_as_float"],
        "compress": request["compress"],
        "width": 0,
        "height": 0,
        "image_type": request["image_type"],
    }
