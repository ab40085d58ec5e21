"""Where a run writes: its record, its events, TensorBoard, predictions, whoever watches; and when the next checkpoint is due."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import RunError
from ..core.records import Row
from ..core.secrets import masked
from ..store.record import Record
from . import setup
from .board import Board
from .data import Split
from .state import Position
from .step import Evaluation
from .watch import Watcher

# Saving checkpoints takes at most this part of the time.
CHECKPOINT_SHARE = 0.02


class Log:
    """Where a run writes: its record, its events, TensorBoard, and whoever watches."""

    def __init__(self, home: Path, record: Record, events: Record, board: Board, watcher: Watcher) -> None:
        self.home, self.record, self.events, self.board, self.watcher = home, record, events, board, watcher

    def row(self, row: Row) -> None:
        """Add a row to the record."""
        known = self.record.mismatch
        self.record.append(row)
        if self.record.mismatch and not known:
            self.warn(f"this resume is not exact: {self.record.mismatch}. The run goes on, and its rows from here on are those of this attempt")
        self.board.row(row)
        self.watcher.row(row)

    def event(self, kind: str, **values: Any) -> None:
        """Add a row with the time to the events."""
        told = {key: masked(value) if isinstance(value, str) else value for key, value in values.items()}
        self.events.append({"kind": kind, "time": setup.now(), **told})

    def warn(self, text: str) -> None:
        """Write down, and tell, what a person should know."""
        text = masked(text)
        self.event("warning", text=text)
        self.watcher.note(text)

    def stop(self, status: str, position: Position, reason: str) -> None:
        """Write down how this attempt ended."""
        self.event("stop", status=status, step=position.step, epoch=position.epoch, reason=reason[:2000])
        self.record.sync()
        self.events.sync()

    def predictions(self, epoch: int, result: Evaluation, classes: int) -> None:
        """Keep what the network said of each validation image: `predicted`, `confidence` and `loss` in `predictions/epoch-00003.npz`."""
        predicted = result.predicted_N.numpy().astype(np.uint8 if classes <= 256 else np.uint16)
        confidence, loss = result.confidence_N.numpy().astype(np.float16), result.losses_N.clamp(max=65504).numpy().astype(np.float16)
        self._save(f"epoch-{epoch:05d}.npz", predicted=predicted, confidence=confidence, loss=loss)

    def labels(self, split: Split) -> None:
        """Keep what the rows of all predictions are about: `label` and `number` (of the image in its data set) in `predictions/labels.npz`."""
        self._save("labels.npz", label=split.labels_N.numpy(), number=split.indices_N.numpy())

    def _save(self, name: str, **arrays: Any) -> None:
        path = self.home / "predictions" / name
        temporary = path.with_suffix(".tmp")
        with temporary.open("wb") as file:
            np.savez(file, **arrays)
        temporary.replace(path)


class Saver:
    """Says when the next checkpoint is due: after so many seconds, and never so often that saving takes more than its share of the time."""

    def __init__(self, every: float) -> None:
        self.every, self.pause, self.last = every, 0.0, time.monotonic()

    def due(self, *, at_epoch_end: bool = False) -> bool:
        """Return whether to save now; the end of an epoch is a good moment already after a fifth of the time."""
        wait = max(self.every * (0.2 if at_epoch_end else 1.0), self.pause)
        return time.monotonic() - self.last >= wait

    def save(self, action: Callable[[], object]) -> None:
        """Save, and note how long it took.

        Raises:
            RunError: the disk is full or gone.
        """
        began = time.monotonic()
        try:
            action()
        except OSError as error:
            raise RunError(
                f"the checkpoint could not be written: {error}. Free some space and run the experiment again: it goes on from the last one"
            ) from error
        self.last = time.monotonic()
        self.pause = (self.last - began) / CHECKPOINT_SHARE
