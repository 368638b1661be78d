"""python -m pytest tests/unit/cli/test_operator.py

`stillwing ask` and `stillwing answer`, with an agent behind a real server.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from agent_fakes import FAST, Rig, make_rig
from fake_engine import CHATTY
from fake_world import call
from typer.testing import CliRunner

from stillwing_agent.core.types import MissionState
from stillwing_agent.server import registration
from stillwing_cli.main import app
from stillwing_rpc.server import RpcServer
from stillwing_rpc.settings import ServerSettings


@pytest.fixture
async def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    """An agent on the port where the commands look for one; its mind asks the operator."""
    rig = make_rig([call("ask_operator", question="Which one?")], chat=CHATTY, flight=replace(FAST))
    rig.engine.past_end, rig.engine.free_text = "I see a beacon.", True
    server = RpcServer([registration(rig.agent)], ServerSettings(drain_grace_s=1.0), on_drain=rig.agent.close)
    port = await server.start()
    await server.set_serving()
    monkeypatch.chdir(tmp_path)
    ports = dict.fromkeys(("airfield", "sim_bridge", "memory_bank", "vlm_engine"), 1) | {"agent": port}
    monkeypatch.setattr("stillwing_cli.state.DEFAULT_PORTS", ports)
    yield rig
    await server.drain()


async def cli(*arguments: str) -> Any:
    return await asyncio.to_thread(CliRunner().invoke, app, list(arguments))


async def test_a_mission_is_asked_and_answered(rig: Rig) -> None:
    nobody = await cli("ask", "What do you see?")
    assert nobody.exit_code == 1 and "no mission is under way" in nobody.stderr
    mission = await rig.agent.start_mission(rig.request())
    async with asyncio.timeout(20):
        while not (await rig.agent.get_mission(mission.mission_id)).operator_question:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    asked = await cli("ask", "What do you see?", "--json")
    # The agent's own log goes to the same stream here.
    (told,) = [line for line in asked.stdout.splitlines() if line.startswith("{")]
    assert json.loads(told)["answer"] == "I see a beacon."
    rig.engine.past_end = call("final_answer", achieved=True, answer="there")
    answered = await cli("answer", "The left one.")
    assert answered.exit_code == 0 and "Which one? → The left one." in answered.stdout
    _ = [event async for event in rig.agent.watch_mission(mission.mission_id)]
    assert (await rig.agent.get_mission(mission.mission_id)).state is MissionState.ACHIEVED
    late = await cli("answer", "The right one.", "--mission", mission.mission_id)
    assert late.exit_code == 1 and "waits for no answer" in late.stderr
