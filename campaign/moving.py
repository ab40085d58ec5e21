"""Labs that several processes change at once, and that are moved about: numbers, locks, removing, renumbering, merging, killed at any moment."""

import os
import shutil
import signal
import time
from collections import Counter
from pathlib import Path
from unittest import mock

import orjson

from zhurnal.api import Lab
from zhurnal.core.errors import RunError
from zhurnal.core.records import encode
from zhurnal.store import plan, runs, taken

from .forks import killed_at, snapshot
from .tally import Tally

PROCESSES = 4
ROW = {"lr": 0.1, "train_loss": 1.0, "train_acc": 0.5, "val_loss": 1.0, "val_acc": 0.5}


def quick_run(lab: Lab, name: str, epochs: int, *, finished: bool = True) -> None:
    """Write a run as the trainer writes it, without training."""
    experiment = lab.experiment(name)
    home = lab.run_folder(name, 42)
    home.mkdir(parents=True, exist_ok=True)
    at = {"time": "2026-01-01T00:00:00+00:00"}
    data = {"name": "digits", "fingerprint": "ab" * 32, "classes": ["a", "b"], "image": [1, 8, 8]}
    effective = {"experiment": name, "seed": 42, "settings": experiment.settings.to_dict(), "continue": experiment.continues, "data": data}
    (home / "effective.json").write_bytes(orjson.dumps(effective))
    rows = [{"kind": "epoch", "epoch": e, "step": 10 * e, **ROW} for e in range(1, epochs + 1)]
    end = {"kind": "end", "epoch": epochs, "step": 10 * epochs, "best_epoch": 1, "best_val_acc": 0.5, "weights": "ab" * 32}
    (home / "record.jsonl").write_bytes(b"".join(map(encode, [*rows, end] if finished else rows)))
    start = {"kind": "start", **at, "step": 0, "epoch": 0}
    stop = {"kind": "stop", **at, "status": "finished", "step": 10 * epochs, "epoch": epochs, "reason": ""}
    (home / "events.jsonl").write_bytes(b"".join(map(encode, [start, stop] if finished else [start])))
    if finished:
        (lab.logs / f"{name}_model_best.pth").write_bytes(f"weights of {name} at {epochs}".encode())


def numbers(tally: Tally) -> None:
    """Let PROCESSES processes take `wanted` numbers each at once; then kill some while they take one."""
    with mock.patch.object(os, "fsync", return_value=None):
        lab = Lab(Lab.init(tally.folder / "lab").folder)
        children = []
        for process in range(PROCESSES):
            if (child := os.fork()) == 0:
                _take(lab, tally.folder / f"{process}.txt", tally.wanted)
            children.append(child)
        ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        given = [name for p in range(PROCESSES) for name in (tally.folder / f"{p}.txt").read_text().split()]
        several = {name for name, times in Counter(given).items() if times > 1}
        for name in given:
            tally.count(name not in several and lab.file(name).is_file(), f"{name} was given twice, or is not there")
        tally.count(not any(ended) and len(given) == PROCESSES * tally.wanted, f"processes ended with {ended}, {len(given)} numbers")
        tally.count(sorted(given) == lab.names(), "numbers without an experiment, or experiments without a number")
        before = {name: lab.file(name).read_bytes() for name in lab.names()}
        number = 1
        while killed_at(number, lambda: taken.take(lab, [{"question": "x"}] * 2)):
            tally.count(all(lab.file(n).read_bytes() == text for n, text in before.items()), f"killed at {number}: a file was changed")
            found = taken.take(lab, [{"question": "after"}])
            tally.count(not set(found) & set(before), f"killed at {number}: {found} was given again")
            before = {name: lab.file(name).read_bytes() for name in lab.names()}
            number += 1


def _take(lab: Lab, told: Path, number: int) -> None:
    """Take numbers, and leave the process."""
    try:
        found = [taken.take(lab, [{"question": str(os.getpid())}])[0] for _ in range(number)]
        told.write_text(" ".join(found))
        os._exit(0)
    finally:
        os._exit(1)


def two_runs(tally: Tally) -> None:
    """Let two processes begin one run at the same moment, `wanted` times: one does, the other is told by whom it is held."""
    for number in range(tally.wanted):
        home = tally.folder / f"s{number}"
        reader, writer = os.pipe()
        first = _holder(home, writer)
        os.close(writer)
        answer = os.read(reader, 1)
        told = ""
        try:
            with runs.locked(home, "e0001"):
                told = "it was not held"
        except RunError as error:
            told = str(error)
        os.kill(first, signal.SIGKILL)
        os.waitpid(first, 0)
        os.close(reader)
        names_it = f"process {first} on {os.uname().nodename}" in told and " since 2" in told
        tally.count(answer == b"1" and names_it, f"the second was told {told!r}")
        try:
            with runs.locked(home, "e0001"):
                pass
            tally.count(True)
        except RunError as error:
            tally.count(False, f"held after its owner was killed: {error}")


def _holder(home: Path, writer: int) -> int:
    if (child := os.fork()) == 0:
        try:
            with runs.locked(home, "e0001"):
                os.write(writer, b"1")
                time.sleep(60)
        finally:
            os._exit(1)
    return child


def moves(tally: Tally) -> None:
    """Kill `rm`, `restore`, `renumber` and `merge` at one of their changes to the disk, and again while the next command finishes it."""
    kinds = ("rm", "restore", "renumber", "merge")
    with mock.patch.object(os, "fsync", return_value=None), mock.patch.object(Lab, "_refresh", return_value=[]):
        start, other = _labs(tally.folder)
        ends = {kind: _end(tally, kind, start, other) for kind in kinds}
        for trial in range(tally.wanted):
            kind = kinds[trial % len(kinds)]
            before, after, num_calls = ends[kind]
            at = tally.random.randint(1, num_calls)
            with tally.place() as folder:
                lab = Lab(shutil.copytree(start, folder / "lab"))
                killed_at(at, lambda kind=kind, lab=lab: _act(kind, lab, other))  # type: ignore[misc]
                for _ in range(tally.random.randint(0, 3)):
                    again = tally.random.randint(1, 40)
                    killed_at(again, lambda lab=lab: plan.finish(lab.folder))  # type: ignore[misc]
                plan.finish(lab.folder)
                found = _without_kept(snapshot(lab.folder))
                tally.count(found in (before, after), f"{kind} killed at change {at} of {num_calls}: neither before nor after")


def _labs(folder: Path) -> tuple[Path, Path]:
    """Return a lab with something to remove, to restore and to renumber, and another one to merge."""
    lab = Lab(Lab.init(folder / "start").folder)
    for question in ("first", "second, after e0001", "third"):
        lab.new({"data": "digits"}, question=question)
    lab.new({"optimizer": "adam"}, parent="e0002", continues="e0002")
    for name in lab.names():
        quick_run(lab, name, 2)
    lab.rm(["e0003"])
    other = Lab(shutil.copytree(lab.folder, folder / "other"))
    for each, rate in ((lab, 0.5), (other, 0.7)):
        each.new({"optimizer.lr": rate}, parent="e0001")
        quick_run(each, "e0005", 3)
    (lab.journal / "e0002.md").write_text("# [e0002] words about e0002-e0004\n")
    return lab.folder, other.folder


def _act(kind: str, lab: Lab, other: Path) -> object:
    match kind:
        case "rm":
            return lab.rm(["e0005"])
        case "restore":
            return lab.restore(["e0003"])
        case "renumber":
            return lab.renumber("e0002", "e0012")
    return lab.merge(other)


def _end(tally: Tally, kind: str, start: Path, other: Path) -> tuple[dict[str, str], dict[str, str], int]:
    """Return a lab before and after, and how many changes to the disk are between."""
    with tally.place() as folder:
        lab = Lab(shutil.copytree(start, folder / "lab"))
        _act(kind, lab, other)
        after = _without_kept(snapshot(lab.folder))
    number, step = 0, 64
    while step:  # the last change at which it can be killed
        with tally.place() as folder:
            lab = Lab(shutil.copytree(start, folder / "lab"))
            if killed_at(number + step, lambda: _act(kind, lab, other)):  # noqa: B023 - called at once
                number += step
            else:
                step //= 2
    return _without_kept(snapshot(start)), after, number


def _without_kept(found: dict[str, str]) -> dict[str, str]:
    """Return a snapshot without the numbers that a command killed before its commit had kept: they are gaps, and explain themselves."""
    return {path: total for path, total in found.items() if not path.startswith("experiments/removed/")}
