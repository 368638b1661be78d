"""Everything that reads what others wrote, as functions of bytes that must not fail.

A target takes any bytes and returns whether they got past the first parse; it raises only if the code under it does
what it must not: any exception that is no answer to bad input. Each makes what it needs once and leaves it to a stack
to clean up. Half of the inputs are taken as they are; the others are dice for messages of nearly the right shape, which
get farther.
"""

import asyncio
import contextlib
import logging
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import msgpack
from client_arguments import client_arguments
from command_lines import COMMAND_TARGETS
from dice import Dice, Make, Target
from file_targets import FILE_TARGETS
from google.protobuf.message import DecodeError, Message
from schema_texts import schemas

from stillwing_common.errors import StillwingError

# AirSim's wire


class _Unforeseen(logging.Handler):
    """What goes to the log with a traceback was foreseen by nobody: here it breaks the target."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1]:
            raise AssertionError(f"unforeseen: {record.getMessage()}") from record.exc_info[1]


def airsim_requests(stack: ExitStack) -> Target:
    """A simulator's server: any bytes of a connection, to the answers."""
    from stillwing_airfield import wire
    from stillwing_airfield.methods import Methods, Refused
    from stillwing_airfield.sim import Airfield

    logging.getLogger("airfield").addHandler(_Unforeseen())
    logging.getLogger("airfield").propagate = False
    airfield = stack.enter_context(Airfield.of("meadow", 0))
    methods = Methods(airfield)
    stack.callback(methods.close)
    names = [*methods.names, "noSuchCall", ""]
    # What waits for the passing of time would wait for ever: nothing passes it here.
    waits = {"simContinueForTime", "simContinueForFrames"}

    def serve(request: wire.Request) -> None:
        if request.method in waits:
            return
        try:
            result = methods.call(request)
        except Refused as refused:
            wire.pack_answer(request.message_id or 0, str(refused), None)
            return
        if isinstance(result, Future):
            if not result.done():
                return
            error = result.exception()
            result = None if error else result.result()
            if error:
                methods.explain(request, error)
        wire.pack_answer(request.message_id or 0, None, result)

    def target(data: bytes) -> bool:
        stream = wire.RequestStream()
        if data[:1] < b"\x80":
            cut, passed = len(data) // 2, False
            with contextlib.suppress(wire.ProtocolViolation):
                for piece in (data[1:cut], data[max(cut, 1) :]):
                    for request in stream.feed(piece):
                        passed = True
                        serve(request)
            return passed
        dice = Dice(data[1:])
        name = dice.pick(names)
        count = methods.arity(name) + dice.pick((0, 0, 0, 0, 0, 0, 1, -1))
        params = [dice.value() for _ in range(max(0, count))]
        for request in stream.feed(msgpack.packb([0, 1, name, params], unicode_errors="surrogateescape")):
            serve(request)
        return True

    return target


def airsim_replies(stack: ExitStack) -> Target:
    """The bridge's client of a simulator: any bytes of a connection, and any values in answers."""
    from stillwing_bridge.core.types import Camera
    from stillwing_bridge.core.vehicle import VehicleSpec, View
    from stillwing_bridge.core.vehicles.airsim.cameras import AirSimCameras
    from stillwing_bridge.core.vehicles.airsim.readings import Readings
    from stillwing_bridge.core.vehicles.airsim.settings import AirSimSettings
    from stillwing_bridge.core.vehicles.airsim.transport import ReplyStream
    from stillwing_bridge.core.vehicles.airsim.vehicle import AirSimVehicle

    loop = asyncio.new_event_loop()
    stack.callback(loop.close)
    dice = Dice(b"")

    class Answers:
        alive = True
        opened = False

        async def call(self, method: str, *params: object, timeout_s: float) -> Any:
            if method == "getServerVersion" and not self.opened:
                self.opened = True  # the first answer is one that lets the rest be asked
                return 4
            return dice.value()

        def submit(self, method: str, *params: object) -> Any:
            answer: Future[Any] = Future()
            answer.set_result(dice.value())
            return answer

        def close(self) -> None: ...

    async def answers(settings: Any, name: str) -> Any:
        return Answers()

    spec = VehicleSpec("drone", (Camera("front_center", 4, 3, 90.0, True),))

    async def use() -> None:
        readings = Readings(battery_endurance_s=0)
        cameras = AirSimCameras(AirSimSettings(), readings, answers)
        vehicle = AirSimVehicle(AirSimSettings(), spec, readings, cameras, answers)
        await vehicle.connect()
        for ask in (
            vehicle.state,
            vehicle.hold,
            lambda: vehicle.capture("front_center", (View.COLOUR, View.DEPTH)),
            lambda: cameras.describe("front_center"),
        ):
            try:
                await ask()
            except StillwingError:
                continue

    def target(data: bytes) -> bool:
        nonlocal dice
        if data[:1] < b"\x80":
            try:
                return bool(list(ReplyStream().feed(data[1:])))
            except ValueError:
                return False
        dice = Dice(data[1:])
        loop.run_until_complete(use())
        return True

    return target


# Protobuf


def read_or_fill(message: Message, data: bytes) -> bool:
    """Half of the inputs are the message's bytes, whether it can be read; the others fill its fields at will."""
    if data[:1] >= b"\x80":
        _fill(message, Dice(data[1:]), 0)
        return True
    try:
        message.ParseFromString(data[1:])
    except DecodeError:
        return False
    return True


def _fill(message: Message, dice: Dice, depth: int) -> None:
    for field in message.DESCRIPTOR.fields:
        if dice.used_up or dice.byte() % 3 == 0:
            continue
        times = dice.byte() % 3 if field.is_repeated else 1
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            continue
        for _ in range(times):
            if field.message_type is not None:
                child = getattr(message, field.name)
                child = child.add() if field.is_repeated else child
                child.SetInParent()
                if depth < 4:
                    _fill(child, dice, depth + 1)
            elif field.is_repeated:
                getattr(message, field.name).append(_scalar(field, dice))
            else:
                setattr(message, field.name, _scalar(field, dice))


def _scalar(field: Any, dice: Dice) -> Any:
    if field.cpp_type in (field.CPPTYPE_DOUBLE, field.CPPTYPE_FLOAT):
        return dice.pick((0.0, 1.0, -1.0, 0.5, 45.0, float("nan"), float("inf"), -float("inf"), 1e30, 1e300))
    if field.type == field.TYPE_BYTES:
        return dice.raw(40)
    if field.cpp_type == field.CPPTYPE_STRING:
        return dice.pick(("", "drone", "front_center", "drone/front_center/1", "tok", "0", "x" * 2000, "ünï", "mis_1"))
    if field.cpp_type == field.CPPTYPE_BOOL:
        return dice.byte() % 2 == 1
    if field.cpp_type in (field.CPPTYPE_UINT32, field.CPPTYPE_UINT64):
        return dice.pick((0, 1, 2, 7, 100, (1 << 32) - 1))
    if field.cpp_type == field.CPPTYPE_ENUM:
        return dice.pick((0, 1, 2, 3, 4, 40, 99))
    return dice.pick((0, 1, -1, 5, 999_999_999, (1 << 31) - 1, -(1 << 31)))


def _readers(module: ModuleType) -> Iterator[tuple[type[Message], Callable[[Any], Any]]]:
    """Every `…_from_wire` of a convert module that takes one message."""
    for name, function in vars(module).items():
        if not name.endswith("from_wire") or not callable(function):
            continue
        hints = get_type_hints(function)
        hints.pop("return", None)
        kinds = list(hints.values())
        if not kinds or not isinstance(kinds[0], type) or not issubclass(kinds[0], Message):
            continue
        rest: list[Any] = ["peer"] * (len(kinds) - 1)
        yield kinds[0], lambda message, function=function, rest=rest: function(message, *rest)


def _conversions(*modules: ModuleType) -> Target:
    readers = [each for module in modules for each in _readers(module)]
    assert len(readers) > 3

    def target(data: bytes) -> bool:
        kind, read = readers[data[0] % len(readers)] if data else readers[0]
        message = kind()
        if not read_or_fill(message, data[1:]):
            return False
        with contextlib.suppress(StillwingError):
            read(message)
        return True

    return target


def vehicle_messages(stack: ExitStack) -> Target:
    """Messages of the bridge, both ways, and what all services share."""
    from stillwing_bridge.convert import commands, flight_log, vehicles
    from stillwing_rpc import convert

    return _conversions(commands, flight_log, vehicles, convert)


def session_messages(stack: ExitStack) -> Target:
    """Messages of the engine's sessions, both ways."""
    from stillwing_vlm.convert import asks, conversation, info, session

    return _conversions(asks, conversation, info, session)


def mission_messages(stack: ExitStack) -> Target:
    """Messages of agent and memory bank, both ways."""
    from stillwing_agent.convert import events as mission_events
    from stillwing_agent.convert import missions, turns
    from stillwing_memory.convert import changes, entities, instructions, keyframes

    return _conversions(mission_events, missions, turns, changes, entities, instructions, keyframes)


def bridge_calls(stack: ExitStack) -> Target:
    """Calls into a bridge's servicers: any request message of any method, over a bridge that checks commands."""
    from recording_values import VEHICLE, frame_update

    from stillwing.vehicle.v1 import lease_pb2, vehicle_pb2
    from stillwing_bridge.server import LeaseServicer, VehicleServicer
    from stillwing_recording.replay import CommandMode, ReplayBridge
    from stillwing_recording.writer import FlightWriter

    loop = asyncio.new_event_loop()
    stack.callback(loop.close)
    path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stillwing-fuzz-"))) / "flight.mcap"
    writer = FlightWriter(path, VEHICLE, 1)
    writer.frame(frame_update(1), 2)
    writer.close()
    from stillwing_recording.opening import open_recording

    async def make() -> ReplayBridge:
        bridge = ReplayBridge(open_recording(path), commands=CommandMode.NOTE)
        await bridge.start()
        return bridge

    bridge = loop.run_until_complete(make())
    stack.callback(lambda: loop.run_until_complete(bridge.close()))
    held = loop.run_until_complete(bridge.acquire_lease("drone", "fuzz", stale_after_s=30)).lease

    class Context:
        def time_remaining(self) -> float:
            return 1.0

        def peer(self) -> str:
            return "ipv4:127.0.0.1:1"

    served: list[tuple[Any, type[Message]]] = []
    for servicer, module in ((VehicleServicer(bridge), vehicle_pb2), (LeaseServicer(bridge), lease_pb2)):
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                if not (method.client_streaming or method.server_streaming):
                    served.append((getattr(servicer, method.name), getattr(module, method.input_type.name)))
    assert len(served) >= 12

    async def use(call: Any, request: Any, ours: bool) -> None:
        nonlocal held
        if ours and hasattr(request, "lease"):
            request.lease.vehicle_id, request.lease.epoch, request.lease.sequence = (
                held.vehicle_id, held.epoch, held.sequence,
            )  # fmt: skip
        if ours and hasattr(request, "vehicle_id"):
            request.vehicle_id = "drone"
        with contextlib.suppress(StillwingError):
            await call(request, Context())
        state = await bridge.get_lease("drone")
        if state is None or state.lease != held or state.stale:
            held = (await bridge.take_lease("drone", "fuzz", "fuzz", stale_after_s=30)).lease

    def target(data: bytes) -> bool:
        dice = Dice(data)
        call, kind = dice.pick(served)
        request: Any = kind()
        if not read_or_fill(request, data[2:]):
            return False
        loop.run_until_complete(use(call, request, dice.byte() % 4 != 0))
        return True

    return target


TARGETS: dict[str, tuple[Make, float, tuple[str, ...]]] = {
    "airsim_requests": (
        airsim_requests,
        0.15,
        ("stillwing_airfield.wire", "stillwing_airfield.methods", "stillwing_airfield.calls"),
    ),
    "airsim_replies": (airsim_replies, 0.04, ("stillwing_bridge.core.vehicles.airsim",)),
    "client_arguments": (client_arguments, 0.02, ("stillwing_rpc.sendable", "stillwing_vlm.remote_session")),
    "schemas": (schemas, 0.02, ("stillwing_vlm.core.inputs.schemas",)),
    "vehicle_messages": (vehicle_messages, 0.26, ("stillwing_bridge.convert", "stillwing_rpc.convert")),
    "session_messages": (session_messages, 0.17, ("stillwing_vlm.convert",)),
    "mission_messages": (mission_messages, 0.14, ("stillwing_agent.convert", "stillwing_memory.convert")),
    "bridge_calls": (bridge_calls, 0.09, ("stillwing_bridge.server", "stillwing_recording.replay")),
    **FILE_TARGETS,
    **COMMAND_TARGETS,
}
"""By name: what makes it, its share of the inputs, and the modules whose coverage leads the search."""
