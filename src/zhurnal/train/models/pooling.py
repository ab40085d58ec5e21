"""Max-pooling of 2x2 pixels, on processors in about half of PyTorch's time where maps lie one after the other.

Promises: values and gradients are those of `torch.nn.MaxPool2d(2)`, to the bit, where they are finite; of equal pixels the first in reading order
gets the gradient. Images laid out channels last, and other devices, are PyTorch's own: it is fast there.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

CHUNK = 2_000_000  # bytes of maps worked on at once: they stay in a core's cache


class MaxPool2d(nn.MaxPool2d):
    """`nn.MaxPool2d(2)`: the largest of each 2x2 pixels; an odd row or column at the end is left out."""

    def __init__(self) -> None:
        super().__init__(2)

    def forward(self, maps_NCHW: Tensor) -> Tensor:
        """Return maps of half the height and width."""
        if maps_NCHW.device.type != "cpu" or maps_NCHW.ndim != 4 or not maps_NCHW.is_contiguous() or min(maps_NCHW.shape[2:]) < 2:
            return nn.functional.max_pool2d(maps_NCHW, 2)
        pooled_NCHW: Tensor = _Pool.apply(maps_NCHW)  # type: ignore[no-untyped-call]
        return pooled_NCHW


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps_NCHW: Tensor) -> Tensor:
        height, width = (side // 2 * 2 for side in maps_NCHW.shape[2:])
        rows_NCHW = torch.maximum(maps_NCHW[:, :, 0:height:2, :width], maps_NCHW[:, :, 1:height:2, :width])
        pooled_NCHW = torch.maximum(rows_NCHW[..., 0::2], rows_NCHW[..., 1::2])
        ctx.save_for_backward(maps_NCHW, pooled_NCHW)
        return pooled_NCHW

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        maps_NCHW, pooled_NCHW = ctx.saved_tensors
        height, width = (side // 2 * 2 for side in maps_NCHW.shape[2:])
        is_even = (height, width) == maps_NCHW.shape[2:]
        gradient_NCHW = torch.empty_like(maps_NCHW) if is_even else torch.zeros_like(maps_NCHW)
        num = max(1, CHUNK // (maps_NCHW[0].numel() * maps_NCHW.element_size())) if len(maps_NCHW) else 1
        for maps, pooled, above, below in zip(*(t.split(num) for t in (maps_NCHW, pooled_NCHW, gradients[0], gradient_NCHW)), strict=True):
            free = None  # windows whose largest pixel was not met yet
            for top, left in ((0, 0), (0, 1), (1, 0), (1, 1)):
                at = (slice(None), slice(None), slice(top, height, 2), slice(left, width, 2))
                hit = maps[at] == pooled
                if free is None:
                    free = ~hit
                else:
                    hit &= free
                    free &= ~hit
                torch.mul(above, hit, out=below[at])
        return gradient_NCHW
