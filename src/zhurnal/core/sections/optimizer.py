"""`optimizer`: how weights are updated."""

from typing import Annotated

from pydantic import ConfigDict, Field

from .base import Bool, Float, Probability, Section, Str


class Optimizer(Section):
    """Which optimizer; `lr` and `weight_decay` are kept when an experiment changes only the name."""

    name: Str
    lr: Annotated[Float, Field(gt=0, le=100)] = Field(0.01, description="learning rate")
    weight_decay: Annotated[Float, Field(ge=0, le=1)] = Field(0.0, description="weight decay; decoupled for adamw, an L2 term for the others")


class SGD(Optimizer):
    """Stochastic gradient descent with momentum."""

    name: Str = "sgd"
    momentum: Probability = 0.9
    nesterov: Bool = False


class Adam(Optimizer):
    """Adam, with PyTorch's defaults."""

    name: Str = "adam"
    lr: Annotated[Float, Field(gt=0, le=100)] = Field(0.001, description="learning rate")
    betas: tuple[Probability, Probability] = (0.9, 0.999)
    eps: Annotated[Float, Field(gt=0)] = 1e-8


class AdamW(Adam):
    """Adam with decoupled weight decay."""

    name: Str = "adamw"
    weight_decay: Annotated[Float, Field(ge=0, le=1)] = Field(0.01, description="decoupled weight decay")


class RMSprop(Optimizer):
    """RMSprop, with PyTorch's defaults."""

    name: Str = "rmsprop"
    alpha: Probability = 0.99
    eps: Annotated[Float, Field(gt=0)] = 1e-8
    momentum: Probability = 0.0


class OwnOptimizer(Optimizer):
    """An optimizer of your own, `my_optimizer.py:make`."""

    model_config = ConfigDict(extra="allow")


OPTIMIZERS: dict[str, type[Section]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW, "rmsprop": RMSprop}
