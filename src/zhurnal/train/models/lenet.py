"""LeNet, for images of any size from 4x4 and any number of channels.

Promises: 62,006 parameters for ten classes of 3x32x32; names of weights that do not depend on the size of the image.

Shapes: N images, C channels, H height, W width, K classes.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...core.errors import RunError
from .pooling import MaxPool2d, conv_max_pool

SMALLEST = 4  # pixels; two max-pools of 2 leave one
PAD_BELOW = 20  # pixels; from here on, unpadded convolutions leave at least 2x2


class WideConv2d(nn.Conv2d):
    """A convolution that, laid out channels last, computes with channels padded by zeros to a multiple of 8, as vectors of the processor are.

    The padding is in its output too, for layers that keep zeros at zero (max-pool, ReLU); the next such convolution takes it, with zero weights. The
    function is the same, and so are the weights; a step of LeNet takes three quarters of the time.
    """

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return the convolution's maps, with extra maps of zeros where it is laid out channels last."""
        weight, bias = self.weight, self.bias
        if weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous() and weight.device.type == "cpu":
            more_in, more_out = images_NCHW.shape[1] - self.in_channels, -self.out_channels % 8
            if more_in or more_out:
                weight = functional.pad(weight, (0, 0, 0, 0, 0, more_in, 0, more_out)).contiguous(memory_format=torch.channels_last)
                bias = None if bias is None else functional.pad(bias, (0, more_out))
        return functional.conv2d(images_NCHW, weight, bias, self.stride, self.padding, self.dilation, self.groups)


class LeNet(nn.Sequential):
    """The layers of `lenet`, one after the other; the first two at once where that is faster (pooling.py), with the same weights."""

    def forward(self, input: Tensor) -> Tensor:
        """Return logits_NK of images_NCHW."""
        together = self._first_two(input)
        if together is None:
            logits_NK: Tensor = super().forward(input)  # type: ignore[no-untyped-call]
            return logits_NK
        for layer in list(self)[2:]:
            together = layer(together)
        return together

    def _first_two(self, input: Tensor) -> Tensor | None:
        """Return what the first two layers make of images, or None where they are others than `lenet` made, or are not to be taken at once."""
        if len(self) < 2 or not isinstance(input, Tensor):  # torch.fx passes no tensor
            return None
        first, second = self[0], self[1]
        return conv_max_pool(first, second, input) if type(first) is WideConv2d and type(second) is MaxPool2d else None


def lenet(image: tuple[int, int, int], num_classes: int) -> nn.Module:
    """Return LeNet for images of shape `image` = (C, H, W): images_NCHW -> logits_NK.

    conv 3-6 k5, ReLU, maxpool 2, conv 6-16 k5, ReLU, maxpool 2, fc 400-120, ReLU, fc 120-84, ReLU, fc 84-10 for 3x32x32; the first fully connected
    layer takes what the image leaves (16*4*4 for 28x28). Where height or width is below 20, both convolutions are padded by 2, so that they keep
    the size. Source: LeCun, Bottou, Bengio and Haffner 1998, in the form of PyTorch's CIFAR-10 tutorial, as in the reference journals.

    Raises:
        RunError: an image lower or narrower than 4 pixels.
    """
    channels, height, width = image
    if min(height, width) < SMALLEST:
        raise RunError(f"images of {height}x{width} pixels are too small for model lenet, must be at least 4x4: set data.image_size=32")
    padding = 2 if min(height, width) < PAD_BELOW else 0
    for _ in range(2):
        height, width = (height + 2 * padding - 4) // 2, (width + 2 * padding - 4) // 2
    # Max-pooling comes before ReLU: both keep order, so the function and its gradient are the same, on a quarter of the elements.
    layers: list[tuple[str, nn.Module]] = [
        ("conv1", WideConv2d(channels, 6, 5, padding=padding)),
        ("pool1", MaxPool2d()),
        ("relu1", nn.ReLU()),
        ("conv2", WideConv2d(6, 16, 5, padding=padding)),
        ("pool2", MaxPool2d()),  # a second module: one used twice draws a loop in the graph
        ("relu2", nn.ReLU()),
        ("flatten", nn.Flatten()),
        ("fc1", nn.Linear(16 * height * width, 120)),
        ("relu3", nn.ReLU()),
        ("fc2", nn.Linear(120, 84)),
        ("relu4", nn.ReLU()),
        ("fc3", nn.Linear(84, num_classes)),
    ]
    return LeNet(OrderedDict(layers))
