"""Rotary embedding over three axes (M-RoPE) with exact angles: float64 angles, float32 rotation, one rounding at the
end.

float32 angles are off by 0.6 % of a score's spread at position 1e6 and by half of it at 1e8; a stream that never ends
gets there. Knows nothing of caches or layers.
"""

import numpy as np
import numpy.typing as npt
import torch

from stillwing_vlm.core.engines.tensors.transfer import to_device
from stillwing_vlm.core.inputs.positions import Positions

CosSin = tuple[torch.Tensor, torch.Tensor]


class Rotary:
    """Turns vectors of one head by positions on (time, row, column)."""

    def __init__(
        self, inverse_frequencies: npt.NDArray[np.float64], axes: npt.NDArray[np.int64], device: torch.device
    ) -> None:
        """`inverse_frequencies` float64[head_dim / 2]; `axes` int64[head_dim / 2]: the axis each of them turns by."""
        if axes.size != inverse_frequencies.size:
            raise ValueError(f"{axes.size} axes for {inverse_frequencies.size} frequencies")
        self._inverse_frequencies = inverse_frequencies
        self._axis = axes
        self._device = device
        self._on_device = torch.from_numpy(inverse_frequencies).to(device)
        self._axis_on_device = torch.from_numpy(axes).to(device)

    def text_cos_sin(self, positions: torch.Tensor) -> CosSin:
        """The same as `cos_sin` for text, whose position is the same on all axes: int64[tokens] on the device."""
        angles = positions.double()[:, None] * self._on_device
        return angles.cos().float(), angles.sin().float()

    def cos_sin(self, positions: Positions) -> CosSin:
        """Cosines and sines float32[tokens, head_dim / 2] for positions int64[3, tokens], row by row in memory."""
        if self._device.type != "cpu":
            return self.cos_sin_there(torch.from_numpy(np.ascontiguousarray(positions.T)).to(self._device))
        angles = positions[self._axis].T.astype(np.float64) * self._inverse_frequencies
        cos = torch.from_numpy(np.cos(angles).astype(np.float32, order="C"))
        sin = torch.from_numpy(np.sin(angles).astype(np.float32, order="C"))
        return to_device(cos, self._device), to_device(sin, self._device)

    def cos_sin_there(self, positions: torch.Tensor) -> CosSin:
        """The same for int64[tokens, 3] on the device, which works them out: a host would take longer than the rest of
        an eviction.
        """
        angles = positions.index_select(1, self._axis_on_device).double() * self._on_device
        return angles.cos().float(), angles.sin().float()


def rotate(vectors: torch.Tensor, cos_sin: CosSin) -> torch.Tensor:
    """`[..., tokens, head_dim]` turned, in float32.

    The two halves of a vector are the two coordinates of its planes.
    """
    cos, sin = cos_sin
    first, second = vectors.float().chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
