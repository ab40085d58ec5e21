"""The queue: so many runs at a time, each in a process of its own; the next one starts when one ends.

Promises: a run that fails stops no other but those that start from it; asked to stop, by Ctrl-C or `kill`, the queue asks each run once, waits until
all have saved, and says where each stopped; a second Ctrl-C ends all at once. The queue keeps no state: what is finished is read from the lab, so
to go on with a queue is to run it again.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..core.errors import RunError
from ..core.stop import Stop
from ..store import runs
from ..store.lab import Lab
from .lines import Line
from .plan import Job, Key
from .worker import Outcome, Worker

TICK = 0.05  # seconds between two looks at the processes
# Told what happens to a job: the lines of lines.py, `start` when its process does, `stopping` when it is asked to stop, `end` with its outcome.
Hear = Callable[[Job, Line], object]


def run(
    lab: Lab, jobs: Sequence[Job], *, at_once: int, download: bool = False, hear: Hear = lambda job, line: None, stop: Stop | None = None
) -> list[Outcome]:
    """Run jobs, `at_once` at a time, and return how each ended, in their order; `stop` asks all to stop, and those not begun stay so.

    Raises:
        KeyboardInterrupt: somebody asked twice to stop; all processes were ended at once.
    """
    stop = stop or Stop()
    ended: dict[Key, Outcome] = {}
    waiting, running = list(jobs), list[Worker]()

    def end(outcome: Outcome) -> None:
        ended[outcome.job.key] = outcome
        hear(outcome.job, {"kind": "end", "outcome": outcome})

    with stop.on_signals(), _suspending(running):
        try:
            while waiting or running:
                if stop.reason:
                    _stop_all(running, waiting, stop.reason, hear, end)
                while (job := _next(waiting, ended, end)) is not None and len(running) < at_once and not stop.reason:
                    waiting.remove(job)
                    if is_done(lab, job):
                        end(Outcome(job, "finished"))
                        continue
                    try:
                        worker = Worker(lab.folder, job, at_once=at_once, download=download)
                    except RunError as error:
                        end(Outcome(job, "failed", str(error)))
                        continue
                    running.append(worker)
                    hear(job, {"kind": "start"})
                time.sleep(TICK if running else 0)
                for worker in list(running):
                    for line in worker.hear():
                        hear(worker.job, line)
                    if (over := worker.end()) is not None:
                        running.remove(worker)
                        for line in over[1]:
                            hear(worker.job, line)
                        end(over[0])
        finally:  # only after a second Ctrl-C, or an error of ours, is anything left
            for worker in running:
                worker.signal_all(signal.SIGKILL)
            for worker in running:
                worker.process.wait()
                worker.close()
    return [ended[job.key] for job in jobs]


def is_done(lab: Lab, job: Job) -> bool:
    """Return whether a run is over and its experiment's best weights are where they belong: nothing is left to do."""
    return runs.read(lab.logs, job.experiment, job.seed).finished and (lab.logs / f"{job.experiment}_model_best.pth").exists()


def _next(waiting: list[Job], ended: dict[Key, Outcome], end: Callable[[Outcome], None]) -> Job | None:
    """Return the first job that can start, or None; those that cannot start any more, as a run that they start from failed, end here."""
    for job in list(waiting):
        before = [ended[key] for key in job.after if key in ended]
        if bad := [o for o in before if o.status != "finished"]:
            waiting.remove(job)
            how = {"failed": "failed", "stopped": "was stopped"}.get(bad[0].status, "was not run")
            end(Outcome(job, "not run", f"it starts from {bad[0].job.label}, which {how}"))
        elif len(before) == len(job.after):
            return job
    return None


def _stop_all(running: list[Worker], waiting: list[Job], reason: str, hear: Hear, end: Callable[[Outcome], None]) -> None:
    """Ask each run once to stop, and begin no other."""
    for worker in running:
        if not worker.asked:
            hear(worker.job, {"kind": "stopping", "reason": reason})
            worker.ask_to_stop(reason)
    for job in waiting:
        end(Outcome(job, "stopped", f"stopped before it began ({reason})"))
    waiting.clear()


@contextmanager
def _suspending(running: list[Worker]) -> Iterator[None]:
    """Let Ctrl-Z suspend the runs with the queue, and `fg` wake them, while the block runs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def suspend(number: int, _: Any) -> None:
        for worker in running:
            worker.signal_all(signal.SIGSTOP)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)  # this process stands still here
        signal.signal(number, suspend)
        for worker in running:
            worker.signal_all(signal.SIGCONT)

    before = signal.signal(signal.SIGTSTP, suspend)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, before)
