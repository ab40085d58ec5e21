"""A page of the journal as a person's prose and generated blocks between markers, read and written back without losing a byte.

    <!-- zhurnal:begin table sha=8f3a2b1c -->
    ...
    <!-- zhurnal:end table -->

A marker is a whole line. `sha` is a short hash of what was generated, line endings apart, so a block that a person edited is seen.

Promises: `render(parse(text)) == text` for every text that parses; `update` changes nothing outside blocks, no block that was edited, and adds
none. A block that was deleted stays away; a blank one between its markers, also without `sha`, is written again.
"""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from ..core.errors import JournalError
from ..core.text import did_you_mean, list_names, printable

_MARK = re.compile(r"<!-- zhurnal:(?:begin (?P<begin>[a-z_]+)(?: sha=(?P<sha>[0-9a-f]{8}))?|end (?P<end>[a-z_]+)) -->[ \t]*\r?\n?")
_ALMOST = re.compile(r"\s*<!--\s*zhurnal\s*:")
# The last line of a generated text; other versions of Zhurnal that write the same leave a page alone.
_VERSION = re.compile(r"; zhurnal \S+ -->")


@dataclass(frozen=True)
class Prose:
    """What a person wrote."""

    text: str


@dataclass(frozen=True)
class Block:
    """What was generated: the text between two markers, and the marker lines as they stand."""

    name: str
    sha: str  # what the begin marker says; empty without
    body: str
    begin: str
    end: str
    line: int  # of the begin marker, from 1

    @property
    def edited(self) -> bool:
        """Whether a person changed it: it is not blank, and not what its hash says."""
        return bool(self.body.strip()) and digest(self.body) != self.sha


Part = Prose | Block


def digest(body: str) -> str:
    """Return the short hash of a block's text, whatever its line endings."""
    return hashlib.sha256(body.replace("\r\n", "\n").encode()).hexdigest()[:8]


def make(name: str, content: str) -> str:
    """Return a block with its markers, as it stands in a new page."""
    body = _body(name, content)
    return f"<!-- zhurnal:begin {name} sha={digest(body)} -->\n{body}<!-- zhurnal:end {name} -->\n"


def _body(name: str, content: str) -> str:
    """Return the text between markers: blank lines around it, so that every Markdown reader sees tables and lists."""
    if any(_ALMOST.match(line) for line in content.split("\n")):
        raise ValueError(f"the text of block '{name}' holds a marker")
    return "\n" + content.strip("\n") + "\n\n"


def parse(text: str, file: str, known: Collection[str]) -> list[Part]:
    """Return the parts of a page, in order.

    Args:
        text: the page.
        file: its name, for messages.
        known: names of blocks that may stand in it.

    Raises:
        JournalError: markers do not fit together; all problems, each with file, line, rule and way out.
    """
    parts: list[Part] = []
    problems: list[tuple[int, str]] = []
    prose: list[str] = []
    open_at: tuple[str, str, str, int] | None = None  # name, sha, marker line, line number
    body: list[str] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(re.findall(r"[^\n]*\n|[^\n]+", text), 1):
        match = _MARK.fullmatch(line)
        if match is None:
            if _ALMOST.match(line):
                problems.append(
                    (number, f"'{printable(line.strip(), 60)}' is no marker: write <!-- zhurnal:begin NAME --> or <!-- zhurnal:end NAME -->"
                    " at the start of a line with nothing behind it, or take the line away"
                )
            (prose if open_at is None else body).append(line)
            continue
        name = match["begin"] or match["end"]
        if name not in known:
            problems.append(
                f"{file}:{number}: block '{name}' is unknown{did_you_mean(name, known) or ';'} blocks of this page are {list_names(known)}"
            )
        if match["begin"]:
            if open_at is not None:
                problems.append(
                    f"{file}:{number}: block '{name}' begins inside block '{open_at[0]}', which has no end before it: {_close(open_at[0])}"
                )
            if name in seen:
                problems.append(f"{file}:{number}: block '{name}' stands twice (first in line {seen[name]}): take one of them away, with its markers")
            seen.setdefault(name, number)
            if open_at is None and prose:
                parts.append(Prose("".join(prose)))
                prose = []
            open_at, body = (name, match["sha"] or "", line, number), []
        elif open_at is None:
            problems.append(
                f"{file}:{number}: end of block '{name}' without its beginning: put <!-- zhurnal:begin {name} --> before it, or take the line away"
            )
        elif open_at[0] != name:
            problems.append(f"{file}:{number}: block '{open_at[0]}' (line {open_at[3]}) ends as '{name}': {_close(open_at[0])}")
        else:
            parts.append(Block(name, open_at[1], "".join(body), open_at[2], line, open_at[3]))
            open_at = None
    if open_at is not None:
        problems.append(f"{file}:{open_at[3]}: block '{open_at[0]}' has no end: {_close(open_at[0])}")
    if problems:
        raise JournalError("\n".join(problems))
    return [*parts, Prose("".join(prose))] if prose else parts


def _close(name: str) -> str:
    return f"put <!-- zhurnal:end {name} --> on a line of its own where it ends"


def render(parts: Sequence[Part]) -> str:
    """Return the page that parts make."""
    return "".join(p.text if isinstance(p, Prose) else p.begin + p.body + p.end for p in parts)


@dataclass(frozen=True)
class Updated:
    """A page with its blocks brought up to date."""

    parts: tuple[Part, ...]
    notes: tuple[str, ...]  # one line for each block that was edited by hand and therefore kept, or lost by force
    absent: tuple[str, ...]  # blocks that a person took off the page


def update(parts: Sequence[Part], contents: Mapping[str, str], file: str, *, force: bool = False) -> Updated:
    """Return a page with `contents` in its blocks, in the line endings of each block; edited blocks are kept unless forced."""
    new: list[Part] = []
    notes = []
    for part in parts:
        if isinstance(part, Prose) or part.name not in contents:
            new.append(part)
            continue
        body = _body(part.name, contents[part.name])
        if part.edited and digest(part.body) != digest(body):
            if not force:
                notes.append(
                    f"{file}:{part.line}: block '{part.name}' was edited by hand and is kept. "
                    "To have it written again, delete the lines between its markers (or use --force); what you want to keep, move outside"
                )
                new.append(part)
                continue
            notes.append(f"{file}:{part.line}: block '{part.name}' was edited by hand and is overwritten")
        new.append(part if _unchanged(part, body) else _with_body(part, body))
    names = {p.name for p in parts if isinstance(p, Block)}
    return Updated(tuple(new), tuple(notes), tuple(n for n in contents if n not in names))


def _unchanged(block: Block, body: str) -> bool:
    """Return whether a block says the same already, and says so in its hash; the version of Zhurnal apart."""
    same = _VERSION.sub("", block.body.replace("\r\n", "\n")) == _VERSION.sub("", body)
    return same and digest(block.body) == block.sha


def _with_body(block: Block, body: str) -> Block:
    newline = "\r\n" if block.begin.endswith("\r\n") else "\n"
    begin = f"<!-- zhurnal:begin {block.name} sha={digest(body)} -->{newline}"
    return replace(block, sha=digest(body), body=body.replace("\n", newline), begin=begin)
