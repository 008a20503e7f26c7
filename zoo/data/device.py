"""Tensors on their way to the device."""

import torch


def on_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The tensor there, without the host waiting until a GPU has done what it was given before."""
    if device.type == "cuda" and tensor.device.type == "cpu" and not tensor.is_pinned():
        tensor = tensor.contiguous().pin_memory()  # from other memory the driver copies in step with the host
    return tensor.to(device, non_blocking=True)
