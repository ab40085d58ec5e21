"""What a row of the campaign tried, and what of it did not hold."""

import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Tally:
    """Counts trials. A row's function gets one, and the number of trials wanted; it may do more where its trials come in fixed sets."""

    name: str  # of the row
    wanted: int  # trials
    seed: int
    folder: Path  # for the row alone; it exists and is empty
    shown: Callable[["Tally"], object] = lambda tally: None  # called a few times a second at most, to show how far it is
    tried: int = 0
    lost: list[str] = field(default_factory=list)  # a sentence for each trial that did not hold
    notes: list[str] = field(default_factory=list)  # what a reader of the table should know: `skipped: no mounts here`

    def __post_init__(self) -> None:
        self.random = random.Random(f"{self.seed} {self.name}")
        self._shown_at = 0.0

    @property
    def held(self) -> int:
        """How many trials held."""
        return self.tried - len(self.lost)

    def count(self, held: object, otherwise: str = "") -> None:
        """Count a trial: whether what was promised held, and if not, a sentence with what came `otherwise`."""
        self.tried += 1
        if not held:
            self.lost.append(f"trial {self.tried}: {otherwise}")
        if time.monotonic() - self._shown_at > 0.3:
            self._shown_at = time.monotonic()
            self.shown(self)

    @contextmanager
    def place(self) -> Iterator[Path]:
        """Give an empty folder for one trial, which is removed afterwards."""
        folder = self.folder / "trial"
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder)
