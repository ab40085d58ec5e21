"""Plain tables for a terminal, a pipe or a file; thousands of lines take no longer than their text does."""

import os
import shutil
import sys
import unicodedata
from collections.abc import Sequence

import click

from ..core.text import printable

GAP = "  "
NARROWEST = 8  # a column is not made narrower than this, or than its heading


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), shrink: Sequence[int] = ()) -> None:
    """Print a plain table that fits the terminal: columns in `shrink` are wrapped, `right` are set to the right.

    What goes into a file or a pipe is not wrapped.
    """
    terminal = sys.stdout.isatty()
    lines = layout(headings, rows, right=right, shrink=shrink, width=shutil.get_terminal_size().columns if terminal else None)
    click.echo(click.style(lines[0], bold=True) if terminal and not os.environ.get("NO_COLOR") else lines[0])
    if len(lines) > 1:
        click.echo("\n".join(lines[1:]))


def layout(
    headings: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), shrink: Sequence[int] = (), width: int | None = None
) -> list[str]:
    """Return the lines of a table, the headings first; columns in `shrink` are wrapped where it would be wider than `width`."""
    columns = [[h, *(one_line(row[i]) for row in rows)] for i, h in enumerate(headings)]
    widths = [max(map(len if all(map(str.isascii, column)) else cell_width, column)) for column in columns]
    if width is not None and sum(widths) + len(GAP) * (len(widths) - 1) > width:
        widths = _fit(widths, [max(NARROWEST, cell_width(headings[i])) for i in range(len(headings))], shrink, width)
        cells = [[wrap(text, w) for text in column] for column, w in zip(columns, widths, strict=True)]
        columns = [[] for _ in headings]
        for row in zip(*cells, strict=True):
            height = max(map(len, row))
            for column, parts in zip(columns, row, strict=True):
                column += [*parts, *[""] * (height - len(parts))]
    padded = [[_pad(text, w, i in right) for text in column] for i, (column, w) in enumerate(zip(columns, widths, strict=True))]
    return [GAP.join(row).rstrip() for row in zip(*padded, strict=True)]


def _fit(widths: Sequence[int], least: Sequence[int], shrink: Sequence[int], width: int) -> list[int]:
    """Return widths that come to `width` if they can: the widest of the columns in `shrink` give way first."""
    found = list(widths)
    too_much = sum(found) + len(GAP) * (len(found) - 1) - width
    while too_much > 0:
        wide = [i for i in shrink if i < len(found) and found[i] > least[i]]
        if not wide:
            break
        widest = max(wide, key=lambda i: found[i])
        next_width = max([found[i] for i in wide if found[i] < found[widest]], default=0)
        step = max(1, min(too_much, found[widest] - max(next_width, least[widest])))
        found[widest] -= step
        too_much -= step
    return found


def _pad(text: str, width: int, right: bool) -> str:
    if text.isascii():
        return text.rjust(width) if right else text.ljust(width)
    gap = " " * (width - cell_width(text))
    return gap + text if right else text + gap


def one_line(text: str) -> str:
    """Return a text with its line ends and tabs as spaces, and without characters that a terminal would obey."""
    return text if text.isprintable() else printable(text, len(text) + 1)


def cell_width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return len(text) if text.isascii() else sum(map(_character_width, text))


def _character_width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def wrap(text: str, width: int) -> list[str]:
    """Return a text as lines of at most `width` columns, broken between words, and within a word that is longer.

    >>> wrap("optimizer=adam lr=0.001", 16), wrap("abcdefgh", 3), wrap("", 3)
    (['optimizer=adam', 'lr=0.001'], ['abc', 'def', 'gh'], [''])
    """
    if cell_width(text) <= width:
        return [text]
    lines, line = [], ""
    for word in text.split(" "):
        if line and cell_width(line) + 1 + cell_width(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
        while cell_width(line) > width:
            size = 0
            cut = 0
            while cut < len(line) and size + _character_width(line[cut]) <= width:
                size += _character_width(line[cut])
                cut += 1
            lines.append(line[: max(1, cut)])
            line = line[max(1, cut) :]
    return [*lines, line] if line or not lines else lines
