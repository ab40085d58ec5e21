"""`model`: which network, and how its weights start."""

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from ..text import did_you_mean, list_names
from .base import Bool, Section, Str

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
