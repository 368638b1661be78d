"""The way through a scene by its geometry: how near a point is to anything, and a route that keeps its distance.

It knows where things stand at flight height, and nothing of pictures, vehicles or physics.
"""

import heapq
import math

import numpy as np
import numpy.typing as npt

from stillwing_airfield.scenes.base import SceneObject, SceneSpec
from stillwing_common.errors import NotFound

Point = tuple[float, float]

_CELL_M = 0.3
_ROOM_M = 3.0
_NEIGHBOURS = [(i, j, math.hypot(i, j)) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]


class NoRoute(NotFound):
    """No way leads to the goal of a scene with that much room on both sides."""

    reason = "NO_ROUTE"


def clearance_m(objects: tuple[SceneObject, ...], points_ne_m: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Metres over ground from each point (n, 2) to the nearest surface; `inf` where there is nothing, < 0 inside."""
    points = np.atleast_2d(np.asarray(points_ne_m, dtype=np.float64))
    nearest = np.full(len(points), np.inf)
    for thing in objects:
        offset = points - thing.position_ned_m[:2]
        if thing.size_m is not None:
            if thing.kind == "sign":
                continue
            yaw = math.radians(thing.yaw_deg)
            along = np.abs(offset @ (math.cos(yaw), math.sin(yaw))) - thing.size_m[0] / 2
            across = np.abs(offset @ (-math.sin(yaw), math.cos(yaw))) - thing.size_m[1] / 2
            outside = np.hypot(np.maximum(along, 0), np.maximum(across, 0))
            nearest = np.minimum(nearest, outside + np.minimum(np.maximum(along, across), 0))
        elif thing.radius_m > 0:
            nearest = np.minimum(nearest, np.hypot(offset[:, 0], offset[:, 1]) - thing.radius_m)
    return nearest


def is_clear(scene: SceneSpec, start: Point, end: Point, room_m: float) -> bool:
    """Whether the straight way keeps `room_m` from everything."""
    count = max(2, math.ceil(math.dist(start, end) / 0.15) + 1)
    return bool((clearance_m(scene.objects, np.linspace(start, end, count)) >= room_m).all())


def plan_route(scene: SceneSpec, *, room_m: float = 0.7, reach_m: float = 2.2) -> list[Point]:
    """Points (north, east) about 0.3 m apart from the start to within `reach_m` of the goal's centre.

    A* on a grid; ways with more room than `room_m` are cheaper. Raises `NoRoute`.
    """
    goal = scene.goal().position_ned_m[:2]
    start = scene.start_position_ned_m[:2]
    low, free, cost = _grid(scene, room_m)
    shape = free.shape

    def centre(cell: tuple[int, int]) -> Point:
        return low[0] + cell[0] * _CELL_M, low[1] + cell[1] * _CELL_M

    begin = round((start[0] - low[0]) / _CELL_M), round((start[1] - low[1]) / _CELL_M)
    came: dict[tuple[int, int], tuple[int, int]] = {}
    best = {begin: 0.0}
    queue = [(0.0, begin)]
    while queue:
        _, cell = heapq.heappop(queue)
        if math.dist(centre(cell), goal) <= reach_m:
            way = [cell]
            while way[-1] in came:
                way.append(came[way[-1]])
            return [start, *(centre(step) for step in reversed(way[:-1]))]
        for i, j, length in _NEIGHBOURS:
            other = cell[0] + i, cell[1] + j
            if not (0 <= other[0] < shape[0] and 0 <= other[1] < shape[1]) or not free[other]:
                continue
            price = best[cell] + length * _CELL_M * cost[other]
            if price < best.get(other, math.inf):
                best[other], came[other] = price, cell
                heapq.heappush(queue, (price + max(math.dist(centre(other), goal) - reach_m, 0.0), other))
    raise NoRoute(f"{scene.name}, seed {scene.seed}: none with {room_m:g} m to each side")


def _grid(scene: SceneSpec, room_m: float) -> tuple[Point, npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """South-west corner, which cells are free, and how dear each metre in them is (1 where there is plenty of room)."""
    beacons = np.array([thing.position_ned_m[:2] for thing in scene.of_kind("beacon")] + [(0.0, 0.0)])
    low, high = beacons.min(axis=0) - 2 * _ROOM_M, beacons.max(axis=0) + 2 * _ROOM_M
    count = np.ceil((high - low) / _CELL_M).astype(int)
    north, east = np.meshgrid(
        low[0] + np.arange(count[0]) * _CELL_M, low[1] + np.arange(count[1]) * _CELL_M, indexing="ij"
    )
    room = clearance_m(scene.objects, np.stack([north.ravel(), east.ravel()], axis=1)).reshape(count[0], count[1])
    cost = 1.0 + np.clip(1.4 - room, 0.0, 1.4)
    return (float(low[0]), float(low[1])), room >= room_m, cost
