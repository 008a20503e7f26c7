"""The method `denoise`: a backbone and a small decoder predict the clean image from a noisy one."""

import hashlib

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.contracts import At, Given, Seen


class Denoise(nn.Module):
    """A denoising auto-encoder, trained without labels (Vincent et al. 2008, doi:10.1145/1390156.1390294).

    sigma: standard deviation of the Gaussian noise, above 0, in units of the normalised image.
    """

    def __init__(self, model: nn.Module, given: Given, sigma: float = 0.5) -> None:
        super().__init__()
        if given.loss is not None:
            raise ValueError("it learns without labels and trains no classifier: zoo pretrain takes it")
        if not sigma > 0:
            raise ValueError(f"sigma={sigma} must be above 0")
        self.model, self.sigma, self.seed = model, sigma, given.seed
        channels, side = self._map_shape(given)
        self.factor = max(1, given.image_size // side)
        self.decoder = nn.Conv2d(channels, given.channels * self.factor**2, 1)

    def _map_shape(self, given: Given) -> tuple[int, int]:
        """Channels and height of the last feature map."""
        device = next(self.model.parameters()).device
        training = [(module, module.training) for module in self.model.modules()]
        with torch.no_grad():
            shape = self._features(
                torch.zeros(1, given.channels, given.image_size, given.image_size, device=device), self.model.eval()
            ).shape
        for module, mode in training:
            module.training = mode
        return shape[1], shape[2]

    def _features(self, inputs: Tensor, model: nn.Module) -> Tensor:
        """The last feature map (B, C, h, w) of images (B, C, H, W). Raises ValueError where there is none."""
        features = model.forward_features(inputs)
        if features.ndim == 4:
            is_last = features.shape[1] != model.num_features and features.shape[3] == model.num_features
            return features.movedim(3, 1) if is_last else features
        if features.ndim == 3:
            patches = features[:, getattr(model, "num_prefix_tokens", 0) :]
            side = round(patches.shape[1] ** 0.5)
            if side**2 == patches.shape[1]:
                return patches.movedim(2, 1).unflatten(2, (side, side))
        raise ValueError(f"the backbone gives features of shape {tuple(features.shape)}, which make no square map")

    def forward(self, seen: Seen, at: At) -> dict[str, Tensor]:
        """`loss` (B,): mean squared error of the predicted images, `seen.inputs` (B, C, H, W) being the clean ones."""
        clean = seen.inputs
        noisy = clean + self.sigma * _noise(clean, self.seed, at.epoch if self.training else -1, seen.indices)
        predicted = F.pixel_shuffle(self.decoder(self._features(noisy, self.model)), self.factor).float()
        if predicted.shape[2:] != clean.shape[2:]:
            predicted = F.interpolate(predicted, size=clean.shape[2:], mode="bilinear")
        return {"loss": (predicted - clean.float()).square().mean((1, 2, 3))}

    def after_step(self, at: At) -> None:
        """Do nothing: all that is learned are parameters."""


@torch.compiler.disable
def _noise(images: Tensor, seed: int, epoch: int, indices: Tensor) -> Tensor:
    """Standard normal numbers like `images` (B, C, H, W), which depend on (seed, epoch, index) of each image alone."""
    generator, shape = torch.Generator(), images.shape[1:]
    noise = [
        torch.randn(shape, generator=generator.manual_seed(_mixed(seed, epoch, index))) for index in indices.tolist()
    ]
    return torch.stack(noise).to(images)


def _mixed(*keys: int) -> int:
    """A seed below 2**63 from integers."""
    return int.from_bytes(hashlib.blake2b(repr(keys).encode(), digest_size=8).digest(), "big") >> 1
