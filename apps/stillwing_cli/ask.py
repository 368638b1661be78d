"""`stillwing ask`: a question to the model of the mission that is being flown."""

from typing import Annotated

import typer

from stillwing_agent.client import RemoteAgent
from stillwing_agent.core.types import Mission
from stillwing_cli.instruct import MissionId, with_mission
from stillwing_cli.terminal import AsJson, err, out, print_json, run


def ask(
    question: Annotated[str, typer.Argument(help='What to ask the model: "What do you see?"')],
    mission_id: MissionId = "",
    as_json: AsJson = False,
) -> None:
    """Ask the model of the mission under way a question; it answers at its next pause and flies on."""

    async def asked(agent: RemoteAgent, mission: Mission) -> None:
        answer = await agent.ask_mission(mission.mission_id, question)
        if as_json:
            print_json({"mission_id": mission.mission_id, "question": question, "answer": answer})
        (err if as_json else out).print(answer, markup=False, highlight=False)

    run(with_mission(mission_id, asked, as_json))
