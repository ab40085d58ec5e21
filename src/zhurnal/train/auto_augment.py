"""The operations of RandAugment and TrivialAugment on uint8 images, each image with its own operation and magnitude.

Operations, their order and their magnitudes are torchvision.transforms.v2's (RandAugment, TrivialAugmentWide: nearest pixel, black where there is
none), after Cubuk 2019, "RandAugment", and Müller and Hutter 2021, "TrivialAugment". Written anew so that an image's result does not depend, to the
bit, on what else is in its batch (image_ops.py says how); so a pixel half-way between two, or half-way between two values, may fall the other way.

Legend: N images, C channels, H height, W width, M the images of a batch that drew an operation.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from . import image_ops
from .random import below

BINS = 31  # magnitudes are numbered 0 to 30


@dataclass(frozen=True)
class Space:
    """The strongest magnitude of each operation: `shift` in pixels for images of a given side, `rotate` in degrees, `color` as a change of factor."""

    shear: float
    shift: Callable[[int], float]
    rotate: float
    color: float
    fewest_bits: int


RAND = Space(shear=0.3, shift=lambda side: 150.0 / 331.0 * side, rotate=30.0, color=0.9, fewest_bits=4)
WIDE = Space(shear=0.99, shift=lambda side: 32.0, rotate=135.0, color=0.99, fewest_bits=2)


def operate(images_NCHW: Tensor, space: Space, draws_N: Tensor, bins_N: Tensor, negative_N: Tensor) -> Tensor:
    """Do to each image the operation that its draw in [0, 1) chooses; changes the images it is given.

    Args:
        images_NCHW: uint8.
        space: RAND or WIDE.
        draws_N: float64, chooses one of the 14 operations, each as likely.
        bins_N: int64, how strong, from 0 to 30; operations without magnitude ignore it.
        negative_N: bool, turns the magnitude of operations that have a direction.
    """
    chosen_N = below(draws_N, len(OPERATIONS))
    for number, operation in enumerate(OPERATIONS.values()):
        rows_M = (chosen_N == number).nonzero()[:, 0]
        if operation is not None and len(rows_M):
            signs_M = torch.where(negative_N[rows_M], -1.0, 1.0).double()
            image_ops.change_some(images_NCHW, rows_M, functools.partial(operation, space=space, bins_M=bins_N[rows_M], signs_M=signs_M))
    return images_NCHW


def _levels(most: float, bins_M: Tensor, first: float = 0.0) -> Tensor:
    """Return magnitudes, float64: the float32 numbers that torch.linspace gives, as torchvision takes them."""
    return torch.linspace(first, most, BINS)[bins_M.cpu()].double()


def _affine(images_MCHW: Tensor, **entries: Tensor) -> Tensor:
    """Move pixels by x -> a x + b y + c, y -> d x + e y + f; what is not given is as in the identity."""
    matrices_M6 = torch.tensor([1.0, 0, 0, 0, 1, 0], dtype=torch.float64).repeat(len(images_MCHW), 1)
    for name, entries_M in entries.items():
        matrices_M6[:, "abcdef".index(name)] = entries_M
    return image_ops.affine(images_MCHW, matrices_M6)


def _shear_x(images_MCHW: Tensor, space: Space, bins_M: Tensor, signs_M: Tensor) -> Tensor:
    shear_M = _levels(space.shear, bins_M) * signs_M.cpu()
    return _affine(images_MCHW, b=shear_M, c=shear_M * (images_MCHW.shape[2] / 2))  # around the upper left corner


def _shear_y(images_MCHW: Tensor, space: Space, bins_M: Tensor, signs_M: Tensor) -> Tensor:
    shear_M = _levels(space.shear, bins_M) * signs_M.cpu()
    return _affine(images_MCHW, d=shear_M, f=shear_M * (images_MCHW.shape[3] / 2))


def _translate_x(images_MCHW: Tensor, space: Space, bins_M: Tensor, signs_M: Tensor) -> Tensor:
    return _affine(images_MCHW, c=-(_levels(space.shift(images_MCHW.shape[3]), bins_M).trunc() * signs_M.cpu()))


def _translate_y(images_MCHW: Tensor, space: Space, bins_M: Tensor, signs_M: Tensor) -> Tensor:
    return _affine(images_MCHW, f=-(_levels(space.shift(images_MCHW.shape[2]), bins_M).trunc() * signs_M.cpu()))


def _rotate(images_MCHW: Tensor, space: Space, bins_M: Tensor, signs_M: Tensor) -> Tensor:
    return image_ops.rotate(images_MCHW, _levels(space.rotate, bins_M) * signs_M.cpu())


def _brightness(images_MCHW: Tensor, space: Space, bins_M: Tensor, signs_M: Tensor) -> Tensor:
    return image_ops.adjust("brightness", images_MCHW, 1 + _levels(space.color, bins_M) * signs_M.cpu())


def _color(images_MCHW: Tensor, space: Space, bins_M: Tensor, signs_M: Tensor) -> Tensor:
    return image_ops.adjust("saturation", images_MCHW, 1 + _levels(space.color, bins_M) * signs_M.cpu())


def _contrast(images_MCHW: Tensor, space: Space, bins_M: Tensor, signs_M: Tensor) -> Tensor:
    return image_ops.adjust("contrast", images_MCHW, 1 + _levels(space.color, bins_M) * signs_M.cpu())


def _sharpness(images_MCHW: Tensor, space: Space, bins_M: Tensor, signs_M: Tensor) -> Tensor:
    return sharpen(images_MCHW, 1 + _levels(space.color, bins_M) * signs_M.cpu())


def _posterize(images_MCHW: Tensor, space: Space, bins_M: Tensor, signs_M: Tensor) -> Tensor:
    # torchvision's float32 numbers again: a half rounds to the even number
    bits_M = (8 - torch.arange(BINS) / ((BINS - 1) / (8 - space.fewest_bits))).round().int()[bins_M.cpu()]
    masks_M = torch.tensor([256 - 2 ** (8 - bits) for bits in bits_M.tolist()], dtype=torch.uint8, device=images_MCHW.device)
    return images_MCHW & masks_M.view(-1, 1, 1, 1)


def _solarize(images_MCHW: Tensor, space: Space, bins_M: Tensor, signs_M: Tensor) -> Tensor:
    least_M = (255.0 * _levels(0.0, bins_M, first=1.0)).float().ceil().to(images_MCHW.device, torch.int16)
    return torch.where(images_MCHW >= least_M.view(-1, 1, 1, 1), 255 - images_MCHW, images_MCHW)


def _auto_contrast(images_MCHW: Tensor, space: Space, bins_M: Tensor, signs_M: Tensor) -> Tensor:
    return stretch(images_MCHW)


def _equalize(images_MCHW: Tensor, space: Space, bins_M: Tensor, signs_M: Tensor) -> Tensor:
    return equalize(images_MCHW)


# In torchvision's order, which a draw is a number in; None is the identity.
OPERATIONS: dict[str, Callable[..., Tensor] | None] = {
    "Identity": None,
    "ShearX": _shear_x,
    "ShearY": _shear_y,
    "TranslateX": _translate_x,
    "TranslateY": _translate_y,
    "Rotate": _rotate,
    "Brightness": _brightness,
    "Color": _color,
    "Contrast": _contrast,
    "Sharpness": _sharpness,
    "Posterize": _posterize,
    "Solarize": _solarize,
    "AutoContrast": _auto_contrast,
    "Equalize": _equalize,
}


def sharpen(images_NCHW: Tensor, factors_N: Tensor) -> Tensor:
    """Return images blurred (factor below 1) or sharpened (above 1): blended with the mean of 3x3 pixels, the middle one five times; border stays."""
    height, width = images_NCHW.shape[2:]
    if height <= 2 or width <= 2:
        return images_NCHW
    whole_NCHW = images_NCHW.to(torch.int16)
    rows = whole_NCHW[:, :, :-2] + whole_NCHW[:, :, 1:-1] + whole_NCHW[:, :, 2:]
    sums = 4 * whole_NCHW[:, :, 1:-1, 1:-1] + rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    blurred = sums.add_(6).div_(13, rounding_mode="floor").float()  # the nearest whole number: thirteenths are never half-way
    inner = images_NCHW[:, :, 1:-1, 1:-1].float()
    weights_N111 = (1 - factors_N).float().to(images_NCHW.device).view(-1, 1, 1, 1)
    sharp_NCHW = images_NCHW.clone()
    sharp_NCHW[:, :, 1:-1, 1:-1] = blurred.sub_(inner).mul_(weights_N111).add_(inner).clamp_(0, 255).to(torch.uint8)
    return sharp_NCHW


def stretch(images_NCHW: Tensor) -> Tensor:
    """Return images whose darkest value of each channel is 0 and lightest 255; a channel of one value stays."""
    values_NCHW = images_NCHW.float()
    low_NC11, high_NC11 = values_NCHW.amin((2, 3), keepdim=True), values_NCHW.amax((2, 3), keepdim=True)
    flat_NC11 = low_NC11 == high_NC11
    scale_NC11 = (high_NC11 - low_NC11).mul_(1.0 / 255).masked_fill_(flat_NC11, 1.0)
    return values_NCHW.sub_(low_NC11.masked_fill_(flat_NC11, 0.0)).div_(scale_NC11).clamp_(0, 255).to(torch.uint8)


def equalize(images_NCHW: Tensor) -> Tensor:
    """Return images in whose channels every value is about as frequent: Pillow's rule (ImageOps.equalize), which torchvision follows."""
    num, channels, height, width = images_NCHW.shape
    flat_NCP = images_NCHW.flatten(2).long()
    counts_NCV = torch.zeros(num, channels, 256, dtype=torch.int32, device=images_NCHW.device)
    counts_NCV.scatter_add_(2, flat_NCP, torch.ones((), dtype=torch.int32, device=images_NCHW.device).expand_as(flat_NCP))
    lightest_NC1 = flat_NCP.amax(2, keepdim=True)
    steps_NC1 = (height * width - counts_NCV.gather(2, lightest_NC1)).div_(255, rounding_mode="floor")
    below_NCV = torch.nn.functional.pad(counts_NCV.cumsum(2, dtype=torch.int32)[:, :, :-1], (1, 0))  # pixels darker than a value
    table_NCV = (below_NCV + steps_NC1 // 2).div_(steps_NC1.clamp(min=1), rounding_mode="floor").clamp_(0, 255)
    equal_NCHW = table_NCV.to(torch.uint8).gather(2, flat_NCP).view_as(images_NCHW)
    return torch.where(steps_NC1.ne(0)[..., None], equal_NCHW, images_NCHW)
