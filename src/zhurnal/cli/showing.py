"""What the commands that only look print: `ls`, `show`, `diff`, `compare`, `settings`. No torch."""

import json
import os
import shutil
import statistics
import sys
from collections.abc import Sequence
from typing import Any, Literal

import click

from ..api import Lab
from ..core import diff as differences
from ..core import numbers
from ..core.errors import SettingsError, ZhurnalError
from ..core.settings import PARTS, SECTIONS, VIDEO, Data, ForeignModel, Section, Train, flatten
from ..core.text import did_you_mean, duration, list_names, percent, printable, show
from ..store.runs import Run


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), shrink: Sequence[int] = ()) -> None:
    """Print a plain table that fits the terminal: columns in `shrink` are wrapped first, `right` are set to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = sys.stdout.isatty()
    console = Console(soft_wrap=not terminal, width=None if terminal else 10_000, highlight=False)
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="bold" if terminal else "")
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="right" if i in right else "left", overflow="fold", no_wrap=i not in shrink)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    if not terminal:  # no padding to the width: what goes into a file or a pipe has lines as long as their content
        with console.capture() as captured:
            console.print(table)
        click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))
    else:
        console.print(table)


def best_of(runs: Sequence[Run]) -> str:
    """Return the best validation accuracy of runs in percent, with its deviation over seeds where there are several."""
    best = [max(r["val_acc"] for r in run.epochs) for run in runs if run.epochs]
    if len(best) < 2:
        return percent(best[0]) if best else "–"
    return f"{percent(statistics.mean(best))} ± {percent(statistics.stdev(best))} ({len(best)})"


def state_of(runs: Sequence[Run]) -> str:
    """Return how the runs of an experiment stand, on one line."""
    states = [r.state() for r in runs] or ["waiting"]
    return states[0] if len(set(states)) == 1 else ", ".join(f"seed {r.seed} {r.state()}" for r in runs)


def list_experiments(lab: Lab, names: Sequence[str]) -> None:
    """Print one line for each experiment; one that cannot be read is named with its error, and hides no other."""
    if not names:
        click.echo('no experiments yet: zhurnal new model=lenet data=digits -m "What do I want to know?"')
        return
    rows, problems = [], []
    for name in names:
        try:
            e = lab.experiment(name)
        except ZhurnalError as error:
            rows.append([name, "–", "", "cannot be read", "–", ""])
            problems += str(error).splitlines()
            continue
        runs = lab.runs(name)
        what = f"{e.parent}: {differences.short(e.changes) or 'no change'}" if e.parent else f"{e.settings.model.name} on {e.settings.data.name}"
        started = min((r.started for r in runs if r.started), default="")
        state = state_of(runs) + (", file edited since" if lab.edited(name) else "")
        rows.append(
            [
                name,
                f"{what}{f' (cont. {e.continues})' if e.continues else ''}",
                e.question,
                state,
                best_of(runs),
                started[:16].replace("T", " "),
            ]
        )
    print_table(["experiment", "diff", "question", "state", "best val. acc.", "started"], rows, right=(4,), shrink=(1, 2, 3))
    for problem in problems:
        click.secho(f"error: {problem}", fg="red", err=True)
    if problems:
        sys.exit(2)


def show_experiment(lab: Lab, name: str) -> None:
    """Print all there is to know about an experiment."""
    e = lab.experiment(name)
    runs = lab.runs(name)
    click.secho(f"{e.name}  {e.question or 'no question'}", bold=True)
    pairs = [
        ("parent", e.parent or "none"),
        ("diff", differences.short(e.changes) or ("no change" if e.parent else "full settings")),
        ("starts from", e.header()),
    ]
    pairs += [("series", e.series or ""), ("created", e.created.replace("T", " "))]
    for key, value in pairs:
        if value:
            click.echo(f"  {key:<12} {value}")
    for note in e.notes:
        click.echo(f"  {'':<12} {note}")
    if edited := lab.edited(name):
        click.secho(f"  its file was edited after it ran: {differences.assignments(edited)}; the runs below are those of before", fg="yellow")
    inherited = flatten(lab.experiment(e.parent).settings.to_dict()) if e.parent else {}
    click.echo("\nsettings (* differs from the parent)")
    for key, value in flatten(e.settings.to_dict()).items():
        mark = "*" if e.parent and (key not in inherited or inherited[key] != value) else " "
        click.echo(f" {mark} {key:<26} {show(value)}")
    click.echo("\nruns" if runs else "\nno runs yet: zhurnal run " + name)
    for run in runs:
        data = run.effective.get("data", {})
        seconds = [t["seconds"] for t in run.times if not t["partial"]]
        click.echo(f"  seed {run.seed}  {run.state()}, {len(run.epochs)} epochs, best val. acc. {best_of([run])}")
        if run.test:
            click.echo(f"    test acc. {percent(run.test['test_acc'])} (weights of epoch {run.test['epoch']})")
        if seconds:
            click.echo(f"    {duration(statistics.median(seconds))} an epoch; started {run.started[:16].replace('T', ' ')}")
        if data:
            kind = "clips" if len(data["image"]) == 4 else "images"
            click.echo(f"    {data['name']}: {data['num_train']:,} training, {data['num_val']:,} validation, {data['num_test']:,} test {kind}")
        for text in (*run.warnings, *run.problems):
            click.secho(f"    note: {printable(text)}", fg="yellow")


def show_difference(lab: Lab, first: str, second: str) -> None:
    """Print each effective setting that differs between two experiments."""
    found = lab.diff(first, second)
    if not found:
        click.echo(f"{first} and {second} have the same effective settings")
        return
    click.echo(f"{second} differs from {first} in {len(found)} setting{'s' if len(found) > 1 else ''}")
    print_table(["setting", first, second], [[k, _value(a), _value(b)] for k, (a, b) in found.items()], shrink=(1, 2))


def _value(value: Any) -> str:
    return "–" if value is None else show(value)


def show_comparison(
    lab: Lab, names: Sequence[str], *, form: str, columns: str | None, against: Literal["rows", "parent"], figures: str | None
) -> None:
    """Print the comparison of experiments, and draw figures when asked."""
    from ..analyze import table

    if columns == "help":
        for name, column in table.COLUMNS.items():
            click.echo(f"{name:<20} {column.heading}")
        return
    chosen = [c.strip() for c in columns.split(",")] if columns else None
    found = table.compare(lab, list(names), **({"columns": chosen} if chosen else {}), diff=against)
    if form == "table":
        print_table(found.headings, found.cells, right=found.right, shrink=(1,))
        for line in found.caption:
            click.echo(line)
    else:
        text = {"markdown": table.markdown, "csv": table.csv, "latex": table.latex, "json": table.to_json}[form](found)
        click.echo(text, nl=not text.endswith("\n"))
    if figures is None:
        figures = "val_acc_epoch,train_loss_iter,train_val_acc_epoch" if form == "table" else "none"
    if figures != "none":
        from ..analyze import figures as drawing

        kinds = list(drawing.KINDS) if figures == "all" else [k.strip() for k in figures.split(",")]
        drawn = drawing.draw(lab, list(names), kinds, lab.journal / "fig")
        for path in drawn:
            if path.suffix == ".png":
                click.echo(f"{os.path.relpath(path)} (and .svg)", err=True)


def list_settings(section: str | None) -> None:
    """Print every setting with its default and meaning."""
    if section is not None and section not in SECTIONS:
        raise SettingsError([f"'{section}' is no section{did_you_mean(section, SECTIONS) or ';'} sections are {list_names(SECTIONS)}"])
    width = shutil.get_terminal_size().columns
    for name in SECTIONS:
        if section not in (None, name):
            continue
        if name == "seeds":
            click.echo("seeds: [42]\n    one run for each seed")
            continue
        classes: dict[str, type[Section]] = PARTS[name][0] if name in PARTS else {"": Data} | VIDEO if name == "data" else {"": Train}
        if name == "model":
            classes = classes | {"timm:NAME or torchvision:NAME": ForeignModel}
        for part, cls in classes.items():
            click.secho(f"{name}={part}" if part else name, bold=True, nl=False)
            click.echo(f"  {(cls.__doc__ or '').splitlines()[0]}")
            for field, info in cls.model_fields.items():
                if (field == "name" and part) or (name == "data" and part and field in Data.model_fields):
                    continue
                default = "required" if info.is_required() else show(info.default)
                line = f"    {name}.{field}={default}"
                text = info.description or ""
                click.echo(f"{line:<38} {text}" if len(line) + len(text) < width - 1 or width < 60 else f"{line}\n        {text}")


def to_json(value: Any) -> str:
    """Return plain values as JSON for a person."""
    return json.dumps(value, indent=2, ensure_ascii=False)


__all__ = [
    "list_experiments",
    "list_settings",
    "numbers",
    "print_table",
    "show_comparison",
    "show_difference",
    "show_experiment",
    "to_json",
]
