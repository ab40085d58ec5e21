"""The steps that a transform is made of. To add one: a function here, a line in `STEPS`, a class with its options in `core/sections/transforms.py`.

A step is built for images of one shape (C, H, W) by its function, `crop((3, 32, 32), mean_C, padding=4)`. Its `apply(images_NCHW, draws_ND)` takes
uint8 images and float64 draws in [0, 1), a row for each image, and returns uint8 images of the same shape; unless `in_place` is false it may change
the images it is given.
Row n of the result depends on row n of both alone, bit for bit. Draws are used in the order in which the options are described.

Legend: N images, C channels, H height, W width, D draws, M the images of a batch that drew a step; mean_C the mean color, whole numbers 0 to 255.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..core.errors import DataError
from . import auto_augment, image_ops
from .random import below, between

Apply = Callable[[Tensor, Tensor], Tensor]
Shape = tuple[int, int, int]
Change = Callable[[Tensor, Tensor], Tensor]  # images_MCHW, their rows_M in the batch -> images_MCHW


@dataclass(frozen=True)
class Transform:
    """How many uniform draws an image needs, and what is done with them: `apply(images_NCHW, draws_ND) -> images_NCHW`, all images uint8."""

    num_draws: int
    apply: Apply
    in_place: bool = field(default=True, kw_only=True)  # whether it may change the images it is given
    alternating: tuple[int, ...] = ()  # columns of the draws that an image keeps from epoch to epoch, half a turn further in every other one


def _some(images_NCHW: Tensor, drawn_N: Tensor, change: Change) -> Tensor:
    """Change those images that drew it, in place; rows are on the device of the draws."""
    rows_M = drawn_N.nonzero()[:, 0]
    return image_ops.change_some(images_NCHW, rows_M, lambda images_MCHW: change(images_MCHW, rows_M)) if len(rows_M) else images_NCHW


def crop(image: Shape, mean_C: Sequence[int], *, padding: int | None = None, mode: str = "zero") -> Transform:
    """Pad, and cut the old size out again anywhere: draws for top and left."""
    height, width = image[1:]
    by = padding or max(1, round(min(height, width) / 8))
    if mode == "reflect" and by >= min(height, width):
        raise DataError(f"data.transform: crop.padding is {by}, must be at most {min(height, width) - 1} to mirror images of {height}x{width} pixels")

    def apply(images_NCHW: Tensor, draws_N2: Tensor) -> Tensor:
        tops_N, lefts_N = below(draws_N2[:, 0], 2 * by + 1), below(draws_N2[:, 1], 2 * by + 1)
        if mode == "zero":
            return image_ops.shift(images_NCHW, by - tops_N, by - lefts_N, (by, by))
        return image_ops.crop(image_ops.pad(images_NCHW, by, by, mode), tops_N, lefts_N, (height, width))

    return Transform(2, apply, in_place=False)


def flip(image: Shape, mean_C: Sequence[int], *, p: float = 0.5) -> Transform:
    """Mirror left to right."""
    return Transform(1, lambda images_NCHW, draws_N1: image_ops.mirror(images_NCHW, (draws_N1[:, 0] < p).nonzero()[:, 0], -1))


def flip_vertical(image: Shape, mean_C: Sequence[int], *, p: float = 0.5) -> Transform:
    """Mirror top to bottom."""
    return Transform(1, lambda images_NCHW, draws_N1: image_ops.mirror(images_NCHW, (draws_N1[:, 0] < p).nonzero()[:, 0], -2))


def alternating_flip(image: Shape, mean_C: Sequence[int]) -> Transform:
    """Mirror an image in every other epoch; which ones, its first epoch draws (Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU")."""
    return Transform(1, flip(image, mean_C).apply, alternating=(0,))


def translate(image: Shape, mean_C: Sequence[int], *, horizontal: float = 0.125, vertical: float = 0.125, p: float = 1.0) -> Transform:
    """Shift by whole pixels: draws for whether, to the right and down. As torchvision's RandomAffine(0, translate=(horizontal, vertical))."""
    height, width = image[1:]
    most_x, most_y = horizontal * width, vertical * height
    by_x, by_y = round(most_x), round(most_y)

    def apply(images_NCHW: Tensor, draws_N3: Tensor) -> Tensor:
        rights_N = between(draws_N3[:, 1], -most_x, most_x).round_().long()
        downs_N = between(draws_N3[:, 2], -most_y, most_y).round_().long()

        def shift(images_MCHW: Tensor, rows_M: Tensor) -> Tensor:
            return image_ops.shift(images_MCHW, downs_N[rows_M], rights_N[rows_M], (by_y, by_x))

        return _some(images_NCHW, draws_N3[:, 0] < p, shift)

    return Transform(3, apply)


def cutout(image: Shape, mean_C: Sequence[int], *, size: int | None = None, fill: str = "mean", p: float = 1.0) -> Transform:
    """Cover a square around a random pixel: draws for whether, row and column (DeVries and Taylor 2017, "Cutout")."""
    height, width = image[1:]
    side = size or max(1, min(height, width) // 2)
    color_C = mean_C if fill == "mean" else [0] * image[0]

    def apply(images_NCHW: Tensor, draws_N3: Tensor) -> Tensor:
        tops_N, lefts_N = below(draws_N3[:, 1], height) - side // 2, below(draws_N3[:, 2], width) - side // 2
        boxes_N4 = torch.stack([tops_N, lefts_N, tops_N + side, lefts_N + side], 1)
        boxes_N4[draws_N3[:, 0] >= p] = 0
        return image_ops.erase(images_NCHW, boxes_N4, color_C)

    return Transform(3, apply, in_place=False)


def color_jitter(
    image: Shape,
    mean_C: Sequence[int],
    *,
    brightness: float = 0.3,
    contrast: float = 0.1,
    saturation: float = 0.2,
    hue: float = 0.2,
    p: float = 1.0,
) -> Transform:
    """Change brightness, contrast, saturation and hue: draws for whether, for each of the four, and for their order."""
    ranges = [(max(0.0, 1 - by), 1 + by) if by else None for by in (brightness, contrast, saturation)] + [(-hue, hue) if hue else None]

    def apply(images_NCHW: Tensor, draws_N6: Tensor) -> Tensor:
        def jitter(images_MCHW: Tensor, rows_M: Tensor) -> Tensor:
            draws_M6 = draws_N6[rows_M]
            factors = [between(draws_M6[:, 1 + i], *limits) if limits else None for i, limits in enumerate(ranges)]
            return image_ops.color_jitter(images_MCHW, factors, below(draws_M6[:, 5], len(image_ops.ORDERS)))

        return _some(images_NCHW, draws_N6[:, 0] < p, jitter)

    return Transform(6, apply)


def rotation(image: Shape, mean_C: Sequence[int], *, degrees: float = 30.0, p: float = 1.0) -> Transform:
    """Turn around the center: draws for whether and the angle."""

    def apply(images_NCHW: Tensor, draws_N2: Tensor) -> Tensor:
        angles_N = between(draws_N2[:, 1], -degrees, degrees)
        return _some(images_NCHW, draws_N2[:, 0] < p, lambda images_MCHW, rows_M: image_ops.rotate(images_MCHW, angles_N[rows_M]))

    return Transform(2, apply)


_TRIES = 10  # torchvision's


def _rectangle(draws: Sequence[float], scale: Sequence[float], ratio: Sequence[float], area: int) -> tuple[int, int]:
    """Return two sides whose product is a part of `area` within `scale`, and whose ratio (first to second) is within `ratio`."""
    part = area * (draws[0] * (scale[1] - scale[0]) + scale[0])
    shape = math.exp(draws[1] * (math.log(ratio[1]) - math.log(ratio[0])) + math.log(ratio[0]))
    return round(math.sqrt(part * shape)), round(math.sqrt(part / shape))


def resize_crop(image: Shape, mean_C: Sequence[int], *, scale: Sequence[float] = (0.08, 1.0), ratio: Sequence[float] = (3 / 4, 4 / 3)) -> Transform:
    """Resize a random rectangle to the whole: draws for top and left, and for ten tries of area and shape, as torchvision's RandomResizedCrop."""
    height, width = image[1:]

    def window(draws: Sequence[float]) -> tuple[int, int, int, int]:
        for attempt in range(_TRIES):
            wide, high = _rectangle(draws[2 + 2 * attempt : 4 + 2 * attempt], scale, ratio, height * width)
            if 0 < wide <= width and 0 < high <= height:
                top, left = int(draws[0] * (height - high + 1)), int(draws[1] * (width - wide + 1))
                return min(top, height - high), min(left, width - wide), high, wide
        wide, high = width, height
        if width / height < ratio[0]:
            high = min(height, round(width / ratio[0]))
        elif width / height > ratio[1]:
            wide = min(width, round(height * ratio[1]))
        return (height - high) // 2, (width - wide) // 2, high, wide

    def apply(images_NCHW: Tensor, draws_ND: Tensor) -> Tensor:
        for n, draws in enumerate(draws_ND.tolist()):
            top, left, high, wide = window(draws)
            images_NCHW[n] = image_ops.resize(images_NCHW[n : n + 1, :, top : top + high, left : left + wide].contiguous(), (height, width))[0]
        return images_NCHW

    return Transform(2 + 2 * _TRIES, apply)


def enlarge(image: Shape, mean_C: Sequence[int], *, size: int | None = None, p: float = 1.0) -> Transform:
    """Resize to a larger size and cut the old size out anywhere: draws for whether, top and left."""
    height, width = image[1:]
    large = (round(height * 35 / 32), round(width * 35 / 32))
    if size is not None:
        short = min(height, width)
        if size < short:
            raise DataError(
                f"data.transform: enlarge.size is {size}, must be at least {short}, the smaller side of images of {height}x{width} pixels"
            )
        large = (size if height == short else size * height // short, size if width == short else size * width // short)

    def apply(images_NCHW: Tensor, draws_N3: Tensor) -> Tensor:
        tops_N, lefts_N = below(draws_N3[:, 1], large[0] - height + 1), below(draws_N3[:, 2], large[1] - width + 1)

        def change(images_MCHW: Tensor, rows_M: Tensor) -> Tensor:
            return image_ops.crop(image_ops.resize(images_MCHW, large), tops_N[rows_M], lefts_N[rows_M], (height, width))

        return _some(images_NCHW, draws_N3[:, 0] < p, change)

    return Transform(3, apply)


def grayscale(image: Shape, mean_C: Sequence[int], *, p: float = 0.1) -> Transform:
    """Take the color out."""
    return Transform(
        1, lambda images_NCHW, draws_N1: _some(images_NCHW, draws_N1[:, 0] < p, lambda images_MCHW, rows_M: image_ops.grayscale(images_MCHW))
    )


def random_erasing(
    image: Shape,
    mean_C: Sequence[int],
    *,
    scale: Sequence[float] = (0.02, 0.33),
    ratio: Sequence[float] = (0.3, 3.3),
    fill: str = "mean",
    p: float = 0.5,
) -> Transform:
    """Cover a random rectangle: draws for whether, top and left, and for ten tries of area and shape, as torchvision's RandomErasing."""
    height, width = image[1:]
    color_C = mean_C if fill == "mean" else [0] * image[0]

    def box(draws: Sequence[float]) -> tuple[int, int, int, int]:
        for attempt in range(_TRIES if draws[0] < p else 0):
            high, wide = _rectangle(draws[3 + 2 * attempt : 5 + 2 * attempt], scale, ratio, height * width)
            if high < height and wide < width:
                top, left = int(draws[1] * (height - high + 1)), int(draws[2] * (width - wide + 1))
                return top, left, top + high, left + wide
        return 0, 0, 0, 0

    def apply(images_NCHW: Tensor, draws_ND: Tensor) -> Tensor:
        boxes_N4 = torch.tensor([box(draws) for draws in draws_ND.tolist()], dtype=torch.int64).view(-1, 4)
        return image_ops.erase(images_NCHW, boxes_N4, color_C)

    return Transform(3 + 2 * _TRIES, apply, in_place=False)


def rand_augment(image: Shape, mean_C: Sequence[int], *, num_ops: int = 2, magnitude: int = 9) -> Transform:
    """Do `num_ops` of RandAugment's operations: for each, draws for which and for its direction."""

    def apply(images_NCHW: Tensor, draws_ND: Tensor) -> Tensor:
        for draws_N2 in draws_ND.unflatten(1, (num_ops, 2)).unbind(1):
            which_N, sign_N = draws_N2.unbind(1)
            images_NCHW = auto_augment.operate(images_NCHW, auto_augment.RAND, which_N, torch.full_like(which_N, magnitude).long(), sign_N <= 0.5)
        return images_NCHW

    return Transform(2 * num_ops, apply)


def trivial_augment(image: Shape, mean_C: Sequence[int]) -> Transform:
    """Do one of TrivialAugment's operations: draws for which, how strong, and its direction."""

    def apply(images_NCHW: Tensor, draws_N3: Tensor) -> Tensor:
        which_N, strength_N, sign_N = draws_N3.unbind(1)
        return auto_augment.operate(images_NCHW, auto_augment.WIDE, which_N, below(strength_N, auto_augment.BINS), sign_N <= 0.5)

    return Transform(3, apply)


STEPS: dict[str, Callable[..., Transform]] = {
    "crop": crop,
    "flip": flip,
    "flip_vertical": flip_vertical,
    "alternating_flip": alternating_flip,
    "translate": translate,
    "cutout": cutout,
    "color_jitter": color_jitter,
    "rotation": rotation,
    "resize_crop": resize_crop,
    "enlarge": enlarge,
    "grayscale": grayscale,
    "random_erasing": random_erasing,
    "rand_augment": rand_augment,
    "trivial_augment": trivial_augment,
}
