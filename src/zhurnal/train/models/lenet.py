"""LeNet, for images of any size from 4x4 and any number of channels.

Promises: 62,006 parameters for ten classes of 3x32x32; names of weights that do not depend on the size of the image.

Shapes: N images, C channels, H height, W width, K classes.
"""

from collections import OrderedDict

from torch import nn

from ...core.errors import RunError

SMALLEST = 4  # pixels; two max-pools of 2 leave one
PAD_BELOW = 20  # pixels; from here on, unpadded convolutions leave at least 2x2


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
        ("conv1", nn.Conv2d(channels, 6, 5, padding=padding)),
        ("pool1", nn.MaxPool2d(2)),
        ("relu1", nn.ReLU()),
        ("conv2", nn.Conv2d(6, 16, 5, padding=padding)),
        ("pool2", nn.MaxPool2d(2)),  # a second module: one used twice draws a loop in the graph
        ("relu2", nn.ReLU()),
        ("flatten", nn.Flatten()),
        ("fc1", nn.Linear(16 * height * width, 120)),
        ("relu3", nn.ReLU()),
        ("fc2", nn.Linear(120, 84)),
        ("relu4", nn.ReLU()),
        ("fc3", nn.Linear(84, num_classes)),
    ]
    return nn.Sequential(OrderedDict(layers))
