"""A number over epochs: how steep its end is, where it turns, and single epochs or steps that stand out. Epochs are counted from 1."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
LAGS = 3  # neighbouring epochs are alike over so many


def hac_slope(values: Floats) -> tuple[float, float, float]:
    """Return the slope of a straight line through values, its standard error, and degrees of freedom.

    The error allows for neighbours that are alike (Newey and West 1987, three lags, with the small-sample factor n / (n - 2)).
    """
    n = len(values)
    x = np.arange(n) - (n - 1) / 2
    size = float(x @ x)
    slope = float(x @ values) / size
    score = x * (values - values.mean() - slope * x)
    total = float(score @ score)
    for lag in range(1, min(LAGS, n - 1) + 1):
        total += 2 * (1 - lag / (LAGS + 1)) * float(score[lag:] @ score[:-lag])
    return slope, math.sqrt(max(total, 0.0) * n / max(n - 2, 1)) / size, float(max(n - 2, 1))


def noise(values: Floats) -> float:
    """Return the deviation of epochs around their trend, from second differences: a trend and single jumps hardly count."""
    second = values[2:] - 2 * values[1:-1] + values[:-2]
    return float(1.4826 * np.median(np.abs(second - np.median(second))) / math.sqrt(6)) if len(second) else 0.0


WINDOWS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)  # epochs on each side
APART = 2.25  # standard errors; 1.96 for one pair of windows, more since many are looked at; measured: benchmarks/simulated_journals.py
_SMOOTH = np.array([-21, 14, 39, 54, 59, 54, 39, 14, -21]) / 231  # a parabola through nine neighbours, at their middle (Savitzky and Golay 1964)


@dataclass(frozen=True)
class Turn:
    """Where a curve is lowest, and how it goes on from there."""

    epoch: int
    low: int  # 95 % interval: all epochs that neighbouring windows do not exclude
    high: int
    rise: float  # mean of the last five epochs less the smooth minimum
    slope: float  # per epoch, from there on
    p: float  # one-sided, of a slope above zero
    rises: bool


def turn(curve_T: Floats) -> Turn | None:
    """Return where a curve is lowest and whether it rises from there; none for fewer than twelve epochs or with missing values.

    The place is the lowest point of a cubic curve through the epochs of its interval (see `_between`). That it rises needs both a slope above zero
    (one-sided, 1 %) and a rise of the mean of the last five epochs of more than three deviations of one epoch: the lowest of many noisy epochs is
    always followed by higher ones.
    """
    from scipy.special import stdtr

    length = len(curve_T)
    if length < 12 or not np.isfinite(curve_T).all():
        return None
    first, last = _between(curve_T)
    index, bottom = _lowest(curve_T, first, last)
    at, low, high = index + 1, first + 1, last + 1
    after = curve_T[index:]
    sigma = noise(curve_T[max(0, index - length // 4) :])
    rise = float(curve_T[-5:].mean() - bottom)
    if len(after) < 6:
        return Turn(at, low, high, rise, 0.0, 1.0, False)
    slope, se, df = hac_slope(after)
    p = float(stdtr(df, -slope / se)) if se > 0 else float(slope <= 0)
    return Turn(at, low, high, rise, slope, p, p < 0.01 and rise > 3 * sigma)


def _between(curve_T: Floats) -> tuple[int, int]:
    """Return the first and the last index at which a curve that falls and then rises may be lowest.

    Where the mean of some epochs is clearly above that of as many that follow, the curve turns after the first of them; where it is clearly below,
    before the last. No form of the curve is assumed, and no smoothing can shift what is found. The interval holds the lowest running median of five.
    """
    length = len(curve_T)
    medians = np.median(np.lib.stride_tricks.sliding_window_view(np.pad(curve_T, 2, mode="edge"), 5), axis=1)
    at = int(medians.argmin())
    sd, rho = _alike(curve_T[max(0, min(at // 2, length - 24)) :])  # the steep first epochs are no noise
    sums = np.concatenate([[0.0], np.cumsum(curve_T)])
    first, last = 0, length - 1
    for w in WINDOWS:
        if 2 * w > length:
            break
        lag = np.arange(1, 2 * w)
        se = sd * math.sqrt(max(2 * w + 2 * float((np.where(lag <= w, 2 * w - 3 * lag, lag - 2 * w) * rho**lag).sum()), 0.0)) / w
        gap = (sums[2 * w :] - 2 * sums[w:-w] + sums[: -2 * w]) / w  # from index i on: the second window less the first
        starts = np.arange(len(gap))
        falls, rises = starts[(gap < -APART * se) & (starts <= at)], starts[(gap > APART * se) & (starts + 2 * w - 1 >= at)]
        first, last = max([first, *falls[-1:].tolist()]), min([last, *(rises[:1] + 2 * w - 1).tolist()])
    return first, last


def _alike(values: Floats) -> tuple[float, float]:
    """Return the deviation of epochs around a smooth curve, and how alike neighbours are: rho of an autoregression of first order, 0 to 0.8.

    Both are read from what a parabola through nine neighbours leaves, which makes neighbours look less alike than they are; this is allowed for.
    """
    taken = -_SMOOTH
    taken[4] += 1
    rest = np.convolve(values, taken, "valid")
    sd = float(1.4826 * np.median(np.abs(rest)))
    rest = np.clip(rest, -3 * sd, 3 * sd)
    lags, products, rhos = np.arange(-8, 9), np.correlate(taken, taken, "full"), np.linspace(0, 0.8, 17)
    kept = np.array([[(products * r ** np.abs(lags + k)).sum() for r in rhos] for k in (0, 1)])  # of the variance, and of the product of neighbours
    size = float(rest @ rest)
    rho = float(np.interp(float(rest[1:] @ rest[:-1]) / size, kept[1] / kept[0], rhos)) if size else 0.0
    return sd / math.sqrt(float(np.interp(rho, rhos, kept[0]))), rho


def _lowest(curve_T: Floats, first: int, last: int) -> tuple[int, float]:
    """Return the index from first to last where a cubic curve through these epochs, at least nine, is lowest, and its height."""
    length = len(curve_T)
    start = max(0, min(first - max(0, 8 - (last - first)) // 2, length - 9))
    stop = min(length - 1, max(last, start + 8))
    middle, half = (start + stop) / 2, (stop - start) / 2
    cubic = np.polynomial.Polynomial.fit((np.arange(start, stop + 1) - middle) / half, curve_T[start : stop + 1], 3)
    at = np.linspace(first, last, 8 * (last - first) + 1)
    heights = cubic((at - middle) / half)
    return round(float(at[heights.argmin()])), float(heights.min())


def spikes(curve_T: Floats, least: float) -> list[tuple[int, float]]:
    """Return (epoch, by how much) of single epochs that stand out from a running median of five: by five deviations (median absolute deviation), and
    by at least `least`. The first four epochs are left out.
    """
    if len(curve_T) < 12 or not np.isfinite(curve_T).all():
        return []
    padded = np.pad(curve_T, 2, mode="reflect")
    rest = curve_T - np.median(np.lib.stride_tricks.sliding_window_view(padded, 5), axis=1)
    sigma = max(noise(curve_T[4:]), float(1.4826 * np.median(np.abs(rest[4:]))))
    return [(i + 1, float(rest[i])) for i in range(4, len(curve_T)) if abs(rest[i]) > max(5 * sigma, least)]


SHIFT_WINDOW = 5


def shifts(curve_T: Floats, least: float) -> list[tuple[int, float]]:
    """Return (first epoch of the new level, by how much) where the mean of five epochs differs from that of the five before, trend apart: by seven
    standard errors and at least `least`. Only the clearest of neighbours is told.
    """
    w, length = SHIFT_WINDOW, len(curve_T)
    if length < 4 * w or not np.isfinite(curve_T).all():
        return []
    sigma = noise(curve_T)
    found: list[tuple[int, float]] = []
    sums = np.concatenate([[0.0], np.cumsum(curve_T)])
    for i in range(2 * w, length - w + 1):
        before, after = curve_T[i - w : i], curve_T[i : min(length, i + w)]
        # what the trend alone would do: the steeper of the slopes inside the two windows, over the distance of their middles
        trend = max((float(np.polyfit(np.arange(len(y)), y, 1)[0]) for y in (before, after)), key=abs) * w
        gap = float((sums[i + len(after)] - sums[i]) / len(after) - before.mean())
        size = abs(gap) - abs(trend)
        if size > max(7 * sigma * math.sqrt(2 / w), least):
            found.append((i + 1, gap))
    best: list[tuple[int, float]] = []
    for epoch, gap in sorted(found, key=lambda f: -abs(f[1])):
        if all(abs(epoch - e) >= w for e, _ in best):
            best.append((epoch, gap))
    return sorted(best)
