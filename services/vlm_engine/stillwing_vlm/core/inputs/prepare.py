"""Requests made ready off the device: pictures to patches, prompts to tokens, schemas to grammars, limits checked.

Any thread may call it; it holds no state of a session.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from stillwing_common.errors import InvalidInput, TextTooLong
from stillwing_common.types import Frame, Stamp
from stillwing_vlm.core.inputs.grammar import GrammarCompiler, Matcher
from stillwing_vlm.core.inputs.images import PatchChunk, Pixels, Preprocessing, decode_image, to_patches
from stillwing_vlm.core.inputs.text import ChatText
from stillwing_vlm.core.limits import Limits
from stillwing_vlm.core.requests import MAX_POOLED_TEXTS, AskRequest, ChoiceRequest, Sampling, View, WatchRequest

_NO_TIME = Stamp(0, "")


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
        grammars: GrammarCompiler,
        preprocessing: Preprocessing,
        limits: Limits,
        stage: Callable[[PatchChunk], Any] = lambda chunk: None,
    ) -> None:
        """`stage`: see `Backend.stage`."""
        self._stage = stage
        self._text = text
        self._grammars = grammars
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

    def opening(self, system_prompt: str) -> list[int]:
        """Tokens that open a session. Raises TextTooLong."""
        self._check_text("system_prompt", system_prompt)
        return self._text.opening(system_prompt)

    def ask(self, request: AskRequest) -> PreparedAsk:
        """Raises TextTooLong, BadGrammar, InvalidInput."""
        self._check_text("prompt", request.prompt)
        self._check_text("json_schema", request.json_schema)
        limits = self._limits
        if request.max_tokens < 0 or request.max_tokens > limits.max_answer_tokens:
            raise InvalidInput(f"max_tokens is at most {limits.max_answer_tokens}", max_tokens=request.max_tokens)
        return PreparedAsk(
            question_ids=self._text.question(request.prompt),
            max_tokens=request.max_tokens or limits.default_answer_tokens,
            matcher=self._grammars.json(request.json_schema) if request.json_schema else None,
            sampling=request.sampling,
            view=request.view,
        )

    def choice(self, request: ChoiceRequest) -> PreparedChoice:
        """Raises TextTooLong, InvalidInput."""
        self._check_text("prompt", request.prompt)
        if len(request.options) > self._limits.max_options:
            raise InvalidInput(f"at most {self._limits.max_options} options", options=len(request.options))
        for option in request.options:
            self._check_text("option", option)
        options = tuple([*self._text.encode(option), self._text.end_id] for option in request.options)
        return PreparedChoice(self._text.question(request.prompt), options, request.view)

    def watch(self, request: WatchRequest) -> PreparedChoice:
        """Two options of one token each. Raises TextTooLong, InvalidInput."""
        for name, text in (("prompt", request.prompt), ("yes", request.yes), ("no", request.no)):
            self._check_text(name, text)
        yes, no = (self._text.encode(text)[:1] for text in (request.yes, request.no))
        if yes == no:
            raise InvalidInput(
                f"{request.yes!r} and {request.no!r} begin with the same token; choose other words",
                yes=request.yes,
                no=request.no,
            )
        return PreparedChoice(self._text.question(request.prompt), (yes, no), request.view)

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
        return found

    def _check_text(self, name: str, text: str) -> None:
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
