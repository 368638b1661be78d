"""An engine behind its server, on a thread with an event loop of its own, for missions on simulated time."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager

from stillwing_lab.evaluate.simulated_loop import SimulatedLoop
from stillwing_lab.stand_in.flying import Connect
from stillwing_lab.stand_in.timed_engine import still
from stillwing_rpc.server import RpcServer
from stillwing_rpc.settings import ServerSettings
from stillwing_vlm.client import RemoteEngine
from stillwing_vlm.core.catalog import LoadedEngine
from stillwing_vlm.core.serving.engine import AsyncEngine
from stillwing_vlm.server import registration

_START_S, _END_S = 30.0, 30.0


@contextmanager
def served(loaded: LoadedEngine) -> Iterator[str]:
    """An engine behind its server, on a thread with an event loop of its own; the address."""
    ready: Future[tuple[str, Callable[[], object]]] = Future()

    async def serve() -> None:
        engine = AsyncEngine(loaded)
        server = RpcServer([registration(engine)], ServerSettings(drain_grace_s=1.0))
        port = await server.start()
        await server.set_serving()
        over, loop = asyncio.Event(), asyncio.get_running_loop()
        ready.set_result((f"127.0.0.1:{port}", lambda: loop.call_soon_threadsafe(over.set)))
        await over.wait()
        await server.drain()
        await engine.close()

    def run() -> None:
        try:
            asyncio.run(serve())
        except Exception as error:
            if ready.done():
                raise
            ready.set_exception(error)

    thread = threading.Thread(target=run, name="stand-in engine")
    thread.start()
    address, end = ready.result(_START_S)
    try:
        yield address
    finally:
        end()
        thread.join(_END_S)


def connecting_to(address: str) -> Connect:
    """Reaches it."""

    @asynccontextmanager
    async def connect(loop: SimulatedLoop) -> AsyncIterator[RemoteEngine]:
        engine = await still(loop, RemoteEngine.connect(address))
        try:
            yield engine
        finally:
            await still(loop, engine.close())

    return connect
