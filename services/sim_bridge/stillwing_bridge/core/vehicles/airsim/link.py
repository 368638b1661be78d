"""Connections that are opened when they are first needed, and again when they were lost."""

import asyncio
from collections.abc import Awaitable, Callable

from stillwing_bridge.core.vehicles.airsim import dialect
from stillwing_bridge.core.vehicles.airsim.settings import AirSimSettings
from stillwing_bridge.core.vehicles.airsim.transport import Connection, Transport

Opener = Callable[[AirSimSettings, str], Awaitable[Connection]]
"""Opens a connection of this name; raises `LinkLost`."""


async def open_connection(settings: AirSimSettings, name: str) -> Connection:
    """Connect with the simulator; `LinkLost`."""
    s = settings
    return await asyncio.to_thread(Transport.open, s.host, s.port, timeout_s=s.connect_timeout_s, name=name)


class Link:
    """One connection of this name at a time, and the dialect that is spoken over it."""

    def __init__(self, settings: AirSimSettings, name: str, opener: Opener = open_connection) -> None:
        self._settings = settings
        self._name = name
        self._opener = opener
        self._opening = asyncio.Lock()
        self._connection: Connection | None = None
        self._dialect = dialect.MICROSOFT

    async def connected(self) -> tuple[Connection, dialect.Dialect]:
        """The open connection; `LinkLost`, `Unsupported` for a dialect that is not flown."""
        async with self._opening:
            if self._connection is None or not self._connection.alive:
                self._connection, self._dialect = await self._open()
            return self._connection, self._dialect

    async def _open(self) -> tuple[Connection, dialect.Dialect]:
        s = self._settings
        connection = await self._opener(s, self._name)
        try:
            return connection, await dialect.detect(connection, s.vehicle_name, timeout_s=s.connect_timeout_s)
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None
