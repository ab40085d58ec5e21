"""Runs on a disk that fails: no trouble ends training, all is told, and the record is in the end what it is on a good disk."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zhurnal.core.errors import ZhurnalError
from zhurnal.store import record

from . import labs
from .faults import ERRNOS, Disk, failing
from .tally import Tally

WITHIN = 2.0  # seconds in which trouble must be told, besides those that the real disk takes for fsync meanwhile


class Ears:
    """A watcher that keeps what it is told, and when."""

    def __init__(self) -> None:
        self.notes: list[tuple[float, str]] = []
        self.training = False

    def begin(self, *_: object) -> None:
        """See Watcher."""
        self.training = True

    def note(self, text: str) -> None:
        """See Watcher."""
        self.notes.append((time.monotonic(), text))

    def ignore(self, *_: object) -> None:
        """See Watcher."""

    progress = step = row = phase = ignore


@contextmanager
def impatient() -> Iterator[None]:
    """Let runs save as often as they can, and wait for a bad disk for a moment only."""
    from zhurnal.store import keeper
    from zhurnal.train import log
    from zhurnal.train import run as running

    held = log.CHECKPOINT_SHARE, log.PATIENCE, running.PATIENCE, keeper.SECONDS
    log.CHECKPOINT_SHARE, log.PATIENCE, running.PATIENCE, keeper.SECONDS = 1.0, 0.4, 0.4, 0.1
    try:
        yield
    finally:
        log.CHECKPOINT_SHARE, log.PATIENCE, running.PATIENCE, keeper.SECONDS = held


def calls(tally: Tally) -> None:
    """Let call number n of a run fail, for `wanted` numbers n, spread over all; each once with the next of four errors, and in one of three ways."""
    ways: tuple[tuple[str, dict[str, Any]], ...] = (
        ("once", {"number": 1}),
        ("for a while", {"seconds": 0.2}),
        ("for good", {"seconds": 1e9}),
    )
    with impatient():
        with tally.place() as folder:
            lab = labs.make_lab(folder / "lab", labs.SHORT)
            with failing(Disk(lab.folder)) as counted:
                lab.run("e0001")
            good = labs.outcome(lab)
        numbers = [1 + n * counted.calls // tally.wanted for n in range(min(tally.wanted, counted.calls))]
        again = max(1, tally.wanted // counted.calls)  # with more trials than calls, each call fails with more of the errors
        for turn, number in enumerate(numbers):
            for more in range(again):
                error = ERRNOS[(turn + more) % 4]
                way, options = ways[(turn // 4 + more // 4 + more) % 3]
                with tally.place() as folder:
                    tally.count(*_one(folder, Disk(folder / "lab", error, number, **options), way, good))
    tally.notes.append(f"{counted.calls} calls of a run")


def _one(folder: Path, disk: Disk, way: str, good: labs.Outcome) -> tuple[bool, str]:
    """Run an experiment on the disk, then, where that did not finish, on a good one; return whether all was as promised, and what was not."""
    lab, ears = labs.make_lab(folder / "lab", labs.SHORT), Ears()
    what = f"call {disk.first}, {os.strerror(disk.error)} {way}"
    ended = ""
    with failing(disk):
        try:
            lab.run("e0001", watcher=ears)
        except ZhurnalError as error:
            ended = str(error)
    what += f" ({', '.join(disk.failed[:3])}{', ...' if len(disk.failed) > 3 else ''})"
    steps = [r["step"] for r in record.read(lab.run_folder("e0001", 42) / "record.jsonl")[0] if r["kind"] == "iter"]
    if ears.training and way != "for good" and ended and "trained to its end" not in ended:
        return False, f"{what}: training ended: {ended}"
    if ears.training and way == "once" and ended:
        return False, f"{what}: one failing call, and it was not finished: {ended}"
    if ears.training and disk.failed and way != "once":
        told = [at for at, text in ears.notes if os.strerror(disk.error) in text]
        if not (told and told[0] - disk.began - disk.waited < WITHIN) and os.strerror(disk.error) not in ended:
            return False, f"{what}: not told within {WITHIN} s: {ears.notes} {ended}"
    if ended and os.strerror(disk.error) not in ended:
        return False, f"{what}: the reason is not in the error: {ended}"
    # of "finished" itself only the fsync may fail: then all of the record is there, and the line is not durable
    if ended and "could not be written down" not in ended and any(run.finished for run in lab.runs("e0001")):
        return False, f"{what}: an error, and yet it is finished: {ended}"
    lab.run("e0001")
    if (found := labs.outcome(lab)) != good:
        return False, f"{what}: another outcome: {'record ' * (found.record != good.record)}{'weights ' * (found.weights != good.weights)}, {steps}"
    if problems := [p for name in ("record.jsonl", "events.jsonl") for p in record.read(lab.run_folder("e0001", 42) / name)[1]]:
        return False, f"{what}: damaged lines: {problems}"
    return True, ""


MOUNT = "mount -t tmpfs -o size={size}k none {folder} && exec {python} -m campaign.disks {folder}"


def can_mount() -> bool:
    """Return whether this process may mount a small file system in a name space of its own."""
    try:
        command = ["unshare", "-Urm", "sh", "-c", "mount -t tmpfs -o size=4k none /mnt"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def full(tally: Tally) -> None:
    """Run on a real file system of a few hundred kilobytes, filled up while training runs and emptied later, `wanted` times."""
    if not can_mount():
        tally.notes.append("not tried: no file system can be mounted here")
        return
    with tally.place() as folder:
        lab = labs.make_lab(folder / "lab", _LONGER)
        with impatient():
            lab.run("e0001")
        good = (lab.run_folder("e0001", 42) / "record.jsonl").read_bytes()
    for _ in range(tally.wanted):
        with tally.place() as folder:
            command = MOUNT.format(size=tally.random.randrange(2500, 6000), folder=folder, python=sys.executable)
            started = ["unshare", "-Urm", "sh", "-c", f"{command} {tally.random.randrange(5, 60)}"]
            done = subprocess.run(started, capture_output=True, check=False)
            told = done.stderr.decode().strip()
            tally.count(done.returncode == 0 and done.stdout == good, f"ended with {done.returncode}: {told[-600:]}")


_LONGER = labs.SHORT | {"data.subset": 200, "train.epochs": 20}


def _on_a_small_disk(folder: Path, at: int) -> bytes:
    """Run in `folder`, filling its disk at row number `at` and emptying it a moment later; return the record.

    Raises:
        AssertionError: it was not told in time, or what stands there is not true.
    """
    lab, ears = labs.make_lab(folder / "lab", _LONGER), Ears()
    filler = folder / "filler"
    filled = []

    def fill() -> None:
        filled.append(time.monotonic())
        with filler.open("wb") as file:
            while True:
                file.write(b"x" * 4096)
                file.flush()

    def row(row: dict[str, Any]) -> None:
        time.sleep(0.01)
        if row["kind"] == "iter" and row["step"] == at:
            try:
                fill()
            except OSError:
                threading.Timer(0.5, filler.unlink).start()

    ears.row = row  # type: ignore[assignment]
    with impatient():
        run = lab.run("e0001", watcher=ears)
    assert run.finished
    told = [(at - filled[0], text) for at, text in ears.notes if "No space left on device" in text]
    assert told, f"a full disk was not told: {ears.notes}"
    assert told[0][0] < WITHIN, f"told after {told[0][0]:.1f} s"
    assert any("all that had to wait is written" in text for _, text in ears.notes), ears.notes
    return (run.folder / "record.jsonl").read_bytes()


if __name__ == "__main__":
    sys.stdout.buffer.write(_on_a_small_disk(Path(sys.argv[1]), int(sys.argv[2])))
