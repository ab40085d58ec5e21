"""From which epoch on a curve is within a margin of its plateau, by a fitted curve and not by a change point.

Fits a - b exp(-t / tau), a - b exp(-t / tau) - d exp(-k t / tau) and a - b t^-c by least squares, and takes the best by AICc. For a given tau
or c each is linear in the rest, so a grid over tau and c, the same for all bootstrap curves, finds the best in a few matrix products.
The interval joins two: quantiles of bootstrap curves, each of which chooses its form anew, and what all curves of the grid that fit hardly worse than
the best, of whatever form, say (likelihood ratio). The first alone believes too much in the form that happened to fit best.
T epochs, B bootstrap curves, G points of the grid.

On simulated curves the first epoch near the plateau misses by 5.7 epochs in the mean, the highest epoch by 19.5, a change point by 8.7 and more, the
fit by half an epoch to one and a half (benchmarks/results/simulated_journals.md has the figures of this implementation).
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from .series import hac_slope, noise

Floats = npt.NDArray[np.float64]
SHORTEST = 12  # epochs; of fewer nothing is said
BOOTSTRAP = 200
BLOCK = 3  # epochs that are resampled together: neighbours are alike
LATE = 0.8  # a plateau that begins after this part of the epochs was hardly seen
ENOUGH = 1.15  # a fit whose residuals have at most so many times the variance of neighbouring epochs is good
WORST = 2.5  # one whose residuals have more is none
FASTER = (0.0, 2.0, 3.0, 4.5, 6.5, 9.0)  # how much faster a second, fast part of an exponential curve is; 0: there is none
MORE = 3.0  # a second part must make the fit better by so much more than AICc asks: it shifts the plateau
FORMS = ("exponential curve", *["exponential curve of two rates"] * (len(FASTER) - 1), "power curve")
HARDLY_WORSE = 5.99  # of AICc; 95 % of chi squared with two degrees of freedom: for the rate, and for the form
_GRID = 100  # rates of each form
_NONE = 1e9  # the score of a form that would fall


@dataclass(frozen=True)
class Saturation:
    """Where a curve of T epochs comes within a margin of its plateau. Epochs are counted from 1."""

    epoch: float
    low: float  # 95 % interval
    high: float
    plateau: float
    form: str  # what was fitted
    reached: bool  # false: still improving when it ended, or its plateau was not seen for long enough
    slope: tuple[float, float, float]  # over the last epochs, per epoch, with its 95 % interval
    window: int  # how many epochs these are: a third, at least seven


def saturation(curve_T: Floats, margin: float) -> Saturation | None:
    """Return where a rising curve comes within `margin` of its plateau; none for fewer than twelve epochs or with missing values."""
    length = len(curve_T)
    if length < SHORTEST or not np.isfinite(curve_T).all():
        return None
    window = max(7, length // 3)
    slope, se, df = hac_slope(curve_T[-window:])
    from scipy.special import stdtrit

    half = float(stdtrit(df, 0.975)) * se
    still = slope - half > margin / length
    _, all_se, _ = hac_slope(curve_T[2:])
    if abs(curve_T[-length // 3 :].mean() - curve_T[2 : 2 + length // 3].mean()) + 2 * all_se * length / 3 < margin:
        return _by_last(curve_T, margin, still, (slope, slope - half, slope + half), window, "level from its third epoch on")
    fit = _fit(curve_T, margin)
    if fit is None:
        return _by_last(curve_T, margin, still, (slope, slope - half, slope + half), window)
    start, epoch, plateau, form, fitted, rest = fit
    drawn_BT = fitted + _resampled(rest * math.sqrt(len(rest) / (len(rest) - 3)))
    curves = _curves(len(rest), start)
    spread_B = curves.best(drawn_BT, margin)[0]
    low, high = (float(q) for q in np.quantile(spread_B, (0.025, 0.975)))
    others = curves.hardly_worse(curve_T[start:], margin)
    low, high = min(low, *others), max(high, *others)
    reached = not still and epoch <= LATE * length and high <= length
    return Saturation(epoch, min(low, epoch), max(high, epoch), plateau, form, reached, (slope, slope - half, slope + half), window)


def _fit(curve_T: Floats, margin: float) -> tuple[int, float, float, str, Floats, Floats] | None:
    """Return from which epoch on a curve was fitted, where it comes near its plateau, the plateau, the form, the fit and what is left; none where no
    form fits.

    The first steps of a training follow no law: epochs at the start are left out until what is left of the fit is no more than the noise of
    neighbouring epochs.
    """
    length = len(curve_T)
    best: tuple[float, tuple[int, float, float, str, Floats, Floats]] | None = None
    for start in dict.fromkeys((0, 1, 2, 4, length // 12, length // 8, length // 6, length // 4)):
        part = curve_T[start:]
        if len(part) < SHORTEST:
            break
        epochs, plateaus, fits, which = _curves(len(part), start).best(part[None], margin)
        rest = part - fits[0]
        sigma = noise(part)
        excess = float(rest @ rest) / (len(rest) - 3) / sigma**2 if sigma else (0.0 if not rest.any() else math.inf)
        form = FORMS[which[0] // _GRID]
        found = (start, float(epochs[0]), float(plateaus[0]), form, fits[0], rest)
        if best is None or excess < 0.85 * best[0]:
            best = (excess, found)
        if excess <= ENOUGH:
            break
    assert best is not None
    excess, found = best
    return found if excess <= WORST and found[1] > found[0] else None


def _by_last(
    curve_T: Floats,
    margin: float,
    still: bool,
    slope: tuple[float, float, float],
    window: int,
    form: str = "no curve fits; median of the last epochs",
) -> Saturation:
    """Return, where no curve fits, the first epoch in which a median of three comes near the median of the last eight; later ones may leave it."""
    plateau = float(np.median(curve_T[-8:]))
    smooth_T = np.median(np.lib.stride_tricks.sliding_window_view(np.pad(curve_T, 1, mode="edge"), 3), axis=1)
    near = smooth_T >= plateau - margin
    epoch = float(np.argmax(near)) + 1
    below = np.flatnonzero(~near)
    last_below = float(below[-1]) + 2 if len(below) else 1.0
    reached = not still and last_below <= LATE * len(curve_T)
    return Saturation(epoch, epoch, max(epoch, min(last_below, len(curve_T))), plateau, form, reached, slope, window)


def _resampled(rest_T: Floats) -> Floats:
    """Return residuals drawn in blocks of neighbours, always the same ones for the same curve."""
    random = np.random.default_rng(len(rest_T))
    blocks = -(-len(rest_T) // BLOCK)
    starts_BN = random.integers(0, len(rest_T) - BLOCK + 1, (BOOTSTRAP, blocks))
    index_BT = (starts_BN[:, :, None] + np.arange(BLOCK)).reshape(BOOTSTRAP, -1)[:, : len(rest_T)]
    drawn_BT: Floats = (rest_T - rest_T.mean())[index_BT]
    return drawn_BT


class _Curves:
    """The grid of curves over epochs start + 1 to start + length, one block of `_GRID` rates for each form."""

    def __init__(self, length: int, start: int) -> None:
        t = np.arange(start + 1, start + length + 1, dtype=float)
        self.first = t[0]
        tau = np.geomspace(0.5, 4 * (start + length), _GRID)
        power = np.geomspace(0.5, 4.0, _GRID)
        slow = np.exp(-(t - t[0]) / tau[:, None])
        self.rate_G = np.concatenate([*[tau] * len(FASTER), power])
        self.faster_G = np.repeat([*FASTER, 0.0], _GRID)  # 0: there is no fast part
        self.of_power_G = np.repeat([*[False] * len(FASTER), True], _GRID)
        shapes_GT = np.concatenate([*[slow] * len(FASTER), (t / t[0]) ** -power[:, None]])
        self.mean_G = shapes_GT.mean(axis=1)
        centered = shapes_GT - self.mean_G[:, None]
        self.norm_G = np.sqrt((centered**2).sum(axis=1))
        self.unit_GT = centered / self.norm_G[:, None]
        fast_GT = np.where(self.faster_G[:, None] > 0, np.exp(-self.faster_G[:, None] * (t - t[0]) / self.rate_G[:, None]), 0.0)
        self.fast_mean_G = fast_GT.mean(axis=1)
        fast_GT = fast_GT - self.fast_mean_G[:, None]
        self.fast_along_G = (fast_GT * self.unit_GT).sum(axis=1)
        rest_GT = fast_GT - self.fast_along_G[:, None] * self.unit_GT  # orthogonal to the slow part
        self.fast_norm_G = np.maximum(np.sqrt((rest_GT**2).sum(axis=1)), 1e-9)
        self.fast_unit_GT = rest_GT / self.fast_norm_G[:, None]
        free = 4 + (self.faster_G > 0)  # plateau, rate, size of each part, noise
        self.penalty_G = 2 * free * length / np.maximum(length - free - 1, 1) + MORE * (self.faster_G > 0)  # AICc

    def best(self, curves_BT: Floats, margin: float) -> tuple[Floats, Floats, Floats, npt.NDArray[np.intp]]:
        """Return for each curve the epoch within margin of its plateau, the plateau, the fitted curve, and which point of the grid fits best."""
        rows, mean_B = np.arange(len(curves_BT)), curves_BT.mean(axis=1)
        along_BG, fast_BG, drop_BG, fast_drop_BG, score_BG = self._fits(curves_BT)
        has_fast_G = self.faster_G > 0
        which_B = score_BG.argmin(axis=1)
        # between points of the grid: a parabola through the best and its neighbours of the same form
        inside = (which_B % _GRID > 0) & (which_B % _GRID < _GRID - 1)
        before, after = np.where(inside, which_B - 1, which_B), np.where(inside, which_B + 1, which_B)
        s0, s1, s2 = (score_BG[rows, i] for i in (before, which_B, after))
        known = (s0 < _NONE) & (s1 < _NONE) & (s2 < _NONE)
        s0, s2 = np.where(known, s0, s1), np.where(known, s2, s1)
        bend = s0 - 2 * s1 + s2
        shift_B = np.where(bend > 0, (s0 - s2) / np.where(bend > 0, 2 * bend, 1.0), 0.0)
        weight_B, beside_B = np.minimum(np.abs(shift_B), 0.5), np.where(shift_B < 0, before, after)
        near, next_to = (self._solve(mean_B, drop_BG[rows, i], fast_drop_BG[rows, i], i, margin) for i in (which_B, beside_B))
        epochs_B, plateau_B = (a * (1 - weight_B) + b * weight_B for a, b in zip(near, next_to, strict=True))
        fast_B = np.where(has_fast_G[which_B], fast_BG[rows, which_B], 0.0)
        fitted_BT = mean_B[:, None] + along_BG[rows, which_B][:, None] * self.unit_GT[which_B] + fast_B[:, None] * self.fast_unit_GT[which_B]
        return epochs_B, plateau_B, fitted_BT, which_B

    def hardly_worse(self, curve_T: Floats, margin: float) -> tuple[float, float]:
        """Return the first and the last epoch that any point of the grid tells whose fit is hardly worse than the best."""
        _, _, drop_BG, fast_drop_BG, score_BG = self._fits(curve_T[None])
        near_G = np.flatnonzero(score_BG[0] <= score_BG[0].min() + HARDLY_WORSE)
        epochs, _ = self._solve(np.full(len(near_G), curve_T.mean()), drop_BG[0, near_G], fast_drop_BG[0, near_G], near_G, margin)
        return float(epochs.min()), float(epochs.max())

    def _fits(self, curves_BT: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Return for each curve and point of the grid the parts along the slow and the fast shape, their sizes b and d, and the score (AICc)."""
        along_BG, fast_BG = curves_BT @ self.unit_GT.T, curves_BT @ self.fast_unit_GT.T  # a fit explains the squares of these
        has_fast_G = self.faster_G > 0
        fast_drop_BG = np.where(has_fast_G, -fast_BG / self.fast_norm_G, 0.0)  # d
        drop_BG = (-along_BG - fast_drop_BG * self.fast_along_G) / self.norm_G  # b: how far the curve is from its plateau at its start
        gain_BG = along_BG**2 + np.where(has_fast_G, fast_BG**2, 0.0)
        rises_BG = (drop_BG > 0) & (~has_fast_G | (fast_drop_BG > 0))
        total_B = ((curves_BT - curves_BT.mean(axis=1)[:, None]) ** 2).sum(axis=1)
        left_BG = np.maximum(total_B[:, None] - gain_BG, 1e-12 * total_B[:, None] + 1e-300)
        score_BG = np.where(rises_BG, curves_BT.shape[1] * np.log(left_BG) + self.penalty_G, _NONE)
        return along_BG, fast_BG, drop_BG, fast_drop_BG, score_BG

    def _solve(self, mean_B: Floats, drop_B: Floats, fast_B: Floats, which_B: npt.NDArray[np.intp], margin: float) -> tuple[Floats, Floats]:
        """Return the epoch within margin of the plateau, and the plateau, for one point of the grid for each curve.

        Of two rates the fast part is next to nothing by then, or it is all there is.
        """
        drop_B, rate_B = np.maximum(drop_B, 0.0), self.rate_G[which_B]
        ratio_B = np.log(np.maximum(drop_B / margin, 1e-12))
        later_B = np.log(np.maximum(fast_B / margin, 1e-12)) / np.maximum(self.faster_G[which_B], 1.0)
        by_power = self.first * np.exp(np.minimum(ratio_B / rate_B, 50))
        epochs_B = np.where(self.of_power_G[which_B], by_power, self.first + rate_B * np.maximum(ratio_B, later_B))
        return np.clip(epochs_B, 1.0, 1e9), mean_B + drop_B * self.mean_G[which_B] + fast_B * self.fast_mean_G[which_B]


@lru_cache(maxsize=64)
def _curves(length: int, start: int) -> _Curves:
    return _Curves(length, start)
