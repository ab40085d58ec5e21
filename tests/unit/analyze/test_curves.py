"""Curves: gaps stay gaps, means are over what all runs have, and fewer points keep the range."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from zhurnal.analyze import curves
from zhurnal.analyze.curves import Curve
from zhurnal.store.lab import Lab


def test_a_curve_has_the_rows_of_the_record(made_up_lab: Lab) -> None:
    (run,) = made_up_lab.runs("e0001")
    found = curves.per_epoch([run], "val_acc")
    assert found.x.tolist() == list(range(1, 31))
    assert found.y.tolist() == [r["val_acc"] for r in run.epochs]
    assert not found.has_range


def test_null_losses_are_gaps(made_up_lab: Lab) -> None:
    found = curves.per_epoch(made_up_lab.runs("e0004"), "val_loss")
    assert np.isfinite(found.y).tolist() == [True] * 4 + [False] * 4


def test_seeds_make_a_mean_and_a_range(made_up_lab: Lab) -> None:
    runs = made_up_lab.runs("e0002")
    found = curves.per_epoch(runs, "val_acc")
    at_last = [r.epochs[-1]["val_acc"] for r in runs]
    assert math.isclose(found.y[-1], sum(at_last) / 3)
    assert (found.low[-1], found.high[-1]) == (min(at_last), max(at_last))
    shorter = curves.per_epoch([*runs, *made_up_lab.runs("e0003")], "val_acc")
    assert shorter.x.tolist() == list(range(1, 13))


def test_an_epoch_that_is_missing_is_a_gap() -> None:
    found = curves._mean([{1: 0.1, 3: 0.3}], 1)
    assert found.x.tolist() == [1, 2, 3]
    assert math.isnan(found.y[1])
    assert curves.isolated(found.y).tolist() == [True, False, True]


def test_reduced_curves_keep_the_range_and_large_gaps() -> None:
    y = np.sin(np.arange(10_000) / 7.0)
    y[5000] = 40.0
    y[2000:3000] = math.nan
    y[3000:3070] = math.nan  # most of a bucket
    curve = Curve(np.arange(10_000.0), y, y.copy(), y.copy())
    found = curves.reduce(curve, 100)
    assert len(found.x) == 100
    assert np.nanmax(found.high) == 40.0
    assert np.isnan(found.y[20:31]).all()
    assert np.isfinite(np.delete(found.y, np.s_[20:31])).all()
    assert curves.reduce(found, 100) is found


def test_drops_of_the_learning_rate(made_up_lab: Lab) -> None:
    (drop,) = curves.drops(made_up_lab.runs("e0006"))
    assert (drop.epoch, drop.step, round(drop.factor, 6)) == (21, 20 * 391, 0.1)
    assert curves.drops(made_up_lab.runs("e0001")) == []
    assert curves.drops([]) == []


@pytest.mark.parametrize(
    ("lrs", "expected"),
    [
        ([0.1, 0.1, 0.01, 0.01, 0.001], [(3, 0.1), (5, 0.1)]),  # steps
        ([0.1, 0.01], [(2, 0.1)]),
        ([1.0, 0.8, 0.6, 0.4, 0.2, 0.0], []),  # a line that ends at 0
        ([0.1, 0.0933, 0.075, 0.05, 0.025, 0.0067, 0.0], []),  # a cosine
        ([0.1, 0.09, 0.081, 0.0081, 0.0073], []),  # falls all the time, once by more
        ([0.1, 0.0, 0.0], [(2, 0.0)]),
        ([0.01, 0.05, 0.1, 0.1, 0.05], [(5, 0.5)]),
        ([0.0, 0.0, 0.0], []),
    ],
)
def test_only_what_falls_in_one_go_is_a_drop(lrs: list[float], expected: list[tuple[int, float]]) -> None:
    run = SimpleNamespace(epochs=[{"epoch": i + 1, "step": 10 * (i + 1), "lr": lr} for i, lr in enumerate(lrs)])
    assert [(d.epoch, pytest.approx(d.factor)) for d in curves.drops([run])] == expected
    assert all(d.step == 10 * (d.epoch - 1) for d in curves.drops([run]))
