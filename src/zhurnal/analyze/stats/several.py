"""What saying several things, or picking the best of several, does to a claim."""

from collections.abc import Sequence
from math import pi, sqrt

import numpy as np


def holm(ps: Sequence[float]) -> list[float]:
    """Return p-values corrected for being several (Holm 1979), in the order given.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(ps)), key=lambda i: ps[i])
    found = [0.0] * len(ps)
    highest = 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[i]))
        found[i] = highest
    return found


def expected_maximum(count: int) -> float:
    """Return the expected largest of `count` independent standard normal values: how much the best of equals stands above their mean.

    >>> [round(expected_maximum(m), 2) for m in (1, 2, 3, 5, 10)]
    [0.0, 0.56, 0.85, 1.16, 1.54]
    """
    from scipy.special import ndtr

    if count < 2:
        return 0.0
    # A sum over even steps is exact to rounding for a smooth function that is next to nothing at both ends; scipy.integrate takes long to import.
    x, step = np.linspace(-10, 10, 2001, retstep=True)
    return float(count * step * (x * np.exp(-x * x / 2) / sqrt(2 * pi) * ndtr(x) ** (count - 1)).sum())
