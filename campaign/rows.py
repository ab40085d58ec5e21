"""The rows of the campaign, a line each. A row's function gets a Tally, whose `wanted` says how many trials. torch is imported where it is used."""

from collections.abc import Callable
from dataclasses import dataclass

from . import disks, lines
from .tally import Tally


@dataclass(frozen=True)
class Row:
    """A promise, tried so many times in each tier."""

    name: str  # for --rows
    what: str  # the promise, as the table says it
    counts: tuple[int, int, int]  # trials in tier 1 (tests), 2 (a night), 3 (a release)
    run: Callable[[Tally], None]


ROWS = (
    Row(
        "torn",
        "record cut at any byte of its last three lines, or with a tail of garbage: all whole lines read, damage told",
        (1, 10, 100),
        lines.torn,
    ),
    Row("flips", "record with a bit flipped anywhere: found, told, no other line hidden", (100, 1000, 10_000), lines.flips),
    Row(
        "calls",
        "a call that writes fails (full, quota, I/O error, read-only): training goes on, told in 2 s, same record",
        (24, 700, 4000),
        disks.calls,
    ),
    Row("full", "a real file system fills up while training, and has room again: the same", (1, 20, 200), disks.full),
)
