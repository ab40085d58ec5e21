"""Which part of the training loop runs at each moment: for `bench`, which adds up seconds, and for `run --profile`, which marks a trace.

`marked` puts marks around the parts that a run trains with, and `Marks` stands between a run and its watcher. Promises: what is computed does not
change, and afterwards model and optimizer are as they were.
"""

import copy
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..core.records import Row
from .data import Images
from .setup import Parts
from .watch import Watcher

# The parts of a step, in the order in which they come.
DATA, AUGMENT, FORWARD, BACKWARD, OPTIMIZER, RECORDS = "waiting for data", "augmentation", "forward", "backward", "optimizer", "metrics and records"
STEP = (DATA, AUGMENT, FORWARD, BACKWARD, OPTIMIZER, RECORDS)
# Those of an epoch outside its steps.
VALIDATION, SECOND_PASS, BEST, CLOSING, CHECKPOINTS = "validation", "second pass", "best weights", "closing the epoch", "checkpoints"
# What a run says that it does (Watcher.phase) -> the part.
PHASES = {
    "training": DATA,
    "validating": VALIDATION,
    "testing the best weights": VALIDATION,
    "measuring on the training images": SECOND_PASS,
    "saving the best weights": BEST,
    "writing down": CLOSING,
    "saving": CHECKPOINTS,
}

Mark = Callable[[str], None]  # called with the part that begins now


class Clock:
    """Adds up the seconds of parts, and how often each began; a GPU is waited for at each change."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.part, self.since = device, "", 0.0
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.times: Counter[str] = Counter()
        self.stopped = False

    def to(self, part: str) -> None:
        """Go on with `part`; an empty text is none."""
        if self.stopped:
            return
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        if self.part:
            self.seconds[self.part] += now - self.since
        if part and part != self.part:
            self.times[part] += 1
        self.part, self.since = part, now

    def stop(self) -> None:
        """Count nothing from here on."""
        self.to("")
        self.stopped = True


class Marks:
    """Stands in the place of a run's watcher, passes everything on to it, and marks the changes of part.

    Args:
        watcher: who is told what the run tells.
        mark: called with each part that begins.
        stepped: called with the number of the optimizer steps done, when training starts and after each.
    """

    def __init__(self, watcher: Watcher, mark: Mark, stepped: Callable[[int], None] = lambda step: None) -> None:
        self.watcher, self.mark, self.stepped = watcher, mark, stepped
        self.in_step = False  # what happens in a step happens in validation too, where it is a part of that
        self.total = self.batches = 0
        self.thread = threading.get_ident()

    def inside(self, part: str) -> None:
        """Mark a part of a step; called anywhere else, it does nothing."""
        if self.in_step and threading.get_ident() == self.thread:
            self.mark(part)

    def begin(self, experiment: str, seed: int, epochs: int, batches: int, epoch: int, batch: int) -> None:
        """See Watcher."""
        self.watcher.begin(experiment, seed, epochs, batches, epoch, batch)
        self.batches, self.total = batches, epochs * batches
        self.stepped(epoch * batches + batch)

    def step(self, epoch: int, batch: int, images: int, lr: float) -> None:
        """See Watcher."""
        self.watcher.step(epoch, batch, images, lr)
        self.stepped(epoch * self.batches + batch)
        self.inside(DATA)

    def phase(self, name: str) -> None:
        """See Watcher."""
        self.watcher.phase(name)
        self.in_step = name == "training"
        self.mark(PHASES.get(name, CLOSING))

    def progress(self, task: str, done: int, total: int) -> None:
        """See Watcher."""
        self.watcher.progress(task, done, total)

    def row(self, row: Row) -> None:
        """See Watcher."""
        self.watcher.row(row)

    def note(self, text: str) -> None:
        """See Watcher."""
        self.watcher.note(text)


class _Marked:
    """Images that say when a batch of them was taken; see `Images`."""

    def __init__(self, images: Images, taken: Callable[[], None]) -> None:
        self.images, self.taken, self.shape = images, taken, images.shape

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices_N: Tensor) -> Tensor:
        images_NCHW = self.images.take(indices_N)
        self.taken()
        return images_NCHW

    def select(self, indices_N: Tensor) -> "_Marked":
        return _Marked(self.images.select(indices_N), self.taken)


@contextmanager
def marked(parts: Parts, inside: Mark) -> Iterator[Parts]:
    """Give parts that call `inside` with each part of a step that begins; they share model and optimizer with `parts`.

    Images that are prepared ahead in a thread are waited for, and mixed, under `DATA`; otherwise their batch is taken there, and it is augmented,
    normalized and mixed under `AUGMENT`. The loss is a part of `FORWARD`, clipping of gradients one of `BACKWARD`, the moving average of `OPTIMIZER`.
    """

    def loss(logits_NK: Tensor, labels_N: Tensor) -> Tensor:
        inside(FORWARD)
        losses_N = parts.loss(logits_NK, labels_N)
        inside(BACKWARD)
        return losses_N

    # Not by the optimizer's hooks: they run inside PyTorch's own mark, which those of a trace must not cross.
    optimizer_step = parts.optimizer.step

    def optimize(*arguments: Any, **options: Any) -> Any:
        inside(OPTIMIZER)
        result = optimizer_step(*arguments, **options)
        if parts.ema is None:
            inside(RECORDS)
        return result

    ema = copy.copy(parts.ema)
    if ema is not None:
        update = ema.update

        def follow(model: torch.nn.Module, step: int) -> None:
            inside(OPTIMIZER)
            update(model, step)
            inside(RECORDS)

        ema.update = follow  # type: ignore[method-assign]

    def normalize(images_NCHW: Tensor) -> Tensor:
        inside(AUGMENT)  # of a batch that was taken and augmented together with one before it, the first of its parts
        return parts.feed.normalize(images_NCHW)

    images = _Marked(parts.feed.split.images, lambda: inside(AUGMENT))
    feed = replace(parts.feed, split=replace(parts.feed.split, images=images), normalize=normalize)
    hook = parts.model.register_forward_pre_hook(lambda module, images: inside(FORWARD))
    parts.optimizer.step = optimize  # type: ignore[method-assign]
    try:
        yield replace(parts, feed=feed, loss=loss, ema=ema)
    finally:
        hook.remove()
        del parts.optimizer.step
