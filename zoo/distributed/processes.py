"""The processes that train together, by Accelerate: what they share, gather and agree on."""

import os
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TypeVar

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import ProjectConfiguration, broadcast, broadcast_object_list, gather
from torch import nn
from torch.distributed.fsdp import FSDPModule

from zoo.config.recipe import Train
from zoo.data.loader import Shard
from zoo.errors import RunError, UsageError, ZooError

T = TypeVar("T")


class Processes:
    """This process, its rank among all, and the device it computes on."""

    def __init__(self, precision: str, folder: Path | None = None) -> None:
        self.precision, self.folder = resolve_precision(precision), folder
        AcceleratorState._reset_state()  # an earlier run in this process may have had another precision
        self.accelerator = Accelerator(
            cpu=wants_cpu(),
            mixed_precision="no" if self.precision == "fp32" else self.precision,
            log_with="tensorboard" if folder else None,
            project_config=ProjectConfiguration(project_dir=str(folder), logging_dir=str(folder)) if folder else None,
            # batch-norm statistics are the main process's, which shares them before they are used or kept, not at each step
            kwargs_handlers=[DistributedDataParallelKwargs(gradient_as_bucket_view=True, broadcast_buffers=False)],
        )
        self.device = self.accelerator.device
        torch.backends.cudnn.deterministic = True  # one seed, one result, on a GPU too; by cudnn.benchmark runs differ
        if self.device.type == "cuda":
            torch.set_float32_matmul_precision(
                "high"
            )  # TF32, in which convolutions compute anyway; bf16 has 3 bits less
        self.rank, self.size = self.accelerator.process_index, self.accelerator.num_processes
        self.is_main = self.accelerator.is_main_process
        self.shard = Shard(self.rank, self.size)
        wanted = int(os.environ.get("ZOO_PROCESSES") or os.environ.get("WORLD_SIZE") or 1)
        if self.size != wanted:
            raise RunError(
                f"{wanted} processes were asked for, but Accelerate runs {self.size}. Use zoo finetune --processes {wanted}"
            )

    def with_precision(self, precision: str) -> "Processes":
        """The same processes in another precision."""
        return self if precision == self.precision else Processes(precision, self.folder)

    def prepare(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[nn.Module, torch.optim.Optimizer]:
        """Wrap a module and its optimiser so that processes exchange gradients; a sharded module does so by itself."""
        if _is_sharded(module):
            return module, self.accelerator.prepare_optimizer(optimizer)
        with warnings.catch_warnings():  # Accelerate hands torch the older of two names
            warnings.filterwarnings("ignore", "`?broadcast_buffers`? is deprecated", FutureWarning)
            return self.accelerator.prepare(module, optimizer)

    def uses_fsdp(self, train: Train) -> bool:
        """Whether a recipe shards its model over the processes, of which there must be several."""
        return train.fsdp and self.size > 1

    def gradient_sync(self, wrapped: nn.Module, wanted: bool) -> AbstractContextManager:
        """Context of a forward and backward pass after which processes exchange gradients, or gather more first.

        A sharded module always exchanges them, for a process has no room for all gradients.
        """
        return nullcontext() if wanted or _is_sharded(wrapped) else self.accelerator.no_sync(wrapped)

    def autocast(self) -> AbstractContextManager:
        return self.accelerator.autocast()

    def all_reduce_max(self, *flags: float) -> list[float]:
        """The largest of each flag over all processes."""
        if self.size == 1:
            return list(flags)
        values = torch.tensor(flags, dtype=torch.float32, device=self.device)
        torch.distributed.all_reduce(values, torch.distributed.ReduceOp.MAX)
        return values.tolist()

    def all_reduce_sum(self, *values: float) -> list[float]:
        """The sum of each value over all processes."""
        if self.size == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(sums)
        return sums.tolist()

    def broadcast(self, value: T) -> T:
        """The main process's value, on every process."""
        return broadcast_value(value)

    def run_on_main(self, action: Callable[[], T]) -> T:
        """What `action` gives on the main process, for every process; its failure is every process's failure.

        Raises on every process what `action` raised.
        """
        result, failure = None, None
        if self.is_main:
            try:
                result = action()
            except ZooError as error:
                failure = error
        result, failure = self.broadcast((result, failure))
        if failure is not None:
            raise failure
        return result

    def broadcast_buffers(self, module: nn.Module) -> None:
        """Give every process the main process's batch-norm statistics."""
        if self.size > 1:
            for buffer in module.buffers():
                buffer.copy_(broadcast(buffer))

    def barrier(self) -> None:
        self.accelerator.wait_for_everyone()

    def gather(self, indices: torch.Tensor, part: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(indices (b,), values (b, ...)) of every process one after another, on the CPU; shares are of one size."""
        if self.size > 1:
            indices, part = gather((indices.to(self.device), part.contiguous()))
        return indices.cpu(), part.cpu()


def _is_sharded(module: nn.Module) -> bool:
    """Whether FSDP shards a module, or one that it contains."""
    return any(isinstance(member, FSDPModule) for member in module.modules())


def broadcast_value(value: T) -> T:
    """The first process's value, on every process, before there is processes."""
    return broadcast_object_list([value])[0] if PartialState(cpu=wants_cpu()).num_processes > 1 else value


def resolve_precision(wanted: str) -> str:
    """`auto` -> bf16 where the GPU has it, else fp32, until something is measured. Raises UsageError for fp16 without a GPU."""
    cuda = torch.cuda.is_available() and not wants_cpu()
    if wanted == "fp16" and not cuda:
        raise UsageError("train.precision: fp16 needs a GPU; on a CPU take bf16 or fp32")
    if wanted == "auto":
        return "bf16" if cuda and torch.cuda.is_bf16_supported() else "fp32"
    return wanted


def wants_cpu() -> bool:
    """Whether to compute on the CPU: asked for, or several processes without a GPU.

    Accelerate must be told of the latter, else each process silently runs alone.
    """
    asked = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes", "on")
    return asked or (int(os.environ.get("WORLD_SIZE") or 1) > 1 and not torch.cuda.is_available())
