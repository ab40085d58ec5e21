"""A network, a data set and an optimizer, each a plain function or class that takes its options as keyword arguments."""

import numpy as np
import torch
from torch import nn


def tiny(image, num_classes, width=8):
    """Return a network of two convolutions: images_NCHW to logits_NK."""
    return nn.Sequential(
        nn.Conv2d(image[0], width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2 * width, num_classes),
    )


def stripes(root, num=600, noise=40.0):
    """Return gray images of 12 x 12 pixels with horizontal or vertical stripes, under normal noise of deviation `noise`; a sixth is for testing."""
    generator = np.random.default_rng(0)
    labels_N = np.arange(num) % 2
    waves_N12 = 128 + 80 * np.sin(np.arange(12) * generator.uniform(1.2, 2.2, (num, 1)) + generator.uniform(0, 6, (num, 1)))
    images_NHW = np.where(labels_N[:, None, None] == 0, waves_N12[:, :, None], waves_N12[:, None, :])
    images_NHW = np.clip(images_NHW + generator.normal(0, noise, (num, 12, 12)), 0, 255).astype(np.uint8)
    split = np.where(np.arange(num) < num * 5 // 6, "train", "test")
    return {"images": images_NHW, "labels": labels_N, "classes": ["horizontal", "vertical"], "split": split}


class SignSGD(torch.optim.Optimizer):
    """SGD on the sign of the gradient's running mean."""

    def __init__(self, parameters, lr, momentum=0.9):
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None):
        """Update all parameters that have a gradient."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if "mean" not in state:
                    state["mean"] = torch.zeros_like(p)
                state["mean"].lerp_(p.grad, 1 - group["momentum"])
                p.sub_(state["mean"].sign(), alpha=group["lr"])
