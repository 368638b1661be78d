"""Remembered states of a trunk, and which of them were overwritten since. It knows no snapshots and no slab."""

from dataclasses import dataclass

from stillwing_vlm.core.memory.chunks import Chunk


@dataclass(slots=True, eq=False)
class TrunkMark:
    """A remembered state of a trunk; `lost` once something it covers was overwritten."""

    front_epoch: int
    length: int
    cursor: int
    appended_chunks: int
    sink: tuple[Chunk, ...]
    window: tuple[Chunk, ...]
    lost: bool = False


class Marks:
    """The states of one trunk that can be gone back to."""

    def __init__(self) -> None:
        self._marks: list[TrunkMark] = []

    def add(self, mark: TrunkMark) -> None:
        """Remember another."""
        self._marks = [known for known in self._marks if not known.lost]
        self._marks.append(mark)

    def forget(self, mark: TrunkMark) -> None:
        """Drop one."""
        mark.lost = True
        self._marks = [known for known in self._marks if known is not mark]

    def lose_beyond(self, tokens: int) -> None:
        """What lay beyond so many tokens is written over or left behind: states that reach further cannot come back."""
        for mark in self._marks:
            mark.lost = mark.lost or mark.length > tokens

    def lose_all(self) -> None:
        """What all of them begin with was written over."""
        for mark in self._marks:
            mark.lost = True
        self._marks.clear()

    def turn(self, by: int) -> None:
        """All positions have changed by so much."""
        for mark in self._marks:
            mark.cursor += by

    def check_integrity(self, front_epoch: int) -> None:
        """Raise AssertionError where one that can come back is of another front. For tests."""
        assert all(mark.front_epoch == front_epoch for mark in self._marks if not mark.lost)
