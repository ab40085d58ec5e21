"""The number that runs are compared by: validation accuracy where a run ends, not where it was best.

The best of K epochs stands above the plateau by what noise makes of K, and was chosen on the images it is reported for. So runs are compared by the
mean of their last five epochs (fewer for short runs), and two single runs by the images that each gets right after its last epoch.
"""

from collections.abc import Iterable
from statistics import fmean

import numpy as np
import numpy.typing as npt

from ..store.runs import Run
from .stats.seeds import Noise, pool
from .summary import Summary, value

LAST = 5


def span(run: Run) -> int:
    """Return how many of its last epochs count: five, or a quarter of a short run."""
    return min(LAST, max(1, run.num_epochs // 4))


def series(run: Run, key: str = "val_acc") -> npt.NDArray[np.float64]:
    """Return a number of the epoch rows, NaN where it is missing."""
    return np.array([value(r, key) for r in run.epochs], dtype=float)


def settled(run: Run) -> float:
    """Return the mean validation accuracy of the last epochs, a fraction; NaN where one is missing."""
    return float(series(run)[-span(run) :].mean())


def settled_all(summary: Summary) -> tuple[float, ...]:
    """Return the settled accuracy of each counted run, in the order of `counted`."""
    return tuple(settled(r) for r in summary.counted)


def unit(summary: Summary) -> str:
    """Return what `settled` is, for a person."""
    count = min((span(r) for r in summary.counted), default=1)
    return f"mean of the last {count} epochs" if count > 1 else "last epoch"


def family(summary: Summary) -> tuple[str, str, int]:
    """Return what experiments whose seeds are expected to vary alike have in common: data set, model, number of validation images."""
    data = summary.effective.get("data") or {}
    values = summary.experiment.values
    return str(data.get("name", values["data"]["name"])), str(values["model"]["name"]), int(data.get("num_val") or 0)


def noise_of(summaries: Iterable[Summary], like: Summary, without: Iterable[str] = ()) -> Noise:
    """Return the pooled deviation of seeds (a fraction) in experiments of the same family as `like` that have several, but for those in `without`."""
    left_out, wanted = set(without), family(like)
    # the number of runs first: rows of an experiment with one seed need not be read
    told = [s for s in summaries if s.name not in left_out and len(s.counted) > 1 and family(s) == wanted and all(r.finished for r in s.counted)]
    return pool([settled_all(s) for s in told], [s.name for s in told])


def mean_settled(summary: Summary) -> float:
    """Return the mean over seeds of the settled accuracy, a fraction."""
    return fmean(settled_all(summary))
