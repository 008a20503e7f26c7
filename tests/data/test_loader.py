"""Batches over processes: every image once, equal shares, the same images wherever they come from."""

import time
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from zoo.config.recipe import Augment
from zoo.data.image_store import EncodedImages, EvalTransform, MemoryImageStore, StreamedImageStore
from zoo.data.loader import Batch, FeatureLoader, ImageLoader, Normalise, Shard, TimedIterator, in_order, shuffled

CPU = torch.device("cpu")
PLAIN = Normalise((0.0,) * 3, (1 / 255,) * 3, channels_last=False)


@pytest.mark.parametrize("shards", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 16, 64])
@pytest.mark.parametrize("count", range(1, 18))
def test_every_image_once_with_weight_one_in_equal_shares(count: int, batch_size: int, shards: int) -> None:
    features = torch.arange(count).float()[:, None]
    labels = np.arange(count) * 10
    for order in (in_order(np.arange(count), batch_size), shuffled(np.arange(count), batch_size, 0, 1)):
        loaders = [FeatureLoader([features], labels, CPU, Shard(rank, shards)) for rank in range(shards)]
        seen: Counter[int] = Counter()
        for indices, *parts in zip(order, *(loader.batches(order) for loader in loaders), strict=True):
            assert {len(part.indices) for part in parts} == {max(-(-len(indices) // shards), min(2, len(indices)))}
            assert sum(part.count for part in parts) == len(indices)
            for part in parts:
                assert part.valid.sum() == part.count
                assert part.targets.tolist() == (part.indices * 10).tolist()
                assert part.inputs[:, 0].tolist() == part.indices.tolist()
                seen.update(i for i, valid in zip(part.indices.tolist(), part.valid.tolist(), strict=True) if valid)
        assert seen == Counter(range(count))


@pytest.mark.parametrize(
    ("count", "batch_size", "sizes", "merged"),
    [(7, 3, [3, 3, 1], [3, 4]), (6, 3, [3, 3], [3, 3]), (1, 4, [1], [1]), (3, 1, [1, 1, 1], [1, 2]), (5, 9, [5], [5])],
)
def test_batch_sizes(count: int, batch_size: int, sizes: list[int], merged: list[int]) -> None:
    rows = np.arange(10, 10 + count)
    assert [len(b) for b in in_order(rows, batch_size)] == sizes
    assert np.concatenate(in_order(rows, batch_size)).tolist() == rows.tolist()
    assert [len(b) for b in shuffled(rows, batch_size, 0, 0)] == merged
    assert sorted(np.concatenate(shuffled(rows, batch_size, 0, 0))) == rows.tolist()


def test_order_follows_seed_and_epoch() -> None:
    orders = [np.concatenate(shuffled(np.arange(50), 8, *key)).tolist() for key in ((0, 0), (0, 0), (0, 1), (1, 0))]
    assert orders[0] == orders[1]
    assert len({tuple(order) for order in orders}) == 3


def test_images_do_not_depend_on_processes_or_batches() -> None:
    """Augmented images of one epoch are the same in one process and in three, in any batches and order."""
    pixels = torch.randint(256, (17, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    how = Augment(crop="padded", jitter=0.3, erase=0.5)

    def images(shards: int, batch_size: int, seed: int = 0, epoch: int = 3, how: Augment | None = how) -> torch.Tensor:
        found = torch.zeros(17, 3, 16, 16)
        for rank in range(shards):
            loader = ImageLoader(
                MemoryImageStore(pixels), np.arange(17), PLAIN, 16, CPU, Shard(rank, shards), how, seed
            )
            for batch in loader.batches(shuffled(np.arange(17), batch_size, batch_size, 0), epoch):
                found[batch.indices] = batch.inputs
        return found

    reference = images(1, 17)
    for shards, batch_size in ((1, 1), (1, 5), (2, 8), (3, 7)):
        assert images(shards, batch_size).equal(reference)
    assert not images(1, 17, seed=1).equal(reference)
    assert not images(1, 17, epoch=4).equal(reference)
    assert images(3, 4, how=None).equal(pixels.float())


def test_only_images_that_are_decoded_in_every_pass_are_streamed() -> None:
    pixels = torch.zeros(4, 3, 16, 16, dtype=torch.uint8)
    encoded = EncodedImages(4, list, str)
    sources = (MemoryImageStore(pixels), StreamedImageStore(encoded, EvalTransform(16), 0))
    loaders = [ImageLoader(source, np.arange(4), PLAIN, 16, CPU, Shard()) for source in sources]
    assert [loader.streamed for loader in loaders] == [False, True]
    assert not FeatureLoader([pixels], np.arange(4), CPU, Shard()).streamed


def test_waiting_counts_the_time_within_next_and_changes_nothing() -> None:
    batches = list(FeatureLoader([torch.arange(6.0)], np.arange(6), CPU, Shard()).batches(in_order(np.arange(6), 2)))
    inside = 0.0

    def slow() -> Iterator[Batch]:
        nonlocal inside
        for batch in batches:
            began = time.perf_counter()
            time.sleep(0.01)
            inside += time.perf_counter() - began
            yield batch

    waited = TimedIterator(slow())
    began = time.perf_counter()
    seen = []
    for batch in waited:
        seen.append(batch)
        time.sleep(0.01)
    assert all(a is b for a, b in zip(seen, batches, strict=True))
    assert inside <= waited.seconds <= time.perf_counter() - began - 0.03


@pytest.mark.parametrize("channels_last", [False, True])
def test_normalise(channels_last: bool) -> None:
    images = torch.arange(2 * 3 * 4 * 4, dtype=torch.uint8).view(2, 3, 4, 4)
    mean, std = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.4, 0.5, 0.6])
    found = Normalise(tuple(mean.tolist()), tuple(std.tolist()), channels_last)(images)
    torch.testing.assert_close(found, (images / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1))
    assert found.is_contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
