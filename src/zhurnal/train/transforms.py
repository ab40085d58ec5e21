"""What happens to training images before the network: seeded augmentation of whole batches, and normalization.

A transform takes uint8 images_NCHW and float64 draws_ND in [0, 1), and returns new uint8 images of the same shape. It promises
- row n of the result depends on row n of the images and of the draws alone, bit for bit, whatever else is in the batch: that, with counter-based
  draws (random.py), is what makes an interrupted run go on exactly. So only operations that round each number by itself are used: no fused
  multiply-add, no floating-point sums, no vectorized sine;
- the operations are those of torchvision.transforms.v2 on uint8 tensors (the tests compare), for batches whose images each have their own draws;
- it works on the device the images are on, and leaves the images it was given as they are.

Legend: N images, C channels, H height, W width, D draws, M the images of a batch that drew an operation.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.errors import DataError
from ..core.settings import is_own
from ..core.text import did_you_mean, list_names

Apply = Callable[[Tensor, Tensor], Tensor]
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Transform:
    """How many uniform draws an image needs, and what is done with them: `apply(images_NCHW, draws_ND) -> images_NCHW`, all images uint8."""

    num_draws: int
    apply: Apply


def make(name: str, image: Shape) -> Transform:
    """Return the transform `name` for images of shape (C, H, W).

    Raises:
        DataError: no such transform.
    """
    if is_own(name):
        raise DataError(f"data.transform is {name}, a transform of your own, which is not supported yet; take {list_names(TRANSFORMS)}")
    if name not in TRANSFORMS:
        raise DataError(f"data.transform is '{name}', which is none of {list_names(TRANSFORMS)}{did_you_mean(name, TRANSFORMS)}")
    return TRANSFORMS[name](image)


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


# --- transforms ------------------------------------------------------------------------------------------------------------------------------


def init(image: Shape) -> Transform:
    """Leave images as they are."""
    return Transform(0, lambda images_NCHW, draws_ND: images_NCHW)


def augment_simple(image: Shape) -> Transform:
    """Pad with black by an eighth of the smaller side (4 pixels for 32, 1 for 8 and less), crop to the old size anywhere, flip with p=.5."""
    padding = max(1, round(min(image[1:]) / 8))

    def apply(images_NCHW: Tensor, draws_N3: Tensor) -> Tensor:
        tops_N, lefts_N = _below(draws_N3[:, 0], 2 * padding + 1), _below(draws_N3[:, 1], 2 * padding + 1)
        padded = torch.nn.functional.pad(images_NCHW, (padding,) * 4)
        return crop(padded, tops_N, lefts_N, image[1:], draws_N3[:, 2] < 0.5)

    return Transform(3, apply)


def augment(image: Shape) -> Transform:
    """Jitter colors (p=.5), flip (p=.6), rotate by up to 30 degrees (p=.3), enlarge by 35/32 and crop to the old size anywhere (p=.3)."""
    height, width = image[1:]
    large = (round(height * 35 / 32), round(width * 35 / 32))

    def apply(images_NCHW: Tensor, draws_ND: Tensor) -> Tensor:
        images_NCHW = images_NCHW.clone(memory_format=torch.contiguous_format)
        draw = draws_ND.unbind(1)

        def some(drawn_N: Tensor, change: Callable[[Tensor, Tensor], Tensor]) -> None:
            """Change those images that drew it: change(images_MCHW, rows_M), with the rows on the device of the draws."""
            rows_M = drawn_N.nonzero()[:, 0]
            if len(rows_M):
                there_M = rows_M.to(images_NCHW.device)
                images_NCHW[there_M] = change(images_NCHW[there_M], rows_M)

        def jitter(images_MCHW: Tensor, rows_M: Tensor) -> Tensor:
            factors = [_between(draw[1 + i][rows_M], center - by, center + by) for i, (center, by) in enumerate(JITTER)]
            return color_jitter(images_MCHW, factors, _below(draw[5][rows_M], len(_ORDERS)))

        def enlarge(images_MCHW: Tensor, rows_M: Tensor) -> Tensor:
            tops_M, lefts_M = _below(draw[10][rows_M], large[0] - height + 1), _below(draw[11][rows_M], large[1] - width + 1)
            return crop(resize(images_MCHW, large), tops_M, lefts_M, (height, width))

        some(draw[0] < 0.5, jitter)
        some(draw[6] < 0.6, lambda images_MCHW, rows_M: images_MCHW.flip(-1))
        some(draw[7] < 0.3, lambda images_MCHW, rows_M: rotate(images_MCHW, _between(draw[8][rows_M], -30, 30)))
        some(draw[9] < 0.3, enlarge)
        return images_NCHW

    return Transform(12, apply)


TRANSFORMS: dict[str, Callable[[Shape], Transform]] = {"init": init, "augment_simple": augment_simple, "augment": augment}


# --- operations on uint8 images, each image with its own parameters --------------------------------------------------------------------------


def crop(images_NCHW: Tensor, tops_N: Tensor, lefts_N: Tensor, size: tuple[int, int], flips_N: Tensor | None = None) -> Tensor:
    """Return the window of `size` (height, width) that begins at (tops, lefts), int64, mirrored left to right where `flips_N` is true."""
    num, channels, _, width = images_NCHW.shape
    rows_H, cols_W = torch.arange(size[0], device=tops_N.device), torch.arange(size[1], device=tops_N.device)
    cols_NW = cols_W.expand(num, -1) if flips_N is None else torch.where(flips_N[:, None], cols_W.flip(0), cols_W)
    at_NHW = ((tops_N[:, None] + rows_H) * width)[:, :, None] + (lefts_N[:, None] + cols_NW)[:, None, :]
    at_N1P = at_NHW.view(num, 1, size[0] * size[1]).to(images_NCHW.device)
    return images_NCHW.flatten(2).gather(2, at_N1P.expand(-1, channels, -1)).view(num, channels, *size)


def resize(images_NCHW: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the images in `size` (height, width): bilinear, antialiased."""
    native = images_NCHW.device.type == "cpu"  # elsewhere torch resizes floats only
    resized = torch.nn.functional.interpolate(images_NCHW if native else images_NCHW.float(), size, mode="bilinear", antialias=True)
    return resized if native else resized.round_().to(torch.uint8)


def rotate(images_NCHW: Tensor, angles_N: Tensor) -> Tensor:
    """Turn each image counter-clockwise by its angle in degrees around its center: nearest pixel, black where there is none."""
    num, channels, height, width = images_NCHW.shape
    device = images_NCHW.device
    radians = [math.radians(angle) for angle in angles_N.tolist()]
    cos_N11 = torch.tensor([math.cos(r) for r in radians], dtype=torch.float64, device=device).view(-1, 1, 1)
    sin_N11 = torch.tensor([math.sin(r) for r in radians], dtype=torch.float64, device=device).view(-1, 1, 1)
    y_H1 = (torch.arange(height, dtype=torch.float64, device=device) - (height - 1) / 2)[:, None]
    x_1W = (torch.arange(width, dtype=torch.float64, device=device) - (width - 1) / 2)[None, :]
    cols_NHW = (cos_N11 * x_1W - sin_N11 * y_H1 + (width - 1) / 2).round_().long()
    rows_NHW = (sin_N11 * x_1W + cos_N11 * y_H1 + (height - 1) / 2).round_().long()
    inside_NHW = (cols_NHW >= 0) & (cols_NHW < width) & (rows_NHW >= 0) & (rows_NHW < height)
    at_N1P = (rows_NHW * width + cols_NHW).mul_(inside_NHW).view(num, 1, height * width)
    turned = images_NCHW.flatten(2).gather(2, at_N1P.expand(-1, channels, -1)).view_as(images_NCHW)
    return turned.mul_(inside_NHW[:, None])


# Brightness, contrast, saturation, hue: (center, largest deviation) of the factor.
JITTER = ((1.0, 0.3), (1.0, 0.1), (1.0, 0.2), (0.0, 0.2))
_ORDERS = tuple(itertools.permutations(range(len(JITTER))))


def color_jitter(images_NCHW: Tensor, factors: Sequence[Tensor], orders_N: Tensor) -> Tensor:
    """Change brightness, contrast, saturation and hue of each image, in the order numbered `orders_N` (0 to 23).

    `factors` holds those four for each image, float64: the first three multiply (1 changes nothing), hue is added, in turns of the color circle.
    """
    values_NCHW = images_NCHW.float()
    order_N4 = torch.tensor(_ORDERS, device=orders_N.device)[orders_N]
    for step in range(len(JITTER)):
        for number, operation in enumerate((_brightness, _contrast, _saturation, _hue)):
            rows_M = (order_N4[:, step] == number).nonzero()[:, 0]
            if len(rows_M) and (images_NCHW.shape[1] == 3 or operation in (_brightness, _contrast)):  # gray has no saturation or hue
                factors_M111 = factors[number][rows_M].to(values_NCHW.device).view(-1, 1, 1, 1)
                there_M = rows_M.to(values_NCHW.device)
                values_NCHW[there_M] = operation(values_NCHW[there_M], factors_M111)
    return values_NCHW.to(torch.uint8)


# These take and return float32 images that hold whole numbers from 0 to 255: as torchvision on uint8, each ends by cutting off the fraction.


def _brightness(values_MCHW: Tensor, factors_M111: Tensor) -> Tensor:
    return values_MCHW.mul_(factors_M111.float()).clamp_(0, 255).floor_()


def _contrast(values_MCHW: Tensor, factors_M111: Tensor) -> Tensor:
    gray_M1HW = _gray(values_MCHW)
    # A sum of whole numbers below 2^53 is exact in float64, in any order; the mean is then rounded once.
    mean_M111 = (gray_M1HW.sum((2, 3), keepdim=True, dtype=torch.float64) / gray_M1HW[0].numel()).float()
    return _blend(values_MCHW, mean_M111, factors_M111)


def _saturation(values_MCHW: Tensor, factors_M111: Tensor) -> Tensor:
    return _blend(values_MCHW, _gray(values_MCHW), factors_M111)


def _blend(values_MCHW: Tensor, other: Tensor, factors_M111: Tensor) -> Tensor:
    return (other * (1 - factors_M111).float()).add(values_MCHW.mul_(factors_M111.float())).clamp_(0, 255).floor_()


def _gray(values_MCHW: Tensor) -> Tensor:
    """Return ITU-R 601 luma, as torchvision's rgb_to_grayscale, without its fraction."""
    if values_MCHW.shape[1] == 1:
        return values_MCHW
    red, green, blue = (values_MCHW[:, c : c + 1] for c in range(3))
    return (red * 0.2989).add_(green * 0.587).add_(blue * 0.114).floor_()


def _hue(values_MCHW: Tensor, shifts_M111: Tensor) -> Tensor:
    """Turn the color circle, through HSV and back (the formula with one expression for each channel: Wikipedia, "HSL and HSV", alternative form)."""
    red, green, blue = values_MCHW.unbind(1)
    low_MHW, high_MHW = torch.aminmax(values_MCHW, dim=1)
    chroma_MHW = high_MHW - low_MHW
    divisor_MHW = chroma_MHW.clamp(min=1)  # gray pixels have chroma 0 and keep their value whatever the hue
    hue_MHW = torch.where(high_MHW == green, (blue - red) / divisor_MHW + 2, (red - green) / divisor_MHW + 4)
    hue_MHW = torch.where(high_MHW == red, (green - blue) / divisor_MHW, hue_MHW)  # sixths of a turn, -1 to 5
    hue_MHW = hue_MHW + (6 * shifts_M111[:, 0]).float()
    position_M3HW = torch.tensor([5.0, 3.0, 1.0], device=values_MCHW.device).view(3, 1, 1) + hue_MHW[:, None]  # 5, 3, 1: red, green, blue
    position_M3HW -= (position_M3HW / 6).floor_().mul_(6)
    fall_M3HW = torch.minimum(position_M3HW, 4 - position_M3HW).clamp_(0, 1)
    # 255.999 / 255: torchvision's way of making whole numbers of fractions.
    return (high_MHW[:, None] - chroma_MHW[:, None] * fall_M3HW).mul_((256 - 1e-3) / 255).clamp_(0, 255).floor_()


def _below(draws_N: Tensor, limit: int) -> Tensor:
    """Return whole numbers from 0 to limit - 1 (int64), each as likely."""
    return (draws_N * limit).long().clamp_(max=limit - 1)


def _between(draws_N: Tensor, low: float, high: float) -> Tensor:
    return draws_N * (high - low) + low
