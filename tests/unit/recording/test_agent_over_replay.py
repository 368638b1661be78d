"""python -m pytest tests/unit/recording/test_agent_over_replay.py

An agent tried on a recording: it decides on the recorded frames, and nothing it does pretends to have been flown.
"""

from pathlib import Path

from fake_engine import FakeEngine
from fake_world import DONE, FORWARD, LEFT, World
from recording_values import VEHICLE, frame_update, telemetry

from stillwing_agent.core.agent import MissionAgent
from stillwing_agent.core.events import ActionFinished, ThinkingFinished
from stillwing_agent.core.mission.assembly import Crew
from stillwing_agent.core.policy import POLICIES
from stillwing_agent.core.types import MissionRequest, MissionState
from stillwing_bridge.core.events import CommandStarted
from stillwing_recording.opening import open_recording
from stillwing_recording.replay import CommandMode, ReplayBridge
from stillwing_recording.writer import FlightWriter


def write(path: Path) -> None:
    """A minute of flight, four frames and states a second, as the stamps of the values have them."""
    writer = FlightWriter(path, VEHICLE, 1)
    for number in range(1, 241):
        time_ns = 1 + number * 250_000_000
        writer.telemetry(telemetry(5 * number), time_ns)
        writer.frame(frame_update(number), time_ns + 1)
    writer.close()


async def test_a_mission_over_a_recording(tmp_path: Path) -> None:
    write(tmp_path / "flight.mcap")
    bridge = ReplayBridge(open_recording(tmp_path / "flight.mcap"), speed=4, commands=CommandMode.NOTE)
    await bridge.start()
    crew = Crew(bridge, FakeEngine(World(), [FORWARD, LEFT, DONE]), None)  # type: ignore[arg-type]
    agent = MissionAgent(crew, "tool_calling", POLICIES.load("tool_calling"))
    mission = await agent.start_mission(MissionRequest("req_1", "Fly to the red beacon.", "drone", 60))
    happenings = [event.happening async for event in agent.watch_mission(mission.mission_id)]
    assert (await agent.get_mission(mission.mission_id)).state is MissionState.ACHIEVED
    seen = [happening.last_frame_id for happening in happenings if isinstance(happening, ThinkingFinished)]
    assert len(seen) == 3
    assert seen == sorted(seen, key=lambda frame_id: int(frame_id.rpartition("/")[2])), "it saw the recording go on"
    ends = [happening.result.get("state") for happening in happenings if isinstance(happening, ActionFinished)]
    assert ends[:2] == ["noted", "noted"]
    log = [entry.event async for entry in bridge.watch_flight_log("drone", until_now=True)]
    started = [event for event in log if isinstance(event, CommandStarted)]
    assert {"step", "turn"} <= {event.kind for event in started}
    assert not any(event.motion for event in started), "nothing ever moved"
    await agent.close()
    await bridge.close()
