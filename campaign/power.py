"""Power cuts, in a model: the calls of a short run that change the disk are recorded, and what a disk may hold after a cut is rebuilt from them.

After a cut a file has what was made durable by fsync, then any number of the later writes in their order, the next of them torn or as zeros; a
folder has the names made durable by an fsync of the folder, then any number of the later changes of its names in their order. Files and folders are
independent of each other, so a name may come before the bytes behind it. A file system that reorders the writes of one file is not modelled.
"""

import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zhurnal.api import Lab
from zhurnal.store import record

from . import disks, labs
from .tally import Tally

SLACK = 2.0  # seconds that this machine may be late; the promise is one second and the fsync itself


@dataclass
class Node:
    """A file or folder while it is recorded: its changes in order, as (number of the call, time, change), and until which call they are durable."""

    is_folder: bool
    changes: list[tuple[int, float, Any]] = field(default_factory=list)
    synced: list[tuple[int, bytes]] = field(default_factory=list)  # number of an fsync, and a file's bytes then


class Recorder:
    """Records the calls on files and folders under a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.nodes: list[Node] = []
        self.ids: dict[int, int] = {}  # inode -> number of its node
        self.calls = 0
        self.times: list[float] = [0.0]
        self.syncs: list[tuple[float, float]] = []  # when an fsync ended, and the seconds that the real disk took for it
        self.acknowledged: list[tuple[int, str]] = []  # number of the call after which a checkpoint's name is promised
        self.lock = threading.RLock()
        self.top = self._node(self.folder)
        for path in sorted(self.folder.rglob("*")):  # what is there already is durable
            self._name(path.parent, ("add", path.name, self._node(path)))
        for node in self.nodes:
            node.synced.append((0, b""))
        for path in self.folder.rglob("*"):
            if path.is_file():
                self.nodes[self.ids[path.stat().st_ino]].synced[-1] = (0, path.read_bytes())

    def _node(self, path: Path) -> int:
        self.nodes.append(Node(path.is_dir()))
        self.ids[path.stat().st_ino] = len(self.nodes) - 1
        return len(self.nodes) - 1

    def _name(self, folder: Path, change: tuple[str, str, int]) -> None:
        self.nodes[self.ids[folder.stat().st_ino]].changes.append((self.calls, time.monotonic(), change))

    def since(self, began: float, at: int) -> float:
        """Return the seconds from `began` to call number `at`, without those that the real disk took for fsync."""
        return self.times[at] - began - sum(seconds for ended, seconds in self.syncs if began < ended <= self.times[at])

    def tick(self) -> None:
        """Count a call."""
        self.calls += 1
        self.times.append(time.monotonic())

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record while the block runs."""
        names = ("open", "write", "fsync", "ftruncate", "rename", "replace", "unlink", "mkdir", "link")
        real = {name: getattr(os, name) for name in names}

        def wrap(name: str) -> Any:
            def call(*arguments: Any, **options: Any) -> Any:
                with self.lock:
                    return self._call(name, real[name], *arguments, **options)

            return call

        try:
            for name in names:
                setattr(os, name, wrap(name))
            yield
        finally:
            for name, function in real.items():
                setattr(os, name, function)

    def _call(self, name: str, real: Any, *arguments: Any, **options: Any) -> Any:
        first = Path(f"/proc/self/fd/{arguments[0]}").readlink() if isinstance(arguments[0], int) else Path(os.fsdecode(arguments[0])).absolute()
        if not first.is_relative_to(self.folder):
            return real(*arguments, **options)
        second = Path(os.fsdecode(arguments[1])).absolute() if name in ("rename", "replace", "link") else first
        is_new = name == "open" and arguments[1] & os.O_CREAT and not first.exists()
        began = time.monotonic()
        result = real(*arguments, **options)
        if name == "fsync":
            self.syncs.append((time.monotonic(), time.monotonic() - began))
        if name == "open" and not is_new:
            return result
        self.tick()
        if name in ("open", "mkdir"):
            self._name(first.parent, ("add", first.name, self._node(first)))
        elif name in ("rename", "replace"):
            self._name(second.parent, ("move", f"{first.name}/{second.name}", self.ids[second.stat().st_ino]))
        elif name == "link":
            self._name(second.parent, ("add", second.name, self.ids[second.stat().st_ino]))
        elif name == "unlink":
            self._name(first.parent, ("remove", first.name, 0))
        else:
            node = self.nodes[self.ids[os.fstat(arguments[0]).st_ino]]
            if name == "fsync":
                node.synced.append((self.calls, b"" if node.is_folder else Path(f"/proc/self/fd/{arguments[0]}").read_bytes()))
            else:
                node.changes.append((self.calls, time.monotonic(), bytes(arguments[1]) if name == "write" else arguments[1]))
        return result


def cut(recorder: Recorder, at: int, to: Path, draw: Any) -> list[str]:
    """Build in `to` what the disk may hold when the power fails after call number `at`; return what of the promises that state breaks already."""
    broken = []

    def file(node: Node, path: Path) -> None:
        number, data = next((s for s in reversed(node.synced) if s[0] <= at), (-1, b""))
        later = [c for c in node.changes if number < c[0] <= at]
        kept = draw.randint(0, len(later))
        if path.name in ("record.jsonl", "events.jsonl") and later and recorder.since(later[0][1], at) > 1 + SLACK:
            broken.append(f"a line of {path.name} was not durable after {recorder.since(later[0][1], at):.1f} s")
        content = bytearray(data)
        for _, _, change in later[:kept]:
            content = content[:change] if isinstance(change, int) else content + change
        if kept < len(later) and not isinstance(later[kept][2], int):
            half = later[kept][2][: draw.randint(0, len(later[kept][2]))]
            content += draw.choice((b"", half, bytes(len(half))))
        path.write_bytes(content)

    def folder(node: Node, path: Path) -> None:
        path.mkdir(exist_ok=True)
        number = next((s[0] for s in reversed(node.synced) if s[0] <= at), -1)
        durable = [c for c in node.changes if c[0] <= number]
        later = [c for c in node.changes if number < c[0] <= at]
        names: dict[str, int] = {}
        for _, _, (kind, name, held) in durable + later[: draw.randint(0, len(later))]:
            if kind == "remove":
                names.pop(name, None)
            elif kind == "move":
                names.pop(name.partition("/")[0], None)
                names[name.partition("/")[2]] = held
            else:
                names[name] = held
        for name, held in names.items():
            (folder if recorder.nodes[held].is_folder else file)(recorder.nodes[held], path / name)

    folder(recorder.nodes[recorder.top], to)
    return broken


def cuts(tally: Tally) -> None:
    """Cut the power of a run at `wanted` moments; every tenth state is really gone on with, to the end."""
    with disks.impatient(), tally.place() as place:
        lab = labs.make_lab(place / "lab", labs.SHORT | {"train.tensorboard": False})
        recorder = Recorder(lab.folder)
        from zhurnal.train import state

        save = state.save

        def saved(*arguments: Any, **options: Any) -> Path:
            path = save(*arguments, **options)
            recorder.acknowledged.append((recorder.calls, path.name))
            return path

        state.save = saved
        try:
            with recorder.recording():
                lab.run("e0001")
        finally:
            state.save = save
        good = labs.outcome(lab)
        whole = recorder.calls
        for number in range(tally.wanted):
            at = 1 + (number * whole // tally.wanted if tally.wanted < whole else tally.random.randrange(whole))
            to = place / "cut"
            broken = cut(recorder, at, to, tally.random)
            broken += _check(recorder, at, Lab(to), good)
            if number % 10 == 0 and not broken:
                again = Lab(to)
                again.run("e0001")
                broken += [] if labs.outcome(again) == good else ["gone on with, it ends with something else"]
            tally.count(not broken, f"after call {at}: {'; '.join(broken)}")
            shutil.rmtree(to)
    tally.notes.append(f"{whole} calls of a run")


def _check(recorder: Recorder, at: int, lab: Lab, good: labs.Outcome) -> list[str]:
    """Open a state with the code that a real start uses; return what is not as promised."""
    from zhurnal.train import state

    home = lab.run_folder("e0001", 42)
    rows, _ = record.read(home / "record.jsonl")
    record.read(home / "events.jsonl")
    known = [record.encode(row) for row in rows]
    broken = [] if all(line in good.record for line in known) else ["rows that were never written"]
    found, problems = state.latest(home / "checkpoints") if (home / "checkpoints").is_dir() else (None, [])
    promised = [name for call, name in recorder.acknowledged if call <= at]
    step = found["position"]["step"] if found else -1
    if promised and step < int(promised[-1].split("-")[1]):
        broken.append(f"{promised[-1]} was promised, found is step {step} ({problems})")
    if found and found["position"]["best_epoch"] and state.check_best(home / "checkpoints", state.Position(**found["position"])):
        broken.append("the best weights that the checkpoint names are not there")
    durable = [row["step"] for row in rows if row["kind"] == "iter"]
    if found and durable[:step] != [*range(1, step + 1)]:
        broken.append(f"rows of before the checkpoint at step {step} are missing: {durable}")
    return broken
