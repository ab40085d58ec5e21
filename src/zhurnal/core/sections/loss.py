"""`loss`: what is minimized."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from .base import Float, Probability, Section, Str


def _none(value: Any) -> Any:
    return None if value == "none" else value


class Loss(Section):
    """What is minimized."""

    name: Str


class CrossEntropy(Loss):
    """Cross-entropy, averaged over a batch."""

    name: Str = "cross_entropy"
    label_smoothing: Probability = 0.0
    class_weights: Annotated[list[Annotated[Float, Field(gt=0)]] | Literal["balanced"] | None, BeforeValidator(_none)] = Field(
        None,
        description="weight of each class in training, not in validation: balanced, or a list such as [1, 1, 4]; scaled to 1 on average over images",
    )


class OwnLoss(Loss):
    """A loss of your own, `my_loss.py:focal`: a function of logits and labels that returns one loss for each image."""

    model_config = ConfigDict(extra="allow")


LOSSES: dict[str, type[Section]] = {"cross_entropy": CrossEntropy}
