"""Requests made ready off the device: pictures to patches, prompts to tokens, schemas to grammars, limits checked.

Any thread may call it; it holds no state of a session.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from stillwing_common.errors import InvalidInput, TextTooLong
from stillwing_common.types import Frame, Stamp
from stillwing_vlm.core.conversation import AssistantTurn, Briefing, JsonFormat, Tool, Turn, check_text
from stillwing_vlm.core.inputs.answer_forms import AnswerForm, AnswerForms
from stillwing_vlm.core.inputs.chat import ModelChat
from stillwing_vlm.core.inputs.grammar import GrammarCompiler, Matcher
from stillwing_vlm.core.inputs.images import PatchChunk, Pixels, Preprocessing, decode_image, to_patches
from stillwing_vlm.core.inputs.text import ChatText, Piece
from stillwing_vlm.core.limits import Limits
from stillwing_vlm.core.requests import (
    MAX_POOLED_TEXTS,
    AskRequest,
    ChoiceRequest,
    ModelSampling,
    Sampling,
    View,
    WatchRequest,
)

MAX_OPTION_TOKENS = 256
"""Of one option of a choice, which is scored in one pass, as long as a piece of a question."""

_NO_TIME = Stamp(0, "")

NO_BRIEFING = Briefing("")
"""Of asks in the compact form, which do not go on from it."""


@dataclass(frozen=True, slots=True)
class PreparedChunk:
    """Frames ready for the vision encoder.

    `seconds_per_grid` is the time between grids of a stretch of video, `grid_times` the middle of each grid, both at
    the mean rate of the chunk.
    """

    frame_ids: tuple[str, ...]
    patches: PatchChunk
    seconds_per_grid: float
    grid_times: tuple[Stamp, ...]
    staged: Any = None
    """The patches on their way to the device, as the backend brings them there."""


@dataclass(frozen=True, slots=True)
class PreparedAsk:
    """A question in tokens, with what rules its answer."""

    question_ids: list[int]
    max_tokens: int
    matcher: Matcher | None
    sampling: Sampling | None
    view: View
    form: AnswerForm | None = None
    """Reads the answer's parts; None: it is text."""
    penalty: float = 1.0
    """By which the score of a token in `text_ids`, or already in the answer, is made less; 1: not at all."""
    text_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class PreparedChoice:
    """A question in tokens with its options, each ended as an answer ends."""

    question_ids: list[int]
    options_ids: tuple[list[int], ...]
    view: View


class Preparer:
    """Makes requests ready for one model."""

    def __init__(
        self,
        text: ChatText,
        chat: ModelChat,
        vocab_size: int,
        preprocessing: Preprocessing,
        limits: Limits,
        stage: Callable[[PatchChunk], Any] = lambda chunk: None,
    ) -> None:
        """`vocab_size`: see `GrammarCompiler`; `stage`: see `Backend.stage`."""
        self._stage = stage
        self._text = text
        self._chat = chat
        self._grammars = GrammarCompiler(text, vocab_size)
        self._forms = AnswerForms(chat, self._grammars)
        self._preprocessing = preprocessing
        self._limits = limits

    def chunk(self, frames: Sequence[Frame]) -> PreparedChunk:
        """Decode, resize and cut frames of one chunk. Raises what `core.inputs.images` raises, and InvalidInput."""
        for frame in frames:
            if not frame.frame_id:
                raise InvalidInput("a frame needs a frame_id")
        limits = self._limits
        pixels = [
            decode_image(frame.image, max_bytes=limits.max_image_bytes, max_pixels=limits.max_image_pixels)
            for frame in frames
        ]
        names = tuple(frame.frame_id for frame in frames)
        return self.pixels(names, pixels, _seconds_between(frames), frames[0].capture if frames else _NO_TIME)

    def pixels(
        self, frame_ids: tuple[str, ...], pixels: Sequence[Pixels], seconds_between: float, first: Stamp = _NO_TIME
    ) -> PreparedChunk:
        """The same from RGB `uint8[rows, columns, 3]`, for callers that hold pixels already.

        `first`: when the first of them was taken.
        """
        patches, time = to_patches(pixels, self._preprocessing), self._preprocessing.temporal_patch
        last = len(pixels) - 1
        middles_s = [seconds_between * (at + min(at + time - 1, last)) / 2 for at in range(0, len(pixels), time)]
        times = tuple(Stamp(first.time_ns + round(middle_s * 1e9), first.clock_id) for middle_s in middles_s)
        return PreparedChunk(frame_ids, patches, seconds_between * time, times, self._stage(patches))

    def opening(self, system_prompt: str, tools: tuple[Tool, ...] = ()) -> list[int]:
        """Tokens that open a session. Raises TextTooLong, InvalidInput, BadGrammar, ModelNotUsable."""
        self._check_text("system_prompt", system_prompt)
        most = self._limits.max_tools
        if len(tools) > most:
            raise InvalidInput(f"{len(tools)} tools, at most {most}", field="tools", limit=most)
        self._check_total("tools", sum(len(tool.description) + len(tool.parameters) for tool in tools))
        self._forms.check(tools)
        ids = self._chat.opening(Briefing(system_prompt, tools))
        self._check_tokens("tools" if tools else "system_prompt", "the opening", len(ids))
        return ids

    def ask(self, request: AskRequest, briefing: Briefing = NO_BRIEFING) -> PreparedAsk:
        """`briefing`: that of the session. Raises TextTooLong, BadGrammar, InvalidInput, ModelNotUsable."""
        self._check_text("json_schema", request.json_schema)
        limits = self._limits
        if request.max_tokens < 0 or request.max_tokens > limits.max_answer_tokens:
            raise InvalidInput(f"max_tokens is at most {limits.max_answer_tokens}", max_tokens=request.max_tokens)
        question_ids = self._question(briefing, request.prompt, request.messages)
        matcher, form = None, None
        if request.json_schema:
            matcher = self._grammars.json(request.json_schema)
        elif request.answer_format is not None:
            if isinstance(request.answer_format, JsonFormat):
                self._check_text("json_schema", request.answer_format.json_schema)
            held = self._forms.held(request.answer_format, briefing.tools)
            matcher, form = held.matcher, held.form
            question_ids = [*question_ids, *self._text.encode_pieces([Piece(held.lead)])]
        sampling, penalty = self._sampling(request.sampling)
        return PreparedAsk(
            question_ids=question_ids,
            max_tokens=request.max_tokens or limits.default_answer_tokens,
            matcher=matcher,
            sampling=sampling,
            view=request.view,
            form=form,
            penalty=penalty,
            text_ids=() if penalty == 1.0 else (*self._chat.opening(briefing), *question_ids),
        )

    def choice(self, request: ChoiceRequest, briefing: Briefing = NO_BRIEFING) -> PreparedChoice:
        """`briefing`: that of the session. Raises TextTooLong, InvalidInput, ModelNotUsable."""
        question_ids = self._question(briefing, request.prompt)
        if len(request.options) > self._limits.max_options:
            raise InvalidInput(f"at most {self._limits.max_options} options", options=len(request.options))
        for option in request.options:
            self._check_text("option", option)
        options = tuple([*self._text.encode(option), self._text.end_id] for option in request.options)
        longest = max(map(len, options)) - 1
        if longest > MAX_OPTION_TOKENS:
            raise TextTooLong(
                f"an option has {longest} tokens, at most {MAX_OPTION_TOKENS}", field="options", limit=MAX_OPTION_TOKENS
            )
        return PreparedChoice(question_ids, options, request.view)

    def watch(self, request: WatchRequest, briefing: Briefing = NO_BRIEFING) -> PreparedChoice:
        """Two options of one token each. Raises TextTooLong, InvalidInput, ModelNotUsable."""
        question_ids = self._question(briefing, request.prompt)
        self._check_text("yes", request.yes)
        self._check_text("no", request.no)
        yes, no = (self._text.encode(text)[:1] for text in (request.yes, request.no))
        if yes == no:
            raise InvalidInput(
                f"{request.yes!r} and {request.no!r} begin with the same token; choose other words",
                yes=request.yes,
                no=request.no,
            )
        return PreparedChoice(question_ids, (yes, no), request.view)

    def _question(self, briefing: Briefing, prompt: str, messages: tuple[Turn, ...] = ()) -> list[int]:
        limits = self._limits
        if messages:
            if len(messages) > limits.max_messages:
                most = limits.max_messages
                raise InvalidInput(f"{len(messages)} messages, at most {most}", field="messages", limit=most)
            for turn in messages:
                self._check_text("messages.text", turn.text)
            calls = [call for turn in messages if isinstance(turn, AssistantTurn) for call in turn.tool_calls]
            chars = sum(len(turn.text) for turn in messages) + sum(len(call.arguments) for call in calls)
            self._check_total("messages", chars)
            ids = self._chat.messages(briefing, messages)
        else:
            self._check_text("prompt", prompt)
            ids = self._chat.question(briefing, prompt)
        self._check_tokens("messages" if messages else "prompt", "the question", len(ids))
        return ids

    def _sampling(self, wanted: Sampling | ModelSampling | None) -> tuple[Sampling | None, float]:
        """How tokens are drawn (None: not at all) and what repeating one costs."""
        if not isinstance(wanted, ModelSampling):
            return wanted, 1.0
        own = self._chat.sampling
        if not own.temperature:
            return None, own.repetition_penalty
        return Sampling(own.temperature, own.top_p, wanted.seed, own.top_k), own.repetition_penalty

    def texts(self, texts: Sequence[str]) -> list[tuple[str, list[int]]]:
        """Texts with their tokens, of which each has one at least. Raises TextTooLong, InvalidInput."""
        if len(texts) > MAX_POOLED_TEXTS:
            raise InvalidInput(f"at most {MAX_POOLED_TEXTS} texts", texts=len(texts))
        found = []
        for text in texts:
            self._check_text("text", text)
            ids = self._text.encode(text)
            if not ids:
                raise InvalidInput("a text is empty", field="texts")
            found.append((text, ids))
        self._check_tokens("texts", "the texts together", sum(len(ids) for _, ids in found))
        return found

    def _check_tokens(self, field: str, what: str, tokens: int) -> None:
        """Tokens are what the device's time goes by: of some texts each character is four."""
        most = self._limits.max_question_tokens
        if tokens > most:
            verb = "have" if field == "texts" else "has"
            raise TextTooLong(f"{what} {verb} {tokens} tokens, at most {most}", field=field, limit=most)

    def _check_total(self, name: str, chars: int) -> None:
        most = self._limits.max_conversation_chars
        if chars > most:
            raise TextTooLong(f"{name} have {chars} characters together, at most {most}", field=name, limit=most)

    def _check_text(self, name: str, text: str) -> None:
        check_text(name, text)
        if len(text) > self._limits.max_text_chars:
            raise TextTooLong(
                f"{name} has {len(text)} characters, at most {self._limits.max_text_chars}",
                field=name,
                limit=self._limits.max_text_chars,
            )


def _seconds_between(frames: Sequence[Frame]) -> float:
    """Mean time between the frames of a chunk; 1 for a single frame, where it does not matter."""
    if len(frames) < 2:
        return 1.0
    if len({frame.capture.clock_id for frame in frames}) > 1:
        raise InvalidInput("the frames of one chunk are stamped by one clock")
    stamps = [frame.capture.time_ns for frame in frames]
    if any(later <= earlier for earlier, later in pairwise(stamps)):
        raise InvalidInput("the frames of one chunk rise in time")
    return (stamps[-1] - stamps[0]) / 1e9 / (len(frames) - 1)
