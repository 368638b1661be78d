"""A vehicle that is nowhere but here, and a scripted msgpack-rpc peer: for the bridge's tests, and nothing else.

`ToyVehicle` moves in straight lines at the speed it is told, in real time, and writes down when it moved.
"""

import asyncio
import contextlib
import math
import socket
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import msgpack
import numpy as np

from stillwing_bridge.core.bridge import BridgeSettings, LocalBridge
from stillwing_bridge.core.types import Camera, GroundTruth, Limits, WorldInfo
from stillwing_bridge.core.vehicle import (
    Capture,
    ClimbTo,
    Descend,
    FlyTo,
    FlyVelocity,
    Plan,
    TurnTo,
    VehicleSpec,
    VehicleState,
    View,
)
from stillwing_common.errors import LinkLost, UnknownObject
from stillwing_common.types import Pose, PositionNed, Quaternion, Stamp, VelocityNed

STEP_S = 0.01


class ToyVehicle:
    """See `core.vehicle.Vehicle`. `fail` names coroutines that raise `LinkLost`; `slow_capture_s` delays pictures.

    A hold waits for `may_hold`; the speed is gone `coast_s` after it.
    """

    def __init__(self) -> None:
        self.spec = VehicleSpec("drone", (Camera("front_center", 32, 24, 90.0, True),))
        self.position = [0.0, 0.0, 0.0]
        self.yaw_deg = 0.0
        self.speed = VelocityNed(0, 0, 0)
        self.armed = False
        self.wall_at_m = math.inf
        self.clock_id = "clk_1"
        self.started_s = time.monotonic()
        self.fail: set[str] = set()
        self.slow_capture_s = 0.0
        self.hit: str | None = None
        self.plans: list[Plan] = []
        self.holds = 0
        self.connects = 0
        self.closed = False
        self.controlled = True
        self.battery_fraction: float | None = None
        self.may_hold = asyncio.Event()
        self.may_hold.set()
        self.holding = asyncio.Event()
        self.kills = 0
        self.coast_s = 0.0

    def _check(self, what: str) -> None:
        if what in self.fail:
            raise LinkLost(f"{what} fails, as the test wants")

    @property
    def moving(self) -> bool:
        return self.speed.speed_m_s > 0

    async def connect(self) -> None:
        self.connects += 1
        self._check("connect")
        self.closed = False

    async def close(self) -> None:
        self.closed = True
        self.speed = VelocityNed(0, 0, 0)

    def _pose(self) -> Pose:
        return Pose(PositionNed(*self.position), Quaternion.from_yaw_deg(self.yaw_deg))

    def _stamp(self) -> Stamp:
        return Stamp(round((time.monotonic() - self.started_s) * 1e9), self.clock_id)

    def restart_clock(self) -> None:
        self.clock_id = f"clk_{int(self.clock_id[4:]) + 1}"
        self.started_s = time.monotonic()
        self.position = [0.0, 0.0, 0.0]
        self.armed = False

    async def state(self) -> VehicleState:
        self._check("state")
        if self.closed:
            raise LinkLost("not connected")
        hit, self.hit = self.hit, None
        flying = self.position[2] < -0.05
        return VehicleState(
            self._stamp(), self._pose(), self.speed, flying, self.armed, hit, self.controlled, self.battery_fraction
        )

    async def hold(self) -> None:
        self._check("hold")
        self.holding.set()
        await self.may_hold.wait()
        self.holds += 1
        asyncio.get_running_loop().call_later(self.coast_s, self._stand) if self.coast_s else self._stand()

    def _stand(self) -> None:
        self.speed = VelocityNed(0, 0, 0)

    async def kill(self) -> None:
        self._check("kill")
        self.kills += 1
        self.armed = False
        self.speed = VelocityNed(0, 0, 0)
        self.position[2] = 0.0

    async def fly(self, plan: Plan, ttl_s: float) -> None:
        self._check("fly")
        self.plans.append(plan)
        match plan:
            case ClimbTo(altitude_m):
                self.armed = True
                await self._towards(PositionNed(self.position[0], self.position[1], -altitude_m), 20.0)
            case Descend():
                await self._towards(PositionNed(self.position[0], self.position[1], 0.0), 20.0)
                self.armed = False
            case FlyTo(goal, speed_m_s, _):
                await self._towards(goal, speed_m_s)
            case TurnTo(yaw_deg):
                self.yaw_deg = yaw_deg
            case FlyVelocity(forward, right, down, _):
                north, east, south = Quaternion.from_yaw_deg(self.yaw_deg).rotate(forward, right, down)
                while True:
                    self.speed = VelocityNed(north, east, south)
                    await self._step()

    async def _towards(self, goal: PositionNed, speed_m_s: float) -> None:
        while (left_m := PositionNed(*self.position).distance_m(goal)) > speed_m_s * STEP_S:
            scale = speed_m_s / left_m
            self.speed = VelocityNed(
                (goal.north_m - self.position[0]) * scale,
                (goal.east_m - self.position[1]) * scale,
                (goal.down_m - self.position[2]) * scale,
            )
            await self._step()
        self.position = [goal.north_m, goal.east_m, goal.down_m]
        self.speed = VelocityNed(0, 0, 0)

    async def _step(self) -> None:
        await asyncio.sleep(STEP_S)
        self.position[0] += self.speed.north_m_s * STEP_S
        self.position[1] += self.speed.east_m_s * STEP_S
        self.position[2] += self.speed.down_m_s * STEP_S

    async def capture(self, camera_id: str, views: Collection[View]) -> Capture:
        self._check("capture")
        await asyncio.sleep(self.slow_capture_s)
        depth_m = np.full((24, 32), min(max(self.wall_at_m - self.position[0], 0.01), 1000.0), np.float32)
        rgb = np.full((24, 32, 3), 90, np.uint8)
        return Capture(
            self._stamp(),
            self._pose(),
            rgb if View.COLOUR in views else None,
            depth_m if View.DEPTH in views else None,
        )

    def truth(self) -> GroundTruth:
        return GroundTruth(self._stamp(), self._pose(), self.speed)


class ToySimulation:
    """See `core.protocol.Simulation`."""

    def __init__(self, vehicle: ToyVehicle, bridge: LocalBridge) -> None:
        self._vehicle = vehicle
        self._bridge = bridge
        self.paused = False

    async def get_world(self) -> WorldInfo:
        return WorldInfo("toy", "{}", self.paused, (await self._vehicle.state()).stamp)

    async def reset(self) -> Stamp:
        self._vehicle.restart_clock()
        return (await self._bridge.drivers[0].refresh()).stamp

    async def pause(self, paused: bool) -> None:
        self.paused = paused

    async def step(self, duration_s: float) -> Stamp:
        return (await self._vehicle.state()).stamp

    async def vehicle_ground_truth(self, vehicle_id: str) -> GroundTruth:
        self._bridge.driver(vehicle_id)  # refuses what it does not know
        return self._vehicle.truth()

    async def object_ground_truth(self, object_name: str) -> GroundTruth:
        if object_name != "tree":
            raise UnknownObject(object_name=object_name)
        return replace(self._vehicle.truth(), velocity=None)

    async def list_objects(self, name_regex: str = "") -> tuple[str, ...]:
        return ("ground", "tree")

    async def spawn_object(self, object_name: str, asset: str, pose: Pose, scale: float) -> str:
        return f"{object_name}_1"


def toy_settings(**changes: Any) -> BridgeSettings:
    """Settings of a bridge over toys; a step goes far enough to be interrupted."""
    return replace(BridgeSettings(limits=Limits(max_step_m=50.0), operator_token="secret", state_rate_hz=50), **changes)


# Wire

Handler = Callable[[str, list[Any]], Any]


class ScriptedServer:
    """Answers msgpack-rpc calls on a port of its own: `handle` returns a result, raises for an error, or `SILENCE`."""

    SILENCE = object()

    def __init__(self, handle: Handler) -> None:
        self._handle = handle
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.calls: list[tuple[str, list[Any]]] = []
        self.connections: list[socket.socket] = []
        self._closing = False
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def send_raw(self, data: bytes) -> None:
        """Bytes to the newest connection, whatever they are."""
        self.connections[-1].sendall(data)

    def drop(self) -> None:
        """Die as a killed process does: every connection at once."""
        while self.connections:
            connection = self.connections.pop()
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def close(self) -> None:
        self._closing = True
        # Closing alone would not end an accept that waits: it would take one more connection, which nobody closes.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()

    def _accept(self) -> None:
        while not self._closing:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            if self._closing:
                self.drop()
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        unpacker = msgpack.Unpacker(raw=False)
        try:
            while chunk := connection.recv(65536):
                unpacker.feed(chunk)
                for _, call_id, method, params in unpacker:
                    self.calls.append((method, params))
                    try:
                        error, result = None, self._handle(method, params)
                    except Exception as raised:
                        error, result = str(raised), None
                    if result is not self.SILENCE:
                        connection.sendall(msgpack.packb([1, call_id, error, result], use_single_float=True))
        except OSError:
            return
