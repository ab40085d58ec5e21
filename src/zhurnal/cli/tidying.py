"""Commands that move, renumber, merge or delete: `rm`, `restore`, `gc`, `renumber`, `merge`."""

import os
from collections.abc import Sequence
from typing import Any

import click

from .words import lab_of as _lab


def _notes(notes: Sequence[str]) -> None:
    for note in notes:
        click.secho(f"note: {note}", fg="yellow", err=True)


@click.command()
@click.argument("experiments")
@click.option("--force", is_flag=True, help="Also experiments that others start from; these cannot be read until it is restored.")
@click.pass_context
def rm(ctx: click.Context, experiments: str, force: bool) -> None:
    """Move experiments, with their runs and weights, into the lab's trash; `zhurnal restore` brings them back.

    Their numbers are not given again. Journal pages about them stay. Nothing is deleted: that does `zhurnal gc --trash --yes`.
    """
    from ..core import numbers

    lab = _lab(ctx)
    done = lab.rm(lab.select(experiments), force=force)
    shown = numbers.show(done.names)
    click.echo(f"{shown} moved to .zhurnal/trash; back with `zhurnal restore {shown}`")
    _notes(done.notes)


@click.command()
@click.argument("experiments", required=False)
@click.option("--as", "under", metavar="NUMBER", help="Come back under another number, where its own is taken; new: the next free one.")
@click.pass_context
def restore(ctx: click.Context, experiments: str | None, under: str | None) -> None:
    """Bring removed experiments back, to the byte; without EXPERIMENTS, list what is in the trash."""
    from ..core import numbers
    from ..core.text import size
    from .tables import print_table

    lab = _lab(ctx)
    if experiments is not None:
        done = lab.restore(numbers.parse(experiments), under=under)
        click.echo(f"{numbers.show(done.names)} restored")
        _notes(done.notes)
    elif found := lab.trash():
        rows = [[t.name, t.removed[:16].replace("T", " "), size(t.num_bytes), t.question or "(no question)"] for t in found]
        print_table(["experiment", "removed", "size", "question"], rows, right=(2,), shrink=(3,))
    else:
        click.echo("the trash is empty")


@click.command()
@click.argument("experiments", required=False)
@click.option("--trash", "with_trash", is_flag=True, help="Also what is in the trash: then it cannot be restored any more.")
@click.option("--yes", is_flag=True, help="Delete what is listed. Without it, nothing is deleted.")
@click.pass_context
def gc(ctx: click.Context, experiments: str | None, with_trash: bool, yes: bool) -> None:
    """List old checkpoints, with their sizes, and with --yes delete them.

    Old is what no run goes on from and no experiment is to start from. Records, predictions and best weights are never touched.
    """
    from ..core.text import size
    from .tables import print_table

    lab = _lab(ctx)
    items = lab.garbage(lab.select(experiments) if experiments else None, trash=with_trash)
    if not items:
        click.echo("nothing can be freed" + ("" if with_trash or not lab.trash() else "; see the trash too: `zhurnal gc --trash`"))
        return
    print_table(["what", "size", "why it can go"], [[i.what, size(i.num_bytes), i.why] for i in items], right=(1,), shrink=(2,))
    total = size(sum(i.num_bytes for i in items))
    if yes:
        click.echo(f"freed {size(lab.gc(items))}")
    else:
        click.echo(f"{total} in all; nothing was deleted. To delete these: give the command again with --yes")


@click.command()
@click.argument("experiment", required=False)
@click.argument("number", required=False)
@click.option("--against", metavar="LAB|BRANCH", help="Give a new number to each experiment whose number is another's there, before a git merge.")
@click.pass_context
def renumber(ctx: click.Context, experiment: str | None, number: str | None, against: str | None) -> None:
    """Give an experiment another number, and rewrite every reference to it: files, runs, journal pages, their names and links.

    Without NUMBER, the next free one. In your own words on pages, whole-word mentions such as e0007 are changed, and it is told where.
    """
    lab = _lab(ctx)
    if (experiment is None) == (against is None):
        raise click.UsageError("name an experiment, or --against LAB_OR_BRANCH: `zhurnal renumber e0007`, `zhurnal renumber --against main`")
    done: Any = lab.renumber(experiment, number) if experiment else lab.renumber_against(os.fspath(against or ""))
    for old, new in done.mapping.items():
        click.echo(f"{old} is now {new}")
    if done.mapping:
        click.echo(f"{len(done.files)} file{'' if len(done.files) == 1 else 's'} renamed or rewritten")
    elif against:
        click.echo(f"no number is used for another experiment in {against}: nothing was changed")
    _notes(done.notes)


@click.command()
@click.argument("other", metavar="OTHER_LAB")
@click.pass_context
def merge(ctx: click.Context, other: str) -> None:
    """Bring the experiments of another lab into this one, with runs and pages; those whose number is taken here get a new one.

    OTHER_LAB is a folder, and is only read. An experiment that both labs have is taken once.
    """
    from ..tidy.merge import told

    done = _lab(ctx).merge(other)
    click.echo(told(done))
    _notes(done.notes)


COMMANDS = (rm, restore, gc, renumber, merge)
