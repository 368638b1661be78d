"""A tiny random model behind a real server, and a bare stub to say wrong things with."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from stillwing.vlm.v1 import vlm_pb2_grpc
from stillwing_lab.tiny_model import write_tiny_model
from stillwing_rpc.server import RpcServer
from stillwing_rpc.settings import ServerSettings
from stillwing_vlm.core.catalog import LoadedEngine, ModelSource, load_engine
from stillwing_vlm.core.limits import Limits
from stillwing_vlm.core.serving.engine import AsyncEngine
from stillwing_vlm.server import registration


@dataclass
class Served:
    engine: AsyncEngine
    server: RpcServer
    stub: Any
    port: int


@pytest.fixture(scope="session")
def tiny_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def loaded(tiny_dir: Path) -> LoadedEngine:
    return load_engine(ModelSource(str(tiny_dir), device="cpu", threads=1), Limits())


@pytest.fixture
async def served(loaded: LoadedEngine) -> AsyncIterator[Served]:
    engine = AsyncEngine(loaded)
    server = RpcServer([registration(engine)], ServerSettings(port=0, drain_grace_s=2.0), on_drain=engine.close)
    port = await server.start()
    await server.set_serving()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Served(engine, server, vlm_pb2_grpc.VlmServiceStub(channel), port)
    await server.drain()
