"""Flights through seeded scenes, recorded as the model's own frames with the truth beside them.

The pictures go the way they go in flight: drawn at the flight camera's size, through JPEG, resized as the model's
preprocessing does. Everything that labels are made from is stored per frame, so that any goal can be asked afterwards
at any frame. It knows nothing of models or tokens.
"""

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    SIGN,
    STEP_M,
    TURN_DEG,
)
from stillwing_training.pilot.expert import FORWARD, LEFT, RIGHT, STOP, Expert, Pose, apply_action, straight_action
from stillwing_training.pilot.route_expert import RouteExpert

IN_VIEW_PX = 25
"""Pixels of the flight camera's picture from which a beacon or a sign counts as seen."""

DENSE_CLASSES = (*COLOURS, "tree", "ground", "sky", "wall", "red sign", "blue sign")
"""What a cell of the picture can hold; the truth of stage 0."""

Policy = Callable[["Recorder", Pose, str, bool], int]
"""Chooses an action from (recorder, pose, goal, whether that goal was seen)."""

_SIGNS = ("red", "blue")


@dataclass
class Frames:
    """Recorded frames of several flights, in order; arrays share their first axis n.

    Attributes:
        pixels: uint8 (n, 112, 140, 3), RGB, after JPEG and resizing.
        flight: int32 (n,), which flight; a flight is one scene.
        still: bool (n,), taken hovering, where a decision was made, rather than under way.
        visible_px: int32 (n, 5), pixels of each of `GOALS` at the flight camera's size; of the sign, the sign's own.
        action: int8 (n, 5), the expert's action for each of `GOALS`, its place known.
        refused_action: int8 (n, 5), the same where moving forward has just been refused; -1 where it would not be.
        bearing_deg: float32 (n, 5), of each goal's beacon, right positive, NaN where there is none.
        steer_deg: float32 (n, 5), of the way to it: where to fly at, NaN where there is none.
        goal: int8 (n,), the one of `GOALS` flown to.
        sign: int8 (n,), the flight's sign: 0 sends left, 1 right, -1 there is none.
        cells: float16 (n, 20, 10), share of each `DENSE_CLASSES` in each cell of the picture.
        nearness: float16 (n, 20), inverse of the least depth in each cell, 1/m.
    """

    pixels: npt.NDArray[np.uint8]
    flight: npt.NDArray[np.int32]
    still: npt.NDArray[np.bool_]
    visible_px: npt.NDArray[np.int32]
    action: npt.NDArray[np.int8]
    refused_action: npt.NDArray[np.int8]
    bearing_deg: npt.NDArray[np.float32]
    steer_deg: npt.NDArray[np.float32]
    goal: npt.NDArray[np.int8]
    sign: npt.NDArray[np.int8]
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
    def load_all(cls, paths: "Sequence[Path]") -> "Frames":
        """All of them one after the other, flights renumbered so that none coincide.

        One file at a time is in memory beside the whole: pictures of a training fill gigabytes.
        """
        counts = []
        for path in paths:
            with np.load(path) as stored:
                counts.append(len(stored["flight"]))
        columns: dict[str, npt.NDArray[Any]] = {}
        first, at = 0, 0
        for path, count in zip(paths, counts, strict=True):
            part = cls.load(path)
            part.flight = (part.flight - part.flight.min() + first).astype(np.int32)
            first = int(part.flight.max()) + 1
            for name, column in vars(part).items():
                if name not in columns:
                    columns[name] = np.empty((sum(counts), *column.shape[1:]), column.dtype)
                columns[name][at : at + count] = column
            at += count
        return cls(**columns)


def flight_frame(scene_rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """What the model sees of a camera picture: through JPEG, then resized as its preprocessing does; (112, 140, 3)."""
    buffer = io.BytesIO()
    Image.fromarray(scene_rgb).save(buffer, "JPEG", quality=JPEG_QUALITY)
    picture = Image.open(buffer).resize((FRAME_WIDTH_PX, FRAME_HEIGHT_PX), Image.Resampling.BICUBIC)
    return np.array(picture)


_COLUMN_TYPES = (
    np.uint8, np.int32, np.bool_, np.int32, np.int8, np.int8, np.float32, np.float32, np.int8, np.int8,
    np.float16, np.float16,
)  # fmt: skip


def _dense_class(thing: SceneObject) -> int:
    if thing.kind == "beacon":
        return COLOURS.index(str(thing.colour))
    name = {"sign": f"{thing.colour} sign"}.get(thing.kind, thing.kind if thing.kind in DENSE_CLASSES else "wall")
    return DENSE_CLASSES.index(name)


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
        pairs = zip(columns, _COLUMN_TYPES, strict=True)
        return Frames(*(np.array(column, dtype=kind) for column, kind in pairs))

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
    shown what to do in front of trees. In a maze it turns the wrong way at times, and so sees both arms.
    """

    def choose(recorder: Recorder, pose: Pose, goal: str, seen: bool) -> int:
        if not seen:
            return RIGHT
        action = recorder.expert.action(pose, goal)
        if action == STOP or rng.random() < 0.2:
            return action
        return straight_action(recorder.expert.to_goal(pose, goal)[1])

    return choose


def wandering_policy(rng: np.random.Generator) -> Policy:
    """The expert, who now and then turns on and on to one side, past every right way, or turns back.

    Whoever only ever sees the expert learns that a turn is followed by a turn the same way, and then turns past what it
    looks for. Here what was done last tells nothing of what is right next.
    """
    often = float(rng.choice([0.06, 0.12, 0.25]))
    turning: list[int] = []

    def choose(recorder: Recorder, pose: Pose, goal: str, seen: bool) -> int:
        if turning:
            return turning.pop()
        action = recorder.expert.action(pose, goal) if seen else RIGHT
        if action != STOP and rng.random() < often:
            turning.extend([int(rng.choice((LEFT, RIGHT)))] * int(rng.integers(1, 13)))
            return turning.pop()
        return action

    return choose


def fly(
    recorder: Recorder, scene: str, seed: int, rng: np.random.Generator, policy: Policy, decisions: int = 32
) -> None:
    """Record one flight of `decisions` decisions, in a maze half as many again, through `scene` drawn from `seed`.

    It goes from goal to goal. Half the flights begin somewhere in the scene rather than at its start, of those through
    mazes one in five. A move that would touch something becomes a turn: the data has no collisions, but comes close.
    """
    recorder.start(scene, seed)
    expert = recorder.expert
    pose = _first_pose(recorder, rng)
    height_m = FLIGHT_HEIGHT_M + rng.uniform(-0.2, 0.2)
    first = SIGN if SIGN in expert.goals and rng.random() < 0.85 else recorder.scene.goal_colour
    goals = [first, *(str(goal) for goal in rng.permutation(sorted(expert.goals)))]
    goal, seen = goals.pop(0), dict.fromkeys(GOALS, False)
    # In flight the stream may begin on the ground or climbing, and its first frame is kept for good.
    for share in sorted(rng.uniform(0.02, 0.95, rng.choice(3, p=(0.5, 0.3, 0.2)))):
        recorder.see(pose, goal, still=False, height_m=height_m * share)
    for _ in range(decisions if recorder.sign < 0 else decisions * 3 // 2):
        height_m = float(np.clip(height_m + rng.normal(0, 0.02), 1.7, 2.3))
        recorder.see(
            pose, goal, still=True, height_m=height_m, pitch_deg=rng.normal(0, 0.5), roll_deg=rng.normal(0, 0.5)
        )
        seen = {known: seen[known] or recorder.in_view(known) for known in GOALS}
        action = policy(recorder, pose, goal, seen[goal])
        if action == STOP:
            others = [other for other in goals if other != goal] or [o for o in sorted(expert.goals) if o != goal]
            goal = others[int(rng.integers(len(others)))]
            action = policy(recorder, pose, goal, seen[goal])
        if action == FORWARD and expert.path_collides(pose, STEP_M * 1.05, margin_m=0.45):
            action = LEFT if rng.random() < 0.5 else RIGHT
        target = apply_action(pose, action, STEP_M * rng.uniform(0.94, 1.06), TURN_DEG + rng.normal(0, 1.0))
        _see_under_way(recorder, rng, pose, target, goal, height_m)
        pose = target


def _first_pose(recorder: Recorder, rng: np.random.Generator) -> Pose:
    if rng.random() < (0.8 if recorder.sign >= 0 else 0.5):
        return Pose(rng.normal(0, 0.1), rng.normal(0, 0.1), recorder.scene.start_yaw_deg + rng.normal(0, 2))
    return recorder.expert.somewhere(rng)


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


def record_shard(
    path: Path, scene: str, seeds: range, salt: int, policy_of: Callable[[np.random.Generator], Policy]
) -> None:
    """Fly `scene` drawn from `seeds` and write all frames to `path`; nothing happens if it is there already."""
    if path.exists():
        return
    recorder = Recorder()
    for seed in seeds:
        rng = np.random.default_rng([salt, seed])
        fly(recorder, scene, seed, rng, policy_of(rng))
    frames = recorder.take()
    recorder.close()
    path.parent.mkdir(parents=True, exist_ok=True)
    frames.save(path)
