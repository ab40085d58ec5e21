"""Images named in lists: a CSV of paths and labels, and the images/ and labels/ of DTD. Whatever is wrong is told with its line, all at once.

A CSV has a line of headings, among them `path` and one with labels (`label`, or the one named), and optionally `split` (train, val or test). Paths
are relative to the CSV. The delimiter is found: comma, semicolon, tab or bar. Classes are the labels, sorted; whole numbers by their value.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

from ...core.errors import DataError
from ...core.progress import Progress
from ...core.text import count, did_you_mean, list_names, printable
from .entries import Entry, from_entries
from .source import Source, name_some

SPLITS = ("train", "val", "test")
_DELIMITERS = ",;\t|"
LARGEST_TABLE = 500_000_000  # bytes


@dataclass(frozen=True)
class _Columns:
    path: int
    label: int
    split: int | None


def scan_table(path: Path, label_column: str | None, cache: Path, progress: Progress) -> Source:
    """Return the images that the CSV `path` names.

    Raises:
        DataError: the file is not there or no table, or lines of it are wrong; all problems at once, with their lines.
    """
    rows = _rows(path)
    columns = _columns(path, rows[0][1], label_column)
    problems: list[str] = []
    entries: list[Entry] = []
    lines: dict[str, int] = {}
    for line, cells in rows[1:]:
        if len(cells) != len(rows[0][1]):
            problems.append(f"line {line} has {count(len(cells), 'cell')}, must have {len(rows[0][1])}, as the headings have")
            continue
        name, label = cells[columns.path].strip(), cells[columns.label].strip()
        split = cells[columns.split].strip() if columns.split is not None else "train"
        if not name or not label:
            problems.append(f"line {line} has no {'path' if not name else 'label'}")
        elif split not in SPLITS:
            problems.append(f"line {line}: split is '{printable(split, 40)}', must be {list_names(SPLITS)}{did_you_mean(split, SPLITS)}")
        elif name in lines:
            problems.append(f"line {line} names {printable(name)} again, which line {lines[name]} has: an image must stand there once")
        else:
            lines[name] = line
            entries.append(Entry(name, label, split, f"{name} (line {line})"))
    if problems:
        raise DataError(f"{path}: {count(len(problems), 'line')} cannot be used; mend or remove them:\n  " + name_some(problems, "\n  "))
    return from_entries(path, path.parent, entries, None, "the column split" if columns.split is not None else "", cache, progress)


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """Return the lines of a table that are not empty, with their numbers."""
    if not path.is_file():
        raise DataError(f"data.path: {path} {'is a folder' if path.is_dir() else 'does not exist'}; give a CSV with the columns path and label")
    if path.stat().st_size > LARGEST_TABLE:
        raise DataError(f"data.path: {path} holds more than {LARGEST_TABLE // 1_000_000} MB; is it a table of paths and labels?")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise DataError(f"{path}:{line}: is no UTF-8 text (byte 0x{error.object[error.start]:02x}); save it as CSV UTF-8") from error
    head = text.splitlines()[0] if text.strip() else ""
    delimiter = max(_DELIMITERS, key=head.count)
    rows = []
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if any(c.strip() for c in cells):
                rows.append((reader.line_num, cells))
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: is no CSV ({error}); mend the quotes of that line") from error
    if len(rows) < 2:
        raise DataError(f"{path}: has no images; it must hold a line of headings, such as path,label, and a line for each image")
    return rows


def _columns(path: Path, headings: list[str], label_column: str | None) -> _Columns:
    names = [h.strip() for h in headings]
    wanted = label_column or "label"
    problems = [f"twice the column {printable(n)}" for n in dict.fromkeys(names) if n in ("path", "split", wanted) and names.count(n) > 1]
    for name in ("path", wanted):
        if name not in names:
            problems.append(f"no column {printable(name)}{did_you_mean(name, names)}")
    if problems:
        way = "; or name the one with the labels: data.label_column=NAME" if wanted not in names else ""
        raise DataError(f"{path}:1: has {' and '.join(problems)}; its columns are {name_some(names)}{way}")
    return _Columns(names.index("path"), names.index(wanted), names.index("split") if "split" in names else None)


def scan_dtd(path: Path, partition: int, cache: Path, progress: Progress) -> Source:
    """Return the images of a folder laid out as the Describable Textures Dataset: images/<class>/*, and labels/train1.txt, val1.txt and test1.txt.

    Each line of a file in labels/ names an image, `banded/banded_0002.jpg`. Cimpoi and others 2014,
    "Describing textures in the wild", have ten partitions.

    Raises:
        DataError: the folders or the lists of the partition are not there, or lines of them are wrong; all problems at once.
    """
    labels = path / "labels"
    lists = {split: labels / f"{split}{partition}.txt" for split in SPLITS}
    if not (path / "images").is_dir() or not labels.is_dir():
        raise DataError(
            f"data.path: {path} must hold images/<class>/* and labels/train1.txt, val1.txt, test1.txt; for folders of classes: data=folder"
        )
    if not lists["train"].is_file():
        there = sorted(int(f.stem[5:]) for f in labels.glob("train*.txt") if f.stem[5:].isdigit())
        way = f"; there is data.partition={list_names(map(str, there))}" if there else ""
        raise DataError(f"{lists['train']} does not exist{way}")
    problems: list[str] = []
    entries: list[Entry] = []
    places: dict[str, str] = {}
    for split, file in lists.items():
        for number, line in enumerate(file.read_text("utf-8", "surrogateescape").splitlines() if file.is_file() else [], start=1):
            name, place = line.strip(), f"{file.name}:{number}"
            if not name:
                continue
            if name in places:
                problems.append(f"{place} names {printable(name)} again, which {places[name]} has")
            elif "/" not in name or name.startswith("/") or ".." in name.split("/"):
                problems.append(f"{place}: '{printable(name)}' must be <class>/<file>")
            else:
                places[name] = place
                entries.append(Entry(f"images/{name}", name.partition("/")[0], split, f"images/{name} ({place})"))
    if problems:
        raise DataError(f"{labels}: {count(len(problems), 'line')} cannot be used; mend or remove them:\n  " + name_some(problems, "\n  "))
    return from_entries(path, path, entries, None, f"labels/*{partition}.txt", cache, progress)
