"""One phase made ready: what is frozen, what trains, on which inputs, by which optimiser."""

from contextlib import nullcontext

import torch
from timm.utils import ModelEmaV3
from torch import nn
from torch.nn import functional as F

from zoo.contracts import Phase
from zoo.data.augment import mix
from zoo.data.loader import Batch, FeatureLoader, ImageLoader, Loader
from zoo.data.random import stream
from zoo.models.mode import evaluating
from zoo.schedules.rate import lr_factor
from zoo.training.freezing import freeze, train_mode
from zoo.training.loss import build_loss
from zoo.training.material import Material
from zoo.training.optim import build_optimizer, set_lr


class Stage:
    """A phase: `module` is what trains (the model, or its top on cached features), `wrapped` what Accelerate made of it."""

    def __init__(self, material: Material, phase: Phase, cached: bool, steps: int, warmup: int) -> None:
        recipe, team = material.recipe, material.team
        self.material, self.phase, self.cached, self.steps, self.warmup = material, phase, cached, steps, warmup
        freeze(material.model, material.groups, phase)
        frozen_stats = phase.freeze_bn_stats
        self.freeze_bn_stats = recipe.train.freeze_bn_stats if frozen_stats is None else frozen_stats
        self.module, self.train, self.validation = self._inputs()
        optimizer = build_optimizer(material.model, material.groups, phase, recipe.optim)
        module = torch.compile(self.module) if recipe.train.compile else self.module
        self.wrapped, self.optimizer = team.accelerator.prepare(module, optimizer)
        self.loss = build_loss(recipe.train, material.classes, team.device)
        self.ema = ModelEmaV3(self.module, decay=recipe.train.ema, use_warmup=True) if recipe.train.ema else None

    def _inputs(self) -> tuple[nn.Module, Loader, Loader]:
        material = self.material
        if not self.cached:
            return material.model, material.train, material.validation
        train, validation = (self._features(loader) for loader in (material.plain, material.validation))
        return material.halves.top, train, validation

    def _features(self, loader: ImageLoader) -> FeatureLoader:
        material, count = self.material, len(loader.labels)
        material.reporter.start("features", count)
        with evaluating(material.model):
            features = material.team.apply(
                material.halves.features, loader, count, 2 * material.recipe.data.batch_size, material.reporter.advance
            )
        material.reporter.finish()
        return FeatureLoader(features, loader.labels, loader.device, loader.shard)

    @property
    def evaluated(self) -> nn.Module:
        """The weights that validation sees: the moving average where there is one."""
        return self.ema.module if self.ema else self.module

    def train_mode(self) -> None:
        train_mode(self.module, self.freeze_bn_stats)

    def backward(self, batch: Batch, images: int, last: bool, epoch: int, number: int) -> torch.Tensor:
        """Add this batch's share of the gradient of the mean loss over `images` images of the whole window.

        last: whether the window ends here, so that processes exchange gradients.
        Returns the summed loss of this process's images.
        """
        team = self.material.team
        inputs, targets = self._targets(batch, epoch, number)
        with nullcontext() if last else team.accelerator.no_sync(self.wrapped):
            with team.autocast():
                logits = self.wrapped(inputs)
            loss = (self.loss(logits.float(), targets) * batch.weights).sum()
            team.accelerator.backward(loss * (team.size / images))
        return loss.detach()

    def _targets(self, batch: Batch, epoch: int, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        how = self.material.recipe.data.augment
        if self.cached or not (how.mixup or how.cutmix):
            return batch.inputs, batch.labels
        one_hot = F.one_hot(batch.labels, self.material.classes).float()
        return mix(batch.inputs, one_hot, how, self.material.recipe.train.seed, epoch, number)

    def update(self, step: int) -> None:
        """One optimiser step with the gradients gathered; `step` counts from 0 within the phase."""
        optim = self.material.recipe.optim
        if optim.clip_norm is not None:
            self.material.team.accelerator.clip_grad_norm_(self.module.parameters(), optim.clip_norm)
        shape = self.phase.lr_schedule or optim.lr_schedule
        set_lr(self.optimizer, optim.lr * lr_factor(step, self.steps, self.warmup, shape))
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema:
            self.ema.update(self.module, step)

    def seed(self, step: int) -> None:
        """Dropout and drop-path draw from (seed, step, rank), so there is no generator state to save."""
        torch.manual_seed(stream(self.material.recipe.train.seed, step, self.material.team.rank, 15485863))

    def logits(self) -> torch.Tensor:
        """Validation logits (N, K) of `evaluated`, every image once."""
        material = self.material
        material.team.share_buffers(self.evaluated)
        with evaluating(self.evaluated):
            return material.team.apply(
                self.evaluated, self.validation, len(self.validation.labels), 2 * material.recipe.data.batch_size
            )

    def close(self) -> None:
        """Let go of optimiser state and wrappers before the next phase builds its own."""
        self.material.team.share_buffers(self.module)
        self.wrapped, self.optimizer = self.material.team.accelerator.free_memory(self.wrapped, self.optimizer)

    def weights(self, averaged: bool) -> dict[str, torch.Tensor]:
        """A copy on the CPU of the whole model's state, with the moving average in its place if `averaged`."""
        state = self.material.model.state_dict(keep_vars=True)
        if averaged and self.ema:
            names = {id(tensor): name for name, tensor in state.items()}
            average = self.ema.module.state_dict()
            own = self.module.state_dict(keep_vars=True)
            state = {**state, **{names[id(tensor)]: average[name] for name, tensor in own.items()}}
        return {name: tensor.detach().to("cpu", copy=True) for name, tensor in state.items()}
