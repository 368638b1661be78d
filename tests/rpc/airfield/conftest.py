"""A client of AirSim's wire that hides nothing, and airfield serving on a free port."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import pytest

from stillwing_airfield.server import serving
from stillwing_airfield.sim import Airfield


class RpcError(Exception):
    """The server's error string."""


class WireClient:
    """One socket. `send` does not wait; `wait` takes answers in any order; a call does both."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._unpacker = msgpack.Unpacker(raw=False, max_buffer_size=1 << 28)
        self._answers: dict[int, tuple[Any, Any]] = {}
        self.order: list[int] = []
        self._next_id = 0

    def send(self, method: str, *params: Any) -> int:
        self._next_id += 1
        self.socket.sendall(msgpack.packb([0, self._next_id, method, list(params)]))
        return self._next_id

    def wait(self, message_id: int) -> Any:
        while message_id not in self._answers:
            data = self.socket.recv(1 << 20)
            if not data:
                raise ConnectionError("the server hung up")
            self._unpacker.feed(data)
            for kind, answered, error, result in self._unpacker:
                assert kind == 1
                self._answers[answered] = (error, result)
                self.order.append(answered)
        error, result = self._answers.pop(message_id)
        if error is not None:
            raise RpcError(error)
        return result

    def __call__(self, method: str, *params: Any) -> Any:
        return self.wait(self.send(method, *params))

    def close(self) -> None:
        self.socket.close()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving(Airfield.of("meadow", 7)) as bound:
        yield bound


@pytest.fixture
def connect(port: int) -> Iterator[Callable[[], WireClient]]:
    made: list[WireClient] = []

    def one() -> WireClient:
        made.append(WireClient(port))
        return made[-1]

    yield one
    for client in made:
        client.close()


@pytest.fixture
def client(connect: Callable[[], WireClient]) -> WireClient:
    """Connected; the vehicle is at its start, time runs."""
    fresh = connect()
    fresh("simPause", False)
    fresh("reset")
    return fresh


@pytest.fixture
def flying(connect: Callable[[], WireClient]) -> WireClient:
    """Hovering 2 m above the start; who flies already is put back there, which is quicker than taking off again."""
    fresh = connect()
    fresh("simPause", False)
    fresh("cancelLastTask", "")
    if fresh("getMultirotorState", "")["landed_state"] == 0:
        fresh("reset")
        fresh("enableApiControl", True, "")
        assert fresh("armDisarm", True, "") is True
        assert fresh("takeoff", 20.0, "") is True
    fresh("enableApiControl", True, "")
    fresh("hover", "")
    fresh("simSetVehiclePose", {"position": {"z_val": -2.0}}, True, "")
    fresh("simContinueForTime", 0.3)
    fresh("simPause", False)
    fresh("simGetCollisionInfo", "")
    return fresh
