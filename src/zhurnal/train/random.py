"""Counter-based random numbers: each is a function of (seed, stream, epoch, image, draw) and of nothing else.

So the order of images and their augmentation are the same for any batch size, number of workers or point of resume, with no generator state to
save. The mixing function is splitmix64's finalizer (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"), applied once
for each of the five numbers.
"""

from functools import cache

import numpy as np
import torch

# What the numbers are for; streams never share numbers.
ORDER, AUGMENT, SPLIT, SUBSET, INIT, TRAIN, MIX = range(7)
SHAPES, SHAPES_NOISE = 100, 101

_ALL = 2**64 - 1
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)


def _mix(x: np.ndarray) -> np.ndarray:
    x = x + _GOLDEN
    x = (x ^ (x >> np.uint64(30))) * _M1
    x = (x ^ (x >> np.uint64(27))) * _M2
    mixed: np.ndarray = x ^ (x >> np.uint64(31))
    return mixed


def _mix_one(x: int) -> int:
    """Return what `_mix` makes of one number: for one, numpy is slower."""
    x = (x + 0x9E3779B97F4A7C15) & _ALL
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _ALL
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _ALL
    return x ^ (x >> 31)


@cache
def _columns(num: int) -> np.ndarray:
    return _mix(np.arange(num, dtype=np.uint64))[None, :]


def bits(seed: int, stream: int, epoch: int, indices_N: np.ndarray, num: int) -> np.ndarray:
    """Return (N, num) random uint64 for the images `indices_N` in an epoch."""
    state = 0
    for number in (seed, stream, epoch):
        state = _mix_one(state ^ number)
    rows_N1 = _mix(np.uint64(state) ^ np.asarray(indices_N, np.uint64))[:, None]
    bits_ND: np.ndarray = _mix(rows_N1 ^ _columns(num))
    return bits_ND


def uniform(seed: int, stream: int, epoch: int, indices_N: torch.Tensor, num: int) -> torch.Tensor:
    """Return (N, num) float64 in [0, 1) for the images `indices_N` (int64) in an epoch; row i depends on `indices_N[i]` alone."""
    return torch.from_numpy((bits(seed, stream, epoch, indices_N.numpy(), num) >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def below(draws_N: torch.Tensor, limit: int) -> torch.Tensor:
    """Return whole numbers from 0 to `limit` - 1 (int64), each as likely, from draws in [0, 1)."""
    return (draws_N * limit).long().clamp_(max=limit - 1)


def between(draws_N: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Return numbers from `low` to `high`, evenly, from draws in [0, 1)."""
    return draws_N * (high - low) + low


def permutation(seed: int, stream: int, epoch: int, size: int) -> torch.Tensor:
    """Return the numbers 0 to `size`-1 (int64) in random order."""
    keys = bits(seed, stream, epoch, np.arange(size), 1)[:, 0]
    return torch.from_numpy(np.argsort(keys, kind="stable"))


def seed_of(seed: int, stream: int) -> int:
    """Return a seed for torch's own generator, in [0, 2^63)."""
    return int(bits(seed, stream, 0, np.zeros(1, np.int64), 1)[0, 0] >> np.uint64(1))
