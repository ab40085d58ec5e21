"""The range test: a short training whose learning rate rises from step to step, to see where the loss falls and where it breaks.

Source: Smith 2015, "Cyclical learning rates for training neural networks" (arXiv 1506.01186), section 3.3; the exponential rise and the rule of a
tenth of the minimum are those of fastai (Howard and Gugger 2020), with its bias-corrected moving average.

Promises: nothing is written; the weights trained are thrown away, and PyTorch's generators and number of threads are afterwards as they were; the
same experiment and seed give the same rows on the same machine.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..core.errors import RunError, SettingsError
from ..core.text import show
from ..store.lab import Lab
from . import mix, setup
from .bench import as_before, batches
from .step import train_step
from .watch import Silent, Watcher

SMOOTH = 0.9  # of the moving average of losses
DIVERGED = 4.0  # times the best smoothed loss
CLOSE = 3.0  # a learning rate within this factor of the minimum's is told to be risky
FEWEST = 20  # steps that a slope can be told from


@dataclass(frozen=True)
class Suggestion:
    """Learning rates that a range test speaks for; none where it does not."""

    steepest: float | None  # where the loss falls the fastest
    tenth: float | None  # a tenth of where the smoothed loss is lowest
    note: str  # what a person should know of them, or why there are none


@dataclass(frozen=True)
class RangeTest:
    """What a range test measured, a value for each of its S steps."""

    experiment: str
    seed: int
    lrs: tuple[float, ...]
    losses: tuple[float, ...]  # of a mini-batch, before its update; the last may be not finite
    smooth: tuple[float, ...]
    diverged: bool
    suggestion: Suggestion


def find(
    lab: Lab,
    name: str,
    seed: int | None = None,
    *,
    low: float = 1e-6,
    high: float = 1.0,
    steps: int = 100,
    watcher: Watcher | None = None,
    download: bool = False,
) -> RangeTest:
    """Return the range test of an experiment: its own images, batches, starting weights and optimizer, at learning rates from `low` to `high`.

    Learning rates that do not come from `optimizer.lr` (`head_lr`, Muon's `other_lr`) stay as they are; those that follow it keep their ratio. The
    schedule is left out. It stops when the smoothed loss is over four times its best, or not finite.

    Args:
        lab: the lab.
        name: the experiment.
        seed: none takes the first of the experiment's seeds.
        low: learning rate of the first step.
        high: learning rate of the last step.
        steps: how many, each over one mini-batch; epochs follow each other as in a run.
        watcher: is told how far it is.
        download: whether missing data may be downloaded.

    Raises:
        SettingsError: `low`, `high` or `steps` make no range.
        ZhurnalError: the experiment cannot be built.
    """
    problems = [f"steps is {steps}, must be at least {FEWEST}"] if steps < FEWEST else []
    if not 0 < low < high < math.inf:
        problems.append(f"the learning rates are {show(low)} to {show(high)}, must rise from above 0")
    if problems:
        raise SettingsError(problems)
    experiment = lab.experiment(name)
    seed = experiment.settings.seeds[0] if seed is None else seed
    watcher, train = watcher or Silent(), experiment.settings.train
    with as_before():
        if train.num_threads:
            torch.set_num_threads(train.num_threads)
        parts = setup.build(lab, experiment, seed, download=download, watcher=watcher)
        base = experiment.settings.optimizer.lr
        ratios = [g.get("initial_lr", g["lr"]) / base if g.get("lr_from", "lr") == "lr" else None for g in parts.optimizer.param_groups]
        parts.model.train()
        lrs, losses = [], []
        diverged = False
        for step, (images_NCHW, labels_N) in zip(range(steps), batches(parts.feed), strict=False):
            lrs.append(low * (high / low) ** (step / (steps - 1)))
            for group, ratio in zip(parts.optimizer.param_groups, ratios, strict=True):
                if ratio is not None:
                    group["lr"] = lrs[-1] * ratio
            draws = mix.draw(parts.feed.seed, *divmod(step, parts.feed.num_batches)) if train.mixup or train.cutmix else []
            mixed = mix.mix(images_NCHW, labels_N, draws, mixup=train.mixup, cutmix=train.cutmix, probability=train.mix_probability)
            two: dict[str, Any] = {"partners_N": mixed.labels_b_N, "weight": mixed.weight}
            options: dict[str, Any] = {"num_parts": train.accumulate, "clip_grad_norm": train.clip_grad_norm}
            try:
                loss_sum, _ = train_step(parts.model, parts.optimizer, parts.loss, mixed.images_NCHW, mixed.labels_a_N, **two, **options)
            except ValueError as error:
                if "Expected more than 1 value per channel" not in str(error):
                    raise
                raise RunError("batch norm cannot train on a batch of one image: use train.drop_last=true or another train.batch_size") from error
            losses.append(float(loss_sum) / len(labels_N))
            watcher.progress("range test", step + 1, steps)
            if diverged := has_diverged(losses):
                break
        watcher.progress("range test", steps, steps)
    return RangeTest(name, seed, tuple(lrs), tuple(losses), tuple(smoothed(losses)), diverged, suggest(lrs, losses, diverged))


def smoothed(losses: Sequence[float]) -> list[float]:
    """Return the moving average of losses, corrected for its beginning; what follows a value that is not finite is not finite."""
    found, average = [], 0.0
    for step, loss in enumerate(losses, 1):
        average = SMOOTH * average + (1 - SMOOTH) * loss
        found.append(average / (1 - SMOOTH**step))
    return found


def has_diverged(losses: Sequence[float]) -> bool:
    """Return whether the last of the smoothed losses is over four times the best, or not finite."""
    found = smoothed(losses)
    return not math.isfinite(found[-1]) or found[-1] > DIVERGED * min(found)


def suggest(lrs: Sequence[float], losses: Sequence[float], diverged: bool) -> Suggestion:
    """Return the learning rates that a range test speaks for.

    The loss must have fallen by more than it scatters: its smoothed minimum must lie below the mean of the first fifth of the steps by over twice the
    scatter (standard deviation about a line) of that fifth, and by 2 %. The steepest place is the middle of the tenth of the range whose line,
    fitted to the losses over the logarithm of the learning rate, falls the fastest, of those before the minimum.
    """
    x, y = np.log10(np.asarray(lrs)), np.asarray(losses)
    smooth = np.asarray(smoothed(losses))
    if len(lrs) < FEWEST or not np.isfinite(smooth[: FEWEST // 2]).all():
        return Suggestion(None, None, f"no suggestion: the loss diverged after {len(lrs)} steps, try a smaller --min")
    first = max(5, len(lrs) // 5)
    start = y[:first].mean()
    scatter = float(np.std(y[:first] - np.polyval(np.polyfit(x[:first], y[:first], 1), x[:first]), ddof=2))
    lowest = int(np.nanargmin(np.where(np.isfinite(smooth), smooth, np.nan)))
    if start - smooth[lowest] < max(2 * scatter, 0.02 * abs(start)):
        reason = f"from {start:.4g} it came to {smooth[lowest]:.4g} at best, and a batch's loss scatters by {scatter:.2g}"
        return Suggestion(None, None, f"no suggestion: the loss never fell ({reason}); try a larger --max or more --steps")
    width = max(6, len(lrs) // 10)
    slopes = [(np.polyfit(x[i : i + width], y[i : i + width], 1)[0], i) for i in range(max(1, lowest + 1 - width + 1))]
    _, at = min(slopes)
    steepest = float(10 ** x[at : at + width].mean())
    note = ""
    if not diverged and lowest >= len(lrs) - 2:
        note = "the loss still fell at the largest learning rate: a larger --max would show where it stops"
    elif steepest > lrs[lowest] / CLOSE:
        note = "the steepest descent is close to where the loss breaks: a tenth of the minimum's is the safer of the two"
    return Suggestion(steepest, float(lrs[lowest]) / 10, note)


def rows(test: RangeTest, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a range test as rows, with the settings it was made with: what `lr_find.jsonl` holds."""
    head = {"kind": "lr_find", "experiment": test.experiment, "seed": test.seed, "settings": settings}
    each = [
        {"kind": "iter", "step": step, "lr": lr, "loss": _finite(loss), "smooth": _finite(smooth)}
        for step, (lr, loss, smooth) in enumerate(zip(test.lrs, test.losses, test.smooth, strict=True), 1)
    ]
    s = test.suggestion
    return [head, *each, {"kind": "suggestion", "steepest": s.steepest, "tenth": s.tenth, "diverged": test.diverged, "note": s.note}]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
