"""Keeps a model from turning on one spot for ever: to and fro between two ways, or round and round without a find.

A model that decides greedily on a picture that does not change decides the same again. What it may choose from is the
one thing that can change that. This module knows nothing of models, vehicles or refusals.
"""

from collections.abc import Mapping
from typing import Any

Key = tuple[str, str | None]
"""A tool and its direction; None for a tool that has none."""

_OTHER_SIDE = {"left": "right", "right": "left"}


class Circling:
    """Follows the turns since the vehicle last moved on.

    After `max_reversals` changes of direction a turn may only go on as it goes, until any motion that is no turn. After
    `max_angle_deg` in all, the vehicle faces where it faced before and has found nothing: there are no more turns until
    it moved on `steps_after_circle` times, because from the next metre the same would be seen. Where the way on is
    refused, it may turn to look for another.
    """

    def __init__(self, max_reversals: int = 2, max_angle_deg: float = 350.0, steps_after_circle: int = 3) -> None:
        self._max_reversals = max_reversals
        self._max_angle_deg = max_angle_deg
        self._steps_after_circle = steps_after_circle
        self._steps_owed = 0
        self._begin_again()

    def _begin_again(self) -> None:
        self._side, self._reversals, self._angle_deg = "", 0, 0.0

    def moved(self, name: str, arguments: Mapping[str, Any]) -> None:
        """A motion succeeded."""
        if name != "turn":
            self._begin_again()
            self._steps_owed = max(0, self._steps_owed - 1)
            return
        side = arguments["direction"]
        if self._side and side != self._side:
            self._reversals += 1
        self._side = side
        self._angle_deg += arguments["angle_deg"]
        # Whoever turns although steps are owed had its way barred, and looks for another.
        self._steps_owed = self._steps_after_circle if self._angle_deg >= self._max_angle_deg else 0

    def closed(self, *, way_on_refused: bool = False) -> set[Key]:
        """What should not be chosen next; where the way on was refused, one side to turn to is always left."""
        if self._steps_owed and not way_on_refused:
            return {("turn", "left"), ("turn", "right")}
        if self._side and self._reversals >= self._max_reversals:
            return {("turn", _OTHER_SIDE[self._side])}
        return set()
