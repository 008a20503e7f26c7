"""Errors of torch during a run, translated into what to change in the recipe or what to type next."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from zoo.config.recipe import Recipe
from zoo.distributed.processes import Processes
from zoo.errors import OutOfMemory, RunError, first_line
from zoo.storage.run_folder import Run

COMPILERS = ("torch._dynamo", "torch._inductor")
LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "NCCL error: remote process exited")
"""What Gloo and NCCL say of a process that is no more."""
NO_MEMORY = ("can't allocate memory", "could not create a primitive")
"""What torch and oneDNN say on a CPU that has none left."""


@contextmanager
def translate_compile_errors() -> Iterator[None]:
    """What torch.compile cannot do, said in the recipe's terms."""
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith(COMPILERS):
            raise
        raise RunError(
            f"train.compile: torch.compile failed: {first_line(error)}. Start a new run with train.compile=false"
        ) from error


@contextmanager
def translate_lost_process(run: Run, processes: Processes) -> Iterator[None]:
    """What a process hears of torch when another is gone, in words that help."""
    try:
        yield
    except RuntimeError as error:
        if processes.size == 1 or not any(sign in str(error) for sign in LOST):
            raise
        onward = f"Go on with: zoo resume {run.folder}" if run.recipe.is_file() else "Start it again"
        raise RunError(f"another process of the run is gone. {onward}") from error


@contextmanager
def translate_memory_errors(recipe: Recipe) -> Iterator[None]:
    """Running out of memory, said in the recipe's terms."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        text = str(error)
        if not isinstance(error, torch.OutOfMemoryError | MemoryError) and not any(sign in text for sign in NO_MEMORY):
            raise
        batch = recipe.data.images_per_batch
        size, precision = recipe.data.image_size or "the backbone's own size", recipe.train.precision
        raise OutOfMemory(
            f"out of memory with data.batch_size={batch}, data.image_size={size}, train.precision={precision}. "
            f"Try data.batch_size={max(1, batch // 2)} train.accumulation={2 * recipe.train.accumulation} (the same effective batch), "
            f"a smaller data.image_size or train.precision=bf16"
        ) from error
