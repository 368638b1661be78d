"""airfield as Cosys-AirSim, several vehicles, what can be spawned, sensors and attitude, over a real socket.

python -m pytest tests/rpc/airfield/test_airfield_dialects.py -q
"""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stillwing_airfield.dialects import Dialect
from stillwing_airfield.fleet import CameraPlan, DistanceSensor, Fleet, VehiclePlan
from stillwing_airfield.mounts import DEFAULT_MOUNTS, Mount, turned
from stillwing_airfield.rendering import Optics
from stillwing_airfield.server import serving
from stillwing_airfield.sim import Airfield

SCENE, DEPTH, SEGMENTATION = 0, 1, 5
YAW = {"is_rate": True, "yaw_or_rate": 0.0}
_DOWN = DistanceSensor(Mount((0.0, 0.0, 0.0), turned(pitch_deg=-90)), 0.2, 40.0)
FLEET = Fleet(
    vehicles=(
        VehiclePlan("Alpha", (0.0, 0.0, 0.0), distance_sensors={"Below": _DOWN}),
        VehiclePlan(
            "Beta",
            (1.0, 2.0, 0.0),
            turned(yaw_deg=90),
            cameras={
                **{name: CameraPlan(mount) for name, mount in DEFAULT_MOUNTS.items()},
                "mast": CameraPlan(Mount((0.0, 0.0, -1.0)), {SCENE: Optics(64, 48), DEPTH: Optics(32, 24, 60)}),
            },
        ),
    ),
    # Nothing here is about real time, and taking off takes five seconds of it.
    clock_speed=6.0,
)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving(Airfield.of("meadow", 7, Optics(160, 120), FLEET), dialect=Dialect.COSYS) as bound:
        yield bound


def wanted(kind: int, camera: str = "0", as_float: bool = False, compress: bool = False) -> dict[str, Any]:
    return {"camera_name": camera, "image_type": kind, "pixels_as_float": as_float, "compress": compress}


def error_of(client: Any, method: str, *params: Any) -> str:
    with pytest.raises(Exception, match="rpclib") as caught:
        client(method, *params)
    return str(caught.value)


def take_off(client: Any, vehicle: str) -> None:
    client("enableApiControl", True, vehicle)
    assert client("armDisarm", True, vehicle) is True
    assert client("takeoff", 20.0, vehicle) is True


# The dialect


def test_it_greets_as_cosys_airsim(client: Any) -> None:
    assert client("getServerVersion") == 4
    assert client("getMinRequiredClientVersion") == 4


def test_camera_calls_have_cosys_parameters(client: Any) -> None:
    expected = "Expected: 2, got: 3"
    assert expected in error_of(client, "simGetImages", [wanted(SCENE)], "", False)
    assert len(client("simGetImage", "0", SCENE, "", "")) > 100
    assert "std::bad_cast" in error_of(client, "simGetImage", "0", SCENE, "", False)
    assert client("simGetCameraInfo", "0", "")["fov"] == 90
    client("simSetCameraFov", "0", 70.0, "")
    assert client("simGetCameraInfo", "0", "")["fov"] == 70
    client("simSetCameraPose", "0", {"position": {"z_val": -0.5}}, "")
    assert client("simGetObjectPose", "tree_0", True)["position"]["z_val"] == 0
    assert "got: 1" in error_of(client, "simGetObjectPose", "tree_0")


def test_raw_pixels_are_red_first_and_answers_name_the_annotation(client: Any, tmp_path: Any) -> None:
    raw, png = client("simGetImages", [wanted(SCENE), wanted(SCENE, compress=True)], "")
    (tmp_path / "a.png").write_bytes(png["image_data_uint8"])
    rgb = np.asarray(Image.open(tmp_path / "a.png"))
    assert (np.frombuffer(raw["image_data_uint8"], np.uint8).reshape(rgb.shape) == rgb).all()
    assert raw["annotation_name"] == ""


# Several vehicles


def test_vehicles_are_called_by_name_each_in_its_own_frame(client: Any) -> None:
    assert client("listVehicles") == ["Alpha", "Beta"]
    take_off(client, "Beta")
    assert client("getMultirotorState", "Beta")["landed_state"] == 1
    assert client("getMultirotorState", "Alpha")["landed_state"] == 0
    assert client("getMultirotorState", "")["landed_state"] == 0
    beta = client("simGetVehiclePose", "Beta")["position"]
    assert (beta["x_val"], beta["y_val"], beta["z_val"]) == pytest.approx((0, 0, -2), abs=0.1)
    there = client("simGetObjectPose", "Beta", True)["position"]
    assert (there["x_val"], there["y_val"], there["z_val"]) == pytest.approx((1, 2, -2), abs=0.1)
    assert client("isApiControlEnabled", "Alpha") is False
    assert "Vehicle API for 'Gamma' is not available." in error_of(client, "takeoff", 1.0, "Gamma")
    assert "Vehicle Sim API for 'Gamma' is not available." in error_of(client, "simGetVehiclePose", "Gamma")


def test_one_vehicle_sees_another_and_a_motion_ends_only_its_own(client: Any) -> None:
    take_off(client, "Beta")
    take_off(client, "Alpha")
    alpha = client.send("moveByVelocity", 0.0, 0.0, 0.0, 60.0, 0, YAW, "Alpha")
    assert client("moveByVelocity", 0.0, 0.0, 0.0, 0.2, 0, YAW, "Beta") is True
    client("simSetVehiclePose", {"position": {"x_val": 0.5, "y_val": -2.0, "z_val": -2.0}}, True, "Beta")
    client("simSetVehiclePose", {"position": {"z_val": -2.0}}, True, "Alpha")
    (seen,) = client("simGetImages", [wanted(SEGMENTATION)], "Alpha")
    colours = np.frombuffer(seen["image_data_uint8"], np.uint8).reshape(-1, 3)
    client("simSetSegmentationObjectID", "Beta", 200, False)
    (again,) = client("simGetImages", [wanted(SEGMENTATION)], "Alpha")
    changed = (np.frombuffer(again["image_data_uint8"], np.uint8).reshape(-1, 3) != colours).any(axis=1)
    assert changed.sum() > 20, "Beta hovers 1.5 m ahead of Alpha"
    client("cancelLastTask", "Alpha")
    assert client.wait(alpha) is False


def test_a_camera_of_the_settings_has_its_own_place_and_sizes(client: Any) -> None:
    colour, depth = client("simGetImages", [wanted(SCENE, "mast"), wanted(DEPTH, "mast", as_float=True)], "Beta")
    assert (colour["width"], colour["height"]) == (64, 48)
    assert (depth["width"], depth["height"], len(depth["image_data_float"])) == (32, 24, 32 * 24)
    assert colour["time_stamp"] == depth["time_stamp"]
    assert colour["camera_position"]["z_val"] == pytest.approx(-1, abs=0.05)
    assert "mast" in error_of(client, "simGetImages", [wanted(SCENE, "mast")], "Alpha")


def test_vehicles_that_meet_collide(client: Any) -> None:
    take_off(client, "Beta")
    take_off(client, "Alpha")
    client("simSetVehiclePose", {"position": {"x_val": 0.5, "y_val": -2.0, "z_val": -2.0}}, True, "Beta")
    client("simSetVehiclePose", {"position": {"z_val": -2.0}}, True, "Alpha")
    client("simGetCollisionInfo", "Alpha")
    client("moveByVelocity", 2.0, 0.0, 0.0, 2.0, 0, YAW, "Alpha")
    assert client("simGetCollisionInfo", "Alpha")["object_name"] == "Beta"
    assert client("simGetCollisionInfo", "Beta")["object_name"] == "Alpha"


# Sensors, wind, time


def test_the_distance_sensor_measures_to_what_is_below(client: Any) -> None:
    take_off(client, "Alpha")
    reading = client("getDistanceSensorData", "Below", "Alpha")
    height_m = -client("simGetVehiclePose", "Alpha")["position"]["z_val"]
    assert reading["distance"] == pytest.approx(height_m, abs=0.1)
    assert (reading["min_distance"], reading["max_distance"]) == pytest.approx((0.2, 40.0))
    assert client("getDistanceSensorData", "", "Alpha")["distance"] == pytest.approx(height_m, abs=0.1)
    client("simSetDistanceSensorPose", "Below", {"orientation": {"w_val": 1.0}, "position": {"z_val": -30.0}}, "Alpha")
    assert client("getDistanceSensorData", "Below", "Alpha")["distance"] == pytest.approx(40.0)
    assert "No distance sensor with name Below" in error_of(client, "getDistanceSensorData", "Below", "Beta")
    assert "No lidar with name L" in error_of(client, "getLidarData", "L", "Beta")


def test_the_compass_turns_with_the_vehicle(client: Any) -> None:
    beta = client("getMagnetometerData", "", "Beta")["magnetic_field_body"]
    assert beta["y_val"] == pytest.approx(-0.19, abs=0.01), "facing east, north is to the left"
    assert "No magnetometer with name M" in error_of(client, "getMagnetometerData", "M", "Beta")


def test_wind_pushes_what_does_not_hold_against_it(client: Any) -> None:
    take_off(client, "Alpha")
    client("simSetWind", {"x_val": 12.0, "y_val": 0.0, "z_val": 0.0})
    before = client("simGetVehiclePose", "Alpha")["position"]["x_val"]
    assert client("moveByRollPitchYawZ", 0.0, 0.0, 0.0, -2.0, 2.0, "Alpha") is True
    assert client("simGetVehiclePose", "Alpha")["position"]["x_val"] > before + 1
    held = client("simGetVehiclePose", "Alpha")["position"]["x_val"]
    client("simContinueForTime", 4.0)
    drift_m = client("simGetVehiclePose", "Alpha")["position"]["x_val"] - held
    client("simContinueForTime", 2.0)
    settled = client("simGetVehiclePose", "Alpha")["position"]["x_val"] - held - drift_m
    assert abs(settled) < 0.05, "it holds in the wind"
    client("simPause", False)
    assert "at most" in error_of(client, "simSetWind", {"x_val": 100.0})
    client("reset")
    take_off(client, "Alpha")
    assert abs(client("simGetVehiclePose", "Alpha")["position"]["x_val"]) < 0.05


def test_frames_can_be_counted_instead_of_seconds(client: Any) -> None:
    client("simPause", True)
    before = client("getMultirotorState", "")["timestamp"]
    client("simContinueForFrames", 10)
    assert client("simIsPaused") is True
    assert client("getMultirotorState", "")["timestamp"] - before == 200_000_000
    assert "std::bad_cast" in error_of(client, "simContinueForFrames", -1)


# Attitude, kinematics, rotors


@pytest.mark.parametrize(
    ("call", "params", "axis", "sign"),
    [
        ("moveByRollPitchYawZ", (0.15, 0.0, 0.0, -2.0), "y_val", 1),
        ("moveByRollPitchYawZ", (0.0, -0.15, 0.0, -2.0), "x_val", 1),
        ("moveByRollPitchYawrateZ", (0.0, 0.15, 0.0, -2.0), "x_val", -1),
        ("moveByRollPitchYawThrottle", (-0.15, 0.0, 0.0, 0.6), "y_val", -1),
        ("moveByRollPitchYawrateThrottle", (0.0, 0.0, 0.0, 0.75), "z_val", -1),
        ("moveByAngleRatesZ", (0.0, -0.15, 0.0, -2.0), "x_val", 1),
        ("moveByAngleRatesThrottle", (0.15, 0.0, 0.0, 0.6), "y_val", 1),
    ],
)
def test_attitude_goals_move_it_where_they_tilt_it(
    client: Any, call: str, params: tuple[float, ...], axis: str, sign: int
) -> None:
    take_off(client, "Alpha")
    client("simSetVehiclePose", {"position": {"z_val": -2.0}, "orientation": {"w_val": 1.0}}, True, "Alpha")
    client("simPause", True)
    motion = client.send(call, *params, 60.0, "Alpha")
    client("simContinueForTime", 1.0)
    velocity = client("simGetGroundTruthKinematics", "Alpha")["linear_velocity"]
    assert sign * velocity[axis] > 0.3
    assert all(abs(velocity[other]) < 0.4 * abs(velocity[axis]) + 0.15 for other in velocity if other != axis)
    client("cancelLastTask", "Alpha")
    assert client.wait(motion) is False


def test_rotors_carry_the_weight(client: Any) -> None:
    assert sum(rotor["thrust"] for rotor in client("getRotorStates", "Alpha")["rotors"]) == 0
    take_off(client, "Alpha")
    client("simContinueForTime", 1.0)
    rotors = client("getRotorStates", "Alpha")["rotors"]
    assert len(rotors) == 4
    assert sum(rotor["thrust"] for rotor in rotors) == pytest.approx(9.81, rel=0.02)


def test_kinematics_can_be_set(client: Any) -> None:
    take_off(client, "Alpha")
    client("simPause", True)
    state = {
        "position": {"x_val": 1.0, "y_val": 1.0, "z_val": -4.0},
        "orientation": {"w_val": 1.0},
        "linear_velocity": {"x_val": 2.0},
    }
    client("simSetKinematics", state, True, "Alpha")
    found = client("simGetGroundTruthKinematics", "Alpha")
    assert found["position"]["z_val"] == pytest.approx(-4)
    assert found["linear_velocity"]["x_val"] == pytest.approx(2)
    assert "finite" in error_of(client, "simSetKinematics", {"position": {"x_val": math.nan}}, True, "")


def test_a_point_on_the_earth_can_be_flown_to(client: Any) -> None:
    take_off(client, "Alpha")
    home = client("getHomeGeoPoint", "Alpha")
    north_m = math.radians(1) * 6378137.0
    target = (home["latitude"] + 2.5 / north_m, home["longitude"], home["altitude"] + 2.0)
    assert client("moveToGPS", *target, 1.0, 20.0, 0, YAW, -1.0, 1.0, "Alpha") is True
    assert client("simGetVehiclePose", "Alpha")["position"]["x_val"] == pytest.approx(2.5, abs=0.5)


# What is spawned


def test_what_is_spawned_is_seen_felt_moved_and_destroyed(client: Any) -> None:
    take_off(client, "Alpha")
    client("simSetVehiclePose", {"position": {"z_val": -2.0}, "orientation": {"w_val": 1.0}}, True, "Alpha")
    assert client("simListAssets") == ["Cube", "Cylinder", "Sphere"]
    pose = {"position": {"x_val": 4.0, "y_val": 0.0, "z_val": -2.0}}
    scale = {"x_val": 1.0, "y_val": 2.0, "z_val": 1.0}
    for asset in ("Cube", "Cylinder", "Sphere"):
        name = client("simSpawnObject", "Thing", asset, pose, scale, False, False)
        assert name == "Thing"
        assert client("simListSceneObjects", "Thing.*") == ["Thing"]
        assert client("simGetObjectScale", "Thing")["y_val"] == 2
        (depth,) = client("simGetImages", [wanted(DEPTH, as_float=True)], "Alpha")
        middle = np.array(depth["image_data_float"]).reshape(120, 160)[60, 80]
        assert middle == pytest.approx(3.25, abs=0.15)
        assert client("simSetObjectPose", "Thing", {"position": {"x_val": 6.0, "z_val": -2.0}}, True) is True
        assert client("simGetObjectPose", "Thing", True)["position"]["x_val"] == 6
        assert client("simDestroyObject", "Thing") is True
    assert client("simDestroyObject", "Thing") is False
    assert math.isnan(client("simGetObjectPose", "Thing", True)["position"]["x_val"])
    client("simSpawnObject", "", "Cube", pose, scale, False, False)
    client("simGetCollisionInfo", "Alpha")
    client("moveByVelocityZ", 2.0, 0.0, -2.0, 3.0, 0, YAW, "Alpha")
    assert client("simGetCollisionInfo", "Alpha")["object_name"] == "Cube"
    client("reset")
    assert client("simListSceneObjects", "Cube") == []


def test_what_cannot_be_spawned_is_told(client: Any) -> None:
    place, size = {"position": {}}, {"x_val": 1.0, "y_val": 1.0, "z_val": 1.0}
    assert "no objects with name House" in error_of(client, "simSpawnObject", "h", "House", place, size, False, False)
    assert "without physics" in error_of(client, "simSpawnObject", "h", "Cube", place, size, True, False)
    assert "above 0" in error_of(client, "simSpawnObject", "h", "Cube", place, {"x_val": 1.0}, False, False)
    names = [client("simSpawnObject", "h", "Cube", place, size, False, False) for _ in range(8)]
    assert len(set(names)) == 8
    assert "destroy one first" in error_of(client, "simSpawnObject", "h", "Cube", place, size, False, False)
    assert client("simSetObjectPose", "tree_0", place, True) is False


@pytest.fixture
def client(connect: Callable[[], Any]) -> Any:
    fresh = connect()
    fresh("simPause", False)
    fresh("reset")
    time.sleep(0.02)
    return fresh
