"""What the runs of one experiment come to: the one reading of records that tables, figures and the journal share.

Promises: nothing is computed from a run that the record does not hold. Where some seeds have finished, numbers are of these alone (`counted`); where
none has, of the epochs so far, and `unfinished` says so. Accuracies are fractions, times are seconds.
"""

import datetime
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core import numbers
from ..core.errors import LabError
from ..core.experiment import Experiment
from ..core.text import list_names, printable
from ..store.lab import Lab
from ..store.runs import Run, number
from ..store.view import View, look


@dataclass(frozen=True)
class Spread:
    """A number measured once for each seed."""

    values: tuple[float, ...]

    @property
    def n(self) -> int:
        """How many seeds."""
        return len(self.values)

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return math.fsum(self.values) / self.n

    @property
    def sd(self) -> float | None:
        """The sample standard deviation over seeds; none for one seed."""
        if self.n < 2 or not all(math.isfinite(v) for v in self.values):
            return None
        from statistics import stdev

        return stdev(self.values)


@dataclass(frozen=True)
class Summary:
    """An experiment, what sets it apart, and its runs."""

    experiment: Experiment
    facts: Mapping[str, Any]  # Lab.facts: effective settings, flat
    runs: tuple[Run, ...]  # all that were started, by seed
    counted: tuple[Run, ...]  # those whose numbers are told
    diff: str = ""  # what sets it apart in its table or figure

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.experiment.name

    @property
    def effective(self) -> Mapping[str, Any]:
        """What the first run really got, or nothing before its start."""
        return next((r.effective for r in (*self.counted, *self.runs) if r.effective), {})

    @property
    def waiting_seeds(self) -> tuple[int, ...]:
        """The seeds that were asked for and not started."""
        started = {r.seed for r in self.runs if r.status != "waiting"}
        asked = (*self.experiment.seeds, *(r.seed for r in self.runs))
        return tuple(s for s in dict.fromkeys(asked) if s not in started)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that ran, or will run when none did."""
        return tuple(r.seed for r in self.runs) or self.experiment.seeds

    @property
    def on_test(self) -> bool:
        """Whether it was validated on the test images."""
        return bool((self.effective.get("data") or {}).get("validation", self.experiment.values["data"]["validation"]) == "test")

    @property
    def unfinished(self) -> str:
        """What is not finished, for a person; empty where all seeds finished."""
        going = [r for r in self.runs if r.status not in ("finished", "waiting")]
        several = len({r.seed for r in self.runs} | set(self.waiting_seeds)) > 1
        states = [(f"seed {r.seed} " if several else "") + printable(r.state(), 200) for r in going]
        if self.waiting_seeds:
            whose = f"seed{'s' * (len(self.waiting_seeds) > 1)} {', '.join(map(str, self.waiting_seeds))} "
            states.append((whose if states or self.counted else "") + "waiting")
        if not states:
            return ""
        if any(r.finished for r in self.runs):
            states.append("numbers are of the finished seeds" if sum(r.finished for r in self.runs) > 1 else "numbers are of the finished seed")
        elif self.counted:
            states.append(
                "numbers are of the whole epochs so far" if len(self.counted) < 2 else "numbers are of the whole epochs of each seed so far"
            )
        return "; ".join(states)


def read(view: View, name: str) -> Summary:
    """Return the summary of an experiment."""
    runs = tuple(view.runs(name))
    return Summary(view.experiment(name), view.facts(name), runs, counted(runs))


def read_all(lab: Lab, names: Iterable[str], view: View | None = None) -> list[Summary]:
    """Return the summaries of experiments, each once, in the order given.

    Raises:
        LabError: none is named, or some do not exist.
    """
    wanted = list(dict.fromkeys(numbers.name(numbers.number(n)) for n in names))
    if not wanted:
        raise LabError("no experiment is named: name them as e0001 e0002 or e0001-e0004")
    lab.select(",".join(wanted))
    if view is not None:
        return [read(view, n) for n in wanted]
    with look(lab) as found:
        return [read(found, n) for n in wanted]


def counted(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Return the runs whose numbers are told: the finished ones, or, where none has finished, those with at least one whole epoch."""
    return tuple(r for r in runs if r.finished and r.num_epochs) or tuple(r for r in runs if r.num_epochs)


def value(row: Mapping[str, Any], key: str) -> float:
    """Return a number of a row; NaN for null and for a row without it."""
    found = number(row, key)
    return math.nan if found is None else found


def spread(summary: Summary, measure: Callable[[Run], float | None]) -> Spread | None:
    """Return `measure` of each counted run that has it; none where no run has."""
    found = [measure(r) for r in summary.counted]
    known = tuple(f for f in found if f is not None and not math.isnan(f))
    return Spread(known) if known else None


def best_val_acc(summary: Summary) -> Spread | None:
    """Return the best validation accuracy of each counted run."""
    return spread(summary, lambda run: run.best[1] if run.best else None)


def last(summary: Summary, key: str) -> Spread | None:
    """Return a number of the last whole epoch of each counted run."""
    return spread(summary, lambda run: value(run.last, key))


def test_acc(summary: Summary) -> Spread | None:
    """Return the test accuracy of the best weights of each counted run; none where the test images were not measured, or chosen on."""
    return spread(summary, lambda run: value(run.test or {}, "test_acc"))


def not_finite_since(summary: Summary) -> int | None:
    """Return the first epoch whose training or validation loss is not finite, in any counted run; none where there is none."""
    return min((run.not_finite_since for run in summary.counted if run.not_finite_since is not None), default=None)


def best_epochs(summary: Summary) -> tuple[int, ...]:
    """Return the epoch of the best validation accuracy of each counted run."""
    return tuple(run.best[0] for run in summary.counted if run.best)


def median(numbers: Iterable[float]) -> float | None:
    """Return the median; none of nothing."""
    known = sorted(numbers)
    half = len(known) // 2
    return None if not known else known[half] if len(known) % 2 else (known[half - 1] + known[half]) / 2


def median_seconds(summary: Summary) -> float | None:
    """Return the median of what a whole epoch took; none where there is no such epoch."""
    return median(v for run in summary.counted for v in run.seconds)


def moment(text: str) -> datetime.datetime | None:
    """Return an ISO 8601 time, in UTC where it names no zone; none for an empty or unreadable text."""
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


def started(summaries: Iterable[Summary]) -> datetime.datetime | None:
    """Return when the first run started."""
    return min((m for s in summaries for r in s.runs if (m := moment(r.started))), default=None)


def stopped(summaries: Iterable[Summary]) -> datetime.datetime | None:
    """Return when the last run stopped."""
    return max((m for s in summaries for r in s.runs if (m := moment(r.stopped))), default=None)


def date(when: datetime.datetime | None) -> str:
    """Return a time as `2026-09-01 10:20`, in the zone it was written in."""
    return when.strftime("%Y-%m-%d %H:%M") if when else "–"


def group(summaries: Sequence[Summary], tell: Callable[[Summary], str]) -> str:
    """Return what `tell` says: once where it is the same for all, else with the experiments it holds for: `e0001-e0002: lenet; e0003: vgg`.

    Experiments for which it says nothing are left out.
    """
    told: dict[str, list[str]] = {}
    for s in summaries:
        told.setdefault(tell(s), []).append(s.name)
    if len(told) == 1:
        return next(iter(told))
    return "; ".join(f"{numbers.show(names)}: {text}" for text, names in told.items() if text)


def sources(summaries: Sequence[Summary]) -> str:
    """Return which records something was computed from: `e0001-e0002 (seed 42); e0003 (seeds 1, 2, 3)`."""
    told: dict[tuple[int, ...], list[str]] = {}
    for s in summaries:
        told.setdefault(tuple(r.seed for r in s.runs), []).append(s.name)
    return "; ".join(
        numbers.show(names) + (f" (seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))})" if seeds else " (not run)")
        for seeds, names in told.items()
    )


def names_text(names: Sequence[str]) -> str:
    """Return a few names as `e0001 and e0002`, more as ranges."""
    return list_names(names).replace(" or ", " and ") if len(names) <= 2 else numbers.show(names)
