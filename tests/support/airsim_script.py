"""A simulator that answers as AirSim's does, for a `ScriptedServer`: faults to switch on, and nothing that flies."""

import time
from typing import Any

from bridge_toys import ScriptedServer

ZERO = {"x_val": 0.0, "y_val": 0.0, "z_val": 0.0}
LEVEL = {"w_val": 1.0, "x_val": 0.0, "y_val": 0.0, "z_val": 0.0}


class Script:
    """A simulator that answers like AirSim's, with faults to switch on."""

    def __init__(self) -> None:
        self.version = 1
        self.pose: Any = {"position": ZERO, "orientation": LEVEL}
        self.time_ns = 5_000_000_000
        self.down = -2.0
        self.speed = 0.0
        self.landed = 1
        self.api = True
        self.collision = {"has_collided": False, "object_name": ""}
        self.image_fault = ""
        self.image_delay_s = 0.0
        self.silent_reads = 0

    def __call__(self, method: str, params: list[Any]) -> Any:
        match method:
            case "getServerVersion":
                return self.version
            case "simGetVehiclePose":
                return self.pose
            case "enableApiControl":
                self.api = params[0]
                return None
            case "isApiControlEnabled":
                return self.api
            case "armDisarm" | "hover" | "takeoff" | "moveByVelocityBodyFrame" | "moveByVelocity":
                return True
            case "cancelLastTask":
                return None
            case "getMultirotorState" if self.silent_reads > 0:
                self.silent_reads -= 1
                return ScriptedServer.SILENCE
            case "getMultirotorState":
                return {
                    "kinematics_estimated": {
                        "position": ZERO | {"z_val": self.down},
                        "orientation": LEVEL,
                        "linear_velocity": ZERO | {"x_val": self.speed},
                    },
                    "timestamp": self.time_ns,
                    "landed_state": self.landed,
                }
            case "simGetCollisionInfo":
                collision, self.collision = self.collision, {"has_collided": False, "object_name": ""}
                return collision
            case "simGetCameraInfo":
                return {"fov": 90.0}
            case "simGetImages":
                if self.image_delay_s:
                    time.sleep(self.image_delay_s)
                return [self.image(request) for request in params[0]]
        raise RuntimeError(f"rpclib: server could not find function '{method}' with argument count {len(params)}.")

    def image(self, request: dict[str, Any]) -> dict[str, Any]:
        width, height = (0, 0) if self.image_fault == "empty" else (4, 3)
        cut = 1 if self.image_fault == "short" else 0
        as_float = request["pixels_as_float"]
        return {
            "image_data_uint8": b"" if as_float else bytes(range(36))[cut:],
            "image_data_float": [float(i) for i in range(12)][cut:] if as_float else [],
            "camera_position": ZERO,
            "camera_orientation": LEVEL,
            "time_stamp": self.time_ns,
            "message": "camera is not ready" if self.image_fault == "empty" else "",
            "width": width,
            "height": height,
        }
