"""ResNet-18 and ResNet-20 with a 3x3 first layer, for images of any size and any number of channels.

Promises: 11,173,962 parameters of resnet18 for ten classes of three channels, 269,722 of resnet20; names of weights that do not depend on the size
of the image, and are torchvision's for resnet18 (`layer2.0.conv1.weight`, `fc.bias`).

Shapes: N images, C channels, H height, W width, K classes.
"""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

Shortcut = Literal["identity", "projection"]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, added to their input: images_NCHW -> images_NCHW, smaller by `stride`."""

    def __init__(self, in_channels: int, channels: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu2 = nn.ReLU()
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            if shortcut == "projection":
                self.downsample = nn.Sequential(nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))
            else:
                self.downsample = PadChannels(stride, channels - in_channels)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return the block's output."""
        inner_NCHW = self.relu1(self.bn1(self.conv1(images_NCHW)))
        sum_NCHW: Tensor = self.relu2(self.bn2(self.conv2(inner_NCHW)) + self.downsample(images_NCHW))
        return sum_NCHW


class PadChannels(nn.Module):
    """Every `stride`-th pixel, and zeros for new channels: the paper's option A, which has no weights."""

    def __init__(self, stride: int, more: int) -> None:
        super().__init__()
        self.stride, self.more = stride, more

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return the shortcut's output."""
        return functional.pad(images_NCHW[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))


class ResNet(nn.Module):
    """A 3x3 convolution, groups of blocks, the average over all pixels, and a fully connected layer: images_NCHW -> logits_NK."""

    def __init__(self, channels: int, num_classes: int, widths: tuple[int, ...], blocks: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU()
        before = widths[0]
        self.groups = len(widths)
        for group, width in enumerate(widths, start=1):
            stride = 1 if group == 1 else 2
            layers = [BasicBlock(before if b == 0 else width, width, stride if b == 0 else 1, shortcut) for b in range(blocks)]
            self.add_module(f"layer{group}", nn.Sequential(*layers))
            before = width
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(before, num_classes)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return logits."""
        inner_NCHW = self.relu(self.bn1(self.conv1(images_NCHW)))
        for group in range(1, self.groups + 1):
            inner_NCHW = self.get_submodule(f"layer{group}")(inner_NCHW)
        logits_NK: Tensor = self.fc(self.flatten(self.avgpool(inner_NCHW)))
        return logits_NK


def resnet18(image: tuple[int, int, int], num_classes: int) -> nn.Module:
    """Return ResNet-18 for images of shape `image` = (C, H, W): images_NCHW -> logits_NK.

    Four groups of two blocks with 64, 128, 256 and 512 channels, each group after the first at half the size; where the shape changes, the shortcut
    is a 1x1 convolution. The first layer is 3x3 with stride 1 and no max-pool follows it, as for CIFAR in the paper's section 4.2; torchvision's
    has 7x7, stride 2, and a max-pool, for 224 pixels. Source: He, Zhang, Ren and Sun 2016, "Deep residual learning for image recognition", table 1.
    """
    return ResNet(image[0], num_classes, (64, 128, 256, 512), 2, "projection")


def resnet20(image: tuple[int, int, int], num_classes: int, *, shortcut: Shortcut = "identity") -> nn.Module:
    """Return ResNet-20 for images of shape `image` = (C, H, W): images_NCHW -> logits_NK.

    Three groups of three blocks with 16, 32 and 64 channels. Source: He, Zhang, Ren and Sun 2016, "Deep residual learning for image recognition",
    section 4.2 (6n+2 layers, n = 3).

    Args:
        image: channels, height and width.
        num_classes: number of logits.
        shortcut: where the shape changes: identity on every second pixel with zeros for new channels (option A, the paper's choice for CIFAR), or a
            1x1 convolution with batch norm (option B, 272,474 parameters).
    """
    return ResNet(image[0], num_classes, (16, 32, 64), 3, shortcut)
