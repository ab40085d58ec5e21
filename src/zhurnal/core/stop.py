"""How a run, or a queue of them, is asked to stop: Ctrl-C, `kill`, or a call. It stops itself, at a moment that suits it."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .errors import Interrupted


class Stop:
    """Becomes true when somebody asks to stop: Ctrl-C, `kill`, or a call."""

    def __init__(self) -> None:
        self.reason = ""

    def __call__(self, reason: str = "stopped") -> None:
        """Ask to stop; the first reason is kept."""
        self.reason = self.reason or reason

    def check(self, _: object = None) -> None:
        """Raise Interrupted where somebody asked to stop; called between the batches of a measurement, of which nothing is kept then."""
        if self.reason:
            raise Interrupted(self.reason)

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM as a request to stop while the block runs; a second Ctrl-C ends at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        names = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}

        def ask(number: int, _: Any) -> None:
            if self.reason:
                raise KeyboardInterrupt
            self(names[signal.Signals(number)])

        before = {number: signal.signal(number, ask) for number in names}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
