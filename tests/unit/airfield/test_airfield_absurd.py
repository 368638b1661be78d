"""Whatever numbers a client sends, physics goes on and every vehicle's state stays finite.

python -m pytest tests/unit/airfield/test_airfield_absurd.py -q
"""

import math
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stillwing_airfield.methods import Methods, Refused
from stillwing_airfield.rendering import Optics
from stillwing_airfield.sim import Airfield
from stillwing_airfield.wire import Request

ODD = st.floats() | st.floats(-20, 20) | st.sampled_from([0.0, 1e-320, 1e6, -1e6, 3.4e38, 1.7e308, -1.7e308])
VECTOR = st.fixed_dictionaries({"x_val": ODD, "y_val": ODD, "z_val": ODD})
TURN = st.fixed_dictionaries({"w_val": ODD, "x_val": ODD, "y_val": ODD, "z_val": ODD})
POSE = st.fixed_dictionaries({"position": VECTOR, "orientation": TURN})
YAW = st.fixed_dictionaries({"is_rate": st.booleans(), "yaw_or_rate": ODD})
KINEMATICS = st.fixed_dictionaries(
    {"position": VECTOR, "orientation": TURN, "linear_velocity": VECTOR, "angular_velocity": VECTOR}
)
NAME, DRIVE = st.just(""), st.sampled_from([0, 1])
CALLS: dict[str, tuple[st.SearchStrategy[Any], ...]] = {
    "simSetVehiclePose": (POSE, st.just(True), NAME),
    "simSetKinematics": (KINEMATICS, st.just(True), NAME),
    "simSetWind": (VECTOR,),
    "simSetCameraPose": (st.just("0"), POSE, NAME, st.just(False)),
    "simSpawnObject": (st.just("t"), st.sampled_from(["Cube", "Sphere"]), POSE, VECTOR, st.just(False), st.just(False)),
    "moveByVelocity": (ODD, ODD, ODD, ODD, DRIVE, YAW, NAME),
    "moveByVelocityZ": (ODD, ODD, ODD, ODD, DRIVE, YAW, NAME),
    "moveToPosition": (ODD, ODD, ODD, ODD, ODD, DRIVE, YAW, ODD, ODD, NAME),
    "moveOnPath": (st.lists(VECTOR, max_size=4), ODD, ODD, DRIVE, YAW, ODD, ODD, NAME),
    "moveToGPS": (ODD, ODD, ODD, ODD, ODD, DRIVE, YAW, ODD, ODD, NAME),
    "rotateToYaw": (ODD, ODD, ODD, NAME),
    "rotateByYawRate": (ODD, ODD, NAME),
    "moveByRollPitchYawZ": (ODD, ODD, ODD, ODD, ODD, NAME),
    "moveByAngleRatesThrottle": (ODD, ODD, ODD, ODD, ODD, NAME),
    "takeoff": (ODD, NAME),
    "simTestLineOfSightToPoint": (
        st.fixed_dictionaries({"latitude": ODD, "longitude": ODD, "altitude": ODD}),
        NAME,
    ),
}
ANY_CALL = st.sampled_from(sorted(CALLS)).flatmap(lambda name: st.tuples(st.just(name), st.tuples(*CALLS[name])))


@pytest.fixture(scope="module")
def methods() -> Iterator[tuple[Airfield, Methods]]:
    with Airfield.of("meadow", 7, Optics(32, 24)) as airfield:
        made = Methods(airfield)
        yield airfield, made
        made.close()


@given(calls=st.lists(ANY_CALL, min_size=1, max_size=6))
@example(calls=[("simTestLineOfSightToPoint", ({"latitude": 0.0, "longitude": 0.0, "altitude": 1.4e154}, ""))])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_number_ends_the_physics(
    methods: tuple[Airfield, Methods], calls: list[tuple[str, tuple[Any, ...]]]
) -> None:
    airfield, table = methods
    airfield.reset()
    airfield.do(lambda v: v.autopilot.enable_api_control(True))
    airfield.do(lambda v: v.autopilot.arm(True))
    for count, (name, params) in enumerate(calls, 1):
        with suppress(Refused):
            table.call(Request(1, name, list(params)))
        airfield.advance(0.1)
        state = airfield.do(lambda v: v.state())
        numbers = (*state.position_ned_m, *state.velocity_ned_m_s, *state.orientation_wxyz, *state.rates_body_rad_s)
        assert all(map(math.isfinite, numbers)), (name, params)
        # MuJoCo starts over in silence when its numbers blow up, and its own clock then shows it.
        assert airfield._world.time_s == pytest.approx(0.1 * count)


def test_a_path_of_a_million_points_is_refused(methods: tuple[Airfield, Methods]) -> None:
    _, table = methods
    points = [{"x_val": 1.0}] * 10_001
    with pytest.raises(Refused, match="at most 10000 points"):
        table.call(Request(1, "moveOnPath", [points, 1.0, 1.0, 0, {}, -1.0, 1.0, ""]))
