"""The learning rate as a pure function of the step, so that resume needs no scheduler state and a figure can draw it without training.

To add a schedule: a function `(step, steps_per_epoch, epochs, base_lr, **options) -> float`, a line in `SCHEDULERS`, a class in `core/sections/`.
Steps and epochs count from 0; a step is one update of the weights.
"""

from collections.abc import Callable

from ..core import settings


def constant(step: int, steps_per_epoch: int, epochs: int, base_lr: float) -> float:
    """Return `base_lr`."""
    return base_lr


def drops(step: int, steps_per_epoch: int, epochs: int, base_lr: float, *, step_size: int, gamma: float) -> float:
    """Return `base_lr` times `gamma` for every `step_size` epochs that are over: torch.optim.lr_scheduler.StepLR, stepped once an epoch."""
    return float(base_lr * gamma ** (step // steps_per_epoch // step_size))


SCHEDULERS: dict[str, Callable[..., float]] = {"none": constant, "step": drops}


def lr_at(scheduler: settings.Scheduler, base_lr: float, *, step: int, steps_per_epoch: int, epochs: int) -> float:
    """Return the learning rate of a step.

    Args:
        scheduler: the section `scheduler` of the settings.
        base_lr: the learning rate that the optimizer (or one of its groups) began with.
        step: updates done before this one, in the whole run.
        steps_per_epoch: updates in an epoch, at least 1.
        epochs: epochs in the whole run.

    >>> lr_at(settings.Step(step_size=2, gamma=0.5), 0.1, step=25, steps_per_epoch=10, epochs=4)
    0.05
    """
    return SCHEDULERS[scheduler.name](step, steps_per_epoch, epochs, base_lr, **scheduler.options())
