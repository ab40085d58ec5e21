"""Who watches a run: the command line draws bars, a test counts, a notebook may do nothing. A run never waits for its watcher."""

from typing import Protocol

from ..core.records import Row


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
        """Something a person should know."""


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
