"""Learning rates: PyTorch's schedules, as functions of the step."""

import math
import warnings
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st
from torch.optim import lr_scheduler as theirs

from zhurnal.core import settings
from zhurnal.core.errors import SettingsError
from zhurnal.core.settings import SCHEDULERS
from zhurnal.train.schedulers import lr_at

BATCHES, EPOCHS = 7, 24
STEPS = BATCHES * EPOCHS


def part(name, **options):
    return settings.section_class("scheduler", name)(name=name, **options)


def ours(scheduler, base_lr=0.3, history=()):
    return [lr_at(scheduler, base_lr, step=s, steps_per_epoch=BATCHES, epochs=EPOCHS, history=history) for s in range(STEPS)]


def torch_s(make, every=1, base_lr=0.3, arguments=lambda i: ()):
    """What a PyTorch schedule, stepped after `every` updates, sets for each update of a run."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=base_lr)
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch wants optimizer.step() before, and calls its own SequentialLR deprecated
        scheduler = make(optimizer)
        for step in range(STEPS):
            found.append(optimizer.param_groups[0]["lr"])
            if (step + 1) % every == 0:
                scheduler.step(*arguments(step // every))
    return found


def warmed(make, warmup, start):
    return lambda o: theirs.SequentialLR(o, [theirs.LinearLR(o, start, 1.0, warmup), make(o)], [warmup])


SAME = {  # ours, PyTorch's, updates between two of its steps
    "none": (part("none"), lambda o: theirs.ConstantLR(o, 1.0), 1),
    "step": (part("step", step_size=5, gamma=0.3), lambda o: theirs.StepLR(o, 5, 0.3), BATCHES),
    "step each epoch": (part("step", step_size=1, gamma=0.97), lambda o: theirs.StepLR(o, 1, 0.97), BATCHES),
    "multi_step": (part("multi_step", milestones=[3, 11, 20], gamma=0.2), lambda o: theirs.MultiStepLR(o, [3, 11, 20], 0.2), BATCHES),
    "exponential": (part("exponential", gamma=0.8), lambda o: theirs.ExponentialLR(o, 0.8), BATCHES),
    "exponential, steps": (part("exponential", gamma=0.8, interval="step"), lambda o: theirs.ExponentialLR(o, 0.8 ** (1 / BATCHES)), 1),
    "polynomial": (part("polynomial", power=2.0), lambda o: theirs.PolynomialLR(o, STEPS, 2.0), 1),
    "polynomial, epochs": (part("polynomial", power=0.9, interval="epoch"), lambda o: theirs.PolynomialLR(o, EPOCHS, 0.9), BATCHES),
    "linear": (part("linear", end_factor=0.1), lambda o: theirs.LinearLR(o, 1.0, 0.1, STEPS), 1),
    "linear, epochs": (part("linear", interval="epoch"), lambda o: theirs.LinearLR(o, 1.0, 0.0, EPOCHS), BATCHES),
    "cosine": (part("cosine", eta_min=0.01), lambda o: theirs.CosineAnnealingLR(o, STEPS, 0.01), 1),
    "cosine, epochs": (part("cosine", interval="epoch"), lambda o: theirs.CosineAnnealingLR(o, EPOCHS), BATCHES),
    "restarts": (part("cosine_restarts", T_0=3, T_mult=2, eta_min=0.01), lambda o: theirs.CosineAnnealingWarmRestarts(o, 21, 2, 0.01), 1),
    "restarts, equal": (part("cosine_restarts", T_0=5), lambda o: theirs.CosineAnnealingWarmRestarts(o, 35), 1),
    "restarts, epochs": (
        part("cosine_restarts", T_0=3, T_mult=3, interval="epoch"),
        lambda o: theirs.CosineAnnealingWarmRestarts(o, 3, 3),
        BATCHES,
    ),
    "one_cycle": (part("one_cycle"), lambda o: theirs.OneCycleLR(o, 0.3, STEPS), 1),
    "one_cycle, other": (
        part("one_cycle", pct_start=0.2, anneal_strategy="linear", div_factor=10.0, final_div_factor=100.0),
        lambda o: theirs.OneCycleLR(o, 0.3, STEPS, pct_start=0.2, anneal_strategy="linear", div_factor=10.0, final_div_factor=100.0),
        1,
    ),
    "one_cycle, three": (part("one_cycle", three_phase=True), lambda o: theirs.OneCycleLR(o, 0.3, STEPS, three_phase=True), 1),
    "triangular": (
        part("triangular"),  # its peak lies at step int(0.23 * STEPS)
        lambda o: theirs.SequentialLR(o, [theirs.LinearLR(o, 0.2, 1.0, 38), theirs.LinearLR(o, 1.0, 0.07, STEPS - 38)], [38]),
        1,
    ),
    "warm-up, none": (part("none", warmup_epochs=2, warmup_start=0.1), warmed(lambda o: theirs.ConstantLR(o, 1.0), 14, 0.1), 1),
    "warm-up, cosine": (
        part("cosine", warmup_epochs=1.5, warmup_start=0.05, eta_min=0.001),
        warmed(lambda o: theirs.CosineAnnealingLR(o, STEPS - 10, 0.001), 10, 0.05),
        1,
    ),
    "warm-up, polynomial": (part("polynomial", warmup_epochs=3), warmed(lambda o: theirs.PolynomialLR(o, STEPS - 21, 1.0), 21, 0.01), 1),
    "warm-up, linear": (part("linear", warmup_epochs=3), warmed(lambda o: theirs.LinearLR(o, 1.0, 0.0, STEPS - 21), 21, 0.01), 1),
    "warm-up, restarts": (
        part("cosine_restarts", T_0=3, warmup_epochs=3),
        warmed(lambda o: theirs.CosineAnnealingWarmRestarts(o, 21), 21, 0.01),
        1,
    ),
    "warm-up, exponential": (
        part("exponential", gamma=0.8, interval="step", warmup_epochs=3),
        warmed(lambda o: theirs.ExponentialLR(o, 0.8 ** (1 / BATCHES)), 21, 0.01),
        1,
    ),
}


@pytest.mark.parametrize("what", SAME)
def test_a_schedule_is_torch_s_over_a_whole_run(what):
    scheduler, make, every = SAME[what]
    assert ours(scheduler) == pytest.approx(torch_s(make, every), rel=1e-6, abs=1e-12)


def test_every_schedule_is_compared_with_torch_s():
    assert {scheduler.name for scheduler, _, _ in SAME.values()} | {"plateau"} == set(SCHEDULERS)


HISTORIES = {
    "noisy": [2.0 - 0.05 * i + 0.3 * math.sin(9 * i) for i in range(EPOCHS)],
    "flat": [1.0] * EPOCHS,
    "not finite": [2.0, 1.5, math.nan, math.nan, math.inf, 1.4] + [math.nan] * 18,
    "below zero": [-0.1 * math.sin(i) for i in range(EPOCHS)],
}


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("monitor", ["val_loss", "val_acc"])
@pytest.mark.parametrize(
    "options",
    [
        {"patience": 2},
        {"patience": 0, "factor": 0.5, "threshold": 0.05, "threshold_mode": "abs", "min_lr": 0.01},
        {"patience": 1, "cooldown": 3, "threshold": 0.2, "eps": 0.02},
    ],
)
def test_plateau_is_torch_s(history, monitor, options):
    values = HISTORIES[history]
    expected = torch_s(
        lambda o: theirs.ReduceLROnPlateau(o, "min" if monitor == "val_loss" else "max", **options), BATCHES, arguments=lambda epoch: (values[epoch],)
    )
    found = ours(part("plateau", monitor=monitor, **options), history=values)
    assert found == pytest.approx(expected, rel=1e-6)
    assert history == "below zero" or len(set(found)) > 1


def test_step_drops_at_the_first_step_of_an_epoch():
    scheduler = part("step", step_size=2, gamma=0.5)
    assert [lr_at(scheduler, 1.0, step=s, steps_per_epoch=3, epochs=6) for s in (0, 5, 6, 11, 12, 17)] == [1, 1, 0.5, 0.5, 0.25, 0.25]


def test_a_milestone_may_lie_inside_an_epoch():
    scheduler = part("multi_step", milestones=[0.5, 1.5], gamma=0.5)
    assert [lr_at(scheduler, 1.0, step=s, steps_per_epoch=4, epochs=3) for s in range(8)] == [1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]


def test_milestones_count_the_run_s_epochs_warm_up_included():
    found = ours(part("multi_step", milestones=[5], warmup_epochs=2, warmup_start=0.5), base_lr=1.0)
    assert found[0] == 0.5
    assert found[14:35] == [1.0] * 21
    assert found[35] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"name": "multi_step", "milestones": [5, 5]}, r"scheduler.milestones: \[5.0, 5.0\] does not ascend"),
        ({"name": "multi_step", "milestones": []}, "scheduler.milestones"),
        ({"name": "cosine", "warmup_epochs": 10}, "scheduler.warmup_epochs is 10, must be below train.epochs, which is 10"),
        ({"name": "plateau", "monitor": "loss"}, "scheduler.monitor is loss, must be val_loss or val_acc"),
    ],
)
def test_what_a_schedule_cannot_be(options, text):
    with pytest.raises(SettingsError, match=text):
        settings.parse({"scheduler": options})


runs = st.tuples(st.integers(1, 40), st.integers(1, 30))


@how(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(SCHEDULERS)), runs, st.floats(1e-8, 100), st.floats(0, 5), st.lists(st.floats() | st.just(1.0), max_size=30), st.data())
def test_a_learning_rate_is_finite_and_depends_on_the_step_alone(name, run, base_lr, warmup, history, data):
    steps_per_epoch, epochs = run
    scheduler = part(name, warmup_epochs=warmup)
    steps = data.draw(st.permutations(range(0, steps_per_epoch * epochs + 2, max(1, steps_per_epoch * epochs // 40))))

    def lr(step):
        return lr_at(scheduler, base_lr, step=step, steps_per_epoch=steps_per_epoch, epochs=epochs, history=history)

    found = {step: lr(step) for step in steps}
    assert all(math.isfinite(value) and value >= 0 for value in found.values())
    assert all(value <= base_lr * (1 + 1e-12) for value in found.values())
    assert {step: lr(step) for step in sorted(steps)} == found
    longer = [*history, 0.0]
    assert lr_at(scheduler, base_lr, step=0, steps_per_epoch=steps_per_epoch, epochs=epochs, history=longer) == lr(0)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_short_runs_have_a_learning_rate(name):
    for steps_per_epoch, epochs in ((1, 1), (1, 2), (2, 1), (1, 10), (10, 1)):
        found = [lr_at(part(name), 0.1, step=s, steps_per_epoch=steps_per_epoch, epochs=epochs) for s in range(steps_per_epoch * epochs + 1)]
        assert all(math.isfinite(v) and v >= 0 for v in found)


def test_a_cycle_whose_rise_is_one_step_begins_at_its_top():
    """PyTorch divides by zero there."""
    found = [lr_at(part("one_cycle", pct_start=0.1), 0.3, step=s, steps_per_epoch=5, epochs=2) for s in range(12)]
    assert found[0] == 0.3
    assert found[9:] == pytest.approx([0.3 / 25 / 1e4] * 3)


@pytest.mark.parametrize("name", ["cosine", "linear", "polynomial", "triangular", "one_cycle"])
def test_what_falls_to_the_end_falls(name):
    found = ours(part(name, warmup_epochs=2))
    top = found.index(max(found))
    assert all(a > b for a, b in pairwise(found[top:]))
    assert found[-1] < 0.1 * max(found)
