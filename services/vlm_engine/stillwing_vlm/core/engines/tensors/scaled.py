"""Cached vectors as 8-bit floats with one scale each: half the memory of bfloat16, a quarter of float32.

A vector's largest entry is the largest number of the type (e4m3, 448), so that nothing is cut off, and what is rounded
is each entry by at most a sixteenth of itself. Whatever only moves vectors moves codes and scales as they are. It knows
nothing of keys, layers or sessions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

CODES = torch.float8_e4m3fn
SCALE_BYTES = 4

LARGEST = 448.0
"""The largest number of the type."""

LEAST = 1e-30
"""What a vector's largest entry counts as at least, so that a vector of zeros has a scale."""

HALF_TO_ONE = 256.0
"""A code's bits, put where float16 has them, are that number divided by this."""

_HALF_BITS = -0x4080
"""0xBF80: sign, the lower four bits of the exponent, the upper three of the mantissa."""


@dataclass(frozen=True, slots=True, eq=False)
class Scaled:
    """`codes` float8[..., tokens, dimensions] times `scales` float32[..., tokens]. It is indexed as a tensor is, up to
    its tokens; what is assigned is rounded, or copied where it is of this kind itself.
    """

    codes: torch.Tensor
    scales: torch.Tensor

    @classmethod
    def empty(cls, shape: Sequence[int], device: torch.device) -> "Scaled":
        """Not initialised."""
        codes = torch.empty(tuple(shape), dtype=CODES, device=device)
        return cls(codes, torch.empty(tuple(shape)[:-1], dtype=torch.float32, device=device))

    @classmethod
    def of(cls, vectors: torch.Tensor) -> "Scaled":
        """Rounded once, to the nearest code."""
        wide = vectors.float()
        largest = wide.abs().amax(dim=-1).clamp(min=LEAST)
        return cls((wide * (LARGEST / largest)[..., None]).to(CODES), largest * (1.0 / LARGEST))

    @property
    def shape(self) -> torch.Size:
        """As of the vectors."""
        return self.codes.shape

    @property
    def nbytes(self) -> int:
        """Bytes of both."""
        return int(self.codes.nbytes + self.scales.nbytes)

    def stride(self) -> tuple[int, ...]:
        """Elements between codes; those between scales are the same, a vector counted as one."""
        return self.codes.stride()

    def data_ptr(self) -> int:
        """Where the codes begin."""
        return self.codes.data_ptr()

    def __getitem__(self, index: Any) -> "Scaled":
        return Scaled(self.codes[index], self.scales[index])

    def __setitem__(self, index: Any, vectors: "torch.Tensor | Scaled") -> None:
        given = vectors if isinstance(vectors, Scaled) else Scaled.of(vectors)
        self.codes[index] = given.codes
        self.scales[index] = given.scales

    def unbind(self, dim: int) -> "tuple[Scaled, ...]":
        """Along one of the dimensions before the tokens."""
        pairs = zip(self.codes.unbind(dim), self.scales.unbind(dim), strict=True)
        return tuple(Scaled(codes, scales) for codes, scales in pairs)

    def clone(self) -> "Scaled":
        """A copy without holes."""
        return Scaled(self.codes.clone(), self.scales.clone())

    def to(self, device: torch.device) -> "Scaled":
        """The same elsewhere."""
        return Scaled(self.codes.to(device), self.scales.to(device))

    def wide(self) -> torch.Tensor:
        """float32[..., tokens, dimensions]."""
        return halves(self.codes).float() * (self.scales * HALF_TO_ONE)[..., None]


Cached = torch.Tensor | Scaled
"""Vectors of a cache, `[..., tokens, dimensions]`."""

CachedPair = tuple[Cached, Cached]
"""Keys and values."""


def halves(codes: torch.Tensor) -> torch.Tensor:
    """Codes as float16, divided by `HALF_TO_ONE`: exact, and several times faster than torch's own conversion on the
    CPU. Codes that are no numbers become some; their scale is none then.
    """
    bits = codes.view(torch.int8).to(torch.int16)
    return bits.bitwise_left_shift_(7).bitwise_and_(_HALF_BITS).view(torch.float16)


def joined(parts: Sequence[Cached], dim: int) -> Cached:
    """One behind the other along a dimension before the last; all of one kind."""
    scaled = [part for part in parts if isinstance(part, Scaled)]
    if not scaled:
        return torch.cat([part for part in parts if isinstance(part, torch.Tensor)], dim=dim)
    if len(scaled) != len(parts):
        raise TypeError("vectors with scales and without are not joined")
    return Scaled(torch.cat([part.codes for part in scaled], dim=dim), torch.cat([part.scales for part in scaled], dim))


def scale_address(vectors: Cached) -> int:
    """Where the scales begin on the device; 0 where there are none. They must lie as the codes do."""
    if not isinstance(vectors, Scaled):
        return 0
    width = vectors.shape[-1]
    if vectors.codes.stride() != (*(width * each for each in vectors.scales.stride()), 1):
        raise ValueError(f"codes strided {vectors.codes.stride()} beside scales strided {vectors.scales.stride()}")
    return vectors.scales.data_ptr()


def put(cache: Cached, index: Any, vectors: Cached) -> None:
    """Write vectors into part of a cache, rounded as it keeps them."""
    if isinstance(cache, Scaled):
        cache[index] = vectors
    elif isinstance(vectors, Scaled):
        raise TypeError("vectors with scales are not put among others")
    else:
        cache[index] = vectors


def stored(vectors: Cached) -> list[torch.Tensor]:
    """The tensors they lie in."""
    return [vectors.codes, vectors.scales] if isinstance(vectors, Scaled) else [vectors]
