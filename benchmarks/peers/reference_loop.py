"""The loop of the reference experiments: torchvision's transforms on one PIL image after the other, a DataLoader, and a second pass for accuracy.

    python benchmarks/peers/reference_loop.py --images images.npz --transform augment_simple --workers 0

As torchvision's CIFAR10 does, images are held in memory as arrays and become PIL images when taken. After each epoch the training set is gone through
again for training accuracy, then the validation images. It keeps no record and no checkpoints, which is kinder to it than the reference was.
"""

from collections.abc import Callable
from typing import Any

import torch
from PIL import Image
from shared import MEAN, STD, LeNet, arguments, epoch_ends, load
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Images(Dataset):
    """Arrays in memory; each image goes through PIL and the transforms."""

    def __init__(self, images: str, part: str, transform: Callable[[Image.Image], torch.Tensor]) -> None:
        self.pixels, labels = load(images, part)
        self.labels = labels.tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]


def transforms_of(name: str) -> Any:
    """Return the reference's transforms of training images."""
    from torchvision import transforms as t

    steps: list[Any] = {
        "init": [],
        "augment_simple": [t.RandomCrop(32, padding=4), t.RandomHorizontalFlip()],
        "augment": [
            t.RandomApply([t.ColorJitter(brightness=0.3, contrast=0.1, saturation=0.2, hue=0.2)], p=0.5),
            t.RandomHorizontalFlip(p=0.6),
            t.RandomApply([t.RandomRotation(30)], p=0.3),
            t.RandomApply([t.Resize(35), t.RandomCrop(32)], p=0.3),
        ],
    }[name]
    return t.Compose([*steps, t.ToTensor(), t.Normalize(MEAN, STD)])


@torch.no_grad()
def evaluate(model: nn.Module, loader: DataLoader, criterion: nn.Module) -> tuple[float, float]:
    """Return mean loss and accuracy."""
    model.eval()
    total_loss, correct, total = 0.0, 0, 0
    for inputs, labels in loader:
        outputs = model(inputs)
        total_loss += criterion(outputs, labels).item() * len(labels)
        correct += (outputs.argmax(1) == labels).sum().item()
        total += len(labels)
    return total_loss / total, correct / total


def main() -> None:
    """Train."""
    given = arguments(__doc__.splitlines()[0]).parse_args()
    torch.manual_seed(42)
    torch.set_num_threads(given.threads)
    train = DataLoader(Images(given.images, "train", transforms_of(given.transform)), given.batch, shuffle=True, num_workers=given.workers)
    val = DataLoader(Images(given.images, "test", transforms_of("init")), 256, num_workers=given.workers)
    model, criterion = LeNet(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    for epoch in range(1, given.epochs + 1):
        model.train()
        running_loss = 0.0
        for inputs, labels in train:
            optimizer.zero_grad()
            loss = criterion(model(inputs), labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
        train_loss, train_acc = evaluate(model, train, criterion)
        val_loss, val_acc = evaluate(model, val, criterion)
        epoch_ends(epoch, given.epochs, train_loss, train_acc, val_loss, val_acc)


if __name__ == "__main__":
    main()
