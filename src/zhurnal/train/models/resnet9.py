"""ResNet-9 for images of any size and any number of channels.

Promises: 6,573,120 parameters for ten classes of three channels; names of weights that do not depend on the size of the image.

Shapes: N images, C channels, H height, W width, K classes.
"""

from collections import OrderedDict

from torch import Tensor, nn

from .pooling import MaxPool2d


class Residual(nn.Module):
    """A module added to its input."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return the sum."""
        sum_NCHW: Tensor = images_NCHW + self.inner(images_NCHW)
        return sum_NCHW


class Scale(nn.Module):
    """Logits times a number."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, logits_NK: Tensor) -> Tensor:
        """Return the product."""
        return logits_NK * self.factor

    def extra_repr(self) -> str:
        """Return the factor, for print(network)."""
        return f"{self.factor:g}"


def resnet9(image: tuple[int, int, int], num_classes: int, *, scale: float = 0.125) -> nn.Module:
    """Return ResNet-9 for images of shape `image` = (C, H, W): images_NCHW -> logits_NK.

    conv 64, conv 128 + pool, residual of two conv 128, conv 256 + pool, conv 512 + pool, residual of two conv 512, max-pool of all that is left (4x4
    for 32x32), a fully connected layer without bias, logits x `scale`. A conv is 3x3 without bias, then batch norm, then ReLU; a pool
    is of 2, and one that would leave nothing is left out. Source: David Page 2018, "How to train your ResNet", part 4 (DAWNBench's `ResNet9`).

    Args:
        image: channels, height and width.
        num_classes: number of logits.
        scale: factor of the logits.
    """
    channels, height, width = image
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for name, in_channels, out_channels in (("prep", channels, 64), ("layer1", 64, 128), ("layer2", 128, 256), ("layer3", 256, 512)):
        layers[name] = _conv(in_channels, out_channels)
        if name != "prep" and min(height, width) >= 2:
            layers[f"pool{name[-1]}"] = MaxPool2d()
            height, width = height // 2, width // 2
        if name in ("layer1", "layer3"):
            inner: OrderedDict[str, nn.Module] = OrderedDict(res1=_conv(out_channels, out_channels), res2=_conv(out_channels, out_channels))
            layers[f"residual{name[-1]}"] = Residual(nn.Sequential(inner))
    layers["pool"] = nn.MaxPool2d((height, width))
    layers["flatten"] = nn.Flatten()
    layers["linear"] = nn.Linear(512, num_classes, bias=False)
    layers["scale"] = Scale(scale)
    return nn.Sequential(layers)


def _conv(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(conv=nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False), bn=nn.BatchNorm2d(out_channels), relu=nn.ReLU())
    )
