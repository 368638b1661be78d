"""Whether a part answers: services by their health, airfield by a ping in its own protocol."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import grpc

from stillwing_cli.plan import Part
from stillwing_common.errors import LinkLost, Unavailable
from stillwing_common.extras import needs_extra
from stillwing_rpc.channel import check_health, connect, open_channel

_PING_INTERVAL_S = 0.1
_PING_LIMIT_S = 2.0
_ALIVE_INTERVAL_S = 1.0
_ALIVE_LIMIT_S = 2.0
_SILENCES = 3


async def wait_ready(part: Part, limit_s: float) -> None:
    """Return once the part answers; raises `Unavailable` after `limit_s`, `WrongService` if another has its port."""
    if part.service:
        channel = await connect(part.address, part.service, part.channel, wait_s=limit_s)
        await channel.close()
        return
    until_s = time.monotonic() + limit_s
    while time.monotonic() < until_s:
        with contextlib.suppress(LinkLost):
            await ping(part.address)
            return
        await asyncio.sleep(_PING_INTERVAL_S)
    raise Unavailable(f"{part.name} at {part.address} did not answer within {limit_s:g} s", part=part.name)


async def wait_silent(part: Part, silent_after_s: float) -> None:
    """Return once the part has answered none of at least three asks within `silent_after_s`. Any answer will do."""
    async with contextlib.AsyncExitStack() as stack:
        ask = await _asker(part, stack)
        answered_s, silences = time.monotonic(), 0
        while silences < _SILENCES or time.monotonic() < answered_s + silent_after_s:
            await asyncio.sleep(min(_ALIVE_INTERVAL_S, silent_after_s / _SILENCES))
            if await ask():
                answered_s, silences = time.monotonic(), 0
            else:
                silences += 1


async def _asker(part: Part, stack: contextlib.AsyncExitStack) -> Callable[[], Awaitable[bool]]:
    """Asks whether the part answers at all."""
    if not part.service:

        async def pings() -> bool:
            with contextlib.suppress(LinkLost):
                await ping(part.address)
                return True
            return False

        return pings
    channel = open_channel(part.address, part.service, part.channel)
    stack.push_async_callback(channel.close)

    async def is_healthy() -> bool:
        try:
            await check_health(channel, part.service, timeout_s=_ALIVE_LIMIT_S)
        except grpc.aio.AioRpcError as error:
            return error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        return True

    return is_healthy


async def ping(address: str) -> None:
    """One msgpack-rpc round trip with an AirSim server. Raises `LinkLost` and `MissingExtra`."""
    with needs_extra("fly", "a simulator"):
        import msgpack

    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(_PING_LIMIT_S):
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(msgpack.packb([0, 0, "ping", []]))
                unpacker = msgpack.Unpacker(raw=False)
                while chunk := await reader.read(4096):
                    unpacker.feed(chunk)
                    for answer in unpacker:
                        if answer == [1, 0, None, True]:
                            return
                        raise LinkLost(f"{address} answered a ping with {answer!r}", address=address)
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError, msgpack.UnpackException) as error:
        raise LinkLost(f"{address}: {error or 'no answer'}", address=address) from error
    raise LinkLost(f"{address} closed the connection", address=address)
