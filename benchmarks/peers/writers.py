"""Writers killed, and writers on a full disk: the same for each tool, whose own file says how it logs and how it reads.

A process logs the number of each step as its value, a point every few milliseconds, and tells each one as soon as the call that logs it has returned.
Such a point is acknowledged; one whose call raised an error is refused. What is stored is read by the tool's own reader, in a process of its own. A
point is lost that was acknowledged and is not stored, or with another value.

Killed: SIGKILL at a moment drawn at random after the first point. Full disk: after 100 to 300 points, their number drawn at random, the disk, which
holds nothing else, is filled, and emptied some seconds later; some seconds after that the process is asked to end, and closes its tool as one should.
"""

import argparse
import itertools
import json
import os
import random
import re
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from forked import Forked, Tell

PAUSE = 0.004  # seconds between two points
Log = Callable[[int], object]  # logs a step; returns False where the tool refused it


@dataclass(frozen=True)
class Writer:
    """A tool: how it is opened in a new folder, and how the steps and values that it stored there are read."""

    name: str
    opened: Callable[[Path], AbstractContextManager[Log]]
    stored: Callable[[Path], Iterable[tuple[int, float]]]
    parts: tuple[str, ...] = ("kill", "disk")


def log_for_ever(writer: Writer, folder: Path, tell: Tell) -> None:
    """Log points until this process is killed or asked to end."""
    asked = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
    with writer.opened(folder) as log:
        for step in itertools.count(1):
            if asked:
                break
            try:
                is_logged = log(step) is not False
            except OSError:
                tell(-step, float(step))
                raise
            tell(step if is_logged else -step, float(step))
            time.sleep(PAUSE)


def compare(writer: Writer, folder: Path, told: Sequence[tuple[int, float]], says: Path) -> dict[str, int]:
    """Read what is stored, and count what was acknowledged, refused and lost, what stands there twice, and what is missing before the last point.

    Raises:
        SystemExit: it cannot be read; what the reader said is told.
    """

    def read(tell: Tell) -> None:
        for step, value in writer.stored(folder):
            tell(step, value)

    said = says.stat().st_size
    reader = Forked(read, says)
    reader.join()
    if reader.code:
        raise SystemExit(f"what {writer.name} stored cannot be read:\n{says.read_bytes()[said:].decode(errors='replace')[-3000:]}")
    there, acknowledged = set(reader.told), [point for point in told if point[0] > 0]
    return {
        "acknowledged": len(acknowledged),
        "refused": len(told) - len(acknowledged),
        "lost": len(set(acknowledged) - there),
        "doubled": len(reader.told) - len(there),
        "gaps": max((step for step, _ in there), default=0) - len(there),
    }


def kill(writer: Writer, folder: Path, says: Path, seconds: float) -> dict[str, object]:
    """Kill a process that logs, so long after its first point."""
    child = Forked(lambda tell: log_for_ever(writer, folder, tell), says)
    if child.hear_until(lambda: bool(child.told), 60):
        child.hear_until(lambda: False, seconds)
    child.stop()
    if child.code != -signal.SIGKILL:
        raise SystemExit(f"{writer.name} ended with {child.code} before it was killed:\n{says.read_text(errors='replace')[-3000:]}")
    return {"part": "kill", **compare(writer, folder, child.told, says)}


def fill(path: Path) -> None:
    """Write to a file until nothing fits on its disk."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for size in (1 << 20, 1 << 12):
        try:
            while True:
                os.write(file, bytes(size))
        except OSError:  # it is full; smaller pieces may still fit
            continue
    os.close(file)


def disk(writer: Writer, folder: Path, says: Path, seconds: float, points: int) -> dict[str, object]:
    """Fill the disk of a process that has logged so many points, empty it after so many seconds, and watch for as many."""
    filler = folder.parent / "filler"
    child = Forked(lambda tell: log_for_ever(writer, folder, tell), says)
    child.hear_until(lambda: len(child.told) >= points, 60)
    fill(filler)
    full, said = time.monotonic(), says.stat().st_size
    is_told = child.hear_until(lambda: says.stat().st_size > said, seconds)
    told = time.monotonic() - full if is_told else None
    child.hear_until(lambda: False, full + seconds - time.monotonic())
    time.sleep(max(0.0, full + seconds - time.monotonic()))  # it ended
    filler.unlink()
    child.hear_until(lambda: False, seconds)
    logs = time.monotonic() - child.told_at < 1.0
    lives, lines = child.code is None, says.read_bytes()[said:].decode(errors="replace").splitlines()
    text = next((line.strip() for line in lines if re.search(r"Errno|\bdisk\b", line)), "")
    text = re.sub(r"^/\S+:\d+: ", "", text)[:300]  # where Python's warnings come from
    child.stop(signal.SIGTERM)
    found = compare(writer, folder, child.told, says)
    return {"part": "disk", "lives": lives, "logs": logs, "told": told, "text": text, "code": child.code, **found}


def main(writers: Sequence[Writer], load: Callable[[Path], object]) -> None:
    """Run trials of each writer, and print a line of JSON for each; `load` imports the tool, before the first fork, to log below a folder."""
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=("kill", "disk"))
    parser.add_argument("--folder", type=Path, required=True, help="for what is logged; for `disk` it is a small disk of its own")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=1.5, help="a kill comes at most so long after the first point; a disk is full for so long")
    given = parser.parse_args()
    load(given.folder)
    numbers = itertools.count(1)
    for writer in (w for w in writers if given.part in w.parts):
        chance = random.Random(given.seed)
        for _ in range(given.trials):
            with tempfile.TemporaryDirectory() as elsewhere:
                folder, says = given.folder / f"trial-{next(numbers)}", Path(elsewhere) / "says"
                folder.mkdir()
                if given.part == "kill":
                    found = kill(writer, folder, says, chance.uniform(0.05, given.seconds))
                else:
                    found = disk(writer, folder, says, given.seconds, chance.randrange(100, 300))
            print(json.dumps({"tool": writer.name, **found}), flush=True)
