"""Seeded scenes: what stands where, in which light. No scene module knows MuJoCo's library, only its XML."""

from stillwing_airfield.scenes.base import SceneObject, SceneSpec, build_scene, scene_names

__all__ = ["SceneObject", "SceneSpec", "build_scene", "scene_names"]
