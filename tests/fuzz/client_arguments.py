"""Every public method of every client class, called with any values of the types that its signature names.

Each answers or raises a domain error; what no request can mean is InvalidInput, and nothing of it has left. The other
side is a real server that knows no method, so that what arrives is seen and nothing comes of it.
"""

import asyncio
import contextlib
import dataclasses
import enum
import inspect
import types
import typing
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import grpc
import numpy as np

from stillwing_common.errors import InternalFault, InvalidInput, StillwingError

TEXTS = ("", "drone", "drone/front_center/1", "mis_1", "tok", "a\0b", "\ud83d", "x\udcff", "🔴" * 40, "x" * 3000)
NUMBERS = (0, 1, 2, -1, 5, 1000, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**40)
REALS = (0.0, 1.0, 0.5, 2.0, -1.0, 1e-9, 1e300, -1e300, float("nan"), float("inf"), -float("inf"), 5e-324)
_UNSENDABLE = frozenset(text for text in TEXTS if any(0xD800 <= ord(letter) < 0xE000 for letter in text))
_NOT_CALLED = {"connect", "close", "abandon", "opened", "wait_closed", "channel", "evictions"}
"""What asks nothing with a value of the caller's, or waits for the end."""


_USES_OF_A_SESSION = 500


class Values:
    """Values of annotated types, chosen by dice, with a note of what can be sent of none."""

    def __init__(self, byte: Callable[[], int]) -> None:
        self._byte = byte
        self.unsendable = False

    def _pick(self, options: Sequence[Any]) -> Any:
        # Most of what is said is plain, so that a call of many arguments gets past its first.
        die = self._byte()
        return options[die % len(options)] if die >= 128 else options[1 + die % min(2, len(options) - 1)]

    def of(self, kind: Any, depth: int = 0) -> Any:
        """A value of a type; None for one that nothing is known of."""
        origin, parts = typing.get_origin(kind), typing.get_args(kind)
        if kind is str:
            text = self._pick(TEXTS)
            self.unsendable |= text in _UNSENDABLE
            return text
        if kind is bool:
            return self._byte() % 2 == 1
        if kind is int:
            return self._pick(NUMBERS)
        if kind is float:
            number = self._pick(REALS)
            self.unsendable |= number != number or abs(number) == float("inf")
            return number
        if kind is bytes:
            return bytes([self._byte()]) * (self._byte() % 8)
        if origin in (typing.Union, types.UnionType):
            return self.of(parts[self._byte() % len(parts)], depth)
        if origin in (tuple, list, Sequence, frozenset):
            inner = parts[0] if parts else str
            if origin is tuple and len(parts) > 1 and parts[1] is not Ellipsis:
                return tuple(self.of(part, depth + 1) for part in parts)
            return tuple(self.of(inner, depth + 1) for _ in range(self._byte() % 3 if depth < 4 else 0))
        if origin in (dict, Mapping):
            return {self.of(parts[0], depth + 1): self.of(parts[1], depth + 1) for _ in range(self._byte() % 2)}
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            members = list(kind)
            return members[self._byte() % len(members)]
        if kind is np.ndarray or origin is np.ndarray:
            return np.zeros((1, 1, 2), np.float32)
        if dataclasses.is_dataclass(kind):
            hints = typing.get_type_hints(kind)
            fields = [field for field in dataclasses.fields(kind) if field.init]
            return kind(**{field.name: self.of(hints[field.name], depth + 1) for field in fields})
        return None


def methods_of(client: type) -> list[str]:
    """Names of the public methods of a client class that ask something."""
    return [
        name for name, _ in inspect.getmembers(client, inspect.isfunction) if name[0] != "_" and name not in _NOT_CALLED
    ]


class KnowsNothing(grpc.GenericRpcHandler):
    """Takes every call, notes that it came, and knows no method but a session's, in which it answers nothing."""

    def __init__(self) -> None:
        self.arrived = 0

    def service(self, handler_call_details: Any) -> Any:
        """See grpc."""
        if handler_call_details.method.endswith("/Session"):
            return grpc.stream_stream_rpc_method_handler(_listen)
        self.arrived += 1
        return None


async def _listen(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
    async for _ in requests:
        pass
    for nothing in ():
        yield nothing


def client_arguments(stack: ExitStack) -> Callable[[bytes], bool]:
    """All client classes of engine, agent, memory bank and bridge."""
    from stillwing.vlm.v1 import vlm_pb2_grpc
    from stillwing_agent.client import RemoteAgent
    from stillwing_bridge.client import RemoteBridge, RemoteSimulation
    from stillwing_memory.client import RemoteMemoryBank
    from stillwing_rpc.channel import open_channel
    from stillwing_rpc.channel_settings import ChannelSettings
    from stillwing_vlm.client import RemoteEngine
    from stillwing_vlm.core.requests import SessionConfig
    from stillwing_vlm.remote_session import RemoteSession

    loop = asyncio.new_event_loop()
    stack.callback(loop.close)
    handler = KnowsNothing()

    async def begin() -> tuple[Any, grpc.aio.Channel]:
        server = grpc.aio.server(handlers=(handler,))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        settings = ChannelSettings(default_deadline_s=5.0, max_attempts=1)
        return server, open_channel(f"127.0.0.1:{port}", "stillwing.vlm.v1.VlmService", settings)

    server, channel = loop.run_until_complete(begin())

    async def end() -> None:
        if session is not None:
            await session.close()
        await channel.close()
        await server.stop(None)

    stack.callback(lambda: loop.run_until_complete(end()))
    clients: dict[type, Any] = {kind: kind(channel) for kind in (RemoteEngine, RemoteBridge, RemoteSimulation)}
    clients |= {RemoteAgent: RemoteAgent(channel, resume_s=0.0), RemoteMemoryBank: RemoteMemoryBank(channel)}
    calls = [(kind, name) for kind in (*clients, RemoteSession) for name in methods_of(kind)]
    assert len(calls) > 55
    stub = vlm_pb2_grpc.VlmServiceStub(channel)

    session: Any = None
    uses = 0

    async def session_now() -> Any:
        nonlocal session, uses
        if uses % _USES_OF_A_SESSION == 0:
            if session is not None:
                await session.close()
            session = RemoteSession(stub, SessionConfig())
        uses += 1
        return session

    async def use(kind: type, name: str, values: Values) -> None:
        client = clients[kind] if kind in clients else await session_now()
        before = handler.arrived
        try:
            async with asyncio.timeout(0.2 if name == "open_session" else 10):
                await _call(client, name, values, answers=kind in clients)
            refused = False
        except (InternalFault, TimeoutError) as fault:
            if name == "open_session" and isinstance(fault, TimeoutError):
                return  # it was placed, and nobody opens one here
            raise AssertionError(f"{kind.__name__}.{name}: neither answered nor refused: {fault!r}") from fault
        except InvalidInput:
            refused = True
        except StillwingError:
            refused = False
        assert not (refused and handler.arrived > before), f"{kind.__name__}.{name}: sent, and then refused"
        assert refused or not values.unsendable, f"{kind.__name__}.{name}: taken, though it cannot be sent"

    def target(data: bytes) -> bool:
        rest = iter(data[1:])
        values = Values(lambda: next(rest, 0))
        kind, name = calls[(data[0] if data else 0) % len(calls)]
        loop.run_until_complete(use(kind, name, values))
        return True

    return target


async def _call(client: Any, name: str, values: Values, *, answers: bool) -> None:
    """`answers`: the other side does; where it does not, it is enough that the request was placed."""
    method = getattr(client, name)
    hints = typing.get_type_hints(method)
    arguments: list[Any] = []
    named: dict[str, Any] = {}
    for parameter in inspect.signature(method).parameters.values():
        value = values.of(hints.get(parameter.name))
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            arguments.append(value)
        elif parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            named[parameter.name] = value
        else:
            arguments.append(value)
    if name == "emergency_stop":
        values.unsendable = arguments[0] in _UNSENDABLE  # no words of a stop are refused
    found = method(*arguments, **named)
    if isinstance(found, AsyncIterator):
        async with contextlib.aclosing(found) as stream:  # type: ignore[type-var]
            await anext(stream, None)
    elif not answers:
        done = found.done() if hasattr(found, "cancel") and inspect.iscoroutinefunction(found.done) else None
        future = found if isinstance(found, asyncio.Future) else asyncio.ensure_future(done or _first(found))
        await asyncio.sleep(0)
        if future.done():
            future.result()
        else:
            future.cancel()
    elif isinstance(found, Awaitable):
        await found


async def _first(stream: Any) -> Any:
    return await anext(aiter(stream), None)
