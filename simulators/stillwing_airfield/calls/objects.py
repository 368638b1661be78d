"""Calls about the scene's objects: which there are, where, in what segmentation colour; spawning and destroying."""

import math
import re
from typing import Any

from stillwing_airfield import values, wire
from stillwing_airfield.calls.binding import CallFailed, Slot, bind
from stillwing_airfield.calls.segments import Segments
from stillwing_airfield.sim import Airfield
from stillwing_airfield.spares import ASSETS, SPARES, Spawned

_LARGEST_SCALE = 100.0


class ObjectCalls:
    """Bound to one simulator."""

    def __init__(self, airfield: Airfield, segments: Segments) -> None:
        self._airfield = airfield
        self._segments = segments

    @bind("simListSceneObjects", wire.text)
    def list_scene_objects(self, pattern: str) -> list[str]:
        try:
            return self._segments.matching(pattern)
        except re.error as error:
            raise CallFailed("regex_error") from error

    @bind("simGetObjectPose", wire.text, Slot.NED)
    def get_object_pose(self, name: str) -> dict[str, Any]:
        for thing in self._airfield.scene.objects:
            if thing.name == name:
                half = math.radians(thing.yaw_deg) / 2
                return values.pose(thing.position_ned_m, (math.cos(half), 0.0, 0.0, math.sin(half)))
        if len(self._airfield.vehicle_names) > 1 and name in self._airfield.vehicle_names:
            place, turn = self._airfield.do(
                lambda v: (v.world_position(v.state().position_ned_m), v.state().orientation_wxyz), name
            )
            return values.pose(place, turn)
        spawned = self._airfield.spares(lambda spares: spares.find(name))
        return values.pose(spawned.position_ned_m, spawned.orientation_wxyz) if spawned else values.NAN_POSE

    @bind("simSetObjectPose", wire.text, values.POSE, wire.boolean)
    def set_object_pose(self, name: str, pose: dict[str, Any], _teleport: bool) -> bool:
        """Only what was spawned can be moved; the real one answers false for what is not movable, too."""
        place = values.mount(pose)

        def move(spares: Any) -> bool:
            thing = spares.find(name)
            if thing is None:
                return False
            thing.position_ned_m, thing.orientation_wxyz = place.offset_body_m, place.orientation_wxyz
            spares.update(thing)
            return True

        return self._airfield.spares(move)

    @bind("simGetObjectScale", wire.text)
    def get_object_scale(self, name: str) -> dict[str, float]:
        spawned = self._airfield.spares(lambda spares: spares.find(name))
        if spawned is not None:
            return values.vector3r(spawned.scale)
        if name in self._airfield.object_names and name:
            return values.vector3r((1.0, 1.0, 1.0))
        return values.vector3r((math.nan, math.nan, math.nan))

    @bind("simSetObjectScale", wire.text, values.VECTOR)
    def set_object_scale(self, name: str, scale: dict[str, float]) -> bool:
        size = _scale(scale)

        def grow(spares: Any) -> bool:
            thing = spares.find(name)
            if thing is None:
                return False
            thing.scale = size
            spares.update(thing)
            return True

        return self._airfield.spares(grow)

    @bind("simListAssets")
    def list_assets(self) -> list[str]:
        return list(ASSETS)

    @bind("simSpawnObject", wire.text, wire.text, values.POSE, values.VECTOR, wire.boolean, wire.boolean)
    def spawn_object(
        self, name: str, asset: str, pose: dict[str, Any], scale: dict[str, float], physics: bool, _blueprint: bool
    ) -> str:
        if asset not in ASSETS:
            raise CallFailed(f"There were no objects with name {asset} found in the Registry")
        if physics:
            raise CallFailed("what is spawned here stands still; ask without physics")
        place, size = values.mount(pose), _scale(scale)
        taken = set(self._airfield.object_names)
        full, number = name or asset, 0
        while full in taken:
            number += 1
            full = f"{name or asset}_{number}"
        thing = Spawned(full, asset, place.offset_body_m, place.orientation_wxyz, size)
        if not self._airfield.spares(lambda spares: spares.add(thing)):
            raise CallFailed(f"there are {SPARES} spawned things already; destroy one first")
        return full

    @bind("simDestroyObject", wire.text)
    def destroy_object(self, name: str) -> bool:
        return self._airfield.spares(lambda spares: spares.remove(name))

    @bind("simSetSegmentationObjectID", wire.text, wire.integer, wire.boolean)
    def set_segmentation_object_id(self, name: str, object_id: int, is_regex: bool) -> bool:
        if not 0 <= object_id < 256:
            raise CallFailed(f"segmentation ids are 0 to 255, got {object_id}")
        try:
            return self._segments.set_id(name, object_id, is_regex)
        except re.error as error:
            raise CallFailed("regex_error") from error

    @bind("simGetSegmentationObjectID", wire.text)
    def get_segmentation_object_id(self, name: str) -> int:
        return self._segments.id_of(name)


def _scale(vector: dict[str, float]) -> tuple[float, float, float]:
    size = values.triple(vector)
    if not all(0 < part <= _LARGEST_SCALE for part in size):
        raise CallFailed(f"a scale is above 0 and at most {_LARGEST_SCALE:g} on each axis")
    return size
