"""The profile of the pilot: the short prompts it was trained on, word for word, answered by JSON under a schema."""

from dataclasses import dataclass

from stillwing_agent.core.prompting.base import Moment, ProfileName, Question
from stillwing_agent.core.prompting.prompts import (
    ToolSpec,
    ToolStyle,
    decision_prompt,
    system_prompt,
    tool_call_schema,
)
from stillwing_vlm.core.conversation import Briefing


@dataclass(frozen=True, slots=True)
class CompactProfile:
    """See `Profile`. The model is told its instruction and why the last motion was refused, and nothing else."""

    style: ToolStyle = ToolStyle.MOVES
    name: ProfileName = ProfileName.COMPACT
    converses: bool = False

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        """Those of its style."""
        return self.style.tools

    def briefing(self) -> Briefing:
        """A line for each tool."""
        return Briefing(system_prompt(self.tools))

    def decision(self, moment: Moment) -> Question:
        """One line, and a schema of the calls that are open."""
        prompt = decision_prompt(moment.instruction, moment.refusal_reason)
        return Question(prompt, tool_call_schema(moment.open_tools))

    def in_words(self, question: str) -> Question:
        """The question as it is."""
        return Question(question)

    def verification(self, instruction: str) -> str:
        """The pilot was not taught to judge."""
        return ""
