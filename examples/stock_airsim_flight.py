"""Fly with an AirSim client as its makers ship it: connect, take off, move, take images, land.

    python examples/stock_airsim_flight.py [--port 41451] [--client airsim]

Works against airfield and against AirSim: with `airsim` 1.8.1 against Microsoft's, with `cosysairsim` 3.5 against
Cosys-AirSim and `airfield --dialect cosys`; without --client it takes whichever is installed. To install one:
    pip install rpc-msgpack==0.6 "numpy<2" opencv-python-headless setuptools wheel
    pip install --no-build-isolation --no-deps airsim==1.8.1
or
    pip install cosysairsim==3.5.0 opencv-python-headless
Prints one line of JSON with what it saw; where something is not as it should be it says so and ends with 1.
"""

import argparse
import importlib
import json
import math
import sys

import cv2
import numpy as np


def client_library(name):
    """The named client, or the first that is installed."""
    for candidate in [name] if name else ["airsim", "cosysairsim"]:
        try:
            return importlib.import_module(candidate)
        except ImportError:
            if name:
                raise
    raise SystemExit("neither airsim nor cosysairsim can be imported; see the top of this file")


def finish(future):
    """Wait for a motion. The clients' own join() hides errors, so look at the future's."""
    future.join()
    if future._error:
        raise RuntimeError(future._error)
    return future._result


def heading_deg(orientation):
    """Clockwise from north."""
    w, x, y, z = orientation.w_val, orientation.x_val, orientation.y_val, orientation.z_val
    return math.degrees(math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))


def fly(airsim, port):
    """The flight; returns what was seen."""
    client = airsim.MultirotorClient(port=port, timeout_value=60)
    client.confirmConnection()
    client.reset()
    client.enableApiControl(True)
    seen = {"client": airsim.__name__, "version": client.getServerVersion(), "vehicles": client.listVehicles()}
    seen |= {"armed": client.armDisarm(True), "api_control": client.isApiControlEnabled()}

    seen["takeoff"] = finish(client.takeoffAsync(timeout_sec=20))
    client.simGetCollisionInfo()  # reading clears what taking off touched
    before = client.getMultirotorState()
    seen["flying"] = before.landed_state == airsim.LandedState.Flying
    seen["altitude_m"] = -before.kinematics_estimated.position.z_val

    seen["moved"] = finish(client.moveByVelocityBodyFrameAsync(0, 1, 0, 1.5))
    seen["turned"] = finish(client.rotateToYawAsync(90, timeout_sec=10, margin=3))
    after = client.getMultirotorState().kinematics_estimated
    seen["distance_m"] = after.position.distance_to(before.kinematics_estimated.position)
    seen["yaw_deg"] = heading_deg(after.orientation)
    seen["imu_g"] = -client.getImuData().linear_acceleration.z_val / 9.81
    seen["field_gauss"] = client.getMagnetometerData().magnetic_field_body.get_length()
    seen["gps_fix"] = client.getGpsData().gnss.fix_type
    seen["altitude_by_pressure_m"] = client.getBarometerData().altitude - client.getHomeGeoPoint().altitude

    seen |= look(airsim, client)

    client.simPause(True)
    frozen = client.getMultirotorState().timestamp
    client.simContinueForTime(0.5)
    seen["stepped_s"] = (client.getMultirotorState().timestamp - frozen) / 1e9
    client.simPause(False)

    finish(client.moveToZAsync(-0.3, 1, timeout_sec=20))
    seen["land"] = finish(client.landAsync(timeout_sec=60))
    seen["landed"] = client.getMultirotorState().landed_state == airsim.LandedState.Landed
    seen["touched"] = client.simGetCollisionInfo().object_name
    client.armDisarm(False)
    client.enableApiControl(False)
    return seen


def look(airsim, client):
    """Images of the front camera: as PNG, as raw bytes, as depth, all of one instant."""
    scene, depth, raw = client.simGetImages(
        [
            airsim.ImageRequest("0", airsim.ImageType.Scene),
            airsim.ImageRequest("0", airsim.ImageType.DepthPlanar, pixels_as_float=True, compress=False),
            airsim.ImageRequest("front_center", airsim.ImageType.Scene, False, False),
        ]
    )
    picture = cv2.imdecode(np.frombuffer(scene.image_data_uint8, np.uint8), cv2.IMREAD_COLOR)
    rows = np.frombuffer(raw.image_data_uint8, np.uint8).reshape(raw.height, raw.width, 3)
    metres = np.array(depth.image_data_float, dtype=np.float32).reshape(depth.height, depth.width)
    # OpenCV decodes to B,G,R; Cosys-AirSim's raw pixels are R,G,B.
    as_sent = picture[..., ::-1] if airsim.__name__ == "cosysairsim" else picture
    return {
        "image": list(picture.shape),
        "png_is_raw": bool((as_sent == rows).all()),
        "same_instant": scene.time_stamp == depth.time_stamp == raw.time_stamp,
        "depth": [list(metres.shape), float(metres.min()), float(metres.max())],
        "fov_deg": client.simGetCameraInfo("0").fov,
        "objects": client.simListSceneObjects(),
    }


def complaints(seen):
    """What a sound simulator would not have shown."""
    wanted = {
        "takes off": seen["takeoff"] and seen["flying"] and 1.0 < seen["altitude_m"] < 4.0,
        "arms under API control": seen["armed"] and seen["api_control"],
        "flies where it is told": seen["moved"] and 0.5 < seen["distance_m"] < 2.5,
        "turns to a heading": seen["turned"] and abs(seen["yaw_deg"] - 90) < 8,
        "feels gravity": 0.8 < seen["imu_g"] < 1.2,
        "has a compass and a GPS": 0.2 < seen["field_gauss"] < 0.8 and seen["gps_fix"] == 3,
        "sends pictures that agree": seen["png_is_raw"] and seen["same_instant"],
        "steps under pause": abs(seen["stepped_s"] - 0.5) < 0.1,
        "lands": seen["land"] and seen["landed"],
    }
    return [name for name, met in wanted.items() if not met]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--port", type=int, default=41451)
    options.add_argument("--client", choices=["airsim", "cosysairsim"])
    given = options.parse_args()
    seen = fly(client_library(given.client), given.port)
    print(json.dumps(seen))
    failed = complaints(seen)
    for name in failed:
        print(f"not so: the vehicle {name}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
