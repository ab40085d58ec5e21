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


@dataclass(frozen=True)
class Turn:
    """Where a curve is lowest, and how it goes on from there."""

    epoch: int
    low: int  # 95 % interval, by a bootstrap of what is left of a smooth curve
    high: int
    rise: float  # mean of the last five epochs less the smooth minimum
    slope: float  # per epoch, from there on
    p: float  # one-sided, of a slope above zero
    rises: bool


def turn(curve_T: Floats) -> Turn | None:
    """Return where a curve is lowest and whether it rises from there; none for fewer than twelve epochs or with missing values.

    The place is the lowest point of a parabola around the lowest running median of five. That it rises needs both a slope above zero (one-sided, 1 %)
    and a rise of the mean of the last five epochs of more than three deviations of one epoch: the lowest of many noisy epochs is always followed by
    higher ones.
    """
    from scipy.special import stdtr

    length = len(curve_T)
    if length < 12 or not np.isfinite(curve_T).all():
        return None
    epoch, bottom = (found[0] for found in _lowest(curve_T[None]))
    at = round(float(epoch))
    after = curve_T[at - 1 :]
    sigma = noise(curve_T[max(0, at - 1 - length // 4) :])
    rise = float(curve_T[-5:].mean() - bottom)
    if len(after) < 6:
        return Turn(at, at, at, rise, 0.0, 1.0, False)
    slope, se, df = hac_slope(after)
    p = float(stdtr(df, -slope / se)) if se > 0 else float(slope <= 0)
    smooth_T = _smooth(curve_T)
    rest_T = curve_T - smooth_T
    random = np.random.default_rng(length)
    starts = random.integers(0, length - 2, (200, -(-length // 3)))
    drawn_BT = smooth_T + (1.15 * rest_T)[(starts[:, :, None] + np.arange(3)).reshape(200, -1)[:, :length]]
    low, high = np.quantile(_lowest(drawn_BT)[0], (0.025, 0.975))
    rises = p < 0.01 and rise > 3 * sigma
    return Turn(at, min(at, round(float(low))), max(at, round(float(high))), rise, slope, p, rises)


def _smooth(curve_T: Floats) -> Floats:
    """Return running means of five, of fewer at the ends."""
    kernel = np.ones(5)
    found: Floats = np.convolve(curve_T, kernel, "same") / np.convolve(np.ones(len(curve_T)), kernel, "same")
    return found


def _lowest(curves_BT: Floats) -> tuple[Floats, Floats]:
    """Return the epoch of the lowest point of a parabola around the lowest running median of five, and its height, for each curve."""
    batch, length = curves_BT.shape
    padded = np.pad(curves_BT, ((0, 0), (2, 2)), mode="edge")
    medians_BT = np.median(np.lib.stride_tricks.sliding_window_view(padded, 5, axis=1), axis=2)
    center_B = medians_BT.argmin(axis=1)
    half = max(4, length // 8)
    start_B = np.clip(center_B - half, 0, length - 2 * half - 1)
    x = np.arange(-half, half + 1, dtype=float)
    y_BW = curves_BT[np.arange(batch)[:, None], start_B[:, None] + np.arange(2 * half + 1)]
    c2, c1, c0 = np.linalg.lstsq(np.stack([x**2, x, np.ones_like(x)], 1), y_BW.T, rcond=None)[0]
    convex = c2 > 0
    vertex = np.where(convex, -c1 / np.where(convex, 2 * c2, 1.0), math.inf)
    inside = np.abs(vertex) <= half
    vertex = np.where(inside, vertex, 0.0)
    epoch = np.where(inside, start_B + half + vertex, center_B) + 1
    height = np.where(inside, c0 + c1 * vertex + c2 * vertex**2, medians_BT[np.arange(batch), center_B])
    return np.clip(epoch, 1, length), height


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
