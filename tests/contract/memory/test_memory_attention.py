"""python -m pytest tests/contract/memory/test_memory_attention.py

Scores by the attention of a real model: its session's vectors, over the wire, into a real bank.
"""

import asyncio
import io
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import agent_fakes
import numpy as np
import pytest
from agent_fakes import FAST, make_rig
from PIL import Image as PilImage

from stillwing_agent.core.events import InstructionBegun, InstructionLost, KeyframeLost
from stillwing_agent.core.flight import MissionMemorySettings
from stillwing_common.types import Frame, Image, ImageEncoding, Stamp
from stillwing_lab.tiny_model import write_tiny_model
from stillwing_memory.client import RemoteMemoryBank
from stillwing_memory.core.bank import BankConfig, StoredBank
from stillwing_memory.core.instructions import Chunk, ChunkFrame, Instruction, ThingMention, ThingView
from stillwing_memory.core.keyframes import Keyframe
from stillwing_memory.core.scoring import pooled_score
from stillwing_memory.server import registration as memory_registration
from stillwing_rpc.server import RpcServer
from stillwing_rpc.settings import ServerSettings
from stillwing_vlm.client import RemoteEngine
from stillwing_vlm.core.catalog import LoadedEngine, ModelSource, load_engine
from stillwing_vlm.core.requests import SessionConfig
from stillwing_vlm.core.results import FrameKeys
from stillwing_vlm.core.serving.engine import AsyncEngine
from stillwing_vlm.server import registration as engine_registration


def noise(number: int) -> Image:
    pixels = np.random.default_rng(number).integers(0, 256, (56, 84, 3), dtype=np.uint8)
    file = io.BytesIO()
    PilImage.fromarray(pixels).save(file, "JPEG")
    return Image(ImageEncoding.JPEG, 84, 56, file.getvalue())


def keyframe(number: int, mission_id: str) -> Keyframe:
    return Keyframe(
        Frame(f"d/c/{number}", "c", Stamp(number * 10**9, "clock"), None, noise(number)), mission_id=mission_id
    )


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedEngine:
    directory: Path = write_tiny_model(tmp_path_factory.mktemp("tiny") / "model")
    return load_engine(ModelSource(str(directory), device="cpu", threads=1))


@pytest.fixture
async def engine(loaded: LoadedEngine) -> AsyncIterator[RemoteEngine]:
    local = AsyncEngine(loaded)
    server = RpcServer([engine_registration(local)], ServerSettings(), on_drain=local.close)
    port = await server.start()
    await server.set_serving()
    remote = await RemoteEngine.connect(f"127.0.0.1:{port}")
    yield remote
    await remote.close()
    await server.drain()


@pytest.fixture
async def attentive(fresh_dsn: str) -> AsyncIterator[RemoteMemoryBank]:
    """A bank that scores by attention, over the wire."""
    stored = await StoredBank.open(BankConfig(dsn=fresh_dsn, similarity="token_overlap", scorer="attention"))
    server = RpcServer([memory_registration(stored)], ServerSettings(), on_drain=stored.end_streams)
    port = await server.start()
    await server.set_serving()
    remote = await RemoteMemoryBank.connect(f"127.0.0.1:{port}")
    yield remote
    await remote.close()
    await server.drain()
    await stored.close()


async def test_an_evicted_chunk_is_filed_by_the_models_own_score(
    engine: RemoteEngine, attentive: RemoteMemoryBank
) -> None:
    things = (ThingMention("young man"), ThingMention("van"))
    begun = await attentive.begin_instruction(Instruction("mis_1", 1, "Follow the young man to the van.", things))
    session = await engine.open_session(SessionConfig("You fly.", 120, pooled_layers=(1,)))
    evictions = session.evictions()
    asked = (await session.pool_vectors([entity.text for entity in begun.entities])).texts
    gone: list[FrameKeys] = []
    for number in range(30):
        await session.append(keyframe(number, "mis_1").frame)
    while len(gone) < 6:
        async with asyncio.timeout(10):
            gone += (await anext(evictions)).frame_keys
    views = tuple(
        ThingView(entity.entity_id, each.query, each.tokens) for entity, each in zip(begun.entities, asked, strict=True)
    )
    tokens = sum(each.tokens for each in asked)
    for number, chunk in enumerate((gone[:3], gone[3:6]), 1):
        frames = tuple(ChunkFrame(keyframe(int(each.frame_id.rsplit("/", 1)[1]), "mis_1"), each.keys) for each in chunk)
        filed = await attentive.file_chunk(Chunk("mis_1", 1, number, frames, views))
        scores = [sum(pooled_score(one.query, each.keys) * one.tokens / tokens for one in asked) for each in chunk]
        assert filed.keyframe.frame.frame_id == chunk[int(np.argmax(scores))].frame_id
        assert filed.keyframe.score == pytest.approx(max(scores), abs=1e-5)


async def test_a_mission_files_its_chunks_to_the_last_frame_by_attention(
    engine: RemoteEngine, attentive: RemoteMemoryBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_fakes, "PICTURE", noise(1))
    flight = replace(
        FAST,
        memory_reader="noun_phrases",
        memory=MissionMemorySettings(tag=False, timeout_s=20.0),
        max_context_tokens=360,
        answer_timeout_s=30.0,
        frame_timeout_s=30.0,
        put_timeout_s=60.0,
        keyframe_queue=256,
    )
    rig = make_rig(implementation="choice", flight=flight)
    rig.world.frame_interval_s = 0.2
    rig.agent._crew = replace(rig.agent._crew, engine=engine, memory=attentive)
    mission = await rig.agent.start_mission(rig.request(params={"max_decisions": 4}))
    happened = [event.happening async for event in rig.agent.watch_mission(mission.mission_id)]
    assert [each for each in happened if isinstance(each, InstructionLost | KeyframeLost)] == []
    assert [each.number for each in happened if isinstance(each, InstructionBegun)] == [1]
    # A bank with this scorer refuses chunks without vectors; the last ones were still in the window.
    (record,) = await attentive.list_instructions(mission.mission_id)
    assert 1 <= len(record.memory_frame_ids) <= 3
