"""TensorBoard events beside the record: the same rows, for those who have TensorBoard open. The record stays the truth."""

from pathlib import Path
from typing import Any

from ..core.records import Row

_EPOCH = {"train_loss": "loss/train", "val_loss": "loss/val", "train_acc": "accuracy/train", "val_acc": "accuracy/val", "lr": "lr/epoch"}


class Board:
    """An open event file; does nothing when not wanted or when the package `tensorboard` is not installed (`missing` says so)."""

    def __init__(self, folder: Path, wanted: bool) -> None:
        self.missing = False
        self._writer: Any = None
        if not wanted:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self.missing = True
            return
        self._writer = SummaryWriter(str(folder), flush_secs=10)

    def row(self, row: Row) -> None:
        """Write a row's numbers: iterations over steps, epochs over epochs."""
        if self._writer is None:
            return
        if row["kind"] == "iter":
            self._writer.add_scalar("loss/iter", row["loss"], row["step"])
            self._writer.add_scalar("lr/iter", row["lr"], row["step"])
        elif row["kind"] == "epoch":
            for key, tag in _EPOCH.items():
                self._writer.add_scalar(tag, row[key], row["epoch"])
        elif row["kind"] == "test":
            self._writer.add_scalar("accuracy/test", row["test_acc"], row["epoch"])

    def flush(self) -> None:
        """Put what was written on disk."""
        if self._writer is not None:
            self._writer.flush()

    def __enter__(self) -> "Board":
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()
