"""`model`: which network, how its weights start, and which of them stay as they are."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from ..text import did_you_mean, list_names
from .base import Bool, Float, Int, Probability, Section, Str

INITS = ("default", "kaiming", "xavier", "orthogonal", "trunc_normal", "lsuv", "dirac", "whitening", "zero_gamma")
INIT_ALIASES = {"resnet": "kaiming"}
# Libraries whose networks can be named, as in `timm:resnet50`.
LIBRARIES = ("timm", "torchvision")

_FOREIGN = re.compile(rf"({'|'.join(LIBRARIES)}):[\w.\-]+")


def is_foreign(name: str) -> bool:
    """Return whether `name` is a network of a library, such as `timm:resnet50`."""
    return _FOREIGN.fullmatch(name) is not None


def _known_init(value: str) -> str:
    value = INIT_ALIASES.get(value, value)
    if value not in INITS:
        raise ValueError(f"'{value}' is none of {list_names(INITS)}{did_you_mean(value, INITS)}")
    return value


class Model(Section):
    """Which network, how its weights start."""

    common = frozenset({"name", "init", "weights", "freeze", "unfreeze_epoch"})
    name: Str
    init: Annotated[Str, AfterValidator(_known_init)] = Field(
        "default",
        description="default (the network's own), kaiming (the reference's `resnet`), xavier, orthogonal, trunc_normal, lsuv, dirac, whitening "
        "or zero_gamma",
    )
    weights: Str | None = Field(None, description="start from these weights: e0031:best, e0031:last, or a .pth file")
    freeze: Annotated[Str, Field(min_length=1)] = Field(
        "none", description="what keeps its weights: none, backbone (all but the last layer), or modules: features.0-10, or layer1,layer2"
    )
    unfreeze_epoch: Annotated[Int, Field(ge=2)] | None = Field(
        None, description="from this epoch on, counted from 1, what `freeze` names trains too; none: never"
    )


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


class ResNet18(Model):
    """ResNet-18 for small images: 3x3 stem, no max-pool (He et al. 2016; stem as in the CIFAR networks of its section 4.2)."""

    name: Str = "resnet18"


class ResNet20(Model):
    """ResNet-20 for small images: three groups of 16, 32 and 64 channels (He et al. 2016, section 4.2)."""

    name: Str = "resnet20"
    shortcut: Literal["identity", "projection"] = Field(
        "identity", description="where a shape changes: identity with zeros for new channels (the paper's option A), or a 1x1 convolution (B)"
    )


class ResNet9(Model):
    """ResNet-9: two residual blocks, fast to train (David Page 2018, How to train your ResNet)."""

    name: Str = "resnet9"
    scale: Annotated[Float, Field(gt=0, le=100)] = Field(0.125, description="factor of the logits")


class AirNet(Model):
    """The small network of airbench: whitening first layer, three groups, GELU (Keller Jordan 2024, arXiv 2404.00498)."""

    name: Str = "airnet"
    width: Literal["small", 93, 94, 95] = Field(
        94, description="channels of the groups: small 32/64/64, 93: 64/128/128, 94: 64/256/256, 95: 128/384/384"
    )
    scale: Literal["width"] | Annotated[Float, Field(gt=0, le=100)] = Field(
        "width", description="factor of the logits: width (1 over the last group's channels, with Muon), or a number, such as 0.1111 (with SGD)"
    )
    bn_momentum: Annotated[Float, Field(gt=0, le=1)] = Field(
        0.4, description="batch norm: share of a new batch in the running mean (PyTorch's meaning; the source's 0.6 is the share of the old)"
    )
    bn_eps: Annotated[Float, Field(gt=0, le=1)] = Field(1e-12, description="batch norm: added to the variance")


class ViT(Model):
    """A small vision transformer, normalization first (Dosovitskiy et al. 2021)."""

    name: Str = "vit"
    patch_size: Annotated[Int, Field(ge=1, le=64)] = Field(4, description="height and width of a patch in pixels; must divide those of the image")
    width: Annotated[Int, Field(ge=1, le=4096)] = Field(192, description="features of a token; a multiple of num_heads")
    depth: Annotated[Int, Field(ge=1, le=64)] = Field(6, description="blocks")
    num_heads: Annotated[Int, Field(ge=1, le=64)] = Field(3, description="attention heads of a block")
    mlp_ratio: Annotated[Float, Field(gt=0, le=16)] = Field(4.0, description="width of a block's hidden layer, over the width of a token")
    dropout: Probability = Field(0.0, description="after the positions, and at the end of each branch of a block")


class OwnModel(Model):
    """A network of your own, `my_net.py:Net`; its options are the keyword arguments of its builder."""

    model_config = ConfigDict(extra="allow")


class ForeignModel(Model):
    """A network of timm or torchvision, `timm:resnet50`, with a new head; further options are the library's for it."""

    model_config = ConfigDict(extra="allow")
    common = Model.common | {"pretrained", "input_size"}
    pretrained: Bool = Field(False, description="start from the library's weights, where they are on this machine, or from the file `weights`")
    input_size: Annotated[Int, Field(ge=4, le=2048)] | None = Field(
        None, description="height and width that the network gets its images resized to; none: as they are, where it takes them"
    )


MODELS: dict[str, type[Section]] = {
    "lenet": LeNet,
    "vgg": Vgg,
    "vgg_bn": VggBn,
    "resnet18": ResNet18,
    "resnet20": ResNet20,
    "resnet9": ResNet9,
    "airnet": AirNet,
    "vit": ViT,
}


# --- networks for clips ----------------------------------------------------------------------------------------------------------------------


# Networks for images that can be averaged over frames: all but those whose start looks at images.
FRAME_MODELS = tuple(name for name in MODELS if name != "airnet")


def _known_frame_model(value: str) -> str:
    if value not in FRAME_MODELS:
        raise ValueError(f"'{value}' is none of {list_names(FRAME_MODELS)}{did_you_mean(value, FRAME_MODELS)}")
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
