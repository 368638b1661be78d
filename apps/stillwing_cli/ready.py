"""Whether a part answers: services by their health, airfield by a ping in its own protocol."""

import asyncio
import contextlib
import time

from stillwing_cli.plan import Part
from stillwing_common.errors import LinkLost, Unavailable
from stillwing_common.extras import needs_extra
from stillwing_rpc.channel import connect

_PING_INTERVAL_S = 0.1
_PING_LIMIT_S = 2.0


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
