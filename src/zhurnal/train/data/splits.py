"""Which image goes where: stratified parts, drawn with counter-based numbers, so that a split depends on the seed and the labels alone.

Legend: N images, K classes.
"""

import numpy as np
import torch
from torch import Tensor

from ...core.errors import DataError
from ...core.text import percent
from .. import random

# Seed of the parts that are held out for good, as the test images of digits. Far from the seeds people take, so that no validation split repeats it.
FIXED_SEED = 1_797_000_001


def hold_out(labels_N: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return the positions (int64, ascending) of the rest and of the held-out part of `labels_N`.

    The part holds `fraction` of each class, rounded so that its size is `fraction` of all images; at least one image of each class is on either side
    where a class has two.
    """
    return _divide(labels_N, _proportional(_counts(labels_N), fraction), seed, random.SPLIT)


def choose(labels_N: Tensor, size: int, seed: int) -> Tensor:
    """Return the positions (int64, ascending) of `size` images, as many of each class as of any other, as far as there are.

    With the same seed a smaller choice is part of a larger one.

    Raises:
        DataError: there are fewer images, or more classes, than `size`.
    """
    counts_K = _counts(labels_N)
    if size > len(labels_N):
        raise DataError(f"data.subset is {size:,}, must be at most {len(labels_N):,}, the training images left beside the validation images")
    if size < len(counts_K):
        raise DataError(f"data.subset is {size:,}, must be at least {len(counts_K):,}, the number of classes, so that each has an image")
    return _divide(labels_N, _evenly(counts_K, size), seed, random.SUBSET)[1]


def _counts(labels_N: Tensor) -> np.ndarray:
    return np.bincount(labels_N.numpy())


def _divide(labels_N: Tensor, sizes_K: np.ndarray, seed: int, stream: int) -> tuple[Tensor, Tensor]:
    """Return the positions of the rest and of a part with sizes_K[k] images of class k."""
    chosen_N = torch.zeros(len(labels_N), dtype=torch.bool)
    for label, size in enumerate(sizes_K.tolist()):
        positions_M = (labels_N == label).nonzero()[:, 0]
        chosen_N[positions_M[random.permutation(seed, stream, label, len(positions_M))[:size]]] = True
    return (~chosen_N).nonzero()[:, 0], chosen_N.nonzero()[:, 0]


def _proportional(counts_K: np.ndarray, fraction: float) -> np.ndarray:
    """Return how many of each class make `fraction` of all, by largest remainder, 1 to count - 1 of a class that has two."""
    exact_K = counts_K * fraction
    sizes_K = np.floor(exact_K).astype(np.int64)
    missing = round(counts_K.sum() * fraction) - int(sizes_K.sum())
    sizes_K[np.argsort(sizes_K - exact_K, kind="stable")[:missing]] += 1
    return np.where(counts_K > 1, np.clip(sizes_K, 1, np.maximum(counts_K - 1, 1)), 0)


def _evenly(counts_K: np.ndarray, size: int) -> np.ndarray:
    """Return how many of each class make `size`, as equal as the counts allow; what does not divide goes to the first classes."""
    sizes_K = np.zeros_like(counts_K)
    while (left := size - int(sizes_K.sum())) > 0:
        (open_,) = np.nonzero(sizes_K < counts_K)
        if left < len(open_):
            sizes_K[open_[:left]] += 1
        else:
            sizes_K[open_] = np.minimum(counts_K[open_], sizes_K[open_] + left // len(open_))
    return sizes_K


def describe(fraction: float) -> str:
    """Return the sentence for a validation part split off the training images."""
    return f"validation: {percent(fraction).rstrip('0').rstrip('.')} % of the training images, stratified"
