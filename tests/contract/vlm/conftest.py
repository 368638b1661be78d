"""A tiny random model, the engine on it, in this process and behind a real server."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stillwing_lab.tiny_model import write_tiny_model
from stillwing_rpc.server import RpcServer
from stillwing_rpc.settings import ServerSettings
from stillwing_vlm.client import RemoteEngine
from stillwing_vlm.core.catalog import LoadedEngine, ModelSource, load_engine
from stillwing_vlm.core.inputs.text import ChatText
from stillwing_vlm.core.limits import Limits
from stillwing_vlm.core.memory.exports import ExportFolder
from stillwing_vlm.core.protocol import Engine
from stillwing_vlm.core.serving.engine import AsyncEngine
from stillwing_vlm.server import registration

LIMITS = Limits(
    max_sessions=3,
    max_asks=3,
    max_text_chars=500,
    max_snapshots=2,
    max_recalled_frames=2,
    max_exports=2,
    kept_kv_bytes=1 << 20,
)


@pytest.fixture(scope="session")
def tiny_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def loaded(tiny_dir: Path) -> LoadedEngine:
    return load_engine(ModelSource(str(tiny_dir), device="cpu", threads=1), LIMITS)


@pytest.fixture
async def local(loaded: LoadedEngine, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    """The engine in this process, which the one over the wire stands before."""
    engine = AsyncEngine(loaded, exports=ExportFolder(tmp_path / "exports", loaded.limits.max_exports))
    yield engine
    await engine.close()


@asynccontextmanager
async def reached(kind: str, local: AsyncEngine) -> AsyncIterator[Engine]:
    """The engine itself, or the same behind a real server."""
    if kind == "in_process":
        yield local
        return
    server = RpcServer([registration(local)], ServerSettings(port=0, drain_grace_s=1.0), on_drain=local.close)
    port = await server.start()
    await server.set_serving()
    remote = await RemoteEngine.connect(f"127.0.0.1:{port}")
    yield remote
    await remote.close()
    await server.drain()


@pytest.fixture(params=["in_process", "over_the_wire"])
def kind(request: pytest.FixtureRequest) -> str:
    """How the engine is reached."""
    return str(request.param)


@pytest.fixture
async def engine(kind: str, local: AsyncEngine) -> AsyncIterator[Engine]:
    async with reached(kind, local) as found:
        yield found


@pytest.fixture
async def engine_with(
    kind: str, loaded: LoadedEngine, tiny_dir: Path
) -> AsyncIterator[Callable[..., Awaitable[Engine]]]:
    """Makes an engine with limits of its own."""
    async with AsyncExitStack() as stack:

        async def make(*, ends_at_once: bool = False, **limits: Any) -> Engine:
            text = EndsAtOnce.from_file(tiny_dir / "tokenizer.json") if ends_at_once else loaded.text
            local = AsyncEngine(replace(loaded, text=text, limits=replace(LIMITS, **limits)))
            stack.push_async_callback(local.close)
            return await stack.enter_async_context(reached(kind, local))

        yield make


class EndsAtOnce(ChatText):
    """A tokenizer by which every token ends an answer."""

    @property
    def end_ids(self) -> frozenset[int]:
        return frozenset(range(10_000))


class HeldDevice:
    """The device's thread, busy until `release`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._gate, self._begun = threading.Event(), threading.Event()
        engine.machinery.scheduler.call(self._hold)

    def _hold(self) -> None:
        self._begun.set()
        assert self._gate.wait(30)

    async def begun(self) -> None:
        assert await asyncio.to_thread(self._begun.wait, 10)

    def release(self) -> None:
        self._gate.set()


@pytest.fixture
async def held(local: AsyncEngine) -> AsyncIterator[Callable[[], Awaitable[HeldDevice]]]:
    """Makes the device busy, so that what is placed meanwhile waits for certain."""
    devices: list[HeldDevice] = []

    async def hold() -> HeldDevice:
        devices.append(HeldDevice(local))
        await devices[-1].begun()
        return devices[-1]

    yield hold
    for device in devices:
        device.release()
