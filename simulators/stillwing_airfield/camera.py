"""Pictures of a world: colour, depth and what is what, by MuJoCo's classic renderer on EGL, without a display.

It knows nothing of vehicles' camera names, image formats or wires.
"""

import math
import os
from collections.abc import Collection
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from stillwing_common.errors import Unavailable

os.environ.setdefault("MUJOCO_GL", "egl")

import mujoco
import numpy as np
import numpy.typing as npt

from stillwing_airfield.axes import flip_quaternion, flip_vector, rotation_matrix
from stillwing_airfield.world import RenderState, World

NOTHING_THERE_M = 65504.0
"""Depth where the picture shows sky: the largest half float, as AirSim's depth target holds."""

KINDS = ("scene", "depth", "segmentation")

_SKY_SHARE = 0.69
"""MuJoCo's sky box writes depth: along any ray it begins at just over this share of the far plane's distance."""


class NoGraphics(Unavailable):
    """This machine has no OpenGL that draws without a display."""

    reason = "NO_GRAPHICS"


@dataclass(frozen=True)
class CameraPose:
    """Where a camera is and where it looks: orientation FRD→NED (w, x, y, z), forward is the optical axis."""

    position_ned_m: tuple[float, float, float]
    orientation_wxyz_ned: tuple[float, float, float, float]


class Camera:
    """Draws one world. Owns a GL context: create it, use it and close it on ONE thread."""

    def __init__(
        self,
        world: World,
        width_px: int,
        height_px: int,
        hfov_deg: float = 90.0,
        samples: int = 0,
        shadows: bool = False,
        hide_vehicle: bool = True,
    ) -> None:
        """Pixels are square; `samples` > 0 smooths edges at the cost of speed (4 is usual).

        Raises `NoGraphics` where the GL libraries are missing, with the command that brings them.
        """
        self.width_px, self.height_px, self.hfov_deg = width_px, height_px, hfov_deg
        self._model: Any = world.model
        self._object_of_geom = world.object_of_geom
        # State of its own, so that drawing never touches the data a physics thread is stepping.
        self._data = mujoco.MjData(self._model)
        self._gl = _gl_context(width_px, height_px)
        self._scene = mujoco.MjvScene(self._model, maxgeom=400)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = shadows
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        self._option = mujoco.MjvOption()
        self._option.geomgroup[:] = (1, 1, 1, 0 if hide_vehicle else 1, 0, 0)
        self._view = mujoco.MjvCamera()
        self._context = _render_context(self._model, width_px, height_px, samples)
        self._rectangle = mujoco.MjrRect(0, 0, width_px, height_px)
        self._ray_lengths = ray_lengths(height_px, width_px, hfov_deg)

    def show(self, world: World) -> None:
        """Draw another world from now on, ten times cheaper than a new camera.

        Only for a world of the same kind of scene: its textures must be of the same number and sizes.
        Raises `ValueError` otherwise.
        """
        model = world.model
        if not np.array_equal(model.tex_height, self._model.tex_height) or model.ntexdata != self._model.ntexdata:
            raise ValueError("the other world's textures are not shaped like this camera's")
        self._gl.make_current()
        for texture in range(model.ntex):
            mujoco.mjr_uploadTexture(model, self._context, texture)
        flags = np.array(self._scene.flags)
        self._model, self._object_of_geom = model, world.object_of_geom
        self._data = mujoco.MjData(model)
        self._scene = mujoco.MjvScene(model, maxgeom=400)
        self._scene.flags[:] = flags

    def render(
        self, state: RenderState, camera_pose: CameraPose, kinds: Collection[str] = ("scene",)
    ) -> dict[str, npt.NDArray[Any]]:
        """Draw one instant from one place; all kinds show the same instant.

        Returns by kind: `scene` uint8 (H, W, 3) RGB; `depth` float32 (H, W) metres along the optical axis,
        `NOTHING_THERE_M` for sky; `segmentation` int32 (H, W) index into the scene's objects, -1 for none.
        """
        unknown = set(kinds) - set(KINDS)
        if unknown:
            raise ValueError(f"unknown kinds of image {sorted(unknown)}; known: {', '.join(KINDS)}")
        self._gl.make_current()
        self._data.qpos[:] = state.qpos
        self._data.mocap_pos[:] = state.mocap_pos
        self._data.mocap_quat[:] = state.mocap_quat
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mjv_updateScene(
            self._model, self._data, self._option, None, self._view, mujoco.mjtCatBit.mjCAT_ALL.value, self._scene
        )
        self._aim(camera_pose)
        images: dict[str, npt.NDArray[Any]] = {}
        if "scene" in kinds or "depth" in kinds:
            rgb = np.empty((self.height_px, self.width_px, 3), np.uint8) if "scene" in kinds else None
            depth = np.empty((self.height_px, self.width_px), np.float32) if "depth" in kinds else None
            mujoco.mjr_render(self._rectangle, self._scene, self._context)
            mujoco.mjr_readPixels(rgb, depth, self._rectangle, self._context)
            if rgb is not None:
                images["scene"] = np.ascontiguousarray(rgb[::-1])
            if depth is not None:
                images["depth"] = self._metres(depth)
        if "segmentation" in kinds:
            images["segmentation"] = self._draw_segmentation(camera_pose)
        return images

    def _aim(self, pose: CameraPose) -> None:
        """Put both eyes of MuJoCo's stereo camera at `pose`; they differ only where a stereo buffer is asked for."""
        axes = rotation_matrix(flip_quaternion(pose.orientation_wxyz_ned))
        near, far = self._clip_m()
        half_width = near * math.tan(math.radians(self.hfov_deg) / 2)
        half_height = half_width * self.height_px / self.width_px
        for eye in self._scene.camera:
            eye.pos, eye.forward, eye.up = flip_vector(pose.position_ned_m), axes[:, 0], axes[:, 2]
            eye.frustum_center, eye.frustum_width = 0.0, half_width
            eye.frustum_bottom, eye.frustum_top = -half_height, half_height
            eye.frustum_near, eye.frustum_far = near, far

    def _clip_m(self) -> tuple[float, float]:
        extent_m = self._model.stat.extent
        return self._model.vis.map.znear * extent_m, self._model.vis.map.zfar * extent_m

    def _metres(self, buffer: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Planar depth from the depth buffer, whose 0 is the far plane and 1 the near one; the sky is taken out."""
        near, far = self._clip_m()
        upright = buffer[::-1]
        metres = np.float32(near * far) / (np.float32(near) + upright * np.float32(far - near))
        metres[metres * self._ray_lengths > _SKY_SHARE * far] = NOTHING_THERE_M
        return metres

    def _draw_segmentation(self, camera_pose: CameraPose) -> npt.NDArray[np.int32]:
        flags = self._scene.flags
        kept = np.array(flags)
        flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = True
        flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = True
        # Painted shade is no object and would hide the ground under it.
        kept_groups = np.array(self._option.geomgroup)
        self._option.geomgroup[2] = 0
        mujoco.mjv_updateScene(
            self._model, self._data, self._option, None, self._view, mujoco.mjtCatBit.mjCAT_ALL.value, self._scene
        )
        # Updating the scene put the eyes, frustum included, back to MuJoCo's own camera.
        self._aim(camera_pose)
        codes = np.empty((self.height_px, self.width_px, 3), np.uint8)
        mujoco.mjr_render(self._rectangle, self._scene, self._context)
        mujoco.mjr_readPixels(codes, None, self._rectangle, self._context)
        flags[:] = kept
        self._option.geomgroup[:] = kept_groups
        object_of_code = np.full(self._scene.ngeom + 1, -1, np.int32)
        for geom in self._scene.geoms[: self._scene.ngeom]:
            if geom.segid >= 0 and geom.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                object_of_code[geom.segid + 1] = self._object_of_geom[geom.objid]
        code = codes.astype(np.int32) @ np.array([1, 1 << 8, 1 << 16], np.int32)
        return object_of_code[code[::-1]]

    def close(self) -> None:
        """Give the GL context back; on the thread that made it."""
        self._context.free()
        self._gl.free()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def ray_lengths(height_px: int, width_px: int, hfov_deg: float) -> npt.NDArray[np.float32]:
    """Length (H, W) of each pixel's ray per metre of planar depth, for square pixels."""
    per_px = math.tan(math.radians(hfov_deg) / 2) * 2 / width_px
    across = (np.arange(width_px) + 0.5 - width_px / 2) * per_px
    down = (np.arange(height_px) + 0.5 - height_px / 2) * per_px
    lengths: npt.NDArray[np.float32] = np.sqrt(1 + across[None, :] ** 2 + down[:, None] ** 2).astype(np.float32)
    return lengths


def _gl_context(width_px: int, height_px: int) -> Any:
    try:
        context = mujoco.GLContext(width_px, height_px)
        context.make_current()
    except (AttributeError, ImportError, RuntimeError, OSError) as error:
        raise NoGraphics(
            f"{error}; run: apt-get install -y --no-install-recommends libegl1 libgl1", backend=os.environ["MUJOCO_GL"]
        ) from error
    return context


def _render_context(model: Any, width_px: int, height_px: int, samples: int) -> Any:
    kept = model.vis.quality.offsamples, model.vis.global_.offwidth, model.vis.global_.offheight
    # The renderer reads its buffer's size and smoothing from the model, once, here.
    model.vis.quality.offsamples, model.vis.global_.offwidth, model.vis.global_.offheight = samples, width_px, height_px
    context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_50.value)
    model.vis.quality.offsamples, model.vis.global_.offwidth, model.vis.global_.offheight = kept
    mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, context)
    context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
    return context
