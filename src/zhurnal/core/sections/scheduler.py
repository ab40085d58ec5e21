"""`scheduler`: how the learning rate changes, as a factor of `optimizer.lr` (and of each group's own) that depends on the step alone."""

from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from .base import Bool, Float, Int, Section, Str

Fraction = Annotated[Float, Field(ge=0, le=1)]
Inside = Annotated[Float, Field(gt=0, lt=1)]
Positive = Annotated[Float, Field(gt=0)]
Gamma = Annotated[Float, Field(gt=0, le=1)]
Interval = Literal["step", "epoch"]
STEP: Any = Field("step", description="change at every step, or at the end of an epoch")
EPOCH: Any = Field("epoch", description="change at every step, or at the end of an epoch")


def _ascending(milestones: tuple[float, ...]) -> tuple[float, ...]:
    if any(b <= a for a, b in pairwise(milestones)):
        raise ValueError(f"{list(milestones)} does not ascend: each must be above the one before")
    return milestones


class Scheduler(Section):
    """How the learning rate changes."""

    shared: ClassVar[frozenset[str]] = frozenset({"warmup_epochs", "warmup_start"})
    name: Str
    warmup_epochs: Annotated[Float, Field(ge=0)] = Field(0.0, description="epochs in which the learning rate first rises to lr; the rest comes after")
    warmup_start: Fraction = Field(0.01, description="part of lr that warm-up begins with")


class NoScheduler(Scheduler):
    """A constant learning rate."""

    name: Str = "none"


class Step(Scheduler):
    """Multiply the learning rate by `gamma` every `step_size` epochs, counted from the run's start."""

    name: Str = "step"
    step_size: Annotated[Int, Field(gt=0)] = Field(40, description="epochs between two drops")
    gamma: Gamma = Field(0.1, description="factor of a drop")


class MultiStep(Scheduler):
    """Multiply the learning rate by `gamma` after each of `milestones`, counted from the run's start."""

    name: Str = "multi_step"
    milestones: Annotated[tuple[Positive, ...], Field(min_length=1), AfterValidator(_ascending)] = Field((40.0, 80.0), description="epochs")
    gamma: Gamma = Field(0.1, description="factor of a drop")


class Exponential(Scheduler):
    """Multiply the learning rate by `gamma` in each epoch."""

    name: Str = "exponential"
    gamma: Gamma = Field(0.95, description="factor of an epoch")
    interval: Interval = EPOCH


class Polynomial(Scheduler):
    """Fall to 0 at the end of the run, as a power of the time that is left."""

    name: Str = "polynomial"
    power: Positive = Field(1.0, description="1 is a straight line")
    interval: Interval = STEP


class Linear(Scheduler):
    """Fall in a straight line to `end_factor` of the learning rate at the end of the run."""

    name: Str = "linear"
    end_factor: Fraction = Field(0.0, description="part of lr at the end")
    interval: Interval = STEP


class Cosine(Scheduler):
    """Fall along half a cosine to `eta_min` at the end of the run."""

    name: Str = "cosine"
    eta_min: Annotated[Float, Field(ge=0)] = Field(0.0, description="learning rate at the end")
    interval: Interval = STEP


class CosineRestarts(Scheduler):
    """Fall along half a cosine, again and again, each time `T_mult` times as long."""

    name: Str = "cosine_restarts"
    T_0: Annotated[Int, Field(gt=0)] = Field(10, description="epochs to the first restart")
    T_mult: Annotated[Int, Field(gt=0)] = Field(1, description="factor of the epochs between two restarts")
    eta_min: Annotated[Float, Field(ge=0)] = Field(0.0, description="learning rate before a restart")
    interval: Interval = STEP


class OneCycle(Scheduler):
    """Rise from a small learning rate to lr, then fall to a far smaller one (PyTorch's OneCycleLR; momentum stays as it is)."""

    name: Str = "one_cycle"
    pct_start: Inside = Field(0.3, description="part of the run that rises")
    anneal_strategy: Literal["cos", "linear"] = "cos"
    div_factor: Annotated[Float, Field(ge=1)] = Field(25.0, description="begins with lr / div_factor")
    final_div_factor: Annotated[Float, Field(ge=1)] = Field(1e4, description="ends with lr / div_factor / final_div_factor")
    three_phase: Bool = Field(False, description="fall back to the beginning in as many steps as the rise, then to the end")


class Triangular(Scheduler):
    """Rise in a straight line from `start` to lr, then fall to `floor`, as parts of lr."""

    name: Str = "triangular"
    start: Fraction = Field(0.2, description="part of lr at the start")
    peak: Inside = Field(0.23, description="part of the run that rises")
    floor: Fraction = Field(0.07, description="part of lr at the end")


class Plateau(Scheduler):
    """Multiply the learning rate by `factor` when validation has not improved for more than `patience` epochs."""

    name: Str = "plateau"
    monitor: Literal["val_loss", "val_acc"] = Field("val_loss", description="what must improve")
    factor: Inside = Field(0.1, description="factor of a drop")
    patience: Annotated[Int, Field(ge=0)] = Field(10, description="epochs without improvement that are borne")
    threshold: Annotated[Float, Field(ge=0, lt=1)] = Field(1e-4, description="improvement that counts")
    threshold_mode: Literal["rel", "abs"] = Field("rel", description="as a part of the best so far, or as it is")
    cooldown: Annotated[Int, Field(ge=0)] = Field(0, description="epochs after a drop that are not counted")
    min_lr: Annotated[Float, Field(ge=0)] = Field(0.0, description="learning rate below which it does not fall")
    eps: Annotated[Float, Field(ge=0)] = Field(1e-8, description="a smaller drop is not made")


SCHEDULERS: dict[str, type[Section]] = {
    "none": NoScheduler,
    "step": Step,
    "multi_step": MultiStep,
    "exponential": Exponential,
    "polynomial": Polynomial,
    "linear": Linear,
    "cosine": Cosine,
    "cosine_restarts": CosineRestarts,
    "one_cycle": OneCycle,
    "triangular": Triangular,
    "plateau": Plateau,
}
