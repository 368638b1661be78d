"""Recalled frames that lie: the same place and look, drawn in a scene whose sign has the other colour.

The control of every claim that recall helps: whoever follows what is recalled now turns the wrong way. It knows nothing
of engines or banks.
"""

import io
from dataclasses import replace

from PIL import Image as PilImage

from stillwing_airfield.camera import Camera, CameraPose
from stillwing_airfield.scenes.base import SceneSpec
from stillwing_airfield.scenes.maze import SIGN_SIDES
from stillwing_airfield.sim import Airfield
from stillwing_airfield.world import World
from stillwing_common.errors import InvalidInput
from stillwing_common.types import Frame, Image, ImageEncoding
from stillwing_training.pilot.config import JPEG_QUALITY


def with_other_sign(scene: SceneSpec) -> SceneSpec:
    """The same scene, its sign in the other colour. Raises InvalidInput for a scene without a sign."""
    signs = scene.of_kind("sign")
    if not signs:
        raise InvalidInput(f"{scene.name} has no sign that could lie; only a maze has", field="recall")
    sign = signs[0]
    (other,) = (colour for colour in SIGN_SIDES if colour != sign.colour)
    lines = scene.mjcf.split("\n")
    at = next(index for index, line in enumerate(lines) if f'name="{sign.name}/' in line)
    lines[at] = lines[at].replace(f'material="{sign.colour}"', f'material="{other}"')
    objects = tuple(replace(thing, colour=other) if thing is sign else thing for thing in scene.objects)
    return replace(scene, mjcf="\n".join(lines), objects=objects)


class WrongFrames:
    """Redraws frames of one airfield's camera; close it on the thread that made it."""

    def __init__(self, airfield: Airfield) -> None:
        self._world = World(with_other_sign(airfield.scene))
        optics = airfield.optics
        self._camera = Camera(self._world, optics.width_px, optics.height_px, optics.hfov_deg)

    def __call__(self, frame: Frame) -> Frame:
        """What `frame` would have shown. Raises InvalidInput for a frame that does not say where it was taken."""
        if frame.camera_pose is None:
            raise InvalidInput("a frame without a pose cannot be drawn again", field="camera_pose")
        position, orientation = frame.camera_pose.position, frame.camera_pose.orientation
        pose = CameraPose(
            (position.north_m, position.east_m, position.down_m),
            (orientation.w, orientation.x, orientation.y, orientation.z),
        )
        drawn = self._camera.render(self._world.copy_render_state(), pose)["scene"]
        buffer = io.BytesIO()
        PilImage.fromarray(drawn).save(buffer, "JPEG", quality=JPEG_QUALITY)
        rows, columns = drawn.shape[:2]
        return replace(frame, image=Image(ImageEncoding.JPEG, columns, rows, buffer.getvalue()))

    def close(self) -> None:
        """Give the GL context back."""
        self._camera.close()
