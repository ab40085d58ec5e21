"""`scheduler`: how the learning rate changes."""

from typing import Annotated

from pydantic import Field

from .base import Float, Int, Section, Str


class Scheduler(Section):
    """How the learning rate changes."""

    name: Str


class NoScheduler(Scheduler):
    """A constant learning rate."""

    name: Str = "none"


class Step(Scheduler):
    """Multiply the learning rate by `gamma` every `step_size` epochs."""

    name: Str = "step"
    step_size: Annotated[Int, Field(gt=0)] = Field(40, description="epochs between two drops")
    gamma: Annotated[Float, Field(gt=0, le=1)] = Field(0.1, description="factor of a drop")


SCHEDULERS: dict[str, type[Section]] = {"none": NoScheduler, "step": Step}
