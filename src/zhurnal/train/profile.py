"""`run --profile`: a trace of some steps of a run, by torch.profiler, for chrome://tracing or Perfetto (ui.perfetto.dev), and where their time went.

Promises: the record of a profiled run is that of any other, to the byte; a trace that cannot be written does not end the run; it names no machine.

On the processor a trace holds what the training thread does; images prepared ahead in other threads show as waiting.
"""

import gzip
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import profiler

from ..core.errors import SettingsError
from .setup import Parts
from .timing import STEP, Clock, Marks, marked
from .watch import Watcher

LONGEST = 200  # steps in a window: a trace of more is too large for what shows it
BETWEEN = "(Python, between operators)"
# Near the beginning and the end of a trace's text, the machine's name and the file's.
_HOST, _FILE, _ENDS = re.compile(rb'"host_name": "[^"\n]*",\s*'), re.compile(rb',\s*"traceName": "[^"\n]*"'), 4000


@dataclass(frozen=True)
class Operator:
    """What one kind of operator took."""

    name: str
    calls: int
    seconds: float  # its own, without those of operators that it called; of the GPU where there is one
    share: float  # of all operators


@dataclass(frozen=True)
class Profiled:
    """Where the time of a window of steps went, with the profiler's own work in it."""

    path: Path | None  # of the trace, where it could be written
    first: int  # the first step in it, counted from 1
    last: int
    seconds: float
    parts: tuple[tuple[str, float], ...]  # (part, seconds), of timing.py
    operators: tuple[Operator, ...]  # by their share


class Profile:
    """What is to be profiled of a run: steps `first` to `last`, counted from 1. Afterwards `found` holds it, or `missed` says why there is nothing.

    Args:
        first: the first step of the window.
        last: the last step of it.
        tell: called with what was found, as soon as it is there.

    Raises:
        SettingsError: these are no steps, or too many.
    """

    def __init__(self, first: int = 20, last: int = 30, tell: Callable[[Profiled], None] = lambda found: None) -> None:
        if not 1 <= first <= last:
            raise SettingsError([f"the steps to profile are {first}-{last}, must rise from 1 or more: write --profile 20-30"])
        if last - first >= LONGEST:
            raise SettingsError([f"the steps to profile are {first}-{last}, {last - first + 1:,} of them, must be at most {LONGEST}"])
        self.first, self.last, self.tell = first, last, tell
        self.found: Profiled | None = None
        self.missed = ""

    @contextmanager
    def over(self, parts: Parts, watcher: Watcher, home: Path) -> Iterator[tuple[Parts, Watcher]]:
        """Give what a run is to train with, and who is to watch it, so that its steps are profiled; `home` is its folder."""
        window = _Window(self, parts.device, home)
        marks = window.marks = Marks(watcher, window.mark, window.stepped)
        with marked(parts, marks.inside) as with_marks:
            try:
                yield with_marks, marks
            finally:
                window.close()


class _Window:
    """The profiler of one run: waits for the first step, stops after the last."""

    def __init__(self, profile: Profile, device: torch.device, home: Path) -> None:
        self.profile, self.device, self.home = profile, device, home
        self.marks: Marks
        self.done = 0  # steps
        self.began = 0  # steps done when the profiler began
        self.running: Any = None
        self.clock = Clock(device)
        self.ranges: dict[str, Any] = {}  # kind -> the mark that is open in the trace
        self.names: set[str] = set()

    def stepped(self, done: int) -> None:
        """Begin or end where the window does; `done` steps are done."""
        profile, total = self.profile, self.marks.total
        self.done = done
        if self.running is not None:
            self._close("part", "step")
            if done >= profile.last:
                self._stop()
        elif profile.found is None and not profile.missed:
            if done >= profile.last:
                self._miss(f"the run goes on from step {done + 1}, after steps {profile.first}-{profile.last}")
            elif profile.first > total:
                self._miss(f"the run has {total} steps, and steps {profile.first}-{profile.last} come after them")
            elif done >= profile.first - 1:
                self._start()

    def mark(self, part: str) -> None:
        """See timing.py."""
        if self.running is None:
            return
        self._close("part")
        if part not in STEP:
            self._close("step")
        elif "step" not in self.ranges:
            self._open("step", f"step {self.done + 1}")
        self._open("part", part)
        self.clock.to(part)

    def close(self) -> None:
        """Write what there is: the run is over."""
        if self.running is not None and self.done > self.began:
            self._stop()
        elif self.running is not None:
            self._close("part", "step")
            self.running.stop()
            self.running = None
        profile = self.profile
        if profile.found is None and not profile.missed:
            self._miss(f"the run ended after step {self.done}, before steps {profile.first}-{profile.last}")

    def _miss(self, why: str) -> None:
        self.profile.missed = f"nothing was profiled: {why}"
        self.marks.note(self.profile.missed)

    def _start(self) -> None:
        self.running, self.began = make(self.device), self.done
        self.running.start()

    def _stop(self) -> None:
        self._close("part", "step")
        self.clock.stop()
        trace, self.running = self.running, None
        trace.stop()
        first, last = self.began + 1, self.done
        path = self.home / "profile" / f"steps-{first}-{last}.json.gz"
        written: Path | None = path
        try:
            write(trace, path)
        except (OSError, RuntimeError) as error:  # RuntimeError is how PyTorch says that a file cannot be written
            self.marks.note(f"the trace could not be written to {path}: {error}")
            written = None
        parts = tuple(sorted(self.clock.seconds.items(), key=lambda item: -item[1]))
        found = Profiled(written, first, last, sum(self.clock.seconds.values()), parts, operators(trace, frozenset(self.names)))
        self.profile.found = found
        try:
            self.profile.tell(found)
        except OSError:  # nobody reads it any more (`zhurnal run --profile | head -1`), or the disk it goes to is full: training goes on
            self.marks.note("what was profiled could not be printed")

    def _open(self, kind: str, name: str) -> None:
        self.names.add(name)
        self.ranges[kind] = profiler.record_function(name)
        self.ranges[kind].__enter__()

    def _close(self, *kinds: str) -> None:
        """End marks, the inner ones first."""
        for kind in kinds:
            if kind in self.ranges:
                self.ranges.pop(kind).__exit__(None, None, None)


def make(device: torch.device) -> Any:
    """Return a profiler for what runs on `device`."""
    activities = [profiler.ProfilerActivity.CPU] + [profiler.ProfilerActivity.CUDA] * (device.type == "cuda")
    return profiler.profile(activities=activities, record_shapes=True)


def write(trace: Any, path: Path) -> None:
    """Write the trace of a profiler that was stopped, packed, without the name of the machine and of folders.

    Raises:
        OSError: the disk is full or gone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        plain, packed = Path(folder) / "plain.json", Path(folder) / "packed"
        trace.export_chrome_trace(str(plain))
        text = plain.read_bytes()
        with gzip.open(packed, "wb", compresslevel=5) as file:
            file.write(_HOST.sub(b"", text[:_ENDS]) + text[_ENDS:-_ENDS] + _FILE.sub(b"", text[max(_ENDS, len(text) - _ENDS) :]))
        packed.replace(path)


def operators(trace: Any, marks: frozenset[str] = frozenset()) -> tuple[Operator, ...]:
    """Return what the operators in a trace took, those that took the most first; time in `marks` outside of operators is called `BETWEEN`."""
    averages = trace.key_averages()
    on_gpu = any(a.self_device_time_total for a in averages)
    seconds: dict[str, float] = {}
    calls: dict[str, int] = {}
    for average in averages:
        name = BETWEEN if average.key in marks or average.key.startswith("Optimizer.") else average.key
        seconds[name] = seconds.get(name, 0.0) + (average.self_device_time_total if on_gpu else average.self_cpu_time_total) / 1e6
        calls[name] = calls.get(name, 0) + average.count
    total = sum(seconds.values()) or 1.0
    return tuple(Operator(n, calls[n], s, s / total) for n, s in sorted(seconds.items(), key=lambda item: -item[1]) if s > 0)
