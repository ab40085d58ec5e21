"""A whole data set before it is split, and what can be done to all of its images: fit a size and channels, sum up for mean and std.

Legend: N images, C channels, H height, W width.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .images import Images, InMemory, Shape, in_memory

_CHUNK = 1 << 20  # pixels worked on at once
_EXACT = 256  # so many squares of a byte sum to less than 2^24: whole numbers up to that are exact in float32, in any order


@dataclass(frozen=True)
class Loaded:
    """All images of a data set, with labels (int64), which of them are for testing (bool), and the numbers by which they are known for good (int64).

    `moments_NC2` holds the sum and the sum of squares of each image's pixel values, int64; None where images are resized when taken.
    """

    name: str
    classes: tuple[str, ...]
    images: Images
    labels_N: Tensor
    is_test_N: Tensor
    numbers_N: Tensor
    moments_NC2: Tensor | None
    fingerprint: str
    notes: tuple[str, ...]
    per_group: int = 1  # so many samples one after the other belong together (clips of a video), and are never split
    decoder: str | None = None  # what decoded video, with its version
    is_val_N: Tensor | None = None  # bool; None where the set has no validation part of its own


def moments_of(pixels_NCHW: Tensor) -> Tensor:
    """Return the sum and the sum of squares of each channel of each image, int64 (N, C, 2). Exact. For clips (NTCHW), over all frames."""
    if pixels_NCHW.ndim == 5:
        return moments_of(pixels_NCHW.flatten(0, 1)).view(*pixels_NCHW.shape[:3], 2).sum(1)
    num, channels = pixels_NCHW.shape[:2]
    moments_NC2 = torch.zeros((num, channels, 2), dtype=torch.int64)
    step = max(1, _CHUNK // max(1, pixels_NCHW[0].numel())) if num else 1
    for start in range(0, num, step):
        pixels_NCP = pixels_NCHW[start : start + step].flatten(2)
        whole = pixels_NCP.shape[2] // _EXACT * _EXACT
        for part_NCBP in (pixels_NCP[..., :whole].unflatten(2, (-1, _EXACT)), pixels_NCP[..., None, whole:]):  # B blocks
            values_NCBP, ones_P = part_NCBP.to(torch.float32), torch.ones(part_NCBP.shape[3])
            moments_NC2[start : start + step, :, 0] += (values_NCBP @ ones_P).to(torch.int64).sum(2)
            moments_NC2[start : start + step, :, 1] += (values_NCBP.square_() @ ones_P).to(torch.int64).sum(2)
    return moments_NC2


def mean_std(moments_NC2: Tensor, num_pixels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and (population) standard deviation of each channel, of pixels between 0 and 1, over all images, each of `num_pixels` pixels."""
    count = len(moments_NC2) * num_pixels
    means, stds = [], []
    for total, squares in moments_NC2.sum(0).tolist():
        means.append(total / count / 255)
        stds.append((squares * count - total * total) ** 0.5 / count / 255)  # whole numbers of any size: nothing cancels
    return tuple(means), tuple(stds)


def fit(loaded: Loaded, image_size: int | None, channels: int | None, fits: Callable[[int], bool]) -> Loaded:
    """Return a data set in memory with images of another size or number of channels.

    Resizing takes the square in the middle, bilinear and antialiased; gray is ITU-R 601 luma; gray becomes color by repetition. Where the resized
    images would not fit in memory (`fits(bytes)`), they are resized each time they are taken.
    """
    images = loaded.images
    assert isinstance(images, InMemory)
    old = images.shape
    size = old[1:] if image_size is None else (image_size, image_size)
    shape: Shape = (channels or old[0], *size)
    if shape == old:
        return loaded

    def change(pixels_NCHW: Tensor) -> Tensor:
        if shape[0] == 1 and old[0] == 3:
            pixels_NCHW = _luma(pixels_NCHW)
        if size != old[1:]:
            side = min(old[1:])
            top, left = (old[1] - side) // 2, (old[2] - side) // 2
            square = pixels_NCHW[:, :, top : top + side, left : left + side]
            pixels_NCHW = torch.nn.functional.interpolate(square, size, mode="bilinear", antialias=True)
        return pixels_NCHW.expand(-1, shape[0], -1, -1).contiguous()

    num_bytes = len(images) * shape[0] * shape[1] * shape[2]
    if not fits(num_bytes):
        note = f"resized when taken: {num_bytes / 1e9:.1f} GB do not fit in memory"
        later = InMemory(images.pixels_NCHW, images.rows_N, shape, change)
        return replace(loaded, images=later, moments_NC2=None, notes=(*loaded.notes, note))
    pixels_NCHW = torch.cat([change(part) for part in torch.split(images.pixels_NCHW, 1024)])
    return replace(loaded, images=in_memory(pixels_NCHW), moments_NC2=moments_of(pixels_NCHW))


def _luma(pixels_N3HW: Tensor) -> Tensor:
    """Return gray images: Pillow's fixed-point form of ITU-R 601, as decoded files have it."""
    red, green, blue = (pixels_N3HW[:, c : c + 1].to(torch.int32) for c in range(3))
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).to(torch.uint8)
