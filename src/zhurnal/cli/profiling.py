"""What `run --profile` tells, and the tables that it has in common with `bench`: what parts of the loop took, and what operators took."""

import os
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ..core.text import duration, percent, printable
from .console import Console
from .showing import print_table

if TYPE_CHECKING:
    from ..train.profile import Profile, Profiled

TOP = 10  # operators that are told


def quiet_profiler() -> None:
    """Keep the profiler's library from telling on the terminal that it starts and stops; it listens only before torch is imported."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")


def profiling(window: tuple[int, int] | None, label: str) -> "Profile | None":
    """Return what profiles the steps of `window` of a run and tells what it found, as soon as it did; none where none are wanted."""
    if window is None:
        return None
    from ..train.profile import Profile

    def tell(found: "Profiled") -> None:
        num = found.last - found.first + 1
        click.echo(f"{label}: steps {found.first}-{found.last} took {duration(found.seconds)}, {1000 * found.seconds / num:,.1f} ms each, profiled")
        tell_parts(found.parts)
        tell_operators([(o.name, o.calls, o.seconds, o.share) for o in found.operators])
        if found.path is not None:
            click.echo(f"{os.path.relpath(found.path)}: open it in chrome://tracing or ui.perfetto.dev")

    return Profile(*window, tell=tell)


def tell_unused(profile: "Profile | None", label: str, console: Console) -> None:
    """Say that a finished run was not profiled."""
    if profile is not None and profile.found is None and not profile.missed:
        text = "it is finished and does not train again; a new experiment, or another seed (--seeds), does"
        console.print(f"{label}: nothing was profiled: {text}", style="yellow", highlight=False, markup=False)


def terminal_width() -> int:
    """Return how many columns the terminal has; what goes into a file or a pipe has room."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000


def tell_parts(parts: Sequence[tuple[str, float]]) -> None:
    """Print what each part of the loop took in seconds, with a bar."""
    total = sum(seconds for _, seconds in parts) or 1.0
    longest = max(0, min(24, terminal_width() - 44))  # of a bar
    rows = [
        [name, f"{1000 * s:,.0f} ms" if s < 1 else duration(s), f"{percent(s / total, 1)} %", *["█" * round(longest * s / total)] * (longest > 0)]
        for name, s in parts
    ]
    print_table(["part", "time", "share", *[""] * (longest > 0)], rows, right=(1, 2), shrink=(0,))


def tell_operators(operators: Sequence[tuple[str, int, float, float]]) -> None:
    """Print the operators that took the most: (name, calls, seconds, share) of each."""
    rows = [[printable(name, 60), f"{calls:,}", f"{1000 * s:,.1f}", f"{percent(share, 1)} %"] for name, calls, s, share in operators[:TOP]]
    print_table(["operator", "calls", "ms", "share"], rows, right=(1, 2, 3), shrink=(0,))
    if len(operators) > TOP:
        rest = operators[TOP:]
        click.echo(f"(and {len(rest)} more, {percent(sum(o[3] for o in rest), 1)} %)")
