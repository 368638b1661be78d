"""Which pictures an endpoint is shown: the first frames, those recalled, and the newest, each within its number.

It knows nothing of requests or connections.
"""

import io
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image as PilImage

from stillwing_common.errors import InvalidInput
from stillwing_common.types import Frame
from stillwing_vlm.core.endpoint.body import Shown
from stillwing_vlm.core.inputs.images import decode_image
from stillwing_vlm.core.limits import Limits
from stillwing_vlm.core.requests import FrameLayout, View
from stillwing_vlm.core.results import Evicted

_JPEG_QUALITY = 85


@dataclass(frozen=True, slots=True)
class PictureBudget:
    """What goes along with one question: frames as `layout` says, no side longer than `max_side_px`, and so many bytes
    of JPEG in all, the newest first.
    """

    layout: FrameLayout = FrameLayout(1, 3, 8)  # noqa: RUF009  # frozen
    max_side_px: int = 768
    max_bytes: int = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ShownFrame:
    """A frame as it is sent."""

    frame_id: str
    jpeg: bytes
    shown_px: tuple[int, int]
    """Rows and columns."""


def make_shown(frame: Frame, budget: PictureBudget, limits: Limits) -> ShownFrame:
    """Upright, in RGB and no larger than allowed. Any thread. Raises ImageEmpty, ImageUndecodable, ImageTooLarge."""
    pixels = decode_image(frame.image, max_bytes=limits.max_image_bytes, max_pixels=limits.max_image_pixels)
    picture = PilImage.fromarray(pixels)
    picture.thumbnail((budget.max_side_px, budget.max_side_px))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_JPEG_QUALITY)
    return ShownFrame(frame.frame_id, file.getvalue(), (picture.height, picture.width))


@dataclass(frozen=True, slots=True)
class Sight:
    """The frames that one question sees."""

    first: tuple[ShownFrame, ...]
    recalled: tuple[ShownFrame, ...]
    newest: tuple[ShownFrame, ...]

    @property
    def last_frame_id(self) -> str:
        """The newest of all; "" if none."""
        frames = self.newest or self.first
        return frames[-1].frame_id if frames else ""

    @property
    def oldest_frame_id(self) -> str:
        """The oldest but the first frames and those recalled; "" if none."""
        return self.newest[0].frame_id if self.newest else ""

    def pictures(self) -> Shown:
        """What is sent of them."""
        first, recalled, newest = ([frame.jpeg for frame in part] for part in (self.first, self.recalled, self.newest))
        return Shown(first, recalled, newest)


class Window:
    """The frames of one session, in chunks: those of the sink stay, of the others the oldest leave."""

    def __init__(self, layout: FrameLayout, max_bytes: int) -> None:
        self._layout = layout
        self._max_bytes = max_bytes
        self._first: list[ShownFrame] = []
        self._recalled: tuple[ShownFrame, ...] = ()
        self._chunks: deque[tuple[ShownFrame, ...]] = deque()
        self.evicted_frames = 0
        self.appended_frames = 0

    def append(self, chunk: Sequence[ShownFrame]) -> Evicted | None:
        """Take one chunk in; what left for it."""
        self.appended_frames += len(chunk)
        if len(self._first) + len(chunk) <= self._layout.sink:
            self._first += chunk
            return None
        self._chunks.append(tuple(chunk))
        gone: list[str] = []
        while len(self._chunks) > 1 and sum(map(len, self._chunks)) > self._layout.window:
            gone += [frame.frame_id for frame in self._chunks.popleft()]
        self.evicted_frames += len(gone)
        return Evicted(tuple(gone), self._chunks[0][0].frame_id, 0) if gone else None

    def recall(self, frames: Sequence[ShownFrame]) -> None:
        """Put these in the place of those recalled before. Raises InvalidInput for more than there is room for."""
        if len(frames) > self._layout.memory:
            raise InvalidInput(f"at most {self._layout.memory} frames are recalled", limit=self._layout.memory)
        self._recalled = tuple(frames)

    def sight(self, view: View) -> Sight:
        """What a question sees now, within the budget of bytes: the newest always, then what is newer first."""
        chunks = list(self._chunks)[-(view.recent_chunks or len(self._chunks)) :] if self._chunks else []
        newest = [frame for chunk in chunks for frame in chunk]
        recalled = self._recalled if view.recent_chunks is None else ()
        room = self._max_bytes
        kept: set[int] = set()
        for frame in self._by_worth(newest, recalled):
            room -= len(frame.jpeg)
            if room < 0 and kept:
                break
            kept.add(id(frame))
        parts = (self._first, recalled, newest)
        return Sight(*(tuple(frame for frame in part if id(frame) in kept) for part in parts))

    def _by_worth(self, newest: Sequence[ShownFrame], recalled: Sequence[ShownFrame]) -> Iterator[ShownFrame]:
        yield from newest[-1:]
        yield from recalled
        yield from self._first
        yield from reversed(newest[:-1])
