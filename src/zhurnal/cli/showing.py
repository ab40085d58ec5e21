"""What the commands that only look print: `ls`, `show`, `diff`, `compare`, `settings`. No torch."""

import os
import shutil
import sys
from collections.abc import Sequence
from typing import Any, Literal

import click

from ..analyze.summary import median
from ..api import Lab
from ..core import numbers
from ..core.errors import SettingsError
from ..core.facts import assignments, flatten, short
from ..core.text import did_you_mean, duration, list_names, percent, printable, show
from ..store.view import look
from .tables import print_table as print_table


def list_experiments(lab: Lab, names: Sequence[str] | None, *, sort: str | None = None, reverse: bool = False, limit: int | None = None) -> None:
    """Print one line for each experiment; one that cannot be read is named with its error, and hides no other."""
    from ..analyze.listing import left_out_text, legend

    found = lab.ls(names, sort=sort, reverse=reverse, limit=limit)
    if not found.lines and not found.left_out:
        click.echo('no experiments yet: zhurnal new model=lenet data=digits -m "What do I want to know?"')
        return
    print_table(found.headings, [line.cells for line in found.lines], right=found.right, shrink=(1, 2, 3))
    if text := legend(found):
        click.echo(text)
    if found.left_out:
        click.echo(left_out_text(found))
    for problem in found.problems:
        click.secho(f"error: {printable(problem, 10_000)}", fg="red", err=True)
    if found.problems:
        sys.exit(2)


def show_experiment(lab: Lab, name: str) -> None:
    """Print all there is to know about an experiment."""
    with look(lab) as view:
        e, runs, edited = view.experiment(name), view.runs(name), view.edited(name)
        inherited = flatten(view.experiment(e.parent).values) if e.parent else {}
    click.secho(f"{e.name}  {e.question or 'no question'}", bold=True)
    pairs = [
        ("parent", e.parent or "none"),
        ("diff", short(e.changes) or ("no change" if e.parent else "full settings")),
        ("starts from", e.header()),
    ]
    pairs += [("series", e.series or ""), ("created", e.created.replace("T", " "))]
    for key, value in pairs:
        if value:
            click.echo(f"  {key:<12} {value}")
    for note in e.notes:
        click.echo(f"  {'':<12} {note}")
    if edited:
        click.secho(f"  its file was edited after it ran: {assignments(edited)}; the runs below are those of before", fg="yellow")
    click.echo("\nsettings (* differs from the parent)")
    for key, value in flatten(e.values).items():
        mark = "*" if e.parent and (key not in inherited or inherited[key] != value) else " "
        click.echo(f" {mark} {key:<26} {show(value)}")
    click.echo("\nruns" if runs else "\nno runs yet: zhurnal run " + name)
    for run in runs:
        data = run.effective.get("data", {})
        best = (percent(run.best[1]) + (" (of the test images)" if run.on_test else "")) if run.best else "–"
        click.echo(f"  seed {run.seed}  {run.state()}, {run.num_epochs} epochs, best val. acc. {best}")
        if run.test:
            click.echo(f"    test acc. {percent(run.test['test_acc'])} (weights of epoch {run.test['epoch']})")
        if (seconds := median(run.seconds)) is not None:
            click.echo(f"    {duration(seconds)} an epoch; started {run.started[:16].replace('T', ' ')}")
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
    lab: Lab, names: Sequence[str], *, form: str, columns: str | None, against: Literal["rows", "parent"], figures: str | None, observe: bool = True
) -> None:
    """Print the comparison of experiments and what can be said of them, and draw figures when asked."""
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
        if observe:
            print_observations(lab, names)
    elif form == "json":
        from ..analyze import observation

        click.echo(table.to_json(found, observations=observation.plain(lab.observations(names)) if observe else []), nl=False)
    else:
        text = {"markdown": table.markdown, "csv": table.csv, "latex": table.latex}[form](found)
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


MOST_OBSERVED = 50  # experiments: of more, sentences about each would fill screens


def print_observations(lab: Lab, names: Sequence[str]) -> None:
    """Print the strongest of what can be said of experiments, with its strength; all of it is in the JSON."""
    from ..analyze import observations

    if len(names) > MOST_OBSERVED:
        return
    found = lab.observations(names)
    told = observations.strongest(found)
    if told:
        click.echo("\nwhat can be said")
        width = max(len(o.strength) for o in told)
        for o in told:
            click.echo(f"  {o.strength:<{width}}  {printable(o.sentence, 1000)}")
        more = len(found) - len(told)
        click.echo(f"evidence{f', and {more} more,' if more else ''} with --json")


def list_settings(section: str | None) -> None:
    """Print every setting with its default and meaning."""
    from ..core.settings import PARTS, SECTIONS, VIDEO, Data, ForeignModel, Section, Train

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
    import json

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
