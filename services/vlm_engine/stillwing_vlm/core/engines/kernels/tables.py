"""What the kernels are told of where cached tokens lie, and the scratch they work in. It knows nothing of layers,
sessions or chunks.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
import triton.language as tl

from stillwing_vlm.core.engines.kernels.shares import MOST_LANES, decode_shares
from stillwing_vlm.core.engines.tensors.rotary import CosSin
from stillwing_vlm.core.engines.tensors.scaled import CODES, Cached, Scaled, scale_address

TRITON_TYPES: dict[torch.dtype, Any] = {
    torch.float32: tl.float32,
    torch.float16: tl.float16,
    torch.bfloat16: tl.bfloat16,
}


@dataclass(frozen=True, slots=True, eq=False)
class SegmentTable:
    """What each row attends, on the device: up to `segments` pieces of cache, the last of which is the row's own.

    A piece has keys and values `[layers, kv_heads, capacity, head_dim]` of equal strides, the entries of a head side
    by side, of the table's type or as codes with scales. Its span is what was in it before the step; behind the own
    piece's come `counts` tokens that the step feeds. Pieces that a row does not need have an empty span; a row that is
    fed nothing attends nothing. Rows that name
    one piece at the same place share its reading. All of it may be rewritten between two steps, from the host or on the
    device; `plan_decode` takes note of it.
    """

    addresses: torch.Tensor
    """int64[rows, segments, 2]: where keys and values begin."""
    strides: torch.Tensor
    """int64[rows, segments, 2]: elements between layers, and between heads; multiples of 16 bytes."""
    spans: torch.Tensor
    """int32 or int64[rows, segments, 2]: first token and the one beyond the last."""
    counts: torch.Tensor
    """int32 or int64[rows]: tokens fed, at most the step's width."""
    dtype: torch.dtype
    scales: torch.Tensor | None = None
    """int64[rows, segments, 2]: where the scales of keys and values begin, float32[layers, kv_heads, capacity]; 0 where
    a piece is of the table's type. None: all of them are.
    """

    @classmethod
    def empty(
        cls, rows: int, segments: int, dtype: torch.dtype, device: torch.device, *, scaled: bool = False
    ) -> "SegmentTable":
        """A table in which no row is fed anything; with `scaled`, its pieces may have scales."""
        addresses, strides, spans, scales = torch.zeros(4, rows, segments, 2, dtype=torch.int64, device=device)
        counts = torch.zeros(rows, dtype=torch.int64, device=device)
        return cls(addresses, strides, spans, counts, dtype, scales if scaled else None)

    @property
    def rows(self) -> int:
        """Branches."""
        return self.spans.shape[0]

    @property
    def segments(self) -> int:
        """Pieces of each."""
        return self.spans.shape[1]

    def put(self, row: int, segment: int, keys: Cached, values: Cached) -> None:
        """Say where a piece lies; its span stays. `keys` and `values` `[layers, kv_heads, capacity, head_dim]`.

        The tensors must outlive the table's use of them.
        """
        addresses = [scale_address(keys), scale_address(values)]
        if self.scales is not None:
            self.scales[row, segment] = torch.tensor(addresses)
        kinds = {CODES if isinstance(part, Scaled) else part.dtype for part in (keys, values)}
        if len(kinds) > 1 or not kinds <= {self.dtype, None if self.scales is None else CODES}:
            raise ValueError(f"a piece of {' and '.join(map(str, kinds))} in a table of {self.dtype}")
        if keys.stride() != values.stride() or keys.stride()[2:] != (keys.shape[3], 1):
            raise ValueError(f"keys strided {keys.stride()} beside values strided {values.stride()}")
        self.addresses[row, segment] = torch.tensor([keys.data_ptr(), values.data_ptr()])
        self.strides[row, segment] = torch.tensor(keys.stride()[:2])


@dataclass(frozen=True, slots=True, eq=False)
class DecodeWorkspace:
    """Scratch of `decode`, and the plan of a step. One for a table of its size; steps use it one after another."""

    rows: int
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    segments: int
    splits: int
    """Programs that share the tokens of one key head."""
    together: int
    """Rows that one program attends."""
    lanes: int
    """Queries of all heads that one program attends; where a row has more, several programs share it."""
    jobs: torch.Tensor = field(repr=False)
    """int32[groups of rows, pieces, 3]: first token, last and beyond, and blocks up to this piece's end."""
    partial: torch.Tensor = field(repr=False)
    """float32[rows * width, heads, splits, head_dim]."""
    partial_log_sum: torch.Tensor = field(repr=False)
    """float32[rows * width, heads, splits], to the base of 2."""

    @classmethod
    def empty(
        cls,
        table: SegmentTable,
        heads: int,
        kv_heads: int,
        head_dim: int,
        *,
        width: int = 1,
        splits: int | None = None,
        most_lanes: int = MOST_LANES,
    ) -> "DecodeWorkspace":
        """Scratch for a table of rows that are fed at most `width` tokens. `splits`: None fills the device."""
        device, rows = table.spans.device, table.rows
        shares = decode_shares(rows, width, heads, kv_heads, multiprocessors(device), most_lanes)
        together, lanes, splits = shares.together, shares.lanes, splits or shares.splits
        return cls(
            rows,
            width,
            heads,
            kv_heads,
            head_dim,
            table.segments,
            splits,
            together,
            lanes,
            torch.zeros(-(-rows // together), together * table.segments, 3, dtype=torch.int32, device=device),
            torch.empty(rows * width, heads, splits, head_dim, device=device),
            torch.empty(rows * width, heads, splits, device=device),
        )

    @property
    def size_bytes(self) -> int:
        """Bytes on the device."""
        return self.jobs.nbytes + self.partial.nbytes + self.partial_log_sum.nbytes


def multiprocessors(device: torch.device) -> int:
    """How many programs run side by side at least."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 2


def check_rows(cos_sin: CosSin) -> None:
    """Raise ValueError where angles do not lie token by token."""
    if not all(part.is_contiguous() for part in cos_sin):
        raise ValueError("cosines and sines must lie row by row")


def equal_strides(keys: torch.Tensor, values: torch.Tensor) -> tuple[int, ...]:
    """Those of both. Raises ValueError where they differ, or the entries of a vector do not lie side by side."""
    if keys.stride() != values.stride() or keys.stride()[-2:] != (keys.shape[-1], 1):
        raise ValueError(f"keys strided {keys.stride()} beside values strided {values.stride()}")
    return keys.stride()
