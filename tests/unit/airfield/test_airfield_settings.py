"""AirSim's settings.json into a fleet, its mistakes told by key; and the faults' specification.

python -m pytest tests/unit/airfield/test_airfield_settings.py -q
"""

import json
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwing_airfield.faults import ConnectionDropped, FaultPlan, Faults
from stillwing_airfield.flight import motions
from stillwing_airfield.rendering import Optics
from stillwing_airfield.settings_file import load_settings, parse_settings
from stillwing_airfield.sim import Airfield
from stillwing_common.errors import InvalidInput
from stillwing_common.types import Quaternion

OPTICS = Optics(320, 240)
FULL: dict[str, Any] = {
    "SeeDocsAt": "https://github.com/Microsoft/AirSim/blob/main/docs/settings.md",
    "SettingsVersion": 1.2,
    "SimMode": "Multirotor",
    "ViewMode": "NoDisplay",
    "ClockSpeed": 2.0,
    "LocalHostIp": "127.0.0.1",
    "ApiServerPort": 41452,
    "PhysicsEngineName": "FastPhysicsEngine",
    "Wind": {"X": 1, "Y": 0, "Z": 0},
    "OriginGeopoint": {"Latitude": 52.0, "Longitude": 13.0, "Altitude": 34.0},
    "CameraDefaults": {
        "CaptureSettings": [
            {"ImageType": 0, "Width": 640, "Height": 480, "FOV_Degrees": 80, "MotionBlurAmount": 0},
            {"ImageType": 1, "Width": 640, "Height": 480, "FOV_Degrees": 80},
        ]
    },
    "Vehicles": {
        "Drone1": {
            "VehicleType": "SimpleFlight",
            "AutoCreate": True,
            "X": 1,
            "Y": -2,
            "Z": 0,
            "Yaw": 90,
            "Cameras": {
                "belly": {"X": 0.1, "Y": 0, "Z": 0.0, "Pitch": -90, "Roll": 0, "Yaw": 0},
                "front_center": {"CaptureSettings": [{"ImageType": 0, "Width": 128, "Height": 96}]},
            },
            "Sensors": {
                "Below": {"SensorType": 5, "Enabled": True, "Pitch": -90, "MaxDistance": 12},
                "Imu2": {"SensorType": 2, "Enabled": True},
                "Scan": {"SensorType": 6, "Enabled": True, "NumberOfChannels": 16},
            },
        },
        "Drone2": {"VehicleType": "SimpleFlight"},
        "Drone3": {"VehicleType": "SimpleFlight", "AutoCreate": False},
    },
}


def test_what_users_write_is_read_and_the_rest_is_named() -> None:
    read = parse_settings(json.dumps(FULL), OPTICS)
    fleet = read.fleet
    assert (read.host, read.port) == ("127.0.0.1", 41452)
    assert (read.optics.width_px, read.optics.hfov_deg) == (640, 80)
    assert [vehicle.name for vehicle in fleet.vehicles] == ["Drone1", "Drone2"]
    first, second = fleet.placed()
    assert first.origin_ned_m == (1, -2, 0)
    assert first.orientation_wxyz is not None
    assert Quaternion(*first.orientation_wxyz).yaw_deg == pytest.approx(90)
    assert second.origin_ned_m == (0.0, 1.5, 0.0)
    assert (first.cameras["front_center"].optics[0].width_px, first.cameras["front_center"].optics[1].width_px) == (
        128,
        640,
    )
    assert first.cameras["belly"].mount.offset_body_m == (0.1, 0, 0)
    assert first.distance_sensors["Below"].max_m == 12
    assert fleet.wind_ned_m_s == (1, 0, 0)
    assert fleet.home.latitude_deg == 52
    assert fleet.clock_speed == 2
    assert read.unused == (
        "CameraDefaults.CaptureSettings[0].MotionBlurAmount",
        "PhysicsEngineName",
        "Vehicles.Drone1.Sensors.Scan (lidar)",
        "Vehicles.Drone1.Sensors.Scan.NumberOfChannels",
        "Vehicles.Drone3",
    )


def test_the_settings_are_what_flies() -> None:
    read = parse_settings(json.dumps(FULL), OPTICS)
    with Airfield.of("meadow", 7, read.optics, read.fleet) as airfield:
        for name in ("Drone1", "Drone2"):
            airfield.do(lambda v: v.autopilot.enable_api_control(True), name)
            airfield.do(lambda v: v.autopilot.arm(True), name)
        assert airfield.fly(lambda v: motions.takeoff(v, 20), vehicle="Drone1") is True
        one, two = (airfield.do(lambda v: v.state(), name) for name in ("Drone1", "Drone2"))
        assert one.position_ned_m == pytest.approx((0, 0, -2), abs=0.3)
        assert abs(two.position_ned_m[2]) < 0.01
        shot = airfield.capture("front_center", vehicle="Drone1")
        assert shot.images["scene"].shape == (96, 128, 3)
        below = airfield.do(lambda v: v.distance_m((0.0, 0.0, 0.0), (0.0, 0.0, 1.0), 12.0), "Drone1")
        assert below == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"SimMode": "Car"}, "SimMode is Multirotor here, not 'Car'"),
        ({"ClockSpeed": "fast"}, "ClockSpeed cannot be"),
        ({"ClockSpeed": 0}, "ClockSpeed is 0.01 to 100"),
        ({"Vehicles": []}, "Vehicles cannot be"),
        ({"Vehicles": {"A": {"VehicleType": "PX4Multirotor"}}}, "Vehicles.A.VehicleType is SimpleFlight here"),
        ({"Vehicles": {"A": {"X": True}}}, "Vehicles.A.X cannot be true"),
        ({"CameraDefaults": {"CaptureSettings": [{"Width": 5}]}}, r"CaptureSettings\[0\].Width is 16 to 1920"),
        ({"CameraDefaults": {"CaptureSettings": [4]}}, r"CaptureSettings\[0\] is no object"),
    ],
)
def test_mistakes_are_told_by_key(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        parse_settings(json.dumps({**FULL, **change}), OPTICS)


def test_what_is_no_settings_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no JSON"):
        parse_settings("{,}", OPTICS)
    with pytest.raises(InvalidInput, match="No such file"):
        load_settings(tmp_path / "none.json", OPTICS)
    (tmp_path / "a.json").write_text("\ufeff{}", encoding="utf-8")
    assert load_settings(tmp_path / "a.json", OPTICS).unused == ()


_KEYS = [*FULL, *FULL["Vehicles"]["Drone1"], "CaptureSettings", "Width", "SensorType"]
_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS) | st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(_JSON)
def test_no_file_breaks_the_reader(found: Any) -> None:
    try:
        read = parse_settings(json.dumps(found), OPTICS)
    except InvalidInput:
        return
    assert read.fleet.vehicles


# Faults


def test_a_specification_reads_back() -> None:
    plan = FaultPlan.parse("empty-images=3, hang-images=5,late-first-image,landed-late=1.5,drop-connection=100")
    assert plan == FaultPlan(3, 5, 1, 1.5, 100)
    assert FaultPlan.parse(str(plan)) == plan
    assert FaultPlan.parse("") == FaultPlan()
    assert str(FaultPlan()) == "none"


@pytest.mark.parametrize("text", ["smoke", "empty-images=x", "empty-images=-1", "hang-images=1.5", "landed-late=nan"])
def test_a_specification_that_means_nothing_names_the_faults(text: str) -> None:
    with pytest.raises(InvalidInput, match="empty-images=N, hang-images=N, late-first-image=N"):
        FaultPlan.parse(text)


def _image(number: int) -> "Future[Any]":
    done: Future[Any] = Future()
    done.set_result(number)
    return done


REQUEST = {"camera_name": "0", "image_type": 0, "pixels_as_float": False, "compress": False}


def test_images_are_spoilt_when_it_is_their_turn() -> None:
    faults = Faults(FaultPlan(empty_images=2, hang_images=3))
    answers = [faults.images("", [REQUEST], lambda: _image(1)) for _ in range(6)]
    assert [answer.result(0) for answer in (answers[0], answers[4])] == [1, 1]
    assert [answers[1][0]["width"], answers[3][0]["width"]] == [0, 0]
    assert not answers[2].done() and not answers[5].done()


def test_the_first_image_after_a_teleport_is_the_one_before_it() -> None:
    faults = Faults(FaultPlan(late_first_image=1))
    assert faults.images("", [REQUEST], lambda: _image(1)).result(0) == 1
    assert faults.images("", [REQUEST], lambda: _image(2)).result(0) == 2
    faults.moved("")
    assert faults.images("", [REQUEST], lambda: _image(3)) == 2
    assert faults.images("", [REQUEST], lambda: _image(4)).result(0) == 4


def test_landing_is_told_late() -> None:
    faults = Faults(FaultPlan(landed_late=2.0))
    told = [
        faults.landed("", landed, round(at_s * 1e9))
        for landed, at_s in [(True, 0), (False, 1), (False, 2.9), (False, 3)]
    ]
    assert told == [True, True, True, False]


def test_every_so_many_requests_the_connection_goes() -> None:
    faults = Faults(FaultPlan(drop_connection=3))
    faults.request()
    faults.request()
    with pytest.raises(ConnectionDropped, match="request 3"):
        faults.request()
