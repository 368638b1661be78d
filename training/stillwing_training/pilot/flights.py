"""Flights to learn from: who decides at each step, and how one flight goes from goal to goal.

It knows nothing of models or tokens.
"""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from stillwing_training.pilot.config import FLIGHT_HEIGHT_M, GOALS, SIGN, STEP_M, TURN_DEG
from stillwing_training.pilot.expert import FORWARD, LEFT, RIGHT, STOP, Pose, apply_action, straight_action
from stillwing_training.pilot.recorder import Recorder

Policy = Callable[[Recorder, Pose, str, bool], int]
"""Chooses an action from (recorder, pose, goal, whether that goal was seen)."""


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
