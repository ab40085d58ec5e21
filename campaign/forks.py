"""A process killed at each of its changes to the disk: forked, and ended at the n-th call without a word, as `kill -9` does."""

import hashlib
import os
import re
from collections.abc import Callable
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
