"""A trunk in its slab: what the book-keeping decides is carried out in the store, and live branches keep what they see.

A branch sees the trunk as it was when it was forked. Where an eviction, a recall or a rewind is about to write over
slab tokens that a live branch still sees, those tokens are copied aside first: appends never wait for answers, and an
answer never changes what an append writes.

It knows no pictures, no questions and no tensors. Used on the device's owner thread.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from stillwing_vlm.core.backend import PinnedView, Store
from stillwing_vlm.core.memory.chunks import Chunk, Gone, Move
from stillwing_vlm.core.memory.kept_frames import KeptFrames
from stillwing_vlm.core.memory.trunk import Trunk
from stillwing_vlm.core.requests import View
from stillwing_vlm.core.results import Provenance


class TrunkSlab:
    """One session's trunk and store, with what its branches see and what is kept of evicted chunks."""

    def __init__(self, trunk: Trunk, store: Store, kept_kv_bytes: int) -> None:
        """`kept_kv_bytes`: most bytes of evicted chunks' keys and values; 0 keeps none."""
        self.trunk = trunk
        self.store = store
        self.kept_frames = KeptFrames(kept_kv_bytes)
        self._keeps = kept_kv_bytes > 0
        self._views: list[PinnedView] = []

    @property
    def keeps_all(self) -> bool:
        """Whether what it takes to write a chunk anew is wanted of every chunk, to keep it when it leaves."""
        return self._keeps

    # Changes

    def make_room(self, tokens: int, span: int, frames: int) -> Gone:
        """Let chunks go until so much more fits, and move everything to the front where the slab ends."""
        trunk = self.trunk
        gone = self._let_go(tokens, frames)
        if gone.chunks:
            end = trunk.place_of(gone.stale)
            self._keep_aside(end)
            self.store.place(kept_of(trunk.front(gone.stale)), end)
        self._moved(trunk.compact_for(tokens, span))
        return gone

    def append(self, chunk: Chunk, *, keep: bool) -> None:
        """Record a chunk that was written at the tail. `keep`: its values may be needed when they are gone."""
        if chunk.kept is not None and not keep:
            chunk = replace(chunk, kept=self.store.without_values(chunk.kept) if self._keeps else None)
        self.trunk.append(chunk)

    def set_memory(self, chunks: list[Chunk]) -> Gone:
        """Replace the memory segment; what had to go for it."""
        trunk, tokens = self.trunk, sum(chunk.tokens for chunk in chunks)
        gone = self._let_go(max(0, tokens - trunk.memory_tokens))
        self._keep_aside(trunk.place_of(gone.stale))
        self._moved(trunk.room_for_memory(tokens))
        trunk.set_memory(chunks)
        self.store.place(kept_of(trunk.front(gone.stale)), trunk.place_of(gone.stale))
        return gone

    def keep_beyond_end(self) -> None:
        """The trunk went back to a snapshot: what lies beyond its end may be written over by the next append."""
        for view in self._views:
            if view.end > self.trunk.tail and view.start < view.end:
                view.kept = self.store.copy_out(view.kept, view.start, view.end)
                view.start = view.end

    def _let_go(self, tokens: int, frames: int = 0) -> Gone:
        """Evict for so much more. What stands in the slab is not touched yet."""
        place = self.trunk.head
        gone = self.trunk.evict_for(tokens, frames)
        if not self._keeps:
            return gone
        for chunk in gone.chunks:
            # Oldest first, they stand one after another; others brought their values along. Those of a window that came
            # from an export have no un-rotated keys.
            if chunk.kept is not None:
                self.kept_frames.add(replace(chunk, kept=self.store.with_values(chunk.kept, place)))
            place += chunk.tokens
        return gone

    def _keep_aside(self, head: int) -> None:
        """Copy what live branches see of the slab before `head`, where the front is about to be written."""
        for view in self._views:
            end = min(head, view.end)
            if view.start < end:
                view.kept = self.store.copy_out(view.kept, view.start, end)
                view.start = end

    def _moved(self, move: Move | None) -> None:
        if move is None:
            return
        trunk = self.trunk
        self.store.move(*move)
        shift = move.target - move.source
        for view in self._views:
            view.start += shift
            view.end += shift
            if move.turn:
                view.kept = self.store.turn_copy(view.kept, move.turn)
                view.cursor += move.turn
                view.turn += move.turn
        if move.turn:
            # What can be rotated anew is; the rest of the window was turned where it lies.
            anew = trunk.rewritable_chunks
            self.store.place(kept_of(trunk.front(anew)), trunk.place_of(anew))

    # Branches

    def pin(self, extent: View) -> tuple[PinnedView, Provenance]:
        """What a branch that is forked now sees, until it is released."""
        trunk = self.trunk
        recalled = tuple(frame_id for chunk in trunk.memory for frame_id in chunk.frame_ids)
        chunks = extent.recent_chunks
        if chunks is None or chunks > len(trunk.window):
            # Where the window holds fewer chunks than asked for, the sink's own is among the newest.
            view = PinnedView(None, trunk.start, trunk.tail, trunk.cursor)
            oldest, tokens = trunk.oldest_frame_id, trunk.tokens
        else:
            place, sink, newest = trunk.recent(chunks)
            view = PinnedView(self.store.turned(kept_of(sink)), place, trunk.tail, trunk.cursor)
            oldest, tokens, recalled = newest[0].frame_ids[0], trunk.sink_tokens + trunk.tail - place, ()
        self._views.append(view)
        return view, Provenance(trunk.last_frame_id, oldest, tokens, trunk.evicted_frames, recalled)

    def release(self, view: PinnedView) -> None:
        """A branch is done with its view."""
        self._views = [each for each in self._views if each is not view]

    @property
    def live_views(self) -> int:
        """Branches that see it."""
        return len(self._views)

    # State

    def digest(self) -> str:
        """Hash of the trunk's bytes. For tests."""
        return self.store.digest(self.trunk.start, self.trunk.tail)

    @property
    def size_bytes(self) -> int:
        """Bytes of the device's memory that it holds."""
        chunks = (*self.trunk.sink, *self.trunk.memory, *self.trunk.window)
        kept = sum(int(chunk.kept.size_bytes) for chunk in chunks if chunk.kept is not None)
        return self.store.size_bytes + kept + self.kept_frames.size_bytes


def kept_of(chunks: Iterable[tuple[Chunk, int]]) -> list[tuple[Any, int]]:
    """What it takes to write each of them anew, with its position."""
    return [(chunk.kept, position) for chunk, position in chunks]
