"""A memory bank for each episode: the real one, on an embedded PostgreSQL that a worker process starts once.

Every episode is a tenant of its own, so that none remembers what another saw. It knows nothing of missions.
"""

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from itertools import count
from multiprocessing.util import Finalize
from pathlib import Path

from psycopg.conninfo import make_conninfo

from stillwing_lab.evaluate.simulated_loop import SimulatedLoop
from stillwing_memory.core.bank import BankConfig, StoredBank
from stillwing_memory.core.protocol import MemoryBank
from stillwing_memory.core.stores.embedded import EmbeddedPostgres

_episodes = count()


@asynccontextmanager
async def episode_bank(loop: SimulatedLoop) -> AsyncIterator[MemoryBank]:
    """An empty bank. Simulated time stands still whenever the database works. Raises StoreUnavailable."""
    config = BankConfig(dsn=_server_dsn(), tenant=f"episode-{next(_episodes)}", similarity="token_overlap")
    # Connecting waits for a socket with limits in seconds, which simulated time would run through at once.
    loop.begin_computing()
    try:
        bank = await StoredBank.open(config)
    finally:
        loop.end_computing()
    try:
        yield bank
    finally:
        loop.begin_computing()
        try:
            await bank.close()
        finally:
            loop.end_computing()


@lru_cache(maxsize=1)
def _server_dsn() -> str:
    """Starts the server of this process, which ends with it."""
    folder = Path(tempfile.mkdtemp(prefix="sw-eval-"))
    server = EmbeddedPostgres(folder)
    server.start()

    def end() -> None:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)

    # Worker processes end without running what `atexit` was told of; this is run in both.
    Finalize(None, end, exitpriority=10)
    # Nothing that an evaluation files has to outlive it.
    return make_conninfo(server.dsn, options="-c synchronous_commit=off")
