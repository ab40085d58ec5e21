"""The lock of a run: held by the process that trains, so that nobody else does, and so that whoever looks knows whether it lives.

It is the operating system's (`flock`) on a file `lock` in the run's folder: taken back however the process ends, gone after a reboot, and never part
of a copy of the lab. The file names its process in a way that no other has: machine (boot id), name space of process numbers, number, and start time.
So two more cases are told apart: a killed run whose own child processes still hold the lock (they got it when they were forked), and a file system
that knows no locks, where a living process of this machine is looked for.
"""

import datetime
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..core.errors import RunError
from ..core.text import printable
from . import files


def is_locked(home: Path) -> bool:
    """Return whether a living process holds the run."""
    try:
        handle = os.open(home / "lock", os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return not _is_dead(_text(handle))
    except OSError:  # a file system without locks
        text = _text(handle)
        return bool(text) and not _is_dead(text)
    finally:
        os.close(handle)
    return False


def owner(home: Path) -> str:
    """Return who holds the run, as its lock tells it: process, machine, and since when."""
    try:
        handle = os.open(home / "lock", os.O_RDONLY)
    except FileNotFoundError:
        return "nobody"
    try:
        return printable(_text(handle).partition("\n")[0].strip(), 200) or "it just began"
    finally:
        os.close(handle)


@contextmanager
def locked(home: Path, what: str) -> Iterator[Callable[[], bool]]:
    """Hold the run in `home` for this process; give a function that says whether it still does, and takes the lock again where it was deleted.

    Raises:
        RunError: another process holds it; the text names it.
    """
    files.make_folder(home)
    handles = [_open(home)]

    def hold() -> bool:
        home.mkdir(parents=True, exist_ok=True)
        handle = _open(home)
        if os.path.sameopenfile(handle, handles[-1]):
            os.close(handle)
            return True
        handles.append(handle)
        return _take(handle, attempts=1)

    try:
        if not _take(handles[0], attempts=20) and not _take_over(home, handles):
            raise RunError(f"{what} is already running ({owner(home)}): wait for it, or stop it with Ctrl-C or `kill` and run it again")
        yield hold
        with suppress(OSError):  # a bad disk; it matters only where there are no locks, and only while this process lives on
            os.ftruncate(handles[-1], 0)
    finally:
        for handle in handles:
            os.close(handle)


def _open(home: Path) -> int:
    return os.open(home / "lock", os.O_RDWR | os.O_CREAT, 0o666)


def _take(handle: int, attempts: int) -> bool:
    """Lock an open file and write this process into it; return whether that was possible."""
    for attempt in range(attempts):  # somebody who only looks holds it for microseconds
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.01 * (attempt > 0))
            continue
        except OSError:  # a file system without locks
            text = _text(handle)
            if text and not _is_dead(text) and text.partition("\n")[2] != _identity():
                return False
        os.ftruncate(handle, 0)
        since = datetime.datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        os.pwrite(handle, f"process {os.getpid()} on {os.uname().nodename} since {since}\n{_identity()}".encode(), 0)
        return True
    return False


def _take_over(home: Path, handles: list[int]) -> bool:
    """Take the lock of a process that is dead, and whose children still hold it: a new file takes the place of theirs."""
    with files.alone(home):  # of two that do this at once, the second finds the lock of the first
        handles.append(_open(home))
        if not _is_dead(_text(handles[-1])):
            return False
        (home / "lock").unlink()
        handles.append(_open(home))
        return _take(handles[-1], attempts=1)


def _text(handle: int) -> str:
    return os.pread(handle, 1000, 0).decode(errors="replace")


def _identity() -> str:
    """Return the second line of this process's lock: who it is, as no other is."""
    return f"{_machine()} {os.getpid()} {_began(os.getpid())}\n"


def _machine() -> str:
    """Return what tells this machine since it started, and its name space of process numbers, from all others; `unknown` where it cannot be told."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return "unknown unknown"


def _began(pid: int) -> str:
    """Return when a process began, in ticks since the machine started; an empty text where there is no such process, or only what is left of one."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode()


def _is_dead(text: str) -> bool:
    """Return whether the process that a lock names is known to have ended. One of another machine, or not named to the end, is not."""
    boot, names, pid, began = (text.partition("\n")[2].split() + [""] * 4)[:4]
    if not pid.isdecimal() or boot == "unknown" or f"{boot} {names}" != _machine():
        return False
    return _began(int(pid)) != began
