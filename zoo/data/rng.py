"""Random numbers that depend on (seed, epoch, image, draw) alone: not on workers, processes, batches or order."""

import hashlib

import torch


def stream(*keys: int) -> int:
    """One seed below 2**63 from any integers."""
    digest = hashlib.blake2b(repr(keys).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def uniform(seed: int, epoch: int, indices: torch.Tensor, draw: int) -> torch.Tensor:
    """float32 (B,) in [0, 1): one number for each image index in `indices` (int64)."""
    mixed = _mixed(indices + stream(seed, epoch, draw))
    return ((mixed >> 40) & 0xFFFFFF).to(torch.float32) / 2**24


def _mixed(x: torch.Tensor) -> torch.Tensor:
    """splitmix64 (Steele, Lea and Flood 2014) on int64 with wrap-around."""
    x = x + -7046029254386353131
    x = (x ^ _shift(x, 30)) * -4658895280553007687
    x = (x ^ _shift(x, 27)) * -7723592293110705685
    return x ^ _shift(x, 31)


def _shift(x: torch.Tensor, bits: int) -> torch.Tensor:
    """Logical right shift; torch's own keeps the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)
