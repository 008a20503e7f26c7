"""One phase made ready: what is frozen, what trains, on which inputs, by which optimiser."""

from collections.abc import Callable
from copy import deepcopy

import torch
from timm.utils import ModelEmaV3
from torch import nn

from zoo.contracts import Phase
from zoo.data.augment import mix
from zoo.data.loader import Batch, Loader
from zoo.data.rng import stream
from zoo.distributed.fsdp import full_tensor, shard, shard_units
from zoo.evaluation.inference import Predictions, predict
from zoo.schedules.rate import lr_factor
from zoo.tasks.losses import build_loss
from zoo.tasks.targets import has_unknown
from zoo.training.checkpointer import Checkpointer
from zoo.training.compiling import compile_module
from zoo.training.feature_plan import cached_epochs, keeps_statistics
from zoo.training.freezing import freeze, set_train_mode
from zoo.training.frozen_features import Features, FrozenSplit
from zoo.training.inputs import TrainingInputs
from zoo.training.optim import build_optimizer, set_lr
from zoo.training.stateful import ModuleState, OptimizerState


class PhaseRunner:
    """A phase: `module` is what trains (the model, or its top on cached features), `wrapped` what processes made of it.

    model: the whole model as it is during the phase; a sharded copy stands in for `inputs.model`.
    """

    def __init__(
        self,
        inputs: TrainingInputs,
        phase: Phase,
        split: FrozenSplit | None,
        steps: int,
        warmup: int,
        start: int,
        check_interrupt: Callable[[], None],
    ) -> None:
        """steps: of the phase, `warmup` of them with a rising learning rate; start: the epoch at which it began.

        check_interrupt: raises where a stop was asked for.
        """
        recipe, processes = inputs.recipe, inputs.processes
        self.inputs, self.phase, self.split, self.steps, self.warmup = inputs, phase, split, steps, warmup
        freeze(inputs.model, inputs.groups, phase)
        self.freeze_bn_stats = keeps_statistics(phase, recipe)
        self.model, self.is_sharded = inputs.model, self.split is None and processes.uses_fsdp(recipe.train)
        self.module, self.train, self.validation = self._inputs(start, check_interrupt)
        if self.is_sharded:
            self._shard()
        else:
            self.ema = self._average()
        optimizer = build_optimizer(self.model, inputs.groups, phase, recipe.optim)
        everything = self.split is None  # what reads kept features is small
        module = compile_module(self.module, recipe.train.compile) if everything else self.module
        self.wrapped, self.optimizer = processes.prepare(module, optimizer)
        self.loss = build_loss(
            recipe.train, inputs.classes, processes.device, inputs.task, has_unknown(inputs.train.targets)
        )

    def _average(self) -> ModelEmaV3 | None:
        """A moving average that begins at the weights as they are, where the recipe wants one."""
        decay = self.inputs.recipe.train.ema
        return ModelEmaV3(self.module, decay=decay, use_warmup=True) if decay else None

    def _shard(self) -> None:
        """Let each process have its part of the weights, and of their average; the whole model waits on the CPU."""
        inputs, device = self.inputs, self.inputs.processes.device
        channels, size = len(inputs.train.normalise.mean), inputs.train.size
        units = shard_units(inputs.model, torch.zeros(1, channels, size, size, device=device))
        inputs.model.to("cpu")
        self.ema = self._average()
        self.model = self.module = shard(deepcopy(inputs.model), units, device)
        if self.ema:
            self.ema.foreach = False  # its lists would mix sharded tensors with others
            self.ema.module = shard(self.ema.module, units, device)

    def _inputs(self, start: int, check_interrupt: Callable[[], None]) -> tuple[nn.Module, Loader, Loader]:
        """What trains, and what it reads: images, or what the frozen part below it makes of them."""
        inputs, recipe = self.inputs, self.inputs.recipe
        if self.split is None:
            return inputs.model, inputs.train, inputs.validation
        features = Features(
            self.split, recipe.model, 2 * recipe.data.batch_size, inputs.processes, inputs.reporter, check_interrupt
        )
        images = inputs.plain if recipe.train.views is None else inputs.train
        train = features.loader(images, cached_epochs(self.phase, recipe, start))
        validation = features.loader(inputs.validation, range(1))
        self.split.open()
        return self.split.top, train, validation

    @property
    def evaluated(self) -> nn.Module:
        """The weights that validation sees: the moving average where there is one."""
        return self.ema.module if self.ema else self.module

    def set_train_mode(self) -> None:
        set_train_mode(self.module, self.freeze_bn_stats)

    def backward(self, batch: Batch, images: int, last: bool, epoch: int, number: int) -> torch.Tensor:
        """Add this batch's share of the gradient of the mean loss over `images` images of the whole window.

        last: whether the window ends here, so that processes exchange gradients. Where images have weights, their mean
        over the training split is 1, so the mean still divides by the number of images.
        Returns the summed loss of this process's images.
        """
        processes = self.inputs.processes
        inputs, targets = self._targets(batch, epoch, number)
        with processes.gradient_sync(self.wrapped, last):
            with processes.autocast():
                logits = self.wrapped(inputs)
            losses = self.loss(logits.float(), targets) * batch.valid
            loss = (losses if batch.weights is None else losses * batch.weights).sum()
            processes.accelerator.backward(loss * (processes.size / images))
        return loss.detach()

    def _targets(self, batch: Batch, epoch: int, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        how = self.inputs.recipe.data.augment
        if self.split is not None or not how.mixes:
            return batch.inputs, batch.targets
        soft = self.inputs.task.soft(batch.targets, self.inputs.classes)
        return mix(batch.inputs, soft, how, self.inputs.recipe.train.seed, epoch, number)

    def update(self, step: int) -> None:
        """One optimiser step with the gradients gathered; `step` counts from 0 within the phase."""
        optim = self.inputs.recipe.optim
        if optim.clip_norm is not None:
            self.inputs.processes.accelerator.clip_grad_norm_(self.module.parameters(), optim.clip_norm)
        shape = self.phase.lr_schedule or optim.lr_schedule
        set_lr(self.optimizer, optim.lr * lr_factor(step, self.steps, self.warmup, shape))
        # Accelerate's wrapper looks for a package at each step; only loss scaling needs it.
        scaled = self.inputs.processes.accelerator.scaler is not None
        optimizer = self.optimizer if scaled else self.optimizer.optimizer
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if self.ema:
            self.ema.update(self.module, step)

    def seed(self, step: int) -> None:
        """Dropout and drop-path draw from (seed, step, rank), so there is no generator state to save."""
        processes = self.inputs.processes
        seed = stream(self.inputs.recipe.train.seed, step, processes.rank, 15485863)
        torch.default_generator.manual_seed(seed)  # torch.manual_seed looks for every kind of device, 0.1 ms a time
        if processes.device.type != "cpu":
            torch.get_device_module(processes.device).manual_seed(seed)

    def predict(self) -> Predictions:
        """What `evaluated` says of the validation split, every image once."""
        processes, batch_size = self.inputs.processes, 2 * self.inputs.recipe.data.batch_size
        processes.broadcast_buffers(self.evaluated)
        return predict(self.evaluated, self.validation, processes, batch_size)

    def register(self, checkpointer: Checkpointer, resumed: bool) -> None:
        """Let checkpoints keep what this phase trains. resumed: whether one of this phase is being taken up.

        Raises RunError where it lacks something.
        """
        main = self.inputs.processes.is_main
        checkpointer.register("model", ModuleState(self.model, main))
        checkpointer.register("optim", OptimizerState(self.optimizer.optimizer, main), required=resumed)
        if self.ema:
            checkpointer.register("ema", ModuleState(self.ema.module, main), required=resumed)

    def restore(self) -> None:
        """Let the model read images again, without gradients of a window that was not finished, whatever ended the phase."""
        self.module.zero_grad(set_to_none=True)
        if self.split is not None:
            self.split.close()

    def close(self, checkpointer: Checkpointer) -> None:
        """Let go of optimiser state and wrappers before the next phase builds its own."""
        checkpointer.unregister("optim", "ema")
        checkpointer.register("model", ModuleState(self.inputs.model, self.inputs.processes.is_main))
        self.inputs.processes.broadcast_buffers(self.module)
        if self.is_sharded:
            self.inputs.model.load_state_dict(self.weights(averaged=False))
            self.model = self.module = self.inputs.model
        self.ema = None
        self.wrapped, self.optimizer = self.inputs.processes.accelerator.free_memory(self.wrapped, self.optimizer)
        self.inputs.model.to(self.inputs.processes.device)

    def weights(self, averaged: bool) -> dict[str, torch.Tensor]:
        """A copy on the CPU of the whole model's state, with the moving average in its place if `averaged`."""
        state = self.model.state_dict(keep_vars=True)
        if averaged and self.ema:
            names = {id(tensor): name for name, tensor in state.items()}
            average = self.ema.module.state_dict()
            own = self.module.state_dict(keep_vars=True)
            state = {**state, **{names[id(tensor)]: average[name] for name, tensor in own.items()}}
        return {name: full_tensor(tensor.detach()).to("cpu", copy=True) for name, tensor in state.items()}
