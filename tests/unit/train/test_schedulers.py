"""Learning rates: PyTorch's schedules, as functions of the step."""

import warnings

import pytest
import torch

from zhurnal.core import settings
from zhurnal.train.schedulers import lr_at


@pytest.mark.parametrize(("step_size", "gamma", "base_lr"), [(40, 0.1, 0.01), (5, 0.3, 0.02), (1, 0.97, 1.0), (3, 1.0, 0.5)])
def test_step_is_torch_s(step_size, gamma, base_lr):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=base_lr)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch wants optimizer.step() before
        theirs = torch.optim.lr_scheduler.StepLR(optimizer, step_size, gamma)
        part = settings.Step(step_size=step_size, gamma=gamma)
        for epoch in range(125):
            expected = pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
            for step in (7 * epoch, 7 * epoch + 6):
                assert lr_at(part, base_lr, step=step, steps_per_epoch=7, epochs=125) == expected
            theirs.step()


def test_step_drops_at_the_first_step_of_an_epoch():
    part = settings.Step(step_size=2, gamma=0.5)
    assert [lr_at(part, 1.0, step=s, steps_per_epoch=3, epochs=6) for s in (0, 5, 6, 11, 12, 17)] == [1, 1, 0.5, 0.5, 0.25, 0.25]


def test_none_is_constant():
    assert {lr_at(settings.NoScheduler(), 0.03, step=s, steps_per_epoch=3, epochs=6) for s in range(18)} == {0.03}
