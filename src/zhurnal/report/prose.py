"""A person's words on a page: sentences, rows of tables and links, each with its line. Nothing here knows what is true.

Comments and fenced code are not read; neither are images, except as links.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from ..core import numbers
from ..core.errors import LabError
from . import blocks

_HIDDEN = re.compile(r"<!--.*?-->|^(?P<fence>```+|~~~+)[^\n]*\n.*?^(?P=fence)[^\n]*$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)")
_IMAGE = re.compile(r"!\[(?P<alt>[^\]]*)\]\((?P<target>[^)]*)\)")
_TEXT_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\([^)]*\)")
_ITEM = re.compile(r"\s*(?:[-*+]|\d{1,3}[.)])\s+")
# A sentence ends at a mark before a space and a capital, a quote or an experiment, unless the word before it is an abbreviation.
_END = re.compile(
    r"(?<!\bval)(?<!\bacc)(?<!\bvs)(?<!\bca)(?<!\bapprox)(?<!\be\.g)(?<!\bi\.e)(?<!\bfig)(?<!\bcf)(?<!\bno)[.!?]['\")]*\s+(?=[A-Z“\"(]|e\d{4}\b)|;\s+"
)
_TARGETS = (
    re.compile(r"\]\(\s*<(?P<target>[^>\n]+)>"),
    re.compile(r"\]\(\s*(?P<target>[^()<>\s]+(?:\([^()\s]*\)[^()\s]*)*)[^()\n]*\)"),
    re.compile(r"^[ ]{0,3}\[[^\]\n]+\]:\s*<?(?P<target>[^\s>]+)", re.MULTILINE),
    re.compile(r"<(?:a|img)\b[^>]*?\b(?:href|src)\s*=\s*[\"'](?P<target>[^\"']+)", re.IGNORECASE),
)
_ANCHOR = re.compile(r"<a\b[^>]*?\b(?:id|name)\s*=\s*[\"']([^\"']+)", re.IGNORECASE)


@dataclass(frozen=True)
class Sentence:
    """A sentence of a person, on one line of text, without Markdown's marks."""

    text: str
    line: int  # where it begins, from 1
    paragraph: int  # number of its paragraph or list item on the page


@dataclass(frozen=True)
class TableRow:
    """A row of a table that a person wrote, with the headings above it."""

    headings: tuple[str, ...]
    cells: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class Link:
    """Where a link or an image leads."""

    target: str  # without the part behind #, decoded
    anchor: str
    line: int

    @property
    def is_relative(self) -> bool:
        """Whether it leads to a file beside the page: not to the network, not into a mail."""
        return not re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:|//", self.target)


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match.group())


def pieces(parts: Sequence[blocks.Part]) -> list[tuple[int, str]]:
    """Return the text of each part that a person wrote, comments and fenced code blanked out, with the number of its first line."""
    found, line = [], 1
    for part in parts:
        text = blocks.render([part])
        if isinstance(part, blocks.Prose):
            found.append((line, _HIDDEN.sub(_blank, text.replace("\r\n", "\n"))))
        line += text.count("\n")
    return found


def sentences(parts: Sequence[blocks.Part]) -> list[Sentence]:
    """Return the sentences that a person wrote, headings and tables apart."""
    found: list[Sentence] = []
    for number, (first, text) in enumerate(_paragraphs(parts)):
        place = 0
        flat = text.replace("\n", " ")
        for end in [*_END.finditer(flat), None]:
            raw = flat[place : end.start() + 1 if end else None]
            clean = plain(raw)
            if clean:
                lead = len(raw) - len(raw.lstrip())
                found.append(Sentence(clean, first + text.count("\n", 0, place + lead), number))
            place = end.end() if end else len(flat)
    return found


def _paragraphs(parts: Sequence[blocks.Part]) -> Iterator[tuple[int, str]]:
    """Give paragraphs and list items, with the number of their first line."""
    for first, text in pieces(parts):
        begun, lines = first, list[str]()
        for number, line in enumerate([*text.split("\n"), ""], first):
            item = _ITEM.match(line)
            ends = not line.strip() or line.lstrip().startswith(("#", "|", ">")) or item
            if ends and lines:
                yield begun, "\n".join(lines)
                lines = []
            if item or not ends:
                begun = begun if lines else number
                lines.append(line[item.end() :] if item else line)


def plain(text: str) -> str:
    """Return text as it is read: without images, marks of emphasis and code, and the targets of links; spaces are single."""
    text = _TEXT_LINK.sub(r"\1", _IMAGE.sub(" ", text))
    text = re.sub(r"[`*]|\\(?=[^\w\s])|(?<!\w)_+|_+(?!\w)", "", text)
    return " ".join(text.split())


def named(text: str) -> set[str]:
    """Return the experiments that a text names, one by one or in ranges."""
    found: set[str] = set()
    for match in re.finditer(r"\be\d{4,7}(?:\s?[-–]\s?e?\d{1,7})?\b", text):
        try:
            found.update(numbers.parse(match.group().replace(" ", "")))
        except LabError:
            found.add(match.group()[:5])
    return found


def rows(parts: Sequence[blocks.Part]) -> list[TableRow]:
    """Return the rows of the tables that a person wrote."""
    found: list[TableRow] = []
    for first, text in pieces(parts):
        headings: tuple[str, ...] = ()
        lines = text.split("\n")
        for number, line in enumerate(lines):
            if not line.lstrip().startswith("|"):
                headings = ()
                continue
            cells = tuple(plain(c) for c in re.split(r"(?<!\\)\|", line.strip().strip("|")))
            if all(re.fullmatch(r"[\s:-]+", c) for c in cells):
                continue
            if not headings:
                headings = cells
            else:
                found.append(TableRow(headings, cells, first + number))
    return found


def headings(parts: Sequence[blocks.Part]) -> list[tuple[int, str]]:
    """Return the headings that a person wrote, with their lines."""
    found = []
    for first, text in pieces(parts):
        for number, line in enumerate(text.split("\n"), first):
            if match := re.match(r"\s{0,3}#{1,6}\s+(.*?)\s*#*$", line):
                found.append((number, plain(match[1])))
    return found


def links(text: str) -> list[Link]:
    """Return all links and images of a page, those of generated blocks too."""
    shown = _CODE.sub(_blank, _HIDDEN.sub(_blank, text))
    found = []
    for pattern in _TARGETS:
        for match in pattern.finditer(shown):
            target, _, anchor = match["target"].partition("#")
            found.append(Link(unquote(target), unquote(anchor), shown.count("\n", 0, match.start("target")) + 1))
    return sorted(found, key=lambda link: link.line)


def anchors(text: str) -> set[str]:
    """Return what a link behind # can lead to on a page, as GitHub names it."""
    shown = _HIDDEN.sub(_blank, text)
    found: set[str] = set(_ANCHOR.findall(shown))
    for match in re.finditer(r"^\s{0,3}#{1,6}\s+(.*?)\s*#*$", shown, re.MULTILINE):
        kept = (c for c in plain(match[1]).lower() if c in " -_" or unicodedata.category(c)[0] in "LN" or unicodedata.category(c) in ("Mn", "Mc"))
        slug = "".join(kept).replace(" ", "-")
        number = 0
        while (name := slug if number == 0 else f"{slug}-{number}") in found:
            number += 1
        found.add(name)
    return found
