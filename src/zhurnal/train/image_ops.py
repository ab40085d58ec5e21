"""Operations on uint8 images, each image with its own parameters: what the steps of a transform are made of.

Promises:
- row n of a result depends on row n of what is given alone, bit for bit, whatever else is in the batch. So only operations that round each number
  by itself are used: no fused multiply-add, no floating-point sums, no vectorized sine;
- the operations are those of torchvision.transforms.v2 on uint8 tensors (the tests compare);
- they work on the device the images are on, and leave the images they are given as they are (`mirror` and `change_some` change them).

Legend: N images, C channels, H height, W width, M the images of a batch that drew an operation.
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

TABLE = 2**20  # bytes: masks of all moves are kept where they take no more


def change_some(images_NCHW: Tensor, rows_M: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Put `change(images_MCHW)` of the images `rows_M` (int64) in their place; rows may be on another device than images."""
    if images_NCHW.device.type == "cpu":  # numpy copies whole images, in a tenth of the time
        pixels_NCHW, rows = images_NCHW.numpy(), rows_M.cpu().numpy()
        pixels_NCHW[rows] = change(torch.from_numpy(pixels_NCHW[rows])).numpy()
    else:
        there_M = rows_M.to(images_NCHW.device)
        images_NCHW[there_M] = change(images_NCHW[there_M])
    return images_NCHW


def to_uint8(values_NCHW: Tensor) -> Tensor:
    """Return whole numbers from 0 to 255, held as float32, as uint8."""
    if values_NCHW.device.type == "cpu":  # numpy does so in a quarter of the time
        return torch.from_numpy(values_NCHW.numpy().astype(np.uint8))
    return values_NCHW.to(torch.uint8)


def pad(images_NCHW: Tensor, vertical: int, horizontal: int, mode: str = "zero") -> Tensor:
    """Return the images with so many more pixels at top and bottom, left and right: black, or (`reflect`) mirrored at the border pixel."""
    if mode == "zero":
        return torch.nn.functional.pad(images_NCHW, (horizontal, horizontal, vertical, vertical))
    num, channels, height, width = images_NCHW.shape
    padded_NCHW = images_NCHW.new_empty(num, channels, height + 2 * vertical, width + 2 * horizontal)
    bottom, right = vertical + height, horizontal + width
    middle_NCHW = padded_NCHW[:, :, vertical:bottom]
    middle_NCHW[..., horizontal:right] = images_NCHW
    middle_NCHW[..., :horizontal] = images_NCHW[..., 1 : 1 + horizontal].flip(-1)
    middle_NCHW[..., right:] = images_NCHW[..., width - 1 - horizontal : width - 1].flip(-1)
    padded_NCHW[:, :, :vertical] = middle_NCHW[:, :, 1 : 1 + vertical].flip(-2)
    padded_NCHW[:, :, bottom:] = middle_NCHW[:, :, height - 1 - vertical : height - 1].flip(-2)
    return padded_NCHW


def crop(images_NCHW: Tensor, tops_N: Tensor, lefts_N: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the window of `size` (height, width) that begins at (tops, lefts), int64, of each image."""
    cut = copy_windows if images_NCHW.device.type == "cpu" else gather_windows
    return cut(images_NCHW, tops_N, lefts_N, size)


def copy_windows(images_NCHW: Tensor, tops_N: Tensor, lefts_N: Tensor, size: tuple[int, int]) -> Tensor:
    """Return windows copied row by row: on a processor, a fifth of the time of looking up each pixel.

    All images are one run of bytes, and a row of a window is `size[1]` of them that begin anywhere in it.
    """
    num, channels, _, width = images_NCHW.shape
    if not num:
        return images_NCHW.new_empty((0, channels, *size))
    return _copy_rows(images_NCHW, tops_N.numpy() * width + lefts_N.numpy(), size)


def _copy_rows(images_NCHW: Tensor, corners_N: np.ndarray, size: tuple[int, int]) -> Tensor:
    """Return windows whose first pixel is so many bytes from that of their image; rows that would leave memory begin at its end that is nearest."""
    num, channels, height, width = images_NCHW.shape
    pixels = images_NCHW.contiguous().view(-1)
    runs = pixels.as_strided((len(pixels) - size[1] + 1, size[1]), (1, 1))  # overlapping: each begins one byte after the one before
    rows_CH = np.arange(channels)[:, None] * (height * width) + np.arange(size[0]) * width
    starts = (np.arange(num) * (channels * height * width) + corners_N)[:, None] + rows_CH.ravel()
    return runs.index_select(0, torch.from_numpy(starts.ravel().clip(0, len(runs) - 1))).view(num, channels, *size)


def gather_windows(images_NCHW: Tensor, tops_N: Tensor, lefts_N: Tensor, size: tuple[int, int]) -> Tensor:
    """Return windows by looking up each of their pixels, all at once."""
    num, channels, _, width = images_NCHW.shape
    rows_H, cols_W = torch.arange(size[0], device=tops_N.device), torch.arange(size[1], device=tops_N.device)
    at_NHW = ((tops_N[:, None] + rows_H) * width)[:, :, None] + (lefts_N[:, None] + cols_W)[:, None, :]
    at_N1P = at_NHW.view(num, 1, size[0] * size[1]).to(images_NCHW.device)
    return images_NCHW.flatten(2).gather(2, at_N1P.expand(-1, channels, -1)).view(num, channels, *size)


def shift(images_NCHW: Tensor, downs_N: Tensor, rights_N: Tensor, most: tuple[int, int]) -> Tensor:
    """Return each image moved by so many pixels down and to the right (int64, below 0 for up and left), black where it comes from outside.

    `most` is the largest move down or up, and that to either side. The same as a window of the image padded with black, which a processor makes in
    less time and memory: rows are copied from where they would begin, and what of them belongs to the row before or behind is covered.
    """
    num, _, height, width = images_NCHW.shape
    if images_NCHW.device.type != "cpu" or not num or most[0] >= height or most[1] >= width:
        return crop(pad(images_NCHW, *most), most[0] - downs_N, most[1] - rights_N, (height, width))
    moved_NCHW = _copy_rows(images_NCHW, -downs_N.numpy() * width - rights_N.numpy(), (height, width))
    # two rows would begin before the first pixel, or end behind the last
    down, right = int(downs_N[0]), int(rights_N[0])
    if down >= 0 and right > 0:
        moved_NCHW[0, 0, down, right:] = images_NCHW[0, 0, 0, :-right]
    down, right = int(downs_N[-1]), int(rights_N[-1])
    if down <= 0 and right < 0:
        moved_NCHW[-1, -1, down - 1, :right] = images_NCHW[-1, -1, -1, -right:]
    return moved_NCHW.bitwise_and_(_from_inside(downs_N, rights_N, (height, width), most)[:, None])


def _from_inside(downs_N: Tensor, rights_N: Tensor, size: tuple[int, int], most: tuple[int, int]) -> Tensor:
    """Return masks_NHW of images that are moved: 255 where a pixel comes from inside, else 0."""
    moves = (2 * most[0] + 1, 2 * most[1] + 1)
    if math.prod((*moves, *size)) > TABLE:
        return _insides(downs_N, rights_N, size)
    return _all_insides(size, most).index_select(0, (downs_N + most[0]) * moves[1] + rights_N + most[1])


@functools.lru_cache(16)
def _all_insides(size: tuple[int, int], most: tuple[int, int]) -> Tensor:
    """Return the mask of every move: looked up, a tenth of the time of computing it."""
    downs, rights = torch.meshgrid(torch.arange(-most[0], most[0] + 1), torch.arange(-most[1], most[1] + 1), indexing="ij")
    return _insides(downs.ravel(), rights.ravel(), size)


def _insides(downs_N: Tensor, rights_N: Tensor, size: tuple[int, int]) -> Tensor:
    rows_NH, cols_NW = (torch.arange(length) - by_N[:, None] for length, by_N in zip(size, (downs_N, rights_N), strict=True))
    rows_NH, cols_NW = (((at >= 0) & (at < length)).to(torch.uint8).mul_(255) for at, length in zip((rows_NH, cols_NW), size, strict=True))
    return rows_NH[:, :, None] & cols_NW[:, None, :]


def mirror(images_NCHW: Tensor, rows_M: Tensor, dim: int) -> Tensor:
    """Mirror the images `rows_M` along a dimension, -1 for left to right, in place."""
    if images_NCHW.device.type == "cpu":  # numpy reads backwards in half the time, and words of eight pixels in a quarter
        pixels_NCHW, rows = images_NCHW.numpy(), rows_M.numpy()
        if dim == -1 and pixels_NCHW.shape[-1] % 8 == 0 and pixels_NCHW.flags.c_contiguous:
            words = pixels_NCHW.view(np.uint64)
            words[rows] = words[rows][..., ::-1].byteswap()
        else:
            pixels_NCHW[rows] = np.flip(pixels_NCHW[rows], dim)
        return images_NCHW
    return change_some(images_NCHW, rows_M, lambda images_MCHW: images_MCHW.flip(dim))


def resize(images_NCHW: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the images in `size` (height, width): bilinear, antialiased."""
    native = images_NCHW.device.type == "cpu"  # elsewhere torch resizes floats only
    resized = torch.nn.functional.interpolate(images_NCHW if native else images_NCHW.float(), size, mode="bilinear", antialias=True)
    return resized if native else to_uint8(resized.round_())


def rotate(images_NCHW: Tensor, angles_N: Tensor) -> Tensor:
    """Turn each image counter-clockwise by its angle in degrees around its center: nearest pixel, black where there is none."""
    turns = [(math.cos(r), math.sin(r)) for r in (math.radians(angle) for angle in angles_N.tolist())]
    return affine(images_NCHW, torch.tensor([(cos, -sin, 0.0, sin, cos, 0.0) for cos, sin in turns], dtype=torch.float64).view(-1, 6))


def affine(images_NCHW: Tensor, matrices_N6: Tensor) -> Tensor:
    """Return images whose pixel (x, y) is the nearest to (a x + b y + c, d x + e y + f) before, black where there is none.

    x and y count pixels from the center to the right and down; matrices_N6 holds a to f for each image, float64.
    """
    num, channels, height, width = images_NCHW.shape
    device = images_NCHW.device
    a, b, c, d, e, f = (column_N.to(device).view(-1, 1, 1) for column_N in matrices_N6.unbind(1))
    y_H1 = (torch.arange(height, dtype=torch.float64, device=device) - (height - 1) / 2)[:, None]
    x_1W = (torch.arange(width, dtype=torch.float64, device=device) - (width - 1) / 2)[None, :]
    cols_NHW = (a * x_1W + b * y_H1).add_(c).add_((width - 1) / 2).round_()
    rows_NHW = (d * x_1W + e * y_H1).add_(f).add_((height - 1) / 2).round_()
    inside_NHW = (cols_NHW >= 0).logical_and_(cols_NHW < width).logical_and_(rows_NHW >= 0).logical_and_(rows_NHW < height)
    at_N1P = rows_NHW.mul_(width).add_(cols_NHW).mul_(inside_NHW).long().view(num, 1, height * width)
    turned = images_NCHW.flatten(2).gather(2, at_N1P.expand(-1, channels, -1)).view_as(images_NCHW)
    return turned.mul_(inside_NHW[:, None])


def erase(images_NCHW: Tensor, boxes_N4: Tensor, fill_C: Sequence[int]) -> Tensor:
    """Return the images with a box of one color each: rows top to below bottom, columns left to below right, int64; a box may reach outside."""
    height, width = images_NCHW.shape[2:]
    top, left, bottom, right = (column_N.to(images_NCHW.device).view(-1, 1, 1) for column_N in boxes_N4.unbind(1))
    rows_H1 = torch.arange(height, device=images_NCHW.device)[:, None]
    cols_1W = torch.arange(width, device=images_NCHW.device)
    covered_NHW = (rows_H1 >= top) & (rows_H1 < bottom) & (cols_1W >= left) & (cols_1W < right)
    fill_C11 = torch.tensor(list(fill_C), dtype=torch.uint8, device=images_NCHW.device).view(-1, 1, 1)
    covers_N1HW = covered_NHW[:, None].to(torch.uint8).mul_(255)  # all bits or none: a third of the time of selecting
    return images_NCHW.bitwise_and(~covers_N1HW).bitwise_or_(covers_N1HW & fill_C11)


def grayscale(images_NCHW: Tensor) -> Tensor:
    """Return the images without color, in as many channels."""
    return to_uint8(_gray(images_NCHW.float())).expand_as(images_NCHW)


ORDERS = tuple(itertools.permutations(range(4)))


def color_jitter(images_NCHW: Tensor, factors: Sequence[Tensor | None], orders_N: Tensor) -> Tensor:
    """Change brightness, contrast, saturation and hue of each image, in the order numbered `orders_N` (0 to 23).

    `factors` holds those four for each image, float64: the first three multiply (1 changes nothing), hue is added, in turns of the color circle.
    None leaves that one as it is.
    """
    values_NCHW = images_NCHW.float()
    order_N4 = torch.tensor(ORDERS, device=orders_N.device)[orders_N]
    for step in range(4):
        for number, (operation, factors_N) in enumerate(zip((_brightness, _contrast, _saturation, _hue), factors, strict=True)):
            if factors_N is None or (images_NCHW.shape[1] == 1 and operation in (_saturation, _hue)):  # gray has no saturation or hue
                continue
            rows_M = (order_N4[:, step] == number).nonzero()[:, 0]
            if len(rows_M):
                factors_M111 = factors_N[rows_M].to(values_NCHW.device).view(-1, 1, 1, 1)
                change_some(values_NCHW, rows_M, functools.partial(operation, factors_M111=factors_M111))
    return to_uint8(values_NCHW)


def adjust(kind: str, images_NCHW: Tensor, factors_N: Tensor) -> Tensor:
    """Change one of brightness, contrast or saturation of each image by its factor, float64; 1 changes nothing."""
    if kind == "saturation" and images_NCHW.shape[1] == 1:
        return images_NCHW
    operation = {"brightness": _brightness, "contrast": _contrast, "saturation": _saturation}[kind]
    return to_uint8(operation(images_NCHW.float(), factors_N.to(images_NCHW.device).view(-1, 1, 1, 1)))


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
    rest = other * (1 - factors_M111).float()  # first: `other` may be the values themselves
    return values_MCHW.mul_(factors_M111.float()).add_(rest).clamp_(0, 255).floor_()


def _gray(values_MCHW: Tensor) -> Tensor:
    """Return ITU-R 601 luma, as torchvision's rgb_to_grayscale, without its fraction."""
    if values_MCHW.shape[1] == 1:
        return values_MCHW
    red, green, blue = (values_MCHW[:, c : c + 1] for c in range(3))
    return (red * 0.2989).add_(green * 0.587).add_(blue * 0.114).floor_()


def _hue(values_MCHW: Tensor, factors_M111: Tensor) -> Tensor:
    """Turn the color circle, through HSV and back (the formula with one expression for each channel: Wikipedia, "HSL and HSV", alternative form).

    Which channel is the largest is held as 0 and 1 in floats: to multiply by it is faster than to select, and as exact.
    """
    red, green, blue = values_MCHW.unbind(1)
    high_MHW = torch.maximum(red, green).maximum(blue)
    chroma_MHW = high_MHW - torch.minimum(red, green).minimum(blue)
    divisor_MHW = chroma_MHW.clamp(min=1)  # gray pixels have chroma 0 and keep their value whatever the hue
    is_red = high_MHW.clone().eq_(red)
    is_green = high_MHW.clone().eq_(green).mul_(1 - is_red)
    is_blue = 1 - is_red - is_green
    hue_MHW = (green - blue).mul_(is_red).add_((blue - red).mul_(is_green)).add_((red - green).mul_(is_blue)).div_(divisor_MHW)
    hue_MHW.add_(is_green, alpha=2).add_(is_blue, alpha=4)  # sixths of a turn, -1 to 5
    hue_MHW.add_((6 * factors_M111[:, 0]).float())
    for channel, start in zip(values_MCHW.unbind(1), (5.0, 3.0, 1.0), strict=True):
        position_MHW = hue_MHW + start
        position_MHW -= (position_MHW / 6).floor_().mul_(6)
        fall_MHW = torch.minimum(position_MHW, 4 - position_MHW).clamp_(0, 1)
        torch.sub(high_MHW, fall_MHW.mul_(chroma_MHW), out=channel)
    # 255.999 / 255: torchvision's way of making whole numbers of fractions.
    return values_MCHW.mul_((256 - 1e-3) / 255).clamp_(0, 255).floor_()
