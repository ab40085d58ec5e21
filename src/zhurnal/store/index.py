"""The index: what was read from a lab's files, kept in `.zhurnal/cache/index.sqlite` so that looking again takes no reading. May be deleted any time.

A row is kept under the signature of the files it was made from (see `view.py`) and is of use only as long as they have it. Every row carries a
checksum, in which Zhurnal's own code counts too: one that is damaged, or of another version, is as good as none. Nothing depends on this file being
there, whole or new, and it is written without waiting for the disk. Several processes may use it at once; where it cannot be read or written (a lab
on a read-only disk, a file system without locks) everything goes on without it.
"""

import sqlite3
import zlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from .. import __version__

NAME = "index.sqlite"
WAIT_SECONDS = 2.0  # for another process that writes; after that, without it
# Errors that say nothing against the file itself: it is busy, may not be written, or has no room.
_GO_ON = {
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_NOLFS, sqlite3.SQLITE_INTERRUPT,
}  # fmt: skip
# What there is: experiments, runs, lines of a list, defaults of parts; each in a table of its own, so that lines are read without the rest.
KINDS = ("experiment", "run", "line", "defaults")
_PACKED = ("experiment", "run")  # long, and seldom read by the thousand: these are compressed
_COLUMNS = "(name TEXT PRIMARY KEY, signature BLOB NOT NULL, value BLOB NOT NULL, crc INTEGER NOT NULL)"


class Index:
    """The index in a file; call `close` when done, which writes what was put."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._put: list[tuple[str, str, bytes, bytes, int]] = []
        self._forget: list[str] = []
        self._usable = True

    def row(self, kind: str, name: str) -> tuple[bytes, bytes] | None:
        """Return the signature and the value kept under a name; none where there is nothing whole."""
        return self._select(kind, "WHERE name = ?", (name,)).get(name)

    def rows(self, kind: str) -> dict[str, tuple[bytes, bytes]]:
        """Return the signature and the value of every row of a kind, by name."""
        return self._select(kind, "", ())

    def put(self, kind: str, name: str, signature: bytes, value: bytes) -> None:
        """Keep a value; it is written by `close`, or together with many."""
        value = zlib.compress(value, 1) if kind in _PACKED else value
        self._put.append((kind, name, signature, value, _crc(kind, name, signature, value)))
        if len(self._put) >= 1000:
            self._write()

    def forget(self, names: Iterable[str]) -> None:
        """Drop the rows of experiments that are not there any more, and of their runs."""
        self._forget += names

    def close(self) -> None:
        """Write what was put. Only then is the file made, so a lab that nobody lists has none."""
        if self._put or self._forget:
            self._write()
        if "_open" in self.__dict__:
            self.__dict__.pop("_open").close()

    def _select(self, kind: str, where: str, values: tuple[str, ...]) -> dict[str, tuple[bytes, bytes]]:
        if not self._usable or not ("_open" in self.__dict__ or self.path.is_file()):
            return {}
        try:
            cursor = self._connection().execute(f"SELECT name, signature, value, crc FROM {kind} {where}", values)
            return {
                name: (signature, zlib.decompress(value) if kind in _PACKED else value)
                for name, signature, value, crc in cursor
                if type(signature) is bytes and type(value) is bytes and crc == _crc(kind, name, signature, value)
            }
        except (sqlite3.Error, UnicodeError, OSError) as error:
            self._fail(error)
            return {}

    def _write(self) -> None:
        rows, self._put = self._put, []
        gone, self._forget = self._forget, []
        for _ in range(2):  # a damaged file is made anew
            if not self._usable:
                return
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                connection = self._connection()
                connection.execute("BEGIN IMMEDIATE")
                for kind in KINDS:
                    connection.execute(f"CREATE TABLE IF NOT EXISTS {kind} {_COLUMNS}")
                    connection.executemany(f"DELETE FROM {kind} WHERE name = ? OR name GLOB ?", [(name, f"{name}/*") for name in gone])
                    connection.executemany(f"INSERT OR REPLACE INTO {kind} VALUES (?, ?, ?, ?)", [row[1:] for row in rows if row[0] == kind])
                connection.execute("COMMIT")
                return
            except (sqlite3.Error, UnicodeError, OSError) as error:
                self._fail(error)

    def _connection(self) -> sqlite3.Connection:
        if "_open" not in self.__dict__:
            self._open = sqlite3.connect(self.path, timeout=WAIT_SECONDS, isolation_level=None)
            self._open.execute("PRAGMA journal_mode = MEMORY")
            self._open.execute("PRAGMA synchronous = OFF")
        return self._open

    def _fail(self, error: Exception) -> None:
        """Go on without the index; where the file itself is wrong, delete it first."""
        if "_open" in self.__dict__:
            self.__dict__.pop("_open").close()
        code = getattr(error, "sqlite_errorcode", None)
        missing = isinstance(error, sqlite3.OperationalError) and "no such table" in str(error)
        if isinstance(error, OSError) or (code is not None and code & 0xFF in _GO_ON):
            self._usable = False
        elif not missing:
            try:
                self.path.unlink(missing_ok=True)
            except OSError:
                self._usable = False


def _crc(kind: str, name: str, signature: bytes, value: bytes) -> int:
    return zlib.crc32(value, zlib.crc32(signature, zlib.crc32(name.encode(), _code(kind))))


@cache
def _code(kind: str) -> int:
    """Return a checksum of a kind, and of the version and the code that rows are made by: another version reads files another way."""
    if kind:
        return zlib.crc32(kind.encode(), _code(""))
    found = zlib.crc32(__version__.encode())
    package = Path(__file__).parent.parent
    for folder in ("core", "core/sections", "store", "analyze"):
        try:
            for path in sorted((package / folder).glob("*.py")):
                found = zlib.crc32(path.read_bytes(), found)
        except OSError:  # not installed as files
            continue
    return found
