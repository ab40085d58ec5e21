"""The list of experiments that `zhurnal ls` prints: one line each, sorted by any column, cut where asked.

A line is kept in the index with what it can be sorted by, so that a lab of 10,000 experiments is listed without reading their records. A line is
made anew where a file it was made from changed; one about a run that lives is made each time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from ..core import numbers
from ..core.errors import ZhurnalError
from ..core.facts import short
from ..core.text import count, did_you_mean, list_names, printable
from ..store.lab import Lab
from ..store.runs import Run
from ..store.view import View, look
from . import summary as summaries_of
from .columns import COLUMNS, column_name
from .summary import Spread, Summary
from .table import ON_TEST, TEST_MARK, cell

HEADINGS = {
    "experiment": "experiment", "diff": "diff", "question": "question", "state": "state", "best_val_acc": "best val. acc.", "started": "started"
}  # fmt: skip
SHORT = {"val_acc": "best_val_acc", "acc": "best_val_acc", "accuracy": "best_val_acc"}  # what a person may call a column
# Sorting: a column of COLUMNS -> its number or text, where that is not its value, or the mean over seeds.
_ORDER: dict[str, Callable[[Summary], Any]] = {
    "experiment": lambda s: numbers.number(s.name),
    "epoch_of_best": lambda s: _mean(summaries_of.best_epochs(s)),
    "seeds": lambda s: len(s.seeds),
    "epochs": lambda s: max((r.num_epochs for r in s.counted), default=None),
    "total_time": lambda s: _mean([r.total_seconds for r in s.counted if r.total_seconds is not None]),
    "started": lambda s: _timestamp(summaries_of.started([s])),
    "finished": lambda s: None if s.unfinished else _timestamp(summaries_of.stopped([s])),
}
SORTED_BY = tuple(c for c in COLUMNS if c not in HEADINGS or c in ("best_val_acc", "started"))  # kept with each line, as order and text


@dataclass(frozen=True)
class Line:
    """An experiment in the list: its cells, and what the list is sorted by (a fraction, seconds, a text; none where it has none)."""

    experiment: str
    cells: tuple[str, ...]
    value: float | str | None


@dataclass(frozen=True)
class Listing:
    """The list of experiments: `columns` are names, `problems` what is wrong with files that cannot be read, `left_out` how many lines were cut."""

    columns: tuple[str, ...]
    headings: tuple[str, ...]
    right: tuple[int, ...]  # which columns hold numbers and stand right
    lines: tuple[Line, ...]
    problems: tuple[str, ...]
    left_out: int

    @property
    def names(self) -> list[str]:
        """The experiments, in the order of the list."""
        return [line.experiment for line in self.lines]


class _Kept(NamedTuple):
    """A line as it is kept; the last three are JSON, of which a list of thousands needs little."""

    starts: list[str]
    seeds: list[int]
    open: list[int]  # seeds that are not finished: whether they run is asked each time
    order: bytes  # for each of SORTED_BY, its value to sort by
    cells: bytes
    texts: bytes  # for each of SORTED_BY, its cell


def ls(lab: Lab, names: Sequence[str] | None = None, *, sort: str | None = None, reverse: bool = False, limit: int | None = None) -> Listing:
    """Return the list of experiments.

    Args:
        lab: the lab.
        names: experiments; none for all.
        sort: a column: a name or heading of COLUMNS, `question` or `val_acc`; with `-` in front the largest stands first. None: by number.
        reverse: turn the order round. Experiments without a value stand last either way.
        limit: at most so many lines.

    Raises:
        ZhurnalError: a column or an experiment does not exist.
    """
    column, downwards = _column(sort) if sort is not None else ("experiment", False)
    downwards ^= reverse
    wanted = lab.names() if names is None else lab.select(",".join(dict.fromkeys(names))) if names else []
    left_out = 0
    if limit is not None and column == "experiment":  # the rest need not be looked at
        left_out = max(0, len(wanted) - limit)
        wanted = sorted(wanted, key=numbers.number, reverse=downwards)[:limit] if sort or reverse else wanted[:limit]
    with look(lab) as view:
        everything = names is None and left_out == 0
        many = everything or len(wanted) > 20
        kept = view.index.rows("line") if many else {n: row for n in wanted if (row := view.index.row("line", n))}
        if everything:
            view.index.forget(kept.keys() - set(wanted))
        problems: list[str] = []
        heads: dict[bytes, list[Any]] = {}
        found = [_kept_line(view, name, kept.get(name), heads) or _make(view, name, problems) for name in wanted]
    values = _values(wanted, found, column)
    places = _sorted(values, downwards) if sort is not None or reverse else list(range(len(found)))
    if limit is not None and len(places) > limit:
        left_out += len(places) - limit
        places = places[:limit]
    columns, headings = tuple(HEADINGS), tuple(HEADINGS.values())
    if column not in HEADINGS:
        columns, headings = (*columns, column), (*headings, COLUMNS[column].heading)
    more = SORTED_BY.index(column) if column not in HEADINGS else None
    lines = [Line(wanted[i], _cells(found[i], more), values[i]) for i in places]
    right = tuple(i for i, c in enumerate(columns) if c == "best_val_acc" or (c not in HEADINGS and COLUMNS[c].right))
    return Listing(columns, headings, right, tuple(lines), tuple(problems), left_out)


def legend(listing: Listing) -> str:
    """Return a sentence that explains the mark of numbers from the test images; an empty text where there is none."""
    return ON_TEST if any(text.endswith(TEST_MARK) for line in listing.lines for text in line.cells[3:]) else ""


def left_out_text(listing: Listing) -> str:
    """Return a sentence about lines that were cut; an empty text where none was."""
    return f"(and {count(listing.left_out, 'more experiment')})" if listing.left_out else ""


def _column(text: str) -> tuple[str, bool]:
    """Return the column to sort by, and whether the largest stands first."""
    word = text.strip().removeprefix("-")
    name = SHORT.get(word.lower(), word.lower())
    if name in HEADINGS:
        return name, text.strip().startswith("-")
    try:
        return column_name(name), text.strip().startswith("-")
    except ZhurnalError:
        there = list(dict.fromkeys([*HEADINGS, *COLUMNS]))
        hint = did_you_mean(name, [*there, *SHORT]) or ";"
        raise ZhurnalError(f"cannot sort by '{printable(word, 60)}'{hint} columns are {list_names(there)}") from None


def _sorted(values: Sequence[Any], downwards: bool) -> list[int]:
    """Return the places of values in order: numbers before texts, none last either way; equal ones as they stood."""
    kinds = [v is not None if not isinstance(v, str) else 2 for v in values]
    order: list[int] = []
    for kind in (1, 2, 0):
        places = [i for i, k in enumerate(kinds) if k == kind]
        order += sorted(places, key=values.__getitem__, reverse=downwards) if kind else places
    return order


# --- a line ---


def _kept_line(view: View, name: str, row: tuple[bytes, bytes] | None, heads: dict[bytes, list[Any]]) -> _Kept | None:
    """Return the line that is kept, if it still holds; `heads` remembers beginnings of lines, of which most are the same."""
    if row is None:
        return None
    head, order, cells, texts = row[1].split(b"\n")
    if (known := heads.get(head)) is None:
        known = heads[head] = orjson.loads(head)
    starts, seeds, unfinished = known
    if view.line_signature(name, starts, seeds) != row[0] or (unfinished and view.held(name, unfinished)):
        return None
    return _Kept(starts, seeds, unfinished, order, cells, texts)


def _cells(line: _Kept, more: int | None) -> tuple[str, ...]:
    """Return the cells of a line, with that of another column at the end."""
    cells: list[str] = orjson.loads(line.cells)
    return (*cells, orjson.loads(line.texts)[more]) if more is not None else tuple(cells)


def _make(view: View, name: str, problems: list[str]) -> _Kept:
    """Return a line from the experiment and its runs, and keep it; one that cannot be read says so, and hides no other."""
    try:
        signature = view.true_line_signature(name)
        s = summaries_of.read(view, name)
        e = s.experiment
        what = f"{e.parent}: {short(e.changes) or 'no change'}" if e.parent else f"{e.values['model']['name']} on {e.values['data']['name']}"
        line = _Kept(
            starts=list(e.starts),
            seeds=[r.seed for r in s.runs],
            open=[r.seed for r in s.runs if not r.finished],
            order=orjson.dumps([_order(c, s) for c in SORTED_BY]),
            cells=orjson.dumps(
                [
                    name,
                    f"{what}{f' (cont. {e.continues})' if e.continues else ''}",
                    e.question,
                    state_of(s.runs) + (", file edited since" if view.edited(name) else ""),
                    _text("best_val_acc", s),
                    min((r.started for r in s.runs if r.started), default="")[:16].replace("T", " "),
                ]
            ),
            texts=orjson.dumps([_text(c, s) if c not in HEADINGS else "" for c in SORTED_BY]),
        )
    except ZhurnalError as error:
        problems += str(error).splitlines()
        cells = [name, "–", "", "cannot be read", "–", ""]
        return _Kept([], [], [], *map(orjson.dumps, ([None] * len(SORTED_BY), cells, ["–"] * len(SORTED_BY))))
    finally:
        view.release(name)
    if signature is not None and not any(r.status == "running" for r in s.runs):
        view.index.put("line", name, signature, b"\n".join([orjson.dumps(line[:3]), *line[3:]]))
    return line


def _text(column: str, s: Summary) -> str:
    value = summaries_of.best_val_acc(s) if column == "best_val_acc" else COLUMNS[column].value(s)
    return cell(column, value, s)


def state_of(runs: Sequence[Run]) -> str:
    """Return how the runs of an experiment stand, on one line."""
    states = [r.state() for r in runs] or ["waiting"]
    return states[0] if len(set(states)) == 1 else ", ".join(f"seed {r.seed} {r.state()}" for r in runs)


def _order(column: str, s: Summary) -> float | str | None:
    found = _ORDER[column](s) if column in _ORDER else COLUMNS[column].value(s)
    if isinstance(found, Spread):
        found = found.mean
    return found if found is None or (isinstance(found, int | float) and found == found) else str(found)


def _values(names: Sequence[str], lines: Sequence[_Kept], column: str) -> list[float | str | None]:
    """Return what experiments are sorted by."""
    if column == "experiment":
        return [numbers.number(name) for name in names]
    if column in SORTED_BY:
        place = SORTED_BY.index(column)
        return [orjson.loads(line.order)[place] for line in lines]
    place = list(HEADINGS).index(column)
    return [orjson.loads(line.cells)[place] for line in lines]


def _mean(found: Sequence[float]) -> float | None:
    return sum(found) / len(found) if found else None


def _timestamp(when: Any) -> float | None:
    return when.timestamp() if when is not None else None
