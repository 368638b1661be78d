"""python -m pytest tests/unit/vlm/test_vlm_trunk.py -v

The trunk's book-keeping under random use, against a plain list of chunks.
"""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from stillwing_common.errors import BudgetTooSmall, SnapshotOverwritten
from stillwing_vlm.core.trunk import Chunk, Trunk, TrunkMark


class TrunkMachine(RuleBasedStateMachine):
    """What lies in the slab is kept as labels, one a token, and written and moved as a slab would be."""

    @initialize(budget=st.integers(30, 90), opening=st.integers(1, 6), first=st.sampled_from([0, 10**8]))
    def start(self, budget: int, opening: int, first: int) -> None:
        self.trunk = Trunk(budget, first_position=first)
        self.slab: list[object] = [None] * self.trunk.capacity
        self.sink: list[tuple[Chunk, str]] = []
        self.memory: list[tuple[Chunk, str]] = []
        self.window: list[tuple[Chunk, str]] = []
        self.marks: list[tuple[TrunkMark, list[object], int, bool]] = []
        self.count = 0
        self._write(Chunk((), opening, opening))

    def _write(self, chunk: Chunk) -> None:
        name = f"chunk {self.count}"
        self.count += 1
        self.slab[self.trunk.tail : self.trunk.tail + chunk.tokens] = [name] * chunk.tokens
        (self.sink if self.trunk.sink_open else self.window).append((chunk, name))
        self.trunk.append(chunk)

    def _place_front(self) -> None:
        names = [name for chunk, name in [*self.sink, *self.memory] for _ in range(chunk.tokens)]
        self.slab[self.trunk.head - len(names) : self.trunk.head] = names

    def _move(self, move: object) -> None:
        if move is not None:
            source, target, length = move  # type: ignore[misc]
            piece = self.slab[source : source + length]
            self.slab[target : target + length] = piece

    def _room(self, tokens: int) -> None:
        gone = self.trunk.evict_for(tokens)
        for chunk in gone:
            assert self.window.pop(0)[0] is chunk
        if gone:
            self._place_front()
            self.marks = [(mark, seen, cursor, False) for mark, seen, cursor, _ in self.marks]

    @rule(tokens=st.integers(1, 15), span=st.integers(1, 9))
    def append(self, tokens: int, span: int) -> None:
        if self.trunk.front_tokens + tokens > self.trunk.budget:
            with pytest.raises(BudgetTooSmall):
                self.trunk.evict_for(tokens)
            return
        self._room(tokens)
        self._move(self.trunk.compact_for(tokens))
        live = self.trunk.tokens
        self.marks = [(mark, seen, cursor, ok and len(seen) <= live) for mark, seen, cursor, ok in self.marks]
        self._write(Chunk((f"frame {self.count}",), tokens, span))

    @rule(sizes=st.lists(st.integers(1, 8), max_size=3))
    def recall(self, sizes: list[int]) -> None:
        trunk, wanted = self.trunk, sum(sizes)
        if trunk.sink_open or trunk.sink_tokens + wanted > trunk.budget:
            return
        if wanted > trunk.memory_tokens:
            self._room(wanted - trunk.memory_tokens)
        self._move(trunk.room_for_memory(wanted))
        self.memory = [(Chunk((f"recalled {i}",), size, 2), f"recalled {i}") for i, size in enumerate(sizes)]
        trunk.set_memory(chunk for chunk, _ in self.memory)
        self._place_front()
        self.marks = [(mark, seen, cursor, False) for mark, seen, cursor, _ in self.marks]

    @rule()
    def mark(self) -> None:
        seen = self.slab[self.trunk.start : self.trunk.tail]
        self.marks.append((self.trunk.mark(), seen, self.trunk.cursor, True))

    @rule(which=st.integers(0, 50))
    def rewind(self, which: int) -> None:
        if not self.marks:
            return
        mark, seen, cursor, restorable = self.marks[which % len(self.marks)]
        if not restorable:
            with pytest.raises(SnapshotOverwritten):
                self.trunk.rewind(mark)
            return
        try:
            self.trunk.rewind(mark)
        except SnapshotOverwritten:
            # Refusing more than needed is allowed only where the sink itself was taken back.
            assert len(mark.sink) > 1
            return
        assert self.slab[self.trunk.start : self.trunk.tail] == seen
        assert self.trunk.cursor == cursor
        known = {id(chunk): name for chunk, name in [*self.sink, *self.window]}
        known |= {id(chunk): name for chunk, name in zip(mark.sink, _names(seen, mark.sink), strict=True)}
        self.sink = list(zip(mark.sink, _names(seen, mark.sink), strict=True))
        rest = seen[len(seen) - sum(chunk.tokens for chunk in mark.window) :]
        self.window = list(zip(mark.window, _names(rest, mark.window), strict=True))

    @invariant()
    def holds_together(self) -> None:
        if not hasattr(self, "trunk"):
            return
        trunk = self.trunk
        trunk.check_integrity()
        names = [name for chunk, name in [*self.sink, *self.memory, *self.window] for _ in range(chunk.tokens)]
        assert self.slab[trunk.start : trunk.tail] == names
        spans = sum(chunk.span for chunk, _ in [*self.sink, *self.memory, *self.window])
        assert trunk.sink_offset == trunk.cursor - spans


def _names(seen: list[object], chunks: tuple[Chunk, ...]) -> list[str]:
    names, at = [], 0
    for chunk in chunks:
        names.append(str(seen[at]))
        at += chunk.tokens
    return names


TestTrunk = TrunkMachine.TestCase
