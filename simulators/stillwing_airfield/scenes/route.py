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
Cell = tuple[int, int]

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


class Ground:
    """A scene's level of flight as a grid: how much room each cell leaves, which are free, how dear it is there."""

    def __init__(self, scene: SceneSpec, room_m: float = 0.7) -> None:
        """Cells with less than `room_m` to the nearest surface are not free; those with more are cheaper."""
        feet = np.array([thing.position_ned_m[:2] for thing in scene.of_kind("beacon")] + [(0.0, 0.0)])
        low, high = feet.min(axis=0) - 2 * _ROOM_M, feet.max(axis=0) + 2 * _ROOM_M
        count = np.ceil((high - low) / _CELL_M).astype(int)
        north, east = np.meshgrid(
            low[0] + np.arange(count[0]) * _CELL_M, low[1] + np.arange(count[1]) * _CELL_M, indexing="ij"
        )
        points = np.stack([north.ravel(), east.ravel()], axis=1)
        self.scene, self._low = scene, low
        self.room_m = clearance_m(scene.objects, points).reshape(count[0], count[1])
        self.free = self.room_m >= room_m
        self.cost = 1.0 + np.clip(1.4 - self.room_m, 0.0, 1.4)

    def cell(self, point: Point) -> Cell:
        """The cell nearest to a point; it may lie outside the grid."""
        return round((point[0] - self._low[0]) / _CELL_M), round((point[1] - self._low[1]) / _CELL_M)

    def centre(self, cell: Cell) -> Point:
        """North and east of a cell's centre."""
        return float(self._low[0] + cell[0] * _CELL_M), float(self._low[1] + cell[1] * _CELL_M)

    def inside(self, cell: Cell) -> bool:
        """Whether the grid has that cell."""
        rows, columns = self.free.shape
        return bool(0 <= cell[0] < rows and 0 <= cell[1] < columns)

    def is_clear(self, start: Point, end: Point, room_m: float) -> bool:
        """Whether the straight way keeps about `room_m` from everything, to half a cell."""
        steps = max(2, math.ceil(math.dist(start, end) / 0.2) + 1)
        cells = np.rint((np.linspace(start, end, steps) - self._low) / _CELL_M).astype(int)
        if (cells < 0).any() or (cells >= self.free.shape).any():
            return False
        return bool((self.room_m[cells[:, 0], cells[:, 1]] >= room_m).all())


class RouteField:
    """The cheapest way to one place from everywhere (Dijkstra 1959, from the goal outwards)."""

    def __init__(self, ground: Ground, goal: Point, reach_m: float = 2.2) -> None:
        """Ways end within `reach_m` of `goal`."""
        self._ground = ground
        self._price: dict[Cell, float] = {}
        self._next: dict[Cell, Cell] = {}
        queue: list[tuple[float, Cell]] = []
        middle, reach = ground.cell(goal), math.ceil(reach_m / _CELL_M)
        for i in range(-reach, reach + 1):
            for j in range(-reach, reach + 1):
                cell = middle[0] + i, middle[1] + j
                if ground.inside(cell) and ground.free[cell] and math.dist(ground.centre(cell), goal) <= reach_m:
                    self._price[cell] = 0.0
                    queue.append((0.0, cell))
        heapq.heapify(queue)
        while queue:
            price, cell = heapq.heappop(queue)
            if price > self._price[cell]:
                continue
            for i, j, length in _NEIGHBOURS:
                other = cell[0] + i, cell[1] + j
                if not ground.inside(other) or not ground.free[other]:
                    continue
                dearer = price + length * _CELL_M * float(ground.cost[cell])
                if dearer < self._price.get(other, math.inf):
                    self._price[other], self._next[other] = dearer, cell
                    heapq.heappush(queue, (dearer, other))

    def reaches(self, start: Point) -> bool:
        """Whether a way leads from there."""
        return self._nearest(start) is not None

    def way(self, start: Point, length_m: float = math.inf) -> list[Point]:
        """Points about 0.3 m apart from `start` on, at most `length_m` long. Raises `NoRoute`."""
        cell = self._nearest(start)
        if cell is None:
            raise NoRoute(f"{self._ground.scene.name}, seed {self._ground.scene.seed}: none from {start}")
        points, flown_m = [start], 0.0
        at: Cell | None = cell
        while at is not None and flown_m < length_m:
            points.append(self._ground.centre(at))
            flown_m += math.dist(points[-2], points[-1])
            at = self._next.get(at)
        return points

    def _nearest(self, point: Point) -> Cell | None:
        """The cheapest cell with a way, among those round a point that may itself be too near to something."""
        middle = self._ground.cell(point)
        for reach in (0, 1, 2, 3):
            round_it = [
                (middle[0] + i, middle[1] + j) for i in range(-reach, reach + 1) for j in range(-reach, reach + 1)
            ]
            known = [cell for cell in round_it if cell in self._price]
            if known:
                return min(known, key=self._price.__getitem__)
        return None
