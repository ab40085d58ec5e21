"""The network of airbench in four widths, for images from 2x2 pixels and any number of channels.

Promises: the source's network to the weight for 3x32x32 and ten classes (1,972,792 parameters for width 94); names of weights that do not depend on
the size of the image.

Shapes: N images, C channels, H height, W width, K classes.
"""

from collections import OrderedDict
from typing import Literal

import torch
from torch import nn

from ...core.errors import RunError
from ..init import Images, whiten
from .pooling import MaxPool2d
from .resnet9 import Scale

# Name -> channels of the three groups, from the files named below; `small` is the proxy network of airbench96_faster.py.
WIDTHS: dict[str | int, tuple[int, int, int]] = {"small": (32, 64, 64), 93: (64, 128, 128), 94: (64, 256, 256), 95: (128, 384, 384)}


def airnet(
    image: tuple[int, int, int],
    num_classes: int,
    *,
    width: Literal["small", 93, 94, 95] = 94,
    scale: Literal["width"] | float = "width",
    bn_momentum: float = 0.4,
    bn_eps: float = 1e-12,
) -> nn.Module:
    """Return the airbench network for images of shape `image` = (C, H, W): images_NCHW -> logits_NK.

    A 2x2 convolution to 8C channels, whose weights are frozen and start as a whitening of patches; GELU; three groups of conv 3x3, max-pool 2, batch
    norm, GELU, conv 3x3, batch norm, GELU; max-pool of all that is left (3x3 for 32x32); a fully connected layer without bias; logits x `scale`. A
    max-pool that would leave nothing is left out (the third for 8x8). Weights of batch norm are frozen at 1, their biases train.

    Source: Keller Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU" (arXiv 2404.00498), and github.com/KellerJordan/cifar10-airbench:
    airbench94_muon.py (scale width), legacy/airbench94.py (scale 1/9, SGD), legacy/airbench95.py, airbench/lib_airbench93.py. There the bias of the
    first layer trains for three epochs only.

    Args:
        image: channels, height and width.
        num_classes: number of logits.
        width: name of the channels of the three groups, see `WIDTHS`.
        scale: factor of the logits; `width` is 1 over the channels of the last group.
        bn_momentum: PyTorch's momentum of batch norm, the share of the new batch; 1 - 0.6 in the source.
        bn_eps: added to the variance.

    Raises:
        RunError: an image lower or narrower than 2 pixels.
    """
    channels, height, width_px = image
    if min(height, width_px) < 2:
        raise RunError(f"images of {height}x{width_px} pixels are too small for model airnet, must be at least 2x2: set data.image_size=32")
    widths = WIDTHS[width]
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["whiten"] = nn.Conv2d(channels, 2 * channels * 4, 2)
    layers["whiten"].weight.requires_grad_(False)
    layers["gelu"] = nn.GELU()
    height, width_px = height - 1, width_px - 1
    before = 2 * channels * 4
    for number, after in enumerate(widths, start=1):
        pools = min(height, width_px) >= 2
        layers[f"group{number}"] = _group(before, after, pools, bn_momentum, bn_eps)
        before = after
        if pools:
            height, width_px = height // 2, width_px // 2
    layers["pool"] = nn.AdaptiveMaxPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["head"] = nn.Linear(before, num_classes, bias=False)
    layers["scale"] = Scale(1 / before if scale == "width" else scale)
    return nn.Sequential(layers)


def _group(before: int, after: int, pools: bool, momentum: float, eps: float) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict(conv1=nn.Conv2d(before, after, 3, padding=1, bias=False))
    if pools:
        layers["pool"] = MaxPool2d()
    layers["norm1"] = _norm(after, momentum, eps)
    layers["gelu1"] = nn.GELU()
    layers["conv2"] = nn.Conv2d(after, after, 3, padding=1, bias=False)
    layers["norm2"] = _norm(after, momentum, eps)
    layers["gelu2"] = nn.GELU()
    return nn.Sequential(layers)


def _norm(channels: int, momentum: float, eps: float) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels, eps=eps, momentum=momentum)
    norm.weight.requires_grad_(False)
    return norm


def airnet_init(network: nn.Module, images: Images) -> None:
    """Fill the weights of an `airnet` as its source does: its `model.init=default`, which needs training images.

    The first convolution whitens patches (`init.whiten`); the first C filters of each other convolution with C inputs pass their input on, the rest
    keep PyTorch's default; where logits are divided by the width, the last layer is scaled to a standard deviation of 1.
    """
    whiten(network, images)
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d) and name != "whiten":
            with torch.no_grad():
                nn.init.dirac_(layer.weight[: layer.in_channels])
    head, scale = network.get_submodule("head"), network.get_submodule("scale")
    assert isinstance(head, nn.Linear)
    assert isinstance(scale, Scale)
    if scale.factor == 1 / head.in_features:
        with torch.no_grad():
            head.weight /= head.weight.std()
