"""Experiment numbers and ranges of them, read and printed as people write them: `e0033-e0034,e0036-e0038`."""

import re
from collections.abc import Iterable

from .errors import LabError

_NUMBER = re.compile(r"e?(\d{1,7})", re.IGNORECASE)
LARGEST_RANGE = 100_000


def name(number: int) -> str:
    """Return the name of experiment `number`: `e0039`."""
    return f"e{number:04d}"


def number(text: str) -> int:
    """Return the number in `e0039`, `E39` or `39`.

    Raises:
        LabError: the text is no experiment number.
    """
    match = _NUMBER.fullmatch(text.strip())
    if match is None or int(match.group(1)) == 0:
        raise LabError(f"'{text}' is no experiment number: write it as e0039")
    return int(match.group(1))


def parse(text: str) -> list[str]:
    """Return the experiments that a text such as `e0033-e0034,e0036` names, in the order given, each once.

    >>> parse("e0033-e0034,e0036"), parse("[e0038-40]"), parse("3")
    (['e0033', 'e0034', 'e0036'], ['e0038', 'e0039', 'e0040'], ['e0003'])

    Raises:
        LabError: a part is no number or range, or a range runs backwards.
    """
    found: dict[int, None] = {}
    for part in text.strip().strip("[]").split(","):
        first, dash, last = part.replace("–", "-").partition("-")
        start = number(first)
        stop = number(last) if dash else start
        if stop < start:
            raise LabError(f"range '{part.strip()}' runs backwards: write {name(stop)}-{name(start)}")
        if stop - start >= LARGEST_RANGE:
            raise LabError(f"range '{part.strip()}' is longer than {LARGEST_RANGE:,} experiments")
        found.update(dict.fromkeys(range(start, stop + 1)))
    return [name(n) for n in found]


def show(names: Iterable[str]) -> str:
    """Return experiments as people write them, sorted, neighbours joined.

    >>> show(["e0033", "e0034", "e0036", "e0037", "e0038"])
    'e0033-e0034,e0036-e0038'
    """
    numbers = sorted({number(n) for n in names})
    parts: list[list[int]] = []
    for n in numbers:
        if parts and n == parts[-1][1] + 1:
            parts[-1][1] = n
        else:
            parts.append([n, n])
    return ",".join(name(a) if a == b else f"{name(a)}-{name(b)}" for a, b in parts)
