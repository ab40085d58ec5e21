"""`zhurnal verify`: whether the journal still holds."""

import os
import sys
import time
from typing import TYPE_CHECKING

import click

from ..core.text import count
from .words import lab_of

if TYPE_CHECKING:
    from ..report.problems import Verified

PATIENCE = 1.0  # seconds without a word


@click.command()
@click.argument("experiments", required=False, metavar="[ENTRIES]")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.pass_context
def verify(ctx: click.Context, experiments: str | None, as_json: bool) -> None:
    """Recompute the journal from the records and report what no longer holds, with file and line; changes nothing.

    ENTRIES are experiments, such as e0001-e0004; without them, the whole journal is verified.
    Exit status: 0 all holds, 1 something does not, 2 error.
    """
    lab = lab_of(ctx)
    with _Bar() as bar:
        found = lab.verify(lab.select(experiments) if experiments else None, progress=bar.progress)
    if as_json:
        from .showing import to_json

        click.echo(to_json(found.to_dict()))
    else:
        tell(found, os.path.relpath(lab.folder))
    if not found.holds:
        sys.exit(1)


def tell(found: "Verified", folder: str) -> None:
    """Print what was found, files as seen from where one stands."""
    from ..report.problems import Problem

    def line(problem: Problem) -> str:
        return f"{'' if folder == '.' else folder + '/'}{problem}"

    for problem in found.problems:
        click.secho(line(problem), fg="red" if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else None)
        if problem.evidence:
            click.echo(f"    {problem.evidence}" + (f" ({problem.strength})" if problem.strength else ""))
    for note in found.notes:
        click.echo(f"note: {line(note)}", err=True)
    looked_at = found.looked_at()
    if found.holds:
        click.echo(f"all holds: {looked_at}")
    else:
        files = len({p.file for p in found.problems})
        verb = "does" if len(found.problems) == 1 else "do"
        click.echo(f"{count(len(found.problems), 'thing')} in {count(files, 'file')} {verb} not hold, of {looked_at}")


class _Bar:
    """A bar that appears when it takes over a second, where somebody watches."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.bars: object = None

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *_: object) -> None:
        from .running import Bars

        if isinstance(self.bars, Bars):
            self.bars.progress.stop()

    def progress(self, task: str, done: int, total: int) -> None:
        if time.monotonic() - self.began < PATIENCE or not sys.stderr.isatty():
            return
        from .console import Console
        from .running import Bars

        if self.bars is None:
            self.bars = Bars(Console(stderr=True), quiet=False)
            self.bars.progress.start()
        if isinstance(self.bars, Bars):
            self.bars.progress_of(task, done, total)
