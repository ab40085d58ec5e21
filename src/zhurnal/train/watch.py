"""Who watches a run: the command line draws bars, a test counts, a notebook may do nothing. A run never waits for its watcher."""

from collections.abc import Callable
from typing import Any, Protocol

from ..core.records import Row
from ..store.keeper import Keeper


class Watcher(Protocol):
    """Told what a run does, as it does it."""

    def progress(self, task: str, done: int, total: int) -> None:
        """Some preparation, such as decoding images, has come this far."""

    def begin(self, experiment: str, seed: int, epochs: int, batches: int, epoch: int, batch: int) -> None:
        """Training starts or goes on: at batch `batch` of epoch `epoch` (both from 0), of `epochs` epochs of `batches` batches."""

    def step(self, epoch: int, batch: int, images: int, lr: float) -> None:
        """A training step over `images` images ended; called often."""

    def row(self, row: Row) -> None:
        """A row was added to the record."""

    def phase(self, name: str) -> None:
        """What the run does now: `training`, `validating`, ..."""

    def note(self, text: str) -> None:
        """Something a person should know. Trouble with the disk is told from a thread of its own."""


class Silent:
    """Watches and says nothing."""

    def progress(self, task: str, done: int, total: int) -> None:
        """See Watcher."""

    def begin(self, experiment: str, seed: int, epochs: int, batches: int, epoch: int, batch: int) -> None:
        """See Watcher."""

    def step(self, epoch: int, batch: int, images: int, lr: float) -> None:
        """See Watcher."""

    def row(self, row: Row) -> None:
        """See Watcher."""

    def phase(self, name: str) -> None:
        """See Watcher."""

    def note(self, text: str) -> None:
        """See Watcher."""


class Guarded:
    """Tells another watcher. Where that cannot write (its file is on the full disk, its terminal is gone), the run goes on, and its events say so."""

    def __init__(self, watcher: Watcher, keeper: Keeper) -> None:
        self.watcher, self.keeper = watcher, keeper

    def _tell(self, call: Callable[..., None], *values: Any) -> None:
        try:
            call(*values)
        except OSError as error:
            self.keeper.trouble(PRINTED, error)
        else:
            self.keeper.fine(PRINTED)

    def progress(self, task: str, done: int, total: int) -> None:
        """See Watcher."""
        self._tell(self.watcher.progress, task, done, total)

    def begin(self, experiment: str, seed: int, epochs: int, batches: int, epoch: int, batch: int) -> None:
        """See Watcher."""
        self._tell(self.watcher.begin, experiment, seed, epochs, batches, epoch, batch)

    def step(self, epoch: int, batch: int, images: int, lr: float) -> None:
        """See Watcher."""
        self._tell(self.watcher.step, epoch, batch, images, lr)

    def row(self, row: Row) -> None:
        """See Watcher."""
        self._tell(self.watcher.row, row)

    def phase(self, name: str) -> None:
        """See Watcher."""
        self._tell(self.watcher.phase, name)

    def note(self, text: str) -> None:
        """See Watcher."""
        self._tell(self.watcher.note, text)


PRINTED = "what the run prints"
