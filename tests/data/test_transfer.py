"""Tensors on their way: the host waits for nothing, and what is made alongside is what would be made in line."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch

from zoo.data.transfer import alongside, on_device

CPU = torch.device("cpu")


@dataclass
class Numbers:
    """A batch."""

    values: torch.Tensor
    count: int


def numbers(made: list[int], device: torch.device) -> Iterator[Numbers]:
    for count in range(1, 9):
        made.append(count)
        yield Numbers(torch.full((1000, 1000), float(count), device=device).cumsum(0), count)


def test_a_cpu_gets_each_batch_when_it_asks():
    made: list[int] = []
    batches = alongside(numbers(made, CPU), CPU)
    assert made == []
    first = next(batches)
    assert (made, first.count, float(first.values[-1, 0])) == ([1], 1, 1000.0)
    assert [batch.count for batch in batches] == [2, 3, 4, 5, 6, 7, 8]


def test_what_the_maker_raises_is_raised():
    def broken() -> Iterator[Numbers]:
        yield Numbers(torch.zeros(1), 1)
        raise OSError("gone")

    batches = alongside(broken(), CPU)
    next(batches)
    with pytest.raises(OSError, match="gone"):
        next(batches)


def test_a_tensor_that_is_there_stays():
    tensor = torch.ones(3)
    assert on_device(tensor, CPU) is tensor


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_makes_what_is_read_whole():
    gpu, made = torch.device("cuda"), []
    for batch in alongside(numbers(made, gpu), gpu):
        assert made[-1] == batch.count
        for _ in range(20):
            batch.values = batch.values * 1.0  # work that the next batch is made beside
        assert batch.values[-1].eq(1000.0 * batch.count).all()
