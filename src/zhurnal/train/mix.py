"""Mixup and CutMix: training images of a batch mixed in pairs, and the loss of what comes of it.

One mixing weight, and for CutMix one box, for a batch, as in the sources: Zhang 2018, "mixup: Beyond Empirical Risk Minimization", and Yun 2019,
"CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features". What a batch draws depends on (seed, epoch, its number)
alone, so an interrupted run goes on exactly. The partner of an image is another image of its batch: all are moved by one number of places, drawn
for the batch, whose order is random already; never an image with itself.

Training accuracy of a mixed batch counts the label that weighs more: it is lower than that of plain images, and not to be compared with it.

Legend: N images, C channels, H height, W width, K classes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from . import random

Losses = Callable[[Tensor, Tensor], Tensor]  # logits_NK, labels_N -> losses_N
NUM_DRAWS = 6  # whether, which of the two, partner, weight, and the middle of the box


@dataclass(frozen=True)
class Mixed:
    """Mixed images, and what they are of: `weight` of the first label and the rest of the second. Unmixed: weight 1."""

    images_NCHW: Tensor
    labels_a_N: Tensor
    labels_b_N: Tensor
    weight: float  # in [0, 1]

    @property
    def labels_N(self) -> Tensor:
        """The labels that weigh more: those that training accuracy counts."""
        return self.labels_a_N if self.weight >= 0.5 else self.labels_b_N


def draw(seed: int, epoch: int, batch: int) -> list[float]:
    """Return the draws in [0, 1) of a batch, by its number in the epoch."""
    bits = random.bits(seed, random.MIX, epoch, np.array([batch]), NUM_DRAWS)[0] >> np.uint64(11)
    return [float(b) * 2.0**-53 for b in bits.tolist()]


def mix(images_NCHW: Tensor, labels_N: Tensor, draws: list[float], *, mixup: float, cutmix: float, probability: float = 1.0) -> Mixed:
    """Mix a batch, or leave it as it is where it draws so; a batch of one image has no partners and is left.

    Args:
        images_NCHW: normalized images, or clips, whose frames are all mixed alike; they are left alone.
        labels_N: int64.
        draws: what `draw` gives for the batch; may be empty where nothing is mixed.
        mixup: alpha of mixup's Beta(alpha, alpha); 0 for none.
        cutmix: alpha of CutMix's; 0 for none. With both, each is as likely.
        probability: how likely a batch is mixed.
    """
    num = len(labels_N)
    if not (mixup or cutmix) or num < 2 or draws[0] >= probability:
        return Mixed(images_NCHW, labels_N, labels_N, 1.0)
    by = 1 + min(int(draws[2] * (num - 1)), num - 2)
    partners_NCHW, partner_labels_N = images_NCHW.roll(by, 0), labels_N.roll(by, 0)
    boxes = bool(cutmix) and (not mixup or draws[1] < 0.5)
    weight = beta(cutmix if boxes else mixup, draws[3])
    if not boxes:
        # Each product is rounded by itself: a fused multiply-add would round otherwise on other machines.
        return Mixed((images_NCHW * weight).add_(partners_NCHW.mul_(1 - weight)), labels_N, partner_labels_N, weight)
    height, width = images_NCHW.shape[-2:]
    top, left, bottom, right = box(height, width, weight, draws[4], draws[5])
    mixed_NCHW = images_NCHW.clone()
    mixed_NCHW[..., top:bottom, left:right] = partners_NCHW[..., top:bottom, left:right]
    return Mixed(mixed_NCHW, labels_N, partner_labels_N, 1 - (bottom - top) * (right - left) / (height * width))


def beta(alpha: float, draw: float) -> float:
    """Return a number of the distribution Beta(alpha, alpha) from a draw in [0, 1), through the inverse of its distribution function."""
    if alpha == 1:
        return draw
    from scipy.special import betaincinv

    return float(betaincinv(alpha, alpha, draw))


def box(height: int, width: int, weight: float, row: float, column: float) -> tuple[int, int, int, int]:
    """Return top, left, bottom and right of the box that a partner fills: about 1 - `weight` of the area before the border cuts it.

    `row` and `column` are draws in [0, 1) of its middle.
    """
    part = 0.5 * math.sqrt(1 - weight)
    middle_y, middle_x = min(int(row * height), height - 1), min(int(column * width), width - 1)
    half_y, half_x = int(part * height), int(part * width)
    return max(middle_y - half_y, 0), max(middle_x - half_x, 0), min(middle_y + half_y, height), min(middle_x + half_x, width)


def mixed_losses(loss: Losses, logits_NK: Tensor, labels_a_N: Tensor, labels_b_N: Tensor, weight: float) -> Tensor:
    """Return losses_N, `weight` of the loss of the first labels and the rest of the second's: what the sources minimize."""
    if weight == 1:
        return loss(logits_NK, labels_a_N)
    return weight * loss(logits_NK, labels_a_N) + (1 - weight) * loss(logits_NK, labels_b_N)
