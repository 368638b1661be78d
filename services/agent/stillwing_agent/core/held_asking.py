"""Asks the model while the vehicle is held, in the one order that keeps the vehicle still while its author thinks.

`ask` and `ask_choice` first have the bridge acknowledge a hold, only then place the question, and allow motion again
only after the answer. That order is here and nowhere else. It knows nothing of decisions, tools or how a question is
worded. All methods run on one event loop, one at a time.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from stillwing_agent.core.events import ThinkingFinished, ThinkingStarted
from stillwing_agent.core.flight import Flight
from stillwing_agent.core.prompting.base import Question
from stillwing_bridge.core.commands import Hold
from stillwing_common.errors import AnswerTimeout, EngineAway, StillwingError
from stillwing_vlm.core.requests import FULL_VIEW, AskRequest, ChoiceRequest, Sampling, View
from stillwing_vlm.core.results import AnswerDone, ChoiceResult, Provenance

_T = TypeVar("_T")

WhileHeld = Callable[[Provenance], Awaitable[None]]
"""What else is to be done before motion is allowed again, by what the answer could see."""


class InstructionChanged(Exception):
    """The mission has another instruction to follow now; the vehicle holds, and nothing of the old one is flown."""


async def _nothing_else(seen: Provenance) -> None:
    """Motion is allowed as soon as the answer is there."""


@dataclass(frozen=True, slots=True)
class _Said:
    text: str
    seen: Provenance
    thought: str = ""


class HeldAsking:
    """The questions of one mission to its session."""

    def __init__(self, flight: Flight) -> None:
        self._flight = flight

    async def ask(
        self,
        question: Question,
        sampling: Sampling | None = None,
        *,
        while_held: WhileHeld = _nothing_else,
    ) -> AnswerDone:
        """Hold, ask, allow motion again.

        Raises AnswerTimeout, EngineAway, InstructionChanged where another one is to be followed now, and what bridge
        and engine raise.
        """
        request = AskRequest(
            question.prompt,
            self._flight.settings.max_answer_tokens,
            question.json_schema,
            sampling,
            messages=question.messages,
            answer_format=question.answer_format,
        )

        async def answer() -> tuple[AnswerDone, _Said]:
            done = await self._read_answer(request)
            return done, _Said(done.text, done.provenance, done.thought)

        return await self._think(question, answer, while_held)

    async def ask_choice(
        self,
        prompt: str,
        options: Sequence[str],
        *,
        view: View = FULL_VIEW,
        while_held: WhileHeld = _nothing_else,
    ) -> ChoiceResult:
        """Hold, score the options, allow motion again. Raises as `ask` does."""
        timeout_s = self._flight.settings.answer_timeout_s

        async def answer() -> tuple[ChoiceResult, _Said]:
            try:
                async with asyncio.timeout(timeout_s):
                    result = await self._flight.session.ask_choice(ChoiceRequest(prompt, tuple(options), view))
            except TimeoutError as error:
                raise AnswerTimeout(f"within {timeout_s:g} s") from error
            return result, _Said(options[result.best_index], result.provenance)

        return await self._think(Question(prompt), answer, while_held)

    async def ask_text(self, prompt: str, json_schema: str) -> str:
        """The text of an answer under a JSON schema (text). Raises as `ask` does."""
        text = (await self.ask(Question(prompt, json_schema))).text
        await self.go_on()
        return text

    async def hold(self) -> None:
        """Stay; in force when this returns."""
        await self._flight.bridge.command(self._flight.lease, Hold(), request_id=str(uuid.uuid4()))
        self._flight.life.beat()

    async def go_on(self) -> None:
        """Hold and raise InstructionChanged where another instruction is to be followed now, EngineAway where the
        engine is gone.
        """
        if self._flight.record.breaks_off:
            await self.hold()
            raise InstructionChanged
        try:
            self._flight.session.check()
        except EngineAway:
            await self.hold()
            raise

    async def _think(
        self, question: Question, answer: Callable[[], Awaitable[tuple[_T, _Said]]], while_held: WhileHeld
    ) -> _T:
        flight = self._flight
        await self.go_on()
        flight.life.beat()
        interval = await flight.bridge.begin_thinking(flight.lease, flight.settings.expected_thinking_s)
        began_s = flight.clock.monotonic_s()
        flight.record.add(ThinkingStarted(interval.thinking_id, question.words, question.messages))
        try:
            with flight.life.waiting():
                result, said = await flight.session.while_there(answer())
                await while_held(said.seen)
        except StillwingError:
            # A cancelled mission skips this: motion stays refused until the lease is returned.
            await flight.bridge.end_thinking(flight.lease)
            raise
        await flight.bridge.end_thinking(flight.lease)
        flight.record.add(
            ThinkingFinished(
                interval.thinking_id,
                said.text,
                flight.clock.monotonic_s() - began_s,
                said.seen.last_frame_id,
                said.seen.oldest_frame_id,
                said.seen.context_tokens,
                said.thought,
            )
        )
        return result

    async def _read_answer(self, request: AskRequest) -> AnswerDone:
        timeout_s = self._flight.settings.answer_timeout_s
        answer = self._flight.session.ask(request)
        try:
            async with asyncio.timeout(timeout_s):
                async for _ in answer:
                    self._flight.life.beat()
                    if self._flight.record.breaks_off:
                        answer.cancel()
                return await answer.done()
        except TimeoutError as error:
            raise AnswerTimeout(f"within {timeout_s:g} s") from error
        finally:
            answer.cancel()
