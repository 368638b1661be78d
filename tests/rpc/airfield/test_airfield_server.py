"""airfield over a real socket: strictness, parallel answers, preemption, pause, images, collisions, bad bytes.

python -m pytest tests/rpc/airfield/test_airfield_server.py -q
"""

import io
import json
import math
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgpack
import numpy as np
import pytest
from PIL import Image

from stillwing_airfield.palette import PALETTE
from stillwing_airfield.server import serving
from stillwing_airfield.sim import Airfield
from stillwing_common.errors import PortInUse

YAW = {"is_rate": True, "yaw_or_rate": 0.0}
SCENE, DEPTH, SEGMENTATION = 0, 1, 5


def wanted(kind: int, as_float: bool = False, compress: bool = False, camera: str = "0") -> dict[str, Any]:
    return {"camera_name": camera, "image_type": kind, "pixels_as_float": as_float, "compress": compress}


def position(client: Any) -> tuple[float, float, float]:
    found = client("simGetVehiclePose", "")["position"]
    return found["x_val"], found["y_val"], found["z_val"]


def error_of(client: Any, method: str, *params: Any) -> str:
    with pytest.raises(Exception, match="rpclib") as caught:
        client(method, *params)
    return str(caught.value)


def test_greeting(client: Any) -> None:
    assert client("ping") is True
    assert client("getServerVersion") == 1
    assert client("getMinRequiredClientVersion") == 1
    assert client("listVehicles") == ["SimpleFlight"]
    assert json.loads(client("getSettingsString"))["SimMode"] == "Multirotor"


def test_unknown_calls_arity_and_types_have_the_real_errors(client: Any) -> None:
    assert error_of(client, "simFly", 1) == "rpclib: server could not find function 'simFly' with argument count 1."
    assert (
        error_of(client, "simGetImages", [], "")
        == "rpclib: Function 'simGetImages' was called with an invalid number of arguments. Expected: 3, got: 2"
    )
    assert error_of(client, "simGetImage", "0", 0.0, "", False) == (
        "rpclib: function 'simGetImage' (called with 4 arg(s)) threw an exception. "
        "The exception contained this information: std::bad_cast."
    )
    assert "Vehicle API for 'Drone9' is not available." in error_of(client, "armDisarm", True, "Drone9")
    assert "No distance sensor with name D exist on vehicle" in error_of(client, "getDistanceSensorData", "D", "")
    assert client("ping") is True


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("moveByVelocity", [math.nan, 0, 0, 1.0, 0, YAW, ""]),
        ("moveByVelocity", [0, 0, math.inf, 1.0, 0, YAW, ""]),
        ("moveToPosition", [0, 0, math.nan, 1.0, 1.0, 0, YAW, -1, 1, ""]),
        ("moveOnPath", [[{"x_val": math.nan}], 1.0, 1.0, 0, YAW, -1, 1, ""]),
        ("takeoff", [math.nan, ""]),
        ("simSetVehiclePose", [{"orientation": {"w_val": 0}}, True, ""]),
        ("simSetCameraPose", ["0", {"position": {"x_val": math.inf}}, "", False]),
    ],
)
def test_numbers_that_cannot_be_flown_are_refused(flying_or_not: Any, method: str, params: list[Any]) -> None:
    assert "threw an exception" in error_of(flying_or_not, method, *params)
    assert all(map(math.isfinite, position(flying_or_not)))


@pytest.fixture
def flying_or_not(client: Any) -> Any:
    client("enableApiControl", True, "")
    client("armDisarm", True, "")
    return client


def test_answers_come_as_they_are_ready(flying: Any) -> None:
    motion = flying.send("moveByVelocity", 0.0, 0.0, 0.0, 3.0, 0, YAW, "")
    images = flying.send("simGetImages", [wanted(SCENE)], "", False)
    pings = [flying.send("ping") for _ in range(20)]
    for message_id in (motion, images, *pings):
        flying.wait(message_id)
    assert flying.order[-1] == motion
    assert flying.order.index(pings[0]) < flying.order.index(images)


def test_a_new_motion_from_another_connection_ends_the_old_with_false(flying: Any, connect: Callable[[], Any]) -> None:
    first = flying.send("moveByVelocity", 0.2, 0.0, 0.0, 60.0, 0, YAW, "")
    flying("ping")
    other = connect()
    assert other("hover", "") is True
    assert flying.wait(first) is False


def test_a_motion_outlives_its_connection(flying: Any, connect: Callable[[], Any]) -> None:
    gone = connect()
    gone.send("moveByVelocity", 0.0, 0.0, -1.0, 60.0, 0, YAW, "")
    gone("ping")
    gone.close()
    before = position(flying)[2]
    time.sleep(1.0)
    assert position(flying)[2] < before - 0.3
    flying("cancelLastTask", "")


def test_pause_freezes_state_and_motions_but_not_images(flying: Any) -> None:
    motion = flying.send("moveByVelocity", 0.0, 0.0, -0.5, 0.6, 0, YAW, "")
    flying("simPause", True)
    assert flying("simIsPaused") is True
    before = flying("getMultirotorState", "")
    time.sleep(0.2)
    after = flying("getMultirotorState", "")
    assert after["timestamp"] == before["timestamp"]
    (taken,) = flying("simGetImages", [wanted(SCENE)], "", False)
    assert taken["time_stamp"] == before["timestamp"]
    flying("simContinueForTime", 0.1)
    assert flying("simIsPaused") is True
    assert flying("getMultirotorState", "")["timestamp"] == before["timestamp"] + 100_000_000
    flying("simPause", False)
    assert flying.wait(motion) is True


def test_images_of_one_call_are_of_one_instant(flying: Any) -> None:
    motion = flying.send("rotateByYawRate", 60.0, 3.0, "")
    request = [wanted(SCENE), wanted(SCENE, compress=True), wanted(DEPTH, as_float=True), wanted(SEGMENTATION)]
    raw, png, depth, segments = flying("simGetImages", request, "", False)
    flying("cancelLastTask", "")
    flying.wait(motion)
    assert {raw["width"], png["width"], depth["width"]} == {320}
    assert raw["time_stamp"] == png["time_stamp"] == depth["time_stamp"] == segments["time_stamp"]
    assert raw["camera_orientation"] == depth["camera_orientation"]
    bgr = np.frombuffer(raw["image_data_uint8"], np.uint8).reshape(240, 320, 3)
    assert (np.asarray(Image.open(io.BytesIO(png["image_data_uint8"]))) == bgr[..., ::-1]).all()
    metres = np.array(depth["image_data_float"], np.float32).reshape(240, 320)
    assert depth["image_data_uint8"] == b""
    assert raw["image_data_float"] == []
    coded = np.frombuffer(segments["image_data_uint8"], np.uint8).reshape(240, 320, 3)[..., ::-1]
    sky = (coded == PALETTE[0]).all(axis=-1)
    assert (metres[sky] == 65504).all()
    assert (metres[~sky] < 120).mean() > 0.9
    assert (metres.astype(np.float16).astype(np.float32) == metres).all()


def test_segmentation_ids_can_be_set_by_pattern(client: Any) -> None:
    assert client("simSetSegmentationObjectID", "ground", 42, False) is True
    assert client("simGetSegmentationObjectID", "ground") == 42
    assert client("simSetSegmentationObjectID", "TREE_.*", 7, True) is True
    assert client("simGetSegmentationObjectID", "tree_3") == 7
    assert client("simSetSegmentationObjectID", "house", 1, False) is False
    assert client("simGetSegmentationObjectID", "house") == -1
    (coded,) = client("simGetImages", [wanted(SEGMENTATION)], "", False)
    bgr = np.frombuffer(coded["image_data_uint8"], np.uint8).reshape(-1, 3)
    assert (bgr[:, ::-1] == PALETTE[42]).all(axis=1).mean() > 0.2


def test_cameras_can_be_moved_and_unknown_ones_are_errors(client: Any) -> None:
    assert client("simGetCameraInfo", "front_center", "", False)["fov"] == 90
    down = math.sqrt(0.5)
    turned = {"position": {"z_val": -5.0}, "orientation": {"w_val": down, "y_val": -down}}
    client("simSetCameraPose", "0", turned, "", False)
    (depth,) = client("simGetImages", [wanted(DEPTH, as_float=True)], "", False)
    assert np.median(depth["image_data_float"]) == pytest.approx(5, abs=0.1)
    client("reset")
    assert "threw an exception" in error_of(client, "simGetImages", [wanted(SCENE, camera="roof")], "", False)
    assert "is not drawn here" in error_of(client, "simGetImages", [wanted(7)], "", False)
    assert client("simGetImages", [], "", False) == []


def test_objects_and_line_of_sight(client: Any) -> None:
    beacons = client("simListSceneObjects", "beacon_.*")
    assert len(beacons) >= 2
    assert "threw an exception" in error_of(client, "simListSceneObjects", "(")
    tree = client("simGetObjectPose", "tree_0")["position"]
    assert math.isnan(client("simGetObjectPose", "house")["position"]["x_val"])
    beyond = [2 * tree["x_val"], 2 * tree["y_val"], -1.0]
    home = client("getHomeGeoPoint", "")
    client("simSetVehiclePose", {"position": {"x_val": 0, "y_val": 0, "z_val": -1}}, True, "")
    assert home["latitude"] == pytest.approx(47.641468, abs=1e-9)
    point = {
        "latitude": home["latitude"] + math.degrees(beyond[0] / 6378137.0),
        "longitude": home["longitude"]
        + math.degrees(beyond[1] / (6378137.0 * math.cos(math.radians(home["latitude"])))),
        "altitude": home["altitude"] + 1.0,
    }
    assert client("simTestLineOfSightToPoint", point, "") is False
    assert client("simTestLineOfSightToPoint", {**home, "altitude": home["altitude"] + 30}, "") is True
    above = {**home, "altitude": home["altitude"] + 1.0}
    assert client("simTestLineOfSightBetweenPoints", above, point) is False
    assert client("simTestLineOfSightBetweenPoints", above, {**point, "altitude": home["altitude"] + 60}) is True


def test_flying_into_a_tree_is_a_collision_until_it_is_read(flying: Any) -> None:
    tree = flying("simGetObjectPose", "tree_0")["position"]
    distance_m = math.hypot(tree["x_val"], tree["y_val"])
    share = (distance_m - 3) / distance_m
    flying(
        "simSetVehiclePose",
        {"position": {"x_val": tree["x_val"] * share, "y_val": tree["y_val"] * share, "z_val": -2}},
        True,
        "",
    )
    speed = [tree["x_val"] / distance_m * 3, tree["y_val"] / distance_m * 3]
    flying("moveByVelocityZ", *speed, -2.0, 2.5, 0, YAW, "")
    collision = flying("simGetCollisionInfo", "")
    assert collision["has_collided"] is True
    assert collision["object_name"] == "tree_0"
    assert collision["object_id"] == flying("simGetSegmentationObjectID", "tree_0")
    assert flying("simGetCollisionInfo", "")["has_collided"] is False


def test_sensors_agree_with_the_truth(flying: Any) -> None:
    flying("simPause", True)
    truth = flying("simGetGroundTruthKinematics", "")
    state = flying("getMultirotorState", "")
    imu = flying("getImuData", "", "")
    gps = flying("getGpsData", "", "")
    barometer = flying("getBarometerData", "", "")
    environment = flying("simGetGroundTruthEnvironment", "")
    flying("simPause", False)
    assert state["kinematics_estimated"] == truth
    assert state["landed_state"] == 1
    assert state["timestamp"] == imu["time_stamp"] == gps["time_stamp"]
    assert imu["orientation"] == truth["orientation"]
    assert imu["linear_acceleration"]["z_val"] == pytest.approx(-9.81, abs=0.3)
    assert gps["gnss"]["geo_point"] == state["gps_location"]
    assert barometer["altitude"] == pytest.approx(gps["gnss"]["geo_point"]["altitude"], abs=1e-3)
    assert barometer["pressure"] == pytest.approx(environment["air_pressure"], rel=1e-6)


def test_many_clients_at_once_each_get_their_own_answers(connect: Callable[[], Any], client: Any) -> None:
    wrong: list[str] = []

    def use(number: int) -> None:
        mine = connect()
        for _ in range(20):
            if mine("simGetSegmentationObjectID", f"tree_{number}") != client_ids[number]:
                wrong.append(f"tree_{number}")
            if len(mine("simGetImage", "0", SCENE, "", False)) < 100:
                wrong.append("image")

    client_ids = {number: client("simGetSegmentationObjectID", f"tree_{number}") for number in range(4)}
    threads = [threading.Thread(target=use, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1\r\n\r\n", b"\xc1\xc1", msgpack.packb([3, "x"]), b"\x91" * 5000])
def test_junk_ends_that_connection_alone(port: int, client: Any, junk: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as rude:
        rude.sendall(junk)
        with suppress(ConnectionResetError):
            assert rude.recv(10) == b""
    assert client("ping") is True


def test_a_client_that_does_not_read_is_not_read_from_for_ever(port: int, client: Any) -> None:
    request = msgpack.packb([0, 1, "simGetImages", [[wanted(SCENE)], "", False]])
    with socket.create_connection(("127.0.0.1", port), timeout=0.5) as greedy:
        greedy.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 14)
        with pytest.raises(TimeoutError):
            greedy.sendall(request * 1_000_000)
    assert client("ping") is True


def test_a_port_in_use_is_said_so(port: int) -> None:
    with pytest.raises(PortInUse, match=str(port)), serving(Airfield.of("meadow", 1), port=port):
        pass
