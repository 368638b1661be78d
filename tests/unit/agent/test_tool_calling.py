"""python -m pytest tests/unit/agent/test_tool_calling.py -v

smolagents' agent as a policy: quiet, bounded, in a thread that always ends, and broken off without a trace.
"""

import asyncio
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from agent_fakes import make_rig
from fake_world import DONE, FORWARD

from stillwing_agent.core.agents import tool_calling
from stillwing_agent.core.agents.smolagents_model import Interrupted, LoopPort
from stillwing_agent.core.types import MissionState
from stillwing_common.errors import LinkLost


async def fly_to_the_end(rig: Any) -> Any:
    mission = await rig.agent.start_mission(rig.request())
    _ = [event async for event in rig.agent.watch_mission(mission.mission_id)]
    return await rig.agent.get_mission(mission.mission_id)


async def test_its_memory_stays_small_and_it_prints_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    made: list[Any] = []
    make = tool_calling._agent

    def remember(*arguments: Any) -> Any:
        made.append(make(*arguments))
        return made[-1]

    monkeypatch.setattr(tool_calling, "_agent", remember)
    mission = await fly_to_the_end(make_rig([FORWARD] * 30 + ['{"name":"mov', DONE]))
    assert mission.state is MissionState.ACHIEVED
    steps = made[0].memory.steps
    assert len(steps) <= 6
    assert all(getattr(step, "model_input_messages", None) is None for step in steps)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("end", ["answer", "cancel", "failure"])
async def test_its_thread_ends_with_the_mission(end: str) -> None:
    rig = make_rig([DONE] if end == "answer" else [FORWARD] * 1000)
    mission = await rig.agent.start_mission(rig.request())
    await asyncio.sleep(0.1)
    if end == "cancel":
        await rig.agent.cancel_mission(mission.mission_id)
    if end == "failure":
        rig.world.frames_fail = LinkLost()
    _ = [event async for event in rig.agent.watch_mission(mission.mission_id)]
    async with asyncio.timeout(2):
        while any(thread.name.startswith("tool-calling") for thread in threading.enumerate()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_the_end_of_a_mission_imports_no_torch(tmp_path: Path) -> None:
    """smolagents looks for tensors in an answer that is no text: seconds, and hundreds of megabytes."""
    program = tmp_path / "fly.py"
    program.write_text(
        "import asyncio, sys\n"
        "from agent_fakes import make_rig\n"
        "async def fly():\n"
        "    rig = make_rig()\n"
        "    mission = await rig.agent.start_mission(rig.request())\n"
        "    _ = [event async for event in rig.agent.watch_mission(mission.mission_id)]\n"
        "    print((await rig.agent.get_mission(mission.mission_id)).state.value, 'torch' in sys.modules)\n"
        "asyncio.run(fly())\n"
    )
    support = Path(__file__).parents[2] / "support"
    flown = await asyncio.create_subprocess_exec(
        sys.executable, str(program), stdout=asyncio.subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(support)}
    )
    told, _ = await flown.communicate()
    assert told.decode().split() == ["achieved", "False"]


async def test_a_port_keeps_the_first_failure_and_refuses_what_comes_after() -> None:
    loop = asyncio.get_running_loop()
    port = LoopPort(loop)

    async def fail() -> None:
        raise LinkLost("first")

    async def work() -> int:
        return 7

    assert await asyncio.to_thread(lambda: port.call(work())) == 7
    for _ in range(2):
        with pytest.raises(Interrupted):
            await asyncio.to_thread(lambda: port.call(fail()))
    assert isinstance(port.failure, LinkLost)


async def test_a_closed_port_breaks_off_what_runs() -> None:
    port = LoopPort(asyncio.get_running_loop())
    running = asyncio.Event()

    async def never() -> None:
        running.set()
        await asyncio.Event().wait()

    waiting = asyncio.create_task(asyncio.to_thread(lambda: port.call(never())))
    await running.wait()
    port.close()
    with pytest.raises(Interrupted):
        await waiting
    with pytest.raises(Interrupted):
        await asyncio.to_thread(lambda: port.call(never()))
    assert port.failure is None
