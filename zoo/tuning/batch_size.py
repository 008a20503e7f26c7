"""The largest batch that fits the device, found by trying; accumulation keeps the recipe's effective batch."""

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import psutil
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from zoo.distributed.processes import Processes
from zoo.training.setup import Setup
from zoo.tuning.trial_step import TrialStep, preserve_generators

GPU_SHARE = 0.75
"""Part of a GPU's free memory that a step may take; the rest is for decoded images, a fifth at most, and what varies."""
CPU_SHARE = 0.5
"""Part of the free memory that all processes' steps together may take; decoded images and features need theirs."""
SMALL = (2, 4)
"""Images of the two steps from which a CPU's need is extrapolated, after a first that sets up the optimiser."""


def fit_batch(setup: Setup, processes: Processes, precision: str, channels_last: bool) -> tuple[int, int]:
    """(batch size over all processes, batches per optimiser step); their product is the recipe's effective batch.

    On a GPU each size is tried by a training step and a validation batch, the largest first. On a CPU, which would
    rather swap or kill than refuse, two small steps are made and what their tensors take is extrapolated
    in a straight line. Nothing of `setup` changes.
    """
    effective = setup.recipe.data.images_per_batch * setup.recipe.train.accumulation
    with preserve_generators(processes.device):
        if processes.device.type == "cuda":
            fits = partial(_tried, setup, processes.device, precision, channels_last)
        else:
            free = CPU_SHARE * psutil.virtual_memory().available / processes.size
            fits = partial(
                _affordable, estimate_bytes(TrialStep(setup, processes.device), precision, channels_last), free
            )
        batch = find_largest(list_halvings(effective, processes.size), lambda batch: fits(-(-batch // processes.size)))
    return batch, effective // batch


def list_halvings(effective: int, processes: int) -> list[int]:
    """Batch sizes that a whole power of two of makes the effective batch, as long as a process has two images of each."""
    sizes = [effective]
    while sizes[-1] % 2 == 0 and sizes[-1] // 2 >= 2 * processes:
        sizes.append(sizes[-1] // 2)
    return sizes


def find_largest(sizes: list[int], fits: Callable[[int], bool]) -> int:
    """The first size that fits; the last if none does, so that training says what else can be done."""
    return next((size for size in sizes[:-1] if fits(size)), sizes[-1])


def estimate_bytes(trial_step: TrialStep, precision: str, channels_last: bool) -> Callable[[int], float]:
    """Bytes that a process will need for steps of so many images, gradients and the optimiser's memory included.

    The peak of small steps, in which gradients and optimiser weigh most, and on top what a forward pass keeps of every
    further image; larger batches need about so much, or less.
    """
    trial_step.arrange(channels_last)
    with _AllocationTracker(trial_step.trained) as held:
        kept = []
        for count in (SMALL[0], *SMALL):
            inputs = trial_step.inputs(count, channels_last)
            loss = trial_step.forward(inputs, precision)
            kept.append(held.now)
            trial_step.update(loss)
            del loss
    each = (kept[2] - kept[1]) / (SMALL[1] - SMALL[0])
    return lambda count: held.peak + max(0.0, each) * (count - SMALL[1])


class _AllocationTracker(TorchDispatchMode):
    """Bytes of the tensors made inside that are alive, and their peak. What a process takes from the system says less,
    since memory that was freed before is taken again without being asked for.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known = WeakIdKeyDictionary()
        for tensor in (*model.parameters(), *model.buffers()):
            self.known[tensor.untyped_storage()] = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._meet(tensor.untyped_storage())
        return result

    def _meet(self, storage: torch.UntypedStorage) -> None:
        if storage not in self.known:
            self.known[storage] = storage.nbytes()
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._leave, storage.nbytes())

    def _leave(self, size: int) -> None:
        self.now -= size


def _affordable(need: Callable[[int], float], free: float, share: int) -> bool:
    return need(share) <= free


def _tried(setup: Setup, device: torch.device, precision: str, channels_last: bool, share: int) -> bool:
    """Whether a GPU has room for a training step of `share` images, and for a validation batch of twice as many."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    room = GPU_SHARE * torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    try:
        trial_step = TrialStep(setup, device)
        trial_step.arrange(channels_last)
        trial_step.step(trial_step.inputs(share, channels_last), precision)
        trial_step.infer(trial_step.inputs(2 * share, channels_last), precision)
    except torch.OutOfMemoryError:
        return False
    finally:
        trial_step = None
        torch.cuda.empty_cache()
    return torch.cuda.max_memory_reserved(device) <= room
