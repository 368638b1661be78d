"""What a model is asked over a recording: for the next tool call, for one of four moves, or a question in free words.

The questions are the agent's own. It knows nothing of recordings.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from stillwing_agent.core.prompting.prompts import (
    CHOICES,
    call_text,
    choice_prompt,
    decision_prompt,
    system_prompt,
    tool_call_schema,
)
from stillwing_common.errors import UnknownBackend
from stillwing_lab.offline.manoeuvres import of_call
from stillwing_vlm.core.local import LocalSession
from stillwing_vlm.core.results import DoneReason, Provenance

AGENTS = ("tool_calling", "choice")
_ANSWER_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer. `manoeuvre` is "" where it names none: free words, or a tool call that was cut short."""

    text: str
    manoeuvre: str
    provenance: Provenance
    time_to_first_token_s: float
    elapsed_s: float
    probabilities: Mapping[str, float] = field(default_factory=dict)


class Asker(Protocol):
    """One way of asking."""

    @property
    def system_text(self) -> str:
        """What the session is opened with."""

    @property
    def prompt(self) -> str:
        """The question where the recording has none of its own for the moment."""

    def prompt_after(self, recorded: str) -> str:
        """The recorded question where it is this one with a refusal told in it, as it was asked; else `prompt`."""

    @property
    def decides(self) -> bool:
        """Whether an answer names a manoeuvre, so that it can be compared with what was flown."""

    def ask(self, session: LocalSession, prompt: str) -> Answered:
        """Ask now."""


@dataclass(frozen=True)
class _GoalAsker(ABC):
    """A question for the next decision on the way to `goal`."""

    goal: str
    decides: ClassVar[bool] = True

    @property
    def system_text(self) -> str:
        """See `Asker`."""
        return system_prompt()

    @property
    @abstractmethod
    def prompt(self) -> str:
        """See `Asker`."""

    def prompt_after(self, recorded: str) -> str:
        """See `Asker`."""
        prompt = self.prompt
        same = recorded.startswith(self.goal) and recorded.endswith(prompt.removeprefix(self.goal))
        return recorded if same else prompt


class ToolCallAsker(_GoalAsker):
    """As the tool-calling agent asks: one tool call, held to its JSON schema, greedily. All tools are open."""

    @property
    def prompt(self) -> str:
        """See `Asker`."""
        return decision_prompt(self.goal)

    def ask(self, session: LocalSession, prompt: str) -> Answered:
        """See `Asker`."""
        done = session.ask(prompt, json_schema=tool_call_schema(), max_tokens=_ANSWER_TOKENS)
        text, manoeuvre = done.text, ""
        if done.reason is DoneReason.STOP:
            call = json.loads(done.text)
            text = call_text(call["name"], call["arguments"])
            manoeuvre = of_call(call["name"], call["arguments"])
        return Answered(text, manoeuvre, done.provenance, done.time_to_first_token_s, done.elapsed_s)


class ChoiceAsker(_GoalAsker):
    """As the one-question agent asks: which of four moves; the time of the answer is that of its only token."""

    @property
    def prompt(self) -> str:
        """See `Asker`."""
        return choice_prompt(self.goal)

    def ask(self, session: LocalSession, prompt: str) -> Answered:
        """See `Asker`."""
        options = tuple(CHOICES)
        found = session.ask_choice(prompt, options)
        best = options[found.best_index]
        probabilities = {option: round(p, 6) for option, p in zip(options, found.probabilities, strict=True)}
        call = CHOICES[best]
        manoeuvre = of_call(call["name"], call["arguments"])
        return Answered(best, manoeuvre, found.provenance, found.elapsed_s, found.elapsed_s, probabilities)


@dataclass(frozen=True, slots=True)
class FreeAsker:
    """A question of the caller's, answered in free words; compared with nothing."""

    prompt: str
    system_text: str = "You watch a video."
    decides: bool = False

    def prompt_after(self, recorded: str) -> str:
        """See `Asker`."""
        return self.prompt

    def ask(self, session: LocalSession, prompt: str) -> Answered:
        """See `Asker`."""
        done = session.ask(prompt)
        return Answered(done.text, "", done.provenance, done.time_to_first_token_s, done.elapsed_s)


def asker_of(agent: str, goal: str, question: str) -> Asker:
    """The way of asking that `agent` has, or the caller's own `question`. Raises UnknownBackend."""
    if question:
        return FreeAsker(question)
    match agent:
        case "tool_calling":
            return ToolCallAsker(goal)
        case "choice":
            return ChoiceAsker(goal)
    raise UnknownBackend(f"no agent is called {agent!r}; known: {', '.join(AGENTS)}", name=agent)
