"""Where curves turn and saturate: intervals hold the true epoch as often as they say, on curves whose epoch is known."""

import numpy as np
import pytest

from zhurnal.analyze.stats import saturation as saturation_module
from zhurnal.analyze.stats.saturation import saturation
from zhurnal.analyze.stats.series import turn


def alike(random, num, sd, rho=0.3):
    """Return noise in which neighbours are alike."""
    found = sd * random.standard_normal(num)
    for i in range(1, num):
        found[i] = rho * found[i - 1] + (1 - rho**2) ** 0.5 * found[i]
    return found


@pytest.mark.parametrize("epochs", [40, 80, 160])
def test_the_interval_of_a_turn_holds_it(epochs):
    """An exponential fall is steeper than the rise after it: smoothing would shift the turn to the right, the more the longer the run."""
    random, t = np.random.default_rng(5), np.arange(1, epochs + 1)
    true = 6 * np.log(1 / (6 * 0.008))  # where exp(-t / 6) + 0.008 t is lowest
    found = [turn(np.exp(-t / 6) + 0.008 * t + alike(random, epochs, 0.008)) for _ in range(150)]
    assert all(f is not None and f.rises and f.low <= f.epoch <= f.high for f in found)
    assert np.mean([f.low - 0.5 <= true <= f.high + 0.5 for f in found]) >= 0.9
    assert np.mean([abs(f.epoch - true) for f in found]) < 2
    assert np.median([f.high - f.low for f in found]) < 20


def test_a_turn_without_noise_is_exact():
    found = turn(np.abs(np.arange(1, 61) - 25.0))
    assert found is not None
    assert (found.epoch, found.rises) == (25, True)
    assert found.low <= 25 <= found.high <= found.low + 5


def test_a_level_curve_has_no_turn():
    found = turn(np.ones(40))
    assert found is not None
    assert (found.low, found.high, found.rises) == (1, 40, False)


@pytest.mark.parametrize("curve", [np.ones(11), np.r_[np.ones(20), np.nan]])
def test_nothing_is_said_of_too_few_epochs_or_missing_ones(curve):
    assert turn(curve) is None
    assert saturation(curve, 0.005) is None


def test_forms_that_fit_hardly_worse_widen_the_interval(monkeypatch):
    """Curves of two rates: the bootstrap alone misses the epoch too often, since it believes in the form that it found."""
    random, t, fine = np.random.default_rng(6), np.arange(1, 81), np.linspace(1, 400, 40_000)
    curves, true = [], []
    for tau, faster in zip(random.uniform(3, 11, 80), random.uniform(2.5, 8, 80), strict=True):
        shapes = [0.6 * (0.7 * np.exp(-faster * x / tau) + 0.3 * np.exp(-x / tau)) for x in (t, fine)]
        curves.append(0.9 - shapes[0] + 0.004 * random.standard_normal(80))
        true.append(fine[np.argmax(shapes[1] <= 0.005)])
    wide = [saturation(c, 0.005) for c in curves]
    monkeypatch.setattr(saturation_module, "HARDLY_WORSE", 0.0)
    narrow = [saturation(c, 0.005) for c in curves]
    held = [np.mean([s is not None and s.low - 0.5 <= x <= s.high + 0.5 for s, x in zip(found, true, strict=True)]) for found in (wide, narrow)]
    assert held[0] >= 0.9
    assert held[0] > held[1]
    assert all(w.low <= n.low <= n.high <= w.high for w, n in zip(wide, narrow, strict=True))
