"""A record that a keeper looks after, rows for it, and waiting for what its thread does."""

import time
from collections.abc import Callable
from pathlib import Path

from zhurnal.core.records import Row, encode
from zhurnal.store.keeper import Keeper
from zhurnal.store.record import Record

ROWS: list[Row] = [{"kind": "iter", "step": n, "epoch": 1, "loss": 1 / n, "lr": 0.1} for n in range(1, 9)]
WHOLE = b"".join(map(encode, ROWS))


def opened(path: Path, kept: Keeper | None = None) -> tuple[Record, Keeper, list[str]]:
    """Return a record with its keeper, and what this tells."""
    kept = kept or Keeper(path.parent)
    told: list[str] = []
    kept._hear = told.append
    return Record(path, keeper=kept), kept, told


def until(true: Callable[[], object]) -> None:
    """Wait until something is true, at most ten seconds."""
    deadline = time.monotonic() + 10
    while not true() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert true()
