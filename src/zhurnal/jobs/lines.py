"""What a run's process tells the queue: a JSON object on each line of a pipe. `Lines` watches the run and writes them; `read` reads them.

    here                                                    the process is up and can be asked to stop
    begin     epochs, batches, epoch, batch                 training starts or goes on there, both from 0
    progress  task, done, total                             a preparation has come this far
    step      epoch, batch, loss, speed (images a second)   a few times a second at most
    row       row                                           an epoch's, or the end's
    phase     name
    note      text
    finished
    stopped   text                                          somebody asked it to stop
    failed    text                                          an error that is the user's to mend

A run never waits for its queue: where the pipe is full, a `step` or `progress` is left out. Where nobody reads any more, nothing is written.
"""

import os
import select
import threading
import time
from typing import Any

import orjson

from ..core.records import Row

SECONDS = 0.2  # between two lines of one kind
Line = dict[str, Any]


class Lines:
    """Writes what a run does to a pipe; it has the methods of `train.watch.Watcher`."""

    def __init__(self, pipe: int) -> None:
        self.pipe = pipe
        self.training = False  # from its first step on a run stops by itself and saves
        self.lock = threading.Lock()
        self.loss: float | None = None
        self.seen, self.since, self.told = 0, time.monotonic(), 0.0
        self.left = b""  # of a line that was begun
        os.set_blocking(pipe, False)
        self.room = select.poll()
        self.room.register(pipe, select.POLLOUT)

    def tell(self, kind: str, *, may_drop: bool = False, **values: Any) -> None:
        """Write a line."""
        data = orjson.dumps({"kind": kind, **values}) + b"\n"
        with self.lock:
            if may_drop and (self.left or not self.room.poll(0)):
                return
            self.left += data
            try:
                while self.left:
                    self.room.poll()
                    self.left = self.left[os.write(self.pipe, self.left) :]
            except OSError:  # the queue is gone
                self.left = b""

    def progress(self, task: str, done: int, total: int) -> None:
        """See Watcher."""
        self.tell("progress", may_drop=0 < done < total, task=task, done=done, total=total)

    def begin(self, experiment: str, seed: int, epochs: int, batches: int, epoch: int, batch: int) -> None:
        """See Watcher."""
        self.training = True
        self.seen, self.since = 0, time.monotonic()
        self.tell("begin", epochs=epochs, batches=batches, epoch=epoch, batch=batch)

    def step(self, epoch: int, batch: int, images: int, lr: float) -> None:
        """See Watcher."""
        now = time.monotonic()
        self.seen += images
        if now - self.told < SECONDS:
            return
        self.told = now
        self.tell("step", may_drop=True, epoch=epoch, batch=batch, loss=self.loss, speed=self.seen / max(now - self.since, 1e-9))
        if now - self.since > 10:  # the speed is that of the last seconds
            self.seen, self.since = self.seen // 2, now - (now - self.since) / 2

    def row(self, row: Row) -> None:
        """See Watcher."""
        if row["kind"] == "iter":
            self.loss = row["loss"]
        else:
            self.tell("row", row=row)
            self.seen, self.since = 0, time.monotonic()  # validation is no part of the speed

    def phase(self, name: str) -> None:
        """See Watcher."""
        self.tell("phase", may_drop=True, name=name)

    def note(self, text: str) -> None:
        """See Watcher."""
        self.tell("note", text=text)


def read(buffer: bytes) -> tuple[list[Line], bytes]:
    """Return the lines in what was read from the pipe, and the rest, which is no whole line yet."""
    *whole, rest = buffer.split(b"\n")
    found: list[Line] = []
    for line in whole:
        try:
            found.append(orjson.loads(line))
        except orjson.JSONDecodeError:  # torn, as by Ctrl-C in the middle of it
            found.append({"kind": "note", "text": f"a line of its process is torn: {line[:200].decode(errors='replace')}"})
    return found, rest
