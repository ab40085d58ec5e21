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
from itertools import zip_longest

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
    lines: list[str] = []  # of the prose or the block that is being read
    begun: Block | None = None
    seen: dict[str, int] = {}

    def wrong(number: int, text: str) -> None:
        problems.append((number, f"{file}:{number}: {text}"))

    for number, line in enumerate(re.findall(r"[^\n]*\n|[^\n]+", text), 1):
        match = _MARK.fullmatch(line)
        if match is None:
            if _ALMOST.match(line):
                wrong(number, f"'{printable(line.strip(), 60)}' is no marker: {_MARKER_RULE}, or take the line away")
            lines.append(line)
            continue
        name = match["begin"] or match["end"]
        if name not in known:
            wrong(number, f"block '{name}' is unknown{did_you_mean(name, known) or ';'} blocks of this page are {list_names(known)}")
        if match["begin"]:
            if begun is not None:
                wrong(number, f"block '{name}' begins inside block '{begun.name}', which has no end before it: {_close(begun.name)}")
            if name in seen:
                wrong(number, f"block '{name}' stands twice (first in line {seen[name]}): take one of them away, with its markers")
            seen.setdefault(name, number)
            if lines:
                parts.append(Prose("".join(lines)))
            begun, lines = Block(name, match["sha"] or "", "", line, "", number), []
        elif begun is None:
            wrong(number, f"end of block '{name}' without its beginning: put <!-- zhurnal:begin {name} --> before it, or take the line away")
        elif begun.name != name:
            wrong(number, f"block '{begun.name}' (line {begun.line}) ends as '{name}': {_close(begun.name)}")
        else:
            parts.append(replace(begun, body="".join(lines), end=line))
            begun, lines = None, []
    if begun is not None:
        wrong(begun.line, f"block '{begun.name}' has no end: {_close(begun.name)}")
    if problems:
        raise JournalError("\n".join(text for _, text in sorted(problems, key=lambda p: p[0])))
    return [*parts, Prose("".join(lines))] if lines else parts


_MARKER_RULE = "write <!-- zhurnal:begin NAME --> or <!-- zhurnal:end NAME --> at the start of a line with nothing behind it"


def _close(name: str) -> str:
    return f"put <!-- zhurnal:end {name} --> on a line of its own where it ends"


def render(parts: Sequence[Part]) -> str:
    """Return the page that parts make."""
    return "".join(p.text if isinstance(p, Prose) else p.begin + p.body + p.end for p in parts)


def insert(parts: Sequence[Part], names: Sequence[str], *, after: str) -> list[Part]:
    """Return the parts with empty blocks `names`, those that are not there yet, behind the block `after`, or at the end where that is gone."""
    have = {p.name for p in parts if isinstance(p, Block)}
    text = "".join(f"\n<!-- zhurnal:begin {name} -->\n<!-- zhurnal:end {name} -->\n" for name in names if name not in have)
    if not text:
        return list(parts)
    place = next((i + 1 for i, p in enumerate(parts) if isinstance(p, Block) and p.name == after), len(parts))
    page = render(parts[:place]) + text + render(parts[place:])
    return parse(page, "page", have | set(names))


def insert_under(parts: Sequence[Part], name: str, *, heading: str) -> list[Part]:
    """Return the parts with an empty block `name`, where it is not there yet, under the line `heading` of the prose, or at the end without one."""
    if any(isinstance(p, Block) and p.name == name for p in parts):
        return list(parts)
    text = f"\n<!-- zhurnal:begin {name} -->\n<!-- zhurnal:end {name} -->\n"
    for i, part in enumerate(parts):
        if isinstance(part, Block):
            continue
        before = ""
        for line in part.text.splitlines(keepends=True):
            before += line
            if line.rstrip() == heading:
                page = render(parts[:i]) + before + text + part.text[len(before) :] + render(parts[i + 1 :])
                return parse(page, "page", {p.name for p in parts if isinstance(p, Block)} | {name})
    return parse(render(parts) + text, "page", {p.name for p in parts if isinstance(p, Block)} | {name})


@dataclass(frozen=True)
class Updated:
    """A page with its blocks brought up to date."""

    parts: tuple[Part, ...]
    notes: tuple[str, ...]  # one line for each block that was edited by hand: kept, or overwritten by force
    kept: tuple[str, ...]  # blocks that were edited by hand and therefore not brought up to date
    absent: tuple[str, ...]  # blocks that a person took off the page


def update(parts: Sequence[Part], contents: Mapping[str, str], file: str, *, force: bool = False) -> Updated:
    """Return a page with `contents` in its blocks, in the line endings of each block; edited blocks are kept unless forced."""
    new: list[Part] = []
    notes: list[str] = []
    kept: list[str] = []
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
                kept.append(part.name)
                continue
            notes.append(f"{file}:{part.line}: block '{part.name}' was edited by hand and is overwritten")
        new.append(part if _unchanged(part, body) else _with_body(part, body))
    names = {p.name for p in parts if isinstance(p, Block)}
    return Updated(tuple(new), tuple(notes), tuple(kept), tuple(n for n in contents if n not in names))


def _unchanged(block: Block, body: str) -> bool:
    """Return whether a block says the same already, and says so in its hash; the version of Zhurnal apart."""
    same = _VERSION.sub("", block.body.replace("\r\n", "\n")) == _VERSION.sub("", body)
    return same and digest(block.body) == block.sha


@dataclass(frozen=True)
class Difference:
    """Where a block does not say what it would say if it were written now. Texts are of one line; empty where that has none there."""

    line: int  # of the page, from 1
    there: str
    now: str  # what would be written


def difference(block: Block, content: str) -> Difference | None:
    """Return the first line in which a block differs from `content`, the version of Zhurnal apart; none where it says the same."""
    old, new = (_VERSION.sub("", text).split("\n") for text in (block.body.replace("\r\n", "\n"), _body(block.name, content)))
    if not block.body.strip():
        return Difference(block.line, "", next(line for line in new if line.strip()))
    for number, (there, now) in enumerate(zip_longest(old, new, fillvalue="")):
        if there != now:
            return Difference(block.line + 1 + number, there, now)
    return None


def _with_body(block: Block, body: str) -> Block:
    newline = "\r\n" if block.begin.endswith("\r\n") else "\n"
    begin = f"<!-- zhurnal:begin {block.name} sha={digest(body)} -->{newline}"
    return replace(block, sha=digest(body), body=body.replace("\n", newline), begin=begin)
