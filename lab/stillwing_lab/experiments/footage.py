"""Frames to stream: a flight round a meadow of airfield, drawn once and kept; a video file; or a folder of pictures.

It knows nothing of models or sessions.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image as PilImage

from stillwing_airfield.axes import quaternion_from_euler
from stillwing_airfield.camera import Camera, CameraPose
from stillwing_airfield.scenes import build_scene
from stillwing_airfield.world import World
from stillwing_common.errors import ImageUndecodable, InvalidInput
from stillwing_common.pictures import decode_rgb
from stillwing_recording.pictures import MOST_PIXELS, picture_files, read_picture
from stillwing_recording.videos import video_frames as read_video
from stillwing_vlm.core.inputs.images import Pixels, resize

WIDTH_PX, HEIGHT_PX = 640, 480
_SCENE, _SEED = "meadow", 7
_LAP_FRAMES = 96
_RADIUS_M, _HEIGHT_M = 6.0, 2.0

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class FrameLoop:
    """A few frames that are shown again and again, without a jump: there and back. `source` says what they are."""

    source: str
    frames: list[Pixels]

    def __call__(self, index: int) -> Pixels:
        """Frame `index` of the endless stream, uint8[rows, columns, 3]."""
        around = max(1, 2 * len(self.frames) - 2)
        place = index % around
        return self.frames[place if place < len(self.frames) else around - place]

    def resized(self, width_px: int, height_px: int) -> "FrameLoop":
        """The same at another size."""
        return FrameLoop(self.source, [resize(frame, height_px, width_px) for frame in self.frames])


def airfield_frames(cache: Path, on_progress: OnProgress = lambda done, total: None) -> FrameLoop:
    """One lap round the middle of a meadow, drawn by the simulator's camera, or read from `cache`.

    Raises NoGraphics where it is not there and this machine cannot draw.
    """
    folder = cache / f"{_SCENE}-{_SEED}-{WIDTH_PX}x{HEIGHT_PX}"
    paths = [folder / f"{index:03d}.png" for index in range(_LAP_FRAMES)]
    if not all(path.is_file() for path in paths):
        folder.mkdir(parents=True, exist_ok=True)
        for index, (path, frame) in enumerate(zip(paths, _draw_lap(), strict=True)):
            PilImage.fromarray(frame).save(path)
            on_progress(index + 1, _LAP_FRAMES)
    return FrameLoop(f"airfield {_SCENE} {_SEED}", [_read(path) for path in paths])


def _draw_lap() -> Iterator[Pixels]:
    scene = build_scene(_SCENE, _SEED)
    world = World(scene)
    camera = Camera(world, WIDTH_PX, HEIGHT_PX)
    north_m, east_m, _ = scene.start_position_ned_m
    try:
        for index in range(_LAP_FRAMES):
            angle = 2 * math.pi * index / _LAP_FRAMES
            position = (north_m + _RADIUS_M * math.cos(angle), east_m + _RADIUS_M * math.sin(angle), -_HEIGHT_M)
            # Along the circle and a little outwards, where the beacons stand.
            turned = quaternion_from_euler(0.0, 0.0, math.degrees(angle) + 60.0)
            orientation: Any = tuple(float(part) for part in turned)
            yield camera.render(world.copy_render_state(), CameraPose(position, orientation))["scene"]
    finally:
        camera.close()


def folder_frames(folder: Path) -> FrameLoop:
    """All pictures of a folder in the order of their names. Raises InvalidInput where there are none."""
    paths = picture_files(folder)
    first = _read(paths[0])
    return FrameLoop(str(folder), [resize(_read(path), *first.shape[:2]) for path in paths])


def video_frames(path: Path, most: int = 400) -> FrameLoop:
    """The first `most` frames of a video file, at its own rate. Raises InvalidInput, MissingExtra."""
    frames = [pixels for _, pixels in islice(read_video(path), most)]
    if not frames:
        raise InvalidInput(f"{path} holds no frames", field="video")
    return FrameLoop(str(path), frames)


def _read(path: Path) -> Pixels:
    image = read_picture(path)
    try:
        return decode_rgb(image.data, image.encoding, max_pixels=MOST_PIXELS)
    except ImageUndecodable as error:
        raise InvalidInput(f"{path} is no picture that can be read: {error}", field="frames") from error
