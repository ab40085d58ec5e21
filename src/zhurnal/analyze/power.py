"""How many seeds a difference needs: the deviation of seeds from the lab itself, and what a t test of n against n seeds sees of it.

The deviation is that of the number by which experiments are compared (`settled.py`). It comes from the first of these that is there: experiments of
the same data and model with several seeds, pooled; two single runs, by the images on which they disagree and by how much their last epochs differ; a
measured figure from elsewhere, which says so. Accuracies and differences are in points.
"""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..core.errors import LabError, ZhurnalError
from ..core.text import count
from ..store.lab import Lab
from ..store.view import look
from . import predictions, summary
from .comparing import compare_two
from .observation import Observation
from .settled import noise_of, series
from .stats import pairs, seeds
from .summary import Summary

SHOWN = (2, 3, 4, 5, 6, 8, 10, 15, 20, 30)  # seeds each, in the table
FEWEST, MOST = 3, 1000  # seeds each; an observation is called supported from three on
# Where a lab has nothing: standard deviations that were measured on CIFAR-10's 10,000 test images, in points.
FALLING_LR = 0.2  # ResNet-9, learning rate to zero: 0.17 over 18 runs (log of github.com/iyaja/cifar-10-faster); rounded up
STEADY_LR = 0.6  # LeNet, constant learning rate 0.01, 16 epochs, mean of the last five: 0.60 over 6 runs


@dataclass(frozen=True)
class Deviation:
    """What seeds do to an accuracy: a standard deviation in points, how sure that is, and where it comes from."""

    sd: float
    low: float  # 95 % interval; NaN where it is not known
    high: float
    df: int  # 0 where it is no estimate from seeds
    source: str


@dataclass(frozen=True)
class Size:
    """What n seeds each see: the smallest difference with the wanted chance, and the chance of the difference asked for."""

    n: int
    smallest: float
    chance: float


@dataclass(frozen=True)
class Power:
    """How many seeds two experiments need."""

    experiments: tuple[str, str]
    n: tuple[int, int]  # runs that there are
    difference: float  # asked for, in points
    chance: float  # to see it, where it is there
    alpha: float
    deviation: Deviation
    needed: int | None  # seeds each; none where a thousand do not do
    needed_range: tuple[int | None, int | None] | None  # at the ends of the deviation's interval
    sizes: tuple[Size, ...]
    now: Size | None  # with the seeds there are, the fewer of the two; none for one
    observed: Observation  # what can be said today

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, for JSON; what is not known is none."""
        plain = asdict(self) | {"observed": self.observed.to_dict()}
        plain["deviation"] |= {k: None if math.isnan(v) else v for k, v in plain["deviation"].items() if isinstance(v, float)}
        return plain


def power(lab: Lab, first: str, second: str, *, difference: float | None = None, chance: float = 0.8, alpha: float = 0.05) -> Power:
    """Return how many seeds each of two experiments needs, so that a difference between them shows.

    Args:
        lab: the lab.
        first: an experiment.
        second: the one it is to be compared with.
        difference: in points of accuracy; by default the smallest that matters in this lab (`smallest_difference` in zhurnal.yaml).
        chance: that the difference is found where it is there (the power of the test).
        alpha: the chance to find one where there is none.

    Raises:
        ZhurnalError: a number is out of range, or the two are one experiment.
        LabError: an experiment does not exist.
    """
    wanted = lab.config.smallest_difference if difference is None else difference
    for name, value, rule in (
        ("difference", wanted, 0 < wanted <= 100),
        ("power", chance, 0 < chance < 1),
        ("alpha", alpha, 0 < alpha < 1),
    ):
        if not rule:
            raise ZhurnalError(f"{name} is {value:g}, must be above 0 and {'at most 100 points' if name == 'difference' else 'below 1'}")
    if not chance > alpha:
        raise ZhurnalError(f"power is {chance:g}, must be above alpha, {alpha:g}: a coin does as well")
    with look(lab) as view:
        pair = summary.read_all(lab, [first, second], view)
        if len(pair) < 2:
            raise ZhurnalError(f"{pair[0].name} is compared with itself: name two experiments, as in `zhurnal power e0039 e0038`")
        others = []
        for name in lab.names():
            if name not in (pair[0].name, pair[1].name):
                with suppress(ZhurnalError):  # its file cannot be read, as `ls` says; these two are not about it
                    others.append(summary.read(view, name))
        everything = [s for s in (*pair, *others) if len(s.counted) > 1]
        found = deviation(pair, everything)
        observed = compare_two(
            pair[1], pair[0], smallest=lab.config.smallest_difference, lab=noise_of(everything, pair[0], without=[s.name for s in pair])
        )
    n = (len(pair[0].counted), len(pair[1].counted))

    def needed(sd: float) -> int | None:
        found = seeds.seeds_needed(max(sd, 1e-6), wanted, alpha=alpha, chance=chance, most=MOST)
        return None if found is None else max(FEWEST, found)

    def size(k: int) -> Size:
        sd = max(found.sd, 1e-6)
        return Size(k, seeds.smallest_seen(k, sd, alpha=alpha, chance=chance), seeds.power(k, sd, wanted, alpha))

    between = None if math.isnan(found.low) else (needed(found.low), needed(found.high))
    best = needed(found.sd)
    shown = sorted({*SHOWN, *([best] if best else [])})
    now = size(min(n)) if min(n) > 1 else None
    return Power((pair[0].name, pair[1].name), n, wanted, chance, alpha, found, best, between, tuple(map(size, shown)), now, observed)


def deviation(pair: Sequence[Summary], several: Sequence[Summary]) -> Deviation:
    """Return what seeds do to the accuracy of two experiments; `several` are the lab's experiments with more than one run."""
    pooled = [noise for s in pair if (noise := noise_of(several, s)).known]
    if pooled:
        lab = max(pooled, key=lambda noise: noise.df)
        from scipy.stats import chi2

        low, high = (lab.sd * math.sqrt(lab.df / float(chi2.ppf(q, lab.df))) for q in (0.975, 0.025))
        runs = count(lab.df + len(lab.experiments), "run")
        source = f"pooled over {runs} of {count(len(lab.experiments), 'experiment')} with several seeds: {', '.join(lab.experiments[:8])}"
        return Deviation(100 * lab.sd, 100 * low, 100 * high, lab.df, source + (", …" if len(lab.experiments) > 8 else ""))
    if (guess := _of_images(pair)) is not None:
        return guess
    falls = all(s.experiment.values["scheduler"]["name"] != "none" for s in pair)
    sd, where = (FALLING_LR, "ResNet-9 with a falling learning rate") if falls else (STEADY_LR, "LeNet with a constant learning rate")
    source = f"not from this lab, which has no experiment with several seeds of this data and model: measured on CIFAR-10's test images, {where}"
    return Deviation(sd, math.nan, math.nan, 0, source)


def _of_images(pair: Sequence[Summary]) -> Deviation | None:
    """Return the deviation that the images of two single runs tell; none where their predictions are not here, or not of the same images."""
    if not all(s.counted for s in pair):
        return None
    a, b = (s.counted[0] for s in pair)
    try:
        said = predictions.read(a, a.num_epochs), predictions.read(b, b.num_epochs)
    except LabError:
        return None
    if not np.array_equal(said[0].number_N, said[1].number_N):
        return None
    found = pairs.mcnemar(said[0].right_N, said[1].right_N, said[0].label_N)
    of_epochs = max((noise for r in (a, b) if (noise := pairs.epoch_noise(series(r))) is not None), default=0.0)
    if of_epochs > found.noise:
        source = f"one run each: how much their last epochs differ among themselves (the images they disagree on tell {100 * found.noise:.2f})"
        return Deviation(100 * of_epochs, math.nan, math.nan, 0, source)
    how = (
        "and seeds are taken to err independently" if found.independent else f"and whole classes move together, {found.dispersion:.1f} times as much"
    )
    source = f"one run each: they disagree on {100 * found.discordance:.1f} % of {found.num:,} images, {how}"
    return Deviation(100 * found.noise, math.nan, math.nan, 0, source)
