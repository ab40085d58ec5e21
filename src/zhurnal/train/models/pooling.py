"""Max-pooling of 2x2 pixels, on processors in a third to two thirds of PyTorch's time where maps lie one after the other; also with a convolution.

Promises: values and gradients of `MaxPool2d` are equal to those of `torch.nn.MaxPool2d(2)` where they are finite; of equal pixels the first in
reading order gets the gradient. Images laid out channels last, and other devices, are PyTorch's own: it is fast there.

The four pixels of the windows are kept as four maps, one after the other: then all that is computed is of whole vectors of the processor. Which of
them is the largest is kept as three maps of 0 and 1 in the numbers of the maps, for to multiply is faster than to select.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

CHUNK = 2_000_000  # bytes of maps worked on at once: they stay in a core's cache
FEW_IMAGES = 16  # below this, what is gained by a convolution of phases is lost in making them


class MaxPool2d(nn.MaxPool2d):
    """`nn.MaxPool2d(2)`: the largest of each 2x2 pixels; an odd row or column at the end is left out."""

    def __init__(self) -> None:
        super().__init__(2)

    def forward(self, maps_NCHW: Tensor) -> Tensor:
        """Return maps of half the height and width."""
        if maps_NCHW.device.type != "cpu" or maps_NCHW.ndim != 4 or not maps_NCHW.is_contiguous() or min(maps_NCHW.shape[2:]) < 2:
            return functional.max_pool2d(maps_NCHW, 2)
        pooled_NCHW: Tensor = _Pool.apply(maps_NCHW)  # type: ignore[no-untyped-call]
        return pooled_NCHW


def conv_max_pool(conv: nn.Conv2d, pool: MaxPool2d, images_NCHW: Tensor) -> Tensor | None:
    """Return `pool(conv(images_NCHW))` in less time, or None where this does not serve: call the two then.

    The convolution is computed at every second row and column, for each of the four pixels of a window as channels of their own, from weights that
    are padded to a kernel of one more row and column: half as much again to compute, but four times as many channels. That pays where there are
    few of them, as in LeNet's first layer; the largest of the four is then one of four maps that lie one after the other. Sums are rounded in
    another order than by `conv` itself.

    It serves for images on a processor that lie one after the other, for convolutions of stride 1 without dilation and groups, and only while
    nobody listens to one of the two by a hook.
    """
    weight = conv.weight
    is_plain = conv.stride == (1, 1) and conv.dilation == (1, 1) and conv.groups == 1 and conv.padding_mode == "zeros"
    if (
        not is_plain
        or isinstance(conv.padding, str)
        or _is_heard(conv)
        or _is_heard(pool)
        or images_NCHW.device.type != "cpu"
        or images_NCHW.ndim != 4
        or images_NCHW.shape[1] != conv.in_channels  # the convolution says what is wrong
        or len(images_NCHW) < FEW_IMAGES
        or any(side + 2 * pad <= of for side, pad, of in zip(images_NCHW.shape[2:], conv.padding, conv.kernel_size, strict=True))
        or not (images_NCHW.is_contiguous() and weight.is_contiguous())
        or torch.is_autocast_enabled("cpu")
    ):
        return None
    phases = torch.cat([functional.pad(weight, (left, 1 - left, top, 1 - top)) for top in (0, 1) for left in (0, 1)])
    bias = None if conv.bias is None else conv.bias.repeat(4)
    maps_NCHW = functional.conv2d(images_NCHW, phases, bias, stride=2, padding=conv.padding)
    # Images of one channel are contiguous and channels last at once, and their maps may be the latter.
    pooled_NCHW: Tensor = _LargestOfFour.apply(maps_NCHW.contiguous())  # type: ignore[no-untyped-call]
    return pooled_NCHW


def _is_heard(module: nn.Module) -> bool:
    """Return whether hooks, or a `forward` put onto the module itself, wait for a call of it."""
    own = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    return any(own) or "forward" in vars(module) or nn.modules.module._has_any_global_hook()


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps_NCHW: Tensor) -> Tensor:
        height, width = (side // 2 * 2 for side in maps_NCHW.shape[2:])
        if not ctx.needs_input_grad[0]:
            rows_NCHW = torch.maximum(maps_NCHW[:, :, 0:height:2, :width], maps_NCHW[:, :, 1:height:2, :width])
            return torch.maximum(rows_NCHW[..., 0::2], rows_NCHW[..., 1::2])
        ctx.shape = maps_NCHW.shape
        ctx.num = max(1, CHUNK // (maps_NCHW[0].numel() * maps_NCHW.element_size())) if len(maps_NCHW) else 1
        found = [_largest(*(pixels.clone(memory_format=torch.contiguous_format) for pixels in _pixels(part))) for part in maps_NCHW.split(ctx.num)]
        ctx.save_for_backward(*(mark for _, *marks in found for mark in marks))
        return torch.cat([pooled for pooled, *_ in found]) if len(found) > 1 else found[0][0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        height, width = ctx.shape[2:]
        new = gradients[0].new_zeros if height % 2 or width % 2 else gradients[0].new_empty
        gradient_NCHW = new(ctx.shape)
        marks = iter(ctx.saved_tensors)
        for pooled, whole in zip(gradients[0].split(ctx.num), gradient_NCHW.split(ctx.num), strict=True):
            for pixels, values in zip(_pixels(whole), _spread(pooled, next(marks), next(marks), next(marks)), strict=True):
                pixels.copy_(values)
        return gradient_NCHW


class _LargestOfFour(torch.autograd.Function):
    """The largest of four maps that follow one another: (N, 4C, H, W) -> (N, C, H, W). What it is given may change, and must not be used again."""

    @staticmethod
    def forward(ctx: Any, maps_NCHW: Tensor) -> Tensor:
        ctx.shape = maps_NCHW.shape
        of_four = maps_NCHW.detach().unflatten(1, (4, -1))
        if not ctx.needs_input_grad[0]:
            largest_NCHW: Tensor = of_four.amax(1)
            return largest_NCHW
        pooled_NCHW, *marks = _largest(*of_four.unbind(1))
        ctx.save_for_backward(*marks)
        return pooled_NCHW

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        gradient_NCHW = gradients[0].new_empty(ctx.shape)
        for pixels, values in zip(gradient_NCHW.unflatten(1, (4, -1)).unbind(1), _spread(gradients[0], *ctx.saved_tensors), strict=True):
            pixels.copy_(values)
        return gradient_NCHW


def _pixels(maps_NCHW: Tensor) -> list[Tensor]:
    """Return the windows' pixels in reading order, each as maps of half the size, that are views."""
    height, width = (side // 2 * 2 for side in maps_NCHW.shape[2:])
    return [maps_NCHW[:, :, top:height:2, left:width:2] for top in (0, 1) for left in (0, 1)]


def _largest(first: Tensor, second: Tensor, third: Tensor, fourth: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the largest, and where it is not in the upper two, not left in the upper two, not left in the lower two, as 0 and 1; overwrites."""
    upper, lower = torch.maximum(first, second), torch.maximum(third, fourth)
    return torch.maximum(upper, lower), lower.gt_(upper), second.gt_(first), fourth.gt_(third)


def _spread(gradient: Tensor, is_lower: Tensor, is_second: Tensor, is_fourth: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of the four from that of the largest, by the marks of `_largest`."""
    lower = gradient * is_lower
    upper = gradient - lower
    second, fourth = upper * is_second, lower * is_fourth
    return upper.sub_(second), second, lower.sub_(fourth), fourth
