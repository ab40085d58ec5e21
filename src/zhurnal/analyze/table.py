"""The comparison of experiments as a table, and the table as Markdown, CSV, LaTeX and JSON.

Columns come from `columns.py`. Cells hold both the value and the text a person reads. What is the same in all experiments, and every reservation
about a number (not finished, validated on the test images, best of K epochs), stands under the table.
"""

import csv as csv_module
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import orjson

from ..core import facts as differences
from ..core.facts import SECTIONS, Defaults
from ..core.text import escape_markdown, plain_json, printable, show
from ..store.lab import Lab
from ..store.view import look
from . import summary as summaries_of
from .columns import COLUMNS, DEFAULT_COLUMNS, column_name
from .summary import Spread, Summary

TEST_MARK, STATE_MARK = "†", "‡"
ON_TEST = f"{TEST_MARK} validated on the test images: the best epoch was chosen on them."
DefaultsOf = Callable[[str, str | None], Defaults]


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
    right: tuple[int, ...]  # which columns hold numbers and stand right
    rows: tuple[Row, ...]
    caption: tuple[str, ...]

    @property
    def cells(self) -> list[tuple[str, ...]]:
        """The texts of all rows."""
        return [row.cells for row in self.rows]


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
    with look(lab) as view:
        return tabulate(summaries_of.read_all(lab, names, view), columns=wanted, diff=diff, defaults=view.defaults)


def _defaults(section: str, name: str | None) -> Defaults:
    from ..core import settings

    return settings.defaults(section, name)


def tabulate(
    summaries: Sequence[Summary],
    *,
    columns: Sequence[str] = DEFAULT_COLUMNS,
    diff: Literal["rows", "parent"] = "rows",
    defaults: DefaultsOf = _defaults,
) -> Table:
    """Return the comparison of experiments that were read; see `compare`. `defaults` tells the options that a part has when none are given.

    The usual columns are joined by that of test-time augmentation where some experiment measured it.
    """
    wanted = tuple(dict.fromkeys(column_name(c) for c in columns))
    if wanted == DEFAULT_COLUMNS and any(COLUMNS["val_acc_tta"].value(s) is not None for s in summaries):
        after = wanted.index("last_val_acc") + 1
        wanted = (*wanted[:after], "val_acc_tta", *wanted[after:])
    against_parent = diff == "parent" or (len(summaries) == 1 and summaries[0].experiment.parent is not None)
    told = with_parent_diffs(summaries) if against_parent else with_diffs(summaries, defaults)
    rows = []
    for s in told:
        values = tuple(COLUMNS[c].value(s) for c in wanted)
        cells = tuple(cell(c, v, s) for c, v in zip(wanted, values, strict=True))
        rows.append(Row(s.name, values, cells))
    picked = [COLUMNS[c] for c in wanted]
    return Table(
        wanted,
        tuple(c.heading for c in picked),
        tuple(i for i, c in enumerate(picked) if c.right),
        tuple(rows),
        tuple(_caption(told, wanted, against_parent, defaults)),
    )


def cell(column: str, value: Any, s: Summary) -> str:
    """Return what a table shows of a value, with its marks."""
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


def with_diffs(summaries: Sequence[Summary], defaults: DefaultsOf = _defaults) -> list[Summary]:
    """Return summaries with what sets each apart from the others, short: `optimizer=adam lr=0.001`."""
    apart = differences.tell_apart(comparable(summaries), defaults)
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


def same_in_all(facts: Sequence[Mapping[str, Any]], defaults: DefaultsOf = _defaults) -> str:
    """Return the settings that all of `facts` share, short: the parts, what one always wants to know, and what is not a default."""
    shared = {k: v for k, v in facts[0].items() if all(k in f and f[k] == v for f in facts)}
    parts: list[str] = []
    for section in SECTIONS:
        name = shared.get(f"{section}.name")
        words = ["no scheduler" if section == "scheduler" and name == "none" else str(name)] if name is not None else []
        usual = defaults(section, name).values
        for key, value in shared.items():
            option = key.removeprefix(f"{section}.")
            told = key in _ALWAYS_TOLD or (option in usual and usual[option] != value) or (option not in usual and name is not None)
            if key != option and option not in ("name", "fingerprint", "source") and told and value is not None:
                words.append(f"{option}={show(value)}")
        if words:
            parts.append(" ".join(words))
    if shared.get("continue"):
        parts.append(f"continue={shared['continue']}")
    return printable(", ".join(parts), 600)


def _caption(told: Sequence[Summary], columns: Sequence[str], against_parent: bool, defaults: DefaultsOf) -> list[str]:
    lines = []
    same = same_in_all(comparable(told), defaults)
    if same:
        lines.append(f"{'Same in all' if len(told) > 1 else 'Settings'}: {same}.")
    if "diff" in columns and against_parent:
        lines.append("diff: parent + what was changed.")
    legend = []
    if {"best_val_acc", "last_val_acc", "train_acc", "test_acc"} & set(columns):
        legend.append("Accuracies in %")
    lengths = [r.num_epochs for s in told for r in s.counted]
    if lengths and "best_val_acc" in columns:
        many = str(lengths[0]) if min(lengths) == max(lengths) else f"{min(lengths)} to {max(lengths)}"
        legend.append(f"best is the best of {many} epoch{'s' * (max(lengths) > 1)}")
    if {"last_val_acc", "train_acc"} <= set(columns):
        legend.append("last and train acc. are those of the last epoch")
    elif {"train_acc", "train_loss", "val_loss"} & set(columns):
        legend.append("train acc. and losses are those of the last epoch")
    if {"val_acc_tta", "test_acc_tta"} & set(columns):
        kinds = sorted({str(s.facts["train.tta"]) for s in told if s.facts.get("train.tta", "none") not in ("none", None)})
        legend.append(f"views: by the mean over views of each image (tta={', '.join(kinds)})" if kinds else "views: none were measured")
    if any(len(s.counted) > 1 for s in told):
        alone = any(len(s.counted) == 1 for s in told)
        legend.append("± is the standard deviation over n seeds" + (", a number without it is of one seed" if alone else ""))
    if "time_per_epoch" in columns:
        legend.append("time is the median of whole epochs")
    if legend:
        line = "; ".join(legend) + "."
        lines.append(line[0].upper() + line[1:])
    if any(s.on_test for s in told) and "best_val_acc" in columns:
        lines.append(ON_TEST)
    for note, which in _together((s.unfinished, s.name) for s in told):
        lines.append(f"{STATE_MARK} {summaries_of.names_text(which)}: {note}.")
    for s in told:
        damaged = [p for r in s.runs for p in r.problems]
        if damaged:
            lines.append(f"{s.name}: {len(damaged)} damaged line{'s' * (len(damaged) > 1)} of its records left out ({printable(damaged[0], 120)}).")
    return lines


def _together(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    found: dict[str, list[str]] = {}
    for text, name in pairs:
        if text:
            found.setdefault(text, []).append(name)
    return list(found.items())


# --- a table as text ---


def markdown(table: Table) -> str:
    """Return a table as GitHub's Markdown, its caption under it."""
    lines = ["| " + " | ".join(table.headings) + " |", "|" + "|".join("--:" if i in table.right else "---" for i in range(len(table.headings))) + "|"]
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
    text = printable(text, len(text) + 1)
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) else text


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
    lines = [
        r"\begin{table}",
        r"  \centering",
        r"  \begin{tabular}{" + "".join("r" if i in table.right else "l" for i in range(len(table.headings))) + "}",
        r"    \toprule",
    ]
    lines += ["    " + " & ".join(escape_latex(h) for h in table.headings) + r" \\", r"    \midrule"]
    lines += ["    " + " & ".join(escape_latex(c) for c in row.cells) + r" \\" for row in table.rows]
    lines += [r"    \bottomrule", r"  \end{tabular}"]
    lines += [r"  \par\smallskip\footnotesize " + r" \par ".join(escape_latex(c) for c in table.caption)] if table.caption else []
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def to_json(table: Table, **more: Any) -> str:
    """Return a table as JSON: values to compute with, texts as shown, the caption, and `more`."""

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
    whole = {"columns": table.columns, "headings": table.headings, "rows": rows, "caption": table.caption} | more
    return plain_json(orjson.dumps(whole, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode()) + "\n"


__all__ = ["COLUMNS", "DEFAULT_COLUMNS", "Row", "Table", "column_name", "compare", "csv", "latex", "markdown", "tabulate", "to_json"]
