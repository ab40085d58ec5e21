"""`zhurnal predict`: what a trained network says of images."""

import math
import os
import sys
from pathlib import Path

import click

from ..core.text import count, percent, printable
from .words import lab_of


@click.command()
@click.argument("experiment")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--seed", type=int, help="Which run; without it, the one with the best validation accuracy.")
@click.option("--top", type=click.IntRange(1), default=1, show_default=True, help="How many classes to tell of each image, the likeliest first.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON, with the probability of every class.")
@click.pass_context
def predict(ctx: click.Context, experiment: str, files: tuple[Path, ...], seed: int | None, top: int, as_json: bool) -> None:
    """Ask a trained network about images: with the best weights of EXPERIMENT, each made ready as the validation images were.

    FILES are images, or folders, of which all images inside are taken. A probability is what the network says of itself: `zhurnal results` shows
    how far it can be trusted.
    """
    lab = lab_of(ctx)
    network = lab.trained(lab.select(experiment)[0], seed)
    found = [image for file in files for image in (_images(file) if _is_folder(file) else [file])]
    if not found:
        raise click.UsageError(f"no images in {', '.join(os.fspath(f) for f in files)}")
    answers = network.classify(found, None if as_json else top)
    where = f"{network.experiment}, seed {network.seed}, weights of epoch {network.epoch}"
    if as_json:
        from .showing import to_json

        def name(file: Path) -> str:  # a name of another encoding cannot be written as UTF-8
            return os.fsencode(file).decode("utf-8", "backslashreplace")

        told = [
            {
                "file": name(a.file),
                "problem": a.problem or None,
                "probabilities": {c: p if math.isfinite(p) else None for c, p in a.classes},
            }
            for a in answers
        ]
        whose = {"experiment": network.experiment, "seed": network.seed, "epoch": network.epoch, "val_acc": network.val_acc}
        click.echo(to_json({**whose, "on_test": network.on_test, "images": told}))
    else:
        from .tables import print_table

        of_test = " (of the test images)" if network.on_test else ""
        click.echo(f"{where}: {percent(network.val_acc)} % of the validation images right{of_test}", err=True)
        good = [a for a in answers if not a.problem]
        rows = [[str(a.file), *(text for name, p in a.classes[:top] for text in (printable(name, 60), f"{percent(p, 1)} %"))] for a in good]
        if rows:
            num = len(rows[0]) // 2
            print_table(["file", *["class", "probability"] * num], rows, right=range(2, 2 * num + 1, 2), shrink=(0,))
    bad = [a for a in answers if a.problem]
    for answer in bad:
        click.secho(f"error: {printable(f'{answer.file}: {answer.problem}', 1000)}", fg="red", err=True)
    if bad:
        click.echo(f"{count(len(bad), 'file')} of {len(answers):,} cannot be used", err=True)
        sys.exit(2)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # not to be looked into, or too long a name: whoever reads it says so
        return False


def _images(folder: Path) -> list[Path]:
    """Return the files in a folder, and in those inside it, that have the suffix of an image; hidden ones are left out."""
    from ..train.data.decode import SUFFIXES

    inside = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and not _is_folder(p))
    return [p for p in inside if not any(part.startswith(".") for part in p.relative_to(folder).parts)]
