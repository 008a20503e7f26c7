"""Every image once and in order, by the model in eval mode; images that cannot be read are left out."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from zoo.data.loader import Batch, FeatureLoader
from zoo.distributed.processes import Processes
from zoo.errors import RunError
from zoo.evaluation.inference import predict, predict_all

pytestmark = pytest.mark.usefixtures("alone")


def features(processes: Processes, count: int) -> FeatureLoader:
    values = torch.arange(count, dtype=torch.float32)[:, None] * torch.tensor([1.0, 10.0])
    return FeatureLoader([values], np.arange(count), processes.device, processes.shard)


@pytest.mark.parametrize("batch_size", [1, 3, 4, 100])
@pytest.mark.parametrize("count", [1, 7, 8])
def test_every_input_once_and_in_order(count, batch_size):
    processes, ticks = Processes("fp32"), []
    found = predict_all(
        lambda x: x.double() + 1, features(processes, count), processes, count, batch_size, ticks.append
    )
    assert found.dtype == torch.float32
    assert found.tolist() == [[i + 1.0, 10.0 * i + 1] for i in range(count)]
    assert sum(ticks) == count


def test_an_input_that_is_lost_is_noticed():
    class Short(FeatureLoader):
        def batches(self, order: list[np.ndarray], epoch: int = 0) -> Iterator[Batch]:
            return super().batches(order[:-1], epoch)

    processes = Processes("fp32")
    loader = features(processes, 10)
    for count, batch_size, lost in ((10, 4, 2), (3, 4, 3)):
        with pytest.raises(RunError) as caught:
            short = Short(loader.views, loader.targets, processes.device, processes.shard)
            predict_all(lambda x: x, short, processes, count, batch_size)
        assert str(caught.value) == f"{lost} of {count} images were not evaluated"


def test_predictions_are_of_the_readable_images_by_the_model_in_eval_mode():
    processes = Processes("fp32")
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(2, 3)).train()
    found = predict(model, features(processes, 7), processes, 4, without={2: "damaged"})
    assert model.training and (found.indices.tolist(), found.targets.tolist()) == ([0, 1, 3, 4, 5, 6],) * 2
    values = torch.tensor([[i, 10.0 * i] for i in found.indices])
    torch.testing.assert_close(found.logits, model[1](values).detach())
