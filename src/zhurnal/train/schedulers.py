"""The learning rate as a pure function of the step, so that resume needs no scheduler state and a figure can draw it without training.

To add a schedule: a function `(step, steps_per_epoch, epochs, base_lr, **options) -> float`, a line in `SCHEDULERS`, a class in `core/sections/`.
Steps and epochs count from 0; a step is one update of the weights; after the last step the learning rate stays. `epochs` is a whole number, or, after
a warm-up, what it left of them. Only `plateau` asks for something that is no setting: `history`, what was measured at the ends of epochs.
"""

import math
from collections.abc import Callable, Sequence

from ..core import settings


def constant(step: int, steps_per_epoch: int, epochs: float, base_lr: float) -> float:
    """Return `base_lr`."""
    return base_lr


def drops(step: int, steps_per_epoch: int, epochs: float, base_lr: float, *, step_size: int, gamma: float) -> float:
    """Return `base_lr` times `gamma` for every `step_size` epochs that are over: torch.optim.lr_scheduler.StepLR, stepped once an epoch."""
    return float(base_lr * gamma ** (step // steps_per_epoch // step_size))


def multi_step(step: int, steps_per_epoch: int, epochs: float, base_lr: float, *, milestones: Sequence[float], gamma: float) -> float:
    """Return `base_lr` times `gamma` for every milestone (in epochs, also parts of them) that is reached: MultiStepLR."""
    return float(base_lr * gamma ** sum(step >= round(m * steps_per_epoch) for m in milestones))


def exponential(step: int, steps_per_epoch: int, epochs: float, base_lr: float, *, gamma: float, interval: str) -> float:
    """Return `base_lr` times `gamma` to the power of the epochs that are over: ExponentialLR."""
    done, _ = _time(step, steps_per_epoch, epochs, interval)
    return float(base_lr * gamma**done)


def polynomial(step: int, steps_per_epoch: int, epochs: float, base_lr: float, *, power: float, interval: str) -> float:
    """Return `base_lr` times the `power` of the part of the run that is left: PolynomialLR."""
    done, total = _time(step, steps_per_epoch, epochs, interval)
    return float(base_lr * max(0.0, 1 - done / total) ** power)


def linear(step: int, steps_per_epoch: int, epochs: float, base_lr: float, *, end_factor: float, interval: str) -> float:
    """Return what lies on the line from `base_lr` to `end_factor` of it at the end: LinearLR with start_factor 1."""
    done, total = _time(step, steps_per_epoch, epochs, interval)
    return base_lr * (1 + (end_factor - 1) * min(1.0, done / total))


def cosine(step: int, steps_per_epoch: int, epochs: float, base_lr: float, *, eta_min: float, interval: str) -> float:
    """Return what lies on half a cosine from `base_lr` to `eta_min` at the end: CosineAnnealingLR; Loshchilov and Hutter 2017 without restarts."""
    done, total = _time(step, steps_per_epoch, epochs, interval)
    return _half_cosine(base_lr, eta_min, min(1.0, done / total))


def cosine_restarts(step: int, steps_per_epoch: int, epochs: float, base_lr: float, *, T_0: int, T_mult: int, eta_min: float, interval: str) -> float:
    """Return `cosine` over `T_0` epochs, then over `T_0 * T_mult`, and so on: CosineAnnealingWarmRestarts; Loshchilov and Hutter 2017."""
    length = T_0 * steps_per_epoch
    at = step if interval == "step" else step // steps_per_epoch * steps_per_epoch
    while T_mult > 1 and at >= length:
        at, length = at - length, length * T_mult
    return _half_cosine(base_lr, eta_min, at % length / length)


def one_cycle(
    step: int, steps_per_epoch: int, epochs: float, base_lr: float, *, pct_start: float, anneal_strategy: str, div_factor: float,
    final_div_factor: float, three_phase: bool,
) -> float:  # fmt: skip
    """Return the learning rate of OneCycleLR with max_lr `base_lr`, over the whole run; Smith and Topin 2018. Momentum is left as it is."""
    total = max(1, round(epochs * steps_per_epoch))
    first, last = base_lr / div_factor, base_lr / div_factor / final_div_factor
    rise = pct_start * total - 1
    phases = [(rise, first, base_lr), (total - 1.0, base_lr, last)]
    if three_phase:
        phases = [(rise, first, base_lr), (2 * pct_start * total - 2, base_lr, first), (total - 1.0, first, last)]
    begin = 0.0
    for index, (end, low, high) in enumerate(phases):
        if step <= end or index == len(phases) - 1:
            part = min(1.0, max(0.0, (step - begin) / (end - begin))) if end > begin else 1.0
            return low + (high - low) * part if anneal_strategy == "linear" else _half_cosine(low, high, part)
        begin = end
    raise AssertionError("the last phase returns")


def triangular(step: int, steps_per_epoch: int, epochs: float, base_lr: float, *, start: float, peak: float, floor: float) -> float:
    """Return what lies on the lines from `start` up to 1 at `peak` of the run and down to `floor` at its end, times `base_lr`.

    Source: `triangle` in hlb-CIFAR10 and airbench94.py.
    """
    total = max(1, round(epochs * steps_per_epoch))
    top, step = int(peak * total), min(step, total)
    if step < top:
        return base_lr * (start + (1 - start) * step / top)
    return base_lr * (1 + (floor - 1) * (step - top) / (total - top))


def plateau(
    step: int, steps_per_epoch: int, epochs: float, base_lr: float, *, history: Sequence[float] = (), monitor: str, factor: float, patience: int,
    threshold: float, threshold_mode: str, cooldown: int, min_lr: float, eps: float,
) -> float:  # fmt: skip
    """Return what ReduceLROnPlateau has made of `base_lr` from `history`, one value for each epoch that is over at `step`.

    Values of later epochs are not looked at; a value that is not a number is no improvement.
    """
    lower, relative = monitor == "val_loss", threshold_mode == "rel"
    best, bad, cooling, lr = math.inf if lower else -math.inf, 0, 0, base_lr
    for value in history[: step // steps_per_epoch]:
        room = -threshold if lower else threshold
        bound = best * (1 + room) if relative else best + room
        if value < bound if lower else value > bound:
            best, bad = value, 0
        else:
            bad += 1
        if cooling:
            cooling, bad = cooling - 1, 0
        if bad > patience:
            reduced = max(lr * factor, min_lr)
            lr = reduced if lr - reduced > eps else lr
            bad, cooling = 0, cooldown
    return lr


SCHEDULERS: dict[str, Callable[..., float]] = {
    "none": constant,
    "step": drops,
    "multi_step": multi_step,
    "exponential": exponential,
    "polynomial": polynomial,
    "linear": linear,
    "cosine": cosine,
    "cosine_restarts": cosine_restarts,
    "one_cycle": one_cycle,
    "triangular": triangular,
    "plateau": plateau,
}
FROM_START = ("step", "multi_step", "plateau")  # count the run's epochs; the others begin when warm-up ends


def lr_at(scheduler: settings.Scheduler, base_lr: float, *, step: int, steps_per_epoch: int, epochs: int, history: Sequence[float] = ()) -> float:
    """Return the learning rate of a step.

    Warm-up rises in a straight line from `warmup_start` of `base_lr` to `base_lr` over `warmup_epochs`, rounded to whole steps; then the schedule
    begins, in what is left of the run: PyTorch's SequentialLR of LinearLR and the schedule. Schedules that name epochs (`step`, `multi_step`,
    `plateau`) count those of the run, warm-up included.

    Args:
        scheduler: the section `scheduler` of the settings.
        base_lr: the learning rate that the optimizer (or one of its groups) began with.
        step: updates done before this one, in the whole run.
        steps_per_epoch: updates in an epoch, at least 1.
        epochs: epochs in the whole run.
        history: for `plateau`: the validation losses, or accuracies where `monitor` is val_acc, of the epochs that are over; NaN where not finite.

    >>> lr_at(settings.Step(step_size=2, gamma=0.5), 0.1, step=25, steps_per_epoch=10, epochs=4)
    0.05
    """
    warmup = round(scheduler.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return base_lr * (scheduler.warmup_start + (1 - scheduler.warmup_start) * step / warmup)
    options = scheduler.options()
    if scheduler.name == "plateau":
        options["history"] = history
    skipped = 0 if scheduler.name in FROM_START else warmup
    left = epochs - skipped / steps_per_epoch
    return SCHEDULERS[scheduler.name](step - skipped, steps_per_epoch, left, base_lr, **options)


def _time(step: int, steps_per_epoch: int, epochs: float, interval: str) -> tuple[float, float]:
    """Return how many epochs are over, whole ones where `interval` is epoch, and how many there are."""
    if interval == "epoch":
        return step // steps_per_epoch, max(1, math.ceil(epochs))
    return step / steps_per_epoch, max(epochs, 1 / steps_per_epoch)


def _half_cosine(first: float, last: float, part: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * part)) / 2
