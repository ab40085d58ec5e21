"""`loss`: what is minimized."""

from pydantic import ConfigDict

from .base import Probability, Section, Str


class Loss(Section):
    """What is minimized."""

    name: Str


class CrossEntropy(Loss):
    """Cross-entropy, averaged over a batch."""

    name: Str = "cross_entropy"
    label_smoothing: Probability = 0.0


class OwnLoss(Loss):
    """A loss of your own, `my_loss.py:focal`: a function of logits and labels that returns one loss for each image."""

    model_config = ConfigDict(extra="allow")


LOSSES: dict[str, type[Section]] = {"cross_entropy": CrossEntropy}
