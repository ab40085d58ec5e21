"""`zhurnal lr-find`: the range test with its bar, its words, its figure and its rows."""

import os

import click

from ..api import Lab
from ..core.text import show
from .console import Console
from .running import Bars, _Watcher


def find_lr(lab: Lab, name: str, *, seed: int | None, low: float, high: float, steps: int, download: bool) -> None:
    """Run the range test of an experiment, tell what it found, and draw it. Ctrl-C leaves everything as it was."""
    bars = Bars(Console(stderr=True), quiet=False)
    with bars.progress:
        found, figures = lab.lr_find(name, seed, low=low, high=high, steps=steps, download=download, watcher=_Watcher(bars, name))
    end = f"diverged at {_lr(found.lrs[-1])}" if found.diverged else f"came to {_lr(found.lrs[-1])}"
    click.echo(f"{name} with seed {found.seed}: {len(found.lrs)} steps, learning rate from {_lr(found.lrs[0])}, {end}")
    s = found.suggestion
    if s.steepest is not None and s.tenth is not None:
        lowest = min(range(len(found.smooth)), key=lambda i: found.smooth[i] if found.smooth[i] == found.smooth[i] else float("inf"))
        click.echo(f"  loss {found.losses[0]:.4f} at first, smoothed {found.smooth[lowest]:.4f} at best, at {_lr(found.lrs[lowest])}")
        click.echo(f"  the loss falls the fastest at   {_lr(s.steepest)}")
        click.echo(f"  a tenth of the minimum's        {_lr(s.tenth)}")
    if s.note:
        click.secho(f"  {s.note}", fg="yellow")
    for path in figures:
        if path.suffix == ".png":
            click.echo(f"{os.path.relpath(path)} (and .svg)")
    if s.tenth is not None:
        click.echo(f'next: zhurnal new --from {name} optimizer.lr={_lr(s.tenth)} -m "Is the learning rate of the range test better?"')


def _lr(value: float) -> str:
    return show(float(f"{value:.2g}"))
