"""The queue's hold on the process of one run: start it, hear it, ask it to stop, tell how it ended.

The process is `python -m zhurnal.worker`, in a session of its own, so that the terminal's Ctrl-C reaches it only through the queue. Three pipes join
them: what the run tells (`lines.py`), what is printed (by anything in the process, as an error of the interpreter), and one into the process on which
nothing is ever written: it ends when the queue ends, however it does, and then the run stops and saves its state.
"""

import os
import signal
import site
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..core.errors import RunError
from . import lines
from .lines import Line
from .plan import Job

LONGEST_LINE = 10_000  # bytes printed without a newline that are held back
LARGEST_PART = 1 << 20  # bytes read from a pipe at once


@dataclass(frozen=True)
class Outcome:
    """How a run of a queue ended."""

    job: Job
    status: Literal["finished", "failed", "stopped", "not run"]
    text: str = ""  # why it failed, stopped or was not run
    is_bug: bool = False  # its process ended in a way that it should not


class Worker:
    """The process of one run."""

    def __init__(self, folder: Path, job: Job, *, at_once: int, download: bool) -> None:
        """Start the process, for the lab in `folder`.

        Raises:
            RunError: the system has no room for another process.
        """
        self.job = job
        self.is_up = False  # it said so: from then on it can be asked to stop
        self.asked = ""  # why it was asked to stop
        self.last: Line = {}  # the line that tells how it ended
        self._told = self._printed = b""
        pipes: list[int] = []
        try:
            self.report, report = _pipe(pipes)
            self.output, output = _pipe(pipes)
            alive, self.alive = _pipe(pipes)
            command = [sys.executable, "-P", "-X", "faulthandler", "-m", "zhurnal.worker", str(folder), job.experiment, str(job.seed)]
            command += [str(job.num_threads), "download" if download else "local", str(report), str(alive)]
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(report, alive),
                env=_environment(at_once),
                start_new_session=True,
            )
        except OSError as error:
            for pipe in pipes:
                os.close(pipe)
            raise RunError(f"its process could not be started: {error.strerror}. Run fewer at once") from error
        for pipe in (report, output, alive):
            os.close(pipe)
        for pipe in (self.report, self.output):
            os.set_blocking(pipe, False)

    def ask_to_stop(self, reason: str) -> None:
        """Ask the run to stop and save; once. One that has not come so far that it could is ended: it has nothing to save."""
        if self.asked:
            return
        self.asked = reason
        if self.process.poll() is None:
            self.process.send_signal((signal.SIGTERM if reason == "SIGTERM" else signal.SIGINT) if self.is_up else signal.SIGKILL)

    def signal_all(self, number: int) -> None:
        """Send a signal to the process and all that it started."""
        if self.process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def hear(self) -> list[Line]:
        """Return what it told and printed since the last call; lines that are printed have the kind `printed`."""
        more = _read(self.report)
        told, self._told = lines.read(self._told + more)
        found = []
        for line in told:
            if line["kind"] == "here":
                self.is_up = True
            elif line["kind"] in ("finished", "stopped", "failed"):
                self.last = line
            else:
                found.append(line)
        *whole, rest = (self._printed + _read(self.output)).split(b"\n")
        if len(rest) > LONGEST_LINE:
            whole, rest = [*whole, rest], b""
        self._printed = rest
        return found + [_printed(line) for line in whole]

    def end(self) -> tuple[Outcome, list[Line]] | None:
        """Return how it ended and the last that it told, or None while it lives."""
        status = self.process.poll()
        if status is None:
            return None
        found = self.hear()
        if self._printed:
            found.append(_printed(self._printed))
        self.close()
        return self._outcome(status), found

    def _outcome(self, status: int) -> Outcome:
        kind, text = self.last.get("kind"), self.last.get("text", "")
        if kind == "finished" and status == 0:
            return Outcome(self.job, "finished")
        if kind == "stopped" or (self.asked and not self.is_up):
            return Outcome(self.job, "stopped", text or f"stopped before it began ({self.asked})")
        if kind == "failed":
            return Outcome(self.job, "failed", text)
        if status < 0:
            why = ", as the system does when memory runs out" if -status == signal.SIGKILL else ""
            again = f"`zhurnal run {self.job.experiment}` goes on from its last checkpoint"
            return Outcome(self.job, "failed", f"its process was killed by signal {-status} ({_name(-status)}){why}; {again}")
        return Outcome(self.job, "failed", f"its process ended with status {status}; what it printed tells more", is_bug=True)

    def close(self) -> None:
        """Close the pipes; a process that lives takes it as the end of the queue."""
        for name in ("report", "output", "alive"):
            if getattr(self, name) >= 0:
                os.close(getattr(self, name))
                setattr(self, name, -1)


def _pipe(made: list[int]) -> tuple[int, int]:
    ends = os.pipe()
    made += ends
    return ends


def _read(pipe: int) -> bytes:
    """Return what is in a pipe now, or the first part of it: one that prints without end holds nobody up."""
    found = b""
    while len(found) < LARGEST_PART:
        try:
            more = os.read(pipe, 1 << 16)
        except BlockingIOError:
            break
        if not more:
            break
        found += more
    return found


def _printed(line: bytes) -> Line:
    """Return a printed line as one that was told; of a bar that was drawn over and over, its last state."""
    return {"kind": "printed", "text": line.decode(errors="replace").rstrip("\r").rpartition("\r")[2]}


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "a signal without a name"


def _environment(at_once: int) -> dict[str, str]:
    """Return the environment of a run's process: it finds this very package, prints at once, and knows how many share the machine's memory."""
    home = str(Path(__file__).parents[2])
    installed = home in (*site.getsitepackages(), site.getusersitepackages())
    path = [p for p in (os.environ.get("PYTHONPATH", ""), "" if installed else home) if p]
    more = {"PYTHONPATH": os.pathsep.join(path)} if path else {}
    if "OMP_WAIT_POLICY" not in os.environ:  # as the command line does it
        more["GOMP_SPINCOUNT"] = os.environ.get("GOMP_SPINCOUNT", "2000")
    more["OPENBLAS_NUM_THREADS"] = os.environ.get("OPENBLAS_NUM_THREADS", "1")
    return {**os.environ, **more, "PYTHONUNBUFFERED": "1", "ZHURNAL_JOBS": str(at_once)}
