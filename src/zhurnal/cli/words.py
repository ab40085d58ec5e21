"""How the words of a command line are taken apart, and which lab they are about."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..api import Lab

# Settings whose value is a list: there, a list is one value of a sweep.
LISTS = ("betas", "seeds", "transform", "milestones", "class_weights")


def lab_of(ctx: click.Context) -> "Lab":
    """Return the lab that a command works on: the one named by --lab, or the nearest. What a killed command began there is finished and told."""
    from ..api import Lab
    from ..store import plan

    folder = ctx.find_root().obj
    lab = Lab(folder) if folder else Lab(Lab.find().folder)
    for line in plan.finish(lab.folder):
        click.secho(f"note: {line}", fg="yellow", err=True)
    return lab


def from_here(lab: "Lab", given: dict[str, Any]) -> dict[str, Any]:
    """Return changes with paths of data and weights as seen from the lab; on the command line they are given from where one stands."""
    from ..core.settings import DATASETS

    for key in ("data", "data.path", "model.weights"):
        text = given.get(key)
        if not isinstance(text, str) or Path(text).is_absolute() or (key == "data" and text in DATASETS):
            continue
        if not (lab.folder / text).exists() and Path(text).exists():
            given[key] = f"{os.path.relpath(Path(text).resolve(), lab.folder)}{'/' if key == 'data' and Path(text).is_dir() else ''}"
    return given


def split_values(text: str) -> list[str]:
    """Return the values in `0.003,0.01` or `[1, 2],[3]`: commas inside brackets and braces part nothing.

    >>> split_values("0.003,0.01"), split_values("[1, 2],{mean: [0, 1]}")
    (['0.003', '0.01'], ['[1, 2]', '{mean: [0, 1]}'])
    """
    parts, depth = [""], 0
    for character in text:
        depth += (character in "[{") - (character in "]}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [p.strip() for p in parts]


def spread(key: str, values: list[Any]) -> list[Any]:
    """Return the values of a sweep, with `lr=[0.1,0.2]` taken as two.

    >>> spread("optimizer.lr", [[0.1, 0.2]]), spread("optimizer.betas", [[0.9, 0.99]])
    ([0.1, 0.2], [[0.9, 0.99]])
    """
    if len(values) == 1 and isinstance(values[0], list) and key.rpartition(".")[2] not in LISTS:
        return values[0]
    return values


def changes(words: Sequence[str]) -> dict[str, str]:
    """Return `{"optimizer.lr": "0.01"}` for words such as `optimizer.lr=0.01`."""
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if equals and not value:
            raise click.UsageError(f"{word} has no value: write none to take a setting back")
        if not equals or not key:
            raise click.UsageError(f"'{word}' is no change: write setting=value, such as optimizer=adam or train.epochs=80")
        if key in found:
            raise click.UsageError(f"{key} is given twice: {found[key]} and {value}")
        found[key] = value
    return found


def steps(context: click.Context | None, option: click.Parameter | None, text: str | None) -> tuple[int, int] | None:
    """Return the first and the last step of a window such as `100-110`; a callback of click.

    >>> steps(None, None, "100-110")
    (100, 110)
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,12})-(\d{1,12})", text.strip())
    if match is None:
        way = "write the first and the last, as in --profile 20-30, or --profile behind the experiments for 20-30"
        raise click.UsageError(f"--profile {text} names no steps: {way}")
    first, last = int(match[1]), int(match[2])
    if not 1 <= first <= last:
        raise click.UsageError(f"--profile {text}: steps are counted from 1, and the last is not before the first: write --profile 20-30")
    return first, last


window = click.option(
    "--profile",
    "window",
    is_flag=False,
    flag_value="20-30",
    metavar="[STEPS]",
    is_eager=True,
    callback=steps,
    help="Write a trace of steps 20-30, or of those named, and tell where their time went.",
)


def seeds_of(lab: "Lab", start: str | None, num: int | None, given: dict[str, Any]) -> dict[str, Any]:
    """Return the change that asks for `num` seeds, counted up from the first of the experiment that is started from; none without `num`."""
    if num is None:
        return {}
    if "seeds" in given:
        raise click.UsageError(f"seeds are given twice: --seeds {num} and seeds={given['seeds']}")
    from ..core.settings import parse

    first = (lab.experiment(start).settings if start else parse({})).seeds[0]
    return {"seeds": list(range(first, first + num))}


def question(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that `new` and `sweep` share."""
    function = click.option(
        "--seeds", type=click.IntRange(1, 1000), help="This many seeds, counted up from the first; `seeds=[1, 2, 3]` names them."
    )(function)
    function = click.option("-m", "--question", default="", help="What it is to find out; becomes the entry's motivation.")(function)
    function = click.option(
        "--continue",
        "continues",
        metavar="EXPERIMENT",
        help="Start from its last checkpoint: weights and optimizer. none: from nothing.",
    )(function)
    return click.option("--from", "parent", metavar="EXPERIMENT", help="The experiment it differs from.")(function)
