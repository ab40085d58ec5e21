"""`zhurnal repeat` and `zhurnal power`: more seeds, and how many."""

import click

from ..core.text import count, printable
from .words import lab_of


@click.command()
@click.argument("experiments")
@click.option("--seeds", type=click.IntRange(1, 1000), required=True, help="How many seeds in all, counted up from the experiment's first.")
@click.pass_context
def repeat(ctx: click.Context, experiments: str, seeds: int) -> None:
    """Ask for more seeds of experiments that are there: `repeat: 3` in their files; `run` then trains those that are missing.

    Seeds are counted up from the first, so those of two experiments pair up. Children made from an experiment before or after do not inherit it.
    """
    from ..core import numbers

    lab = lab_of(ctx)
    names = lab.select(experiments)
    for name in names:
        e = lab.repeat(name, seeds)
        finished = {r.seed for r in lab.runs(name) if r.finished}
        left = [str(s) for s in e.seeds if s not in finished]
        told = f"{'seed' if len(left) == 1 else 'seeds'} {', '.join(left)} to run" if left else "all of them finished"
        click.echo(f"{name} has {count(len(e.seeds), 'seed')}: {told}")
    click.echo(f"next: zhurnal run {numbers.show(names)}")


@click.command()
@click.argument("first")
@click.argument("second")
@click.option("--difference", type=float, metavar="POINTS", help="In points of accuracy; without it, smallest_difference of zhurnal.yaml.")
@click.option("--power", "chance", type=float, default=0.8, show_default=True, help="The chance to see the difference where it is there.")
@click.option("--alpha", type=float, default=0.05, show_default=True, help="The chance to see one where there is none.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.pass_context
def power(ctx: click.Context, first: str, second: str, difference: float | None, chance: float, alpha: float, as_json: bool) -> None:
    """Say how many seeds two experiments need, so that a difference between them shows.

    The deviation of seeds is that of the lab's own experiments with several seeds; without any, of what two single runs tell.
    """
    from .showing import to_json
    from .tables import print_table

    lab = lab_of(ctx)
    found = lab.power(lab.select(first)[0], lab.select(second)[0], difference=difference, chance=chance, alpha=alpha)
    if as_json:
        click.echo(to_json(found.to_dict()))
        return
    a, b = found.experiments
    d, sd = found.deviation, f"{found.deviation.sd:.2f}"
    between = f", 95 % interval {d.low:.2f} to {d.high:.2f}" if found.needed_range else ""
    click.echo(f"seeds differ by a standard deviation of {sd} points{between}: {printable(d.source, 600)}")
    wanted = f"a difference of {found.difference:g} points between {a} and {b}"
    if found.needed is None:
        click.echo(f"more than 1,000 seeds each would show {wanted}")
    else:
        ends = [("over 1,000" if n is None else str(n)) for n in found.needed_range or ()]
        more = f" ({' to '.join(ends)} at the ends of the interval)" if ends else ""
        how = f"with {100 * found.chance:g} % power at alpha {found.alpha:g}"
        click.echo(f"{count(found.needed, 'seed')} each show {wanted}, {how}{more}")
    rows = [[str(s.n), f"{s.smallest:.2f}", _chance(s.chance)] for s in found.sizes]
    print_table(["seeds each", "smallest difference shown, points", f"chance to show {found.difference:g} points"], rows, right=(0, 1, 2))
    click.echo("for one comparison that was planned, by a two-sided t test; several comparisons at once need more")
    there = f"{a} has {count(found.n[0], 'run')}, {b} {found.n[1]}"
    if found.now is None:
        click.echo(f"{there}: with one run each, seeds cannot show any difference")
    else:
        click.echo(
            f"{there}: {found.now.n} each show {found.now.smallest:.2f} points, and {found.difference:g} points with {100 * found.now.chance:.0f} %"
        )
    click.echo(f"what can be said today: {found.observed.sentence} ({found.observed.strength})")
    if found.needed is not None and min(found.n) < found.needed <= 1000:
        click.echo(f"next: zhurnal repeat {a},{b} --seeds {found.needed} && zhurnal run {a},{b}")


def _chance(chance: float) -> str:
    return "over 99 %" if chance > 0.99 else f"{100 * chance:.0f} %"
