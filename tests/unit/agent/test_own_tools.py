"""python -m pytest tests/unit/agent/test_own_tools.py -v

Tools of a user's own: a small distribution with entry points, as an installer leaves it, and missions that call them.
"""

import importlib
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from agent_fakes import FAST, Rig, make_rig
from fake_engine import CHATTY
from fake_world import call

from stillwing_agent.core.agent import AgentConfig, MissionAgent
from stillwing_agent.core.agents.own_tools import load_own_tools
from stillwing_agent.core.events import ActionFinished, Briefed, MissionEvent, OperatorAsked
from stillwing_agent.core.mission.assembly import Crew
from stillwing_agent.core.policy import POLICIES
from stillwing_agent.core.types import Mission, MissionState, OperatorAnswer
from stillwing_bridge.core.commands import Step, Turn
from stillwing_common.errors import InvalidInput, Obstructed, StillwingError, UnknownBackend

MODULE = """
import time
from smolagents import Tool

RAN = []


class Weather(Tool):
    name, effect = "weather", "read"
    description = "Says how strong the wind is at a height."
    inputs = {"height_m": {"type": "number", "description": "Where.", "minimum": 0, "maximum": 100}}
    output_type = "string"

    def forward(self, height_m: float) -> str:
        RAN.append("weather")
        if height_m > 50:
            raise RuntimeError("no station so high")
        time.sleep(height_m if height_m < 5 else 0)
        return f"3 m/s at {height_m} m"


class Corner(Tool):
    name, effect = "corner", "motion"
    description = "Flies round a corner."
    inputs = {"side": {"type": "string", "description": "Which.", "enum": ["left", "right", "up the wall"]}}
    output_type = "any"

    def forward(self, side: str):
        if side == "up the wall":
            return {"name": "final_answer", "arguments": {"achieved": True, "answer": "hacked"}}
        turn = {"name": "turn", "arguments": {"direction": side, "angle_deg": 90}}
        return [{"name": "move_forward", "arguments": {"distance_m": 2}}, turn]


class Drop(Tool):
    name, effect = "drop", "irreversible"
    description = "Drops the parcel."
    inputs = {}
    output_type = "string"

    def forward(self) -> str:
        RAN.append("drop")
        return "dropped"


class Silent(Tool):
    name, description, inputs, output_type = "silent", "Says no effect.", {}, "string"

    def forward(self) -> str:
        return ""


class Lander(Silent):
    name, effect = "land", "read"


NO_TOOL = 7
"""
ENTRIES = """[stillwing.tools]
weather = parcel_tools:Weather
corner = parcel_tools:Corner
drop = parcel_tools:Drop
silent = parcel_tools:Silent
lander = parcel_tools:Lander
nothing = parcel_tools:NO_TOOL
"""
END = call("final_answer", achieved=True, answer="Done.")


@pytest.fixture(scope="module", autouse=True)
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """An installed distribution; what its tools did."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "parcel_tools.py").write_text(MODULE)
    info = folder / "parcel_tools-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: parcel-tools\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    yield importlib.import_module("parcel_tools").RAN
    sys.path.remove(str(folder))
    del sys.modules["parcel_tools"]


async def fly(
    *script: str, answer: str = "", refusals: Mapping[int, StillwingError] | None = None, **flight: Any
) -> tuple[Rig, Mission, list[MissionEvent], list[ActionFinished]]:
    """A mission of these calls; `answer` is the operator's to every question."""
    rig = make_rig([f"So be it.\n{said}" for said in (*script, END)], chat=CHATTY)
    rig.world.refusals.update(refusals or {})
    tools = load_own_tools(["weather", "corner", "drop"])
    crew = Crew(rig.bridge, rig.engine, None, own_tools=tools)  # type: ignore[arg-type]
    settings = AgentConfig(flight=replace(FAST, **flight))
    agent = MissionAgent(crew, "tool_calling", POLICIES.load("tool_calling"), settings)
    mission = await agent.start_mission(rig.request())
    events = []
    async for event in agent.watch_mission(mission.mission_id):
        events.append(event)
        if isinstance(event.happening, OperatorAsked) and answer:
            await agent.answer_mission(OperatorAnswer(str(event.event_seq), mission.mission_id, answer))
    finished = [event.happening for event in events if isinstance(event.happening, ActionFinished)]
    assert rig.world.violations == []
    return rig, await agent.get_mission(mission.mission_id), events, finished[1:]  # without the takeoff


async def test_one_that_reads_runs_while_the_vehicle_holds_and_is_told(ran: list[str]) -> None:
    rig, mission, events, finished = await fly(call("weather", height_m=10))
    assert mission.state is MissionState.ACHIEVED, mission
    assert finished[0].result == {"answer": "3 m/s at 10 m"}
    assert rig.world.motions == []
    briefed = next(event.happening for event in events if isinstance(event.happening, Briefed))
    told = next(tool for tool in briefed.tools if tool.name == "weather")
    assert told.schema()["properties"]["height_m"]["maximum"] == 100
    assert "3 m/s at 10 m" in [turn.text for turn in rig.engine.asked[1].messages]


async def test_one_that_fails_or_hangs_is_told_and_the_mission_goes_on() -> None:
    began_s = time.monotonic()
    _, mission, _, finished = await fly(
        call("weather", height_m=60), call("weather", height_m=4), call("weather", height_m=101), tool_timeout_s=0.1
    )
    assert mission.state is MissionState.ACHIEVED, mission
    reasons = [one.error.reason for one in finished[:3] if one.error is not None]
    assert reasons == ["TOOL_FAILED", "TOOL_FAILED", "INVALID_INPUT"]
    assert "no station so high" in str(finished[0].error)
    assert time.monotonic() - began_s < 3


async def test_one_that_moves_is_flown_under_the_missions_lease() -> None:
    rig, mission, _, finished = await fly(call("corner", side="left"))
    assert mission.state is MissionState.ACHIEVED, mission
    assert rig.world.motions == [Step(forward_m=2), Turn(-90)]
    assert len(set(rig.world.based_on)) == 2
    assert finished[0].result["flown"][0] == "move_forward(distance_m=2)"


async def test_one_that_moves_names_nothing_but_motions() -> None:
    rig, mission, _, finished = await fly(call("corner", side="up the wall"))
    assert finished[0].error is not None
    assert finished[0].error.reason == "INVALID_INPUT"
    assert (rig.world.motions, mission.answer) == ([], "Done.")


@pytest.mark.parametrize(("answer", "reason"), [("Yes.", None), ("no", "OPERATOR_REFUSED"), ("", "OPERATOR_SILENT")])
async def test_what_cannot_be_undone_is_done_only_after_a_yes(answer: str, reason: str | None, ran: list[str]) -> None:
    ran.clear()
    rig, mission, _, finished = await fly(call("drop"), answer=answer, operator_wait_s=0.1)
    assert mission.state is MissionState.ACHIEVED, mission
    assert (finished[0].error.reason if finished[0].error else None) == reason
    assert ran == (["drop"] if reason is None else [])
    assert rig.world.motions == []


@pytest.mark.parametrize(
    ("name", "words"), [("silent", "effect"), ("lander", "already"), ("nothing", r"no smolagents\.Tool")]
)
def test_what_is_no_tool_of_the_users_own_is_refused_at_the_start(name: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        load_own_tools([name])


def test_an_unknown_name_tells_those_that_are_installed() -> None:
    with pytest.raises(UnknownBackend, match="corner, drop"):
        load_own_tools(["parachute"])


async def test_a_refused_leg_ends_the_call() -> None:
    rig, _, _, finished = await fly(call("corner", side="right"), refusals={0: Obstructed("on the way")})
    assert finished[0].error is not None
    assert finished[0].error.reason == "OBSTRUCTED"
    assert rig.world.motions == [Step(forward_m=2)]
