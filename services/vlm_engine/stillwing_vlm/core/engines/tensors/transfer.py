"""Small things on their way to the device. It knows nothing of what they are."""

import torch


def to_device(host: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A host tensor on the device, without the host's waiting for what the device is at: that takes pinned memory,
    which is kept until it has been read.
    """
    return host.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else host.to(device)
