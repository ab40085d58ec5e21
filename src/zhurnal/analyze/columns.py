"""The columns a comparison can have: one line of COLUMNS each, with its heading, its value (from a Summary) and how that is written.

Accuracies are fractions, times are seconds; what each seed has is a Spread.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import ZhurnalError
from ..core.text import did_you_mean, duration, list_names, percent, printable, show
from . import summary as summaries_of
from .summary import Spread, Summary


@dataclass(frozen=True)
class Column:
    """A column: what it is headed by, what it holds, how that is written."""

    heading: str
    value: Callable[[Summary], Any]
    text: Callable[[Any], str] = str
    right: bool = True  # numbers stand right, texts left
    marks: bool = False  # marked where chosen on the test images


# --- texts of values ---


def spread_text(spread: Spread | None, one: Callable[[float], str]) -> str:
    """Return `66.22`, or `66.22 ± 0.31 (n=3)` for several seeds."""
    if spread is None:
        return "–"
    text = f"{one(spread.mean)} ± {one(spread.sd)}" if spread.sd is not None else one(spread.mean)
    return f"{text} (n={spread.n})" if spread.n > 1 else text


def _accuracy(spread: Spread | None) -> str:
    return spread_text(spread, percent)


def _loss(spread: Spread | None) -> str:
    return spread_text(spread, lambda v: f"{v:.4f}" if abs(v) < 1000 else f"{v:.3g}")


def _whole(number: float | None) -> str:
    return "–" if number is None else f"{number:,.0f}"


def _epochs_text(epochs: Sequence[int]) -> str:
    return "–" if not epochs else str(epochs[0]) if min(epochs) == max(epochs) else f"{min(epochs)}–{max(epochs)}"


def _run_total(s: Summary) -> list[float]:
    return [r.total_seconds for r in s.counted if r.total_seconds is not None]


def _total_text(totals: Sequence[float]) -> str:
    return "–" if not totals else duration(totals[0]) if len(totals) == 1 else f"{len(totals)} × {duration(sum(totals) / len(totals))}"


def _epochs_done(s: Summary) -> tuple[int, int]:
    return max((r.num_epochs for r in s.counted), default=0), s.experiment.values["train"]["epochs"]


def _state(s: Summary) -> str:
    words = [r.status for r in s.runs if r.status != "waiting"] + ["waiting"] * len(s.waiting_seeds)
    told = dict.fromkeys(words)
    return ", ".join(w if len(told) == 1 else f"{words.count(w)} {w}" for w in told)


def _data_name(s: Summary) -> str:
    return str((s.effective.get("data") or {}).get("name", s.experiment.values["data"]["name"]))


# --- the columns: one line each ---

COLUMNS: dict[str, Column] = {
    "experiment": Column("experiment", lambda s: s.name, right=False),
    "diff": Column("diff", lambda s: s.diff, lambda v: v or "–", right=False),
    "best_val_acc": Column("best val. acc.", summaries_of.best_val_acc, _accuracy, marks=True),
    "epoch_of_best": Column("epoch of best", summaries_of.best_epochs, _epochs_text),
    "last_val_acc": Column("last", lambda s: summaries_of.last(s, "val_acc"), _accuracy),
    "train_acc": Column("train acc.", lambda s: summaries_of.last(s, "train_acc"), _accuracy),
    "test_acc": Column("test acc.", summaries_of.test_acc, _accuracy),
    "val_acc_tta": Column("last, views", lambda s: summaries_of.last(s, "val_acc_tta"), _accuracy),
    "test_acc_tta": Column(
        "test acc., views", lambda s: summaries_of.spread(s, lambda r: summaries_of.value(r.test or {}, "test_acc_tta")), _accuracy
    ),
    "time_per_epoch": Column("time per epoch", summaries_of.median_seconds, duration),
    "parameters": Column("parameters", lambda s: (s.effective.get("model") or {}).get("num_parameters"), _whole),
    "val_loss": Column("val. loss", lambda s: summaries_of.last(s, "val_loss"), _loss),
    "train_loss": Column("train loss", lambda s: summaries_of.last(s, "train_loss"), _loss),
    "seeds": Column("seeds", lambda s: s.seeds, lambda v: ", ".join(map(str, v))),
    "epochs": Column("epochs", _epochs_done, lambda v: f"{v[0]}" if v[0] == v[1] else f"{v[0]} of {v[1]}"),
    "lr": Column("lr", lambda s: s.facts.get("optimizer.lr"), show),
    "total_time": Column("total time", _run_total, _total_text),
    "images_per_second": Column("images per second", lambda s: summaries_of.median(v for r in s.counted for v in r.images_per_second), _whole),
    "state": Column("state", _state, right=False),
    "dataset": Column("dataset", _data_name, lambda v: printable(v, 80), right=False),
    "started": Column("started", lambda s: summaries_of.date(summaries_of.started([s])), right=False),
    "finished": Column("finished", lambda s: "–" if s.unfinished else summaries_of.date(summaries_of.stopped([s])), right=False),
}
DEFAULT_COLUMNS = ("experiment", "diff", "best_val_acc", "epoch_of_best", "last_val_acc", "train_acc", "time_per_epoch", "parameters")
_BY_HEADING = {c.heading: name for name, c in COLUMNS.items()}


def column_name(text: str) -> str:
    """Return the name in COLUMNS for a name or a heading.

    Raises:
        ZhurnalError: there is no such column; names the nearest and all.
    """
    word = text.strip().lower()
    word = _BY_HEADING.get(word, re.sub(r"[^a-z]+", "_", word).strip("_"))
    if word not in COLUMNS:
        raise ZhurnalError(f"column '{printable(text, 60)}' is unknown{did_you_mean(word, COLUMNS) or ';'} columns are {list_names(COLUMNS)}")
    return word
