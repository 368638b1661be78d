"""Fly with Microsoft's own `airsim` client, unchanged: connect, take off, move, take images, land.

    python examples/stock_airsim_flight.py [port]

Works against airfield and against AirSim. Needs an environment in which `airsim` 1.8.1 can be imported, e.g.
    pip install rpc-msgpack==0.6 "numpy<2" opencv-python-headless setuptools wheel
    pip install --no-build-isolation --no-deps airsim==1.8.1
Prints one line of JSON with what it saw.
"""

import json
import sys

import airsim
import cv2
import numpy as np


def finish(future):
    """Wait for a motion. The client's own join() hides errors, so look at the future's."""
    future.join()
    if future._error:
        raise RuntimeError(future._error)
    return future._result


def main() -> None:
    client = airsim.MultirotorClient(port=int(sys.argv[1]) if len(sys.argv) > 1 else 41451, timeout_value=60)
    client.confirmConnection()
    client.reset()
    client.enableApiControl(True)
    armed = client.armDisarm(True)
    seen = {"armed": armed, "api_control": client.isApiControlEnabled()}

    seen["takeoff"] = finish(client.takeoffAsync(timeout_sec=20))
    client.simGetCollisionInfo()  # reading clears what taking off touched
    before = client.getMultirotorState()
    seen["flying"] = before.landed_state == airsim.LandedState.Flying
    seen["altitude_m"] = -before.kinematics_estimated.position.z_val

    seen["moved"] = finish(client.moveByVelocityBodyFrameAsync(0, 1, 0, 1.5))
    seen["turned"] = finish(client.rotateToYawAsync(90, timeout_sec=10, margin=3))
    after = client.getMultirotorState().kinematics_estimated
    seen["distance_m"] = after.position.distance_to(before.kinematics_estimated.position)
    seen["yaw_deg"] = float(np.degrees(airsim.to_eularian_angles(after.orientation)[2]))

    scene, depth, raw = client.simGetImages(
        [
            airsim.ImageRequest("0", airsim.ImageType.Scene),
            airsim.ImageRequest("0", airsim.ImageType.DepthPlanar, pixels_as_float=True, compress=False),
            airsim.ImageRequest("front_center", airsim.ImageType.Scene, False, False),
        ]
    )
    bgr = cv2.imdecode(np.frombuffer(scene.image_data_uint8, np.uint8), cv2.IMREAD_COLOR)
    rows = np.frombuffer(raw.image_data_uint8, np.uint8).reshape(raw.height, raw.width, 3)
    metres = airsim.list_to_2d_float_array(depth.image_data_float, depth.width, depth.height)
    seen["image"] = list(bgr.shape)
    seen["png_is_raw"] = bool((bgr == rows).all())
    seen["same_instant"] = scene.time_stamp == depth.time_stamp == raw.time_stamp
    seen["depth"] = [list(metres.shape), float(metres.min()), float(metres.max())]
    seen["objects"] = client.simListSceneObjects()

    finish(client.moveToZAsync(-0.3, 1, timeout_sec=20))
    seen["land"] = finish(client.landAsync(timeout_sec=60))
    seen["landed"] = client.getMultirotorState().landed_state == airsim.LandedState.Landed
    seen["touched"] = client.simGetCollisionInfo().object_name
    client.armDisarm(False)
    client.enableApiControl(False)
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
