"""Files that are there whole or not at all.

Promises: `write` replaces a file in one step (temporary file in the same folder, fsync, rename, fsync of the folder); `create` makes a file that
must not exist yet, with all its content, in one step, so two processes can never both have made it.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..core.errors import LabError


def expand(path: str | Path) -> Path:
    """Return a path whose first part may be a home, `~` or `~name`; where there is none of that name, as it is."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def _temporary(path: Path, data: bytes | memoryview) -> Path:
    """Write `data` beside `path`, synced, and return where."""
    import tempfile

    handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=".tmp", dir=path.parent)
    try:
        try:
            _write_all(handle, data)
        finally:
            os.close(handle)
        Path(name).chmod(0o666 & ~_umask())
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)


def _write_all(handle: int, data: bytes | memoryview) -> None:
    """Write `data` to an open file and make it durable; one write takes at most some 2 GB."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
    os.fsync(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are missing, so that they survive a power cut."""
    missing = [f for f in (folder, *folder.parents) if not f.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in missing:
        sync_folder(made.parent)


def sync_folder(folder: Path) -> None:
    """Make renames and new names in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; when the block ends well, sync it and put it in the place of `path`."""
    import tempfile

    handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write(path: Path, data: bytes | memoryview | str) -> None:
    """Put `data` at `path`, whole or not at all."""
    temporary = _temporary(path, data.encode() if isinstance(data, str) else data)
    try:
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def create(path: Path, data: bytes | str) -> bool:
    """Make `path` with `data` unless it exists; return whether it was made. Of several processes exactly one gets True."""
    temporary = _temporary(path, data.encode() if isinstance(data, str) else data)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            return False
        try:
            _write_all(handle, temporary.read_bytes())
        except BaseException:
            path.unlink()
            raise
        finally:
            os.close(handle)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
    return True


@contextmanager
def alone(path: Path, waiting: Callable[[], object] = lambda: None) -> Iterator[bool]:
    """Hold `path`, a file or a folder that is there, as a lock while the block runs; give whether another process had to be waited for.

    `waiting` is called a few times a second meanwhile. The system takes the lock back however the process ends; a file stays. Where it cannot be
    made or locked (a read-only folder, a file system without locks), nothing is held.
    """
    waited = False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        yield False
        return
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waited = True
                waiting()
                time.sleep(0.1)
            except OSError:
                break
        yield waited
    finally:
        os.close(handle)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_text(path: Path, limit: int = 1_000_000) -> str:
    """Return a text file of at most `limit` bytes.

    Raises:
        LabError: it is missing, too large, or no UTF-8.
    """
    try:
        if path.stat().st_size > limit:
            raise LabError(f"{path} has {path.stat().st_size:,} bytes; at most {limit:,} are read: it is hardly a file of this lab")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise LabError(f"{path} does not exist") from None
    except UnicodeDecodeError:
        raise LabError(f"{path} is not UTF-8 text: save it as UTF-8") from None
