"""python -m pytest tests/contract/vlm/test_engine_exports.py -v

Sessions kept in files, by the engine in this process and by the one behind the wire.
"""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from vlm_frames import SMALL, frame

from stillwing_common.errors import Exhausted, ExportsOff, ExportUnusable, InvalidInput, UnknownExport
from stillwing_vlm.core.catalog import LoadedEngine
from stillwing_vlm.core.protocol import Engine, Session
from stillwing_vlm.core.requests import AskRequest, Eviction, PeriodicExport, SessionConfig
from stillwing_vlm.core.serving.engine import AsyncEngine


async def filled(engine: Engine, frames: int, config: SessionConfig = SMALL) -> Session:
    session = await engine.open_session(config)
    for index in range(frames):
        await session.append(frame(index))
    return session


class TestExports:
    async def test_a_session_goes_on_from_its_export(self, engine: Engine) -> None:
        assert (await engine.model_info()).can_export
        session = await filled(engine, 30)
        info = await session.export("flight")
        assert (info.name, info.last_frame_id) == ("flight", "v/c/29")
        assert info.size_bytes > 0
        await session.append(frame(30))
        opened = await engine.open_session(SessionConfig(from_export="flight", label="again"))
        assert opened.restored_frame_id == "v/c/29"
        assert opened.max_context_tokens == 160
        assert session.restored_frame_id == ""
        await opened.append(frame(30))
        request = AskRequest("What is it?", max_tokens=16)
        ours, theirs = await opened.ask(request).done(), await session.ask(request).done()
        assert (ours.text, ours.provenance) == (theirs.text, theirs.provenance)
        described = await engine.get_session(opened.session_id)
        assert (described.label, described.appended_frames) == ("again", 31)

    async def test_it_holds_the_frames_placed_before_it(self, engine: Engine) -> None:
        session = await filled(engine, 2)
        early, export, late = session.append(frame(2)), session.export("flight"), session.append(frame(3))
        assert (await export).last_frame_id == "v/c/2"
        await asyncio.gather(early, late)

    async def test_exports_are_listed_replaced_and_deleted(self, engine: Engine) -> None:
        session = await filled(engine, 1)
        assert await engine.list_exports() == []
        await session.export("one")
        await session.append(frame(1))
        await session.export("one")
        await session.export("two")
        with pytest.raises(Exhausted):
            await session.export("three")
        assert [info.name for info in await engine.list_exports()] == ["one", "two"]
        opened = await engine.open_session(SessionConfig(from_export="one"))
        assert opened.restored_frame_id == "v/c/1"
        await engine.delete_export("one")
        await engine.delete_export("one")
        assert [info.name for info in await engine.list_exports()] == ["two"]
        with pytest.raises(UnknownExport):
            await engine.open_session(SessionConfig(from_export="one"))

    async def test_what_is_wrong_is_refused_and_the_session_goes_on(self, engine: Engine) -> None:
        session = await filled(engine, 1)
        for name in ("", "../flight", "a/b", ".hidden", "a" * 65):
            with pytest.raises(InvalidInput):
                await session.export(name)
            with pytest.raises(InvalidInput):
                await engine.delete_export(name)
        with pytest.raises(InvalidInput):
            await engine.open_session(SessionConfig(from_export="../flight"))
        with pytest.raises(InvalidInput):
            await engine.open_session(replace(SMALL, periodic_export=PeriodicExport("../flight", 3)))
        with pytest.raises(InvalidInput):
            SessionConfig(from_export="flight", max_context_tokens=200)
        with pytest.raises(InvalidInput):
            SessionConfig(from_export="flight", eviction=Eviction())
        with pytest.raises(InvalidInput):
            SessionConfig(from_export="flight", gate_levels=1.0)
        await session.append(frame(1))
        assert len(await engine.list_sessions()) == 1

    async def test_a_damaged_one_is_refused(self, engine: Engine, tmp_path: Path) -> None:
        session = await filled(engine, 3)
        await session.export("flight")
        path = tmp_path / "exports" / "flight.safetensors"
        content = bytearray(path.read_bytes())
        content[-100] ^= 1
        path.write_bytes(content)
        with pytest.raises(ExportUnusable):
            await engine.open_session(SessionConfig(from_export="flight"))
        await session.export("flight")
        assert (await engine.open_session(SessionConfig(from_export="flight"))).restored_frame_id == "v/c/2"

    async def test_it_may_come_by_itself(self, engine: Engine) -> None:
        session = await engine.open_session(replace(SMALL, periodic_export=PeriodicExport("flight", 4)))
        for index in range(3):
            await session.append(frame(index))
        assert await engine.list_exports() == []
        await session.append(frame(3))
        async with asyncio.timeout(20):
            while not await engine.list_exports():  # noqa: ASYNC110 - a file tells nobody that it is there
                await asyncio.sleep(0.01)
        await session.append(frame(4))
        opened = await engine.open_session(SessionConfig(from_export="flight"))
        assert opened.restored_frame_id == "v/c/3"


async def test_an_engine_without_a_folder_says_so(loaded: LoadedEngine) -> None:
    engine = AsyncEngine(loaded)
    try:
        assert not (await engine.model_info()).can_export
        session = await filled(engine, 1)
        with pytest.raises(ExportsOff):
            await session.export("flight")
        with pytest.raises(ExportsOff):
            await engine.list_exports()
        with pytest.raises(ExportsOff):
            await engine.open_session(SessionConfig(from_export="flight"))
        with pytest.raises(ExportsOff):
            await engine.open_session(SessionConfig(periodic_export=PeriodicExport("flight", 1)))
    finally:
        await engine.close()
