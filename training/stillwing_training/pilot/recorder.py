"""A camera flown through seeded scenes without dynamics, whose pictures are recorded with the truth beside them.

The pictures go the way they go in flight: drawn at the flight camera's size, through JPEG, resized as the model's
preprocessing does. It knows nothing of who decides where to fly, nor of models and tokens.
"""

import io
import math

import numpy as np
import numpy.typing as npt
from PIL import Image

from stillwing_airfield.axes import quaternion_from_euler, rotation_matrix
from stillwing_airfield.camera import Camera, CameraPose
from stillwing_airfield.scenes import build_scene
from stillwing_airfield.scenes.base import SceneObject
from stillwing_airfield.world import World
from stillwing_training.pilot.config import (
    CAMERA_AHEAD_M,
    CAMERA_HEIGHT_PX,
    CAMERA_HFOV_DEG,
    CAMERA_WIDTH_PX,
    CELL_COLUMNS,
    CELL_ROWS,
    COLOURS,
    FLIGHT_HEIGHT_M,
    FRAME_HEIGHT_PX,
    FRAME_WIDTH_PX,
    GOALS,
    IMAGE_TOKENS,
    JPEG_QUALITY,
)
from stillwing_training.pilot.expert import Expert, Pose
from stillwing_training.pilot.recorded_frames import COLUMN_TYPES, DENSE_CLASSES, IN_VIEW_PX, Frames
from stillwing_training.pilot.route_expert import RouteExpert

_SIGNS = ("red", "blue")


class Recorder:
    """Flies one scene at a time without dynamics and records what the camera sees. One thread: it owns a GL context."""

    def __init__(self, *, truth: bool = True) -> None:
        """Without `truth` only pictures are kept, which takes a third of the time: there is nothing to `take`."""
        self._truth = truth
        self._camera: Camera | None = None
        self._rows: list[tuple[object, ...]] = []
        self._visible_px: npt.NDArray[np.int32] | None = None
        self.flight = -1

    def start(self, scene_name: str, seed: int) -> None:
        """Go to another scene; what was recorded so far is kept."""
        self._world = World(build_scene(scene_name, seed))
        if self._camera is None:
            self._camera = Camera(self._world, CAMERA_WIDTH_PX, CAMERA_HEIGHT_PX, CAMERA_HFOV_DEG)
        else:
            self._camera.show(self._world)
        self.scene = self._world.scene
        family = self.scene.name.partition(",")[0]
        self.expert: Expert | RouteExpert = Expert(self.scene) if family == "meadow" else RouteExpert(self.scene)
        signs = self.scene.of_kind("sign")
        self.sign = _SIGNS.index(str(signs[0].colour)) if signs else -1
        self.flight += 1
        self.pictures: list[npt.NDArray[np.uint8]] = []
        # Object index + 1 to dense class; the last entry stands for -1, nothing there.
        self._class_of_object = np.array([*(_dense_class(thing) for thing in self.scene.objects), 6], dtype=np.int64)

    def see(
        self,
        pose: Pose,
        goal: str,
        *,
        still: bool,
        height_m: float = FLIGHT_HEIGHT_M,
        pitch_deg: float = 0.0,
        roll_deg: float = 0.0,
    ) -> None:
        """Record one frame; `pictures` and `in_view` tell of it at once."""
        assert self._camera is not None, "start() comes first"
        orientation = quaternion_from_euler(roll_deg, pitch_deg, pose.yaw_deg)
        ahead = rotation_matrix(orientation)[:, 0] * CAMERA_AHEAD_M
        position = (pose.x_m + ahead[0], pose.y_m + ahead[1], -height_m + ahead[2])
        w, x, y, z = (float(part) for part in orientation)
        self._view = CameraPose(position, (w, x, y, z))
        wanted = ("scene", "depth", "segmentation") if self._truth else ("scene",)
        images = self._camera.render(self._world.copy_render_state(), self._view, wanted)
        pixels = flight_frame(images["scene"])
        self.pictures.append(pixels)
        self._visible_px = None
        if not self._truth:
            return
        classes = self._class_of_object[images["segmentation"]]
        visible_px = self._visible_px = self._count(classes)
        expert, refused = self.expert, self.expert.refused(pose)
        self._rows.append(
            (
                pixels,
                self.flight,
                still,
                visible_px,
                [expert.action(pose, goal) for goal in GOALS],
                [expert.action(pose, goal, forward_refused=True) if refused else -1 for goal in GOALS],
                [expert.to_goal(pose, goal)[1] if goal in expert.goals else math.nan for goal in GOALS],
                [expert.steer_deg(pose, goal) if goal in expert.goals else math.nan for goal in GOALS],
                GOALS.index(goal),
                self.sign,
                *_cells(classes, images["depth"]),
            )
        )

    def in_view(self, goal: str) -> bool:
        """Whether the newest picture shows enough of that goal, or of the sign that tells of it, to count."""
        if self._visible_px is None:
            assert self._camera is not None, "see() comes first"
            images = self._camera.render(self._world.copy_render_state(), self._view, ("segmentation",))
            self._visible_px = self._count(self._class_of_object[images["segmentation"]])
        return bool(self._visible_px[GOALS.index(goal)] >= IN_VIEW_PX)

    def _count(self, classes: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        counts = np.bincount(classes.ravel(), minlength=len(DENSE_CLASSES))
        return np.array([*counts[: len(COLOURS)], counts[-2:].sum()], np.int32)

    def take(self) -> Frames:
        """Everything recorded, and forget it."""
        columns = list(zip(*self._rows, strict=True))
        self._rows = []
        pairs = zip(columns, COLUMN_TYPES, strict=True)
        return Frames(*(np.array(column, dtype=kind) for column, kind in pairs))

    def close(self) -> None:
        """Give the GL context back."""
        if self._camera is not None:
            self._camera.close()


def flight_frame(scene_rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """What the model sees of a camera picture: through JPEG, then resized as its preprocessing does; (112, 140, 3)."""
    buffer = io.BytesIO()
    Image.fromarray(scene_rgb).save(buffer, "JPEG", quality=JPEG_QUALITY)
    picture = Image.open(buffer).resize((FRAME_WIDTH_PX, FRAME_HEIGHT_PX), Image.Resampling.BICUBIC)
    return np.array(picture)


def _dense_class(thing: SceneObject) -> int:
    if thing.kind == "beacon":
        return COLOURS.index(str(thing.colour))
    name = {"sign": f"{thing.colour} sign"}.get(thing.kind, thing.kind if thing.kind in DENSE_CLASSES else "wall")
    return DENSE_CLASSES.index(name)


def _cells(
    classes: npt.NDArray[np.int64], depth_m: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Shares of classes (20, 7) and nearness (20,) of the cells of a picture whose height and width they divide."""
    cell_px = CAMERA_HEIGHT_PX // CELL_ROWS, CAMERA_WIDTH_PX // CELL_COLUMNS
    grid = classes.reshape(CELL_ROWS, cell_px[0], CELL_COLUMNS, cell_px[1]).transpose(0, 2, 1, 3)
    blocks = grid.reshape(IMAGE_TOKENS, -1)
    counts = np.bincount(
        (blocks + np.arange(IMAGE_TOKENS)[:, None] * len(DENSE_CLASSES)).ravel(),
        minlength=IMAGE_TOKENS * len(DENSE_CLASSES),
    )
    near_m = depth_m.reshape(CELL_ROWS, cell_px[0], CELL_COLUMNS, cell_px[1]).min(axis=(1, 3)).ravel()
    shares = counts.reshape(IMAGE_TOKENS, -1) / blocks.shape[1]
    return shares.astype(np.float32), (1 / np.maximum(near_m, 0.2)).astype(np.float32)
