"""An empty field with one post, so that what a flight does is due to the flight alone."""

import pytest

from stillwing_airfield.scenes.base import SceneObject, SceneSpec, mjcf_document
from stillwing_airfield.vehicle import Vehicle
from stillwing_airfield.world import World

_BODIES = """
    <geom name="ground/plane" type="plane" size="0 0 1" friction="1 0.01 0.001"/>
    <body name="post" pos="5 0 0"><geom name="post/pole" type="cylinder" size="0.3 2" pos="0 0 2"/></body>
"""


@pytest.fixture(scope="session")
def field() -> SceneSpec:
    """Flat ground; a post of 0.3 m radius 5 m north."""
    return SceneSpec(
        name="field",
        seed=0,
        mjcf=mjcf_document(name="field", visual="", assets="", bodies=_BODIES),
        objects=(
            SceneObject("ground", "ground", None, (0.0, 0.0, 0.0), 0.0, 0.0),
            SceneObject("post", "post", None, (5.0, 0.0, 0.0), 0.3, 4.0),
        ),
        start_position_ned_m=(0.0, 0.0, 0.0),
        start_yaw_deg=0.0,
        goal_colour="",
        mission="",
    )


@pytest.fixture
def vehicle(field: SceneSpec) -> Vehicle:
    """On the ground, armed, under API control."""
    made = Vehicle(World(field))
    made.autopilot.enable_api_control(True)
    assert made.autopilot.arm(True)
    return made


@pytest.fixture
def hovering(vehicle: Vehicle) -> Vehicle:
    """Holding 2 m above the start after a takeoff."""
    from stillwing_airfield.flight.motions import takeoff

    answer = vehicle.tasks.start(takeoff(vehicle, 20))
    while not answer.done():
        vehicle.step()
    assert answer.result() is True
    for _ in range(200):
        vehicle.step()
    return vehicle
