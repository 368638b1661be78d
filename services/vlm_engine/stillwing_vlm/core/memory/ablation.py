"""Ways to let chunks go that are compared with the flight's own, which never comes here.

Subsampled eviction takes chunks out of the middle of the window: what stands before the hole is written anew too, up
against what stands behind it. With gaps, nothing changes its position when chunks leave: the sink stays where it was
and the distance to the window grows without end.
"""

from collections.abc import Iterable, Sequence

from stillwing_vlm.core.memory.chunks import Chunk
from stillwing_vlm.core.memory.trunk import Trunk
from stillwing_vlm.core.planner import SLAB_SLACK
from stillwing_vlm.core.requests import DEFAULT_EVICTION, Eviction, EvictionLevel, EvictionPositions, FrameLayout


def trunk_for(
    eviction: Eviction,
    budget: int,
    slack: float = SLAB_SLACK,
    first_position: int = 0,
    position_limit: int | None = None,
    layout: FrameLayout | None = None,
) -> Trunk:
    """The trunk of a session that lets its chunks go so; the flight's own unless another way was asked for."""
    if eviction == DEFAULT_EVICTION:
        return Trunk(budget, slack, first_position, position_limit, layout)
    return ComparedTrunk(eviction, budget, slack, first_position, position_limit, layout)


class ComparedTrunk(Trunk):
    """The book-keeping of every level of eviction, with either kind of positions; with gaps, positions grow."""

    def __init__(
        self,
        eviction: Eviction,
        budget: int,
        slack: float = SLAB_SLACK,
        first_position: int = 0,
        position_limit: int | None = None,
        layout: FrameLayout | None = None,
    ) -> None:
        super().__init__(budget, slack, first_position, position_limit, layout)
        self.eviction = eviction
        self._subsamples = eviction.level is EvictionLevel.SUBSAMPLED
        self._has_gaps = eviction.positions is EvictionPositions.GAP

    @property
    def window_position(self) -> int:
        """Position at which the window begins."""
        if not self._has_gaps:
            return super().window_position
        return self.window[0].position if self.window else self.cursor

    @property
    def rewritable_chunks(self) -> int:
        """All of the window's, where any may leave."""
        return len(self.window) if self._subsamples else 0

    @property
    def keeps_newest(self) -> bool:
        """Whether the chunk that comes next may have to be written anew."""
        return self._subsamples or super().keeps_newest

    def _sink_before(self, position: int) -> int:
        # With gaps the sink stays where it arrived, unless a memory in front of the window needs the place.
        contiguous = super()._sink_before(position)
        return min(self._first_position, contiguous) if self._has_gaps else contiguous

    def _with_positions(self, chunks: Iterable[Chunk], position: int) -> Iterable[tuple[Chunk, int]]:
        if not self._has_gaps:
            return super()._with_positions(chunks, position)
        return ((chunk, chunk.position) for chunk in chunks)

    def _position_of(self, newest: Sequence[Chunk]) -> int:
        return newest[0].position if self._has_gaps else super()._position_of(newest)

    def _must_rebase(self, span: int) -> bool:
        return not self._has_gaps and super()._must_rebase(span)

    def _is_before_window(self, position: int) -> bool:
        return position <= self.window_position if self._has_gaps else super()._is_before_window(position)

    def _next_to_go(self, window: Sequence[Chunk]) -> int:
        """Subsampled: of the window's older half the oldest of those divided by the least power of two.

        So the older half holds every 2^k-th chunk of the whole history, of those that 2^(k-1) divides the newest, and
        what has just come into it: but for these the distances of its chunks differ by no more than a factor of two.
        """
        if not self._subsamples:
            return super()._next_to_go(window)
        older = range(max(1, len(window) // 2))
        return min(older, key=lambda index: window[index].ordinal & -window[index].ordinal)
