"""What a network said of each validation image, read from a run's files: confusion, accuracy by class, calibration, most confident mistakes.

K classes, N images. Accuracies and confidences are fractions in [0, 1].
"""

import io
import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.errors import LabError
from ..store.runs import Run

BINS = 15


@dataclass(frozen=True)
class Predictions:
    """The predictions of a run for its validation images after one epoch."""

    experiment: str
    seed: int
    epoch: int
    classes: tuple[str, ...]
    label_N: np.ndarray  # the true class
    predicted_N: np.ndarray
    confidence_N: np.ndarray  # the probability given to the predicted class
    loss_N: np.ndarray
    number_N: np.ndarray  # the number of the image in its data set

    @property
    def right_N(self) -> np.ndarray:
        """Which images are right."""
        right_N: np.ndarray = self.label_N == self.predicted_N
        return right_N

    @property
    def accuracy(self) -> float:
        """The part of the images that is right."""
        return float(self.right_N.mean())


def read(run: Run, epoch: int | None = None) -> Predictions:
    """Return the predictions of a run after an epoch, by default that of its best validation accuracy.

    Raises:
        LabError: the run has no such epoch, or its predictions are not there (they are not kept in git by default).
    """
    if not run.epochs:
        raise LabError(f"{run.experiment} with seed {run.seed} has no finished epoch yet: run it first with `zhurnal run {run.experiment}`")
    if epoch is None:
        epoch = int(max(run.epochs, key=lambda r: (r["val_acc"], -r["epoch"]))["epoch"])
    if epoch not in [r["epoch"] for r in run.epochs]:
        raise LabError(f"{run.experiment} with seed {run.seed} has no epoch {epoch}: it has 1 to {run.epochs[-1]['epoch']}")
    folder = run.folder / "predictions"
    try:
        known, told = _load(folder / "labels.npz"), _load(folder / f"epoch-{epoch:05d}.npz")
        return Predictions(
            experiment=run.experiment,
            seed=run.seed,
            epoch=epoch,
            classes=tuple(run.effective["data"]["classes"]),
            label_N=known["label"].astype(np.int64),
            predicted_N=told["predicted"].astype(np.int64),
            confidence_N=told["confidence"].astype(np.float64),
            loss_N=told["loss"].astype(np.float64),
            number_N=known["number"].astype(np.int64),
        )
    except FileNotFoundError as error:
        raise LabError(
            f"the predictions of {run.experiment} are not here ({error.filename}): they are not kept in git. Run the experiment on this machine"
        ) from None
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise LabError(f"the predictions of {run.experiment} in {folder} cannot be read: {error}") from None


def _load(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file; the file is closed also when it is damaged."""
    with path.open("rb") as file, np.load(io.BytesIO(file.read()), allow_pickle=False) as found:
        return {name: found[name] for name in found.files}


def confusion(found: Predictions) -> np.ndarray:
    """Return counts_KK: rows are true classes, columns what was said."""
    size = len(found.classes)
    return np.bincount(found.label_N * size + found.predicted_N, minlength=size * size).reshape(size, size)


@dataclass(frozen=True)
class ClassResult:
    """How a class fared."""

    name: str
    num: int  # validation images of it
    accuracy: float  # of its images; NaN without any
    low: float  # 95 % interval (Wilson 1927)
    high: float
    taken_for: str  # the class it is most often taken for, or an empty text
    taken: int  # how often


def by_class(found: Predictions) -> list[ClassResult]:
    """Return the accuracy of each class, with a 95 % interval, and what it is most often taken for."""
    counts_KK = confusion(found)
    results = []
    for k, name in enumerate(found.classes):
        num, right = int(counts_KK[k].sum()), int(counts_KK[k, k])
        wrong_K = counts_KK[k].copy()
        wrong_K[k] = 0
        other = int(wrong_K.argmax())
        low, high = wilson(right, num)
        results.append(
            ClassResult(name, num, right / num if num else math.nan, low, high, found.classes[other] if wrong_K[other] else "", int(wrong_K[other]))
        )
    return results


def wilson(right: int, num: int, z: float = 1.959964) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share (Wilson 1927, "Probable inference, the law of succession, and statistical inference")."""
    if num == 0:
        return 0.0, 1.0
    share, spread = right / num, z * z / num
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / num + spread / (4 * num)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True)
class Bin:
    """Images whose confidence lies in a range."""

    low: float
    high: float
    num: int
    confidence: float  # mean; NaN without images
    accuracy: float


def calibration(found: Predictions, num_bins: int = BINS) -> tuple[list[Bin], float]:
    """Return equally wide bins of confidence, and the expected calibration error (Guo et al. 2017, "On calibration of modern neural networks")."""
    right_N = found.label_N == found.predicted_N
    index_N = np.clip(np.ceil(found.confidence_N * num_bins).astype(int) - 1, 0, num_bins - 1)
    bins, error = [], 0.0
    for b in range(num_bins):
        inside = index_N == b
        num = int(inside.sum())
        confidence, accuracy = (float(found.confidence_N[inside].mean()), float(right_N[inside].mean())) if num else (math.nan, math.nan)
        bins.append(Bin(b / num_bins, (b + 1) / num_bins, num, confidence, accuracy))
        error += num / len(right_N) * abs(confidence - accuracy) if num else 0.0
    return bins, error


@dataclass(frozen=True)
class Mistake:
    """A wrong answer."""

    position: int  # in the validation split
    number: int  # of the image in its data set
    label: str
    predicted: str
    confidence: float


def mistakes(found: Predictions, count: int = 24) -> list[Mistake]:
    """Return the wrong answers that the network was most sure of, surest first; equals by the number of the image."""
    wrong = np.flatnonzero(found.label_N != found.predicted_N)
    order = wrong[np.lexsort((found.number_N[wrong], -found.confidence_N[wrong]))][:count]
    return [
        Mistake(int(i), int(found.number_N[i]), found.classes[found.label_N[i]], found.classes[found.predicted_N[i]], float(found.confidence_N[i]))
        for i in order
    ]


def most_confused(found: Predictions, count: int = 8) -> list[tuple[str, str, int]]:
    """Return pairs (true class, said class, how often) that are mixed up most, most often first."""
    counts_KK = confusion(found)
    np.fill_diagonal(counts_KK, 0)
    order: Sequence[int] = np.argsort(-counts_KK, axis=None, kind="stable")[:count].tolist()
    pairs = [divmod(i, len(found.classes)) for i in order]
    return [(found.classes[a], found.classes[b], int(counts_KK[a, b])) for a, b in pairs if counts_KK[a, b]]
