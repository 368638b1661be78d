"""Closed loop without dynamics: a policy flies unseen scenes step by step, and what came of it is counted.

It judges checkpoints in a minute. It knows nothing of services, dynamics or the clock.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from stillwing_training.pilot.config import FIRST_UNSEEN_SEED, SIGN, STEP_M, SUCCESS_WITHIN_M, TURN_DEG
from stillwing_training.pilot.expert import FORWARD, RIGHT, STOP, Pose, apply_action
from stillwing_training.pilot.policy import Pilot
from stillwing_training.pilot.recorder import Recorder

FIRST_REPORTED_SEED = 7_000_000
"""Scenes from here on are for the figures in a model card: no choice during training has looked at them."""

Flyer = Callable[[Recorder, Pose, str, bool], int]
"""Chooses an action from (recorder, pose, goal, whether moving forward was just refused)."""


@dataclass
class Tally:
    """Outcomes of some episodes; `reached` counts missions ended by the policy near the right beacon, untouched."""

    episodes: int = 0
    reached: int = 0
    collided: int = 0
    stopped_elsewhere: int = 0
    timed_out: int = 0
    decisions: int = 0
    refused: int = 0
    agreed_with_expert: int = 0

    def add(self, other: "Tally") -> None:
        """Count another's outcomes in."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def row(self) -> dict[str, Any]:
        """Rates over episodes, and means."""
        count = max(1, self.episodes)
        return {
            "episodes": self.episodes,
            "reached": round(self.reached / count, 3),
            "collided": round(self.collided / count, 3),
            "stopped_elsewhere": round(self.stopped_elsewhere / count, 3),
            "timed_out": round(self.timed_out / count, 3),
            "decisions": round(self.decisions / count, 1),
            "refused": round(self.refused / count, 2),
            "agreement": round(self.agreed_with_expert / max(1, self.decisions), 3),
        }


def fly_episode(
    recorder: Recorder, scene: str, seed: int, flyer: Flyer, tally: Tally, *, guarded: bool, max_decisions: int
) -> None:
    """Fly `scene` drawn from `seed` once and count what came of it.

    With `guarded` a move into something near is refused, as the bridge does, and the policy is told; otherwise it
    collides.
    """
    rng = np.random.default_rng([7, seed])
    recorder.start(scene, seed)
    expert = recorder.expert
    goal = SIGN if scene.startswith("maze") else recorder.scene.goal_colour
    pose, seen, refused = Pose(0.0, 0.0, recorder.scene.start_yaw_deg), False, False
    tally.episodes += 1
    for _ in range(max_decisions):
        recorder.see(pose, goal, still=True, pitch_deg=rng.normal(0, 0.3))
        seen = seen or recorder.in_view(goal)
        right = expert.action(pose, goal, forward_refused=refused) if seen else RIGHT
        action = flyer(recorder, pose, goal, refused)
        tally.decisions += 1
        tally.agreed_with_expert += int(action == right)
        refused = False
        if action == STOP:
            near = expert.to_goal(pose, goal)[0] < SUCCESS_WITHIN_M
            tally.reached += int(near)
            tally.stopped_elsewhere += int(not near)
            return
        if action == FORWARD and guarded and expert.refused(pose):
            refused = True
            tally.refused += 1
            continue
        if action == FORWARD and expert.path_collides(pose, STEP_M):
            tally.collided += 1
            return
        target = apply_action(pose, action, STEP_M * rng.uniform(0.97, 1.03), TURN_DEG + rng.normal(0, 0.5))
        if rng.random() < 0.6:
            half = apply_action(pose, action, STEP_M / 2, TURN_DEG / 2)
            pitch_deg = rng.normal(0, 4) if action == FORWARD else 0.0
            recorder.see(half, goal, still=False, pitch_deg=pitch_deg)
        pose = target
    tally.timed_out += 1


def pilot_flyer(pilot: Pilot) -> Flyer:
    """The pilot's own decisions, from pictures alone."""
    taken = [-1, 0]

    def choose(recorder: Recorder, pose: Pose, goal: str, refused: bool) -> int:
        if taken[0] != recorder.flight:
            pilot.forget()
            taken[:] = [recorder.flight, 0]
        for pixels in recorder.pictures[taken[1] :]:
            pilot.observe(pixels)
        taken[1] = len(recorder.pictures)
        return pilot.decide(goal, "OBSTRUCTED" if refused else None)[0]

    return choose


def evaluate(
    flyer: Flyer,
    episodes: int,
    *,
    guarded: bool,
    scene: str = "meadow",
    first_seed: int = FIRST_UNSEEN_SEED,
    max_decisions: int = 60,
) -> Tally:
    """Fly `episodes` unseen scenes; a flight is given up after `max_decisions`."""
    recorder, tally = Recorder(truth=False), Tally()
    try:
        for number in range(episodes):
            fly_episode(
                recorder, scene, first_seed + number, flyer, tally, guarded=guarded, max_decisions=max_decisions
            )
    finally:
        recorder.close()
    return tally
