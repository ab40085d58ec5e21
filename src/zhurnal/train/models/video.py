"""Networks for clips: a small (2+1)D network, networks for images averaged over frames, and torchvision's video networks.

Promises: they take clips_NTCHW with any number of frames from 1 on; what they do to a clip to make it fit (color from gray, another size) is told in
their attribute `adapted`, a tuple of sentences.

Legend: N clips, T frames, C channels, H height, W width, K classes.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ...core.errors import RunError
from ...core.settings import FRAME_MODELS

Clip = tuple[int, int, int, int]


class R2Plus1D(nn.Module):
    """Blocks, an average over space and time, and a fully connected layer: clips_NTCHW -> logits_NK."""

    def __init__(self, channels: int, num_classes: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        blocks: OrderedDict[str, nn.Module] = OrderedDict()
        for number, width in enumerate(widths, start=1):
            blocks[f"block{number}"] = _block(channels, width)
            channels = width
        self.blocks = nn.Sequential(blocks)
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, clips_NTCHW: Tensor) -> Tensor:
        """Return logits_NK."""
        features_NCTHW: Tensor = self.blocks(clips_NTCHW.transpose(1, 2))
        logits_NK: Tensor = self.fc(features_NCTHW.mean((2, 3, 4)))
        return logits_NK


def _block(channels: int, width: int) -> nn.Module:
    """Return a convolution in space, which halves height and width, and one in time; each with batch norm and ReLU."""
    layers: list[tuple[str, nn.Module]] = [
        ("space", nn.Conv3d(channels, width, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1), bias=False)),
        ("bn1", nn.BatchNorm3d(width)),
        ("relu1", nn.ReLU()),
        ("time", nn.Conv3d(width, width, (3, 1, 1), padding=(1, 0, 0), bias=False)),
        ("bn2", nn.BatchNorm3d(width)),
        ("relu2", nn.ReLU()),
    ]
    return nn.Sequential(OrderedDict(layers))


def r2plus1d(image: Clip, num_classes: int, *, width: int = 16) -> nn.Module:
    """Return a small (2+1)D network for clips of shape `image` = (T, C, H, W): four blocks with `width`, 2, 4 and 8 times `width` channels.

    A block is a 1x3x3 convolution with stride 2 in space and a 3x1x1 convolution in time, each with batch norm and ReLU; 163,668 parameters for
    width 16, one channel and four classes. A feature sees 9 frames. Method: Tran, Wang, Torresani, Ray, LeCun and Paluri 2018, "A closer look at
    spatiotemporal convolutions for action recognition" (without its residual connections).
    """
    return R2Plus1D(image[1], num_classes, (width, 2 * width, 4 * width, 8 * width))


class FrameAverage(nn.Module):
    """A network for images applied to each frame, its logits averaged: clips_NTCHW -> logits_NK."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, clips_NTCHW: Tensor) -> Tensor:
        """Return logits_NK."""
        num, length = clips_NTCHW.shape[:2]
        logits_MK: Tensor = self.network(clips_NTCHW.flatten(0, 1))
        return logits_MK.view(num, length, -1).mean(1)


def frame_average(image: Clip, num_classes: int, *, frame_model: str = "lenet") -> nn.Module:
    """Return the network for images `frame_model`, with its defaults, applied to each frame of clips of shape `image` = (T, C, H, W).

    The order of frames does not matter to it, so it cannot tell which way a thing moves: the baseline that a network for video has to beat.
    """
    from . import MODELS

    return FrameAverage(MODELS[frame_model](image[1:], num_classes))


class Fitted(nn.Module):
    """A network for color clips_NCTHW, given clips_NTCHW of any channels; `size` = (T, H, W) is what it needs, None takes what comes."""

    def __init__(self, network: nn.Module, image: Clip, size: tuple[int, int, int] | None) -> None:
        super().__init__()
        self.network = network
        self.size = size
        length, channels, height, width = image
        notes = []
        if channels == 1:
            notes.append("gray frames are repeated as three channels for the network")
        if size is not None and size[0] != length:
            notes.append(f"clips of {length} frames are brought to {size[0]} for the network, by repeating or leaving out frames evenly")
        if size is not None and size[1:] != (height, width):
            notes.append(f"frames of {height}x{width} pixels are resized to {size[1]}x{size[2]} for the network, bilinearly")
        self.adapted = tuple(notes)

    def forward(self, clips_NTCHW: Tensor) -> Tensor:
        """Return logits_NK."""
        clips_NTCHW = clips_NTCHW.expand(-1, -1, 3, -1, -1)
        if self.size is not None:
            length, height, width = self.size
            num, given, channels = clips_NTCHW.shape[:3]
            if given != length:
                clips_NTCHW = clips_NTCHW[:, torch.arange(length, device=clips_NTCHW.device) * given // length]
            if clips_NTCHW.shape[3:] != (height, width):
                frames = torch.nn.functional.interpolate(clips_NTCHW.flatten(0, 1), (height, width), mode="bilinear", antialias=True)
                clips_NTCHW = frames.view(num, length, channels, height, width)
        logits_NK: Tensor = self.network(clips_NTCHW.transpose(1, 2))
        return logits_NK


def _of_torchvision(name: str, image: Clip, num_classes: int, size: tuple[int, int, int] | None = None) -> nn.Module:
    from ..vision import torchvision

    torchvision()
    import torchvision.models.video as networks

    build: Callable[..., Any] = getattr(networks, name)
    return Fitted(build(weights=None, num_classes=num_classes), image, size)


def r3d_18(image: Clip, num_classes: int) -> nn.Module:
    """Return torchvision's r3d_18 with a head for `num_classes`: 33.2 million parameters, 3x3x3 convolutions."""
    return _of_torchvision("r3d_18", image, num_classes)


def mc3_18(image: Clip, num_classes: int) -> nn.Module:
    """Return torchvision's mc3_18 with a head for `num_classes`: 11.5 million parameters, 3x3x3 convolutions at first, then 1x3x3."""
    return _of_torchvision("mc3_18", image, num_classes)


def r2plus1d_18(image: Clip, num_classes: int) -> nn.Module:
    """Return torchvision's r2plus1d_18 with a head for `num_classes`: 31.3 million parameters, 1x3x3 and 3x1x1 convolutions."""
    return _of_torchvision("r2plus1d_18", image, num_classes)


def mvit_v2_s(image: Clip, num_classes: int) -> nn.Module:
    """Return torchvision's mvit_v2_s with a head for `num_classes`: 34.2 million parameters; clips are made 16x3x224x224, which it needs."""
    return _of_torchvision("mvit_v2_s", image, num_classes, (16, 224, 224))


VIDEO_MODELS: dict[str, Callable[..., nn.Module]] = {
    "r2plus1d": r2plus1d,
    "frame_average": frame_average,
    "r3d_18": r3d_18,
    "mc3_18": mc3_18,
    "r2plus1d_18": r2plus1d_18,
    "mvit_v2_s": mvit_v2_s,
}


def check_kind(name: str, image: tuple[int, ...]) -> None:
    """Raise RunError where a built-in network for clips is given images, or one for images clips."""
    shape = "x".join(map(str, image))
    if name in VIDEO_MODELS and len(image) != 4:
        raise RunError(
            f"model {name} takes clips of frames, but the data are images of {shape}: take data=moving_shapes, or data=clips for video of your own, "
            "or a network for images, such as model=lenet"
        )
    if name not in VIDEO_MODELS and len(image) == 4:
        raise RunError(
            f"model {name} takes images, but the data are clips of {image[0]} frames ({shape}): set model=frame_average "
            f"model.frame_model={name if name in FRAME_MODELS else 'lenet'} to average it over frames, or take a network for clips, such as "
            "model=r2plus1d"
        )
