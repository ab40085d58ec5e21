"""The journal's first page, `journal/README.md`: the list of all entries, newest first, as GitHub shows it. The rest of the page is a person's."""

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from .. import __version__
from ..analyze import summary
from ..analyze.summary import Summary
from ..core import numbers
from ..core.errors import LabError
from ..core.text import escape_markdown, percent
from ..store.lab import Lab
from ..store.view import look
from . import blocks, pages

BLOCKS = ("entries",)
_NEVER = datetime.datetime.min.replace(tzinfo=datetime.UTC)


@dataclass(frozen=True)
class Prepared:
    """The page as it was read; none where it does not exist."""

    before: str | None
    parts: tuple[blocks.Part, ...]


def page(lab: Lab) -> Path:
    """Return the file of the journal's first page."""
    return lab.journal / "README.md"


def entries(lab: Lab) -> list[tuple[Path, list[str]]]:
    """Return the entries of the journal with the experiments each is about, by name."""
    found = []
    for path in sorted(lab.journal.glob("e*.md")):
        try:
            names = numbers.parse(path.stem)
        except LabError:
            continue  # a page of another kind
        if numbers.show(names) == path.stem:
            found.append((path, names))
    return found


def prepare(lab: Lab) -> Prepared:
    """Read the page.

    Raises:
        JournalError: its markers do not fit together.
    """
    before = pages.read(page(lab))
    return Prepared(before, tuple(blocks.parse(before, "README.md", BLOCKS)) if before is not None else ())


def write(lab: Lab, prepared: Prepared | None = None, *, force: bool = False) -> blocks.Updated:
    """Bring the list of entries up to date, and make the page where there is none; return what a person should know."""
    prepared = prepared or prepare(lab)
    content = listing(lab)
    if prepared.before is None:
        updated = blocks.Updated((blocks.Prose(f"# {escape_markdown(lab.config.title)}\n\n{blocks.make('entries', content)}"),), (), (), ())
    else:
        updated = blocks.update(prepared.parts, {"entries": content}, "README.md", force=force)
    pages.write(page(lab), prepared.before, blocks.render(updated.parts))
    return updated


def listing(lab: Lab) -> str:
    """Return the table of entries: newest end first, then the higher number."""
    have = set(lab.names())
    rows = []
    with look(lab) as view:
        listed = [(path, names, [summary.read(view, n) for n in names if n in have]) for path, names in entries(lab)]
    for path, names, told in listed:
        unfinished = len(told) < len(names) or any(s.unfinished for s in told)
        when = summary.stopped(told) or summary.started(told)
        date = "–" if when is None else f"{when:%Y-%m-%d}" + (" (not finished)" if unfinished else "")
        question = escape_markdown(next((s.experiment.question for s in told if s.experiment.question), ""))
        line = f"| {date} | [{path.stem}]({quote(path.name)}) | {_title(path) or question or '–'} | {_best(told)} |"
        rows.append(((when or _NEVER, numbers.number(names[-1])), line))
    if not rows:
        return f"(no entries yet: `zhurnal write e0001`)\n\n<!-- from no entries; zhurnal {__version__} -->"
    rows.sort(key=lambda row: row[0], reverse=True)
    lines = ["| date | entry | question | best val. acc. |", "|---|---|---|---|", *(line for _, line in rows)]
    return "\n".join(lines) + f"\n\n<!-- from the records of {numbers.show(n for _, names in entries(lab) for n in names)}; zhurnal {__version__} -->"


def _title(path: Path) -> str:
    """Return the title that a page has behind its numbers, which is a person's to change; an empty text where it has none."""
    first = (pages.read(path) or "").lstrip().partition("\n")[0].strip()
    found = re.match(r"#\s+(\[[^\]]*\]\s*)?(.*)", first)
    return re.sub(r"(?<!\\)\|", r"\\|", found[2].strip()) if found else ""


def _best(told: Sequence[Summary]) -> str:
    known = [(found, s) for s in told if (found := summary.best_val_acc(s))]
    if not known:
        return "–"
    best, s = max(known, key=lambda pair: pair[0].mean)
    text = f"{percent(best.mean)} %" if best.sd is None else f"{percent(best.mean)} ± {percent(best.sd)} %"
    words = [s.name] if len(told) > 1 else []
    words += [f"mean of {best.n} seeds"] if best.n > 1 else []
    words += ["validated on the test images"] if s.on_test else []
    return text + (f" ({', '.join(words)})" if words else "")
