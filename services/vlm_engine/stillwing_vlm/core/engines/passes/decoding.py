"""How decoding steps are carried out on a device: as each comes, through static buffers, or captured once and replayed.

It knows nothing of what a step computes.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from stillwing_common.errors import DeviceAbsent, MissingExtra
from stillwing_vlm.core.engines.attention.plain import Attention
from stillwing_vlm.core.engines.kernels.shares import KERNEL_HEADS
from stillwing_vlm.core.engines.passes.eager import EagerAppend, EagerSegments
from stillwing_vlm.core.engines.passes.graphs import GraphCapture
from stillwing_vlm.core.engines.passes.static_append import StaticAppends
from stillwing_vlm.core.engines.passes.static_step import (
    Capture,
    SegmentKernels,
    StaticDecoder,
    StaticStep,
    VocabularyBuffers,
)
from stillwing_vlm.core.engines.qwen.layers import LanguageLayers
from stillwing_vlm.core.engines.tensors.rotary import Rotary


@dataclass(frozen=True, slots=True)
class StaticPasses:
    """What goes through static buffers: decoding steps, appends, and whatever else is captured alike."""

    decoder: StaticDecoder
    appends: StaticAppends
    capture: Capture


def choose_decoding(
    wanted: str, layers: LanguageLayers, rotary: Rotary, attention: Attention, vocab_size: int, *, scaled: bool = False
) -> tuple[StaticPasses | None, str]:
    """What goes through static buffers, and its name. `wanted`: "eager" (None: everything as it comes), "static"
    (static buffers, every operation launched), "graphs" (the same captured; CUDA), or "auto": eager, as nothing else
    has been measured on a card. `scaled`: over caches of 8-bit floats with scales.

    Raises DeviceAbsent or MissingExtra where it cannot be had.
    """
    on_cuda = layers.device.type == "cuda"
    if wanted in ("auto", "eager"):
        return None, "eager"
    if not on_cuda:
        if wanted == "graphs":
            raise DeviceAbsent(
                f"decoding 'graphs' needs CUDA; this is {layers.device}: say auto, eager or static",
                device=str(layers.device),
            )
        decoder = make_decoder(layers, rotary, vocab_size, partial(EagerSegments, attention), no_capture)
        appends = StaticAppends(layers, partial(EagerAppend, attention), no_capture)
        return StaticPasses(decoder, appends, no_capture), wanted
    if importlib.util.find_spec("triton") is None:
        raise MissingExtra(f"decoding '{wanted}' needs triton on CUDA; run: pip install triton", package="triton")
    if not kernels_fit(layers):
        raise DeviceAbsent(
            f"decoding '{wanted}' needs heads of 16, 32, 64, 128 or 256 on CUDA, this model's have "
            f"{layers.head_dim}: say auto or eager",
            device=str(layers.device),
        )
    from stillwing_vlm.core.engines.passes.kernel_segments import KernelAppend, KernelSegments

    capture: Capture = GraphCapture(layers.device) if wanted == "graphs" else no_capture
    decoder = make_decoder(layers, rotary, vocab_size, partial(KernelSegments, scaled=scaled), capture)
    return StaticPasses(decoder, StaticAppends(layers, KernelAppend, capture), capture), wanted


def make_decoder(
    layers: LanguageLayers,
    rotary: Rotary,
    vocab_size: int,
    kernels: Callable[[StaticStep], SegmentKernels],
    capture: Capture,
) -> StaticDecoder:
    """A decoder whose steps attend by `kernels` and are carried out as `capture` gives them back."""
    vocabulary = VocabularyBuffers(vocab_size, layers.device)
    return StaticDecoder(partial(_make_step, layers, rotary, vocabulary, kernels, capture))


def _make_step(
    layers: LanguageLayers,
    rotary: Rotary,
    vocabulary: VocabularyBuffers,
    kernels: Callable[[StaticStep], SegmentKernels],
    capture: Capture,
    rows: int,
    width: int,
) -> StaticStep:
    return StaticStep(layers, rotary, vocabulary, rows, width, kernels, capture)


def kernels_fit(layers: LanguageLayers) -> bool:
    """Whether the kernels take heads of this size."""
    return layers.head_dim in KERNEL_HEADS


def no_capture(function: Callable[[], None]) -> Callable[[], None]:
    """A `Capture` that launches all of it each time."""
    function()
    return function
