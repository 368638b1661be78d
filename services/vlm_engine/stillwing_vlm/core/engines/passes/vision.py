"""The vision encoder captured once for each size of picture that comes again, and pictures brought over ahead of it.

A camera's pictures are all of one size, so nearly every chunk is a replay; a size that comes once is computed as it
comes. It knows nothing of tokens, sessions or order.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch

from stillwing_vlm.core.engines.passes.static_step import Capture
from stillwing_vlm.core.engines.qwen.vision import VisionFeatures
from stillwing_vlm.core.inputs.images import PatchChunk
from stillwing_vlm.core.inputs.positions import Grid

Encode = Callable[[torch.Tensor, Grid], VisionFeatures]

_MOST_SIZES = 4
"""Sizes that are held captured; the one that was not used for longest gives way."""

_SEEN_SIZES = 64
"""Sizes of which it is remembered that they came."""


@dataclass(slots=True, eq=False)
class _Captured:
    patches: torch.Tensor
    features: VisionFeatures
    run: Callable[[], None]


class CapturedVision:
    """An encoder's `(patches, grid) -> features`. What it gives is overwritten by the next picture of that size."""

    def __init__(self, encode: Encode, capture: Capture) -> None:
        self._encode = encode
        self._capture = capture
        self._held: OrderedDict[Grid, _Captured] = OrderedDict()
        self._seen: OrderedDict[Grid, None] = OrderedDict()

    def __call__(self, patches: torch.Tensor, grid: Grid) -> VisionFeatures:
        """Features of patches `[patches, channels * time * px * px]`."""
        held = self._held.get(grid)
        if held is not None:
            self._held.move_to_end(grid)
            held.patches.copy_(patches)
            held.run()
            return held.features
        if grid not in self._seen:
            self._seen[grid] = None
            while len(self._seen) > _SEEN_SIZES:
                self._seen.popitem(last=False)
            return self._encode(patches, grid)
        return self._hold(patches, grid)

    def _hold(self, patches: torch.Tensor, grid: Grid) -> VisionFeatures:
        own = patches.clone()
        found = self._encode(own, grid)
        kept = VisionFeatures(found.merged.clone(), tuple(part.clone() for part in found.deep))

        def run() -> None:
            again = self._encode(own, grid)
            for buffer, part in zip((kept.merged, *kept.deep), (again.merged, *again.deep), strict=True):
                buffer.copy_(part)

        while len(self._held) >= _MOST_SIZES:
            self._held.popitem(last=False)
        self._held[grid] = _Captured(own, kept, self._capture(run))
        return kept


@dataclass(frozen=True, slots=True, eq=False)
class StagedPatches:
    """Patches on the device, or on their way there."""

    patches: torch.Tensor
    done: torch.cuda.Event

    def ready(self) -> torch.Tensor:
        """The patches, for the present stream's next work."""
        stream = torch.cuda.current_stream(self.patches.device)
        stream.wait_event(self.done)
        # Its memory was taken on another stream, which is not to have it back before this one is done with it.
        self.patches.record_stream(stream)
        return self.patches


class PatchStager:
    """Brings pictures over on a stream of its own, from any thread, while the device is busy with others."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self._device = device
        self._dtype = dtype
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    @torch.inference_mode()
    def __call__(self, chunk: PatchChunk) -> StagedPatches:
        """Start bringing a chunk's patches over; they are rounded here, so that half as much goes over."""
        pinned = torch.from_numpy(chunk.patches).to(self._dtype).pin_memory()
        with torch.cuda.stream(self._stream):
            patches = pinned.to(self._device, non_blocking=True)
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record(self._stream)
        return StagedPatches(patches, done)
