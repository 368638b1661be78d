"""What a trunk is made of, lets go and moves. Whole numbers and its callers' handles."""

from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class Chunk:
    """Frames encoded together: `tokens` in the slab, `span` positions of the cursor.

    `kept` is the caller's handle of what it takes to write the chunk anew elsewhere, `mean_keys` whatever it wants to
    know of each frame once the chunk is gone. The trunk numbers the chunks of its history in `ordinal` and notes in
    `position` where the cursor stood when the chunk arrived.
    """

    frame_ids: tuple[str, ...]
    tokens: int
    span: int
    kept: Any = None
    ordinal: int = 0
    position: int = 0
    mean_keys: tuple[Any, ...] = ()


class Gone(NamedTuple):
    """Chunks that were let go, and how many of the window's first chunks have to be written anew because of it."""

    chunks: list[Chunk]
    stale: int


class Move(NamedTuple):
    """Slab tokens `[source, source + length)` go to `[target, target + length)`, their positions change by `turn`."""

    source: int
    target: int
    length: int
    turn: int = 0
