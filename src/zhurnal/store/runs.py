"""The runs of an experiment, read from what they left: rows, effective settings, and a state that is true.

A run is one execution of an experiment with one seed, in `experiments/logs/e0039/s42/`. It holds a lock while it lives, which the operating system
takes back however it ends; so a run that was killed shows as interrupted the next time anyone looks.

What a table tells of a run is in the fields of `Run`. Its rows and effective settings are read when they are first asked for, where they were not
read already: the index (see `view.py`) keeps the fields alone.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import fsum
from pathlib import Path
from typing import Any, Literal

from ..core.facts import facts_of
from ..core.records import Row
from ..core.text import printable
from . import record, sound
from .lock import is_locked as is_locked
from .lock import locked as locked
from .lock import owner as owner

_SEED = re.compile(r"s(0|[1-9][0-9]*)")
Status = Literal["waiting", "running", "interrupted", "failed", "finished"]
Numbers = tuple[float, ...]


@dataclass(frozen=True)
class Rows:
    """The rows that count of a record, and of the events those that tell times."""

    epochs: list[Row]  # rows of kind epoch, one for each epoch, in order
    iters: list[Row]  # rows of kind iter
    times: list[Row]  # rows of kind time, one for each epoch


@dataclass(frozen=True)
class Run:
    """One execution of an experiment with one seed."""

    experiment: str  # e0039
    seed: int
    folder: Path
    status: Status
    reason: str  # why it failed or stopped, or an empty text
    num_epochs: int  # whole epochs
    best: tuple[int, float] | None  # the first epoch with the highest validation accuracy, and that accuracy
    last: Row = field(repr=False)  # the row of the last whole epoch; empty before the first
    not_finite_since: int | None = field(repr=False)  # the first epoch whose training or validation loss is not finite
    seconds: Numbers = field(repr=False)  # of each whole epoch
    images_per_second: Numbers = field(repr=False)  # of each whole epoch
    total_seconds: float | None = field(repr=False)  # of all epochs, interrupted ones too; none without any
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
        """Return its state for a person: `interrupted at step 812 (epoch 3 of 120)`."""
        if self.status == "interrupted":
            planned = self.facts.get("train.epochs")
            return f"interrupted at step {self.step} (epoch {self.num_epochs + 1}{f' of {planned}' if planned else ''})"
        return f"failed: {self.reason}" if self.status == "failed" else self.status

    def running(self) -> "Run":
        """Return it as it is while a process holds it, whatever its last event says."""
        found = replace(self, status="running", reason="", stopped="")
        found.__dict__.update({k: v for k, v in self.__dict__.items() if k in ("rows", "effective", "facts", "fingerprints")})
        return found

    @cached_property
    def rows(self) -> Rows:
        """Its rows."""
        return _rows(record.current(record.read(self.folder / "record.jsonl")[0]), record.read(self.folder / "events.jsonl")[0])

    @property
    def epochs(self) -> list[Row]:
        """The rows of kind epoch, one for each epoch, in order."""
        return self.rows.epochs

    @property
    def iters(self) -> list[Row]:
        """The rows of kind iter."""
        return self.rows.iters

    @property
    def times(self) -> list[Row]:
        """The rows of kind time, one for each epoch."""
        return self.rows.times

    @cached_property
    def effective(self) -> dict[str, Any]:
        """What it really got: settings, data, optimizer, device; empty before its start."""
        return read_effective(self.folder)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """The settings it really got that can make its results differ, flat; empty before its start."""
        if not self.effective:
            return {}
        from ..core.settings import parse

        return facts_of(parse(self.effective["settings"]).to_dict())

    @property
    def on_test(self) -> bool:
        """Whether it was validated on the test images; False before its start."""
        data = (self.effective.get("settings") or {}).get("data")
        return isinstance(data, dict) and data.get("validation") == "test"

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """What else can make its results differ: beginnings of the SHA-256 of its data, and of files of the user's own; empty before its start."""
        if not self.effective:
            return {}
        sources = {f"{k}.source": v["sha256"][:8] for k, v in self.effective.get("sources", {}).items()}
        return sources | {"data.fingerprint": self.effective["data"]["fingerprint"][:8]}


def folder(logs: Path, experiment: str, seed: int) -> Path:
    """Return where the run of an experiment with a seed lives."""
    return logs / experiment / f"s{seed}"


def seeds(logs: Path, experiment: str) -> list[int]:
    """Return the seeds of the runs of an experiment that were started, in order."""
    try:
        with os.scandir(logs / experiment) as entries:
            return sorted(int(f.name[1:]) for f in entries if _SEED.fullmatch(f.name) and f.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def read_all(logs: Path, experiment: str) -> list[Run]:
    """Return the runs of an experiment that were started, by seed."""
    return [read(logs, experiment, seed) for seed in seeds(logs, experiment)]


def read(logs: Path, experiment: str, seed: int) -> Run:
    """Return a run from its files. A run that was never started is `waiting`."""
    home = folder(logs, experiment, seed)
    held = is_locked(home)
    rows, problems = record.read(home / "record.jsonl")
    events, more = record.read(home / "events.jsonl")
    rows = record.current(rows)
    found = _rows(rows, events)
    effective, damage = _effective(home)
    last_of = {row["kind"]: row for row in rows}
    starts = [e for e in events if e["kind"] == "start"]
    stops = [e for e in events if e["kind"] == "stop"]
    status, reason = _status(starts, stops, events)
    whole = [t for t in found.times if not t.get("partial")]
    run = Run(
        experiment=experiment,
        seed=seed,
        folder=home,
        status=status,
        reason=printable(reason, 2000),
        num_epochs=len(found.epochs),
        best=_best(found.epochs),
        last=found.epochs[-1] if found.epochs else {},
        not_finite_since=next((r["epoch"] for r in found.epochs if r.get("train_loss") is None or r.get("val_loss") is None), None),
        seconds=_numbers(whole, "seconds"),
        images_per_second=_numbers(whole, "images_per_second"),
        total_seconds=fsum(_numbers(found.times, "seconds")) if found.times else None,
        test=last_of.get("test"),
        end=last_of.get("end"),
        step=max((r.get("step", 0) for r in (*rows, *starts, *stops)), default=0),
        started=starts[0]["time"] if starts else "",
        stopped=events[-1]["time"] if events and status != "waiting" else "",
        warnings=tuple(printable(e["text"], 2000) for e in events if e["kind"] == "warning"),
        problems=tuple(problems + more + ([damage] if damage else [])),
    )
    run.__dict__.update(rows=found, effective=effective)
    return run.running() if status != "finished" and (held or is_locked(home)) else run


def _rows(rows: list[Row], events: list[Row]) -> Rows:
    times = {e["epoch"]: e for e in events if e["kind"] == "time"}
    return Rows([r for r in rows if r["kind"] == "epoch"], [r for r in rows if r["kind"] == "iter"], [times[k] for k in sorted(times)])


def number(row: Mapping[str, Any], key: str) -> float | None:
    """Return a number of a row; none for null, and for a row without it."""
    found = row.get(key)
    return float(found) if isinstance(found, int | float) and found == found else None


def _numbers(rows: list[Row], key: str) -> Numbers:
    return tuple(found for row in rows if (found := number(row, key)) is not None)


def _best(epochs: list[Row]) -> tuple[int, float] | None:
    known = [(found, -int(r["epoch"])) for r in epochs if (found := number(r, "val_acc")) is not None]
    if not known:
        return None
    accuracy, epoch = max(known)
    return -epoch, accuracy


def _status(starts: list[Row], stops: list[Row], events: list[Row]) -> tuple[Status, str]:
    """Return the state that events tell of a run which no process holds, and why it stopped."""
    if stops and stops[-1]["status"] == "finished":
        return "finished", ""
    if not starts and not stops:
        return "waiting", ""
    if stops and (not starts or events.index(stops[-1]) > events.index(starts[-1])):
        status: Status = stops[-1]["status"]
        return status, stops[-1].get("reason", "")
    return "interrupted", "it was killed"


def read_effective(home: Path) -> dict[str, Any]:
    """Return what the run really got; nothing before its start, and where the file is not what a run writes."""
    return _effective(home)[0]


def _effective(home: Path) -> tuple[dict[str, Any], str]:
    try:
        return sound.effective((home / "effective.json").read_bytes())
    except FileNotFoundError:
        return {}, ""
