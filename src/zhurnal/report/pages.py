"""Pages of the journal as bytes: read without changing a line ending, written only when they change and nobody else wrote in between."""

from pathlib import Path

from ..core.errors import JournalError
from ..store import files


def read(path: Path) -> str | None:
    """Return a page with its line endings as they are; none where it does not exist.

    Raises:
        JournalError: it is no UTF-8 text.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise JournalError(f"{path.name}:{line}: this is not UTF-8 text: save the page as UTF-8") from None


def write(path: Path, before: str | None, after: str) -> bool:
    """Put a page in place of what was read as `before`; return whether that changed it.

    Raises:
        JournalError: the page is not what was read any more.
    """
    if before == after:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    if before is None:
        if not files.create(path, after):
            raise JournalError(f"{path.name} was just made by someone else: nothing was written over it, write again")
        return True
    if read(path) != before:
        raise JournalError(f"{path.name} was changed while it was being written: nothing was written over it, save it and write again")
    files.write(path.resolve(), after)  # a link stays a link
    return True
