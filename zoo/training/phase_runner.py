"""One phase made ready: what is frozen, what trains, on which inputs, by which optimiser.

`backward` runs the forward and backward pass of a batch; `update` clips gradients, sets the learning rate and makes the
optimiser's step.
"""

from collections.abc import Callable
from copy import deepcopy

import torch
from timm.utils import ModelEmaV3
from torch import nn

from zoo.contracts import HEAD, At, Phase, Seen
from zoo.data.loader import Batch, Loader
from zoo.data.rng import stream
from zoo.distributed.fsdp import full_tensor, shard, shard_units
from zoo.schedules.rate import lr_factor
from zoo.training.checkpointer import Checkpointer
from zoo.training.compiling import compile_module
from zoo.training.feature_plan import cached_epochs, keeps_statistics
from zoo.training.freezing import freeze, set_train_mode
from zoo.training.frozen_features import Features, FrozenSplit
from zoo.training.inputs import TrainingInputs
from zoo.training.learner import own_tensors
from zoo.training.optim import build_optimizer, set_lr
from zoo.training.stateful import MethodState, ModuleState, OptimizerState
from zoo.training.validation import Metrics, Validation


class PhaseRunner:
    """A phase: `learner` is what trains, around the model or its top on cached features; `wrapped` is DDP's around it.

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
        self.freeze_bn_stats = keeps_statistics(phase, recipe)
        self.model, self.is_sharded = inputs.model, self.split is None and processes.uses_fsdp(recipe.train)
        self._freeze()
        self.learner, self.train, self.validation = self._inputs(start, check_interrupt)
        if self.is_sharded:
            self._shard()
        else:
            self.ema = self._average()
        optimizer = build_optimizer(self.model, inputs.groups, phase, recipe.optim, self._own())
        everything = self.split is None  # what reads kept features is small
        module = compile_module(self.learner, recipe.train.compile) if everything else self.learner
        self.wrapped, self.optimizer = processes.prepare(module, optimizer)

    def _freeze(self) -> None:
        """Let exactly what the phase trains train; a method's own parameters belong to the head."""
        freeze(self.inputs.model, self.inputs.groups, self.phase)
        for name in self.inputs.own:
            self.inputs.learner.get_parameter(name).requires_grad_(HEAD in self.phase.trainable)

    def _own(self) -> list[nn.Parameter]:
        """The method's own parameters where this phase trains them."""
        return [self.learner.get_parameter(name) for name in self.inputs.own if HEAD in self.phase.trainable]

    def _average(self) -> ModelEmaV3 | None:
        """A moving average that begins at the weights as they are, where the recipe wants one."""
        decay = self.inputs.recipe.train.ema
        return ModelEmaV3(self.learner, decay=decay, use_warmup=True) if decay else None

    def _shard(self) -> None:
        """Let each process have its part of the weights, and of their average; the whole model waits on the CPU."""
        inputs, device = self.inputs, self.inputs.processes.device
        channels, size = len(inputs.train.normalise.mean), inputs.train.size
        units = shard_units(inputs.model, torch.zeros(1, channels, size, size, device=device))
        inputs.model.to("cpu")
        self.ema = self._average()
        self.learner = self._sharded(deepcopy(inputs.learner), units)
        self.model = self.learner.model
        if self.ema:
            self.ema.foreach = False  # its lists would mix sharded tensors with others
            self._sharded(self.ema.module, units)

    def _sharded(self, learner: nn.Module, units: list[str]) -> nn.Module:
        """A learner with its model sharded, and with its own parameters sharded, where it has any."""
        device = self.inputs.processes.device
        shard(learner.model, units, device)
        return shard(learner, [], device) if self.inputs.own else learner

    def _inputs(self, start: int, check_interrupt: Callable[[], None]) -> tuple[nn.Module, Loader, Loader]:
        """What trains, and what it reads: images, or what the frozen part below it makes of them."""
        inputs, recipe = self.inputs, self.inputs.recipe
        if self.split is None:
            return inputs.learner, inputs.train, inputs.validation
        features = Features(
            self.split, recipe.model, 2 * recipe.data.batch_size, inputs.processes, inputs.reporter, check_interrupt
        )
        images = inputs.plain if recipe.train.views is None else inputs.train
        train = features.loader(images, cached_epochs(self.phase, recipe, start))
        validation = features.loader(inputs.validation, range(1))
        self.split.open()
        return inputs.learner.on_features(self.split.top), train, validation

    @property
    def evaluated(self) -> nn.Module:
        """The learner that validation sees: the moving average where there is one."""
        return self.ema.module if self.ema else self.learner

    def set_train_mode(self) -> None:
        set_train_mode(self.learner, self.freeze_bn_stats)

    def backward(self, batch: Batch, at: At, images: int, last: bool) -> dict[str, torch.Tensor]:
        """Add this batch's share of the gradient of the mean loss over `images` images of the whole window.

        last: whether the window ends here, so that processes exchange gradients. Where images have weights, their mean
        over the training split is 1, so the mean still divides by the number of images.
        Returns what the learner gave (`loss` and further entries), each summed over this process's images.
        """
        processes = self.inputs.processes
        seen = Seen(batch.inputs, batch.targets, batch.valid, batch.indices)
        with processes.gradient_sync(self.wrapped, last):
            with processes.autocast():
                entries = self.wrapped(seen, at)
            sums = {name: (values * batch.valid).sum().detach() for name, values in entries.items() if name != "loss"}
            losses = entries["loss"] * batch.valid
            loss = (losses if batch.weights is None else losses * batch.weights).sum()
            processes.accelerator.backward(loss * (processes.size / images))
        return {"loss": loss.detach(), **sums}

    def update(self, step: int, at: At) -> None:
        """One optimiser step with the gradients gathered; `step` counts from 0 within the phase."""
        optim = self.inputs.recipe.optim
        if optim.clip_norm is not None:
            self.inputs.processes.accelerator.clip_grad_norm_(self.learner.parameters(), optim.clip_norm)
        shape = self.phase.lr_schedule or optim.lr_schedule
        set_lr(self.optimizer, optim.lr * lr_factor(step, self.steps, self.warmup, shape))
        # Accelerate's wrapper looks for a package at each step; only loss scaling needs it.
        scaled = self.inputs.processes.accelerator.scaler is not None
        optimizer = self.optimizer if scaled else self.optimizer.optimizer
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            self.learner.after_step(at)
        if self.ema:
            self.ema.update(self.learner, step)

    def seed(self, step: int) -> None:
        """Dropout and drop-path draw from (seed, step, rank), so there is no generator state to save."""
        processes = self.inputs.processes
        seed = stream(self.inputs.recipe.train.seed, step, processes.rank, 15485863)
        torch.default_generator.manual_seed(seed)  # torch.manual_seed looks for every kind of device, 0.1 ms a time
        if processes.device.type != "cpu":
            torch.get_device_module(processes.device).manual_seed(seed)

    def validate(self, measure: Validation, at: At) -> Metrics:
        """What `measure` finds of the weights on the validation images, with the main process's statistics."""
        self.inputs.processes.broadcast_buffers(self.evaluated)
        return measure(self.evaluated, self.validation, at)

    def register(self, checkpointer: Checkpointer, resumed: bool) -> None:
        """Let checkpoints keep what this phase trains. resumed: whether one of this phase is being taken up.

        Raises RunError where it lacks something.
        """
        main = self.inputs.processes.is_main
        checkpointer.register_model(self.model, self.learner, main)
        checkpointer.register("optim", OptimizerState(self.optimizer.optimizer, main), required=resumed)
        if self.ema:
            checkpointer.register("ema", ModuleState(self.ema.module.model, main), required=resumed)
            if own_tensors(self.ema.module):
                checkpointer.register("ema-method", MethodState(self.ema.module, main), required=resumed)

    def restore(self) -> None:
        """Let the model read images again, without gradients of a window that was not finished, whatever ended the phase."""
        self.learner.zero_grad(set_to_none=True)
        if self.split is not None:
            self.split.close()

    def close(self, checkpointer: Checkpointer) -> None:
        """Let go of optimiser state and wrappers before the next phase builds its own."""
        inputs, main = self.inputs, self.inputs.processes.is_main
        inputs.processes.broadcast_buffers(self.learner)
        if self.is_sharded:
            inputs.model.load_state_dict(self.weights(averaged=False))
            MethodState(inputs.learner, True).load(*MethodState(self.learner, True).state())
            self.learner, self.model = inputs.learner, inputs.model
        checkpointer.unregister("optim", "ema", "ema-method")
        checkpointer.register_model(inputs.model, inputs.learner, main)
        self.ema = None
        self.wrapped, self.optimizer = inputs.processes.accelerator.free_memory(self.wrapped, self.optimizer)
        inputs.learner.to(inputs.processes.device)

    def weights(self, averaged: bool) -> dict[str, torch.Tensor]:
        """A copy on the CPU of the whole model's state, with the moving average in its place if `averaged`."""
        state = self.model.state_dict(keep_vars=True)
        if averaged and self.ema:
            names = {id(tensor): name for name, tensor in state.items()}
            average = self.ema.module.model.state_dict()
            own = self.learner.model.state_dict(keep_vars=True)
            state = {**state, **{names[id(tensor)]: average[name] for name, tensor in own.items()}}
        return {name: full_tensor(tensor.detach()).to("cpu", copy=True) for name, tensor in state.items()}
