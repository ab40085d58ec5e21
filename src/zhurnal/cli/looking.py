"""What `zhurnal data` and `zhurnal results` print and draw."""

import json
import os
from dataclasses import asdict

import click

from ..analyze import drawing, predictions
from ..analyze import results as figures_of
from ..api import Lab
from ..core.errors import LabError
from ..core.text import percent, plain_json, printable
from .console import Console
from .tables import print_table


def show_data(lab: Lab, name: str, *, split: str, epoch: int, count: int) -> None:
    """Print what the data of an experiment are, and draw a sheet of images as its network gets them."""

    from ..train.look import look
    from .running import Bars

    bars = Bars(Console(stderr=True), quiet=False)
    with bars.progress:
        found = look(lab, name, epoch=epoch, count=count, split=split, progress=bars.progress_of)
    data, settings = found.data, lab.experiment(name).settings.data
    size = "x".join(map(str, data.image))
    kind = "clips {} (frames x channels x height x width)" if len(data.image) == 4 else "images {} (channels x height x width)"
    click.echo(f"{printable(data.name)}: {kind.format(size)}, {len(data.classes)} classes, fingerprint {data.fingerprint[:8]}")
    for note in data.notes:
        click.echo(f"  {printable(note)}")
    rows = [[printable(c, 40), *(f"{counts[c]:,}" for counts in found.counts.values())] for c in data.classes[:60]]
    rows.append(["all", *(f"{sum(counts.values()):,}" for counts in found.counts.values())])
    print_table(["class", *found.counts], rows, right=range(1, len(found.counts) + 1))
    if len(data.classes) > 60:
        click.echo(f"(and {len(data.classes) - 60} more classes)")
    if data.mean and data.std:
        click.echo(f"normalized by mean {_numbers(data.mean)}, std {_numbers(data.std)}")
    else:
        click.echo("not normalized: pixels from 0 to 1")
    shown = f"the first {len(found.labels)} {split} images of epoch {epoch}" + (f", transform {settings.transform}" if split == "train" else "")
    click.echo(f"the network gets {shown}: mean {_numbers(found.mean)}, std {_numbers(found.std)}, from {found.low:.3g} to {found.high:.3g}")
    for a, b, num in found.twice:
        where = f"twice within {a}" if a == b else f"in {a} and in {b}: a validation on them flatters"
        click.secho(f"{num:,} images are there {where} (the same pixels)", fg="yellow" if a != b else None)
    if not found.twice:
        click.echo("no image is there twice")
    rendered = figures_of.sheet(found.images_NHWC, [printable(c, 16) for c in found.labels], f"{data.name}: {shown}, of {name}")
    for path in drawing.put(lab.journal / "fig", f"{name}_data", rendered):
        click.echo(os.path.relpath(path))


def _numbers(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{v:.4g}" for v in values) + ")"


def show_results(lab: Lab, name: str, *, seed: int | None, epoch: int | None, count: int, figures: bool, as_json: bool) -> None:
    """Print what the network of an experiment says of its validation images, and draw it.

    Raises:
        LabError: there is no such run, or its predictions are not here.
    """
    runs = [r for r in lab.runs(name) if r.epochs and (seed is None or r.seed == seed)]
    if not runs:
        raise LabError(f"{name} has no run{f' with seed {seed}' if seed is not None else ''} that finished an epoch: `zhurnal run {name}`")
    run = max(runs, key=lambda r: max(row["val_acc"] for row in r.epochs))
    found = predictions.read(run, epoch)
    bins, error = predictions.calibration(found)
    surest = predictions.mistakes(found, count)
    if as_json:
        told = {
            "experiment": name,
            "seed": found.seed,
            "epoch": found.epoch,
            "accuracy": found.accuracy,
            "classes": [asdict(r) for r in predictions.by_class(found)],
            "confusion": predictions.confusion(found).tolist(),
            "calibration": {"error": error, "bins": [asdict(b) for b in bins]},
            "mistakes": [asdict(m) for m in surest],
        }
        click.echo(plain_json(json.dumps(told, indent=2, ensure_ascii=False).replace("NaN", "null")))
        return
    click.echo(f"{name} seed {found.seed}, weights of epoch {found.epoch}: {percent(found.accuracy)} % of {len(found.label_N):,} validation images")
    rows = [
        [
            printable(r.name, 40),
            f"{r.num:,}",
            percent(r.accuracy),
            f"{percent(r.low)} to {percent(r.high)}",
            f"{r.taken_for} ({r.taken})" if r.taken else "–",
        ]
        for r in predictions.by_class(found)
    ]
    print_table(["class", "images", "accuracy", "95 % interval", "most often taken for"], rows, right=(1, 2))
    click.echo(f"expected calibration error {percent(error)} points; mean confidence {percent(float(found.confidence_N.mean()))} %")
    if surest:
        click.echo("the mistakes it is surest of")
        print_table(
            ["image", "true", "said", "confidence"], [[str(m.number), m.label, m.predicted, percent(m.confidence, 1)] for m in surest], right=(0, 3)
        )
    if figures:
        for path in figures_of.draw(found, list(figures_of.KINDS), lab.journal / "fig"):
            if path.suffix == ".png":
                click.echo(os.path.relpath(path), err=True)
        if surest:
            from ..train.look import images_of

            images = images_of(lab, name, [m.position for m in surest])
            captions = [f"{printable(m.label, 14)}\nsaid {printable(m.predicted, 14)}\n{percent(m.confidence, 1)} %" for m in surest]
            rendered = figures_of.sheet(images, captions, f"The mistakes {name} is surest of (epoch {found.epoch})")
            for path in drawing.put(lab.journal / "fig", f"{name}_mistakes", rendered):
                click.echo(os.path.relpath(path), err=True)
