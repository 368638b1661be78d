"""A tiny random model, the engine on it, in this process and behind a real server."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stillwing_lab.tiny_model import write_tiny_model
from stillwing_rpc.server import RpcServer
from stillwing_rpc.settings import ServerSettings
from stillwing_vlm.client import RemoteEngine
from stillwing_vlm.core.base import Engine, Limits
from stillwing_vlm.core.catalog import LoadedEngine, ModelSource, load_engine
from stillwing_vlm.core.engine import AsyncEngine
from stillwing_vlm.server import registration

LIMITS = Limits(max_sessions=3, max_asks=3, max_text_chars=500, max_snapshots=2, max_recalled_frames=2)


@pytest.fixture(scope="session")
def tiny_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def loaded(tiny_dir: Path) -> LoadedEngine:
    return load_engine(ModelSource(str(tiny_dir), device="cpu", threads=1), LIMITS)


@pytest.fixture(params=["in_process", "over_the_wire"])
async def engine(request: pytest.FixtureRequest, loaded: LoadedEngine) -> AsyncIterator[Engine]:
    local = AsyncEngine(loaded)
    if request.param == "in_process":
        yield local
        await local.close()
        return
    server = RpcServer([registration(local)], ServerSettings(port=0, drain_grace_s=1.0), on_drain=local.close)
    port = await server.start()
    await server.set_serving()
    remote = await RemoteEngine.connect(f"127.0.0.1:{port}")
    yield remote
    await remote.close()
    await server.drain()
