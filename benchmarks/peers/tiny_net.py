"""The network of resumes.py: small, with what is hard to resume, batch norm and dropout."""

import torch
from torch import nn


class Net(nn.Module):
    """A convolution, batch norm, two kinds of dropout, a linear layer."""

    def __init__(self, image: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        channels, height, width = image
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Dropout2d(0.2),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(8 * height * width, num_classes),
        )

    def forward(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        return self.layers(images_NCHW)  # type: ignore[no-any-return]
