"""The rows of the campaign, a line each. A row's function gets a Tally, whose `wanted` says how many trials. torch is imported where it is used."""

from collections.abc import Callable
from dataclasses import dataclass

from . import damage, disks, kills, lines, power
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
        "kills",
        "SIGKILL in training, at any moment: goes on to the same record, weights, optimizer, average, random state",
        (6, 300, 1000),
        kills.kills,
    ),
    Row("double", "SIGKILL again while it recovers, up to five times: the same", (4, 50, 200), kills.double),
    Row("signals", "SIGTERM, SIGINT, SIGSTOP and SIGCONT: the same, and its state is true", (3, 50, 200), kills.signals),
    Row("writers", "SIGKILL of a process that writes rows: each row is there whose call had returned", (40, 2000, 10_000), kills.writers),
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
        (12, 700, 4000),
        disks.calls,
    ),
    Row("full", "a real file system fills up while training, and has room again: the same", (1, 20, 200), disks.full),
    Row(
        "power",
        "power cut, from recorded writes: nothing durable is lost, every tenth state gone on with to the same end",
        (30, 300, 5000),
        power.cuts,
    ),
    Row(
        "checkpoints",
        "damaged checkpoints and best weights: found by their SHA-256, the one before is used, told",
        (60, 600, 2500),
        damage.checkpoints,
    ),
    Row("pickles", "checkpoints and weights that would run code: refused, nothing ran", (30, 30, 30), damage.pickles),
)
