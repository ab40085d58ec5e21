"""A disk that fails: the calls of `os` that change files under a folder, counted, and failing when asked to."""

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ERRNOS = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS)
CHANGING = os.O_CREAT | os.O_WRONLY | os.O_RDWR


class Disk:
    """Counts calls in `calls`. From call number `first` on (counted from 1) `number` of them fail with `error`, or all until `seconds` later."""

    def __init__(self, folder: Path, error: int = errno.ENOSPC, first: int = 0, number: int = 1, seconds: float = 0.0) -> None:
        self.folder = str(folder.resolve())
        self.error, self.first, self.number, self.seconds = error, first, number, seconds
        self.calls = 0
        self.began = 0.0  # when the first call failed, by time.monotonic
        self.failed: list[str] = []  # the calls that failed
        self.waited = 0.0  # seconds that the real disk took for fsync since then

    def call(self, name: str, where: object) -> None:
        """Count a call on a path or an open file, and fail it where that is its turn."""
        path = self._path(where)
        if not path.startswith(self.folder):
            return
        self.calls += 1
        if not self.first or self.calls < self.first:
            return
        fails = time.monotonic() < self.began + self.seconds if self.began and self.seconds else self.calls < self.first + self.number
        if fails:
            self.began = self.began or time.monotonic()
            self.failed.append(f"{name} {Path(path).name}")
            raise OSError(self.error, os.strerror(self.error), path)

    def _path(self, where: object) -> str:
        if isinstance(where, int):
            return str(Path(f"/proc/self/fd/{where}").readlink())
        return str(Path(os.fsdecode(where)).absolute())  # type: ignore[arg-type]


@contextmanager
def failing(disk: Disk) -> Iterator[Disk]:
    """Let the disk fail while the block runs, in all threads."""
    names = {"write": 0, "fsync": 0, "ftruncate": 0, "unlink": 0, "mkdir": 0, "rename": 1, "replace": 1, "link": 1, "open": 0}
    real: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in names}

    def wrapped(name: str, at: int) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if name != "open" or arguments[1] & CHANGING:
                disk.call(name, arguments[at])
            began = time.monotonic()
            try:
                return real[name](*arguments, **options)
            finally:
                if name == "fsync" and disk.began:
                    disk.waited += time.monotonic() - began

        return call

    try:
        for name, at in names.items():
            setattr(os, name, wrapped(name, at))
        yield disk
    finally:
        for name, function in real.items():
            setattr(os, name, function)
