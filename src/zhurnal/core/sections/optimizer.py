"""`optimizer`: how weights are updated.

torch.optim.Rprop and LBFGS are left out: both expect the gradient of all training images at each step, and go wrong on batches.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from .base import Bool, Float, Int, Probability, Section, Str

LearningRate = Annotated[Float, Field(gt=0, le=100)]
NotNegative = Annotated[Float, Field(ge=0)]
Positive = Annotated[Float, Field(gt=0)]


class Optimizer(Section):
    """Which optimizer; `lr` and `weight_decay` are kept when an experiment changes only the name."""

    name: Str
    lr: LearningRate = Field(0.01, description="learning rate")
    weight_decay: Annotated[Float, Field(ge=0, le=1)] = Field(
        0.0, description="weight decay; decoupled for adamw, adafactor and muon, an L2 term for the others"
    )


class GroupedOptimizer(Optimizer):
    """An optimizer whose parameters can be put into groups, with learning rates and weight decay of their own."""

    shared = frozenset({"no_decay", "head_lr", "layer_decay"})
    no_decay: Literal["none", "norm_bias"] = Field("none", description="norm_bias: no weight decay of biases and of normalization layers")
    head_lr: Annotated[Float, Field(gt=0, le=10_000)] | None = Field(None, description="learning rate of the last layer; none takes lr")
    layer_decay: Annotated[Float, Field(gt=0, le=1)] | None = Field(
        None, description="each layer's learning rate is this times that of the layer after it; none leaves them equal"
    )


class SGD(GroupedOptimizer):
    """Stochastic gradient descent with momentum."""

    name: Str = "sgd"
    momentum: Probability = 0.9
    nesterov: Bool = False


class Adam(GroupedOptimizer):
    """Adam, with PyTorch's defaults."""

    name: Str = "adam"
    lr: LearningRate = Field(0.001, description="learning rate")
    betas: tuple[Probability, Probability] = (0.9, 0.999)
    eps: Positive = 1e-8


class AdamW(Adam):
    """Adam with decoupled weight decay."""

    name: Str = "adamw"
    weight_decay: Annotated[Float, Field(ge=0, le=1)] = Field(0.01, description="decoupled weight decay")


class NAdam(Adam):
    """Adam with Nesterov momentum."""

    name: Str = "nadam"
    lr: LearningRate = Field(0.002, description="learning rate")
    momentum_decay: NotNegative = Field(0.004, description="how fast the momentum grows to betas[0]")
    decoupled_weight_decay: Bool = Field(False, description="weight decay as in adamw")


class RAdam(Adam):
    """Rectified Adam, whose first steps are smaller instead of a warm-up."""

    name: Str = "radam"
    decoupled_weight_decay: Bool = Field(False, description="weight decay as in adamw")


class Adamax(Adam):
    """Adam with the infinity norm."""

    name: Str = "adamax"
    lr: LearningRate = Field(0.002, description="learning rate")


class RMSprop(GroupedOptimizer):
    """RMSprop, with PyTorch's defaults."""

    name: Str = "rmsprop"
    alpha: Probability = 0.99
    eps: Positive = 1e-8
    momentum: Probability = 0.0


class Adagrad(GroupedOptimizer):
    """Adagrad, with PyTorch's defaults."""

    name: Str = "adagrad"
    lr_decay: NotNegative = Field(0.0, description="divides the learning rate by 1 + lr_decay * step")
    initial_accumulator_value: NotNegative = 0.0
    eps: Positive = 1e-10


class Adadelta(GroupedOptimizer):
    """Adadelta, with PyTorch's defaults."""

    name: Str = "adadelta"
    lr: LearningRate = Field(1.0, description="learning rate")
    rho: Probability = 0.9
    eps: Positive = 1e-6


class ASGD(GroupedOptimizer):
    """SGD whose learning rate falls with the steps (torch.optim.ASGD); its averaged weights are not used."""

    name: Str = "asgd"
    lambd: NotNegative = Field(0.0001, description="decay of the weights, and with alpha of the learning rate")
    alpha: NotNegative = Field(0.75, description="power of the learning rate's fall")


class Adafactor(GroupedOptimizer):
    """Adafactor as in PyTorch: second moments kept as a row and a column of each matrix; lr is relative to a weight's own size."""

    name: Str = "adafactor"
    beta2_decay: Annotated[Float, Field(le=0)] = -0.8
    d: Annotated[Float, Field(ge=1)] = Field(1.0, description="updates are clipped to this root mean square")


class Muon(GroupedOptimizer):
    """Orthogonalized momentum for weights of convolutions and linear layers; biases, norms and the last layer by SGD or AdamW."""

    name: Str = "muon"
    lr: LearningRate = Field(0.02, description="learning rate of the orthogonalized weights")
    weight_decay: Annotated[Float, Field(ge=0, le=1)] = Field(0.0, description="decoupled; an L2 term where other=sgd; none for renormalized weights")
    momentum: Probability = 0.95
    nesterov: Bool = True
    ns_steps: Annotated[Int, Field(ge=1, le=20)] = Field(5, description="steps of the Newton-Schulz iteration")
    renormalize: Bool = Field(False, description="before each step scale a weight to the norm sqrt(its outputs)")
    other: Literal["adamw", "sgd"] = Field("adamw", description="what updates biases, norms and the last layer")
    other_lr: Annotated[Float, Field(gt=0, le=10_000)] = Field(0.001, description="learning rate of biases, norms and the last layer")
    other_momentum: Probability = Field(0.9, description="momentum of other=sgd (Nesterov), first beta of other=adamw")


class OwnOptimizer(Optimizer):
    """An optimizer of your own, `my_optimizer.py:make`."""

    model_config = ConfigDict(extra="allow")


class TimmOptimizer(GroupedOptimizer):
    """An optimizer of the package timm, `timm:lion`; its options are those that timm's optimizer of that name takes."""

    model_config = ConfigDict(extra="allow")


OPTIMIZERS: dict[str, type[Section]] = {
    "sgd": SGD,
    "adam": Adam,
    "adamw": AdamW,
    "rmsprop": RMSprop,
    "nadam": NAdam,
    "radam": RAdam,
    "adamax": Adamax,
    "adagrad": Adagrad,
    "adadelta": Adadelta,
    "asgd": ASGD,
    "adafactor": Adafactor,
    "muon": Muon,
}
