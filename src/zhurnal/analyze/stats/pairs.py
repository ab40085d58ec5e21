"""Two networks on the same N images, or on two sets of images: exact McNemar test, intervals, and how much of a difference noise can make.

Accuracies and differences are fractions. All differences are second minus first.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Z95, Z90 = 1.959963984540054, 1.6448536269514722


@dataclass(frozen=True)
class Paired:
    """Two networks on the same images."""

    num: int  # images
    only_first: int  # right in the first alone
    only_second: int
    p: float  # exact McNemar

    @property
    def difference(self) -> float:
        """Accuracy of the second minus that of the first."""
        return (self.only_second - self.only_first) / self.num

    @property
    def discordance(self) -> float:
        """The part of the images where exactly one of the two is right."""
        return (self.only_first + self.only_second) / self.num

    @property
    def se(self) -> float:
        """Standard error of the difference (Wald, for paired proportions)."""
        both = self.only_first + self.only_second
        return math.sqrt(max(both - (self.only_first - self.only_second) ** 2 / self.num, 0.0)) / self.num

    def interval(self, z: float = Z95) -> tuple[float, float]:
        """Return an interval of the difference."""
        return self.difference - z * self.se, self.difference + z * self.se

    @property
    def noise(self) -> float:
        """The standard deviation that seeds give one accuracy, if two trainings make independent errors: sqrt(d / 2N).

        From Var = sum of q(1-q) / N^2 and E[d] = 2 mean of q(1-q), q the chance that an image is right; after Jordan 2023,
        "Calibrated chaos: variance between runs of neural network training is harmless and inevitable". It is too small where the learning rate
        does not fall.
        """
        return math.sqrt(self.discordance / (2 * self.num))


def mcnemar(first_N: Bools, second_N: Bools) -> Paired:
    """Return the comparison of two networks by which of the same N images each gets right (McNemar 1947, exact)."""
    from scipy.special import bdtr

    only_first, only_second = int((first_N & ~second_N).sum()), int((~first_N & second_N).sum())
    both = only_first + only_second
    p = min(1.0, 2 * float(bdtr(min(only_first, only_second), both, 0.5))) if both else 1.0
    return Paired(len(first_N), only_first, only_second, p)


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
