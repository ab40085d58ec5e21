"""What `models` and `summary` print: networks and what they are made of."""

import fnmatch
import re
from pathlib import Path

import click

from ..api import Lab
from ..core.errors import RunError
from ..core.settings import LIBRARIES, VIDEO_MODELS
from ..core.text import count, list_names, percent
from .tables import print_table

Image = tuple[int, ...]


def parse_image(text: str) -> Image:
    """Return (C, H, W) for `3x32x32`."""
    match = re.fullmatch(r"(\d+)x(\d+)x(\d+)", text.strip().lower())
    if match is None or min(map(int, match.groups())) < 1:
        raise click.UsageError(f"'{text}' is no shape of an image: write channels x height x width, such as 3x32x32")
    channels, height, width = map(int, match.groups())
    return channels, height, width


def big(number: float) -> str:
    """Return a number of operations for people.

    >>> big(3.33e9), big(3_200_000), big(0)
    ('3.33 G', '3.20 M', '–')
    """
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}" if number / size >= 10 else f"{number / size:.2f} {unit}"
    return str(int(number)) if number else "–"


def list_models(image_text: str, classes: int) -> None:
    """Print the built-in networks, and how to name those of libraries."""
    from ..train import summary

    image = parse_image(image_text)
    found = summary.known(image, classes)
    rows = [[f"model={m.name}", f"{m.parameters:,}", f"{m.training_flops / 1e9:.4f}", m.about] for m in found if not m.problem]
    click.echo(f"networks for images of {image_text} and {count(classes, 'class').replace('classs', 'classes')}, with their default options")
    print_table(["network", "parameters", "train GFLOP/image", "what it is"], rows, right=(1, 2), shrink=(3,))
    for model in found:
        if model.problem:
            click.echo(f"model={model.name}: {model.problem}")
    click.echo(f"networks for clips ({', '.join(VIDEO_MODELS)}): for {summary.CLIP_LENGTH} such images")
    click.echo("\nmodel=my_net.py:Net       a network of your own")
    for library in LIBRARIES:
        try:
            names = summary.foreign_names(library)
        except RunError as error:
            click.echo(f"model={library}:NAME".ljust(26) + str(error))
            continue
        click.echo(
            f"model={library}:NAME".ljust(26)
            + f"one of {len(names):,} of {library}, such as {names[len(names) // 2]}; names: zhurnal models {library}:"
        )
    click.echo("\noptions of each: zhurnal settings model; layers of an experiment's network: zhurnal summary e0001")


def list_foreign(pattern: str) -> None:
    """Print the names of a library's networks that match `timm:resnet*`; `timm:` is all of them."""
    from ..train import summary

    library, colon, wanted = pattern.partition(":")
    if library not in LIBRARIES or not colon:
        raise click.UsageError(f"'{pattern}' names no library: write {list_names(f'{name}:' for name in LIBRARIES)}, or {LIBRARIES[0]}:resnet*")
    names = summary.foreign_names(library)
    matching = [n for n in names if fnmatch.fnmatchcase(n, wanted or "*")] or [n for n in names if wanted and wanted in n]
    for name in matching:
        click.echo(f"{library}:{name}")
    if not matching:
        raise RunError(f"none of the {len(names):,} networks of {library} is called {wanted}: see all with `zhurnal models {library}:`")


def show_summary(lab: Lab, name: str, *, image: str | None, classes: int | None, svg: str | None) -> None:
    """Print what an experiment's network is made of, and draw its graph when asked."""
    from ..train import graph, summary

    experiment = lab.experiment(name)
    shape, num_classes = _shape(lab, name, parse_image(image) if image else None, classes)
    network = summary.build(experiment.settings.model, shape, num_classes, lab.folder)
    found = summary.summarize(network, shape)
    click.secho(f"{name}  {experiment.settings.model.name} for {'x'.join(map(str, shape))} and {num_classes} classes", bold=True)
    rows = []
    for layer in found.layers:
        marks = [f"used {layer.uses}x"] if layer.uses > 1 else ["never used"] if layer.uses == 0 else []
        marks += ["frozen"] if layer.parameters and not layer.trained else ["partly frozen"] if layer.trained < layer.parameters else []
        rows.append(
            [
                layer.name or "(the network)",
                layer.kind,
                "x".join(map(str, layer.shape)) if layer.shape is not None else "–",
                f"{layer.parameters:,}" if layer.parameters else "–",
                big(layer.flops),
                f"{percent(layer.flops / found.forward_flops, 1)} %" if layer.flops else "",
                ", ".join(marks),
            ]
        )
    print_table(["layer", "kind", "output", "parameters", "FLOPs", "share", ""], rows, right=(3, 4, 5), shrink=(0,))
    frozen = f" ({found.parameters - found.trained:,} frozen)" if found.trained < found.parameters else ""
    click.echo(f"\n{found.parameters:,} parameters{frozen}, {4 * found.parameters / 2**20:.1f} MiB in float32")
    click.echo(f"FLOPs for an image: {big(found.forward_flops)} forward, {big(found.training_flops)} in training (matrix products and convolutions)")
    for layer in found.shared:
        click.secho(f"note: {layer.name} is used {layer.uses} times, with the same weights and statistics each time", fg="yellow")
    for layer in found.unused:
        click.secho(f"note: {layer.name} ({layer.kind}) is never used: it changes nothing but the number of parameters", fg="yellow")
    for note in found.notes:
        click.echo(f"note: {note}")
    if svg:
        from ..store import files

        title = f"{name}: {experiment.settings.model.name}, {found.parameters:,} parameters"
        files.write(Path(svg), graph.svg(graph.graph(network, shape), title))
        click.echo(f"{svg} written")


def _shape(lab: Lab, name: str, image: Image | None, classes: int | None) -> tuple[Image, int]:
    """Return the shape of an image and the number of classes: as given, of the data set's name, of a run, or of the data itself."""
    from ..train import summary

    if image is not None and classes is not None:
        return image, classes
    experiment = lab.experiment(name)
    found = summary.shape_of(experiment.settings.data)
    for run in lab.runs(name) if found is None else ():
        if data := run.effective.get("data"):
            found = tuple(data["image"]), len(data["classes"])
    if found is None:
        click.echo("reading the images, to know their shape (--image and --classes say it without)", err=True)
        found = summary.shape_in(lab, experiment)
    return image or found[0], classes or found[1]
