"""An engine that answers from a script or by a program, and checks that nothing moves meanwhile."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace

from fake_world import DONE, World

from stillwing_common.errors import FrameNotKept, StillwingError, Unavailable, UnknownExport
from stillwing_common.types import (
    Frame,
)
from stillwing_vlm.core.chat_format import ChatFormat, Pointing
from stillwing_vlm.core.conversation import ToolCall, ToolCallFormat
from stillwing_vlm.core.limits import Limits as EngineLimits
from stillwing_vlm.core.requests import AskRequest, ChoiceRequest, SessionConfig
from stillwing_vlm.core.results import (
    AnswerDelta,
    AnswerDone,
    AppendResult,
    ChoiceResult,
    DoneReason,
    Evicted,
    ModelInfo,
    Provenance,
    RecallResult,
)

CHATTY = ChatFormat(("chat_template.jinja",), "chat_template.jinja", tools="template", pointing=Pointing.RESIZED_PIXELS)
"""Of a pretrained model, which is spoken to in its own template."""


class FakeAnswer:
    """An answer of two pieces."""

    def __init__(self, done: Awaitable[AnswerDone]) -> None:
        self._task = asyncio.ensure_future(done)

    async def __aiter__(self) -> AsyncIterator[AnswerDelta]:
        done = await asyncio.shield(self._task)
        half = len(done.text) // 2
        yield AnswerDelta(done.text[:half])
        yield AnswerDelta(done.text[half:])

    async def done(self) -> AnswerDone:
        return await asyncio.shield(self._task)

    def cancel(self) -> None:
        if not self._task.done():
            self._task.cancel()


class FakeSession:
    """Keeps `window` frames and answers from the engine's script."""

    session_id = "ses_fake"
    frame_credits = 2
    max_context_tokens = 1000

    def __init__(self, world: World, engine: "FakeEngine", config: SessionConfig, window: int = 6) -> None:
        self._world = world
        self._engine = engine
        self._config = config
        self._window = window
        self._evicted: asyncio.Queue[Evicted | None] = asyncio.Queue()
        self.frame_ids: list[str] = list(engine.exports[config.from_export]) if config.from_export else []
        self.restored_frame_id = self.frame_ids[-1] if self.frame_ids else ""
        self.appended: list[str] = []
        self._dead = False
        self._placed = 0
        self.recalled: list[tuple[str, tuple[str, ...]]] = []
        self.kept: set[str] = set()

    def append(
        self, *frames: Frame, deadline_s: float | None = None, skipped_frames: int = 0
    ) -> Awaitable[AppendResult]:
        return asyncio.ensure_future(self._append(*frames))

    async def _append(self, *frames: Frame) -> AppendResult:
        await asyncio.sleep(0.001)
        self._placed += 1
        if refusals := self._world.no_room:
            refusal = refusals[self._placed % len(refusals)]
            if refusal is not None:
                raise refusal
        self._check_alive()
        self.appended += [frame.frame_id for frame in frames]
        self.frame_ids += [frame.frame_id for frame in frames]
        if len(self.frame_ids) > self._window:
            oldest = self.frame_ids.pop(0)
            if self._engine.keeps:
                self.kept.add(oldest)
            self._evicted.put_nowait(Evicted((oldest,), self.frame_ids[0], 100))
        export = self._config.periodic_export
        if export is not None and len(self.appended) % export.every_chunks == 0:
            self._engine.exports[export.name] = tuple(self.frame_ids)
        return AppendResult(tuple(frame.frame_id for frame in frames), 20, 100, 0.0, shown_px=(364, 644))

    def _provenance(self) -> Provenance:
        return Provenance(self.frame_ids[-1], self.frame_ids[0], 100, 0)

    def ask(self, request: AskRequest) -> FakeAnswer:
        self._world.check_still(f"ask {request.prompt!r}")
        self._engine.asked.append(request)
        return FakeAnswer(self._answer(request))

    async def _answer(self, request: AskRequest) -> AnswerDone:
        provenance = self._provenance()
        await asyncio.sleep(self._engine.think_s)
        self._check_alive()
        self._world.check_still("answer")
        text = self._engine.next_answer(request)
        if request.messages:
            return _conversing(text, request, provenance)
        reason = DoneReason.STOP if text.endswith("}") or self._engine.free_text else DoneReason.LENGTH
        return AnswerDone(text, reason, provenance, 0.0, 0.0, 1)

    def ask_choice(self, request: ChoiceRequest) -> Awaitable[ChoiceResult]:
        self._world.check_still(f"ask {request.prompt!r}")
        self._engine.choices.append(request)
        return asyncio.ensure_future(self._choose(request))

    async def _choose(self, request: ChoiceRequest) -> ChoiceResult:
        provenance = self._provenance()
        await asyncio.sleep(self._engine.think_s)
        self._check_alive()
        self._world.check_still("answer")
        judged = request.options == ("yes", "no")
        wanted = self._engine.judgement if judged else self._engine.next_answer(None)
        best = request.options.index(wanted) if wanted in request.options else 0
        rest = 0.1 / (len(request.options) - 1)
        probabilities = tuple(0.9 if index == best else rest for index in range(len(request.options)))
        return ChoiceResult(probabilities, best, provenance, 0.0)

    async def recall(self, frames: Sequence[Frame]) -> RecallResult:
        assert all(frame.image.data for frame in frames)
        return self._recall("pixels", tuple(frame.frame_id for frame in frames))

    async def recall_kept(self, frame_ids: Sequence[str]) -> RecallResult:
        if not set(frame_ids) <= self.kept:
            raise FrameNotKept
        return self._recall("kept", tuple(frame_ids))

    def _recall(self, how: str, frame_ids: tuple[str, ...]) -> RecallResult:
        self.recalled.append((how, frame_ids))
        return RecallResult(frame_ids, 100)

    async def evictions(self) -> AsyncIterator[Evicted]:
        while (evicted := await self._evicted.get()) is not None:
            yield evicted

    def die(self) -> None:
        """Its process is gone."""
        self._dead = True
        self._evicted.put_nowait(None)

    def _check_alive(self) -> None:
        if self._dead or self._world.engine_dead:
            raise Unavailable("the engine is gone")

    async def wait_closed(self) -> StillwingError | None:
        await asyncio.get_running_loop().create_future()
        return None

    async def close(self) -> None:
        self._world.session_closed = True
        self._evicted.put_nowait(None)


def _conversing(text: str, request: AskRequest, provenance: Provenance) -> AnswerDone:
    """A line of thought and a call in JSON, read as an engine reads them in the model's own form; else free text."""
    done = AnswerDone(text, DoneReason.STOP, provenance, 0.0, 0.0, 1)
    if not isinstance(request.answer_format, ToolCallFormat):
        return done
    thought, _, said = text.rpartition("\n")
    try:
        wanted = json.loads(said)
    except ValueError:
        return replace(done, reason=DoneReason.LENGTH)
    return replace(done, thought=thought, tool_call=ToolCall(wanted["name"], json.dumps(wanted["arguments"])))


class FakeEngine:
    """Answers from `script`; past its end it says DONE."""

    def __init__(self, world: World, script: Sequence[str] = (), think_s: float = 0.005) -> None:
        self.world = world
        self.script = list(script)
        self.think_s = think_s
        self.free_text = False
        self.past_end = DONE
        self.keeps = False
        self.chat = ChatFormat()
        self.mind: Callable[[AskRequest], str] | None = None
        """Answers instead of the script."""
        self.judgement = "yes"
        """What it answers to whether an instruction is carried out."""
        self.asked: list[AskRequest] = []
        self.choices: list[ChoiceRequest] = []
        self.configs: list[SessionConfig] = []
        self.sessions: list[FakeSession] = []
        self.can_export = False
        self.exports: dict[str, tuple[str, ...]] = {}
        """Frames of each, by name."""
        self.name = "fake"

    def next_answer(self, request: AskRequest | None) -> str:
        if self.mind is not None and request is not None:
            return self.mind(request)
        return self.script.pop(0) if self.script else self.past_end

    async def model_info(self) -> ModelInfo:
        if self.world.engine_dead:
            raise Unavailable("nobody listens")
        return ModelInfo(
            "fake", self.name, "cpu", "float32", 0, 0, 4000, "", can_export=self.can_export, limits=EngineLimits(),
            chat=self.chat,
        )  # fmt: skip

    async def open_session(self, config: SessionConfig) -> FakeSession:
        if self.world.engine_dead:
            raise Unavailable("nobody listens")
        if config.from_export and config.from_export not in self.exports:
            raise UnknownExport(config.from_export)
        self.configs.append(config)
        self.sessions.append(FakeSession(self.world, self, config))
        return self.sessions[-1]

    async def delete_export(self, name: str) -> None:
        self.exports.pop(name, None)

    def die(self) -> None:
        """As if killed: sessions are gone, and nobody listens until it comes back."""
        self.world.engine_dead = True
        for session in self.sessions:
            session.die()

    def come_back(self) -> None:
        """As if started again: exports are there, sessions are not."""
        self.world.engine_dead = False
