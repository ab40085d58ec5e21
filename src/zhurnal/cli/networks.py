"""Commands about networks: `models` lists them, `summary` shows the one of an experiment."""

import click

from .words import lab_of


@click.command()
@click.argument("pattern", required=False)
@click.option("--image", default="3x32x32", show_default=True, metavar="CxHxW", help="Channels, height and width of an image.")
@click.option("--classes", default=10, show_default=True, type=click.IntRange(1), help="Number of classes.")
def models(pattern: str | None, image: str, classes: int) -> None:
    """List the networks there are, with parameters and the FLOPs of training on an image.

    With PATTERN, such as `timm:resnet*` or `torchvision:`, the names of a library's networks.
    """
    from .models import list_foreign, list_models

    if pattern is None:
        list_models(image, classes)
    else:
        list_foreign(pattern)


@click.command()
@click.argument("experiment")
@click.option("--image", metavar="CxHxW", help="Channels, height and width of an image; without it, those of the experiment's data.")
@click.option("--classes", type=click.IntRange(1), help="Number of classes; without it, that of the experiment's data.")
@click.option("--svg", type=click.Path(dir_okay=False), help="Draw the network's graph into this file.")
@click.pass_context
def summary(ctx: click.Context, experiment: str, image: str | None, classes: int | None, svg: str | None) -> None:
    """Show an experiment's network: layers, shapes, parameters, FLOPs; what is used more than once, and what never."""
    from .models import show_summary

    lab = lab_of(ctx)
    for name in lab.select(experiment)[:1]:
        show_summary(lab, name, image=image, classes=classes, svg=svg)
