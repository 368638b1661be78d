"""python -m pytest tests/unit/vlm/test_vlm_trunk.py -v

The trunk's book-keeping under random use, against plain lists of chunks, for every way to let chunks go.
"""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from stillwing_common.errors import BudgetTooSmall, SnapshotOverwritten
from stillwing_vlm.core.memory.ablation import trunk_for
from stillwing_vlm.core.memory.chunks import Chunk, Gone, Move
from stillwing_vlm.core.memory.marks import TrunkMark
from stillwing_vlm.core.memory.trunk import Trunk
from stillwing_vlm.core.requests import Eviction, EvictionLevel, EvictionPositions

Label = tuple[str, int, int]
"""One slab token: its chunk, its place in it, the position at which its chunk was written."""


@dataclass(frozen=True)
class Known:
    """A chunk as the test knows it: `number` in the session's history, `arrived` at this position."""

    name: str
    tokens: int
    span: int
    number: int
    arrived: int

    def labels(self, position: int) -> list[Label]:
        return [(self.name, index, position) for index in range(self.tokens)]


@dataclass
class Seen:
    """All that must be back after a rewind."""

    mark: TrunkMark
    slab: list[Label | None]
    cursor: int
    state: tuple[Any, ...]
    restorable: bool


class TrunkMachine(RuleBasedStateMachine):
    """What lies in the slab is kept as labels, one a token, and written and moved as a slab would be."""

    @initialize(
        budget=st.integers(30, 200),
        opening=st.integers(1, 6),
        first=st.sampled_from([0, 10**8]),
        level=st.sampled_from(EvictionLevel),
        positions=st.sampled_from(EvictionPositions),
        limit=st.sampled_from([None, 60, 200]),
    )
    def start(
        self,
        budget: int,
        opening: int,
        first: int,
        level: EvictionLevel,
        positions: EvictionPositions,
        limit: int | None,
    ) -> None:
        self.trunk = trunk_for(Eviction(level, positions), budget, 0.25, first, limit)
        self.limit = limit
        self.subsampled = level is EvictionLevel.SUBSAMPLED
        self.gaps = positions is EvictionPositions.GAP
        self.first = self.cursor = first
        self.slab: list[Label | None] = [None] * self.trunk.capacity
        self.sink: list[Known] = []
        self.memory: list[Known] = []
        self.window: list[Known] = []
        self.seen: list[Seen] = []
        self.frames = 0
        self.names = 0
        self._write(opening, opening, ())

    # What a session does with a slab

    def _write(self, tokens: int, span: int, frame_ids: tuple[str, ...]) -> None:
        self.names += 1
        known = Known(f"chunk {self.names}", tokens, span, self.frames, self.cursor)
        self.slab[self.trunk.tail : self.trunk.tail + tokens] = known.labels(self.cursor)
        (self.sink if self.trunk.sink_open else self.window).append(known)
        self.trunk.append(Chunk(frame_ids, tokens, span, known))
        self.cursor += span
        self.frames += bool(frame_ids)

    def _place_front(self, stale: int) -> None:
        labels = [label for chunk, position in self.trunk.front(stale) for label in chunk.kept.labels(position)]
        end = self.trunk.place_of(stale)
        self.slab[end - len(labels) : end] = labels

    def _move(self, move: Move | None) -> None:
        if move is not None:
            source, target, length, turn = move
            self.slab[target : target + length] = _turned(self.slab[source : source + length], turn)
            for seen in self.seen:
                seen.slab = _turned(seen.slab, turn)
                seen.cursor += turn
            self.cursor += turn

    def _evict(self, tokens: int) -> Gone:
        gone = self.trunk.evict_for(tokens)
        assert [chunk.kept for chunk in gone.chunks] == [self._let_go() for _ in gone.chunks]
        if gone.chunks:
            self._lost()
        return gone

    def _let_go(self) -> Known:
        if not self.subsampled:
            return self.window.pop(0)
        older, stride = self.window[: max(1, len(self.window) // 2)], 1
        while all(known.number % (2 * stride) == 0 for known in older):
            stride *= 2
        found = next(known for known in older if known.number % (2 * stride))
        self.window.remove(found)
        return found

    def _lost(self) -> None:
        for seen in self.seen:
            seen.restorable = False

    # What may happen

    @rule(tokens=st.integers(1, 15), span=st.integers(1, 9))
    def append(self, tokens: int, span: int) -> None:
        if self.trunk.front_tokens + tokens > self.trunk.budget:
            with pytest.raises(BudgetTooSmall):
                self.trunk.evict_for(tokens)
            return
        before = self.trunk.tokens
        gone = self._evict(tokens)
        # No more than needed: with the last one back, the new tokens would not fit.
        assert not gone.chunks or self.trunk.tokens + gone.chunks[-1].tokens + tokens > self.trunk.budget
        assert before - self.trunk.tokens == sum(chunk.tokens for chunk in gone.chunks)
        if gone.chunks:
            self._place_front(gone.stale)
        self._move(self.trunk.compact_for(tokens, span))
        live = self.trunk.tokens
        for seen in self.seen:
            seen.restorable = seen.restorable and len(seen.slab) <= live
        self._write(tokens, span, (f"frame {self.frames}",))

    @rule(tokens=st.integers(1, 15), span=st.integers(1, 300))
    def make_room_for_what_never_comes(self, tokens: int, span: int) -> None:
        """As when the pass that was to fill it fails."""
        if self.trunk.front_tokens + tokens > self.trunk.budget:
            return
        gone = self._evict(tokens)
        if gone.chunks:
            self._place_front(gone.stale)
        moves, live = self.trunk.moves, self.trunk.tokens
        self._move(self.trunk.compact_for(tokens, span))
        if self.trunk.moves > moves:
            for seen in self.seen:
                seen.restorable = seen.restorable and len(seen.slab) <= live
        assert self.trunk.tail + tokens <= self.trunk.capacity

    @rule(sizes=st.lists(st.integers(1, 8), max_size=3))
    def recall(self, sizes: list[int]) -> None:
        trunk, wanted = self.trunk, sum(sizes)
        if trunk.sink_open or trunk.sink_tokens + wanted > trunk.budget:
            return
        gone = self._evict(max(0, wanted - trunk.memory_tokens))
        self._move(trunk.room_for_memory(wanted))
        self.names += 1
        self.memory = [Known(f"recalled {self.names}.{i}", size, 2, -1, -1) for i, size in enumerate(sizes)]
        trunk.set_memory(Chunk((known.name,), known.tokens, known.span, known) for known in self.memory)
        self._place_front(gone.stale)
        self._lost()

    @rule()
    def mark(self) -> None:
        state = (list(self.sink), list(self.window), self.frames)
        slab = self.slab[self.trunk.start : self.trunk.tail]
        self.seen.append(Seen(self.trunk.mark(), slab, self.cursor, state, True))

    @rule(which=st.integers(0, 50))
    def forget(self, which: int) -> None:
        if self.seen:
            seen = self.seen.pop(which % len(self.seen))
            self.trunk.forget(seen.mark)
            with pytest.raises(SnapshotOverwritten):
                self.trunk.rewind(seen.mark)

    @rule(which=st.integers(0, 50))
    def rewind(self, which: int) -> None:
        if self.seen:
            self._rewind(self.seen[which % len(self.seen)])

    @rule(which=st.integers(0, 50), later=st.integers(0, 50), tokens=st.integers(1, 4), span=st.integers(1, 4))
    def mark_rewind_and_write_over(self, which: int, later: int, tokens: int, span: int) -> None:
        """What seldom comes about by chance: marks that a later append writes over, or that it just does not reach."""
        self.mark()
        there = [seen for seen in self.seen if seen.restorable]
        self._rewind(there[which % len(there)])
        self.append(tokens, span)
        self._rewind(self.seen[-1 - later % len(self.seen)])

    def _rewind(self, seen: Seen) -> None:
        if not seen.restorable:
            with pytest.raises(SnapshotOverwritten):
                self.trunk.rewind(seen.mark)
            return
        self.trunk.rewind(seen.mark)
        assert self.slab[self.trunk.start : self.trunk.tail] == seen.slab
        self.cursor = seen.cursor
        sink, window, self.frames = seen.state
        self.sink, self.window = list(sink), list(window)

    @invariant()
    def holds_together(self) -> None:
        if not hasattr(self, "trunk"):
            return
        trunk = self.trunk
        trunk.check_integrity()
        assert trunk.cursor == self.cursor
        if self.limit is not None and not self.gaps and self.first < self.limit:
            spans = sum(known.span for known in [*self.sink, *self.memory, *self.window])
            assert self.cursor <= self.limit or spans > self.limit * 3 // 4
        assert self.slab[trunk.start : trunk.tail] == [label for labels in self._wanted() for label in labels]

    def _wanted(self) -> list[list[Label]]:
        """Labels of all chunks, at the positions that the contract names, reckoned from the back."""
        found: list[list[Label]] = []
        position = self.cursor
        for known in reversed(self.window):
            position = known.arrived if self.gaps else position - known.span
            found.append(known.labels(position))
        for known in reversed(self.memory):
            position -= known.span
            found.append(known.labels(position))
        if self.gaps:
            position = min(position, self.first + sum(known.span for known in self.sink))
        for known in reversed(self.sink):
            position -= known.span
            found.append(known.labels(position))
        return found[::-1]


def _turned(labels: list[Label | None], turn: int) -> list[Label | None]:
    return [label and (label[0], label[1], label[2] + turn) for label in labels]


TestTrunk = TrunkMachine.TestCase


def trunk_of(chunks: int, limit: int | None = None, **eviction: Any) -> Trunk:
    trunk = trunk_for(Eviction(**eviction), 8, position_limit=limit)
    trunk.append(Chunk((), 1, 1))
    for index in range(chunks):
        trunk.evict_for(1)
        trunk.compact_for(1, 1)
        trunk.append(Chunk((f"{index}",), 1, 1))
    return trunk


def visible(trunk: Trunk) -> list[int]:
    return [int(frame_id) for chunk in trunk.window for frame_id in chunk.frame_ids]


def test_a_flight_never_comes_by_the_ways_that_are_compared_with_its_own() -> None:
    assert type(trunk_for(Eviction(), 40)) is Trunk
    assert type(trunk_for(Eviction(EvictionLevel.SUBSAMPLED), 40)) is not Trunk


def test_the_oldest_go_first() -> None:
    assert visible(trunk_of(100)) == [94, 95, 96, 97, 98, 99]


def test_subsampling_keeps_a_uniform_share_of_the_whole_history() -> None:
    assert visible(trunk_of(9, level=EvictionLevel.SUBSAMPLED)) == [2, 4, 5, 6, 7, 8]
    assert visible(trunk_of(20, level=EvictionLevel.SUBSAMPLED)) == [8, 12, 16, 17, 18, 19]
    assert visible(trunk_of(100, level=EvictionLevel.SUBSAMPLED)) == [32, 64, 96, 97, 98, 99]


def test_with_gaps_the_sink_stays_where_it_was() -> None:
    trunk = trunk_of(100, positions=EvictionPositions.GAP)
    assert trunk.sink_offset == 0
    assert trunk.window_position == 95
    assert trunk_of(100).sink_offset == 93


def test_positions_stay_in_range_for_ever() -> None:
    trunk = trunk_of(10_000, limit=100)
    assert trunk.cursor <= 100
    # As rarely as the range allows: each time the whole range but the trunk itself is gained.
    assert 10_000 // 100 <= trunk.rebases <= 10_000 // 92 + 1
    assert visible(trunk)[-1] == 9_999


def test_a_trunk_as_wide_as_the_range_is_not_turned_at_every_chunk() -> None:
    trunk = trunk_of(1000, limit=9)
    assert trunk.rebases <= 1000 // (9 // 4)


def _three_marks(**how: Any) -> tuple[Trunk, list[TrunkMark]]:
    """A trunk of 1 + 3 chunks of 2 tokens, marked after each, and rewound to the first."""
    trunk = Trunk(40, **how)
    trunk.append(Chunk((), 1, 1))
    marks = []
    for index in range(3):
        trunk.append(Chunk((f"{index}",), 2, 2))
        marks.append(trunk.mark())
    trunk.rewind(marks[0])
    return trunk, marks


def test_marks_beyond_what_was_written_over_are_lost_and_no_others() -> None:
    trunk, marks = _three_marks()
    trunk.rewind(marks[2])
    assert (trunk.tokens, trunk.cursor) == (7, 7)
    trunk.rewind(marks[1])
    trunk.append(Chunk(("another",), 2, 2))
    with pytest.raises(SnapshotOverwritten):
        trunk.rewind(marks[2])
    trunk.rewind(marks[1])
    trunk.rewind(marks[0])


def test_marks_beyond_what_was_moved_are_lost() -> None:
    trunk, marks = _three_marks(position_limit=5, first_position=10)
    # Where the pass that it was made for fails, nothing is appended after the move.
    move = trunk.compact_for(1, 1)
    assert move == (0, 0, 3, -10)
    for mark in marks[1:]:
        with pytest.raises(SnapshotOverwritten):
            trunk.rewind(mark)


def test_marks_follow_when_positions_begin_anew() -> None:
    trunk, marks = _three_marks(position_limit=5, first_position=10)
    trunk.rewind(marks[2])
    assert trunk.compact_for(1, 1) == (0, 0, 7, -10)
    assert (trunk.cursor, trunk.sink_offset) == (7, 0)
    trunk.rewind(marks[0])
    assert (trunk.cursor, trunk.sink_offset) == (3, 0)
    trunk.rewind(marks[2])
    assert (trunk.cursor, trunk.sink_offset) == (7, 0)


def test_everything_before_the_newest_hole_is_written_anew() -> None:
    """Several chunks may have to go for one, in any order of places."""
    trunk = trunk_for(Eviction(EvictionLevel.SUBSAMPLED), 40)
    trunk.append(Chunk((), 1, 1))
    for index in range(13):
        trunk.append(Chunk((f"{index}",), 3, 3))
    # The older half shrinks with the window: 7 goes before 2, and 4 and 6 stand before the hole that 7 left.
    gone, stale = trunk.evict_for(15)
    assert [chunk.ordinal for chunk in gone] == [1, 3, 5, 7, 2]
    assert [chunk.ordinal for chunk in trunk.window] == [4, 6, 8, 9, 10, 11, 12]
    assert stale == 2


@pytest.mark.parametrize("positions", EvictionPositions)
def test_another_trunk_goes_on_from_its_state(positions: EvictionPositions) -> None:
    trunk = trunk_for(Eviction(positions=positions), 40, first_position=10**8, position_limit=2 * 10**8)
    trunk.append(Chunk((), 1, 1, "opening"))
    for index in range(30):
        trunk.evict_for(3)
        trunk.compact_for(3, 2)
        trunk.append(Chunk((f"{index}",), 3, 2, index))
    trunk.evict_for(3)
    trunk.set_memory([Chunk(("recalled",), 3, 2, "recalled")])
    other = trunk_for(Eviction(positions=positions), 40)
    other.adopt(trunk.state(), ["opening", 0, "recalled"])
    assert other.state() == trunk.state()
    assert other.start == 0
    assert (other.sink_offset, other.window_position) == (trunk.sink_offset, trunk.window_position)
    assert [chunk.kept for chunk in other.rewritable] == ["opening", 0, "recalled"]
    other.check_integrity()
