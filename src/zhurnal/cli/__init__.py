"""The command line: one function for each command. Whatever is slow is imported inside the command that needs it.

A `ZhurnalError` is printed and ends with status 2; Ctrl-C with 130; anything else is a bug and shows its traceback.
"""

import io
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from .. import __version__
from ..core.errors import Interrupted, ZhurnalError
from ..core.secrets import masked
from ..core.text import did_you_mean, printable
from . import tidying
from .networks import models, summary
from .predicting import predict
from .seeding import power, repeat
from .verifying import verify
from .words import changes as _changes
from .words import from_here as _from_here
from .words import lab_of as _lab
from .words import question as _question
from .words import window as _window

if TYPE_CHECKING:
    from ..api import Lab

LONGEST = 100_000  # characters of a line that is told


class Commands(click.Group):
    """Commands in the order of a user's day, with a suggestion for a misspelt one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order they were added."""
        return list(self.commands)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that `args` begin with, or fail with a suggestion."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            hint = did_you_mean(args[0], self.commands) or "; see all commands with `zhurnal --help`"
            raise click.UsageError(f"'{args[0]}' is no command{hint}", ctx)
        return super().resolve_command(ctx, args)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    # Threads of a step that wait for each other by spinning slow a busy machine, and themselves, tenfold. Read when torch is loaded.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's, for matrices of a few numbers; torch has threads of its own
    try:
        cli.main(args=arguments, prog_name="zhurnal", standalone_mode=False, color=False if os.environ.get("NO_COLOR") else None)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show(shown := io.StringIO())
        click.echo("\n".join(printable(masked(line), LONGEST) for line in shown.getvalue().splitlines()), err=True)
        sys.exit(2)
    except Interrupted as error:
        for line in str(error).splitlines():
            click.echo(printable(line, LONGEST), err=True)
        sys.exit(130)
    except ZhurnalError as error:
        for line in str(error).splitlines():
            _fail(line)
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        click.echo("stopped", err=True)
        sys.exit(130)
    except BrokenPipeError:  # `zhurnal ls | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        _fail(f"{error.filename or 'the lab'}: {error.strerror or error}. Mend it and try again")
        sys.exit(2)


def _fail(text: str) -> None:
    click.secho(f"error: {printable(masked(text), LONGEST)}", fg=None if os.environ.get("NO_COLOR") else "red", err=True)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--lab", "folder", metavar="FOLDER", help="The lab; without it, the folder you are in or the nearest above.")
@click.version_option(__version__, prog_name="zhurnal")
@click.pass_context
def cli(ctx: click.Context, folder: str | None) -> None:
    """A lab journal for computer-vision experiments: define by difference, train, compare, write the page.

    \b
    zhurnal demo                                       the whole way in a minute, on handwritten digits
    zhurnal init my-lab && cd my-lab                   a lab of your own
    zhurnal new data=photos.zip data.image_size=32 -m "Can LeNet tell them apart?"
    zhurnal run e0001
    zhurnal new --from e0001 optimizer=adam -m "Is Adam better?"
    zhurnal run e0002
    zhurnal compare e0001-e0002
    zhurnal write e0001-e0002
    """
    ctx.obj = folder


@cli.command()
@click.argument("folder", default=".")
@click.option("--title", default="", help="Title of the journal; without it, the folder's name.")
def init(folder: str, title: str) -> None:
    """Make a lab: a folder of plain files, made for git."""
    from ..api import Lab

    lab = Lab.init(folder, title)
    click.echo(f'lab made in {printable(str(lab.folder))}\nnext: zhurnal new model=lenet data=digits -m "What do I want to know?"')


@cli.command()
@click.argument("changes", nargs=-1, metavar="[SETTING=VALUE]...")
@_question
@click.pass_context
def new(ctx: click.Context, changes: tuple[str, ...], parent: str | None, continues: str | None, question: str, seeds: int | None) -> None:
    """Make the next experiment.

    Settings not given are those of the parent (--from), or the defaults: `zhurnal settings` lists them all.
    """
    from ..store.yamls import value
    from .words import seeds_of

    lab = _lab(ctx)
    given = _from_here(lab, {k: value(v) for k, v in _changes(changes).items()})
    given |= seeds_of(lab, parent or continues, seeds, given)
    made = lab.new(given, question=question, parent=parent, continues=continues)
    _tell_new(lab, [made])


@cli.command()
@click.argument("changes", nargs=-1, required=True, metavar="SETTING=VALUE,VALUE,...")
@_question
@click.pass_context
def sweep(ctx: click.Context, changes: tuple[str, ...], parent: str | None, continues: str | None, question: str, seeds: int | None) -> None:
    """Make a series: one experiment for each value, or each combination of values, and one entry for all."""
    from ..store.lab import grid
    from ..store.yamls import value
    from .words import seeds_of, split_values, spread

    lab = _lab(ctx)
    lists = {k: spread(k, [value(v) for v in split_values(text)]) for k, text in _changes(changes).items()}
    points = [_from_here(lab, p | seeds_of(lab, parent or continues, seeds, p)) for p in grid(lists)]
    if len(points) < 2:
        raise click.UsageError("a sweep needs at least two values, such as optimizer.lr=0.003,0.01,0.03")
    _tell_new(lab, lab.sweep(points, question=question, parent=parent, continues=continues))


def _tell_new(lab: "Lab", made: Sequence[Any]) -> None:
    from ..core import diff, numbers

    for e in made:
        click.echo(
            f"{e.name} written to experiments/{e.name}.yaml" + (f": {e.parent} with {diff.short(e.changes) or 'no change'}" if e.parent else "")
        )
    for note in dict.fromkeys(n for e in made for n in (*e.notes, *lab.missing(e))):
        click.echo(f"  {note}")
    if made[0].header():
        click.echo(f"  {made[0].header()}")
    click.echo(f"next: zhurnal run {numbers.show(e.name for e in made)}")


@cli.command()
@click.argument("experiments")
@click.option("--seeds", type=click.IntRange(1, 1000), help="Run this many seeds, counted up from the experiment's first.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Runs at once, which divide the processor's cores among them.")
@click.option("--download", is_flag=True, help="Download missing data sets, with a checked checksum.")
@click.option("--quiet", is_flag=True, help="No bars, and no line for each epoch.")
@_window
@click.pass_context
def run(ctx: click.Context, experiments: str, seeds: int | None, jobs: int, download: bool, quiet: bool, window: tuple[int, int] | None) -> None:
    """Train experiments; stop it, kill it, run it again: it goes on where it was."""
    from .running import run_all

    if window and jobs > 1:
        raise click.UsageError("--profile measures one run at a time: leave --jobs out")
    sys.exit(run_all(_lab(ctx), experiments, seeds=seeds, jobs=jobs, download=download, quiet=quiet, profile=window))


cli.add_command(repeat)


@cli.command("lr-find")
@click.argument("experiment")
@click.option("--min", "low", type=float, default=1e-6, show_default=True, help="Learning rate of the first step.")
@click.option("--max", "high", type=float, default=1.0, show_default=True, help="Learning rate of the last step.")
@click.option("--steps", type=int, default=100, show_default=True, help="Training steps, each over one mini-batch.")
@click.option("--seed", type=int, help="Seed of weights and batches; without it, the experiment's first.")
@click.option("--download", is_flag=True, help="Download missing data sets, with a checked checksum.")
@click.pass_context
def lr_find(ctx: click.Context, experiment: str, low: float, high: float, steps: int, seed: int | None, download: bool) -> None:
    """Range test: train some steps at a rising learning rate, and suggest one; nothing of it stays in the experiment's runs."""
    from .finding import find_lr

    lab = _lab(ctx)
    for name in lab.select(experiment):
        find_lr(lab, name, seed=seed, low=low, high=high, steps=steps, download=download)


@cli.command()
@click.argument("name", metavar="FILE.py:NAME|EXPERIMENT")
@click.argument("changes", nargs=-1, metavar="[SETTING=VALUE]...")
@click.option("--kind", type=click.Choice(["model", "optimizer", "loss", "transform", "data"]), help="What the part is; without it, guessed.")
@click.pass_context
def check(ctx: click.Context, name: str, changes: tuple[str, ...], kind: str | None) -> None:
    """Try a part of your own against its contract, or whether experiments come to their first step. Writes nothing.

    Settings are options of the part: `zhurnal check my_net.py:Net width=8`.
    """
    from ..store.yamls import value
    from .checking import check as check_all

    options = {k.rpartition(".")[2]: value(v) for k, v in _changes(changes).items()}
    sys.exit(check_all(ctx.find_root().obj, name, kind, options))


@cli.command()
@click.argument("experiments", required=False)
@click.option(
    "--sort",
    metavar="COLUMN",
    help="Sort by a column of the list or of `compare --columns help`, such as val_acc, lr or started; -val_acc: the largest first.",
)
@click.option("--reverse", is_flag=True, help="Turn the order round.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="At most N lines; the last line says how many more there are.")
@click.pass_context
def ls(ctx: click.Context, experiments: str | None, sort: str | None, reverse: bool, limit: int | None) -> None:
    """List experiments, with what differs from the parent and how they stand.

    Experiments without a value in the column they are sorted by stand last.
    """
    from .showing import list_experiments

    lab = _lab(ctx)
    list_experiments(lab, lab.select(experiments) if experiments else None, sort=sort, reverse=reverse, limit=limit)


@cli.command()
@click.argument("experiment")
@click.pass_context
def show(ctx: click.Context, experiment: str) -> None:
    """Show an experiment: question, difference, effective settings, runs."""
    from .showing import show_experiment

    lab = _lab(ctx)
    for name in lab.select(experiment):
        show_experiment(lab, name)


@cli.command()
@click.argument("first")
@click.argument("second")
@click.pass_context
def diff(ctx: click.Context, first: str, second: str) -> None:
    """Show what differs between two experiments, in their effective settings."""
    from .showing import show_difference

    lab = _lab(ctx)
    show_difference(lab, *lab.select(first)[:1], *lab.select(second)[:1])


@cli.command()
@click.argument("experiments")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown", "csv", "latex", "json"]),
    default="table",
    show_default=True,
    help="How to print the table.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the table and all observations with their evidence as JSON: short for --format json.")
@click.option("--observations/--no-observations", "observe", default=True, show_default=True, help="Say what the runs support, with its strength.")
@click.option("--columns", help="Columns, separated by commas; `--columns help` lists them.")
@click.option(
    "--diff", "against", type=click.Choice(["rows", "parent"]), default="rows", show_default=True, help="Tell rows apart, or from their parents."
)
@click.option(
    "--figures",
    help="Kinds of figures to draw in journal/fig, separated by commas; `all`, `none`. "
    "Without it, three for a table (val_acc_epoch, train_loss_iter, train_val_acc_epoch) and none for other formats. "
    "The others are val_loss_epoch, train_acc_epoch, train_loss_epoch, train_val_loss_epoch and lr_epoch.",
)
@click.pass_context
def compare(ctx: click.Context, /, experiments: str, as_json: bool, **options: Any) -> None:
    """Compare experiments: the table, what can be said and how strongly, and figures in journal/fig."""
    from .showing import show_comparison

    lab = _lab(ctx)
    show_comparison(lab, lab.select(experiments), **options | ({"form": "json"} if as_json else {}))


@cli.command()
@click.argument("experiment")
@click.option("--split", type=click.Choice(["train", "val", "test"]), default="train", show_default=True, help="Which images to show.")
@click.option("--epoch", type=click.IntRange(1), default=1, show_default=True, help="As they are in this epoch: augmentation differs in each.")
@click.option("--count", type=click.IntRange(1, 400), default=32, show_default=True, help="How many images to show.")
@click.pass_context
def data(ctx: click.Context, experiment: str, split: str, epoch: int, count: int) -> None:
    """Look at the data of an experiment: a sheet of images as the network gets them, class counts, mean and deviation, duplicates."""
    from .looking import show_data

    lab = _lab(ctx)
    show_data(lab, lab.select(experiment)[0], split=split, epoch=epoch, count=count)


@cli.command()
@click.argument("experiment")
@click.option("--seed", type=int, help="Which run; without it, the one with the best validation accuracy.")
@click.option("--epoch", type=click.IntRange(1), help="After which epoch; without it, the best.")
@click.option("--mistakes", "count", type=click.IntRange(0, 400), default=24, show_default=True, help="How many of the surest mistakes to list.")
@click.option("--figures/--no-figures", default=True, show_default=True, help="Draw them in journal/fig.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.pass_context
def results(ctx: click.Context, experiment: str, seed: int | None, epoch: int | None, count: int, figures: bool, as_json: bool) -> None:
    """Look at what a trained network says: accuracy by class, confusion, calibration, the mistakes it is surest of."""
    from .looking import show_results

    lab = _lab(ctx)
    show_results(lab, lab.select(experiment)[0], seed=seed, epoch=epoch, count=count, figures=figures, as_json=as_json)


@cli.command()
@click.argument("experiments")
@click.option(
    "--add", "added", multiple=True, metavar="BLOCK", help="Put another block on the page: classes, confusion, calibration, mistakes or observations."
)
@click.option("--force", is_flag=True, help="Also rewrite generated blocks that were edited by hand.")
@click.pass_context
def write(ctx: click.Context, experiments: str, added: tuple[str, ...], force: bool) -> None:
    """Write or refresh the journal entry of some experiments; your own words stay as they are."""
    lab = _lab(ctx)
    written = lab.write(lab.select(experiments), add=added, force=force)
    done = "written" if written.changed else "is as it was, with what was edited by hand" if written.kept else "is up to date"
    click.echo(f"{os.path.relpath(written.path)} {done}")
    for note in written.notes:
        click.secho(f"note: {note}", fg="yellow", err=True)
    if written.kept:
        sys.exit(2)


cli.add_command(predict)
cli.add_command(verify)
cli.add_command(power)
cli.add_command(models)
cli.add_command(summary)


@cli.command()
@click.argument("experiment", required=False)
@click.option("--seconds", type=click.FloatRange(1, 3600), default=30.0, show_default=True, help="About how long; slow networks profit from more.")
@click.option("--operators", is_flag=True, help="Also tell which operators the time of a step goes to.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option("--out", metavar="FOLDER", help="Keep the figure and the JSON there; without it, in the lab's .zhurnal/cache/bench.")
@click.option("--download", is_flag=True, help="Download missing data sets, with a checked checksum.")
@click.pass_context
def bench(ctx: click.Context, experiment: str | None, seconds: float, operators: bool, as_json: bool, out: str | None, download: bool) -> None:
    """Measure this machine: matrix products, data pipeline, training step, and where the time of an epoch goes.

    For an experiment, or without one for built-in networks on generated images. Changes no experiment and no record.
    """
    from .measuring import bench as measure

    sys.exit(measure(ctx.find_root().obj, experiment, seconds=seconds, operators=operators, as_json=as_json, out=out, download=download))


@cli.command()
@click.argument("folder", default="zhurnal-demo")
def demo(folder: str) -> None:
    """The whole way, on real handwritten digits and without network: two experiments, trained, compared, written up."""
    from .demo import run_demo

    sys.exit(run_demo(folder))


@cli.command()
@click.argument("section", required=False)
def settings(section: str | None) -> None:
    """List the settings, with their defaults and what they mean."""
    from .showing import list_settings

    list_settings(section)


for _command in tidying.COMMANDS:
    cli.add_command(_command)
