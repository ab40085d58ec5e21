"""Runs killed with SIGKILL at any time and at chosen moments, killed again while they recover, and asked to stop by signals.

Real processes are killed. They come from a fork server that has torch imported already, so a kill costs milliseconds.
"""

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from zhurnal.api import Lab
from zhurnal.core.errors import Interrupted
from zhurnal.store import record, runs

from . import labs
from .tally import Tally

# Where a process kills itself: module of zhurnal, function, before or after it. The count-th time that it comes there.
POINTS: dict[str, tuple[str, str, bool]] = {
    "after a step": ("run", "train_step", True),
    "before validation": ("run", "evaluate", False),
    "after validation": ("run", "evaluate", True),
    "before a file is written": ("files", "write", False),
    "after a file is written": ("files", "write", True),
    "at the best weights": ("state", "save_best", True),
    "after a checkpoint": ("state", "save", True),
    "while a checkpoint is read": ("state", "latest", True),
    "when the state is half back": ("optimizer", "load_state_dict", False),
    "when the state is back": ("state", "restore", True),
    "between backward and optimizer": ("optimizer", "step", False),
    "between optimizer and scheduler": ("optimizer", "step", True),
    "before a line is written": ("record", "encode", False),
    "before a line is durable": ("os", "fsync", False),
}
OTHER_POINTS = ("in the middle of a file", "in the middle of a line", "between two batches of validation")


def child(folder: str, point: str = "", count: int = 0) -> None:
    """Run e0001; kill this process with SIGKILL the `count`-th time that `point` is reached."""
    import torch

    from zhurnal.store import files
    from zhurnal.train import log, state
    from zhurnal.train import run as running

    left = [count]

    def is_time() -> bool:
        left[0] -= 1
        return left[0] == 0

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def wrap(module: Any, name: str, after: bool) -> None:
        real: Callable[..., Any] = getattr(module, name)

        def wrapped(*arguments: Any, **options: Any) -> Any:
            now = is_time()
            if now and not after:
                die()
            result = real(*arguments, **options)
            if now:
                die()
            return result

        setattr(module, name, wrapped)

    write = os.write

    def write_half(file: int, data: bytes) -> int:
        is_line = bytes(data[:1]) == b"{" and bytes(data[-1:]) == b"\n"
        if is_line == (point == "in the middle of a line") and is_time():
            write(file, data[: len(data) // 2])
            die()
        return write(file, data)

    modules = {"run": running, "files": files, "state": state, "record": record, "os": os, "optimizer": torch.optim.Adam}
    if point in ("in the middle of a file", "in the middle of a line"):
        os.write = write_half  # type: ignore[assignment]
    elif point == "between two batches of validation":
        real = running.evaluate
        running.evaluate = lambda *a: real(*a[:6], lambda _: is_time() and die(), *a[7:])  # type: ignore[assignment, arg-type, return-value, misc]
    elif point:
        module, name, after = POINTS[point]
        wrap(modules[module], name, after)
    # the pause between checkpoints, which keeps them cheap, would keep them rare in a run of two seconds
    log.CHECKPOINT_SHARE = 1.0
    try:
        running.run(Lab(folder), "e0001")
    except (Interrupted, KeyboardInterrupt):  # a signal asked it to stop
        sys.exit(130)


VARIANTS: dict[str, Mapping[str, Any]] = {  # how images come to the network
    "in memory": {},
    "in memory, ahead": {"train.num_threads": 2},
    "streamed, no workers": {"data.storage": "stream", "data.num_workers": 0},
    "streamed, 2 workers": {"data.storage": "stream", "data.num_workers": 2},
    "streamed, 4 workers": {"data.storage": "stream", "data.num_workers": 4},
}


def variant(folder: Path, name: str) -> Mapping[str, Any]:
    """Return the settings of a variant; streamed images are made in `folder`, once."""
    if not name.startswith("streamed"):
        return labs.CHANGES | VARIANTS[name]
    photos = folder / "photos"
    if not photos.exists():
        labs.make_photos(photos)
    changes = {
        "data": str(photos),
        "train.batch_size": 8,
        "train.batch_size_val": 8,
        "data.transform": ["crop", "flip", "cutout"],
        "train.log_every": 2,
    }
    return labs.CHANGES | changes | VARIANTS[name]


class Trials:
    """Runs that are killed, of each variant, compared with one left alone."""

    def __init__(self, tally: Tally) -> None:
        self.tally, self.context = tally, labs.fork_server()
        self.names = tally.random.sample(list(VARIANTS), min(len(VARIANTS), 1 + tally.wanted // 10))  # few trials: few variants
        self.good: dict[str, labs.Outcome] = {}

    def undisturbed(self, name: str) -> labs.Outcome:
        """Return what a run of a variant leaves that is left alone."""
        if name not in self.good:
            with self.tally.place() as folder:
                lab = labs.make_lab(folder / "lab", variant(self.tally.folder, name))
                assert labs.attempt(self.context, child, str(lab.folder)) == 0, f"an undisturbed run, {name}, failed"
                self.good[name] = labs.outcome(lab)
        return self.good[name]

    def run(self, kills: int, disturb: Callable[[Lab, int], tuple[str, int]]) -> None:
        """Run one experiment, disturbed up to `kills` times; `disturb` gets its number and returns what it did and how the process ended."""
        name = self.tally.random.choice(self.names)
        good, did = self.undisturbed(name), []
        with self.tally.place() as folder:
            lab = labs.make_lab(folder / "lab", variant(self.tally.folder, name))
            for number in range(kills):
                what, ended = disturb(lab, number)
                if ended == 0:
                    break
                did.append(what)
                status = [run.status for run in lab.runs("e0001")]
                self.tally.count(status in ([], ["waiting"], ["interrupted"], ["finished"]), f"{name}, {what}: {status} after it, ended with {ended}")
            ended = labs.attempt(self.context, child, str(lab.folder))
            told = f"{name}, {'; '.join(did)}"
            differs = _differs(lab, good) if ended == 0 else f"ended with {ended}"
            self.tally.count(not differs, f"{told}: {differs}")


def _differs(lab: Lab, good: labs.Outcome) -> str:
    """Return what of a run is not as an undisturbed run leaves it; an empty text for nothing."""
    found = labs.outcome(lab)
    differs = [name for name in ("record", "weights", "state") if getattr(found, name) != getattr(good, name)]
    warnings = [e["text"] for e in record.read(lab.run_folder("e0001", 42) / "events.jsonl")[0] if e["kind"] == "warning"]
    return "; ".join(differs + [w for w in warnings if "not exact" in w or "not promised" in w])


def kills(tally: Tally) -> None:
    """Kill runs `wanted` times in all: at a time drawn at random, or at a moment drawn from the list."""
    trials = Trials(tally)

    def disturb(lab: Lab, number: int) -> tuple[str, int]:
        if tally.random.random() < 0.5:
            point = tally.random.choice([*POINTS, *OTHER_POINTS])
            count = tally.random.choice((1, 2, 3, 5, 8, 13, 21))
            return f"{point}, number {count}", labs.attempt(trials.context, child, str(lab.folder), point, count)
        after = tally.random.uniform(0.02, 1.0)
        return f"{after:.2f} s after it began", _kill_after(trials, lab, after)

    while tally.tried < tally.wanted:
        trials.run(min(10, max(1, tally.wanted - tally.tried - 1)), disturb)


def double(tally: Tally) -> None:
    """Kill a run, then kill it while it recovers, up to five times in a row; `wanted` kills in recovery."""
    trials = Trials(tally)
    recovering = ["while a checkpoint is read", "when the state is half back", "when the state is back", "before a line is durable", "after a step"]

    def disturb(lab: Lab, number: int) -> tuple[str, int]:
        point, count = ("after a step", tally.random.randrange(5, 25)) if number == 0 else (tally.random.choice(recovering), 1)
        return f"{point}, number {count}", labs.attempt(trials.context, child, str(lab.folder), point, count)

    while tally.tried < tally.wanted:
        trials.run(6, disturb)


def signals(tally: Tally) -> None:
    """Send SIGTERM, SIGINT, or SIGSTOP and SIGCONT to a run, `wanted` times; its state is true at once."""
    trials = Trials(tally)

    def disturb(lab: Lab, number: int) -> tuple[str, int]:
        number = tally.random.choice((signal.SIGTERM, signal.SIGINT, signal.SIGSTOP))
        process = trials.context.Process(target=child, args=(str(lab.folder),))
        process.start()
        _until_it_runs(lab, process)
        process.join(tally.random.uniform(0.0, 0.6))
        if process.exitcode is None and process.pid:
            os.kill(process.pid, number)
            if number == signal.SIGSTOP:
                time.sleep(0.2)
                paused = [run.status for run in lab.runs("e0001")]
                assert paused in ([], ["waiting"], ["running"], ["finished"]), paused
                os.kill(process.pid, signal.SIGCONT)
            process.join(600)
            if process.exitcode is None:
                process.kill()
                process.join()
                return f"{signal.Signals(number).name}, and 600 s later it still ran", 1
        return signal.Signals(number).name, process.exitcode or 0

    while tally.tried < tally.wanted:
        trials.run(4, disturb)


def _until_it_runs(lab: Lab, process: Any) -> None:
    """Wait until a run holds its lock: nothing happens before it has set up."""
    deadline = time.monotonic() + 60
    while not runs.is_locked(lab.run_folder("e0001", 42)) and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.002)
    assert not process.is_alive() or runs.is_locked(lab.run_folder("e0001", 42)), "a run has not begun within a minute"


def _kill_after(trials: Trials, lab: Lab, seconds: float) -> int:
    process = trials.context.Process(target=child, args=(str(lab.folder),))
    process.start()
    _until_it_runs(lab, process)
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode or 0


def log_lines(path: str, pipe: int, seed: int) -> None:
    """Write rows to a record for ever, and tell the number of each, through a pipe, once its call has returned."""
    draw = random.Random(seed)
    with record.Record(Path(path)) as lines:
        step = 0
        while True:
            step += 1
            lines.append({"kind": "iter", "step": step, "epoch": 1, "loss": draw.random(), "lr": 0.1})
            os.write(pipe, step.to_bytes(8, "little"))


def writers(tally: Tally) -> None:
    """Kill `wanted` processes that write rows; each row whose call had returned is there, at most one more, none twice."""
    for number in range(tally.wanted):
        path = tally.folder / f"{number}.jsonl"
        read, write = os.pipe()
        if not (pid := os.fork()):
            try:
                os.close(read)
                log_lines(str(path), write, number)
            finally:
                os._exit(1)
        os.close(write)
        told = os.read(read, 8)  # it has begun
        time.sleep(tally.random.uniform(0, 0.01))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        while more := os.read(read, 1 << 16):
            told = more[-8:] if len(more) >= 8 else (told + more)[-8:]
        os.close(read)
        last = int.from_bytes(told, "little")
        rows, problems = record.read(path)
        steps = [row["step"] for row in rows]
        tally.count(steps in ([*range(1, last + 1)], [*range(1, last + 2)]), f"{last} rows told, {len(steps)} there, {problems}")
        path.unlink()
