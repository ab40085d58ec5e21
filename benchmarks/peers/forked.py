"""A function in a fork of this process, which tells what it has done through a pipe, and is killed when its parent likes.

A fork has all imports already: a trial costs milliseconds instead of the seconds that torch or Lightning take to start. What was told before a kill
is in the pipe, and is read after it. The parent starts no threads and opens none of the tools, so all forks begin alike.
"""

import os
import select
import signal
import struct
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

POINT = struct.Struct("<qd")  # step, value
Tell = Callable[[int, float], object]


class Forked:
    """A process that runs `target(tell)`, with what it prints in the file `says`; `told` holds what it has told, `code` how it ended."""

    def __init__(self, target: Callable[[Tell], object], says: Path) -> None:
        self.told: list[tuple[int, float]] = []
        self.told_at = 0.0  # when something was told last
        self.code: int | None = None
        self._rest = b""
        self._pipe, write = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if not self.pid:
            self._live(target, says, write)
        os.close(write)

    def _live(self, target: Callable[[Tell], object], says: Path, pipe: int) -> None:
        code = 1
        try:
            os.close(self._pipe)
            os.setsid()
            file = os.open(says, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            os.dup2(file, 1)
            os.dup2(file, 2)
            sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
            target(lambda step, value: os.write(pipe, POINT.pack(step, value)))
            code = 0
        finally:
            if code:
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def hear(self, seconds: float) -> None:
        """Wait so long for something to be told; keep it."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        if select.select([self._pipe], [], [], 0 if self.code is not None else seconds)[0]:
            data = self._rest + os.read(self._pipe, 1 << 16)
            whole = len(data) // POINT.size * POINT.size
            self.told += POINT.iter_unpack(data[:whole])
            self.told_at = time.monotonic() if data else self.told_at
            self._rest = data[whole:]

    def hear_until(self, enough: Callable[[], bool], seconds: float) -> bool:
        """Hear until it is enough, or the process ended, or so many seconds are over; return whether it is enough."""
        deadline = time.monotonic() + seconds
        while not enough() and self.code is None and time.monotonic() < deadline:
            self.hear(max(0.0, min(0.02, deadline - time.monotonic())))
        return enough()

    def stop(self, number: int = signal.SIGKILL, seconds: float = 60.0) -> None:
        """Send a signal, wait for the end, kill what has not ended then, and hear what is left. Processes below it are killed with it."""
        if self.code is None:
            os.kill(self.pid, number)
        self.join(seconds)

    def join(self, seconds: float = 60.0) -> None:
        """Wait for the end, kill what has not ended after so many seconds, and hear what is left."""
        if not self.hear_until(lambda: self.code is not None, seconds):
            os.kill(self.pid, signal.SIGKILL)
            self.hear_until(lambda: self.code is not None, 60.0)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)  # workers that outlive it
        before = -1
        while before != len(self.told):
            before = len(self.told)
            self.hear(0.0)
        os.close(self._pipe)
