"""Two settings by the numbers that their seeds came to: t tests, the lab's pooled variance, permutation, equivalence, and how many seeds one needs.

All differences are second minus first. n = 3 against 3 is the usual case: there only a t test can tell anything; a permutation test cannot fall
below 0.1, and a bootstrap of three values calls equal settings different in 18 of 100 cases.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from statistics import correlation, fmean, variance

from ...core.text import count

MOST_PERMUTATIONS = 20_000


@dataclass(frozen=True)
class Difference:
    """A difference of means with its standard error and degrees of freedom."""

    estimate: float
    se: float
    df: float
    method: str  # for a person

    @property
    def p(self) -> float:
        """Two-sided p-value of no difference."""
        from scipy.special import stdtr

        if self.se == 0:
            return 1.0 if self.estimate == 0 else 0.0
        return float(2 * stdtr(self.df, -abs(self.estimate) / self.se))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return an interval of the difference."""
        from scipy.special import stdtrit

        half = float(stdtrit(self.df, 0.5 + level / 2)) * self.se
        return self.estimate - half, self.estimate + half

    def within(self, margin: float) -> bool:
        """Return whether two one-sided tests at 5 % place the difference inside ±margin (TOST, Schuirmann 1987)."""
        low, high = self.interval(0.90)
        return -margin < low and high < margin


@dataclass(frozen=True)
class Noise:
    """What seeds do in a lab: a pooled standard deviation, its degrees of freedom, and of which experiments."""

    sd: float
    df: int
    experiments: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether there was any experiment with several seeds."""
        return self.df > 0

    def half(self, level: float = 0.95) -> float:
        """Return half the width of an interval of one run's accuracy around its mean over seeds, by Student's t."""
        from scipy.special import stdtrit

        return float(stdtrit(self.df, 0.5 + level / 2)) * self.sd


def pool(groups: Sequence[Sequence[float]], names: Sequence[str] = ()) -> Noise:
    """Return the pooled standard deviation of groups with at least two values each: sum of squares over sum of (n - 1)."""
    told = [(g, names[i] if names else "") for i, g in enumerate(groups) if len(g) > 1 and all(map(math.isfinite, g))]
    df = sum(len(g) - 1 for g, _ in told)
    squares = math.fsum(variance(g) * (len(g) - 1) for g, _ in told)
    return Noise(math.sqrt(squares / df) if df else math.nan, df, tuple(n for _, n in told if n))


def welch(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Return Welch's comparison of two means (Welch 1947); two values each at least."""
    a, b = variance(first) / len(first), variance(second) / len(second)
    df = (a + b) ** 2 / (a**2 / (len(first) - 1) + b**2 / (len(second) - 1)) if a + b else float(len(first) + len(second) - 2)
    return Difference(fmean(second) - fmean(first), math.sqrt(a + b), df, "Welch's t test")


def paired(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Return the paired comparison of values that belong together (of the same seeds)."""
    rest = [b - a for a, b in zip(first, second, strict=True)]
    return Difference(fmean(rest), math.sqrt(variance(rest) / len(rest)), len(rest) - 1, "paired t test over seeds")


def correlation_p(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the one-sided p-value of a positive correlation of paired values: whether pairing by seed helps."""
    from scipy.special import stdtr

    if len(first) < 3 or variance(first) == 0 or variance(second) == 0:
        return 1.0
    r = min(1.0, correlation(first, second))
    return float(stdtr(len(first) - 2, -r * math.sqrt((len(first) - 2) / (1 - r * r)))) if r < 1 else 0.0


SHRINK_DF = 8  # the rest of the lab counts for at most so many degrees of freedom
UNLIKE = 0.05  # where the two settings vary more than the lab, by an F test at this level, the lab's variance is not used


def moderated(first: Sequence[float], second: Sequence[float], lab: Noise, least: float = 0.0) -> Difference:
    """Return the comparison of two means with a variance shrunken towards that of the rest of the lab.

    s^2 = (d0 s0^2 + d s^2) / (d0 + d) with d0 the lab's degrees of freedom, at most `SHRINK_DF` (the moderated t of Smyth 2004, "Linear models and
    empirical Bayes methods", with a bounded prior, since settings of a lab differ in their variance). Where the two settings vary more than the lab
    does, the lab is left out. `first` and `second` may hold one value each; without anything to estimate a variance from, se is NaN. No deviation
    is taken to be below `least`: accuracies of few images are often the same by chance.
    """
    found = _moderated(first, second, lab)
    floor = least * math.sqrt(1 / len(first) + 1 / len(second))
    return replace(found, se=max(found.se, floor)) if not math.isnan(found.se) else found


def _moderated(first: Sequence[float], second: Sequence[float], lab: Noise) -> Difference:
    from scipy.special import fdtrc

    own = pool([first, second])
    estimate = fmean(second) - fmean(first)
    share = math.sqrt(1 / len(first) + 1 / len(second))
    if own.known and lab.known and (lab.sd == 0 or fdtrc(own.df, lab.df, (own.sd / lab.sd) ** 2) < UNLIKE):
        return welch(first, second) if min(len(first), len(second)) > 1 else Difference(estimate, own.sd * share, own.df, "t test")
    if not lab.known:
        if min(len(first), len(second)) > 1:
            return welch(first, second)
        return Difference(estimate, own.sd * share, own.df, "t test")
    prior = min(lab.df, SHRINK_DF)
    own_squares = own.df * own.sd**2 if own.known else 0.0
    sd = math.sqrt((prior * lab.sd**2 + own_squares) / (prior + own.df))
    others = count(len(lab.experiments), "other experiment")
    method = f"t test with the deviation of the lab's seeds ({others} with several seeds) and of these"
    return Difference(estimate, sd * share, prior + own.df, method)


def permutation_p(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the exact two-sided p-value of a difference of means under exchange of labels; of more than 20,000 ways, a fixed random 20,000."""
    import numpy as np

    values = np.array([*first, *second])
    n, total = len(second), len(values)
    seen = abs(fmean(second) - fmean(first)) * (1 - 1e-12)
    if math.comb(total, n) <= MOST_PERMUTATIONS:
        sums = np.array([values[list(c)].sum() for c in combinations(range(total), n)])
        extra = 0
    else:
        random = np.random.default_rng(0)
        sums = np.array([random.permutation(values)[:n].sum() for _ in range(MOST_PERMUTATIONS)])
        extra = 1
    gaps = np.abs(sums / n - (values.sum() - sums) / (total - n))
    return float((int((gaps >= seen).sum()) + extra) / (len(gaps) + extra))


def sign_flip_p(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the exact two-sided p-value of a mean difference of paired values under exchange within pairs; at most 14 pairs are enumerated."""
    import numpy as np

    rest = np.array(second) - np.array(first)
    if len(rest) <= 14:
        signs = np.array(list(product((1, -1), repeat=len(rest))))
        extra = 0
    else:
        signs = np.random.default_rng(0).choice((1, -1), (MOST_PERMUTATIONS, len(rest)))
        extra = 1
    means = np.abs(signs @ rest) / len(rest)
    return float((int((means >= abs(rest.mean()) * (1 - 1e-12)).sum()) + extra) / (len(means) + extra))


def probability_of_better(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, float]:
    """Return the chance that a run of the second is above a run of the first, ties half, with its 95 % interval.

    The interval is method 5 of Newcombe 2006, "Confidence intervals for an effect size measure based on the Mann-Whitney statistic, part 2", which
    stays sensible when all values of one are above all of the other.
    """
    from scipy.optimize import brentq

    m, n = len(first), len(second)
    found = math.fsum((b > a) + 0.5 * (b == a) for a in first for b in second) / (m * n)
    more = (m + n) / 2 - 1

    def gap(x: float, side: int) -> float:
        spread = x * (1 - x) * (1 + more * ((1 - x) / (2 - x) + x / (1 + x))) / (m * n)
        return found - x - side * 1.959963984540054 * math.sqrt(max(spread, 0.0))

    low = 0.0 if found == 0 else float(brentq(gap, 0, found - 1e-12 if found == 1 else found, args=(1,)))
    high = 1.0 if found == 1 else float(brentq(gap, found + 1e-12 if found == 0 else found, 1, args=(-1,)))
    return found, low, high


# --- how many seeds ---


def power(n: int, sd: float, difference: float, alpha: float = 0.05) -> float:
    """Return the chance that a two-sided t test of n against n seeds sees a true difference."""
    from scipy.special import gammainc, nctdtr, stdtrit

    if n < 2:
        return 0.0
    if sd == 0:
        return 1.0 if difference else alpha
    df, shift = 2 * (n - 1), abs(difference) / sd * math.sqrt(n / 2)
    critical = float(stdtrit(df, 1 - alpha / 2))
    if shift > 30:  # scipy's distribution ends there; what is left in doubt is the deviation that the test estimates, a matter of chi-squared
        return float(gammainc(df / 2, df / 2 * (shift / critical) ** 2))
    other_side = float(nctdtr(df, shift, -critical)) if shift < 5 else 0.0  # scipy gives NaN where it is next to nothing
    return 1.0 - float(nctdtr(df, shift, critical)) + other_side


def seeds_needed(sd: float, difference: float, *, alpha: float = 0.05, chance: float = 0.8, most: int = 1000) -> int | None:
    """Return how many seeds each of two settings needs to see a true difference with the given chance; none where `most` do not do.

    >>> seeds_needed(0.2, 0.61), seeds_needed(0.2, 0.40)
    (4, 6)
    """
    from scipy.special import ndtri

    if difference == 0:
        return None
    about = 2 * (float(ndtri(1 - alpha / 2) + ndtri(chance)) * sd / difference) ** 2  # of normal values; one or two too few
    n = max(2, math.ceil(min(about, most)))
    while n < most and power(n, sd, difference, alpha) < chance:
        n += 1
    while n > 2 and power(n - 1, sd, difference, alpha) >= chance:
        n -= 1
    return n if power(n, sd, difference, alpha) >= chance else None


def smallest_seen(n: int, sd: float, *, alpha: float = 0.05, chance: float = 0.8) -> float:
    """Return the smallest true difference that n against n seeds see with the given chance."""
    from scipy.optimize import brentq

    if n < 2 or sd == 0:
        return math.inf if n < 2 else 0.0
    most = 20 * sd
    while power(n, sd, most, alpha) < chance:
        most *= 2
    return float(brentq(lambda d: power(n, sd, d, alpha) - chance, 0.0, most, xtol=1e-6 * sd))
