"""Exponential moving average of weights: a second copy of the network that follows the first slowly, and is what validation measures.

Source: Polyak and Juditsky 1992 ("Acceleration of stochastic approximation by averaging"); the form of torch.optim.swa_utils.AveragedModel.
"""

import copy

import torch
from torch import nn


class Ema:
    """A copy of a network whose weights are `decay` times their own plus (1 - `decay`) times the network's, updated after every step.

    Buffers that are not floating point (counters) are taken over as they are. In the first steps the decay is smaller, (1 + step) / (10 + step), so
    that the random start is forgotten soon (TensorFlow's `num_updates` rule).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model)
        self.model.requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Follow `model` after optimizer step number `step`, counted from 1."""
        pairs: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}  # weights that have several names once
        for value, other in zip(self.model.state_dict(keep_vars=True).values(), model.state_dict(keep_vars=True).values(), strict=True):
            pairs.setdefault(id(value), (value, other))
        own, new = [value for value, _ in pairs.values()], [other for _, other in pairs.values()]
        floating = [i for i, value in enumerate(own) if value.is_floating_point()]
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_([own[i] for i in floating], [new[i] for i in floating], weight)
        for i, value in enumerate(own):
            if not value.is_floating_point():
                value.copy_(new[i])
