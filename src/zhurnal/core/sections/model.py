"""`model`: which network, and how its weights start."""

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from ..text import did_you_mean, list_names
from .base import Bool, Int, Section, Str

INITS = ("default", "kaiming", "xavier")
INIT_ALIASES = {"resnet": "kaiming"}


def _known_init(value: str) -> str:
    value = INIT_ALIASES.get(value, value)
    if value not in INITS:
        raise ValueError(f"'{value}' is none of {list_names(INITS)}{did_you_mean(value, INITS)}")
    return value


class Model(Section):
    """Which network, how its weights start."""

    common = frozenset({"name", "init", "weights"})
    name: Str
    init: Annotated[Str, AfterValidator(_known_init)] = Field(
        "default", description="default (PyTorch's), kaiming (the reference's `resnet`), xavier"
    )
    weights: Str | None = Field(None, description="start from these weights: e0031:best, e0031:last, or a .pth file")


class LeNet(Model):
    """LeNet: two 5x5 convolutions with max-pooling, three fully connected layers."""

    name: Str = "lenet"


class Vgg(Model):
    """VGG-16's thirteen 3x3 convolutions in five groups."""

    name: Str = "vgg"
    relu_inside: Bool = Field(True, description="ReLU after every convolution (model 2), or only after a group (false: model 1)")
    num_fc: Literal[1, 3] = Field(1, description="fully connected layers at the end")


class VggBn(Vgg):
    """VGG with batch normalization."""

    name: Str = "vgg_bn"


class OwnModel(Model):
    """A network of your own, `my_net.py:Net`; its options are the keyword arguments of its builder."""

    model_config = ConfigDict(extra="allow")


MODELS: dict[str, type[Section]] = {"lenet": LeNet, "vgg": Vgg, "vgg_bn": VggBn}


# --- networks for clips ----------------------------------------------------------------------------------------------------------------------


def _known_frame_model(value: str) -> str:
    names = [n for n in MODELS if n not in VIDEO_MODELS]
    if value not in names:
        raise ValueError(f"'{value}' is none of {list_names(names)}{did_you_mean(value, names)}")
    return value


class R2Plus1D(Model):
    """A small (2+1)D network that trains on two cores: four blocks of a convolution in space and one in time."""

    name: Str = "r2plus1d"
    width: Annotated[Int, Field(ge=4, le=256)] = Field(16, description="channels of the first block; each of the three others doubles them")


class FrameAverage(Model):
    """A network for images, applied to each frame; the logits are averaged. It cannot see motion."""

    name: Str = "frame_average"
    frame_model: Annotated[Str, AfterValidator(_known_frame_model)] = Field("lenet", description="the network for images, with its defaults")


class R3D18(Model):
    """torchvision's 18-layer 3D ResNet."""

    name: Str = "r3d_18"


class MC318(Model):
    """torchvision's 18-layer ResNet with convolutions in time in its first layers only."""

    name: Str = "mc3_18"


class R2Plus1D18(Model):
    """torchvision's 18-layer (2+1)D ResNet."""

    name: Str = "r2plus1d_18"


class MViTV2S(Model):
    """torchvision's small multiscale vision transformer, version 2; clips are made 16x3x224x224 for it."""

    name: Str = "mvit_v2_s"


VIDEO_MODELS: dict[str, type[Section]] = {
    "r2plus1d": R2Plus1D,
    "frame_average": FrameAverage,
    "r3d_18": R3D18,
    "mc3_18": MC318,
    "r2plus1d_18": R2Plus1D18,
    "mvit_v2_s": MViTV2S,
}
MODELS |= VIDEO_MODELS
