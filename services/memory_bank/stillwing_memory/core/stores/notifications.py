"""A bell that rings whenever somebody commits a change, in this process or another. It carries nothing but the ring.

Uses PostgreSQL's LISTEN. While the connection is lost nothing can be heard, so it rings when it is back: a reader that
looks after every ring misses nothing.
"""

import asyncio
import logging
from contextlib import suppress

import psycopg

from stillwing_common.errors import StoreUnavailable
from stillwing_memory.core.stores.connection import connect_arguments

_RECONNECT_WAIT_S = 0.5

_log = logging.getLogger(__name__)


class Bell:
    """One connection that listens. All methods run on one event loop."""

    def __init__(self, dsn: str, channel: str) -> None:
        self._dsn = dsn
        self._channel = channel
        self._rings = 0
        self._closed = False
        self._condition = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self._connection: psycopg.AsyncConnection[tuple[object, ...]] | None = None

    @property
    def rings(self) -> int:
        """How often it rang; read it before looking, and hand it to `wait`."""
        return self._rings

    async def start(self) -> None:
        """Listen until closed. Raises StoreUnavailable if it cannot."""
        self._connection = await self._connect()
        self._task = asyncio.create_task(self._listen(), name="memory-bell")

    async def wait(self, rings: int) -> bool:
        """Wait until it rang more often than `rings`; False once it is closed."""
        async with self._condition:
            await self._condition.wait_for(lambda: self._closed or self._rings > rings)
        return not self._closed

    async def close(self) -> None:
        """Stop listening; everybody who waits is told. Closing twice does nothing."""
        self._closed = True
        async with self._condition:
            self._condition.notify_all()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        if self._connection is not None:
            # A task that is cancelled before its first step never gets to close it.
            await self._connection.close()
            self._connection = None

    async def _connect(self) -> psycopg.AsyncConnection[tuple[object, ...]]:
        try:
            connection = await psycopg.AsyncConnection.connect(**connect_arguments(self._dsn), autocommit=True)  # type: ignore[arg-type]
            await connection.execute(f"LISTEN {self._channel}".encode())
        except psycopg.Error as error:
            raise StoreUnavailable(str(error).strip()[:300]) from error
        return connection

    async def _listen(self) -> None:
        while True:
            try:
                if self._connection is None:
                    self._connection = await self._connect()
                    _log.info("listening for changes again")
                await self._ring()
                async with self._connection:
                    async for _ in self._connection.notifies():
                        await self._ring()
            except (psycopg.Error, StoreUnavailable) as error:
                _log.warning("not listening for changes: %s", str(error).strip().splitlines()[0])
            self._connection = None
            await asyncio.sleep(_RECONNECT_WAIT_S)

    async def _ring(self) -> None:
        self._rings += 1
        async with self._condition:
            self._condition.notify_all()
