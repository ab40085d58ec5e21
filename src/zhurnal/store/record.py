"""A run's record on disk: append-only lines that are there once written, and a resume that proves itself.

Promises: `append` returns when the line is with the operating system (it survives `kill -9`), or, where the disk refuses it and a `Keeper` looks
after the record, when it waits in memory (see appender.py); `sync` makes all lines durable (a power cut). A torn last line is cut off and reported
when the file is opened again; nothing else is ever removed.

A resumed run goes over steps that its record already has. Such a row is compared with the stored one of the same kind and step, and not written
twice: equal rows prove that the resume is exact. Where one differs, `mismatch` tells it, a `void` row declares the later ones of the earlier attempt
void, and new rows are appended.
"""

from collections.abc import Iterable
from pathlib import Path

from ..core.errors import RunError
from ..core.records import Row, decode_all, encode, usable
from .appender import Appender
from .keeper import Keeper


class Record:
    """An open record. Use it as a context manager."""

    def __init__(self, path: Path, *, resumed: bool = False, keeper: Keeper | None = None) -> None:
        """Open or make the record at `path`; when `resumed`, rows that it already has are compared as they are made again.

        Without a `keeper`, a disk that refuses a line is an error at once.
        """
        self.path = path
        self.mismatch: str | None = None
        data = path.read_bytes() if path.exists() else b""
        rows, self.problems, whole = decode_all(data)
        is_torn = whole < len(data)
        self._file = Appender(path, keeper, size=whole if is_torn else None)
        self.torn = self.problems[-1] if is_torn else ""
        self._known = {_key(row): encode(row) for row in current(usable(rows)[0])} if resumed else {}

    def append(self, row: Row) -> bool:
        """Add a row; return whether it is new (not one that the record already had).

        Raises:
            RunError: the disk is full or gone, and there is no keeper; what was written of the line is taken back.
        """
        line = encode(row)
        before = self._known.pop(_key(row), None) if self._known else None
        if before == line:
            return False
        if before is not None:
            self.mismatch = f"step {row['step']}: the {row['kind']} row is {_brief(line)}, was {_brief(before)}"
            self._known.clear()
            self._write(encode({"kind": "void", "step": row["step"]}))
        self._write(line, may_drop_at=row["step"] if row["kind"] == "iter" else None)
        return True

    def _write(self, line: bytes, may_drop_at: int | None = None) -> None:
        try:
            self._file.append(line, may_drop_at)
        except OSError as error:
            raise RunError(
                f"{self.path} cannot be written: {error.strerror}. Free some space and run the experiment again: it goes on from its checkpoint"
            ) from error

    def sync(self) -> None:
        """Make all rows durable."""
        self._file.sync()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "Record":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _key(row: Row) -> tuple[str, int]:
    return row["kind"], row["step"]


def _brief(line: bytes) -> str:
    return line.decode(errors="replace").strip().rpartition(',"crc"')[0].removeprefix("{")


def current(rows: Iterable[Row]) -> list[Row]:
    """Return the rows that count, by step: the last of each kind and step, without those that a `void` row took back."""
    found: dict[tuple[str, int], Row] = {}
    for row in rows:
        if row["kind"] == "void":
            found = {key: kept for key, kept in found.items() if key[1] <= row["step"]}
        else:
            found[_key(row)] = row
    order = {"iter": 0, "epoch": 1, "test": 2, "end": 3}
    return [found[key] for key in sorted(found, key=lambda k: (k[1], order.get(k[0], 9)))]


def read(path: Path) -> tuple[list[Row], list[str]]:
    """Return the rows of a file of lines in their order, and a sentence for each line that is damaged. A missing file has no rows."""
    try:
        rows, problems, _ = decode_all(path.read_bytes())
    except FileNotFoundError:
        return [], []
    rows, more = usable(rows)
    return rows, [f"{path.name}: {p}" for p in (*problems, *more)]
