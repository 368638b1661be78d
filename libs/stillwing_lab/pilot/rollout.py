"""Flights through seeded scenes, recorded as the model's own frames with the truth beside them.

The pictures go the way they go in flight: drawn at the flight camera's size, through JPEG, resized as the model's
preprocessing does. Everything that labels are made from is stored per frame, so that any goal can be asked afterwards
at any frame. It knows nothing of models or tokens.
"""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from stillwing_airfield.camera import Camera, CameraPose
from stillwing_airfield.frames import quaternion_from_euler, rotation_matrix
from stillwing_airfield.scenes import build_scene
from stillwing_airfield.world import World
from stillwing_lab.pilot.config import (
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
    IMAGE_TOKENS,
    JPEG_QUALITY,
    STEP_M,
    TURN_DEG,
)
from stillwing_lab.pilot.expert import FORWARD, LEFT, RIGHT, STOP, Expert, Pose, apply_action, straight_action

IN_VIEW_PX = 25
"""Pixels of the flight camera's picture from which a beacon counts as seen."""

DENSE_CLASSES = (*COLOURS, "tree", "ground", "sky")
"""What a cell of the picture can hold; the truth of stage 0."""

Policy = Callable[["Recorder", Pose, str, bool], int]
"""Chooses an action from (recorder, pose, goal colour, whether that colour was seen)."""


@dataclass
class Frames:
    """Recorded frames of several flights, in order; arrays share their first axis n.

    Attributes:
        pixels: uint8 (n, 112, 140, 3), RGB, after JPEG and resizing.
        flight: int32 (n,), which flight; a flight is one scene.
        still: bool (n,), taken hovering, where a decision was made, rather than under way.
        visible_px: int32 (n, 4), pixels of each colour's beacon at the flight camera's size.
        action: int8 (n, 4), the expert's action for each colour, its beacon's place known.
        refused_action: int8 (n, 4), the same where moving forward has just been refused; -1 where it would not be.
        bearing_deg: float32 (n, 4), right positive, NaN where there is no such beacon.
        goal: int8 (n,), the colour flown to.
        cells: float16 (n, 20, 7), share of each `DENSE_CLASSES` in each cell of the picture.
        nearness: float16 (n, 20), inverse of the least depth in each cell, 1/m.
    """

    pixels: npt.NDArray[np.uint8]
    flight: npt.NDArray[np.int32]
    still: npt.NDArray[np.bool_]
    visible_px: npt.NDArray[np.int32]
    action: npt.NDArray[np.int8]
    refused_action: npt.NDArray[np.int8]
    bearing_deg: npt.NDArray[np.float32]
    goal: npt.NDArray[np.int8]
    cells: npt.NDArray[np.float16]
    nearness: npt.NDArray[np.float16]

    def __len__(self) -> int:
        return len(self.flight)

    def save(self, path: Path) -> None:
        """Write to `path`, whole or not at all."""
        partial = path.with_suffix(".partial.npz")
        np.savez(partial, **vars(self))
        partial.rename(path)

    @classmethod
    def load(cls, path: Path) -> "Frames":
        """Read what `save` wrote."""
        with np.load(path) as stored:
            return cls(**{name: stored[name] for name in stored.files})

    @classmethod
    def join(cls, parts: "list[Frames]") -> "Frames":
        """One after the other, flights renumbered so that none coincide."""
        first, flights = 0, []
        for part in parts:
            flights.append(part.flight - part.flight.min() + first)
            first = int(flights[-1].max()) + 1
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])}
        columns["flight"] = np.concatenate(flights).astype(np.int32)
        return cls(**columns)


def flight_frame(scene_rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """What the model sees of a camera picture: through JPEG, then resized as its preprocessing does; (112, 140, 3)."""
    buffer = io.BytesIO()
    Image.fromarray(scene_rgb).save(buffer, "JPEG", quality=JPEG_QUALITY)
    picture = Image.open(buffer).resize((FRAME_WIDTH_PX, FRAME_HEIGHT_PX), Image.Resampling.BICUBIC)
    return np.array(picture)


class Recorder:
    """Flies one scene at a time without dynamics and records what the camera sees. One thread: it owns a GL context."""

    def __init__(self) -> None:
        self._camera: Camera | None = None
        self._rows: list[tuple[object, ...]] = []
        self.flight = -1

    def start(self, scene_name: str, seed: int) -> None:
        """Go to another scene; what was recorded so far is kept."""
        self._world = World(build_scene(scene_name, seed))
        if self._camera is None:
            self._camera = Camera(self._world, CAMERA_WIDTH_PX, CAMERA_HEIGHT_PX, CAMERA_HFOV_DEG)
        else:
            self._camera.show(self._world)
        self.scene = self._world.scene
        self.expert = Expert(self.scene)
        self.flight += 1
        self.pictures: list[npt.NDArray[np.uint8]] = []
        names = {f"beacon_{colour}": index for index, colour in enumerate(COLOURS)}
        # Object index + 1 to dense class; the last entry stands for -1, nothing there.
        kinds = [
            4 if thing.kind == "tree" else 5 if thing.kind == "ground" else names[thing.name]
            for thing in self.scene.objects
        ]
        self._class_of_object = np.array([*kinds, 6], dtype=np.int64)

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
        images = self._camera.render(
            self._world.copy_render_state(),
            CameraPose(position, tuple(float(part) for part in orientation)),  # type: ignore[arg-type]
            ("scene", "depth", "segmentation"),
        )
        pixels = flight_frame(images["scene"])
        classes = self._class_of_object[images["segmentation"]]
        visible_px = np.array([np.count_nonzero(classes == index) for index in range(len(COLOURS))], np.int32)
        self.pictures.append(pixels)
        self.visible_px = visible_px
        refused = self.expert.refused(pose)
        self._rows.append(
            (
                pixels,
                self.flight,
                still,
                visible_px,
                [self.expert.action(pose, colour) for colour in COLOURS],
                [self.expert.action(pose, colour, forward_refused=True) if refused else -1 for colour in COLOURS],
                [self.expert.to_beacon(pose, c)[1] if c in self.expert.beacons else math.nan for c in COLOURS],
                COLOURS.index(goal),
                *_cells(classes, images["depth"]),
            )
        )

    def in_view(self, colour: str) -> bool:
        """Whether the newest picture shows enough of that colour's beacon to count."""
        return bool(self.visible_px[COLOURS.index(colour)] >= IN_VIEW_PX)

    def take(self) -> Frames:
        """Everything recorded, and forget it."""
        columns = list(zip(*self._rows, strict=True))
        self._rows = []
        types = (np.uint8, np.int32, np.bool_, np.int32, np.int8, np.int8, np.float32, np.int8, np.float16, np.float16)
        return Frames(*(np.array(column, dtype=kind) for column, kind in zip(columns, types, strict=True)))

    def close(self) -> None:
        """Give the GL context back."""
        if self._camera is not None:
            self._camera.close()


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


def expert_policy(rng: np.random.Generator) -> Policy:
    """The expert with a tenth or so of its actions replaced, so that the student sees how to come back."""
    noise = float(rng.choice([0.05, 0.15, 0.3]))

    def choose(recorder: Recorder, pose: Pose, goal: str, seen: bool) -> int:
        action = recorder.expert.action(pose, goal) if seen else RIGHT
        if action != STOP and rng.random() < noise:
            return int(rng.choice((FORWARD, LEFT, RIGHT), p=(0.3, 0.35, 0.35)))
        return action

    return choose


def headlong_policy(rng: np.random.Generator) -> Policy:
    """Straight at the goal, blind to trees, one time in five the expert's way.

    A student that has learnt to head for beacons flies like this before it has learnt to look out, and so needs to be
    shown what to do in front of trees.
    """

    def choose(recorder: Recorder, pose: Pose, goal: str, seen: bool) -> int:
        if not seen:
            return RIGHT
        action = recorder.expert.action(pose, goal)
        if action == STOP or rng.random() < 0.2:
            return action
        return straight_action(recorder.expert.to_beacon(pose, goal)[1])

    return choose


def fly(recorder: Recorder, seed: int, rng: np.random.Generator, policy: Policy, decisions: int = 32) -> None:
    """Record one flight of `decisions` decisions from goal to goal through meadow `seed`.

    Half the flights begin somewhere in the meadow rather than at its start. A move that would touch something becomes a
    turn: the data has no collisions, but comes close.
    """
    recorder.start("meadow", seed)
    expert = recorder.expert
    pose = _first_pose(recorder, rng)
    height_m = FLIGHT_HEIGHT_M + rng.uniform(-0.2, 0.2)
    goals = [recorder.scene.goal_colour, *(str(c) for c in rng.permutation(sorted(expert.beacons)))]
    goal, seen = goals.pop(0), dict.fromkeys(COLOURS, False)
    # In flight the stream may begin on the ground or climbing, and its first frame is kept for good.
    for share in sorted(rng.uniform(0.02, 0.95, rng.choice(3, p=(0.5, 0.3, 0.2)))):
        recorder.see(pose, goal, still=False, height_m=height_m * share)
    for _ in range(decisions):
        height_m = float(np.clip(height_m + rng.normal(0, 0.02), 1.7, 2.3))
        recorder.see(
            pose, goal, still=True, height_m=height_m, pitch_deg=rng.normal(0, 0.5), roll_deg=rng.normal(0, 0.5)
        )
        seen = {colour: seen[colour] or recorder.in_view(colour) for colour in COLOURS}
        action = policy(recorder, pose, goal, seen[goal])
        if action == STOP:
            others = [colour for colour in goals if colour != goal] or [c for c in sorted(expert.beacons) if c != goal]
            goal = others[int(rng.integers(len(others)))]
            action = policy(recorder, pose, goal, seen[goal])
        if action == FORWARD and expert.path_collides(pose, STEP_M * 1.05, margin_m=0.45):
            action = LEFT if rng.random() < 0.5 else RIGHT
        target = apply_action(pose, action, STEP_M * rng.uniform(0.94, 1.06), TURN_DEG + rng.normal(0, 1.0))
        _see_under_way(recorder, rng, pose, target, goal, height_m)
        pose = target


def _first_pose(recorder: Recorder, rng: np.random.Generator) -> Pose:
    if rng.random() < 0.5:
        return Pose(rng.normal(0, 0.1), rng.normal(0, 0.1), recorder.scene.start_yaw_deg + rng.normal(0, 2))
    while True:
        pose = Pose(rng.uniform(-11, 11), rng.uniform(-11, 11), rng.uniform(-180, 180))
        if not recorder.expert.collides(pose, margin_m=0.6):
            return pose


def _see_under_way(
    recorder: Recorder, rng: np.random.Generator, start: Pose, end: Pose, goal: str, height_m: float
) -> None:
    """Record none to three frames between two decisions, nose down speeding up and nose up slowing down."""
    moving = math.hypot(end.x_m - start.x_m, end.y_m - start.y_m) > 0.1
    turn_deg = (end.yaw_deg - start.yaw_deg + 180) % 360 - 180
    chances = (0.25, 0.3, 0.25, 0.2) if moving else (0.45, 0.4, 0.15, 0.0)
    for share in sorted(rng.uniform(0.05, 0.98, rng.choice(4, p=chances))):
        between = Pose(
            start.x_m + share * (end.x_m - start.x_m),
            start.y_m + share * (end.y_m - start.y_m),
            start.yaw_deg + share * turn_deg,
        )
        pitch_deg = (14 * (share - 0.5) + rng.normal(0, 2)) if moving else rng.normal(0, 1)
        recorder.see(
            between,
            goal,
            still=False,
            height_m=height_m,
            pitch_deg=pitch_deg,
            roll_deg=rng.normal(0, 0.5 if moving else 1),
        )


def record_shard(path: Path, seeds: range, salt: int, policy_of: Callable[[np.random.Generator], Policy]) -> None:
    """Fly meadows `seeds` and write all their frames to `path`; nothing happens if it is there already."""
    if path.exists():
        return
    recorder = Recorder()
    for seed in seeds:
        rng = np.random.default_rng([salt, seed])
        fly(recorder, seed, rng, policy_of(rng))
    frames = recorder.take()
    recorder.close()
    path.parent.mkdir(parents=True, exist_ok=True)
    frames.save(path)
