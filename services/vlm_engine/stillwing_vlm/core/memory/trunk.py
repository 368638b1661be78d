"""Where each part of a session's video memory lies in its slab, and at which positions: `[sink | memory | window]`.

    slab   0 ........ start ........ head ............ tail ........ capacity
                      [sink|memory]  [window           ]

The three parts are one contiguous slice `[start, tail)`. Letting the oldest chunk go moves `head` over it; the sink
and the memory are then written anew directly in front of `head`, at positions that end where the window begins.
Nothing in the window moves or turns, because rotary scores depend on differences of positions alone.

Other ways to let chunks go are compared with that one in `ablation`.

It holds whole numbers and its callers' handles, and knows nothing of tensors, models or threads.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from stillwing_common.errors import BudgetTooSmall, SnapshotOverwritten
from stillwing_vlm.core.memory.chunks import Chunk, Gone, Move
from stillwing_vlm.core.memory.marks import Marks, TrunkMark
from stillwing_vlm.core.memory.session_state import ChunkState, TrunkState
from stillwing_vlm.core.planner import SLAB_SLACK
from stillwing_vlm.core.requests import DEFAULT_EVICTION, Eviction, FrameLayout


class Trunk:
    """Book-keeping of one session's trunk. Not thread-safe; used by the device's owner thread."""

    eviction: Eviction = DEFAULT_EVICTION
    """How it lets chunks go."""

    def __init__(
        self,
        budget: int,
        slack: float = SLAB_SLACK,
        first_position: int = 0,
        position_limit: int | None = None,
        layout: FrameLayout | None = None,
    ) -> None:
        """`budget`: most tokens in the trunk; `slack`: share of it added to the slab, so that moves are rare.

        `position_limit`: the cursor stays at or below it as long as the trunk itself spans at most three quarters of
        it; None lets positions grow. `layout` None: the first chunk with frames is all of the sink, and
        the window is as the budget allows.
        """
        if budget < 1 or slack < 0:
            raise ValueError("budget is at least 1 token and slack is not negative")
        self.budget = budget
        self.capacity = budget + max(1, int(budget * slack))
        self.head = 0
        self.tail = 0
        self.cursor = first_position
        self._first_position = first_position
        self._position_limit = position_limit
        self._sink_frames = 1 if layout is None else layout.sink
        self._window_frames = None if layout is None else layout.window
        self.sink: list[Chunk] = []
        self.memory: tuple[Chunk, ...] = ()
        self.window: deque[Chunk] = deque()
        # Kept up to date: adding it up at each eviction would cost more the longer the window.
        self._window_span = 0
        self.sink_open = True
        self.appended_chunks = 0
        self.evicted_frames = 0
        self.front_epoch = 0
        self.moves = 0
        self.rebases = 0
        self._marks = Marks()

    @property
    def sink_tokens(self) -> int:
        """Tokens of the sink: the opening text and, once it is there, the first chunk."""
        return sum(chunk.tokens for chunk in self.sink)

    @property
    def sink_span(self) -> int:
        """Positions the sink takes."""
        return sum(chunk.span for chunk in self.sink)

    @property
    def memory_tokens(self) -> int:
        """Tokens of the memory segment."""
        return sum(chunk.tokens for chunk in self.memory)

    @property
    def memory_span(self) -> int:
        """Positions the memory segment takes."""
        return sum(chunk.span for chunk in self.memory)

    @property
    def front_tokens(self) -> int:
        """Tokens in front of the window: sink and memory."""
        return self.sink_tokens + self.memory_tokens

    @property
    def start(self) -> int:
        """Slab place of the sink's first token."""
        return self.head - self.front_tokens

    @property
    def tokens(self) -> int:
        """Tokens in the trunk."""
        return self.tail - self.start

    @property
    def window_position(self) -> int:
        """Position at which the window begins."""
        return self.cursor - self._window_span

    @property
    def sink_offset(self) -> int:
        """Position at which the sink begins: memory and window follow on it."""
        return self._sink_before(self.window_position - self.memory_span)

    def _sink_before(self, position: int) -> int:
        """Where the sink begins in front of what begins at `position`."""
        return position - self.sink_span

    @property
    def rewritable_chunks(self) -> int:
        """How many of the window's first chunks may have to be written anew: none, where only the oldest leave."""
        return 0

    @property
    def rewritable(self) -> list[Chunk]:
        """All chunks that may have to be written anew, in slab order."""
        return [*self.sink, *self.memory, *islice(self.window, self.rewritable_chunks)]

    @property
    def keeps_newest(self) -> bool:
        """Whether the chunk that comes next may have to be written anew."""
        return self.sink_open

    def place_of(self, index: int) -> int:
        """Slab place at which the window's chunk of this index begins."""
        return self.head + sum(chunk.tokens for chunk in islice(self.window, index))

    def front(self, stale: int = 0) -> list[tuple[Chunk, int]]:
        """Sink, memory and the window's first `stale` chunks, each with the position at which it begins."""
        return [
            *following(self.sink, self.sink_offset),
            *following(self.memory, self.window_position - self.memory_span),
            *self._with_positions(islice(self.window, stale), self.window_position),
        ]

    def _with_positions(self, chunks: Iterable[Chunk], position: int) -> Iterable[tuple[Chunk, int]]:
        """Chunks of the window, each with the position at which it begins; the first begins at `position`."""
        return following(chunks, position)

    @property
    def last_frame_id(self) -> str:
        """Newest frame in the trunk, or ""."""
        for chunk in (*reversed(self.window), *reversed(self.sink)):
            if chunk.frame_ids:
                return chunk.frame_ids[-1]
        return ""

    @property
    def oldest_frame_id(self) -> str:
        """Oldest frame of the window, or ""."""
        return self.window[0].frame_ids[0] if self.window else ""

    # Changes

    def check_fits(self, tokens: int) -> None:
        """Raise BudgetTooSmall where `tokens` more cannot fit even with an empty window. Changes nothing."""
        if self.front_tokens + tokens > self.budget:
            raise BudgetTooSmall(
                f"sink {self.sink_tokens} + memory {self.memory_tokens} + new {tokens} tokens > {self.budget}",
                budget=self.budget,
                needed=self.front_tokens + tokens,
            )

    def evict_for(self, tokens: int, frames: int = 0) -> Gone:
        """Let whole chunks go until `tokens` more fit the budget and `frames` more the window.

        The caller then rewrites the front.
        """
        self.check_fits(tokens)
        gone: list[Chunk] = []
        stale = 0
        excess = self._excess_frames(frames)
        while self.tokens + tokens > self.budget or (excess > 0 and self.window):
            index = self._next_to_go(self.window)
            chunk = self.window[index]
            del self.window[index]
            self.head += chunk.tokens
            self._window_span -= chunk.span
            self.evicted_frames += len(chunk.frame_ids)
            excess -= len(chunk.frame_ids)
            gone.append(chunk)
            stale = max(index, stale - 1)
        if gone:
            self._front_changed()
        return Gone(gone, stale)

    def staying(self, tokens: int, frames: int = 0) -> set[int]:
        """Ordinals of the chunks that stay where so much more has to fit, the sink's among them. Changes nothing."""
        window = list(self.window)
        excess, excess_frames = self.tokens + tokens - self.budget, self._excess_frames(frames)
        while (excess > 0 or excess_frames > 0) and window:
            chunk = window.pop(self._next_to_go(window))
            excess -= chunk.tokens
            excess_frames -= len(chunk.frame_ids)
        return {chunk.ordinal for chunk in (*self.sink, *window)}

    def _excess_frames(self, frames: int) -> int:
        """Frames too many for the window if so many more come in."""
        if self._window_frames is None or self.sink_open or not frames:
            return 0
        return sum(len(chunk.frame_ids) for chunk in self.window) + frames - self._window_frames

    def _lacks_sink(self) -> bool:
        return sum(len(chunk.frame_ids) for chunk in self.sink) < self._sink_frames

    def _next_to_go(self, window: Sequence[Chunk]) -> int:
        """Place in the window of the chunk that leaves first."""
        return 0

    def compact_for(self, tokens: int, span: int) -> Move | None:
        """Where `tokens` more would pass the slab's end, or `span` more the limit of positions, the move of the live
        slice to the slab's beginning; in the second case its positions begin at 0 again.
        """
        turn = -self.sink_offset if self._must_rebase(span) else 0
        if not turn and (self.tail + tokens <= self.capacity or self.start == 0):
            return None
        return self._moved_to(0, turn)

    def _must_rebase(self, span: int) -> bool:
        limit = self._position_limit
        if limit is None or self.cursor + span <= limit:
            return False
        # Turning rounds what it turns, so it has to be worth a long stretch of positions.
        return self.sink_offset > limit // 4

    def append(self, chunk: Chunk) -> None:
        """Record a chunk whose tokens were written at `tail`. The sink closes once it has its frames."""
        if self.tail + chunk.tokens > self.capacity:
            raise ValueError("the slab is full; compact first")
        self._marks.lose_beyond(self.tokens)
        chunk = replace(chunk, ordinal=self.appended_chunks, position=self.cursor)
        self.appended_chunks += bool(chunk.frame_ids)
        if self.sink_open:
            self.sink.append(chunk)
            self.sink_open = self._lacks_sink()
            self.head += chunk.tokens
        else:
            self.window.append(chunk)
            self._window_span += chunk.span
        self.tail += chunk.tokens
        self.cursor += chunk.span

    def room_for_memory(self, tokens: int) -> Move | None:
        """The move that leaves place for a memory of `tokens` in front of the window, if one is needed."""
        wanted = self.sink_tokens + tokens
        if self.head >= wanted:
            return None
        return self._moved_to(wanted - self.front_tokens)

    def set_memory(self, chunks: Iterable[Chunk]) -> None:
        """Replace the memory segment; the caller has made room and now rewrites the front."""
        self.memory = tuple(chunks)
        if self.start < 0 or self.tokens > self.budget:
            raise ValueError("no room was made for this memory")
        self._front_changed()

    def _moved_to(self, start: int, turn: int = 0) -> Move:
        move = Move(self.start, start, self.tokens, turn)
        shift = move.target - move.source
        self.head += shift
        self.tail += shift
        self.cursor += turn
        self.moves += 1
        self.rebases += bool(turn)
        self._marks.lose_beyond(move.length)
        self._marks.turn(turn)
        return move

    def _front_changed(self) -> None:
        self.front_epoch += 1
        self._marks.lose_all()

    # Exports

    def state(self) -> TrunkState:
        """All of it but the marks, for another process."""
        sink, memory = (tuple(_chunk_state(chunk, kept=True) for chunk in part) for part in (self.sink, self.memory))
        window = tuple(_chunk_state(chunk, kept=self.rewritable_chunks > 0) for chunk in self.window)
        return TrunkState(
            budget=self.budget,
            level=self.eviction.level,
            positions=self.eviction.positions,
            position_limit=self._position_limit,
            first_position=self._first_position,
            cursor=self.cursor,
            appended_chunks=self.appended_chunks,
            evicted_frames=self.evicted_frames,
            sink=sink,
            memory=memory,
            window=window,
        )

    def adopt(self, state: TrunkState, kept: Iterable[Any]) -> None:
        """Become what another trunk was, at the slab's beginning; `kept`: handles of the chunks that have one."""
        self._first_position, self._position_limit = state.first_position, state.position_limit
        handles = iter(kept)
        sink, memory, window = (
            [_chunk_of(chunk, next(handles) if chunk.kept else None) for chunk in part]
            for part in (state.sink, state.memory, state.window)
        )
        self.sink, self.memory, self.window = sink, tuple(memory), deque(window)
        self._window_span = sum(chunk.span for chunk in self.window)
        self.sink_open = self._lacks_sink()
        self.head, self.tail = self.front_tokens, state.tokens
        self.cursor = state.cursor
        self.appended_chunks = state.appended_chunks
        self.evicted_frames = state.evicted_frames

    # Marks

    def mark(self) -> TrunkMark:
        """Remember the present state; O(1) in tokens."""
        mark = TrunkMark(
            self.front_epoch, self.tokens, self.cursor, self.appended_chunks, tuple(self.sink), tuple(self.window)
        )
        self._marks.add(mark)
        return mark

    def forget(self, mark: TrunkMark) -> None:
        """Drop a mark."""
        self._marks.forget(mark)

    def can_rewind(self, mark: TrunkMark) -> bool:
        """Whether a marked state is still whole."""
        return not mark.lost and mark.front_epoch == self.front_epoch

    def rewind(self, mark: TrunkMark) -> None:
        """Go back (or forth again) to a marked state. Raises SnapshotOverwritten; then nothing has changed."""
        if not self.can_rewind(mark):
            raise SnapshotOverwritten("frames were evicted, recalled or written over since it was taken")
        start = self.start
        self.sink = list(mark.sink)
        self.window = deque(mark.window)
        self._window_span = sum(chunk.span for chunk in mark.window)
        self.sink_open = self._lacks_sink()
        self.head = start + self.front_tokens
        self.tail = start + mark.length
        self.cursor = mark.cursor
        self.appended_chunks = mark.appended_chunks

    def recent(self, chunks: int) -> tuple[int, list[tuple[Chunk, int]], list[Chunk]]:
        """The newest `chunks` (at least 1) chunks of the window, the slab place at which they begin, and the sink's
        chunks with their positions before them.
        """
        newest = list(self.window)[-chunks:]
        place = self.tail - sum(chunk.tokens for chunk in newest)
        return place, list(following(self.sink, self._sink_before(self._position_of(newest)))), newest

    def _position_of(self, newest: Sequence[Chunk]) -> int:
        """Position at which these chunks, the window's newest, begin."""
        return self.cursor - sum(chunk.span for chunk in newest)

    def check_integrity(self) -> None:
        """Raise AssertionError where the book-keeping contradicts itself. For tests and debugging."""
        assert 0 <= self.start <= self.head <= self.tail <= self.capacity
        assert self.tail - self.head == sum(chunk.tokens for chunk in self.window)
        assert self._window_span == sum(chunk.span for chunk in self.window)
        assert self.tokens <= self.budget
        assert self._is_before_window(self.sink_offset + self.sink_span + self.memory_span)
        assert not (self.sink_open and self.window)
        self._marks.check_integrity(self.front_epoch)

    def _is_before_window(self, position: int) -> bool:
        """Whether sink and memory may end at this position."""
        return position == self.window_position


def _chunk_state(chunk: Chunk, *, kept: bool) -> ChunkState:
    return ChunkState(chunk.frame_ids, chunk.tokens, chunk.span, chunk.ordinal, chunk.position, kept=kept)


def _chunk_of(state: ChunkState, kept: Any) -> Chunk:
    return Chunk(state.frame_ids, state.tokens, state.span, kept, state.ordinal, state.position)


def following(chunks: Iterable[Chunk], position: int) -> Iterator[tuple[Chunk, int]]:
    """Each chunk with its position, where they follow on each other from `position` on."""
    for chunk in chunks:
        yield chunk, position
        position += chunk.span
