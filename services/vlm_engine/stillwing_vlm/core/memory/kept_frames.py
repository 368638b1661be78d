"""Evicted chunks whose keys and values are kept aside for a while, to be recalled as they were.

The oldest go when there are too many bytes of them. It knows chunks and bytes, and no tensors.
"""

from collections import deque

from stillwing_common.errors import FrameNotKept
from stillwing_vlm.core.memory.chunks import Chunk


class KeptFrames:
    """What one session keeps aside, up to `most_bytes`."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._chunks: deque[Chunk] = deque()
        self._by_frame: dict[str, Chunk] = {}
        self.size_bytes = 0

    def __len__(self) -> int:
        """Frames that can be recalled."""
        return len(self._by_frame)

    def add(self, chunk: Chunk) -> None:
        """Keep an evicted chunk, letting older ones go; one larger than all room there is is not kept."""
        if int(chunk.kept.size_bytes) > self._most_bytes:
            return
        self._chunks.append(chunk)
        self.size_bytes += int(chunk.kept.size_bytes)
        # A frame id used twice names the newer chunk.
        self._by_frame.update(dict.fromkeys(chunk.frame_ids, chunk))
        while self.size_bytes > self._most_bytes:
            gone = self._chunks.popleft()
            self.size_bytes -= int(gone.kept.size_bytes)
            for frame_id in gone.frame_ids:
                if self._by_frame.get(frame_id) is gone:
                    del self._by_frame[frame_id]

    def chunks_of(self, frame_ids: tuple[str, ...]) -> list[Chunk]:
        """The chunks that hold these frames, each once, in the order they are named. Raises FrameNotKept."""
        missing = [frame_id for frame_id in frame_ids if frame_id not in self._by_frame]
        if missing:
            raise FrameNotKept(", ".join(missing), frame_ids=",".join(missing))
        found: list[Chunk] = []
        for frame_id in frame_ids:
            chunk = self._by_frame[frame_id]
            if not any(chunk is known for known in found):
                found.append(chunk)
        return found
