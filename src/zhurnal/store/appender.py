"""An append-only file whose bytes outlive trouble with the disk.

Promises, with a `Keeper`:
- `append` writes a chunk in one call and returns when the operating system has it (it survives `kill -9`). Where the disk refuses, the chunk waits
  in memory and `append` returns all the same. What waits is written in order, so the file comes to hold the bytes it would hold on a good disk.
- `sync` makes durable what was written (it survives a power cut). After an fsync that failed, nobody knows which of the bytes since the last good
  one are on the disk (https://lwn.net/Articles/752063/): they are written again.
- A file that was deleted is made again; one that was moved away is written to where it is, and that is trouble until it is back.
- At most LIMIT bytes wait. What may be dropped and comes after is dropped, counted and told.

Without a keeper, trouble is raised, and what was written of the chunk is taken back.
"""

import errno
import os
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from . import files

if TYPE_CHECKING:
    from .keeper import Keeper

LIMIT = 32_000_000  # bytes of a file that may wait in memory
AT_ONCE = 2000  # chunks that are written before another thread may append again
# After these, the file is opened anew: a drive that was away has another handle when it is back.
_GONE = frozenset({errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.EBADF})
# A file system that cannot make anything durable says so; there is nothing to wait for.
CANNOT = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


class Appender:
    """An open append-only file, for one process. Any of its threads may call its methods."""

    def __init__(self, path: Path, keeper: "Keeper | None" = None, *, size: int | None = None) -> None:
        """Open or make the file; `size` is where to cut it off, where its end is torn."""
        self.path, self.keeper = path, keeper
        is_new = not path.exists()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            if size is not None:
                os.ftruncate(self._file, size)
            self._size = self._synced = os.fstat(self._file).st_size
            if is_new:
                files.sync_folder(path.parent)
        except BaseException:
            os.close(self._file)
            raise
        self._waiting: deque[bytes] = deque()
        self._unsynced: deque[bytes] = deque()  # written since the last fsync
        self._num_bytes = 0  # of both
        self._drops = False
        self._torn = False  # more than `_size` bytes may be in the file
        self._is_gone = False  # the handle may be of no use
        self._dirty = True  # what an earlier process wrote may not be durable
        self._lock, self._syncing = threading.Lock(), threading.Lock()
        if keeper:
            keeper.add(self)

    @property
    def num_waiting(self) -> int:
        """How many chunks wait in memory."""
        return len(self._waiting)

    def append(self, chunk: bytes, may_drop_at: int | None = None) -> None:
        """Add a chunk. Where memory for what waits is full, one with a step `may_drop_at` is dropped, and told.

        Raises:
            OSError: the disk refuses it, and there is no keeper.
        """
        with self._lock:
            self._drops = bool(self._waiting) and (self._drops or self._num_bytes + len(chunk) > LIMIT)  # from the first on all, until there is room
            if self.keeper and may_drop_at is not None and self._drops:
                self.keeper.lose(self.path.name, may_drop_at)
                return
            self._dirty = True
            self._num_bytes += len(chunk)
            self._waiting.append(chunk)
            if len(self._waiting) == 1:  # else the keeper tries again what came before
                self._write()
        if self.keeper:
            self.keeper.wake()

    def _write(self) -> bool:
        """Write what waits; return whether nothing waits any more. The lock is held."""
        try:
            if self._torn:
                os.ftruncate(self._file, self._size)
            for _ in range(min(AT_ONCE, len(self._waiting))):
                chunk = self._waiting[0]
                self._torn = True
                if os.write(self._file, chunk) < len(chunk):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
                self._torn = False
                self._size += len(chunk)
                self._waiting.popleft()
                if self.keeper:
                    self._unsynced.append(chunk)
        except OSError as error:
            with suppress(OSError):  # then it is taken back before the next write
                os.ftruncate(self._file, self._size)
            if not self.keeper:
                self._waiting.clear()
                raise
            self._trouble(error)
            return False
        return not self._waiting

    def _trouble(self, error: OSError) -> None:
        assert self.keeper is not None  # without one, trouble was raised
        self._is_gone = error.errno in _GONE
        self.keeper.trouble(self.path.name, error)

    def sync(self) -> bool:
        """Write what waits, make all that was written durable, and return whether nothing waited then.

        Raises:
            OSError: the disk refuses, and there is no keeper.
        """
        with self._syncing:
            with self._lock:
                if not (self._dirty or self._waiting):
                    return True
                is_written = self._is_in_place() and self._write()
                file, size, num = self._file, self._size, len(self._unsynced)
                self._dirty = not is_written
            try:
                os.fsync(file)
            except OSError as error:
                if error.errno not in CANNOT:
                    if not self.keeper:
                        raise
                    self._write_again(error)
                    return False
            with self._lock:
                self._synced = size
                for _ in range(num):
                    self._num_bytes -= len(self._unsynced.popleft())
            if is_written and self.keeper:
                self.keeper.fine(self.path.name)
            return is_written

    def _write_again(self, error: OSError) -> None:
        """Let all that was written since the last fsync wait again."""
        with self._lock:
            self._waiting.extendleft(reversed(self._unsynced))
            self._unsynced.clear()
            self._size, self._torn, self._dirty = self._synced, True, True
            self._trouble(error)

    def _is_in_place(self) -> bool:
        """Return whether the open file is the one at its path, after putting it there where it was deleted. The lock is held."""
        if not self.keeper:
            return True
        try:
            here = os.fstat(self._file)
            try:
                there = self.path.stat()
            except FileNotFoundError:
                if here.st_nlink:  # moved away, or its drive is
                    self._write()
                    raise
                there = None
            if there is None or (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino) or self._is_gone:
                self._open_again()
        except OSError as error:
            self._trouble(error)
            return False
        return True

    def _open_again(self) -> None:
        """Go on in the file that is now at the path, a new one where there is none. It must hold a beginning of what this one holds.

        Raises:
            OSError: it holds something else, or another process has the run, or the disk refuses.
        """
        assert self.keeper is not None
        if not self.keeper.holds():
            raise OSError(errno.ESTALE, "another process runs there now", str(self.path))
        is_new = not self.path.exists()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            there, here = os.fstat(new), os.fstat(self._file)
            is_same = (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)
            theirs = os.pread(new, self._size if is_same else there.st_size, 0)
            try:
                ours = os.pread(self._file, self._size, 0)
            except OSError:  # the old handle is dead: what was durable must be there, the rest is in memory
                ours = theirs[: self._synced] + b"".join(self._unsynced)
                theirs = theirs[: self._synced]
            if len(ours) < self._size or not ours.startswith(theirs):
                raise OSError(errno.ESTALE, "another file is in its place", str(self.path))
            files.sync_folder(self.path.parent)
        except BaseException:
            os.close(new)
            raise
        old, self._file = self._file, new
        with suppress(OSError):  # a dead handle
            os.close(old)
        self._num_bytes -= sum(map(len, self._unsynced))
        self._unsynced.clear()
        if rest := ours[len(theirs) :]:
            self._waiting.appendleft(rest)
            self._num_bytes += len(rest)
        self._size = self._synced = len(theirs)
        self._torn, self._is_gone = True, False
        if is_new:
            self.keeper.made_again(self.path)

    def close(self) -> None:
        """Close the file. What still waits is gone."""
        os.close(self._file)
