"""What stands twice in a journal: a sentence copied from another entry, an experiment listed twice."""

import re
from collections.abc import Collection, Iterator, Sequence

from ..core import numbers
from ..core.errors import LabError
from ..core.text import printable
from . import blocks, prose
from .problems import Problem

FEWEST_WORDS = 8  # of a sentence that nobody writes twice by chance
Pages = Sequence[tuple[str, Sequence[blocks.Part], Sequence[str]]]  # file, parts, experiments it is about
_LISTED = re.compile(r"e\d{4,7}(?:\s*[-–]\s*e?\d{1,7})?(?:,?\s*(?:and\s+)?e\d{4,7}(?:\s*[-–]\s*e?\d{1,7})?)+")


def problems(pages: Pages, chosen: Collection[str]) -> Iterator[Problem]:
    """Give what stands twice in the files `chosen`: sentences are compared with those of all pages, the earlier entry counts as the source."""
    first: dict[str, tuple[str, int]] = {}
    for file, parts, names in sorted(pages, key=lambda page: (_number(page[2]), page[0])):
        here = prose.sentences(parts)
        for sentence in here:
            words = re.findall(r"\w+", sentence.text.casefold())
            if not names or len(words) < FEWEST_WORDS:
                continue
            other, line = first.setdefault(" ".join(words), (file, sentence.line))
            if (other, line) != (file, sentence.line) and file in chosen:
                where = f"{other}:{line}" if other != file else f"line {line}"
                text = f"stands word for word in {where} too: was it copied?"
                yield Problem(file, sentence.line, "repeated", text, quote=printable(sentence.text, 200))
        if file in chosen:
            yield from _twice(file, parts, here)


def _number(names: Sequence[str]) -> int:
    return max(map(numbers.number, names), default=0)


def _twice(file: str, parts: Sequence[blocks.Part], sentences: Sequence[prose.Sentence]) -> Iterator[Problem]:
    """Give experiments that one list names twice: an enumeration, a title, a table's first column."""
    texts = [(s.line, s.text) for s in sentences] + prose.headings(parts)
    for line, text in texts:
        for listed in _LISTED.finditer(text):
            for name in _doubled(re.findall(r"e\d{4,7}(?:\s*[-–]\s*e?\d{1,7})?", listed.group())):
                yield Problem(file, line, "repeated", f"lists {name} twice", quote=printable(listed.group(), 200))
    seen: dict[tuple[tuple[str, ...], str], int] = {}
    rows = prose.rows(parts)
    tables = [row.line - i for i, row in enumerate(rows)]  # rows of one table have consecutive lines
    for table, row in zip(tables, rows, strict=True):
        name = row.cells[0].strip("[] ")
        if any(h.casefold().rstrip("s") in ("seed", "epoch", "step", "class", "classe") for h in row.headings[1:]):
            continue  # several rows of an experiment are of one each
        if re.fullmatch(r"e\d{4,7}", name) and seen.setdefault(((*row.headings, str(table)), name), row.line) != row.line:
            text = f"lists {name} twice, first in line {seen[(*row.headings, str(table)), name]}"
            yield Problem(file, row.line, "repeated", text, quote=printable(" | ".join(row.cells), 200))


def _doubled(listed: Sequence[str]) -> list[str]:
    names: list[str] = []
    for text in listed:
        try:
            names += numbers.parse(text.replace(" ", ""))
        except LabError:
            return []  # no list of experiments after all
    return [n for n in dict.fromkeys(names) if names.count(n) > 1]
