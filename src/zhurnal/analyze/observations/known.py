"""What an observation may look at beside the experiments it is about, and words that several observations share."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...core.text import count
from ...store.runs import Run
from ..summary import Summary


@dataclass(frozen=True)
class Known:
    """What is known beside the experiments of an entry."""

    smallest: float = 0.5  # the smallest difference that matters, in points
    others: tuple[Summary, ...] = ()  # earlier experiments of the lab, by number


def places(runs: Sequence[Run], what: str = "all epochs") -> tuple[str, ...]:
    """Return which records something rests on: `e0038 seed 42, all epochs`."""
    return tuple(f"{r.experiment} seed {r.seed}, {what}" for r in runs)


def seeds(runs: Sequence[Run]) -> str:
    """Return `one run`, `3 seeds`."""
    return "one run" if len(runs) == 1 else count(len(runs), "seed")


def long_enough(runs: Sequence[Run], epochs: int) -> list[Run]:
    """Return the finished runs with at least so many epochs whose loss stayed finite."""
    return [r for r in runs if r.finished and r.num_epochs >= epochs and r.not_finite_since is None]
