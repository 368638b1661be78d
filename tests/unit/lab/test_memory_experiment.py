"""python -m pytest tests/unit/lab/test_memory_experiment.py -v

What memory is worth: who turned which way and how long after the sign, sums, verdicts, and going on where it stopped.
"""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from stillwing_airfield.scenes.base import build_scene
from stillwing_common.errors import InvalidInput, StillwingError
from stillwing_lab.evaluate.episode import EpisodeResult
from stillwing_lab.evaluate.jobs import Job, Ledger, fly
from stillwing_lab.evaluate.memory_experiment import ARMS, Plan, chunks_between, findings, turned
from stillwing_lab.evaluate.memory_run import main, verdicts
from stillwing_lab.evaluate.run import Where

PLAN = Plan(corridors_m=(4.0, 20.0), idle_chunks=(0, 90), episodes=3)


@pytest.fixture(scope="module")
def flown() -> EpisodeResult:
    """The expert in the shortest maze, at the first seed."""
    return fly(Job("expert", "maze,corridor_m=4", PLAN.first_seed))


def place(corridor_m: float, seed: int, ahead_m: float, right_m: float) -> tuple[float, float]:
    (sign,) = build_scene(f"maze,corridor_m={corridor_m:g}", seed).of_kind("sign")
    heading = math.radians(sign.yaw_deg)
    return (
        ahead_m * math.cos(heading) - right_m * math.sin(heading),
        ahead_m * math.sin(heading) + right_m * math.cos(heading),
    )


def test_the_expert_turns_where_the_sign_sends_it_soon_after_it_saw_it(flown: EpisodeResult) -> None:
    scene = build_scene("maze,corridor_m=4", flown.seed)
    assert flown.success and turned(scene, flown) == 1
    chunks = chunks_between(scene, flown, 4.0)
    assert chunks is not None and 4 <= chunks <= 30


@pytest.mark.parametrize("right_m", [-4.0, 0.5, 4.0])
def test_who_ends_round_the_other_corner_turned_the_wrong_way(right_m: float, flown: EpisodeResult) -> None:
    scene = build_scene("maze,corridor_m=4", flown.seed)
    at = place(4.0, flown.seed, 5.5, right_m)
    ended = replace(flown, track=((0.0, *at, 0.0, 0),))
    goal = scene.goal().position_ned_m
    near, far = (math.dist(place(4.0, flown.seed, 5.8, side * 6.2), goal[:2]) for side in (1, -1))
    goal_side = 1 if near < far else -1
    assert turned(scene, ended) == (0 if abs(right_m) < 1.5 else goal_side * (1 if right_m > 0 else -1))


def test_who_never_saw_the_sign_or_never_came_to_the_turn_has_no_distance(flown: EpisodeResult) -> None:
    scene = build_scene("maze,corridor_m=4", flown.seed)
    assert chunks_between(scene, replace(flown, track=flown.track[:8]), 4.0) is None
    (sign,) = scene.of_kind("sign")
    away = tuple((t, *place(4.0, flown.seed, 3.0 + t, 0.0), sign.yaw_deg, 0) for t in (0.0, 0.25, 0.5, 0.75, 1.0))
    assert chunks_between(scene, replace(flown, track=away), 4.0) is None


def outcomes(flown: EpisodeResult) -> dict[Job, EpisodeResult]:
    """Far from the sign, only the bank and everything kept reach the beacon; gaps fail after long streams."""
    done = {}
    for (memory, corridor_m), jobs in PLAN.memory_jobs().items():
        for job in jobs:
            reached = corridor_m == 4 or memory in ("unbounded", "window + bank") or job.seed == PLAN.first_seed
            done[job] = replace(flown, seed=job.seed, success=reached, track=())
    for (positions, chunks), jobs in PLAN.position_jobs().items():
        done |= {job: replace(flown, seed=job.seed, success=positions == "contiguous" or not chunks) for job in jobs}
    return done


def test_sums_follow_the_flights(flown: EpisodeResult) -> None:
    found = findings(PLAN, outcomes(flown))
    far = {cell.memory: cell.success.value for cell in found.cells if cell.corridor_m == 20}
    assert far == {name: 1.0 if name in ("unbounded", "window + bank") else pytest.approx(1 / 3) for name in ARMS}
    assert found.kept_gain.value == pytest.approx(-1 / 3)
    assert "not worth" in verdicts(found)[0]
    gaps = {(cell.positions, cell.idle_chunks): cell.success.value for cell in found.positions}
    assert gaps == {("contiguous", 0): 1, ("contiguous", 90): 1, ("with gaps", 0): 1, ("with gaps", 90): 0}


def test_what_was_flown_is_not_flown_again_and_everything_is_stored(flown: EpisodeResult, tmp_path: Path) -> None:
    folder = tmp_path / "memory"
    ledger = Ledger(folder / "episodes.jsonl")
    for job, result in outcomes(flown).items():
        ledger.add(job, replace(result, track=flown.track))
    lines = (folder / "episodes.jsonl").read_text()
    main(PLAN, Where(1), out=folder, keep=tmp_path / "kept" / "memory")
    assert (folder / "episodes.jsonl").read_text() == lines
    for stem in (folder / "memory", tmp_path / "kept" / "memory"):
        stored = json.loads(stem.with_suffix(".json").read_text())
        assert {"commit", "command", "hardware", "plan", "cells", "positions", "kept_gain"} <= set(stored)
        table = stem.with_suffix(".md").read_text()
        assert all(f"| {name} | 100% (44–100)" in table for name in ARMS)
        assert "# Positions after long streams" in table
        for picture in (stem.with_suffix(".png"), stem.with_name("memory-positions.png")):
            with Image.open(picture) as drawn:
                assert drawn.width > 500


@pytest.mark.parametrize("plan", [replace(PLAN, episodes=0), replace(PLAN, first_seed=7)])
def test_plans_that_mean_nothing_are_refused(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="unseen"):
        main(plan, Where(1), out=tmp_path)


def test_a_policy_or_a_corridor_that_does_not_exist_is_told_before_anything_flies(tmp_path: Path) -> None:
    for plan in (replace(PLAN, policy="nobody"), replace(PLAN, corridors_m=(1e9,))):
        with pytest.raises(StillwingError):
            main(plan, Where(1), out=tmp_path / "out")
        assert not (tmp_path / "out").exists()
