"""`zhurnal check`: a line for each promise that a part keeps or breaks, or for each step on an experiment's way to its first update."""

import click

from ..api import Lab
from ..core import numbers
from ..core.errors import LabError
from ..core.settings import is_own
from ..core.text import count, printable


def check(folder: str | None, names: tuple[str, ...], kind: str | None, options: dict[str, object]) -> int:
    """Check parts and experiments; return the exit status, 2 where anything fails."""
    from pathlib import Path

    from ..train import checking

    failed = 0
    for name in names:
        if is_own(name) or kind is not None or not numbers.is_range(name):
            base, data = _places(folder)
            kind_found, findings = checking.check_part(name, base, data, kind=kind, options=options)
            title = f"{printable(name)} as {'a data set' if kind_found == 'data' else ('an ' if kind_found == 'optimizer' else 'a ') + kind_found}"
            groups = [(title, findings)]
        else:
            lab = Lab(folder) if folder else Lab(Lab.find(Path()).folder)
            groups = [(e, checking.check_experiment(lab, lab.experiment(e))) for e in lab.select(name)]
        for title, findings in groups:
            click.echo(f"{title}:")
            for finding in findings:
                mark = click.style("failed", fg="red") if finding.problem else click.style("passed", fg="green")
                click.echo(f"  {mark}  {finding.promise}" + (f": {finding.problem}" if finding.problem else ""))
            broken = sum(bool(f.problem) for f in findings)
            failed += broken
            click.echo(f"  {count(broken, 'promise')} of {len(findings)} broken" if broken else f"  all {len(findings)} kept")
    return 2 if failed else 0


def _places(folder: str | None):  # type: ignore[no-untyped-def]
    """Return the folder that paths of parts are relative to, and the folder of data sets: the lab's, or, outside of a lab, where one is."""
    from pathlib import Path

    try:
        lab = Lab(folder) if folder else Lab(Lab.find().folder)
    except LabError:
        if folder:
            raise
        return Path.cwd(), Path.cwd() / "data"
    return lab.folder, lab.data
