"""What keeps a run's files through trouble with the disk: a full disk, a quota, a drive that fails, a folder that vanished.

Promises:
- Nothing that a run wants on disk is given up: appended files (appender.py) and whole files wait in memory and are tried again every second.
- What was appended is made durable within about a second, by a thread, so a training step never waits for it.
- Trouble is told once, when it begins, and when it is over. What was lost is told, and kept in `lost`.

A checkpoint must not overtake what waits: a run that is killed goes on from it and would never make again what came before. So `settle` comes first.
"""

import errno
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ..core.text import count
from . import files
from .appender import Appender

SECONDS = 1.0  # between two tries, and between two fsyncs
QUIET = 60.0  # seconds in which the same trouble is not told again
LIMIT = 128_000_000  # bytes of whole files that may wait, beside the newest


Writes = Mapping[Path, bytes | memoryview]


class Keeper:
    """Keeps the files of one run.

    Args:
        home: its folder.
        holds: whether the run's folder is still this process's, asked before something that was deleted is made again.
    """

    def __init__(self, home: Path, holds: Callable[[], bool] = lambda: True) -> None:
        self.home, self.holds = home, holds
        self.lost: list[str] = []  # a sentence for all that could not be kept
        self._appenders: list[Appender] = []
        self._files: list[tuple[str, Writes]] = []  # whole files that wait, and what they are
        self._remembered: list[tuple[str, Writes]] = []
        self._kinds: set[str] = set()  # of whole files
        self._failing: dict[str, str] = {}  # what cannot be written now, and why
        self._told_at: dict[str, float] = {}
        self._dropped: dict[str, list[int]] = {}  # name -> how many, first and last step
        self._news: deque[str] = deque()
        self._is_told = False  # trouble was told, its end not yet
        self._hear: Callable[[str], object] | None = None
        self._over = False
        self._wake, self._now = threading.Event(), threading.Event()
        self._writing, self._telling = threading.Lock(), threading.Lock()

    # --- what is kept ---

    def add(self, appender: Appender) -> None:
        """Look after an appended file, from its opening on."""
        self._appenders.append(appender)

    def put(self, what: str, writes: Writes, *, newest: bool = False, remember: bool = False) -> None:
        """Write files whole, in this order; where the disk refuses, they wait.

        Args:
            what: what they are, for sentences: `predictions`.
            writes: content by path, small or at most one copy of the network.
            newest: only the newest of them are wanted: they take the place of those that wait.
            remember: they are to be written again should the run's folder be deleted while it runs.
        """
        self._kinds.add(what)
        if remember:
            self._remembered.append((what, writes))
        with self._writing:
            if newest:
                self._files = [(name, held) for name, held in self._files if name != what]
            while self._files and sum(len(data) for _, held in self._files for data in held.values()) > LIMIT:
                name, held = self._files.pop(0)
                self.lost.append(
                    f"{', '.join(path.name for path in held)} ({name}) could not be written, memory for what waits is full, and it is lost"
                )
                self.tell(self.lost[-1])
            self._files.append((what, writes))
        self._write_files()

    def _write_files(self) -> bool:
        with self._writing:
            left = []
            for what, writes in self._files:
                try:
                    for path, data in writes.items():
                        if not self.home.is_dir():  # moved away or deleted: the appended files know which, and what to do
                            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.home))
                        path.parent.mkdir(parents=True, exist_ok=True)
                        files.write(path, data)
                except OSError as error:
                    self.trouble(what, error)
                    left.append((what, writes))
            self._files = left
            for what in set(self._failing) & self._kinds - {name for name, _ in left}:
                self.fine(what)
            return not left

    # --- trouble ---

    def trouble(self, what: str, error: OSError) -> None:
        """Note that something cannot be written now, to be told at once."""
        self._failing[what] = error.strerror or str(error)
        now = time.monotonic()
        if now - self._told_at.get(what, -QUIET) >= QUIET:
            self._told_at[what] = now
            self._is_told = True
            reason = f"{error.strerror or error}{f' ({error.filename})' if error.filename and what not in str(error.filename) else ''}"
            self.tell(f"{what} cannot be written: {reason}. Training goes on, and it is tried again; {_way_out(error)}")
        self._wake.set()

    def fine(self, what: str) -> None:
        """Note that something could be written."""
        if self._failing and self._failing.pop(what, None) is not None and not self._failing and self._is_told:
            self._is_told = False
            self.tell("all that had to wait is written" + (", except what was told to be lost" if self.lost or self._dropped else ""))

    def tell(self, sentence: str) -> None:
        """Let a sentence be told soon."""
        self._news.append(sentence)
        self._now.set()
        self._wake.set()

    def made_again(self, path: Path) -> None:
        """Note that an appended file was deleted and is made again."""
        self.tell(f"{path} was deleted while the run wrote to it, and is made again; other files that were deleted with it are lost")
        with self._writing:
            self._files += self._remembered

    def lose(self, what: str, step: int) -> None:
        """Note that a row of a step is lost: memory for what waits is full."""
        if what not in self._dropped:
            self._dropped[what] = [0, step, step]
            self.tell(f"{what} cannot be written, and memory for what waits is full: rows from step {step:,} on are lost")
        self._dropped[what] = [self._dropped[what][0] + 1, self._dropped[what][1], step]

    def losses(self) -> list[str]:
        """Return a sentence for all that is lost."""
        told = []
        for what, (num, first, last) in self._dropped.items():
            steps = f"steps {first:,} to {last:,}" if last > first else f"step {first:,}"
            told.append(f"{count(num, 'row')} of {what}, of {steps}, {'are' if num > 1 else 'is'} lost")
        return self.lost + told

    def waiting(self) -> str:
        """Return what waits and why: `214 rows of record.jsonl, predictions (No space left on device)`; an empty text for nothing."""
        rows = {a.path.name: a.num_waiting for a in self._appenders if a.num_waiting}
        parts = [f"{count(num, 'row')} of {name}" for name, num in rows.items()] + [what for what in self._failing if what not in rows]
        return f"{', '.join(parts)} ({'; '.join(sorted(set(self._failing.values())))})" if parts else ""

    # --- time ---

    def wake(self) -> None:
        """Something was appended: it is to be made durable within a second."""
        if not self._wake.is_set():
            self._wake.set()

    def look(self) -> bool:
        """Write what waits, make durable what was written, tell what is new; return whether nothing waits."""
        are_whole = [appender.sync() for appender in self._appenders]
        is_whole = self._write_files() and all(are_whole)
        if self._hear:
            with self._telling:
                while self._news:
                    self._hear(self._news.popleft())
        return is_whole

    def settle(self, seconds: float = 0.0) -> bool:
        """Do the same, trying again for so many seconds."""
        deadline = time.monotonic() + seconds
        # what failed just now may have been written since, by the thread
        while not (is_whole := self.look() or not self.waiting()) and time.monotonic() < deadline:
            time.sleep(0.2)
        return is_whole

    @contextmanager
    def running(self, hear: Callable[[str], object]) -> Iterator[None]:
        """Look once a second while the block runs, in a thread; `hear` is called with sentences, in that thread or in one that calls `settle`."""
        self._hear = hear
        thread = threading.Thread(target=self._look_on, name="keeper", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over = True
            self._wake.set()
            self._now.set()
            thread.join()
            self._hear = None

    def _look_on(self) -> None:
        while not self._over:
            self._wake.wait()
            self._now.wait(SECONDS)  # for more to come; trouble is told at once
            self._wake.clear()
            self._now.clear()
            if not self.look() and not self._over:
                self._wake.set()


def _way_out(error: OSError) -> str:
    """Return what a person can do."""
    ways = {
        errno.ENOSPC: "make room on the disk",
        errno.EDQUOT: "make room: the quota is used up",
        errno.EROFS: "the file system became read-only: look at the disk",
        errno.ENOENT: "put the run's folder back",
    }
    return ways.get(error.errno or 0, "look at the disk")
