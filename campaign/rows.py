"""The rows of the campaign, a line each. A row's function gets a Tally, whose `wanted` says how many trials. torch is imported where it is used."""

from collections.abc import Callable
from dataclasses import dataclass

from . import archives, damage, disks, hostile_yaml, images, kills, lines, machine, moving, names, power, secrets
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
    Row("numbers", "numbers of experiments taken by 4 processes at once, and killed while taken: none twice", (100, 1000, 4000), moving.numbers),
    Row("two_runs", "two processes begin one run: one does, the other is told process, machine and since when", (10, 200, 1000), moving.two_runs),
    Row("moves", "rm, restore, renumber, merge killed at any change, twice: done or not begun", (16, 400, 4000), moving.moves),
    Row("machine", "sequences of new, run, kill, go on, rm, restore, renumber, merge: the disk is as a model", (6, 300, 3000), machine.machine),
    Row("yaml", "hostile experiment files: told with the line, under 1 s and 200 MB", (1, 1, 1), hostile_yaml.hostile_yaml),
    Row("names", "hostile texts in every field, on 8 surfaces: shown, nothing obeyed, nothing made", (8, 100, 100), names.hostile_names),
    Row("images", "hostile images: decoded alike or refused with a reason, under 5 s and 1 GB", (1, 1, 1), images.hostile_images),
    Row("archives", "hostile zip files as data: told, nothing written, under 1 s and 200 MB", (1, 1, 1), archives.archives),
    Row("secrets", "secrets in texts of errors and warnings: masked", (1, 1, 1), secrets.secrets),
)
