"""Where the time of an epoch goes: the loop of a run (`run.py`), with marks at its parts, over as many batches as there is time for.

Promises: the loop is that of every run, and writes what a run writes, into a folder of its own. The whole epoch is put together from what was
measured: steps and validation in proportion to their number, and as many checkpoints as a run makes in that time.

Weights and the optimizer's state are changed.
"""

import math
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..core.errors import Interrupted
from ..core.experiment import Experiment
from ..core.records import Row
from ..core.stop import Stop
from ..store.keeper import Keeper
from ..store.record import Record
from . import setup
from .board import Board
from .data import Split
from .log import CHECKPOINT_SHARE, Log
from .run import _deterministic, _train
from .state import Position
from .timing import BEST, CHECKPOINTS, CLOSING, RECORDS, SECOND_PASS, STEP, VALIDATION, Clock, Marks, marked
from .watch import Silent, Watcher

WARM_UP = 2  # batches
FEWEST = 3


@dataclass(frozen=True)
class PartTime:
    """What a part of the loop takes of an epoch."""

    name: str
    seconds: float
    share: float  # of the epoch


@dataclass(frozen=True)
class EpochTime:
    """Where the time of an epoch goes."""

    model: str
    parts: tuple[PartTime, ...]  # in the order in which they come
    seconds: float
    threads: int
    batch: int
    steps: int  # of the epoch
    steps_measured: int
    val: int  # images validated
    val_measured: int
    checkpoints: float  # in an epoch, on average; the best weights not counted


def measure_epoch(experiment: Experiment, parts: setup.Parts, folder: Path, *, seconds: float, watcher: Watcher | None = None) -> EpochTime:
    """Return where the time of an epoch goes, measured for about `seconds` seconds.

    Args:
        experiment: whose settings the loop follows.
        parts: what it trains with.
        folder: on the disk on which runs are; what is written there is removed again.
        seconds: how long to measure; at least three steps are.
        watcher: is told how far it is.
    """
    watcher = watcher or Silent()
    settings, feed = experiment.settings.train, parts.feed
    watcher.progress("epoch", 0, 1)
    first = _loop(experiment, parts, folder, WARM_UP, 1, watcher)
    step = sum(first.seconds[p] for p in STEP) / min(WARM_UP, feed.num_batches)
    steps = max(FEWEST, min(feed.num_batches, int(seconds / max(step, 1e-6))))
    part = min(1.0, steps / feed.num_batches)
    val = max(min(len(parts.data.val), settings.batch_size_val), math.ceil(part * len(parts.data.val)))
    clock = _loop(experiment, parts, folder, steps, val, watcher)
    measured = min(steps, feed.num_batches)
    watcher.progress("epoch", 1, 1)
    return put_together(experiment, parts, clock, measured, min(val, len(parts.data.val)))


def put_together(experiment: Experiment, parts: setup.Parts, clock: Clock, steps: int, val: int) -> EpochTime:
    """Return the time of a whole epoch, of which `clock` has seen `steps` steps and the validation of `val` images."""
    settings, num_batches, num_val = experiment.settings.train, parts.feed.num_batches, len(parts.data.val)
    seen, grown = clock.seconds, num_batches / steps
    seconds = {part: grown * seen[part] for part in STEP}
    seconds[RECORDS] += seen[CLOSING]
    seconds[VALIDATION] = num_val / val * seen[VALIDATION] + grown * seen[SECOND_PASS]
    one = seen[CHECKPOINTS] / max(1, clock.times[CHECKPOINTS])
    checkpoints = saves(sum(seconds.values()), settings.checkpoint_seconds, one)
    seconds["checkpoints"] = seen[BEST] + checkpoints * one
    total = sum(seconds.values())
    return EpochTime(
        model=experiment.settings.model.name,
        parts=tuple(PartTime(name, s, s / total) for name, s in seconds.items()),
        seconds=total,
        threads=torch.get_num_threads(),
        batch=settings.batch_size,
        steps=num_batches,
        steps_measured=steps,
        val=num_val,
        val_measured=val,
        checkpoints=checkpoints,
    )


def saves(epoch: float, every: float, one: float) -> float:
    """Return how many checkpoints a run makes in an epoch of `epoch` seconds, on average, where one takes `one` seconds (see `log.Saver`).

    >>> saves(1.0, 10.0, 0.01), saves(5.0, 10.0, 0.01), saves(25.0, 10.0, 0.01), saves(100.0, 10.0, 1.0)
    (0.5, 1.0, 3, 1)
    """
    pause = one / CHECKPOINT_SHARE
    wait, at_end = max(every, pause), max(0.2 * every, pause)
    inside = math.floor(epoch / wait) if wait else math.inf
    if inside == 0:
        return 1.0 / max(1, math.ceil(at_end / epoch)) if epoch else 0.0
    return inside + (epoch - inside * wait >= at_end)


class _OneEpoch(Silent):
    """Ends the loop when an epoch is closed and its checkpoint, if there is one, is written."""

    def __init__(self, watcher: Watcher, total: int) -> None:
        self.watcher, self.total, self.closed = watcher, total, False

    def step(self, epoch: int, batch: int, images: int, lr: float) -> None:
        """See Watcher."""
        if self.total > FEWEST:
            self.watcher.progress("steps", batch, self.total)

    def row(self, row: Row) -> None:
        """See Watcher."""
        self.closed = self.closed or row["kind"] == "epoch"

    def phase(self, name: str) -> None:
        """See Watcher."""
        if self.closed and name == "training":
            raise Interrupted("measured")


def _loop(experiment: Experiment, parts: setup.Parts, folder: Path, steps: int, val: int, watcher: Watcher) -> Clock:
    """Train on `steps` batches and validate on `val` images, as a run does; return what each part took."""
    feed, data, clock = parts.feed, parts.data, Clock(parts.device)
    num = min(len(data.train), steps * feed.batch_size)
    train = data.train if num == len(data.train) else some(data.train, num)
    small = replace(parts, data=replace(data, train=train, val=some(data.val, min(val, len(data.val))), test=None), feed=replace(feed, split=train))
    # Two epochs, of which the second never begins: the end of a run is another matter. Checkpoints as soon as they may, to have seen some.
    changes = {"epochs": 2, "early_stopping": None, "checkpoint_seconds": 0.0}
    settings = experiment.settings.train.model_copy(update=changes)
    marks = Marks(_OneEpoch(watcher, steps), clock.to)
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder)))
        for name in ("checkpoints", "predictions"):
            (home / name).mkdir()
        keeper = Keeper(home)
        record, events = (stack.enter_context(Record(home / name, keeper=keeper)) for name in ("record.jsonl", "events.jsonl"))
        board = stack.enter_context(Board(home / "tensorboard", settings.tensorboard, keeper))
        log = Log(home, record, events, board, keeper, marks)
        stack.enter_context(keeper.running(watcher.note))
        with_marks = stack.enter_context(marked(small, marks.inside))
        stack.enter_context(_deterministic())
        try:
            _train(settings, experiment, with_marks, Position(), log, home / "checkpoints", Stop())
        except Interrupted:
            clock.stop()
    return clock


def some(split: Split, num: int) -> Split:
    """Return `num` images of a split, evenly spread over it."""
    rows_N = torch.linspace(0, len(split) - 1, num).long()
    return Split(split.images.select(rows_N), split.labels_N[rows_N], split.indices_N[rows_N])
