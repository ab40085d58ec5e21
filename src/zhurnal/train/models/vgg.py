"""VGG-16's thirteen convolutions, with and without batch normalization, for images of any size.

Promises: for 32x32 exactly 512 features reach the classifier, with no average taken; names of weights that do not depend on the size of the image,
and that are the same with and without batch normalization (`conv3_2`, `bn3_2`, `fc1`).

Shapes: N images, C channels, H height, W width, K classes.
"""

from collections import OrderedDict

from torch import nn

from .pooling import MaxPool2d

# Channels of each convolution, one tuple for each group. Source: Simonyan and Zisserman 2015, table 1, column D.
GROUPS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
FC_WIDTH = (
    512  # of hidden fully connected layers. VGG's 4096 are for 7x7x512 features; the reference does not say, and 512 is as wide as its features
)


def vgg(image: tuple[int, int, int], num_classes: int, *, relu_inside: bool = True, num_fc: int = 1) -> nn.Module:
    """Return VGG-16 for images of shape `image` = (C, H, W): images_NCHW -> logits_NK.

    Thirteen 3x3 convolutions in five groups, max-pooling after each group, then `num_fc` fully connected layers: 512-K, or 512-512-ReLU-512-ReLU-K
    for 3 (no dropout). A max-pool that would leave nothing is left out (the last for 28x28, the last two for 8x8); what is larger than 1x1 after the
    last group is averaged (images from 64x64 on).

    Args:
        image: channels, height and width.
        num_classes: number of logits.
        relu_inside: ReLU after every convolution (the reference's "model 2"), or only after the last of each group ("model 1").
        num_fc: number of fully connected layers, 1 or 3.
    """
    return _build(image, num_classes, relu_inside, num_fc, batch_norm=False)


def vgg_bn(image: tuple[int, int, int], num_classes: int, *, relu_inside: bool = True, num_fc: int = 1) -> nn.Module:
    """Return `vgg` with batch normalization after every convolution, before its ReLU where it has one."""
    return _build(image, num_classes, relu_inside, num_fc, batch_norm=True)


def _build(image: tuple[int, int, int], num_classes: int, relu_inside: bool, num_fc: int, *, batch_norm: bool) -> nn.Module:
    channels, height, width = image
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for group, widths in enumerate(GROUPS, start=1):
        for number, out_channels in enumerate(widths, start=1):
            layers[f"conv{group}_{number}"] = nn.Conv2d(channels, out_channels, 3, padding=1)
            if batch_norm:
                layers[f"bn{group}_{number}"] = nn.BatchNorm2d(out_channels)
            # Max-pooling comes before a group's last ReLU: the same function and gradient, on a quarter of the elements.
            if number == len(widths) and min(height, width) >= 2:
                layers[f"pool{group}"] = MaxPool2d()
                height, width = height // 2, width // 2
            if relu_inside or number == len(widths):
                layers[f"relu{group}_{number}"] = nn.ReLU()
            channels = out_channels
    if (height, width) != (1, 1):
        layers["average"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    for number in range(1, num_fc):
        layers[f"fc{number}"] = nn.Linear(channels, FC_WIDTH)
        layers[f"relu_fc{number}"] = nn.ReLU()
        channels = FC_WIDTH
    layers[f"fc{num_fc}"] = nn.Linear(channels, num_classes)
    return nn.Sequential(layers)
