"""Random numbers that depend on their keys alone."""

import torch

from zoo.data.rng import _mixed, stream, uniform


def test_mixing_is_splitmix64() -> None:
    """First outputs of the reference implementation (prng.di.unimi.it/splitmix64.c) for states 0, 1 and 1234567."""
    expected = [0xE220A8397B1DCDAF, 0x910A2DEC89025CC1, 6457827717110365317]
    assert [x % 2**64 for x in _mixed(torch.tensor([0, 1, 1234567])).tolist()] == expected


def test_stream_tells_keys_apart_and_fits_torch() -> None:
    keys = [(s, e, d) for s in range(5) for e in range(20) for d in range(20)] + [(0, 0), (0,), (12,), (1, 2)]
    streams = {stream(*k) for k in keys}
    assert len(streams) == len(keys)
    assert all(0 <= s < 2**63 for s in streams)


def test_uniform_depends_on_the_image_not_on_the_batch() -> None:
    every = uniform(3, 1, torch.arange(1000), 2)
    some = torch.tensor([999, 4, 4, 0])
    assert uniform(3, 1, some, 2).equal(every[some])
    for other in ((4, 1, 2), (3, 2, 2), (3, 1, 3)):
        assert not uniform(other[0], other[1], torch.arange(1000), other[2]).equal(every)


def test_uniform_is_uniform_and_independent() -> None:
    """Mean, variance, histogram and correlations of 100,000 numbers within five standard errors."""
    count = 100_000
    draws = torch.stack([uniform(0, e, torch.arange(count), d) for e, d in ((0, 0), (0, 1), (1, 0))]).double()
    assert draws.min() >= 0 and draws.max() < 1
    assert (draws.mean(1) - 0.5).abs().max() < 5 * (1 / 12 / count) ** 0.5
    assert (draws.var(1) - 1 / 12).abs().max() < 5 * (1 / 180 / count) ** 0.5
    assert (torch.histc(draws[0], 10, 0, 1) - count / 10).abs().max() < 5 * (0.09 * count) ** 0.5
    neighbours = torch.stack([draws[0, 1:], draws[0, :-1]])
    for pair in (draws, neighbours):
        assert torch.corrcoef(pair).fill_diagonal_(0).abs().max() < 5 / count**0.5
