"""A run's record on disk: append-only lines that are there once written, and a resume that proves itself.

Promises: `append` returns when the line is with the operating system (it survives `kill -9`); `sync` makes all lines durable (a power cut). A torn
last line is cut off and reported when the file is opened again; nothing else is ever removed.

A resumed run goes over steps that its record already has. Such a row is compared with the stored one and not written twice: equal rows prove that
the resume is exact. Where one differs, `mismatch` names the first, and new rows are appended; a reader takes the last row of a step.
"""

import os
from pathlib import Path

from ..core.errors import RunError
from ..core.records import Row, decode_all, encode


class Record:
    """An open record. Use it as a context manager."""

    def __init__(self, path: Path, keep: int | None = None) -> None:
        """Open or make the record at `path`.

        Args:
            path: the file.
            keep: rows that are certain; later rows of the file are compared as they are made again. None: all of them.
        """
        self.path = path
        self.mismatch: str | None = None
        self.torn = ""
        data = path.read_bytes() if path.exists() else b""
        rows, problems, whole = decode_all(data)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        if whole < len(data):
            os.ftruncate(self._file, whole)
            self.torn = problems[-1]
        self.problems = problems
        self._expected = [] if keep is None else rows[keep:]
        self.num_rows = len(rows) if keep is None else min(keep, len(rows))

    def append(self, row: Row) -> bool:
        """Add a row; return whether it is new (not one that the record already had).

        Raises:
            RunError: the disk is full or gone; what was written of the line is taken back.
        """
        self.num_rows += 1
        if self._expected:
            expected = self._expected.pop(0)
            if encode(expected) == encode(row):
                return False
            self.mismatch = f"step {row.get('step')}: {row['kind']} row is {_brief(row)}, was {_brief(expected)}"
            self._expected.clear()
        line = encode(row)
        size = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, line)
            if written < len(line):
                raise OSError(28, "no space left on device")
        except OSError as error:
            os.ftruncate(self._file, size)
            raise RunError(
                f"{self.path} cannot be written: {error.strerror}. Free some space and run the experiment again: it goes on from its checkpoint"
            ) from error
        return True

    def sync(self) -> None:
        """Make all rows durable."""
        os.fsync(self._file)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def __enter__(self) -> "Record":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _brief(row: Row) -> str:
    return ", ".join(f"{k} {v!r}" for k, v in row.items() if k not in ("kind", "step"))


def read(path: Path) -> tuple[list[Row], list[str]]:
    """Return the rows of a record, and a sentence for each line that is damaged. A missing file has no rows."""
    try:
        rows, problems, _ = decode_all(path.read_bytes())
    except FileNotFoundError:
        return [], []
    return rows, [f"{path.name}: {p}" for p in problems]
