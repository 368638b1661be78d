"""python -m pytest tests/unit/lab/test_evaluate_reader.py -v

A reader of signs in the model's place: what it reads, and that what it knows is what the engine's memory shows it.
"""

import io

import numpy as np
import pytest
from PIL import Image as PilImage

from stillwing_airfield.camera import Camera
from stillwing_airfield.contact_sheet import level_pose
from stillwing_airfield.scenes.base import build_scene
from stillwing_airfield.world import World
from stillwing_common.errors import InvalidInput
from stillwing_common.types import Frame, Image, ImageEncoding, Stamp
from stillwing_lab.evaluate.jobs import Job, fly
from stillwing_lab.evaluate.reader import read_sign

SEED = 1_500_001
"""Its coin falls on the wrong side, so that whoever reaches the beacon has read the sign."""


def seen(camera: Camera, world: World, yaw_deg: float, ahead_m: float = 0.0) -> Frame:
    heading = np.radians(world.scene.of_kind("sign")[0].yaw_deg) if world.scene.of_kind("sign") else 0.0
    pose = level_pose((ahead_m * float(np.cos(heading)), ahead_m * float(np.sin(heading)), -2.0), yaw_deg=yaw_deg)
    buffer = io.BytesIO()
    PilImage.fromarray(camera.render(world.copy_render_state(), pose)["scene"]).save(buffer, "JPEG", quality=85)
    return Frame("f", "front", Stamp(0, "c"), None, Image(ImageEncoding.JPEG, 320, 240, buffer.getvalue()))


@pytest.mark.parametrize("seed", range(SEED, SEED + 6))
def test_a_sign_is_read_where_it_is_in_view_and_only_there(seed: int) -> None:
    world = World(build_scene("maze", seed))
    (sign,) = world.scene.of_kind("sign")
    with Camera(world, 320, 240) as camera:
        assert read_sign(seen(camera, world, sign.yaw_deg)) == sign.colour
        # The beacons round the corner, the sky and the walls are none.
        assert read_sign(seen(camera, world, sign.yaw_deg + 180)) is None
        assert read_sign(seen(camera, world, sign.yaw_deg, ahead_m=3.0)) is None


@pytest.mark.parametrize(
    ("memory", "recall", "reached"),
    [("bank", "pixels", True), ("window", "pixels", False), ("bank", "wrong", False)],
)
def test_the_reader_goes_where_the_engines_memory_sends_it(memory: str, recall: str, reached: bool) -> None:
    flown = fly(Job("reader", "maze,corridor_m=8", SEED, memory=memory, recall=recall, max_decisions=56))
    assert flown.end == "answered" and not flown.collided
    assert flown.success is reached
    assert (flown.recalls > 0) == (memory == "bank")


def test_there_is_nothing_to_read_in_a_meadow() -> None:
    with pytest.raises(InvalidInput, match="no sign to read"):
        fly(Job("reader", "meadow", SEED))
