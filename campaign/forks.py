"""Processes forked to be killed at one of their changes to the disk, without a word, as `kill -9` does; or to be measured."""

import hashlib
import json
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# Calls that change what is on disk, or make it durable.
CALLS = ("rename", "replace", "unlink", "mkdir", "rmdir", "link", "fsync", "ftruncate")
KILLED, OTHER = 9, 3


def killed_at(number: int, action: Callable[[], object]) -> bool:
    """Do `action` in a process that ends just before its `number`-th change to the disk, from 1; return whether it came so far.

    Raises:
        RuntimeError: the action itself failed.
    """
    child = os.fork()
    if child == 0:
        _count_down(number)
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - in a forked process: nothing of the parent's may run
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            os._exit(OTHER)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status not in (0, KILLED):
        raise RuntimeError(f"the action failed with status {status}")
    return status == KILLED


def _count_down(number: int) -> None:
    left = [number]

    def counted(call: Callable[..., object]) -> Callable[..., object]:
        def replacement(*arguments: object, **options: object) -> object:
            left[0] -= 1
            if left[0] <= 0:
                os._exit(KILLED)
            return call(*arguments, **options) if call is not os_fsync else None

        return replacement

    os_fsync = os.fsync
    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))
    os.sync = lambda: None


def snapshot(lab: Path) -> dict[str, str]:
    """Return what a lab holds: SHA-256 by path. Caches, locks and half-written files are left out; times in what keeps numbers are all one."""
    found = {}
    for path in sorted(lab.rglob("*")):
        name = re.sub(r"-\d{8}T\d{6}", "-TIME", path.relative_to(lab).as_posix())
        if name.startswith((".zhurnal/cache", ".zhurnal/changing", ".zhurnal/unfinished.")) or path.is_dir() or name.endswith(".tmp"):
            continue
        data = path.read_bytes()
        if name.startswith("experiments/removed/") or name.endswith("manifest.json"):
            data = re.sub(rb"\d{4}-\d\d-\d\dT[0-9:+-]+", b"TIME", data)
        found[name] = hashlib.sha256(data).hexdigest()[:16]
    return found


@dataclass(frozen=True)
class Cost:
    """What an action took, and how it ended: what it returned as text, or the error's text behind its class."""

    seconds: float  # of processor time
    num_bytes: int  # that the process held more than before, at most
    ended: str


def measured(action: Callable[[], object]) -> Cost:
    """Do `action` in a process of its own, and return what it took; a process that dies is told as such."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        before, began = _memory("VmRSS"), time.process_time()
        _reset_peak()
        try:
            ended = f"{action()!s:.2000}"
        except BaseException as error:  # noqa: BLE001 - whatever happens is told to the parent
            ended = f"{type(error).__name__}: {error!s:.2000}"
        told = {"seconds": time.process_time() - began, "num_bytes": max(0, _memory("VmHWM") - before), "ended": ended}
        os.write(writer, json.dumps(told).encode()[:60_000])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        data = file.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return Cost(**json.loads(data)) if data else Cost(0, 0, f"died with status {status}")


def _memory(what: str) -> int:
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0


def _reset_peak() -> None:
    with suppress(OSError):  # where it cannot be reset, what the parent held counts too
        Path("/proc/self/clear_refs").write_text("5")
