"""Lightning's Trainer on the same task, with the fastest DataLoader that torchvision allows, or with Zhurnal's batches.

    python benchmarks/peers/lightning_loop.py --images images.npz --workers 2
    python benchmarks/peers/lightning_loop.py --images images.npz --feed zhurnal --lab LAB

The DataLoader has uint8 images in memory, persistent workers, v2 transforms of each image; batches are normalized whole. `--feed zhurnal` takes
images and augmentation from experiment e0001 of a lab. The Trainer has no logger, no checkpoints and no progress bar: Zhurnal has all three.
"""

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shared import MEAN, STD, LeNet, arguments, epoch_ends, load  # first: it makes torchvision importable

# isort: split
import lightning
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision_pipeline import Images, transforms_of


class Module(lightning.LightningModule):
    """LeNet, SGD, loss and accuracy of training and validation."""

    def __init__(self, epochs: int, normalized: bool) -> None:
        super().__init__()
        self.model, self.epochs, self.normalized = LeNet(), epochs, normalized
        self.register_buffer("scale", 1 / (255 * torch.tensor(STD)).view(1, 3, 1, 1))
        self.register_buffer("shift", (torch.tensor(MEAN) / torch.tensor(STD)).view(1, 3, 1, 1))

    def measure(self, batch: tuple[torch.Tensor, torch.Tensor], part: str) -> torch.Tensor:
        """Return the loss of a batch, and log it."""
        images, labels = batch
        if not self.normalized:
            images = images.float().mul_(self.scale).sub_(self.shift)
        logits = self.model(images)
        loss = functional.cross_entropy(logits, labels)
        accuracy = (logits.detach().argmax(1) == labels).float().mean()
        self.log_dict({f"{part}_loss": loss, f"{part}_acc": accuracy}, on_step=False, on_epoch=True, batch_size=len(labels))
        return loss

    def training_step(self, batch: Any, _: int) -> torch.Tensor:
        """Return the loss."""
        return self.measure(batch, "train")

    def validation_step(self, batch: Any, _: int) -> None:
        """Log loss and accuracy."""
        self.measure(batch, "val")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer."""
        return torch.optim.SGD(self.parameters(), lr=0.01, momentum=0.9)


class Line(lightning.Callback):
    """Prints the line at the end of an epoch, after validation."""

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Print."""
        found = [float(trainer.callback_metrics[name]) for name in ("train_loss", "train_acc", "val_loss", "val_acc")]
        epoch_ends(trainer.current_epoch + 1, pl_module.epochs, *found)


class Feed:
    """Zhurnal's training batches, an epoch each time it is gone through."""

    def __init__(self, feed: Any) -> None:
        self.feed, self.epoch = feed, 0

    def __len__(self) -> int:
        return self.feed.num_batches

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        self.epoch += 1
        return iter(self.feed.batches(self.epoch - 1, 0))


class Held(Dataset):
    """Validation batches of a split of Zhurnal's."""

    def __init__(self, split: Any, normalize: Any) -> None:
        self.split, self.normalize, self.parts = split, normalize, torch.arange(len(split)).split(256)

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        images, labels, _ = self.split.take(self.parts[index])
        return self.normalize(images), labels


def zhurnal_batches(lab: str) -> tuple[Any, Any]:
    """Return training and validation batches of experiment e0001."""
    from zhurnal.api import Lab
    from zhurnal.train.setup import build
    from zhurnal.train.watch import Silent

    opened = Lab(Path(lab))
    experiment = opened.experiment("e0001")
    parts = build(opened, experiment, experiment.settings.seeds[0], download=False, watcher=Silent())
    return Feed(parts.feed), DataLoader(Held(parts.data.val, parts.normalize), batch_size=None)


def main() -> None:
    """Train."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--feed", choices=("torchvision", "zhurnal"), default="torchvision")
    parser.add_argument("--lab", help="for --feed zhurnal: a lab whose e0001 says which images and which augmentation")
    given = parser.parse_args()
    logging.getLogger("lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    torch.manual_seed(42)
    torch.set_num_threads(given.threads)
    if given.feed == "zhurnal":
        train, val = zhurnal_batches(given.lab)
    else:
        options: dict[str, Any] = {"num_workers": given.workers, "persistent_workers": given.workers > 0}
        train = DataLoader(Images(*load(given.images, "train"), transforms_of(given.transform, "v2 tensor")), given.batch, shuffle=True, **options)
        val = DataLoader(Images(*load(given.images, "test"), None), 256, **options)
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=given.epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=[Line()],
    )
    trainer.fit(Module(given.epochs, normalized=given.feed == "zhurnal"), train, val)


if __name__ == "__main__":
    main()
