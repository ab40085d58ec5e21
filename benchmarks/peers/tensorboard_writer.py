"""TensorBoard's writer as torch has it: as it comes, flushed after each point, and with its errors caught.

Run by `benchmarks/trouble.py`, see writers.py.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from torch.utils.tensorboard import SummaryWriter
from writers import Log, Writer, main


@contextmanager
def opened(folder: Path, flushes: bool = False) -> Iterator[Log]:
    """Open a writer with its defaults."""
    with SummaryWriter(str(folder)) as writer:

        def log(step: int) -> None:
            writer.add_scalar("loss", float(step), step)
            if flushes:
                writer.flush()

        yield log


@contextmanager
def caught(folder: Path) -> Iterator[Log]:
    """Open a writer; after an error, which leaves it of no use, go on without that point and with a new writer in the same folder."""
    writers = [SummaryWriter(str(folder))]

    def log(step: int) -> bool:
        try:
            if not writers:
                writers.append(SummaryWriter(str(folder)))
            writers[-1].add_scalar("loss", float(step), step)
        except OSError:
            writers.clear()
            return False
        return True

    yield log
    for writer in writers:
        writer.close()


def stored(folder: Path) -> Iterator[tuple[int, float]]:
    """Return steps and values of the event files."""
    for file in sorted(folder.glob("*tfevents*")):
        for event in LegacyEventFileLoader(str(file)).Load():
            for value in event.summary.value:
                yield event.step, value.simple_value


NAME = "TensorBoard's SummaryWriter"
if __name__ == "__main__":
    main(
        [
            Writer(NAME, opened, stored),
            Writer(f"{NAME}, `flush()` after each point", partial(opened, flushes=True), stored),
            Writer(f"{NAME}, errors caught, then a new writer", caught, stored, ("disk",)),
        ],
        lambda folder: None,
    )
