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

    After `max_reversals` changes of direction a turn may only go on as it goes; after `max_angle_deg` in all there
    are no more turns. Any motion that is no turn opens everything again.
    """

    def __init__(self, max_reversals: int = 2, max_angle_deg: float = 390.0) -> None:
        self._max_reversals = max_reversals
        self._max_angle_deg = max_angle_deg
        self._side = ""
        self._reversals = 0
        self._angle_deg = 0.0

    def moved(self, name: str, arguments: Mapping[str, Any]) -> None:
        """A motion succeeded."""
        if name != "turn":
            self._side, self._reversals, self._angle_deg = "", 0, 0.0
            return
        side = arguments["direction"]
        if self._side and side != self._side:
            self._reversals += 1
        self._side = side
        self._angle_deg += arguments["angle_deg"]

    def closed(self, *, way_on_refused: bool = False) -> set[Key]:
        """What should not be chosen next; where the way on was refused, one side to turn to is always left."""
        if self._angle_deg >= self._max_angle_deg and not way_on_refused:
            return {("turn", "left"), ("turn", "right")}
        if self._side and self._reversals >= self._max_reversals:
            return {("turn", _OTHER_SIDE[self._side])}
        return set()
