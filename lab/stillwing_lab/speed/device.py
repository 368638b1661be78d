"""What a device can do at the most, measured: bytes copied a second and products of matrices. It knows no model."""

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from stillwing_lab.speed.roofline import Device
from stillwing_lab.speed.scale import Scale


def measure_device(device: torch.device, dtype: torch.dtype, scale: Scale) -> Device:
    """Bytes a large copy moves a second, read and written counted, and products of random matrices."""
    source = torch.empty(scale.copied_bytes, dtype=torch.uint8, device=device)
    source.random_(0, 256)
    target = torch.empty_like(source)
    copy_s = _median_s(device, partial(target.copy_, source))
    del source, target
    left, right = (torch.randn(scale.matrix_side, scale.matrix_side, device=device).to(dtype) for _ in range(2))
    multiply_s = _median_s(device, partial(torch.mm, left, right))
    return Device(2 * scale.copied_bytes / copy_s, 2 * scale.matrix_side**3 / multiply_s)


def _median_s(device: torch.device, work: Callable[[], Any], repeats: int = 10) -> float:
    work()
    taken = []
    for _ in range(repeats):
        wait_for(device)
        began_s = time.perf_counter()
        work()
        wait_for(device)
        taken.append(time.perf_counter() - began_s)
    return statistics.median(taken)


def wait_for(device: torch.device) -> None:
    """Until the device is idle."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
