"""Decoded pixels on disk: `<key>.npy` with uint8 pixels_NCHW and `<key>.json` with what was found while decoding.

Both are written beside their place, synced and renamed, the JSON last, with a checksum of the pixels: what loads is whole, and what is damaged, cut
off or of another version counts as absent. Of several processes that lack the same key, one decodes and the others wait (`making`, by
`<key>.lock`). The folder can be deleted at any time.
"""

import json
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np

from ...core.cores import cores
from ...core.progress import Progress
from ...store import files

VERSION = 2
GROUPS = Path("/sys/fs/cgroup")
# Of a container, in both versions of control groups: the limit, what is used, and what of that are files read, given up when memory is wanted.
_LIMITS = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
)
T = TypeVar("T")
WAITING = "waiting for a process that decodes the same data"


def load(folder: Path, key: str, pixels: bool) -> tuple[dict[str, Any], np.ndarray | None] | None:
    """Return (facts, pixels_NCHW or None) stored as `key`, or None where nothing usable is stored. Pixels are read when `pixels` is true."""
    try:
        facts = json.loads((folder / f"{key}.json").read_bytes())
        if not isinstance(facts, dict) or facts.pop("version") != VERSION or facts.pop("checksum") != _checksum_of(facts):
            return None
        if not pixels:
            return facts, None
        pixels_NCHW = np.load(folder / f"{key}.npy", allow_pickle=False)
    except (OSError, ValueError, KeyError, EOFError):  # absent, cut off or not ours: the images are decoded again
        return None
    if pixels_NCHW.dtype != np.uint8 or list(pixels_NCHW.shape) != facts["pixels_shape"] or zlib.crc32(pixels_NCHW.data) != facts["pixels_crc32"]:
        return None
    return facts, pixels_NCHW


def save(folder: Path, key: str, facts: dict[str, Any], pixels_NCHW: np.ndarray | None) -> None:
    """Store `facts` and the pixels as `key`.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    facts = dict(facts)
    if pixels_NCHW is not None:
        facts |= {"pixels_shape": list(pixels_NCHW.shape), "pixels_crc32": zlib.crc32(np.ascontiguousarray(pixels_NCHW).data)}
        write(folder / f"{key}.npy", lambda file: np.save(file, pixels_NCHW, allow_pickle=False))
    text = json.dumps(facts | {"version": VERSION, "checksum": _checksum_of(facts)})
    write(folder / f"{key}.json", lambda file: file.write(text.encode()))


def once(
    folder: Path,
    key: str,
    progress: Progress,
    *,
    pixels: bool,
    read: Callable[[dict[str, Any], np.ndarray | None], T | None],
    make: Callable[[], T],
    facts: Callable[[T], tuple[dict[str, Any], np.ndarray | None]],
) -> tuple[T, str]:
    """Return what is stored as `key`, made and stored where nothing is, and why it could not be stored, or an empty text.

    Args:
        folder: the cache.
        key: its name there.
        progress: told of waiting for another process.
        pixels: whether pixels are read too.
        read: turns facts and pixels into what is returned, or into None where they no longer hold.
        make: makes it; what it raises is raised, and nothing is stored.
        facts: turns it into facts and pixels.
    """

    def stored() -> T | None:
        found = load(folder, key, pixels)
        return None if found is None else read(*found)

    if (found := stored()) is not None:
        return found, ""
    with making(folder, key, progress):
        if (found := stored()) is not None:
            return found, ""
        made = make()
        try:
            save(folder, key, *facts(made))
        except OSError as error:
            return made, f"could not be kept in {folder} ({error.strerror}): they are decoded again next time"
        return made, ""


@contextmanager
def making(folder: Path, key: str, progress: Progress) -> Iterator[None]:
    """Be the one process that makes what is stored as `key`: load it again first, another one may just have stored it."""
    with files.alone(folder / f"{key}.lock", lambda: progress(WAITING, 0, 1)) as waited:
        if waited:
            progress(WAITING, 1, 1)
        yield


def write(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    """Write a file so that it is there whole or not at all: `fill` writes a temporary file beside it, which is synced and renamed."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _checksum_of(facts: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(facts, sort_keys=True).encode())


def num_threads() -> int:
    """Return how many threads decode: one for each core, or this run's share of them where several run at once (see `available_memory`)."""
    return max(1, cores() // max(1, int(os.environ.get("ZHURNAL_JOBS", "1"))))


def available_memory() -> int:
    """Return the bytes of memory that a process can still take: the machine's, or its container's where that is less.

    Of several runs at once, each is told in the environment, as ZHURNAL_JOBS, by how many it is shared.
    """
    limits = []
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        limits += [int(line.split()[1]) * 1024 for line in meminfo.read_text().splitlines() if line.startswith("MemAvailable:")]
    for most, used, files_read in _LIMITS:
        try:
            limit, taken = ((GROUPS / name).read_text().strip() for name in (most, used))
            stat = dict(line.split() for line in (GROUPS / most).with_name("memory.stat").read_text().splitlines())
            limits += [max(0, int(limit) - int(taken) + int(stat.get(files_read, 0)))] if limit != "max" else []
        except (OSError, ValueError):  # no container, or of the other version
            continue
    found = min(limits) if limits else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return found // max(1, int(os.environ.get("ZHURNAL_JOBS", "1")))
