"""What happens to training images before the network: seeded augmentation of whole batches, and normalization.

A transform takes uint8 images_NCHW and float64 draws_ND in [0, 1), and returns new uint8 images of the same shape. It promises
- row n of the result depends on row n of the images and of the draws alone, bit for bit, whatever else is in the batch: that, with counter-based
  draws (random.py), is what makes an interrupted run go on exactly;
- it works on the device the images are on, and leaves the images it was given as they are.

A transform is a list of steps (steps.py), one after the other, each with its own columns of the draws; recipes are such lists.

Legend: N images, C channels, H height, W width, D draws.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..core.errors import DataError
from ..core.settings import RECIPES, steps_of
from ..core.text import did_you_mean, list_names
from . import random
from .steps import STEPS, Apply, Shape
from .steps import Transform as Transform


def make(transform: str | list[Any], image: Shape, mean: Sequence[float] | None = None) -> Transform:
    """Return the transform of images of shape (C, H, W) that a recipe's name, or a list of steps in its canonical form, says.

    Args:
        transform: `data.transform` of the settings.
        image: shape of an image.
        mean: mean of each channel, of pixels between 0 and 1, for steps that cover a part of the image with it; black without it.

    Raises:
        DataError: no such transform, or a step that images of this shape are too small for.
    """
    if isinstance(transform, str) and transform not in RECIPES:
        raise DataError(f"data.transform is '{transform}', which is none of {list_names(RECIPES)}{did_you_mean(transform, RECIPES)}")
    mean_C = tuple(round(255 * m) for m in mean) if mean is not None else (0,) * image[0]
    return chain([STEPS[name](image, mean_C, **options) for name, options in steps_of(transform)])


def chain(steps: Sequence[Transform]) -> Transform:
    """Return one transform that does all of them in turn; each takes its columns of the draws, in the same order."""
    ends = [sum(step.num_draws for step in steps[: i + 1]) for i in range(len(steps))]

    copies = bool(steps) and steps[0].in_place

    def apply(images_NCHW: Tensor, draws_ND: Tensor) -> Tensor:
        changed = images_NCHW.clone(memory_format=torch.contiguous_format) if copies else images_NCHW.contiguous()
        for step, end in zip(steps, ends, strict=True):
            changed = step.apply(changed, draws_ND[:, end - step.num_draws : end])
        return changed

    alternating = tuple(end - step.num_draws + column for step, end in zip(steps, ends, strict=True) for column in step.alternating)
    return Transform(ends[-1] if ends else 0, apply, alternating, in_place=False)


def draw(transform: Transform, seed: int, epoch: int, numbers_N: Tensor) -> Tensor:
    """Return draws_ND of a transform for the images `numbers_N` (int64) in an epoch, float64 in [0, 1): a function of these numbers alone.

    An alternating column holds the draw of the image's first epoch, half a turn further in every other epoch: what has probability one half is then
    done to an image in exactly every other epoch.
    """
    draws_ND = random.uniform(seed, random.AUGMENT, epoch, numbers_N, transform.num_draws)
    if transform.alternating:
        columns = list(transform.alternating)
        first_NA = random.uniform(seed, random.AUGMENT, 0, numbers_N, transform.num_draws)[:, columns]
        draws_ND[:, columns] = torch.where(first_NA < 0.5, first_NA + 0.5, first_NA - 0.5) if epoch % 2 else first_NA
    return draws_ND


def from_function(name: str, function: Apply) -> Transform:
    """Return a transform of the user's own: a function(images_NCHW, draws_ND) -> images_NCHW, all images uint8, with an attribute `num_draws`.

    It must keep this file's promises itself; shape and type of what it returns are checked for every batch.

    Raises:
        DataError: the function has no usable `num_draws`; from `apply`, it returned something else than images like those it was given.
    """
    num_draws = getattr(function, "num_draws", None)
    if not isinstance(num_draws, int) or num_draws < 0:
        raise DataError(
            f"data.transform is {name}: the function's num_draws is {num_draws}, must be how many random numbers an image needs: write "
            f"{name.rpartition(':')[2]}.num_draws = 3"
        )

    def apply(images_NCHW: Tensor, draws_ND: Tensor) -> Tensor:
        changed = function(images_NCHW, draws_ND)
        if not isinstance(changed, Tensor) or changed.shape != images_NCHW.shape or changed.dtype != torch.uint8:
            got = f"{changed.dtype} {tuple(changed.shape)}" if isinstance(changed, Tensor) else type(changed).__name__
            raise DataError(f"data.transform is {name}: it returned {got}, must return torch.uint8 {tuple(images_NCHW.shape)}, as it was given")
        return changed

    return Transform(num_draws, apply)


def normalizer(mean: Sequence[float] | None, std: Sequence[float] | None, device: torch.device | str = "cpu") -> Callable[[Tensor], Tensor]:
    """Return a function images_NCHW (uint8, or float from 0 to 255) -> (images / 255 - mean) / std, float32 and contiguous.

    `mean` and `std` hold a number for each channel, of pixels between 0 and 1; without them the result is images / 255.
    """
    scale_C = torch.tensor([1.0] if std is None else list(std), dtype=torch.float64).mul(255).reciprocal()
    shift_C = torch.tensor([0.0] if mean is None else list(mean), dtype=torch.float64).mul(255 * scale_C)
    scale_C11 = scale_C.to(device, torch.float32).view(-1, 1, 1)
    shift_C11 = shift_C.to(device, torch.float32).view(-1, 1, 1)

    def normalize(images_NCHW: Tensor) -> Tensor:
        copy = images_NCHW.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
        return copy.mul_(scale_C11).sub_(shift_C11)

    return normalize
