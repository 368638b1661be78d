"""python -m pytest tests/contract/vlm/test_engine_pooled.py -v

Mean vectors for memory scorers, of the engine in this process and of the one behind the wire.
"""

import asyncio
from dataclasses import replace

import pytest
from vlm_frames import SMALL, frame

from stillwing_common.errors import InvalidInput
from stillwing_vlm.core.catalog import LoadedEngine
from stillwing_vlm.core.local import LocalSession
from stillwing_vlm.core.protocol import Engine
from stillwing_vlm.core.results import FrameKeys

POOLED = replace(SMALL, pooled_layers=(0, 1))


class TestPooledVectors:
    async def test_they_are_those_of_the_model_bit_by_bit(self, engine: Engine, loaded: LoadedEngine) -> None:
        session, own = await engine.open_session(POOLED), LocalSession(loaded, POOLED)
        for index in range(3):
            await session.append(frame(index))
            own.append(frame(index))
        names = ["v/c/2", "v/c/0", "nobody"]
        pooled = await session.pool_vectors(["red van", "man, blue coat"], names)
        assert pooled == own.pool_vectors(["red van", "man, blue coat"], names)
        assert [each.frame_id for each in pooled.frames] == ["v/c/2", "v/c/0"]
        layers, heads, dimensions = pooled.texts[0].query.shape
        assert (layers, dimensions) == (2, pooled.frames[0].keys.shape[2])
        assert heads % pooled.frames[0].keys.shape[1] == 0
        assert pooled.texts[1].tokens > pooled.texts[0].tokens > 0

    async def test_every_evicted_frame_leaves_its_keys_and_they_are_placed_in_order(self, engine: Engine) -> None:
        session = await engine.open_session(POOLED)
        evictions = session.evictions()
        asked = []
        for index in range(40):
            await session.append(frame(index))
            asked.append(session.pool_vectors([], [f"v/c/{index}"]))
        told = [(await each).frames[0] for each in asked]
        gone: list[FrameKeys] = []
        names: list[str] = []
        while len(gone) < (await engine.get_session(session.session_id)).evicted_frames:
            async with asyncio.timeout(10):
                evicted = await anext(evictions)
            gone += evicted.frame_keys
            names += evicted.frame_ids
        assert [each.frame_id for each in gone] == names
        assert gone == told[1 : 1 + len(gone)]
        assert len(gone) > 5

    async def test_they_are_handed_out_only_where_wanted(self, engine: Engine) -> None:
        session = await engine.open_session(SMALL)
        with pytest.raises(InvalidInput, match="pooled_layers"):
            await session.pool_vectors(["red van"])
        layers = (await engine.model_info()).layers
        assert layers > 1
        with pytest.raises(InvalidInput, match=f"below {layers}"):
            await engine.open_session(replace(SMALL, pooled_layers=(layers,)))
