"""Questions under way: what to feed the model next, and what to make of its logits.

A branch is a short-lived fork of a trunk. It feeds rows and takes what comes of them until it is finished; who runs the
passes, and together with whom, is the scheduler's matter. It knows no tensors. Used on the device's owner thread.
"""

import random
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from stillwing_common.clock import Clock
from stillwing_vlm.core.backend import Backend, Choosing, Outcome, PinnedView, Repeats, Row, Token
from stillwing_vlm.core.inputs.answer_forms import AnswerParts
from stillwing_vlm.core.inputs.positions import text_positions
from stillwing_vlm.core.inputs.prepare import PreparedAsk, PreparedChoice
from stillwing_vlm.core.inputs.text import ChatText
from stillwing_vlm.core.results import AnswerDone, ChoiceResult, DoneReason, Provenance

_MAX_FED = 256
"""Most tokens one branch feeds in one pass, so that a long question does not hold up the others."""


class Branch(Protocol):
    """What the scheduler sees of a question under way."""

    @property
    def view(self) -> PinnedView:
        """What it sees of the trunk."""

    @property
    def finished(self) -> bool:
        """Nothing is left to feed."""

    @property
    def next_tokens(self) -> int:
        """How many tokens the next `rows` will feed."""

    def rows(self) -> list[Row]:
        """What to feed in the next pass; not empty unless finished."""

    def accept(self, outcomes: Sequence[Outcome]) -> None:
        """Take what those rows gave."""

    def cancel(self) -> None:
        """Stop; the result holds what there is."""


class AskBranch:
    """Decodes one answer.

    Where nothing but the end depends on which token was chosen, and the backend gains by it, each token is fed before
    it is read: the device is then never idle while the last one is looked at. What is fed after the end is dropped with
    the branch.
    """

    def __init__(
        self,
        backend: Backend,
        text: ChatText,
        clock: Clock,
        ask: PreparedAsk,
        branch: Any,
        view: PinnedView,
        provenance: Provenance,
        placed_s: float,
    ) -> None:
        """`branch` has room for question and answer; `placed_s` is when the ask was placed."""
        self.view = view
        self.done: AnswerDone | None = None
        self._backend = backend
        self._text = text
        self._clock = clock
        self._ask = ask
        self._branch = branch
        self._provenance = provenance
        self._placed_s = placed_s
        self._first_s: float | None = None
        self._answer: list[int] = []
        self._cut = False
        self._broken = False
        self._shown = 0
        self._deltas: list[str] = []
        self._written: list[str] = []
        self._draw = random.Random(ask.sampling.seed) if ask.sampling else None
        # What is chosen by what was chosen before must be read before it.
        self._reads_late = backend.looks_ahead and ask.matcher is None and ask.penalty == 1.0
        self._unread: Token | None = None
        # What the grammar forces before any choice goes along with the question.
        self._extend(self._forced())
        self._pending: list[int | Token] = [*ask.question_ids, *self._answer]

    @property
    def finished(self) -> bool:
        """The answer is complete, or will never be."""
        return self.done is not None or self._broken

    @property
    def next_tokens(self) -> int:
        """How many tokens the next `rows` will feed."""
        return min(len(self._pending), _MAX_FED)

    @property
    def answer_tokens(self) -> int:
        """Tokens of the answer so far; 0 until the first was chosen."""
        return 0 if self._first_s is None else len(self._answer)

    def rows(self) -> list[Row]:
        """The next tokens, a piece of the question at a time."""
        fed = self._pending[:_MAX_FED]
        positions, self.view.cursor = text_positions(self.view.cursor, len(fed))
        self._pending = self._pending[_MAX_FED:]
        return [Row(self._branch, fed, positions, choosing=None if self._pending else self._choosing())]

    def _choosing(self) -> Choosing | None:
        """How the token after all that is pending is chosen; None where none is wanted."""
        if self._end_reason() is not None:
            return None
        matcher = self._ask.matcher
        return Choosing(
            allowed=None if matcher is None else matcher.allowed(),
            sampling=self._ask.sampling,
            uniform=0.0 if self._draw is None else self._draw.random(),
            repeats=self._repeats(),
        )

    def _repeats(self) -> Repeats | None:
        if self._ask.penalty == 1.0:
            return None
        return Repeats(self._ask.penalty, np.array([*self._ask.text_ids, *self._answer], np.int64))

    def accept(self, outcomes: Sequence[Outcome]) -> None:
        """Take the token that was chosen, unless part of the question is still to be fed."""
        if self.finished or self._pending:
            return
        if self._end_reason() is not None:
            self._note_first()
            self._end_where_due()
            return
        (token,) = outcomes
        if not self._reads_late:
            self._take(token)
            return
        earlier, self._unread = self._unread, token
        if earlier is not None and not self._take(earlier):
            return
        if len(self._answer) + 1 < self._ask.max_tokens:
            self._pending = [token]
        else:
            # Nothing is fed after the last one.
            self._take(token)

    def _take(self, token: Token) -> bool:
        """Read a token into the answer; it is pending then, with what it forces. Whether the answer goes on."""
        token_id = token.read()
        self._note_first()
        if token_id in self._text.end_ids:
            self._finish(DoneReason.STOP)
            return False
        if self._ask.matcher is not None:
            self._ask.matcher.accept(token_id)
        before = len(self._answer)
        self._extend([token_id, *self._forced()])
        self._pending = [*self._answer[before:]]
        self._end_where_due()
        return not self.finished

    def _note_first(self) -> None:
        if self._first_s is None:
            self._first_s = self._clock.monotonic_s()

    def _end_reason(self) -> DoneReason | None:
        """Why nothing comes after what the answer holds."""
        if self._ask.matcher is not None and self._ask.matcher.finished and not self._cut:
            return DoneReason.STOP
        return DoneReason.LENGTH if len(self._answer) >= self._ask.max_tokens else None

    def _end_where_due(self) -> None:
        reason = self._end_reason()
        if reason is not None:
            self._finish(reason)

    def cancel(self, reason: DoneReason = DoneReason.CANCELLED) -> None:
        """End with what has been decoded so far; without a result where that cannot be put into words."""
        if not self.finished:
            try:
                self._finish(reason)
            except BaseException:
                self._broken = True
                raise

    def take_deltas(self) -> list[str]:
        """Text that has become ready since the last call."""
        ready, self._deltas = self._deltas, []
        return ready

    def _forced(self) -> list[int]:
        matcher = self._ask.matcher
        if matcher is None or matcher.finished:
            return []
        return [token for token in matcher.forced() if token not in self._text.end_ids]

    def _extend(self, tokens: list[int]) -> None:
        room = self._ask.max_tokens - len(self._answer)
        self._cut = self._cut or len(tokens) > room
        self._answer.extend(tokens[:room])
        self._show(final=False)

    def _show(self, *, final: bool) -> None:
        ready = self._text.decode(self._answer[self._shown :], shows_control=self._ask.form is not None)
        # A letter may take several tokens; half of one decodes to the replacement character.
        if not ready or (ready.endswith("\N{REPLACEMENT CHARACTER}") and not final):
            return
        self._shown = len(self._answer)
        self._deltas.append(ready)
        self._written.append(ready)

    def _finish(self, reason: DoneReason) -> None:
        self._show(final=True)
        now_s = self._clock.monotonic_s()
        self._pending = []
        text, form = "".join(self._written), self._ask.form
        parts = AnswerParts() if form is None else form.read(text, is_whole=reason is DoneReason.STOP)
        self.done = AnswerDone(
            text=text,
            reason=reason,
            provenance=self._provenance,
            time_to_first_token_s=(now_s if self._first_s is None else self._first_s) - self._placed_s,
            elapsed_s=now_s - self._placed_s,
            answer_tokens=len(self._answer),
            thought=parts.thought,
            json=parts.json,
            tool_call=parts.tool_call,
            question_tokens=len(self._ask.question_ids),
        )


class ChoiceBranch:
    """Scores the options of one question: the question once, then all options side by side."""

    def __init__(
        self,
        backend: Backend,
        clock: Clock,
        choice: PreparedChoice,
        branch: Any,
        view: PinnedView,
        provenance: Provenance,
        placed_s: float,
    ) -> None:
        self.view = view
        self.done: ChoiceResult | None = None
        self._backend = backend
        self._clock = clock
        self._choice = choice
        self._branch = branch
        self._provenance = provenance
        self._placed_s = placed_s
        self._pending = list(choice.question_ids)
        self._scores: list[float] | None = None
        self._scored = 0
        self._stopped = False

    @property
    def finished(self) -> bool:
        """The options are scored, or the question was cancelled."""
        return self.done is not None or self._stopped

    @property
    def next_tokens(self) -> int:
        """How many tokens the next `rows` will feed."""
        if self._pending:
            return min(len(self._pending), _MAX_FED)
        return sum(len(option) - 1 for option in self._group())

    def rows(self) -> list[Row]:
        """The question, a piece at a time; then the options but their last tokens, which are only scored."""
        if self._pending:
            fed = self._pending[:_MAX_FED]
            positions, self.view.cursor = text_positions(self.view.cursor, len(fed))
            self._pending = self._pending[_MAX_FED:]
            return [Row(self._branch, fed, positions)]
        found = []
        for option in self._group():
            positions, _ = text_positions(self.view.cursor, len(option) - 1)
            fork = self._backend.fork_branch(self._branch, len(option) - 1)
            found.append(Row(fork, option[:-1], positions, every=True))
        return found

    def accept(self, outcomes: Sequence[Outcome]) -> None:
        """Add up log-probabilities."""
        if self.finished or self._pending:
            return
        options = self._choice.options_ids
        if self._scores is None:
            first = self._backend.log_probabilities(outcomes[0])
            self._scores = [float(first[option[0]]) for option in options]
        else:
            for option, after in zip(self._group(), outcomes, strict=True):
                table = self._backend.log_probabilities(after)
                self._scores[self._scored] += float(table[np.arange(len(option) - 1), option[1:]].sum())
                self._scored += 1
        # An option of one token has been scored by the question's own logits.
        while self._scored < len(options) and len(options[self._scored]) == 1:
            self._scored += 1
        if self._scored == len(options):
            self._end(self._scores)

    def _group(self) -> list[list[int]]:
        """Options that go together in the next pass: as many as a pass holds, at least one."""
        found: list[list[int]] = []
        room = _MAX_FED
        for option in self._choice.options_ids[self._scored :]:
            room -= len(option) - 1
            if len(option) == 1 or (found and room < 0):
                break
            found.append(option)
        return found

    def _end(self, scores: list[float]) -> None:
        weights = np.exp(np.array(scores) - max(scores))
        probabilities = weights / weights.sum()
        self.done = ChoiceResult(
            probabilities=tuple(float(value) for value in probabilities),
            best_index=int(np.argmax(probabilities)),
            provenance=self._provenance,
            elapsed_s=self._clock.monotonic_s() - self._placed_s,
        )

    def cancel(self) -> None:
        """Stop without a result."""
        self._stopped = True
