"""The memory of one video stream: frames in, branches out, old chunks let go. All on the device's owner thread.

It makes chunks of what it is given and hands them to the slab (`trunk_slab`); it decides nothing about when things
happen, and knows no tensors, no queues and no transports.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from stillwing_common.clock import Clock
from stillwing_common.errors import BudgetTooSmall, InvalidInput
from stillwing_common.ids import new_id
from stillwing_common.types import Stamp
from stillwing_vlm.core.backend import Backend, PinnedView
from stillwing_vlm.core.inputs.chunk_tokens import ChunkLayout, lay_out, time_labels
from stillwing_vlm.core.inputs.positions import text_positions
from stillwing_vlm.core.inputs.prepare import PreparedAsk, PreparedChoice, PreparedChunk
from stillwing_vlm.core.inputs.text import ChatText
from stillwing_vlm.core.limits import Limits
from stillwing_vlm.core.memory.branch import AskBranch, Branch, ChoiceBranch
from stillwing_vlm.core.memory.chunks import Chunk, Gone
from stillwing_vlm.core.memory.gate import GatePast, TokenGate, Verdict
from stillwing_vlm.core.memory.mean_vectors import frame_keys, mean_keys, text_query
from stillwing_vlm.core.memory.session_state import VERSION, PastState, SavedSession, SessionState
from stillwing_vlm.core.memory.snapshots import Snapshots
from stillwing_vlm.core.memory.trunk import Trunk
from stillwing_vlm.core.memory.trunk_slab import TrunkSlab
from stillwing_vlm.core.requests import SessionConfig
from stillwing_vlm.core.results import (
    AppendResult,
    Evicted,
    Pooled,
    RecallResult,
    SessionInfo,
    SnapshotInfo,
    TokenSaving,
)

_SMALLEST_CHUNK_TOKENS = 3


class VideoSession:
    """One stream's trunk, its branches and its snapshots."""

    def __init__(
        self,
        backend: Backend,
        text: ChatText,
        clock: Clock,
        limits: Limits,
        config: SessionConfig,
        trunk: Trunk,
        opening_ids: list[int],
        saved: SavedSession | None = None,
    ) -> None:
        """Make the slab and write the opening text, or what an export holds. `trunk` is a new one.

        Raises BudgetTooSmall, InvalidInput, Exhausted.
        """
        smallest = len(opening_ids) + 2 * _SMALLEST_CHUNK_TOKENS
        if trunk.budget < smallest:
            raise BudgetTooSmall(
                f"{trunk.budget} tokens cannot hold the opening text and two chunks, {smallest} at least",
                budget=trunk.budget,
                needed=smallest,
            )
        layers = backend.figures.layers
        if any(layer >= layers for layer in config.pooled_layers):
            raise InvalidInput(f"pooled_layers are below {layers}, the layers of this model", layers=layers)
        layout = config.layout
        if layout is not None and layout.memory > limits.max_recalled_frames:
            most = limits.max_recalled_frames
            raise InvalidInput(f"layout {layout} remembers more than the {most} frames this engine allows", limit=most)
        self.session_id = new_id("ses")
        self.config = config
        self.trunk = trunk
        self.slab = TrunkSlab(trunk, backend.new_store(trunk.capacity), limits.kept_kv_bytes)
        self._backend = backend
        self._text = text
        self._clock = clock
        self._limits = limits
        self._created_wall_ns = clock.wall_ns()
        self._snapshots = Snapshots(trunk, clock, limits.max_snapshots)
        self._appended_frames = 0
        self._answered_asks = 0
        self._dropped_tokens = 0
        self._gate = TokenGate(config.gate_levels, backend.preprocessing) if config.gate_levels else None
        self._origin = Stamp(0, "")
        if saved is None:
            first = trunk.cursor
            positions, cursor = text_positions(first, len(opening_ids))
            kept = backend.prefill(self.slab.store, 0, 0, backend.embed_text(opening_ids), positions, first)
            trunk.append(Chunk((), len(opening_ids), cursor - first, kept))
        else:
            self._adopt(saved)

    # Frames

    def append(self, chunk: PreparedChunk, placed_s: float) -> tuple[AppendResult, Evicted | None]:
        """Put one chunk into the trunk, letting old ones go first. Raises BudgetTooSmall; then nothing has changed."""
        trunk = self.trunk
        if not trunk.appended_chunks:
            self._origin = chunk.grid_times[0]
        began = trunk.cursor
        layout = self._layout(chunk, began)
        verdict = self._judged(chunk, layout)
        if verdict is not None:
            layout = layout.kept(verdict.keep)
        tokens, span = layout.tokens, layout.cursor - began
        trunk.check_fits(tokens)
        self._check_layout(len(chunk.frame_ids), tokens)
        embedding = self._backend.embed_chunk(chunk.patches, layout, chunk.staged)
        gone = self.slab.make_room(tokens, span, len(chunk.frame_ids))
        # Making room may have begun the positions anew.
        positions = layout.positions + (trunk.cursor - began)
        layers, store, keep = self.config.pooled_layers, self.slab.store, trunk.keeps_newest
        # Only chunks that may have to be written anew need more than their place in the slab.
        offset = trunk.cursor if keep or layers or self.slab.keeps_all else None
        kept = self._backend.prefill(store, trunk.start, trunk.tail, embedding, positions, offset)
        means = mean_keys(self._backend, store, chunk, layout, kept, layers) if layers else ()
        self.slab.append(Chunk(chunk.frame_ids, tokens, span, kept, mean_keys=means), keep=keep)
        self._appended_frames += len(chunk.frame_ids)
        saved = self._accepted(verdict)
        # It is acknowledged when it is there: frames are then never taken faster than the device takes them.
        self._backend.settle()
        elapsed_s = self._clock.monotonic_s() - placed_s
        rows, columns = chunk.patches.pixels.shape[1:3]
        result = AppendResult(chunk.frame_ids, tokens, trunk.tokens, elapsed_s, saved, (rows, columns))
        return result, self._evicted(gone)

    def _judged(self, chunk: PreparedChunk, layout: ChunkLayout) -> Verdict | None:
        if self._gate is None:
            return None
        if self.trunk.sink_open:
            # The sink is what everything after it is compared with, so it is whole.
            self._gate.forget()
        return self._gate.judge(chunk.patches.pixels, self.trunk.staying(layout.tokens, len(chunk.frame_ids)))

    def _accepted(self, verdict: Verdict | None) -> TokenSaving | None:
        if self._gate is None or verdict is None:
            return None
        self._gate.accept(verdict, self.trunk.appended_chunks - 1)
        self._dropped_tokens += verdict.dropped
        return TokenSaving(verdict.dropped, verdict.dropped / verdict.keep.size, verdict.changed_share)

    def recall(self, chunks: list[PreparedChunk]) -> tuple[RecallResult, Evicted | None]:
        """Replace the memory segment. Recalled frames see the sink and each other, never the window.

        Raises InvalidInput before the first frame, BudgetTooSmall; then nothing has changed.
        """
        trunk, backend = self.trunk, self._backend
        if trunk.sink_open:
            raise InvalidInput("append a frame before recalling others: the first one belongs to the sink")
        self._check_recalled(sum(len(chunk.frame_ids) for chunk in chunks))
        layouts: list[ChunkLayout] = []
        for chunk in chunks:
            layouts.append(self._layout(chunk, layouts[-1].cursor if layouts else trunk.sink_span))
        tokens = sum(layout.tokens for layout in layouts)
        self._check_memory_fits(tokens)
        scratch = backend.new_store(max(1, trunk.sink_tokens + tokens))
        offset = trunk.sink_offset
        scratch.place([(chunk.kept, at - offset) for chunk, at in trunk.front()[: len(trunk.sink)]], trunk.sink_tokens)
        tail, cursor, memory = trunk.sink_tokens, trunk.sink_span, []
        for chunk, layout in zip(chunks, layouts, strict=True):
            embedding = backend.embed_chunk(chunk.patches, layout, chunk.staged)
            kept = backend.prefill(scratch, 0, tail, embedding, layout.positions, cursor)
            memory.append(Chunk(chunk.frame_ids, layout.tokens, layout.cursor - cursor, kept))
            tail, cursor = tail + layout.tokens, layout.cursor
        return self._set_memory(memory)

    def recall_kept(self, frame_ids: tuple[str, ...]) -> tuple[RecallResult, Evicted | None]:
        """Replace the memory segment by evicted chunks as they were when they arrived, at other positions.

        Raises FrameNotKept, InvalidInput, BudgetTooSmall; then nothing has changed.
        """
        chunks = self.slab.kept_frames.chunks_of(frame_ids)
        frames = sum(len(chunk.frame_ids) for chunk in chunks)
        if frames > self._limits.max_recalled_frames:
            most = self._limits.max_recalled_frames
            raise InvalidInput(f"the chunks of these frames hold {frames} frames, at most {most} can be recalled")
        self._check_recalled(frames)
        self._check_memory_fits(sum(chunk.tokens for chunk in chunks))
        return self._set_memory(chunks)

    def _check_recalled(self, frames: int) -> None:
        layout = self.config.layout
        if layout is not None and frames > layout.memory:
            raise InvalidInput(f"{frames} frames are more than the memory of layout {layout} holds", layout=str(layout))

    def _check_memory_fits(self, tokens: int) -> None:
        sink, budget = self.trunk.sink_tokens, self.trunk.budget
        if sink + tokens > budget:
            raise BudgetTooSmall(f"sink {sink} + recalled {tokens} tokens > {budget}", needed=tokens)

    def _set_memory(self, chunks: list[Chunk]) -> tuple[RecallResult, Evicted | None]:
        gone = self.slab.set_memory(chunks)
        recalled = tuple(frame_id for chunk in chunks for frame_id in chunk.frame_ids)
        return RecallResult(recalled, self.trunk.tokens), self._evicted(gone)

    def _layout(self, chunk: PreparedChunk, cursor: int) -> ChunkLayout:
        how = self._backend.chunk_format
        return lay_out(
            cursor,
            chunk.patches.grid,
            how,
            self._text,
            seconds_per_grid=chunk.seconds_per_grid,
            labels=time_labels(chunk.grid_times, self._origin) if how.timed_grids else (),
        )

    def _check_layout(self, frames: int, tokens: int) -> None:
        """Raises InvalidInput for a chunk larger than the window, BudgetTooSmall where the layout will not fit."""
        layout, trunk = self.config.layout, self.trunk
        if layout is None:
            return
        if frames > layout.window:
            raise InvalidInput(f"a chunk of {frames} frames is larger than the window of layout {layout}")
        needed = trunk.sink[0].tokens + -(-tokens // frames) * layout.frames
        if not trunk.appended_chunks and needed > trunk.budget:
            raise BudgetTooSmall(
                f"layout {layout} needs {needed} tokens with frames of this size, the budget is {trunk.budget}: "
                "raise max_context_tokens, or take fewer frames",
                budget=trunk.budget,
                needed=needed,
            )

    def _evicted(self, gone: Gone) -> Evicted | None:
        if not gone.chunks:
            return None
        frame_ids = tuple(frame_id for chunk in gone.chunks for frame_id in chunk.frame_ids)
        keys = tuple(each for chunk in gone.chunks for each in frame_keys(chunk))
        return Evicted(frame_ids, self.trunk.oldest_frame_id, self.trunk.tokens, keys)

    def pool_vectors(self, texts: list[tuple[str, list[int]]], frame_ids: tuple[str, ...]) -> Pooled:
        """Mean queries of texts (with their tokens), and mean keys of those frames that are in the trunk.

        Raises InvalidInput for a session without `pooled_layers`.
        """
        if not self.config.pooled_layers:
            raise InvalidInput("this session was opened without pooled_layers", field="pooled_layers")
        ids = set(frame_ids)
        chunks = (chunk for chunk in (*self.trunk.sink, *self.trunk.window) if not ids.isdisjoint(chunk.frame_ids))
        known = {each.frame_id: each for chunk in chunks for each in frame_keys(chunk)}
        frames = tuple(known[frame_id] for frame_id in frame_ids if frame_id in known)
        opening, layers = self.trunk.sink[0], self.config.pooled_layers
        return Pooled(tuple(text_query(self._backend, opening, text, ids, layers) for text, ids in texts), frames)

    # Questions

    def fork_ask(self, ask: PreparedAsk, placed_s: float) -> AskBranch:
        """Start an answer that sees the trunk as it is now. Release it when it is finished."""
        view, provenance = self.slab.pin(ask.view)
        with self._released_where_it_breaks(view):
            branch = self._backend.new_branch(self.slab.store, view, len(ask.question_ids) + ask.max_tokens)
            return AskBranch(self._backend, self._text, self._clock, ask, branch, view, provenance, placed_s)

    def fork_choice(self, choice: PreparedChoice, placed_s: float) -> ChoiceBranch:
        """Start scoring options. Release it when it is finished."""
        view, provenance = self.slab.pin(choice.view)
        with self._released_where_it_breaks(view):
            branch = self._backend.new_branch(self.slab.store, view, len(choice.question_ids))
            return ChoiceBranch(self._backend, self._clock, choice, branch, view, provenance, placed_s)

    @contextmanager
    def _released_where_it_breaks(self, view: PinnedView) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.slab.release(view)
            raise

    def release(self, branch: Branch, *, answered: bool = True) -> None:
        """Let a branch go; its tokens are freed, nothing in the trunk has changed. `answered`: count it as an ask."""
        self.slab.release(branch.view)
        self._answered_asks += answered

    # Snapshots

    def take_snapshot(self, ttl_s: float | None, name: str = "") -> SnapshotInfo:
        """Keep the present state, in place of what has this name. Raises Exhausted, InvalidInput."""
        return self._snapshots.take(ttl_s, name)

    def restore_snapshot(self, snapshot: str) -> str:
        """Put the trunk back, by id or name; the newest frame of it. Raises UnknownSnapshot, SnapshotOverwritten."""
        self._snapshots.restore(snapshot)
        self.slab.keep_beyond_end()
        return self.trunk.last_frame_id

    def delete_snapshot(self, snapshot: str) -> bool:
        """Forget a snapshot, by id or name; False where there is none."""
        return self._snapshots.delete(snapshot)

    # Exports

    def save(self) -> SavedSession:
        """A copy of everything that another process needs to go on from here; costs about as much as a compaction."""
        trunk, backend = self.trunk, self._backend
        kept = [chunk.kept for chunk in trunk.rewritable]
        past = None if self._gate is None else self._gate.past
        state = SessionState(
            version=VERSION,
            fingerprint=backend.fingerprint,
            engine=backend.name,
            model=backend.model,
            dtype=backend.dtype,
            system_prompt=self.config.system_prompt,
            tools=self.config.tools,
            label=self.config.label,
            origin_ns=self._origin.time_ns,
            origin_clock_id=self._origin.clock_id,
            appended_frames=self._appended_frames,
            answered_asks=self._answered_asks,
            dropped_tokens=self._dropped_tokens,
            gate_levels=self.config.gate_levels or 0.0,
            gate_past=None if past is None else _sizes_of(past),
            saved_wall_ns=self._clock.wall_ns(),
            trunk=trunk.state(),
            layout=self.config.layout,
            kv_cache_dtype=backend.kv_cache_dtype,
        )
        return SavedSession(state, self.slab.store.copy_cache(trunk.start, trunk.tail, kept), past)

    def _adopt(self, saved: SavedSession) -> None:
        state, pieces, place = saved.state, [], 0
        for chunk in state.trunk.chunks:
            if chunk.kept:
                pieces.append((place, chunk.tokens))
            place += chunk.tokens
        self.trunk.adopt(state.trunk, self.slab.store.adopt_cache(saved.cache, pieces))
        self._origin = Stamp(state.origin_ns, state.origin_clock_id)
        self._appended_frames = state.appended_frames
        self._answered_asks = state.answered_asks
        self._dropped_tokens = state.dropped_tokens
        if self._gate is not None:
            self._gate.adopt(saved.gate_past)

    # State

    def info(self) -> SessionInfo:
        """As it stands."""
        trunk = self.trunk
        return SessionInfo(
            session_id=self.session_id,
            label=self.config.label,
            peer=self.config.peer,
            created_wall_ns=self._created_wall_ns,
            context_tokens=trunk.tokens,
            max_context_tokens=trunk.budget,
            sink_tokens=trunk.sink_tokens,
            appended_frames=self._appended_frames,
            evicted_frames=trunk.evicted_frames,
            live_asks=self.slab.live_views,
            answered_asks=self._answered_asks,
            last_frame_id=trunk.last_frame_id,
            oldest_frame_id=trunk.oldest_frame_id,
            eviction=trunk.eviction,
            recallable_frames=len(self.slab.kept_frames),
            gate_levels=self.config.gate_levels or 0.0,
            dropped_tokens=self._dropped_tokens,
            layout=self.config.layout,
            snapshots=self._snapshots.infos(),
        )


def _sizes_of(past: GatePast) -> PastState:
    (rows, columns, _), (place_rows, place_columns) = past.reference.shape, past.holder.shape
    return PastState((rows, columns), (place_rows, place_columns))
