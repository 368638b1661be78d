"""The engine without threads, queues or event loops, for evaluation, notebooks and benchmarks.

    engine = LocalEngine.load()                      # the pilot, on the CPU
    session = engine.open("You fly a drone.")
    session.append(pixels)                           # uint8[rows, columns, 3], or a Frame
    print(session.ask("What do you see?").text)

Everything runs on the caller's thread, one call at a time; one engine belongs to one thread.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from stillwing_common.types import Frame, Stamp
from stillwing_vlm.core.catalog import LoadedEngine, ModelSource, load_engine
from stillwing_vlm.core.conversation import AnswerFormat, Tool, Turn
from stillwing_vlm.core.inputs.images import Pixels
from stillwing_vlm.core.inputs.prepare import PreparedChunk
from stillwing_vlm.core.limits import Limits
from stillwing_vlm.core.memory.branch import AskBranch, ChoiceBranch
from stillwing_vlm.core.memory.exports import read_session, write_session
from stillwing_vlm.core.memory.session_state import SavedSession
from stillwing_vlm.core.requests import (
    FULL_VIEW,
    AskRequest,
    ChoiceRequest,
    Eviction,
    FrameLayout,
    ModelSampling,
    Sampling,
    SessionConfig,
    View,
)
from stillwing_vlm.core.results import (
    AnswerDone,
    AppendResult,
    ChoiceResult,
    Evicted,
    ModelInfo,
    Pooled,
    RecallResult,
    SessionInfo,
    SnapshotInfo,
)


class LocalSession:
    """One stream's memory, driven synchronously."""

    def __init__(
        self,
        engine: LoadedEngine,
        config: SessionConfig,
        *,
        first_position: int = 0,
        rebases: bool = True,
        saved: SavedSession | None = None,
    ) -> None:
        self._engine = engine
        self._count = 0
        self.evicted: list[Evicted] = []
        if saved is not None:
            self.video = engine.restore_session(saved, config)
            self._count = self.video.info().appended_frames
        else:
            opening = engine.preparer.opening(config.system_prompt, config.tools)
            self.video = engine.open_session(config, opening, first_position=first_position, rebases=rebases)

    def append(self, *frames: Frame | Pixels) -> AppendResult:
        """Add one chunk of frames, or of RGB arrays `uint8[rows, columns, 3]`, which count as a second apart.

        Evictions are added to `evicted`.
        """
        placed_s = self._engine.clock.monotonic_s()
        result, evicted = self.video.append(self._prepared(frames), placed_s)
        if evicted is not None:
            self.evicted.append(evicted)
        return result

    def recall(self, *frames: Frame | Pixels) -> RecallResult:
        """Replace the memory segment by single frames; none empties it."""
        result, evicted = self.video.recall([self._prepared((frame,)) for frame in frames])
        if evicted is not None:
            self.evicted.append(evicted)
        return result

    def recall_kept(self, *frame_ids: str) -> RecallResult:
        """Replace the memory segment by evicted frames as they were; none empties it."""
        result, evicted = self.video.recall_kept(frame_ids)
        if evicted is not None:
            self.evicted.append(evicted)
        return result

    def ask(
        self,
        prompt: str | Sequence[Turn],
        *,
        json_schema: str = "",
        answer_format: AnswerFormat | None = None,
        max_tokens: int = 0,
        sampling: Sampling | ModelSampling | None = None,
        view: View = FULL_VIEW,
    ) -> AnswerDone:
        """Ask with a prompt, or with the messages of a conversation, and wait for the whole answer. The trunk never
        changes by it.
        """
        messages = () if isinstance(prompt, str) else tuple(prompt)
        request = AskRequest(
            prompt if isinstance(prompt, str) else "",
            max_tokens,
            json_schema,
            sampling,
            view,
            messages=messages,
            answer_format=answer_format,
        )
        return self.answer(self.fork(request))

    def fork(self, request: AskRequest) -> AskBranch:
        """Start an ask without decoding it, to see it beside others or beside appends; end it with `answer`."""
        placed_s = self._engine.clock.monotonic_s()
        return self.video.fork_ask(self._engine.preparer.ask(request, self.video.config.briefing), placed_s)

    def answer(self, branch: AskBranch) -> AnswerDone:
        """Decode a forked ask to its end and let it go."""
        try:
            while not branch.finished:
                branch.accept(self._engine.backend.advance(branch.rows()))
        finally:
            self.video.release(branch)
        assert branch.done is not None
        return branch.done

    def ask_choice(self, prompt: str, options: Sequence[str], *, view: View = FULL_VIEW) -> ChoiceResult:
        """Score the options by the probability of their whole text."""
        placed_s = self._engine.clock.monotonic_s()
        request = ChoiceRequest(prompt, tuple(options), view)
        prepared = self._engine.preparer.choice(request, self.video.config.briefing)
        branch: ChoiceBranch = self.video.fork_choice(prepared, placed_s)
        try:
            while not branch.finished:
                branch.accept(self._engine.backend.advance(branch.rows()))
        finally:
            self.video.release(branch)
        assert branch.done is not None
        return branch.done

    def take_snapshot(self, ttl_s: float | None = None, name: str = "") -> SnapshotInfo:
        """Keep the trunk's present state, in place of what has this name."""
        return self.video.take_snapshot(ttl_s, name)

    def restore_snapshot(self, snapshot: str) -> str:
        """Put the trunk back, by id or name; the newest frame of it."""
        return self.video.restore_snapshot(snapshot)

    def delete_snapshot(self, snapshot: str) -> None:
        """Free a snapshot, by id or name; deleting what is gone succeeds."""
        self.video.delete_snapshot(snapshot)

    def export(self, path: Path) -> int:
        """Keep the session in a file, in place of what is there; its bytes. Raises ExportNotWritten."""
        return write_session(self._engine.backend, path, self.video.save())

    def pool_vectors(self, texts: Sequence[str], frame_ids: Sequence[str] = ()) -> Pooled:
        """Mean queries of texts and mean keys of frames of the trunk. Raises InvalidInput without `pooled_layers`."""
        return self.video.pool_vectors(self._engine.preparer.texts(texts), tuple(frame_ids))

    def info(self) -> SessionInfo:
        """As it stands."""
        return self.video.info()

    def _prepared(self, frames: Sequence[Frame | Pixels]) -> PreparedChunk:
        preparer = self._engine.preparer
        self._count += len(frames)
        given = [frame for frame in frames if isinstance(frame, Frame)]
        if len(given) == len(frames):
            return preparer.chunk(given)
        if given:
            raise TypeError("a chunk is made of frames or of arrays, not of both")
        first = self._count - len(frames)
        names = tuple(f"local/{first + index}" for index in range(len(frames)))
        pixels = [frame for frame in frames if not isinstance(frame, Frame)]
        return preparer.pixels(names, pixels, 1.0, Stamp(first * 1_000_000_000, "local"))


class LocalEngine:
    """One loaded model on the caller's thread."""

    def __init__(self, loaded: LoadedEngine) -> None:
        self.loaded = loaded

    @classmethod
    def load(cls, source: ModelSource | None = None, limits: Limits | None = None) -> Self:
        """Load a model; by default the pilot on the CPU. Raises ModelNotUsable, DeviceAbsent, MissingExtra."""
        return cls(load_engine(source or ModelSource(device="cpu"), limits))

    def open(
        self,
        system_prompt: str = SessionConfig().system_prompt,
        max_context_tokens: int = 0,
        *,
        eviction: Eviction | None = None,
        gate_levels: float | None = None,
        pooled_layers: Sequence[int] = (),
        layout: FrameLayout | None = None,
        tools: Sequence[Tool] = (),
    ) -> LocalSession:
        """Open a session; the memory is freed with the object."""
        config = SessionConfig(
            system_prompt,
            max_context_tokens,
            eviction=eviction,
            gate_levels=gate_levels,
            pooled_layers=tuple(pooled_layers),
            layout=layout,
            tools=tuple(tools),
        )
        return LocalSession(self.loaded, config)

    def open_export(self, path: Path) -> LocalSession:
        """Go on with a session from a file. Raises ExportUnusable, Exhausted."""
        return LocalSession(self.loaded, SessionConfig(), saved=read_session(self.loaded.backend, path))

    def info(self) -> ModelInfo:
        """What is loaded."""
        return self.loaded.info()
