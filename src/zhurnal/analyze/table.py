"""The comparison of experiments as a table, and the table as Markdown, CSV, LaTeX and JSON.

A column is one line of COLUMNS: its name, heading, value (from a Summary) and text. Cells hold both the value and the text a person reads. What is the
same in all experiments, and every reservation about a number (not finished, validated on the test images, best of K epochs), stands under the table.
"""

import csv as csv_module
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import orjson

from ..core import diff as differences
from ..core.errors import ZhurnalError
from ..core.settings import SECTIONS, section_class
from ..core.text import did_you_mean, duration, escape_markdown, list_names, percent, printable, show
from ..store.lab import Lab
from . import summary as summaries_of
from .summary import Spread, Summary

TEST_MARK, STATE_MARK = "†", "‡"


@dataclass(frozen=True)
class Column:
    """A column: what it is headed by, what it holds, how that is written."""

    heading: str
    value: Callable[[Summary], Any]
    text: Callable[[Any], str] = str
    right: bool = True  # numbers stand right, texts left
    marks: bool = False  # marked where chosen on the test images


@dataclass(frozen=True)
class Row:
    """An experiment in a table: `values` to compute with (fractions, seconds, Spread for what each seed has), `cells` to read."""

    experiment: str
    values: tuple[Any, ...]
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A comparison. `columns` are names in COLUMNS; `caption` holds the lines that belong under the table."""

    columns: tuple[str, ...]
    headings: tuple[str, ...]
    right: tuple[bool, ...]
    rows: tuple[Row, ...]
    caption: tuple[str, ...]


# --- texts of values ---


def spread_text(spread: Spread | None, one: Callable[[float], str]) -> str:
    """Return `66.22`, or `66.22 ± 0.31 (n=3)` for several seeds."""
    if spread is None:
        return "–"
    return f"{one(spread.mean)} ± {one(spread.sd)} (n={spread.n})" if spread.sd is not None else one(spread.mean)


def _accuracy(spread: Spread | None) -> str:
    return spread_text(spread, percent)


def _loss(spread: Spread | None) -> str:
    return spread_text(spread, lambda v: f"{v:.4f}" if abs(v) < 1000 else f"{v:.3g}")


def _whole(number: float | None) -> str:
    return "–" if number is None else f"{number:,.0f}"


def _epochs_text(epochs: Sequence[int]) -> str:
    return "–" if not epochs else str(epochs[0]) if min(epochs) == max(epochs) else f"{min(epochs)}–{max(epochs)}"


def _run_total(s: Summary) -> list[float]:
    return [math.fsum(v for t in r.times if not math.isnan(v := summaries_of.value(t, "seconds"))) for r in s.counted if r.times]


def _total_text(totals: Sequence[float]) -> str:
    return "–" if not totals else duration(totals[0]) if len(totals) == 1 else f"{len(totals)} × {duration(sum(totals) / len(totals))}"


def _epochs_done(s: Summary) -> tuple[int, int]:
    return max((len(r.epochs) for r in s.counted), default=0), s.experiment.settings.train.epochs


def _state(s: Summary) -> str:
    words = [r.status for r in s.runs if r.status != "waiting"] + ["waiting"] * len(s.waiting_seeds)
    told = dict.fromkeys(words)
    return ", ".join(w if len(told) == 1 else f"{words.count(w)} {w}" for w in told)


def _data_name(s: Summary) -> str:
    return str((s.effective.get("data") or {}).get("name", s.experiment.settings.data.name))


# --- the columns: one line each ---

COLUMNS: dict[str, Column] = {
    "experiment": Column("experiment", lambda s: s.name, right=False),
    "diff": Column("diff", lambda s: s.diff, lambda v: v or "–", right=False),
    "best_val_acc": Column("best val. acc.", summaries_of.best_val_acc, _accuracy, marks=True),
    "epoch_of_best": Column("epoch of best", summaries_of.best_epochs, _epochs_text),
    "last_val_acc": Column("last", lambda s: summaries_of.last(s, "val_acc"), _accuracy),
    "train_acc": Column("train acc.", lambda s: summaries_of.last(s, "train_acc"), _accuracy),
    "test_acc": Column("test acc.", lambda s: summaries_of.spread(s, lambda r: summaries_of.value(r.test or {}, "test_acc")), _accuracy),
    "time_per_epoch": Column("time per epoch", summaries_of.median_time, duration),
    "parameters": Column("parameters", lambda s: (s.effective.get("model") or {}).get("num_parameters"), _whole),
    "val_loss": Column("val. loss", lambda s: summaries_of.last(s, "val_loss"), _loss),
    "train_loss": Column("train loss", lambda s: summaries_of.last(s, "train_loss"), _loss),
    "seeds": Column("seeds", lambda s: s.seeds, lambda v: ", ".join(map(str, v))),
    "epochs": Column("epochs", _epochs_done, lambda v: f"{v[0]}" if v[0] == v[1] else f"{v[0]} of {v[1]}"),
    "lr": Column("lr", lambda s: s.facts.get("optimizer.lr"), show),
    "total_time": Column("total time", _run_total, _total_text),
    "images_per_second": Column("images per second", lambda s: summaries_of.median_time(s, "images_per_second"), _whole),
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


# --- making a table ---


def compare(lab: Lab, names: Sequence[str], *, columns: Sequence[str] = DEFAULT_COLUMNS, diff: Literal["rows", "parent"] = "rows") -> Table:
    """Return the comparison of experiments.

    Args:
        lab: the lab.
        names: experiments, one row each, in this order.
        columns: names in COLUMNS, or headings.
        diff: `rows`: what sets the experiments apart from each other; `parent`: what each changes in its parent.

    Raises:
        ZhurnalError: a column or an experiment does not exist.
    """
    wanted = tuple(dict.fromkeys(column_name(c) for c in columns))  # before any record is read
    return tabulate(summaries_of.read_all(lab, names), columns=wanted, diff=diff)


def tabulate(summaries: Sequence[Summary], *, columns: Sequence[str] = DEFAULT_COLUMNS, diff: Literal["rows", "parent"] = "rows") -> Table:
    """Return the comparison of experiments that were read; see `compare`."""
    wanted = tuple(dict.fromkeys(column_name(c) for c in columns))
    against_parent = diff == "parent" or (len(summaries) == 1 and summaries[0].experiment.parent is not None)
    told = with_parent_diffs(summaries) if against_parent else with_diffs(summaries)
    rows = []
    for s in told:
        values = tuple(COLUMNS[c].value(s) for c in wanted)
        cells = tuple(_cell(c, v, s) for c, v in zip(wanted, values, strict=True))
        rows.append(Row(s.name, values, cells))
    picked = [COLUMNS[c] for c in wanted]
    return Table(wanted, tuple(c.heading for c in picked), tuple(c.right for c in picked), tuple(rows), tuple(_caption(told, wanted, against_parent)))


def _cell(column: str, value: Any, s: Summary) -> str:
    text = COLUMNS[column].text(value)
    if COLUMNS[column].marks and s.on_test and value is not None:
        text += f" {TEST_MARK}"
    if column == "experiment" and s.unfinished:
        text += f" {STATE_MARK}"
    return text


def comparable(summaries: Sequence[Summary]) -> list[dict[str, Any]]:
    """Return the facts of experiments without those that only a run can know and not all have run: these say nothing about a difference."""
    run_only = {k for s in summaries for k in s.facts if k == "data.fingerprint" or k.endswith(".source")}
    unknown = {k for k in run_only if any(not s.effective for s in summaries)}
    return [{k: v for k, v in s.facts.items() if k not in unknown} for s in summaries]


def with_diffs(summaries: Sequence[Summary]) -> list[Summary]:
    """Return summaries with what sets each apart from the others, short: `optimizer=adam lr=0.001`."""
    apart = differences.tell_apart(comparable(summaries))
    return [replace(s, diff=printable(differences.short(a), 300)) for s, a in zip(summaries, apart, strict=True)]


def with_parent_diffs(summaries: Sequence[Summary]) -> list[Summary]:
    """Return summaries with what each changes in its parent: `e0038 + optimizer=adam`."""

    def told(s: Summary) -> str:
        changes = {k: v for k, v in s.experiment.changes.items() if k != "seeds"} | (
            {"continue": s.experiment.continues} if s.experiment.continues else {}
        )
        return f"{s.experiment.parent} + {differences.short(changes)}" if changes else f"as {s.experiment.parent}"

    return [replace(s, diff=printable(told(s), 300) if s.experiment.parent else "") for s in summaries]


_ALWAYS_TOLD = {"data.transform", "optimizer.lr", "train.epochs", "train.batch_size"}


def same_in_all(facts: Sequence[Mapping[str, Any]]) -> str:
    """Return the settings that all of `facts` share, short: the parts, what one always wants to know, and what is not a default."""
    shared = {k: v for k, v in facts[0].items() if all(k in f and f[k] == v for f in facts)}
    parts: list[str] = []
    for section in SECTIONS:
        name = shared.get(f"{section}.name")
        words = ["no scheduler" if section == "scheduler" and name == "none" else str(name)] if name is not None else []
        try:
            defaults = section_class(section, name).model_validate({"name": name} if name else {}).model_dump(mode="json")
        except (ValueError, KeyError):
            defaults = {}
        for key, value in shared.items():
            option = key.removeprefix(f"{section}.")
            told = key in _ALWAYS_TOLD or (option in defaults and defaults[option] != value) or (option not in defaults and name is not None)
            if key != option and option not in ("name", "fingerprint", "source") and told and value is not None:
                words.append(f"{option}={show(value)}")
        if words:
            parts.append(" ".join(words))
    if shared.get("continue"):
        parts.append(f"continue={shared['continue']}")
    return printable(", ".join(parts), 600)


def _caption(told: Sequence[Summary], columns: Sequence[str], against_parent: bool) -> list[str]:
    lines = []
    same = same_in_all(comparable(told))
    if same:
        lines.append(f"{'Same in all' if len(told) > 1 else 'Settings'}: {same}.")
    if "diff" in columns and against_parent:
        lines.append("diff: parent + what was changed.")
    legend = []
    if {"best_val_acc", "last_val_acc", "train_acc", "test_acc"} & set(columns):
        legend.append("Accuracies in %")
    lengths = [len(r.epochs) for s in told for r in s.counted]
    if lengths and "best_val_acc" in columns:
        many = str(lengths[0]) if min(lengths) == max(lengths) else f"{min(lengths)} to {max(lengths)}"
        legend.append(f"best is the best of {many} epoch{'s' * (max(lengths) > 1)}")
    if {"last_val_acc", "train_acc"} <= set(columns):
        legend.append("last and train acc. are those of the last epoch")
    elif {"train_acc", "train_loss", "val_loss"} & set(columns):
        legend.append("train acc. and losses are those of the last epoch")
    if any(len(s.counted) > 1 for s in told):
        legend.append("± is the standard deviation over n seeds")
    if "time_per_epoch" in columns:
        legend.append("time is the median of whole epochs")
    if legend:
        line = "; ".join(legend) + "."
        lines.append(line[0].upper() + line[1:])
    if any(s.on_test for s in told) and "best_val_acc" in columns:
        lines.append(f"{TEST_MARK} validated on the test images: the best epoch was chosen on them.")
    for note, which in _together((s.unfinished, s.name) for s in told):
        lines.append(f"{STATE_MARK} {summaries_of.names_text(which)}: {note}.")
    for s in told:
        damaged = [p for r in s.runs for p in r.problems]
        if damaged:
            lines.append(f"{s.name}: {len(damaged)} damaged line{'s' * (len(damaged) > 1)} of its records left out ({printable(damaged[0], 120)}).")
    return lines


def _together(pairs: Any) -> list[tuple[str, list[str]]]:
    found: dict[str, list[str]] = {}
    for text, name in pairs:
        if text:
            found.setdefault(text, []).append(name)
    return list(found.items())


# --- a table as text ---


def markdown(table: Table) -> str:
    """Return a table as GitHub's Markdown, its caption under it."""
    lines = ["| " + " | ".join(table.headings) + " |", "|" + "|".join("--:" if r else "---" for r in table.right) + "|"]
    lines += ["| " + " | ".join(escape_markdown(c) for c in row.cells) + " |" for row in table.rows]
    if table.caption:
        lines += ["", *("<br>\n".join(escape_markdown(line) for line in table.caption)).split("\n")]
    return "\n".join(lines) + "\n"


def csv(table: Table) -> str:
    """Return a table as CSV to compute with: fractions and seconds; what several seeds have as mean, with columns `_sd` and `_n`.

    A text that a spreadsheet would take for a formula gets a `'` in front.
    """
    several = [any(isinstance(r.values[i], Spread) and r.values[i].n > 1 for r in table.rows) for i in range(len(table.columns))]
    out = io.StringIO()
    writer = csv_module.writer(out, lineterminator="\n")
    writer.writerow([h for name, s in zip(table.columns, several, strict=True) for h in ([name, f"{name}_sd", f"{name}_n"] if s else [name])])
    for row in table.rows:
        cells: list[Any] = []
        for value, wide in zip(row.values, several, strict=True):
            cells.append(_csv_cell(value))
            if wide:
                cells += [_csv_cell(value.sd), value.n] if isinstance(value, Spread) else ["", ""]
        writer.writerow(cells)
    return out.getvalue()


def _csv_cell(value: Any) -> str | int | float:
    if isinstance(value, Spread):
        value = value.mean
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, int | float):
        return value
    text = " ".join(str(v) for v in value) if isinstance(value, list | tuple) else str(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "±": r"$\pm$", "×": r"$\times$", "–": "--",
    "†": r"$\dagger$", "‡": r"$\ddagger$", "…": r"\dots{}",
}  # fmt: skip


def escape_latex(text: str) -> str:
    """Return text so that LaTeX sets it as it is."""
    return "".join(_LATEX.get(c, c) for c in printable(text, len(text) + 1))


def latex(table: Table) -> str:
    """Return a table for LaTeX with the package booktabs, its caption under it."""
    lines = [r"\begin{table}", r"  \centering", r"  \begin{tabular}{" + "".join("r" if r else "l" for r in table.right) + "}", r"    \toprule"]
    lines += ["    " + " & ".join(escape_latex(h) for h in table.headings) + r" \\", r"    \midrule"]
    lines += ["    " + " & ".join(escape_latex(c) for c in row.cells) + r" \\" for row in table.rows]
    lines += [r"    \bottomrule", r"  \end{tabular}"]
    lines += [r"  \par\smallskip\footnotesize " + r" \par ".join(escape_latex(c) for c in table.caption)] if table.caption else []
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def to_json(table: Table) -> str:
    """Return a table as JSON: values to compute with, texts as shown, and the caption."""

    def plain(value: Any) -> Any:
        return {"mean": value.mean, "sd": value.sd, "n": value.n, "values": list(value.values)} if isinstance(value, Spread) else value

    rows = [
        {
            "experiment": r.experiment,
            "values": {c: plain(v) for c, v in zip(table.columns, r.values, strict=True)},
            "cells": dict(zip(table.columns, r.cells, strict=True)),
        }
        for r in table.rows
    ]
    whole = {"columns": table.columns, "headings": table.headings, "rows": rows, "caption": table.caption}
    return orjson.dumps(whole, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode() + "\n"
