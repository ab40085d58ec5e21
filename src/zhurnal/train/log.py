"""Where a run writes: its record, its events, TensorBoard, predictions, whoever watches; and when the next checkpoint is due."""

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import RunError
from ..core.records import Row
from ..core.secrets import masked
from ..store.keeper import Keeper
from ..store.record import Record
from . import setup
from .board import Board
from .data import Split
from .state import Position
from .step import Evaluation
from .watch import Watcher

# Saving checkpoints takes at most this part of the time.
CHECKPOINT_SHARE = 0.01
PATIENCE = 3.0  # seconds that a run waits at its end for a disk that refuses


class Log:
    """Where a run writes: its record, its events, TensorBoard, and whoever watches. No trouble with the disk ends it: see store/keeper.py."""

    def __init__(
        self, home: Path, record: Record, events: Record, board: Board, keeper: Keeper, watcher: Watcher, *, saved: tuple[int, int] = (0, 0)
    ) -> None:
        self.home, self.record, self.events, self.board, self.keeper, self.watcher = home, record, events, board, keeper, watcher
        self.saved = saved  # step and epochs of the checkpoint that a run would go on from

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

    def checkpoint(self, at: Position, write: Callable[[], object], *, patience: float = 0.0) -> bool:
        """Call `write`, which writes a checkpoint, once all that came before is on disk; return whether it is there.

        Where the disk refuses, it is tried again for `patience` seconds; the earlier checkpoints are as they were.
        """
        deadline = time.monotonic() + patience
        while True:
            at.lost = self.keeper.losses()
            try:
                if self.keeper.settle(deadline - time.monotonic()):
                    write()
                    self.keeper.fine("the checkpoint")
                    self.saved = at.step, at.epoch
                    return True
            except OSError as error:
                self.keeper.trouble("the checkpoint", error)
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.2)

    def check_whole(self, at: Position) -> None:
        """Raise RunError where something of a run that trained to its end is not on disk."""
        is_settled = self.keeper.settle(PATIENCE)
        if lost := self.keeper.losses():
            raise RunError(f"trained to its end, but {'; '.join(lost)}. The rest is there; for a whole record, make a new experiment")
        if not is_settled or self.saved != (at.step, at.epoch):
            raise RunError(
                f"trained to its end, but could not write all of it: {self.keeper.waiting()}. "
                f"Make room on the disk and run it again: it goes on from its checkpoint at step {self.saved[0]}"
            )

    def stop(self, status: str, position: Position, reason: str) -> bool:
        """Write down how this attempt ended; return whether that is on disk."""
        self.event("stop", status=status, step=position.step, epoch=position.epoch, reason=reason[:2000])
        return self.keeper.settle(PATIENCE)

    def predictions(self, epoch: int, result: Evaluation, classes: int) -> None:
        """Keep what the network said of each validation image: `predicted`, `confidence` and `loss` in `predictions/epoch-00003.npz`."""
        predicted = result.predicted_N.numpy().astype(np.uint8 if classes <= 256 else np.uint16)
        confidence, loss = result.confidence_N.numpy().astype(np.float16), result.losses_N.clamp(max=65504).numpy().astype(np.float16)
        self._save(f"epoch-{epoch:05d}.npz", predicted=predicted, confidence=confidence, loss=loss)

    def labels(self, split: Split) -> None:
        """Keep what the rows of all predictions are about: `label` and `number` (of the image in its data set) in `predictions/labels.npz`."""
        self._save("labels.npz", label=split.labels_N.numpy(), number=split.indices_N.numpy())

    def _save(self, name: str, **arrays: Any) -> None:
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        self.keeper.put("predictions", {self.home / "predictions" / name: buffer.getvalue()}, remember=name == "labels.npz")


class Saver:
    """Says when the next checkpoint is due: after so many seconds, and never so often that saving takes more than its share of the time."""

    def __init__(self, every: float) -> None:
        self.every, self.pause, self.last = every, 0.0, time.monotonic()

    def due(self, *, at_epoch_end: bool = False) -> bool:
        """Return whether to save now; the end of an epoch is a good moment already after a fifth of the time."""
        wait = max(self.every * (0.2 if at_epoch_end else 1.0), self.pause)
        return time.monotonic() - self.last >= wait

    def save(self, action: Callable[[], object]) -> None:
        """Save, and note how long it took."""
        began = time.monotonic()
        action()
        self.last = time.monotonic()
        self.pause = (self.last - began) / CHECKPOINT_SHARE
