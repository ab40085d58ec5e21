"""Zhurnal's record, with TensorBoard events beside it, as training writes it: `Log.row`. Run by `benchmarks/trouble.py`, see writers.py."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from writers import Log, Writer, main

from zhurnal.store.keeper import Keeper
from zhurnal.store.record import Record, current, read
from zhurnal.train import log
from zhurnal.train.board import Board
from zhurnal.train.watch import Guarded, Silent


class Printed(Silent):
    """Prints what a person should know, as the command line does."""

    def note(self, text: str) -> None:
        """See Watcher."""
        print(text, file=sys.stderr, flush=True)


@contextmanager
def opened(folder: Path) -> Iterator[Log]:
    """Open all that a run logs to."""
    keeper = Keeper(folder)
    with (
        Record(folder / "record.jsonl", keeper=keeper) as record,
        Record(folder / "events.jsonl", keeper=keeper) as events,
        Board(folder / "tensorboard", True, keeper) as board,
    ):
        to = log.Log(folder, record, events, board, keeper, Guarded(Printed(), keeper))
        with keeper.running(to.warn):
            yield lambda step: to.row({"kind": "iter", "step": step, "epoch": 1, "loss": float(step), "lr": 0.1})
        keeper.settle(log.PATIENCE)  # as at the end of a run


def stored(folder: Path) -> Iterator[tuple[int, float]]:
    """Return steps and losses of the record."""
    rows, problems = read(folder / "record.jsonl")
    print(problems)
    return ((row["step"], row["loss"]) for row in current(rows))


if __name__ == "__main__":
    main([Writer("Zhurnal", opened, stored)], lambda folder: None)
