"""The runs of an experiment, read from what they left: rows, effective settings, and a state that is true.

A run is one execution of an experiment with one seed, in `experiments/logs/e0039/s42/`. It holds a lock while it lives, which the operating system
takes back however it ends; so a run that was killed shows as interrupted the next time anyone looks.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import orjson

from ..core.errors import RunError
from ..core.records import Row
from . import record

Status = Literal["waiting", "running", "interrupted", "failed", "finished"]


@dataclass(frozen=True)
class Run:
    """One execution of an experiment with one seed."""

    experiment: str  # e0039
    seed: int
    folder: Path
    status: Status
    reason: str  # why it failed or stopped, or an empty text
    effective: dict[str, Any]  # what it really got: settings, data, optimizer, device; empty before its start
    epochs: list[Row] = field(repr=False)  # rows of kind epoch, one for each epoch, in order
    iters: list[Row] = field(repr=False)  # rows of kind iter
    times: list[Row] = field(repr=False)  # rows of kind time, one for each epoch
    test: Row | None = field(repr=False)
    end: Row | None = field(repr=False)
    step: int = 0  # the last step that the record has
    started: str = ""  # ISO 8601
    stopped: str = ""  # ISO 8601; empty while it runs
    warnings: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()  # damaged lines

    @property
    def finished(self) -> bool:
        """Whether it ran all its epochs."""
        return self.status == "finished"

    def state(self) -> str:
        """Return its state for a person: `interrupted at step 812 (epoch 3)`."""
        if self.status == "interrupted":
            return f"interrupted at step {self.step} (epoch {len(self.epochs) + 1})"
        return f"failed: {self.reason}" if self.status == "failed" else self.status


def folder(logs: Path, experiment: str, seed: int) -> Path:
    """Return where the run of an experiment with a seed lives."""
    return logs / experiment / f"s{seed}"


def read_all(logs: Path, experiment: str) -> list[Run]:
    """Return the runs of an experiment that were started, by seed."""
    home = logs / experiment
    if not home.is_dir():
        return []
    seeds = sorted(int(f.name[1:]) for f in home.iterdir() if f.is_dir() and f.name[0] == "s" and f.name[1:].isdigit())
    return [read(logs, experiment, seed) for seed in seeds]


def read(logs: Path, experiment: str, seed: int) -> Run:
    """Return a run from its files. A run that was never started is `waiting`."""
    home = folder(logs, experiment, seed)
    rows, problems = record.read(home / "record.jsonl")
    events, more = record.read(home / "events.jsonl")
    rows = record.current(rows)
    by_kind: dict[str, list[Row]] = {}
    for row in rows:
        by_kind.setdefault(row["kind"], []).append(row)
    times = {e["epoch"]: e for e in events if e["kind"] == "time"}
    starts = [e for e in events if e["kind"] == "start"]
    stops = [e for e in events if e["kind"] == "stop"]
    status, reason = _status(home, starts, stops, events)
    return Run(
        experiment=experiment,
        seed=seed,
        folder=home,
        status=status,
        reason=reason,
        effective=read_effective(home),
        epochs=by_kind.get("epoch", []),
        iters=by_kind.get("iter", []),
        times=[times[k] for k in sorted(times)],
        test=by_kind["test"][-1] if "test" in by_kind else None,
        end=by_kind["end"][-1] if "end" in by_kind else None,
        step=max((r.get("step", 0) for r in (*rows, *starts, *stops)), default=0),
        started=starts[0]["time"] if starts else "",
        stopped="" if status in ("running", "waiting") else (events[-1]["time"] if events else ""),
        warnings=tuple(e["text"] for e in events if e["kind"] == "warning"),
        problems=tuple(problems + more),
    )


def _status(home: Path, starts: list[Row], stops: list[Row], events: list[Row]) -> tuple[Status, str]:
    if stops and stops[-1]["status"] == "finished":
        return "finished", ""
    if is_locked(home):
        return "running", ""
    if not starts and not stops:
        return "waiting", ""
    if stops and (not starts or events.index(stops[-1]) > events.index(starts[-1])):
        status: Status = stops[-1]["status"]
        return status, stops[-1].get("reason", "")
    return "interrupted", "it was killed"


def read_effective(home: Path) -> dict[str, Any]:
    """Return what the run really got, or nothing before its start."""
    try:
        found = orjson.loads((home / "effective.json").read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def is_locked(home: Path) -> bool:
    """Return whether a living process holds the run."""
    try:
        handle = os.open(home / "lock", os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


@contextmanager
def locked(home: Path, what: str) -> Iterator[None]:
    """Hold the run in `home` for this process.

    Raises:
        RunError: another process holds it; the text names it.
    """
    home.mkdir(parents=True, exist_ok=True)
    handle = os.open(home / "lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        for attempt in range(20):  # somebody who only looks holds it for microseconds
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.01 * (attempt > 0))
        else:
            owner = os.pread(handle, 200, 0).decode(errors="replace").strip()
            raise RunError(f"{what} is already running ({owner}): wait for it, or stop it with Ctrl-C or `kill` and run it again")
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {os.uname().nodename}".encode(), 0)
        yield
    finally:
        os.close(handle)
