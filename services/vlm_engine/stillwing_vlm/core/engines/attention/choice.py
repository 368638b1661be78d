"""Who carries out attention on a device: what was asked for, where it can run there and agrees with torch's own.

It knows nothing of models beyond the sizes of their heads.
"""

import importlib.util
import math
from dataclasses import dataclass, replace

import torch

from stillwing_common.errors import DeviceAbsent, MissingExtra, StillwingError
from stillwing_vlm.core.engines.attention.plain import (
    Attention,
    append_attention,
    append_attention_in_blocks,
    append_attention_on_cpu,
    branch_attention,
    branch_attention_on_cpu,
    decode_attention_on_cpu,
)
from stillwing_vlm.core.engines.attention.scaled import append_scaled, branch_scaled
from stillwing_vlm.core.engines.kernels.shares import KERNEL_HEADS
from stillwing_vlm.core.engines.tensors.scaled import Cached, Scaled

_MOST_DISAGREEMENT = 4 * 2**-8
"""bfloat16 keeps eight bits: one rounding of the output, one of the weights, one of the pieces, and one to spare."""

_CPU_KINDS = {"AVX512": "AVX-512", "AVX2": "AVX2"}
"""Instructions that the CPU's kernels are laid out for, by torch's names: what torch itself uses in this process."""


@dataclass(frozen=True, slots=True)
class Heads:
    """What a model's attention works on: its sizes, and how the cache is kept."""

    query_heads: int
    kv_heads: int
    head_dim: int
    scaled: bool = False
    """Cached keys and values are 8-bit floats with scales."""


def choose_attention(wanted: str, device: torch.device, dtype: torch.dtype, heads: Heads) -> Attention:
    """`wanted`: "sdpa" (torch's own, everywhere), "triton" (kernels of our own), "flash" (the flash-attn package),
    "llvm" (kernels of our own for the CPU), or "auto": on CUDA torch's own, as nothing else has been measured on a
    card; on the CPU "llvm" where it was measured to be faster, which is with AVX2 or AVX-512.

    Kernels differ between versions and devices, so each attends a small example first and must agree with torch's own.
    The choice says in `reason` how it came about.
    Raises MissingExtra or DeviceAbsent where what is wanted cannot run, cannot be imported or gives other numbers.
    """
    sdpa = Attention("sdpa", append_scaled, branch_scaled) if heads.scaled else _torchs_own(device)
    if wanted == "sdpa":
        return replace(sdpa, reason="as set")
    if wanted != "auto":
        return replace(_usable(wanted, device, dtype, heads), reason="as set")
    if device.type == "cpu":
        return _for_this_cpu(sdpa, device, dtype, heads)
    return replace(sdpa, reason="torch's own: others come by flag on CUDA")


def _for_this_cpu(sdpa: Attention, device: torch.device, dtype: torch.dtype, heads: Heads) -> Attention:
    """Kernels of our own where they were measured to be faster, by what the processor is: an engine that is started
    again attends as it did before, to the last bit.
    """
    kind = _CPU_KINDS.get(torch.backends.cpu.get_cpu_capability())
    if kind is None:
        return replace(sdpa, reason="torch's own, as there is no AVX2")
    try:
        return replace(_usable("llvm", device, dtype, heads), reason=f"kernels of our own, by {kind}")
    except StillwingError as error:
        return replace(sdpa, reason=f"torch's own; llvm: {error}")


def _torchs_own(device: torch.device) -> Attention:
    if device.type == "cpu":
        return Attention("sdpa", append_attention_on_cpu, branch_attention_on_cpu, decode_attention_on_cpu)
    return Attention("sdpa", append_attention_in_blocks, branch_attention)


def _usable(name: str, device: torch.device, dtype: torch.dtype, heads: Heads) -> Attention:
    found = {"triton": _triton, "flash": _flash, "llvm": _llvm}[name](device, dtype, heads)
    try:
        error_share = disagreement(found, device, dtype, heads.head_dim, scaled=heads.scaled)
    except Exception as error:
        # Behind the call stand compilers and drivers, which raise what they like.
        raise DeviceAbsent(
            f"attention '{name}' cannot run on {device}: {error!r}; say sdpa or auto", device=str(device)
        ) from error
    if not error_share < _MOST_DISAGREEMENT:
        raise DeviceAbsent(
            f"attention '{name}' differs from torch's own by {error_share:.1%} on {device}; say sdpa",
            device=str(device),
        )
    return found


def _triton(device: torch.device, dtype: torch.dtype, heads: Heads) -> Attention:
    if importlib.util.find_spec("triton") is None:
        raise MissingExtra("attention 'triton' needs triton; run: pip install triton", package="triton")
    import triton

    # The interpreter stands in for a card in tests; it is slow, and knows no products of bfloat16.
    interpreted = device.type == "cpu" and triton.knobs.runtime.interpret and dtype != torch.bfloat16
    capable = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    dim = heads.head_dim
    if not (interpreted or capable) or dim not in KERNEL_HEADS:
        raise DeviceAbsent(
            "attention 'triton' needs an NVIDIA card of compute capability 8.0 or more and heads of 16 to 256, a power "
            f"of 2; this is {device} with heads of {dim}: say sdpa or auto",
            device=str(device),
        )
    from stillwing_vlm.core.engines.attention.triton import TRITON

    return TRITON


def _llvm(device: torch.device, dtype: torch.dtype, heads: Heads) -> Attention:
    dim = heads.head_dim
    if heads.scaled:
        raise DeviceAbsent("attention 'llvm' reads no 8-bit cache: say sdpa or auto", device=str(device))
    if device.type != "cpu" or dtype not in (torch.float32, torch.bfloat16) or dim not in KERNEL_HEADS:
        raise DeviceAbsent(
            "attention 'llvm' needs the CPU, float32 or bfloat16 and heads of 16 to 256, a power of 2; "
            f"this is {device} in {dtype} with heads of {dim}: say sdpa or auto",
            device=str(device),
        )
    if torch.backends.cpu.get_cpu_capability() not in _CPU_KINDS:
        raise DeviceAbsent("attention 'llvm' needs a processor with AVX2: say sdpa or auto", device=str(device))
    if importlib.util.find_spec("llvmlite") is None:
        raise MissingExtra("attention 'llvm' needs llvmlite; run: pip install llvmlite", package="llvmlite")
    from stillwing_vlm.core.engines.attention.cpu_kernels.attention import native

    return native(dim, dtype)


def _flash(device: torch.device, dtype: torch.dtype, heads: Heads) -> Attention:
    dim = heads.head_dim
    if heads.scaled:
        raise DeviceAbsent(
            "attention 'flash' reads no 8-bit cache: say triton, sdpa or auto, or leave kv_cache_dtype at auto",
            device=str(device),
        )
    if device.type != "cuda" or dtype not in (torch.bfloat16, torch.float16) or dim % 8 or dim > 256:
        raise DeviceAbsent(
            "attention 'flash' needs CUDA, bfloat16 and heads of at most 256, a multiple of 8; "
            f"this is {device} in {dtype} with heads of {dim}: say sdpa or auto",
            device=str(device),
        )
    if importlib.util.find_spec("flash_attn") is None:
        raise MissingExtra("attention 'flash' needs flash_attn; run: pip install flash-attn", package="flash_attn")
    try:
        from stillwing_vlm.core.engines.attention.flash import FLASH
    except (ImportError, OSError) as error:
        raise MissingExtra(
            f"flash_attn is installed but cannot be imported, often because it was built for another torch: {error}; "
            "say sdpa, or install a build for this one",
            package="flash_attn",
        ) from error
    return FLASH


def disagreement(
    attention: Attention, device: torch.device, dtype: torch.dtype, head_dim: int, *, scaled: bool = False
) -> float:
    """Largest difference from torch's own attention in float32 on a small example, as a share of its largest output.

    The example has grouped heads, a slice of a longer slab, several pieces and several queries.
    """
    draw = torch.Generator().manual_seed(0)
    drawn = torch.randn(2, 2, 300, head_dim, generator=draw).to(device, dtype)
    slab: Cached = Scaled.of(drawn) if scaled else drawn
    full = slab.wide() if isinstance(slab, Scaled) else slab.float()
    queries = torch.randn(6, 5, head_dim, generator=draw).to(device, dtype)
    spans = ((20, 31), (31, 240), (240, 270))
    pieces = [(slab[0, :, a:b], slab[1, :, a:b]) for a, b in spans]
    wide = [(full[0, :, a:b], full[1, :, a:b]) for a, b in spans]
    keys, values = slab[0, :, 20:270], slab[1, :, 20:270]
    pairs = [
        (attention.append(queries, keys, values), append_attention(queries.float(), *full[:, :, 20:270])),
        (attention.branch(queries, pieces), branch_attention(queries.float(), wide)),
        (attention.branch(queries[:, -1:], pieces), branch_attention(queries[:, -1:].float(), wide)),
    ]
    # A difference that is no number compares false with every bound, so it is the caller's `<` that refuses it.
    return max(
        (float((found.float() - exact).abs().max() / exact.abs().max()) for found, exact in pairs),
        key=lambda share: math.inf if math.isnan(share) else share,
    )
