"""What memory is worth: a maze whose sign is passed early and needed late, by how long ago that was and by memory.

A second, smaller question beside it: after streams far longer than any in training, do positions that follow on each
other fly better than positions with gaps? It knows nothing of plots, files or how an episode is flown.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from stillwing_agent.core.flight import FlightSettings
from stillwing_airfield.scenes.base import SceneSpec, build_scene
from stillwing_lab.evaluate.episode import MAX_DECISIONS, EpisodeResult
from stillwing_lab.evaluate.jobs import Job
from stillwing_lab.evaluate.ways import READER, Way
from stillwing_training.statistics import Estimate, mean, share

ARMS: dict[str, Way] = {
    "unbounded": Way("tool_calling", memory="unbounded"),
    "window + bank": Way("tool_calling", memory="bank"),
    "window + bank, kept": Way("tool_calling", memory="bank", recall="kept"),
    "window": Way("tool_calling"),
    "no memory": Way("tool_calling", memory="none"),
    "wrong frame": Way("tool_calling", memory="bank", recall="wrong"),
}
"""What is compared, by the name it has in tables and plots."""

CORRIDORS_M = (4.0, 8.0, 16.0, 36.0)
IDLE_CHUNKS = (0, 250, 1000)
POSITIONS: dict[str, Way] = {
    "contiguous": Way("tool_calling"),
    "with gaps": Way("tool_calling", memory="gap"),
}

_JUNCTION_FROM_M = 0.3
_IN_VIEW_DEG = 40.0
_TURNED_M = 1.5


@dataclass(frozen=True, slots=True)
class Plan:
    """What to fly: corridors in metres, chunks a stream has behind it, scenes for each, and with whom."""

    corridors_m: Sequence[float] = CORRIDORS_M
    idle_chunks: Sequence[int] = IDLE_CHUNKS
    episodes: int = 20
    first_seed: int = 1_500_000
    model: str = "pilot"
    policy: str = "tool_calling"

    def memory_jobs(self) -> dict[tuple[str, float], list[Job]]:
        """Episodes of the maze, by memory and corridor."""
        return {
            (name, corridor_m): self._jobs(way, f"maze,corridor_m={corridor_m:g}", _decisions(corridor_m), 0)
            for corridor_m in self.corridors_m
            for name, way in ARMS.items()
        }

    def position_jobs(self) -> dict[tuple[str, int], list[Job]]:
        """Episodes of the meadow, by positions and chunks before the flight; none for a reader, who minds neither."""
        if self.policy == READER:
            return {}
        return {
            (name, chunks): self._jobs(way, "meadow", MAX_DECISIONS, chunks)
            for chunks in self.idle_chunks
            for name, way in POSITIONS.items()
        }

    def _jobs(self, way: Way, scene: str, max_decisions: int, idle_chunks: int) -> list[Job]:
        return [
            Job(
                self.policy, scene, seed, way.mode, way.memory, self.model, max_decisions,
                recall=way.recall, idle_chunks=idle_chunks,
            )
            for seed in range(self.first_seed, self.first_seed + self.episodes)
        ]  # fmt: skip


def _decisions(corridor_m: float) -> int:
    """Twice what the expert needs for a corridor of that length, and half a minute to look round."""
    return 40 + math.ceil(2 * corridor_m)


@dataclass(frozen=True, slots=True)
class Cell:
    """One memory at one distance. `chunks`: between the last sight of the sign and the turn, median, None if unknown.

    `right_way` and `wrong_way` are shares that ended beyond the corner they chose; the rest never turned. `recalls`:
    how often frames were brought back, mean.
    """

    memory: str
    corridor_m: float
    chunks: float | None
    episodes: int
    success: Estimate
    collided: Estimate
    right_way: Estimate
    wrong_way: Estimate
    decisions: Estimate
    recalls: Estimate
    failed_seeds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PositionCell:
    """One way to place positions after so many chunks."""

    positions: str
    idle_chunks: int
    episodes: int
    success: Estimate


@dataclass(frozen=True, slots=True)
class Findings:
    """All of it. `kept_gain`: what kept keys and values win over pictures, same scenes, in share of flights."""

    cells: tuple[Cell, ...]
    positions: tuple[PositionCell, ...]
    kept_gain: Estimate

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)


def findings(plan: Plan, done: dict[Job, EpisodeResult]) -> Findings:
    """Sum up what was flown; every job of the plan is in `done`."""
    mazes = {key: [done[job] for job in jobs] for key, jobs in plan.memory_jobs().items()}
    between = {
        length_m: _median_chunks(
            length_m, [one for (_, m), results in mazes.items() if m == length_m for one in results]
        )
        for length_m in plan.corridors_m
    }
    cells = tuple(
        _cell(name, corridor_m, between[corridor_m], results) for (name, corridor_m), results in mazes.items()
    )
    positions = tuple(
        PositionCell(name, chunks, len(jobs), share([done[job].success for job in jobs]))
        for (name, chunks), jobs in plan.position_jobs().items()
    )
    pairs = [
        float(kept.success) - float(pixels.success)
        for corridor_m in plan.corridors_m
        for kept, pixels in zip(
            mazes["window + bank, kept", corridor_m], mazes["window + bank", corridor_m], strict=True
        )
    ]
    return Findings(cells, positions, mean(pairs))


def _cell(memory: str, corridor_m: float, chunks: float | None, results: Sequence[EpisodeResult]) -> Cell:
    sides = [turned(build_scene(f"maze,corridor_m={corridor_m:g}", result.seed), result) for result in results]
    return Cell(
        memory=memory,
        corridor_m=corridor_m,
        chunks=chunks,
        episodes=len(results),
        success=share([result.success for result in results]),
        collided=share([result.collided for result in results]),
        right_way=share([side > 0 for side in sides]),
        wrong_way=share([side < 0 for side in sides]),
        decisions=mean([result.decisions for result in results]),
        recalls=mean([result.recalls for result in results]),
        failed_seeds=tuple(result.seed for result in results if not result.success),
    )


def turned(scene: SceneSpec, result: EpisodeResult) -> int:
    """1 where a flight ended round the corner that leads to the goal, -1 round the other, 0 in the corridor."""
    if not result.track:
        return 0
    _, right_m = _along(scene, result.track[-1][1:3])
    _, goal_right_m = _along(scene, scene.goal().position_ned_m[:2])
    if abs(right_m) < _TURNED_M:
        return 0
    return 1 if right_m * goal_right_m > 0 else -1


def chunks_between(scene: SceneSpec, result: EpisodeResult, corridor_m: float) -> float | None:
    """Chunks from the last sight of the sign to the junction, as the flight settings take frames; None without both.

    By geometry: the sign counts as seen where it lies ahead within 40 degrees of where the camera looks.
    """
    (sign,) = scene.of_kind("sign")
    seen_s: float | None = None
    for time_s, north_m, east_m, yaw_deg, _ in result.track:
        ahead_m, _ = _along(scene, (north_m, east_m))
        if ahead_m >= corridor_m - _JUNCTION_FROM_M:
            return None if seen_s is None else (time_s - seen_s) * FlightSettings().frame_rate_hz
        to_north_m, to_east_m = sign.position_ned_m[0] - north_m, sign.position_ned_m[1] - east_m
        bearing_deg = math.degrees(math.atan2(to_east_m, to_north_m)) - yaw_deg
        if abs(math.remainder(bearing_deg, 360.0)) < _IN_VIEW_DEG:
            seen_s = time_s
    return None


def _median_chunks(corridor_m: float, results: Sequence[EpisodeResult]) -> float | None:
    scenes = {result.seed: build_scene(f"maze,corridor_m={corridor_m:g}", result.seed) for result in results}
    found = [chunks_between(scenes[result.seed], result, corridor_m) for result in results]
    known = [chunks for chunks in found if chunks is not None]
    return statistics.median(known) if known else None


def _along(scene: SceneSpec, place_m: Sequence[float]) -> tuple[float, float]:
    """Metres ahead along the corridor and to its right, from the start."""
    (sign,) = scene.of_kind("sign")
    heading = math.radians(sign.yaw_deg)
    north_m, east_m = place_m[0], place_m[1]
    return (
        north_m * math.cos(heading) + east_m * math.sin(heading),
        east_m * math.cos(heading) - north_m * math.sin(heading),
    )
