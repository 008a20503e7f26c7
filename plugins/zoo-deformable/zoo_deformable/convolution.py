"""The modulated deformable convolution: Zhu et al. 2018 (arXiv:1811.11168), after Dai et al. 2017 (arXiv:1703.06211)."""

from contextlib import nullcontext

import torch
from torch import nn
from torchvision.ops import deform_conv2d


class DeformConv2d(nn.Conv2d):
    """A convolution whose taps move and fade, pixel by pixel, by what a second convolution (`offset`) says.

    Made from a plain convolution, whose weight it takes over under the same name. `offset` starts at zero, where taps
    stay in place and count in full (the factor is 2·sigmoid), so at first it computes what the plain one did.
    (B, C, H, W) to (B, C', H', W') as there.
    """

    def __init__(self, plain: nn.Conv2d) -> None:
        """Raises ValueError for padding that is not zeros."""
        if plain.padding_mode != "zeros" or isinstance(plain.padding, str):
            raise ValueError(f"a deformable convolution pads with zeros, by a number of pixels; found {plain}")
        shape = {key: getattr(plain, key) for key in ("in_channels", "kernel_size", "stride", "padding", "dilation")}
        super().__init__(
            out_channels=plain.out_channels, groups=plain.groups, bias=plain.bias is not None, device="meta", **shape
        )
        self.weight = plain.weight
        self.bias = plain.bias
        taps = plain.kernel_size[0] * plain.kernel_size[1]
        self.offset = nn.Conv2d(out_channels=3 * taps, **shape, device=plain.weight.device, dtype=plain.weight.dtype)
        self.zero_offset()

    def zero_offset(self) -> None:
        """Become the plain convolution again."""
        nn.init.zeros_(self.offset.weight)
        nn.init.zeros_(self.offset.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Sampling runs in float32 at least, whatever autocast or the weights say: a shift of pixels needs the digits."""
        by = self.offset(x)
        dtype = torch.promote_types(by.dtype, torch.float32)
        taps = by.shape[1] // 3
        shift, fade = by[:, : 2 * taps].to(dtype), 2 * by[:, 2 * taps :].to(dtype).sigmoid()
        device = x.device.type
        with torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext():
            y = deform_conv2d(
                x.to(dtype),
                shift,
                self.weight.to(dtype),
                None if self.bias is None else self.bias.to(dtype),
                stride=self.stride,
                padding=self.padding,
                dilation=self.dilation,
                mask=fade,
            )
        return y.to(by.dtype)
