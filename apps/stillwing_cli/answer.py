"""`stillwing answer`: the operator's answer to the question for which a mission waits."""

from typing import Annotated

import typer

from stillwing_agent.client import RemoteAgent
from stillwing_agent.core.types import Mission, OperatorAnswer
from stillwing_cli.instruct import MissionId, with_mission
from stillwing_cli.terminal import AsJson, err, out, print_json, run
from stillwing_common.errors import NoQuestionOpen
from stillwing_common.ids import new_id


def answer(
    text: Annotated[str, typer.Argument(help='The answer: "The one on the left."')],
    mission_id: MissionId = "",
    as_json: AsJson = False,
) -> None:
    """Answer the question for which the mission under way waits, holding."""

    async def answered(agent: RemoteAgent, mission: Mission) -> None:
        if not mission.operator_question:
            raise NoQuestionOpen(mission_id=mission.mission_id)
        await agent.answer_mission(OperatorAnswer(new_id("req"), mission.mission_id, text))
        if as_json:
            print_json({"mission_id": mission.mission_id, "question": mission.operator_question, "answer": text})
        words = f"{mission.operator_question} → {text}"
        (err if as_json else out).print(words, markup=False, highlight=False)

    run(with_mission(mission_id, answered, as_json))
