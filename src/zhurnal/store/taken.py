"""Numbers of experiments, each given once: not twice at the same time, and not again after an experiment was removed or got another number.

experiments/e0039.yaml            a number in use: taken by creating this file, of several processes exactly one can
experiments/removed/e0039.yaml    a number that was in use: `removed`, or `renumbered` to another. A file for each, so git merges them
"""

import datetime
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core import numbers
from ..core.errors import LabError
from ..core.text import printable
from . import files, yamls

if TYPE_CHECKING:
    from .lab import Lab

REMOVED = Path("experiments") / "removed"
LAST = 9_999_999


def take(lab: "Lab", contents: Sequence[Mapping[str, Any]]) -> list[str]:
    """Write experiments' files under the next free numbers, all or none, and return their names; several are neighbours and a series."""
    first = max(used(lab), default=0) + 1
    while True:
        if first + len(contents) - 1 > LAST:
            raise LabError(
                f"there is no number behind {numbers.name(first - 1)}: give that one another, `zhurnal renumber {numbers.name(first - 1)} e0001`"
            )
        names = [numbers.name(first + i) for i in range(len(contents))]
        series = {"series": numbers.show(names)} if len(names) > 1 else {}
        written: list[str] = []
        try:
            for i, (name, content) in enumerate(zip(names, contents, strict=True)):  # noqa: B007 - the last is where to go on
                if not files.create(lab.file(name), yamls.dump(dict(content) | series)):
                    break
                written.append(name)
                if was_used(lab.folder, name):  # by one that came and went in between
                    break
            else:
                return names
        except BaseException:
            for name in written:
                lab.file(name).unlink()
            raise
        for name in written:  # another process took a number in between: begin behind it
            lab.file(name).unlink()
        first += i + 1


def used(lab: "Lab") -> set[int]:
    """Return all numbers that are, or ever were, an experiment's: by their files, what runs left, and what was removed."""
    return {numbers.number(n) for n in lab.names()} | removed(lab) | _numbers(lab.logs) | _numbers(lab.folder / ".zhurnal" / "trash")


def removed(lab: "Lab") -> set[int]:
    """Return the numbers that are kept from being given again."""
    return _numbers(lab.folder / REMOVED)


def _numbers(folder: Path) -> set[int]:
    return {n for entry in _entries(folder) if (n := _number(entry)) is not None}


def _entries(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - of thousands of names, paths would take longer
    except (FileNotFoundError, NotADirectoryError):
        return []


def _number(entry: str) -> int | None:
    """Return the number that a file's name begins with: `e0039`, `e0039.yaml`, `e0039_model_best.pth`, `e0039-20261125T120000`."""
    digits = entry[1:].partition(".")[0].partition("_")[0].partition("-")[0]
    return int(digits) if entry[:1] == "e" and digits.isascii() and digits.isdecimal() and 4 <= len(digits) <= 7 else None


def was_used(lab: Path, name: str) -> bool:
    """Return whether a number is kept from being given again."""
    return (lab / REMOVED / f"{name}.yaml").is_file()


def whereabouts(lab: Path, names: Sequence[str]) -> str:
    """Return what became of experiments that are not there, as the beginning of a sentence; empty where nothing is known of them."""
    told = []
    for name in names[:20]:
        if was_used(lab, name):
            values = yamls.read(lab / REMOVED / f"{name}.yaml").values
            if "renumbered" in values:
                told.append(f"{name} is {printable(str(values['renumbered']), 20)} now")
            elif "removed" in values:
                told.append(f"{name} was removed (`zhurnal restore {name}` brings it back from the trash)")
    return "".join(f"{text}; " for text in told)


def mark(what: str) -> str:
    """Return the text of the file that keeps a number from being given again: `removed`, or `renumbered: e0012`."""
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    return f"{what}\nsince: '{now}'\n" if ":" in what else f"{what}: '{now}'\n"


def reserve(lab: "Lab", count: int, *, beyond: int = 0) -> list[str]:
    """Keep the next free numbers, all above `beyond`, from being given to anybody else, and return their names; `release` gives one back."""
    found: list[str] = []
    number = max(max(used(lab), default=0), beyond)
    while len(found) < count:
        number += 1
        if keep(lab, numbers.name(number)):
            found.append(numbers.name(number))
    return found


def keep(lab: "Lab", name: str) -> bool:
    """Keep a number that is free; return whether it is. One that a killed command had kept is: whoever keeps numbers changes the lab alone."""
    (lab.folder / REMOVED).mkdir(exist_ok=True)
    place = lab.folder / REMOVED / f"{name}.yaml"
    if place.is_file() and place.read_bytes().startswith(b"reserved"):
        place.unlink()
    if numbers.number(name) in used(lab) or not files.create(place, mark("reserved")):
        return False
    if lab.file(name).exists():  # somebody was faster
        release(lab, name)
        return False
    return True


def release(lab: "Lab", name: str) -> None:
    """Give back a number that was kept."""
    (lab.folder / REMOVED / f"{name}.yaml").unlink(missing_ok=True)
