"""How decoding steps are carried out on a device: as each comes, or through static buffers.

It knows nothing of what a step computes.
"""

from collections.abc import Callable
from functools import partial

from stillwing_common.errors import DeviceAbsent
from stillwing_vlm.core.engines.attention import Attention
from stillwing_vlm.core.engines.layers import LanguageLayers
from stillwing_vlm.core.engines.rotary import Rotary
from stillwing_vlm.core.engines.static_step import Capture, SegmentKernels, StaticDecoder, StaticStep, TorchSegments


def choose_decoder(
    wanted: str, layers: LanguageLayers, rotary: Rotary, attention: Attention, vocab_size: int
) -> tuple[StaticDecoder | None, str]:
    """What steps, and its name. `wanted`: "eager" (None: each step as it comes), "static" (static buffers; CPU), or
    "auto": eager.

    Raises DeviceAbsent where it cannot be had.
    """
    if wanted in ("auto", "eager"):
        return None, "eager"
    if layers.device.type != "cpu":
        raise DeviceAbsent(
            f"decoding '{wanted}' runs on the CPU; this is {layers.device}: say auto or eager",
            device=str(layers.device),
        )

    def kernels(step: StaticStep) -> SegmentKernels:
        return TorchSegments(step, attention)

    return StaticDecoder(partial(_make, layers, rotary, vocab_size, kernels, _no_capture)), wanted


def _make(
    layers: LanguageLayers,
    rotary: Rotary,
    vocab_size: int,
    kernels: Callable[[StaticStep], SegmentKernels],
    capture: Capture,
    rows: int,
    width: int,
) -> StaticStep:
    return StaticStep(layers, rotary, vocab_size, rows, width, kernels, capture)


def _no_capture(function: Callable[[], None]) -> Callable[[], None]:
    function()
    return function
