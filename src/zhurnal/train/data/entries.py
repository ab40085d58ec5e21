"""Images that a list names: a table's lines, DTD's labels, paths of the user's own. One function makes a `Source` of them, with its checks."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...core.errors import DataError
from ...core.progress import Progress
from ...core.text import printable
from .decode import BadImage
from .source import NO_FILE, Found, Listing, Source, hashes, name_some, read_file


@dataclass(frozen=True)
class Entry:
    """An image that a list names: its file, its label, its part (train, val or test), and how error texts call it."""

    file: str
    label: str
    split: str
    called: str


def from_entries(path: Path, root: Path, entries: Sequence[Entry], classes: Sequence[str] | None, by: str, cache: Path, progress: Progress) -> Source:
    """Return the images that a list names; their files are relative to `root`, or absolute.

    A file that is not there is an image that cannot be read: it stops the run or is skipped, as `data.bad_images` says. `classes` are all labels
    there are, in order; without them they are those of the entries, sorted, whole numbers by their value. `by` names what gives the parts.

    Raises:
        DataError: there are fewer than two classes, no training images, or classes without training images.
    """
    entries = sorted(entries, key=lambda e: ("train", "val", "test").index(e.split))
    classes = tuple(classes or in_order({e.label for e in entries}))
    check_classes(str(path), classes, [e.label for e in entries if e.split == "train"], [e.label for e in entries if e.split != "train"])
    found = [_stat(root, e.file) for e in entries]
    marks = hashes(root, found, cache, progress)
    digest = hashlib.sha256()
    for entry, mark in zip(entries, marks, strict=True):
        digest.update(f"{mark} {entry.file} {entry.label} {entry.split}\n".encode(errors="surrogateescape"))
    labels = {name: label for label, name in enumerate(classes)}
    sizes = {split: sum(e.split == split for e in entries) for split in ("train", "val", "test")}
    parts = ", ".join(f"{n:,} {split}" for split, n in sizes.items())

    def read(number: int) -> bytes:
        if found[number].size == NO_FILE:
            raise BadImage("does not exist, or is no plain file")
        return read_file(Listing((), frozenset(), lambda parts: root.joinpath(*parts).read_bytes()), found[number])

    return Source(
        path=path,
        classes=tuple(classes),
        names=tuple(e.called for e in entries),
        labels=tuple(labels[e.label] for e in entries),
        is_test=tuple(e.split == "test" for e in entries),
        fingerprint=digest.hexdigest(),
        notes=(f"parts by {by}: {parts}",) if by else (),
        read=read,
        is_val=tuple(e.split == "val" for e in entries) if sizes["val"] else (),
    )


def _stat(root: Path, file: str) -> Found:
    try:
        stat = (root / file).stat()
        return Found((file,), stat.st_size if (root / file).is_file() else NO_FILE, stat.st_mtime_ns)
    except (OSError, ValueError):  # absent, or a name with a null character
        return Found((file,), NO_FILE, 0)


def in_order(labels: Iterable[str]) -> list[str]:
    """Return class names sorted; by value where all are whole numbers.

    >>> in_order(["10", "9"]), in_order(["b", "a", "10"])
    (['9', '10'], ['10', 'a', 'b'])
    """
    labels = list(labels)
    numbers = all(label.removeprefix("-").isdecimal() for label in labels)
    return sorted(labels, key=lambda label: (int(label), label) if numbers else (0, label))


def check_classes(what: str, classes: Sequence[str], train: Iterable[str], others: Iterable[str]) -> None:
    """Check the labels of the training images and of the others against each other.

    Raises:
        DataError: there are fewer than two classes, or a class has no training image; all problems at once.
    """
    present = set(train)
    problems = []
    if not present:
        problems.append(f"{what}: has no training images")
    elif len(classes) < 2:
        problems.append(f"{what}: has fewer than 2 classes, only {printable(classes[0])}")
    elif lost := [c for c in classes if c not in present]:
        both = "validation or test images of " if set(lost) & set(others) else ""
        problems.append(f"{what}: no training image of {name_some(lost)}; {both and 'there are ' + both + 'it: '}add some, or leave the class out")
    if problems:
        raise DataError("\n".join(problems))
