"""Two networks on the same N images, or on two sets of images: exact McNemar test, intervals, and how much of a difference noise can make.

Accuracies and differences are fractions. All differences are second minus first.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Z95, Z90 = 1.959963984540054, 1.6448536269514722
DEPENDENT = 0.05  # level of the test of independent errors


@dataclass(frozen=True)
class Paired:
    """Two networks on the same images."""

    num: int  # images
    only_first: int  # right in the first alone
    only_second: int
    p: float  # exact McNemar; where errors are not independent, a t test with the deviation of classes
    dispersion: float = 1.0  # how many times more than independent images the differences of classes vary, at least 1; 1 where that can be chance
    df: int = 0  # classes less one, where errors are not independent
    by_class: bool = True  # whether there were classes enough to see it

    @property
    def difference(self) -> float:
        """Accuracy of the second minus that of the first."""
        return (self.only_second - self.only_first) / self.num

    @property
    def discordance(self) -> float:
        """The part of the images where exactly one of the two is right."""
        return (self.only_first + self.only_second) / self.num

    @property
    def independent(self) -> bool:
        """Whether nothing speaks against errors that are independent from image to image."""
        return self.df == 0

    @property
    def se(self) -> float:
        """Standard error of the difference (Wald, for paired proportions), times the root of the dispersion."""
        both = self.only_first + self.only_second
        return math.sqrt(self.dispersion * max(both - (self.only_first - self.only_second) ** 2 / self.num, 0.0)) / self.num

    def interval(self, z: float = Z95) -> tuple[float, float]:
        """Return an interval of the difference, of the level that ±z has in a normal distribution."""
        return self.difference - self.quantile(z) * self.se, self.difference + self.quantile(z) * self.se

    def quantile(self, z: float = Z95) -> float:
        """Return z, or where the deviation was estimated from classes, what Student's t has in its place."""
        from scipy.special import ndtr, stdtrit

        return z if self.independent else float(stdtrit(self.df, ndtr(z)))

    @property
    def noise(self) -> float:
        """The standard deviation that seeds give one accuracy, as far as two trainings tell it: sqrt(dispersion d / 2N).

        With independent errors, from Var = sum of q(1-q) / N^2 and E[d] = 2 mean of q(1-q), q the chance that an image is right; after Jordan 2023,
        "Calibrated chaos: variance between runs of neural network training is harmless and inevitable". It is too small where the learning rate
        does not fall, and in short trainings.
        """
        return math.sqrt(self.dispersion * self.discordance / (2 * self.num))


FEWEST_CLASSES = 5  # fewer do not show how much classes vary


def mcnemar(first_N: Bools, second_N: Bools, label_N: Ints | None = None) -> Paired:
    """Return the comparison of two networks by which of the same N images each gets right (McNemar 1947, exact).

    With the true class of each image it is seen whether their errors are independent, which the exact test takes for granted: the differences of the
    classes vary as those of so many independent images do, or more (chi-squared at 5 %). More is the rule after a short training, where a network
    leans towards some classes. Then the variance is multiplied by that dispersion, and the test is a t test with one degree of freedom for each class
    but one (quasi-likelihood, McCullagh and Nelder 1989, section 4.5).
    """
    from scipy.special import bdtr, chdtrc, stdtr

    only_first, only_second = int((first_N & ~second_N).sum()), int((~first_N & second_N).sum())
    both = only_first + only_second
    p = min(1.0, 2 * float(bdtr(min(only_first, only_second), both, 0.5))) if both else 1.0
    found = Paired(len(first_N), only_first, only_second, p)
    if label_N is None or not both:
        return found
    change_N = second_N.astype(np.int64) - first_N
    change_K, moved_K = np.bincount(label_N, weights=change_N), np.bincount(label_N, weights=np.abs(change_N))
    change_K, moved_K = change_K[moved_K > 0], moved_K[moved_K > 0]
    df = len(moved_K) - 1
    if df + 1 < FEWEST_CLASSES:
        return replace(found, by_class=False)
    chi2 = float(((change_K - moved_K * change_K.sum() / both) ** 2 / moved_K).sum())
    if chdtrc(df, chi2) >= DEPENDENT:
        return found
    found = replace(found, dispersion=max(1.0, chi2 / df), df=df)
    return replace(found, p=max(p, float(2 * stdtr(df, -abs(found.difference) / found.se))) if found.se else p)


@dataclass(frozen=True)
class Unpaired:
    """Two accuracies, without knowing which images were right."""

    difference: float
    se: float
    p: float  # two-sided, pooled z

    def interval(self, z: float = Z95) -> tuple[float, float]:
        """Return an interval of the difference."""
        return self.difference - z * self.se, self.difference + z * self.se


def two_proportions(first: float, num_first: int, second: float, num_second: int) -> Unpaired:
    """Return the comparison of two accuracies on so many images; conservative where the images are the same ones."""
    pooled = (first * num_first + second * num_second) / (num_first + num_second)
    se_null = math.sqrt(pooled * (1 - pooled) * (1 / num_first + 1 / num_second))
    se = math.sqrt(first * (1 - first) / num_first + second * (1 - second) / num_second)
    z = (second - first) / se_null if se_null else 0.0
    return Unpaired(second - first, se, math.erfc(abs(z) / math.sqrt(2)))


def binomial_noise(accuracy: float, num: int) -> float:
    """Return the standard deviation of an accuracy on `num` images drawn anew: an upper bound of what seeds do on fixed images."""
    return math.sqrt(accuracy * (1 - accuracy) / num)


EPOCHS_OF_NOISE = 10


def epoch_noise(values: Floats) -> float | None:
    """Return the standard deviation of the last epochs around a straight line through them; none for fewer than five."""
    last = values[-EPOCHS_OF_NOISE:]
    if len(last) < 5 or not np.isfinite(last).all():
        return None
    x = np.arange(len(last)) - (len(last) - 1) / 2
    rest = last - last.mean() - x * (x @ last) / (x @ x)
    return float(math.sqrt(rest @ rest / (len(last) - 2)))


UNSTEADY = 1.5  # epochs that differ by so many times what the images explain: one checkpoint says little of its run


def steady(of_images: float, of_epochs: float | None, *, by_images: bool = True) -> bool:
    """Return whether the last epochs of a run differ no more than the images let expect; a bound from their number alone is wide already."""
    return of_epochs is None or of_epochs <= (UNSTEADY if by_images else 1.0) * of_images
