"""Curves from the rows of runs: one value for each epoch or step, means over seeds, and fewer points where there are too many to draw.

A value that is missing or not finite is NaN, and stays a gap. x is epochs or optimizer steps, both from 1.
"""

import itertools
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..store.runs import Run
from .summary import value

Floats = npt.NDArray[np.float64]
MOST_POINTS = 300


@dataclass(frozen=True)
class Curve:
    """y over x, and the range of what y is the mean of (over seeds or neighbouring steps); all of one length."""

    x: Floats
    y: Floats
    low: Floats
    high: Floats

    @property
    def has_range(self) -> bool:
        """Whether there is a range to draw."""
        return bool(np.any(self.high > self.low))

    @property
    def any(self) -> bool:
        """Whether there is a point to draw."""
        return bool(np.isfinite(self.y).any())


def per_epoch(runs: Sequence[Run], key: str) -> Curve:
    """Return a number of the epoch rows over epochs: the mean over runs, for the epochs that all of them have, with the range over runs."""
    return _mean([{int(r["epoch"]): value(r, key) for r in run.epochs} for run in runs], 1)


def per_step(runs: Sequence[Run], key: str) -> Curve:
    """Return a number of the iter rows over steps, like `per_epoch`."""
    return _mean([{int(r["step"]): value(r, key) for r in run.iters} for run in runs], None)


def _mean(series: Sequence[dict[int, float]], stride: int | None) -> Curve:
    """Return the mean of series where all have a point; with a stride, points that a series lacks in its middle are gaps."""
    series = [s for s in series if s]
    if not series:
        return Curve(*(np.empty(0) for _ in range(4)))
    if stride:
        first, last = min(min(s) for s in series), min(max(s) for s in series)
        x = np.arange(first, last + 1, stride)
    else:
        x = np.array(sorted(set.intersection(*(set(s) for s in series))))
    values = np.array([[s.get(int(at), math.nan) for at in x] for s in series]).reshape(len(series), len(x))
    values[~np.isfinite(values)] = math.nan
    return Curve(x.astype(float), values.mean(axis=0), values.min(axis=0), values.max(axis=0))


def reduce(curve: Curve, most: int = MOST_POINTS) -> Curve:
    """Return a curve of at most `most` points: means of buckets of neighbours, with the range of each bucket.

    A bucket in which more than half of the values are missing is a gap.
    """
    if len(curve.x) <= most:
        return curve
    parts = np.array_split(np.arange(len(curve.x)), most)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a bucket of nothing but NaN is NaN
        y = np.array([np.nanmean(curve.y[p]) if np.isfinite(curve.y[p]).mean() >= 0.5 else math.nan for p in parts])
        low = np.array([np.nanmin(curve.low[p]) for p in parts])
        high = np.array([np.nanmax(curve.high[p]) for p in parts])
    low[np.isnan(y)] = high[np.isnan(y)] = math.nan
    return Curve(np.array([curve.x[p].mean() for p in parts]), y, low, high)


def isolated(y: Floats) -> npt.NDArray[np.bool_]:
    """Return where a point has no neighbour, so that no line would show it."""
    there = np.isfinite(y)
    beside = np.zeros_like(there)
    beside[1:] |= there[:-1]
    beside[:-1] |= there[1:]
    found: npt.NDArray[np.bool_] = there & ~beside
    return found


@dataclass(frozen=True)
class Drop:
    """The learning rate falls before `epoch`, after `step` steps, to `factor` of what it was."""

    epoch: int
    step: int
    factor: float


def drops(runs: Sequence[Run], below: float = 0.7, steady: float = 0.95) -> list[Drop]:
    """Return where the learning rate of the first run falls in one go: from one epoch to the next to less than `below` of itself.

    Before and after it must hold at least `steady` of itself; the end of a schedule that falls all the time is no drop.
    """
    rows: list[dict[str, Any]] = runs[0].epochs if runs else []
    lrs = [value(row, "lr") for row in rows]
    ratios = [1.0 if a == b else b / a if a > 0 and b >= 0 else math.nan for a, b in itertools.pairwise(lrs)]
    found = []
    for i, ratio in enumerate(ratios):
        beside = ratios[max(0, i - 1) : i] + ratios[i + 1 : i + 2]
        if ratio < below and all(r >= steady for r in beside):
            found.append(Drop(int(rows[i + 1]["epoch"]), int(rows[i]["step"]), ratio))
    return found
