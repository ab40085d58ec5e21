"""`zhurnal check`: a line for each promise that a part keeps or breaks, or for each step on an experiment's way to its first update."""

from pathlib import Path
from typing import Any

import click

from ..api import Lab
from ..core import numbers
from ..core.errors import LabError
from ..core.settings import is_own
from ..core.text import count, printable


def check(folder: str | None, name: str, kind: str | None, options: dict[str, Any]) -> int:
    """Check a part or some experiments; return the exit status, 2 where a promise is broken."""
    from ..train import checking

    if is_own(name) or kind is not None or not _is_experiments(name):
        base, data = _places(folder)
        found, findings = checking.check_part(name, base, data, kind=kind, options=options)
        return _tell({f"{name}, {_WORDS[found]}": findings})
    if options:
        raise click.UsageError("settings are for parts: an experiment has its own")
    lab = _lab(folder)
    return _tell({e: checking.check_experiment(lab, lab.experiment(e)) for e in lab.select(name)})


_WORDS = {"model": "a model", "optimizer": "an optimizer", "loss": "a loss", "transform": "a transform", "data": "a data set"}


def _tell(groups: dict[str, Any]) -> int:
    failed = 0
    for title, findings in groups.items():
        click.echo(printable(title))
        for finding in findings:
            mark = click.style("failed", fg="red") if finding.problem else click.style("passed", fg="green")
            click.echo(f"  {mark}  {finding.promise}" + (f": {finding.problem}" if finding.problem else ""))
        broken = sum(bool(f.problem) for f in findings)
        failed += broken
        click.echo(f"  {broken} of {count(len(findings), 'promise')} broken" if broken else f"  kept all of {count(len(findings), 'promise')}")
    return 2 if failed else 0


def _is_experiments(name: str) -> bool:
    try:
        numbers.parse(name)
    except LabError:
        return False
    return True


def _lab(folder: str | None) -> Lab:
    return Lab(folder) if folder else Lab(Lab.find().folder)


def _places(folder: str | None) -> tuple[Path, Path]:
    """Return what paths of parts are relative to, and the folder of data sets: the lab's; outside of a lab, the folder one is in and its `data`."""
    try:
        lab = _lab(folder)
    except LabError:
        if folder:
            raise
        return Path.cwd(), Path.cwd() / "data"
    return lab.folder, lab.data
