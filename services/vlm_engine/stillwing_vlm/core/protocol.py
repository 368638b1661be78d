"""What an engine is to its callers: sessions over one video stream each, and questions forked off them.

Two implementations share all of these protocols: the engine of this process (`core.serving.engine.AsyncEngine`) and the
one behind the wire (`client.RemoteEngine`). Who needs a part of a session asks for that part alone. This module knows
nothing of models, tensors, threads or transports.

Order: requests of one session take effect in the order in which its methods were called. The call itself places the
request; awaiting the result comes later and may be left out. An ask therefore sees every frame appended before it and
none appended after it, however late its answer is read.

Threads: every method is called on the event loop on which the engine was made.
"""

from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Protocol, TypeVar

from stillwing_common.errors import StillwingError
from stillwing_common.types import Frame
from stillwing_vlm.core.requests import AskRequest, ChoiceRequest, SessionConfig, WatchRequest
from stillwing_vlm.core.results import (
    AnswerDelta,
    AnswerDone,
    AppendResult,
    ChoiceResult,
    Evicted,
    ExportInfo,
    ModelInfo,
    Pooled,
    RecallResult,
    SessionInfo,
    SnapshotInfo,
    WatchEvent,
)

S = TypeVar("S", covariant=True)


class Answer(Protocol):
    """An ask under way."""

    def __aiter__(self) -> AsyncIterator[AnswerDelta]:
        """Pieces of the answer as they are decoded; ends when the answer ends. May be left unread."""

    async def done(self) -> AnswerDone:
        """Wait for the end. Raises what the ask failed with. May be called again and by several readers."""

    def cancel(self) -> None:
        """Stop decoding; `done` then returns what was decoded so far with reason CANCELLED. No effect after the end."""


class Watch(Protocol):
    """A watch condition that is set."""

    def __aiter__(self) -> AsyncIterator[WatchEvent]:
        """A log stream: its first state, then every change. Ends when it is unset or the session ends.

        Raises what it was refused with: TooManyWatches, QueueFull, TextTooLong, InvalidInput.
        """

    def unset(self) -> None:
        """Ask no more. No effect once it has ended."""


class VideoStream(Protocol):
    """Frames into the memory of one video stream, and word of those that leave it."""

    def append(
        self, *frames: Frame, deadline_s: float | None = None, skipped_frames: int = 0
    ) -> Awaitable[AppendResult]:
        """Add one chunk: frames that the vision encoder sees together, oldest first.

        Costs a credit a frame, returned when the result (or the failure) is there. It should be in the trunk
        `deadline_s` after its placing (None: a frame period); of several sessions' appends the one with the earliest
        deadline goes first, and a late one is still appended. `skipped_frames` that the caller itself let go before
        this chunk are counted with those dropped here.

        Raises, when awaited: OutOfCredits, TooManyFrameBytes, QueueFull, ImageEmpty, ImageUndecodable, ImageTooLarge,
        InvalidInput, BudgetTooSmall; under NEWEST_WINS also FrameSuperseded, where a newer frame took its place. A
        failed append leaves the trunk as it was.

        Under NEWEST_WINS a chunk that takes the place of a waiting one needs no credit. An ask (or any other request)
        placed between two frames keeps the first from giving way to the second: the ask still sees the newest frame
        that was placed before it.
        """

    def evictions(self) -> AsyncIterator[Evicted]:
        """A log stream: every eviction after this call, in order. Ends with the session."""

    async def close(self) -> None:
        """End the session. Asks under way end as cancelled. Closing twice does nothing."""


class Questions(Protocol):
    """Questions of what the memory holds. The trunk never changes by them."""

    def ask(self, request: AskRequest) -> Answer:
        """Fork a branch off the trunk as it is after all requests placed so far. The trunk never changes by it.

        Raises, from `done`: TooManyBranches, QueueFull, TextTooLong, BadGrammar, InvalidInput.
        """

    def ask_choice(self, request: ChoiceRequest) -> Awaitable[ChoiceResult]:
        """Score the options by the probability of their whole text. Raises like `ask`, and AnswerTimeout."""


class Watches(Protocol):
    """Standing questions."""

    def set_watch(self, request: WatchRequest) -> Watch:
        """Ask a yes/no question now, if there is a frame, and again as chunks come; tell of changes.

        Each time it is a branch of its own that is read in steps shared with other answers, so appends wait for it no
        longer than for any answer; where the last reading is still under way, this one is left out.
        """


class Recall(Protocol):
    """Frames into the memory segment, and what it takes to choose them."""

    def recall(self, frames: Sequence[Frame]) -> Awaitable[RecallResult]:
        """Replace the memory segment by these frames, oldest first; none empties it. Raises like `append`."""

    def recall_kept(self, frame_ids: Sequence[str]) -> Awaitable[RecallResult]:
        """Replace the memory segment by evicted frames as they were: the keys and values they had, at other positions.

        Costs no pass of the model. Their chunks come whole, with the other frames of each.
        Raises, when awaited: FrameNotKept, InvalidInput, BudgetTooSmall; then nothing has changed.
        """

    def pool_vectors(self, texts: Sequence[str], frame_ids: Sequence[str] = ()) -> Awaitable[Pooled]:
        """Mean queries of texts and mean keys of frames of the trunk, in the session's `pooled_layers`.

        Frames that are not in the trunk are left out: they were evicted, and their keys were told then. The trunk never
        changes by it. Raises, when awaited: InvalidInput, for a session without `pooled_layers` too, TextTooLong.
        """


class Snapshots(Protocol):
    """States of the trunk to go back to."""

    def take_snapshot(self, ttl_s: float | None = None, name: str = "") -> Awaitable[SnapshotInfo]:
        """Keep the trunk's present state. O(1). It dies with the session, or `ttl_s` after its last use.

        It takes the place of the session's snapshot of this name in one step; what was there is there still where this
        fails. Unnamed ones replace nothing.

        Raises, when awaited: InvalidInput for a name that is none or a ttl of 0 or less, Exhausted.
        """

    def restore_snapshot(self, snapshot: str) -> Awaitable[str]:
        """Put the trunk back, by id or name; returns the newest frame id of the restored context, or "".

        Raises, when awaited: UnknownSnapshot, SnapshotOverwritten.
        """


class Exports(Protocol):
    """The trunk in a file of the engine's, to go on from in another process."""

    @property
    def restored_frame_id(self) -> str:
        """Newest frame of the export it goes on from, or ""; the frames since are for the caller to append."""

    def export(self, name: str) -> Awaitable[ExportInfo]:
        """Keep the trunk, as it is after all requests placed so far, in a file of the engine's, in place of what has
        this name. Requests placed later do not wait for the file. One at a time in a session.

        Raises, when awaited: ExportsOff, InvalidInput for a name that is none, Exhausted, ExportNotWritten.
        """


class Session(VideoStream, Questions, Watches, Recall, Snapshots, Exports, Protocol):
    """All that one stream's memory does. Closing it frees everything it holds, snapshots included."""

    @property
    def session_id(self) -> str:
        """Opaque id, as `Engine.get_session` takes it."""

    @property
    def frame_credits(self) -> int:
        """Most frames that may be placed and not yet acknowledged."""

    @property
    def max_context_tokens(self) -> int:
        """The budget in force."""

    async def wait_closed(self) -> StillwingError | None:
        """Wait until the session is over; why, or None where its caller closed it."""


class SessionSource(Protocol[S]):
    """A loaded model that opens sessions of some kind: what callers need who open and ask."""

    async def model_info(self) -> ModelInfo:
        """What is loaded."""

    async def open_session(self, config: SessionConfig) -> S:
        """Open a session. Raises TooManySessions, TooManyContextTokens, BudgetTooSmall, TextTooLong, Exhausted; where
        it is to go on from an export also ExportsOff, UnknownExport, ExportUnusable.

        A session of which nothing is asked for `Limits.idle_timeout_s` is ended with SessionIdle.
        """


class Engine(SessionSource[Session], Protocol):
    """One loaded model, with all that it keeps."""

    async def list_sessions(self) -> list[SessionInfo]:
        """Open sessions, oldest first."""

    async def get_session(self, session_id: str) -> SessionInfo:
        """One open session. Raises UnknownSession."""

    async def delete_snapshot(self, snapshot: str, session_id: str = "") -> None:
        """Free a snapshot, by its id, or by its name in a session; deleting what is gone succeeds.

        Raises InvalidInput for a name without a session.
        """

    async def list_exports(self) -> list[ExportInfo]:
        """Sessions kept in files, oldest first. Raises ExportsOff."""

    async def delete_export(self, name: str) -> None:
        """Remove an export; deleting what is gone succeeds. Raises ExportsOff, InvalidInput."""

    async def close(self) -> None:
        """Close every session and let the device go."""
