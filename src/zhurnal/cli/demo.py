"""`zhurnal demo`: the whole way on real handwritten digits, without network, in less than a minute of computing."""

from pathlib import Path

import click

from ..api import Lab
from ..store.lab import CONFIG
from .running import run_all
from .showing import show_comparison

# One thread: for a network this small, more only wait for each other.
SETTINGS = {"train.epochs": 20, "train.batch_size": 32, "train.num_threads": 1}
QUESTIONS = ("Can LeNet learn handwritten digits?", "Is Adam better?")


def run_demo(folder: str) -> int:
    """Make a lab in `folder`, or take the demo's lab that is there, run two experiments and write their entry; return the exit status."""
    home = Path(folder)
    lab = Lab(home) if (home / CONFIG).exists() else None
    if lab is None:
        click.echo(f"$ zhurnal init {folder}")
        Lab.init(home, "Zhurnal's demo: handwritten digits")
        lab = Lab(home)
    there = list(zip(lab.names(), QUESTIONS, strict=False))
    if len(lab.names()) > len(there) or any(lab.experiment(n).question != q for n, q in there):
        raise click.UsageError(f"{folder} is a lab of your own: give the demo another folder, such as `zhurnal demo {folder}-2`")
    if not lab.names():
        click.echo(f'$ zhurnal new model=lenet data=digits {" ".join(f"{k}={v}" for k, v in SETTINGS.items())} -m "{QUESTIONS[0]}"')
        lab.new({"model": "lenet", "data": "digits", **SETTINGS}, question=QUESTIONS[0])
    if lab.names() == ["e0001"]:
        click.echo(f'$ zhurnal new --from e0001 optimizer=adam optimizer.lr=0.001 -m "{QUESTIONS[1]}"')
        lab.new({"optimizer": "adam", "optimizer.lr": 0.001}, parent="e0001", question=QUESTIONS[1])
    names = ["e0001", "e0002"]
    click.echo("$ zhurnal run e0001-e0002")
    status = run_all(lab, "e0001-e0002", seeds=None, download=False, quiet=False)
    if status:
        return status
    click.echo("$ zhurnal compare e0001-e0002")
    show_comparison(lab, names, form="table", columns=None, against="rows", figures="none")
    click.echo("$ zhurnal write e0001-e0002")
    written = lab.write(names)
    click.echo(f"\nThe journal entry is {written.path}\nIts figures are in {lab.journal / 'fig'}\nMore: cd {folder} && zhurnal show e0002")
    return 0
