"""How attention kernels share their work out over a card's multiprocessors, and the scratch that takes.

Arithmetic alone, so that a planner reckons with the same numbers as the kernels.
"""

from typing import NamedTuple

KERNEL_HEADS = (16, 32, 64, 128, 256)
"""Sizes of heads that kernels take, these and those of the CPU."""

MOST_LANES = 128
"""Queries of all heads that one program attends."""

MOST_SPLITS = 64
LEAST_TOKENS = 512
"""Cached tokens that are worth a program of their own."""

_FLOAT_BYTES = 4


class DecodeShares(NamedTuple):
    """`together`: rows that one program attends; `lanes`: queries of all heads that one does; `splits`: programs that
    share the tokens of one key head.
    """

    together: int
    lanes: int
    splits: int


def decode_shares(
    rows: int, width: int, heads: int, kv_heads: int, processors: int, most_lanes: int = MOST_LANES
) -> DecodeShares:
    """For rows that are fed at most `width` tokens, on a card with so many multiprocessors."""
    of_row = width * (heads // kv_heads)
    # Several rows in half a tile: one more session costs little then, and registers do not run out.
    together = min(rows, max(1, most_lanes // 2 // of_row))
    lanes = min(most_lanes, max(16, 1 << (together * of_row - 1).bit_length()))
    programs = kv_heads * -(-rows // together) * -(-together * of_row // lanes)
    at_once = processors * (2 if lanes == 16 else 1)
    return DecodeShares(together, lanes, max(1, at_once // programs))


def append_splits(programs: int, tokens: int, processors: int) -> int:
    """The fewest programs a tile's tokens are shared by that leave hardly any of the device idle."""
    most = max(1, min(MOST_SPLITS, tokens // LEAST_TOKENS))

    def busy(splits: int) -> float:
        work = programs * splits
        return work / (-(-work // processors) * processors)

    best = max(busy(splits) for splits in range(1, most + 1))
    return next(splits for splits in range(1, most + 1) if busy(splits) >= 0.9 * best)


def decode_scratch_bytes(rows: int, width: int, heads: int, kv_heads: int, head_dim: int, processors: int) -> int:
    """Partial results of one size of step."""
    splits = decode_shares(rows, width, heads, kv_heads, processors).splits
    return rows * width * heads * splits * (head_dim + 1) * _FLOAT_BYTES


def append_scratch_bytes(
    count: int, heads: int, kv_heads: int, head_dim: int, tile_rows: int, processors: int, tokens: int
) -> int:
    """Partial results of an append of `count` tokens over a slab of `tokens`."""
    tiles = -(-count * (heads // kv_heads) // tile_rows)
    splits = append_splits(tiles * kv_heads, tokens, processors)
    return splits * count * heads * (head_dim + 1) * _FLOAT_BYTES
