"""Appends of chunks that are all of one size, through buffers that stay where they are, captured once for each session.

Where the trunk begins and ends is read from device memory. What is written is the same as by appends as they come. It
knows nothing of pictures, chunks or order.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from weakref import WeakKeyDictionary

import torch

from stillwing_vlm.core.engines.cache.slab import KvSlab
from stillwing_vlm.core.engines.passes.static_step import Capture
from stillwing_vlm.core.engines.qwen.layers import LanguageLayers, TokenEmbeddings
from stillwing_vlm.core.engines.tensors.rotary import CosSin
from stillwing_vlm.core.engines.tensors.scaled import Cached
from stillwing_vlm.core.engines.tensors.transfer import to_device

_MOST_SIZES = 2
"""Sizes of chunk that a session's appends are captured for; the one not used for longest gives way."""


class AppendKernels(Protocol):
    """Turns, writes and attends the tokens that one append feeds."""

    def begin(self, cos_sin: CosSin, place: torch.Tensor) -> None:
        """Called once before the layers. `place` int64[2] on the device: where the trunk begins in the slab, and where
        it ended before.
        """

    def attend(self, layer: int, raw: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Queries and keys one after the other, and values, to `[heads, tokens, head_dim]`."""


MakeKernels = Callable[[LanguageLayers, Cached, Cached, int], AppendKernels]
"""From layers, a slab's keys and values `[layers, kv_heads, capacity, head_dim]`, and the tokens fed."""


@dataclass(slots=True, eq=False)
class _Held:
    embedding: TokenEmbeddings
    cos_sin: CosSin
    place: torch.Tensor
    run: Callable[[], None]


@dataclass(slots=True, eq=False)
class _Sizes:
    """What one slab's appends are captured for."""

    held: "OrderedDict[tuple[int, ...], _Held]"
    last: tuple[int, ...] = ()


class StaticAppends:
    """Appends to any number of slabs; what is captured for one goes with it."""

    def __init__(self, layers: LanguageLayers, kernels: MakeKernels, capture: Capture) -> None:
        self._layers = layers
        self._kernels = kernels
        self._capture = capture
        self._slabs: WeakKeyDictionary[KvSlab, _Sizes] = WeakKeyDictionary()

    def run(self, slab: KvSlab, start: int, tail: int, embedding: TokenEmbeddings, cos_sin: CosSin) -> bool:
        """Write the tokens' keys and values at `tail`, attending `[start, tail)` and themselves; False where the size
        is not that of the append before: then nothing is done.
        """
        places = 0 if embedding.places is None else len(embedding.places)
        size = (embedding.hidden.shape[0], places, len(embedding.deep))
        sizes = self._slabs.get(slab)
        if sizes is None:
            sizes = self._slabs[slab] = _Sizes(OrderedDict())
        held = sizes.held.get(size)
        if held is None and sizes.last != size:
            sizes.last = size
            return False
        sizes.last = size
        place = to_device(torch.tensor((start, tail)), self._layers.device)
        if held is None:
            self._hold(sizes, slab, size, place, embedding, cos_sin)
            return True
        sizes.held.move_to_end(size)
        held.place.copy_(place)
        for buffer, part in zip(_parts(held.embedding, held.cos_sin), _parts(embedding, cos_sin), strict=True):
            buffer.copy_(part)
        held.run()
        return True

    def _hold(
        self,
        sizes: _Sizes,
        slab: KvSlab,
        size: tuple[int, ...],
        place: torch.Tensor,
        embedding: TokenEmbeddings,
        cos_sin: CosSin,
    ) -> None:
        own = TokenEmbeddings(
            embedding.hidden.clone(),
            None if embedding.places is None else embedding.places.clone(),
            tuple(part.clone() for part in embedding.deep),
        )
        own_cos_sin = (cos_sin[0].clone(), cos_sin[1].clone())
        own_place = place.clone()
        # The slab's tensors, not the slab: it is to go when its session goes.
        kernels, layers = self._kernels(self._layers, slab.keys, slab.values, size[0]), self._layers

        @torch.inference_mode()
        def run() -> None:
            kernels.begin(own_cos_sin, own_place)
            layers.walk(own, kernels.attend, needs_output=False)

        while len(sizes.held) >= _MOST_SIZES:
            sizes.held.popitem(last=False)
        sizes.held[size] = _Held(own, own_cos_sin, own_place, self._capture(run))


def _parts(embedding: TokenEmbeddings, cos_sin: CosSin) -> list[torch.Tensor]:
    places = [] if embedding.places is None else [embedding.places]
    return [embedding.hidden, *places, *embedding.deep, *cos_sin]
