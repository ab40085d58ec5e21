"""What the peers share: the images, LeNet in its usual form, torchvision beside a CPU build of torch, and the line at the end of an epoch."""

import argparse
import importlib.util
from pathlib import Path

import numpy as np
import torch
from torch import nn

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


def arguments(description: str) -> argparse.ArgumentParser:
    """Return the options that all peers have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--images", required=True, help="an .npz with train_images, train_labels, test_images, test_labels")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--transform", default="augment_simple", choices=("init", "augment_simple", "augment"))
    return parser


def epoch_ends(epoch: int, epochs: int, train_loss: float, train_acc: float, val_loss: float, val_acc: float) -> None:
    """Print the line that the benchmark waits for."""
    print(
        f"epoch {epoch}/{epochs}  train loss {train_loss:.4f} acc {100 * train_acc:.2f}  val loss {val_loss:.4f} acc {100 * val_acc:.2f}", flush=True
    )


def load(images: str, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 images_NHWC and labels_N of `train` or `test`."""
    with np.load(images) as held:
        return held[f"{part}_images"], held[f"{part}_labels"]


def _operators_load() -> bool:
    spec = importlib.util.find_spec("torchvision")
    for folder in spec.submodule_search_locations or () if spec else ():
        for binary in Path(folder).glob("_C*"):
            try:
                torch.ops.load_library(str(binary))
            except OSError:
                return False
    return True


if not _operators_load():  # a torchvision for another torch: declaring the two operators that its import asks for is enough for its transforms
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


class LeNet(nn.Module):
    """LeNet as tutorials have it: 62,006 parameters for ten classes of 3x32x32."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5)
        self.pool = nn.MaxPool2d(2)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits of images."""
        x = self.pool(torch.relu(self.conv1(x)))
        x = self.pool(torch.relu(self.conv2(x)))
        x = x.flatten(1)
        x = torch.relu(self.fc1(x))
        x = torch.relu(self.fc2(x))
        return self.fc3(x)
