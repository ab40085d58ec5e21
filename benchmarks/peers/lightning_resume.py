"""Lightning's Trainer with its ModelCheckpoint, gone on with from the newest checkpoint. Run by `benchmarks/trouble.py`, see resumes.py.

As it comes, and with what a careful person adds: torch's random state kept in the checkpoints; and, for checkpoints in the middle of an epoch,
torchdata's StatefulDataLoader, where it is installed.
"""

import hashlib
import importlib
import importlib.util
import logging
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import shared  # noqa: F401  # first: it makes torchvision importable

# isort: split
import lightning
import torch
from forked import Tell
from lightning.pytorch.callbacks import ModelCheckpoint
from resumes import BATCH, EPOCHS, GAMMA, LR, MOMENTUM, STEP_SIZE, images, main
from tiny_net import Net
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset


class Images(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Training images, cropped and flipped at random by torch's generator alone, which Lightning seeds in each worker too."""

    def __init__(self) -> None:
        images_NHWC, labels_N = images("train")
        self.images_NCHW = functional.pad(torch.from_numpy(images_NHWC).permute(0, 3, 1, 2).float() / 255, (2, 2, 2, 2))
        self.labels_N = torch.from_numpy(labels_N)

    def __len__(self) -> int:
        return len(self.labels_N)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        y, x = torch.randint(5, (2,)).tolist()
        image_CHW = self.images_NCHW[index, :, y : y + 16, x : x + 16]
        return image_CHW.flip(2) if torch.rand(()) < 0.5 else image_CHW, self.labels_N[index]


class Module(lightning.LightningModule):
    """The network and how it is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Net((3, 16, 16), 2)

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], _: int) -> torch.Tensor:
        """Return the loss."""
        images_NCHW, labels_N = batch
        return functional.cross_entropy(self.net(images_NCHW), labels_N)

    def configure_optimizers(self) -> Any:
        """Return optimizer and schedule."""
        optimizer = torch.optim.SGD(self.parameters(), lr=LR, momentum=MOMENTUM)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, STEP_SIZE, GAMMA)]


class Teller(lightning.Callback):
    """Tells each step and its loss."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Tell."""
        self.tell(trainer.global_step, float(outputs["loss"]))


class KeepsRandomState(lightning.Callback):
    """Code of one's own: keeps the state of torch's generator in each checkpoint, and puts it back.

    When it must be put back was found by trying: for a DataLoader that begins an epoch, before its iterator is made; for a StatefulDataLoader that
    goes on in the middle of one, after that.
    """

    def __init__(self, at_once: bool) -> None:
        self.at_once = at_once
        self.held: torch.Tensor | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return it."""
        return {"torch": torch.get_rng_state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Put it back, or hold it until training starts."""
        if self.at_once:
            torch.set_rng_state(state_dict["torch"])
        else:
            self.held = state_dict["torch"]

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Put it back."""
        if self.held is not None:
            torch.set_rng_state(self.held)


def train(
    folder: Path, tell: Tell, workers: int, every: dict[str, Any], more: Sequence[Callable[[], lightning.Callback]], loader: Any
) -> dict[str, str]:
    """Train, from the newest checkpoint where there is one."""
    logging.getLogger("lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    torch.set_num_threads(1)
    lightning.seed_everything(42, workers=True)
    saving = ModelCheckpoint(folder / "checkpoints", filename="{step}", save_top_k=-1, **every)
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=EPOCHS,
        deterministic=True,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Teller(tell), saving, *(make() for make in more)],
    )
    module = Module()
    found = sorted(folder.glob("checkpoints/step=*.ckpt"), key=lambda path: int(path.stem.partition("=")[2]))
    trainer.fit(module, loader(Images(), BATCH, shuffle=True, num_workers=workers), ckpt_path=found[-1] if found else None)
    total = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        total.update(name.encode() + value.contiguous().numpy().tobytes())
    return {"final weights": total.hexdigest()}


STEPS: dict[str, Any] = {"every_n_train_steps": 10}
EPOCH: dict[str, Any] = {"every_n_epochs": 1, "save_on_train_epoch_end": True}
if __name__ == "__main__":
    kinds: dict[str, dict[str, Any]] = {
        "saved every 10 steps": {"every": STEPS, "more": [], "loader": DataLoader},
        "saved at the end of each epoch": {"every": EPOCH, "more": [], "loader": DataLoader},
        "saved at the end of each epoch, random state kept": {
            "every": EPOCH,
            "more": [partial(KeepsRandomState, at_once=True)],
            "loader": DataLoader,
        },
    }
    if importlib.util.find_spec("torchdata"):
        stateful = importlib.import_module("torchdata.stateful_dataloader").StatefulDataLoader
        kinds["saved every 10 steps, random state kept, StatefulDataLoader"] = {
            "every": STEPS,
            "more": [partial(KeepsRandomState, at_once=False)],
            "loader": stateful,
        }
    main({f"Lightning, {kind}, {n} workers": partial(train, workers=n, **options) for kind, options in kinds.items() for n in (0, 2)})
