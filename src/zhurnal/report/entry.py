"""An entry of the journal: a page about one or more experiments, `journal/e0038-e0040.md`, made once and its generated blocks kept up to date.

Promises: what a person wrote is never changed, a block edited by hand is kept and reported, and where records have not changed neither do bytes and
time of the file. Every block ends with what it was made from. No clock goes into a block.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from .. import __version__
from ..analyze import figures, summary, table
from ..analyze.summary import Summary
from ..core import numbers
from ..core.errors import JournalError
from ..core.text import count, duration, escape_markdown, percent
from ..store.lab import Lab
from . import blocks, journal, observed, pages
from . import results as results_of

FEW = 4  # of so many experiments, training curves are drawn too
MANY = 8  # of so many experiments, the test accuracy of each is told in the text


@dataclass(frozen=True)
class Written:
    """What `write` did."""

    path: Path
    changed: bool  # the page, its figures apart
    notes: tuple[str, ...] = ()  # what a person should know: blocks edited by hand, overlapping entries
    kept: tuple[str, ...] = ()  # blocks that were edited by hand and therefore not brought up to date
    absent: tuple[str, ...] = ()  # blocks that were taken off the page, which stay away
    figures: tuple[Path, ...] = ()


def path_of(lab: Lab, names: Sequence[str]) -> Path:
    """Return the file of the entry about experiments."""
    shown = numbers.show(names)
    if len(shown.encode()) > figures.LONGEST_NAME:
        raise JournalError(
            f"an entry about {shown[:60]}... needs a file name of {len(shown):,} characters, must be at most 200: write about fewer, or a range"
        )
    return lab.journal / f"{shown}.md"


def write(lab: Lab, names: Sequence[str], *, add: Sequence[str] = (), force: bool = False) -> Written:
    """Write the entry about experiments, or bring its generated blocks up to date, and the list of entries in `journal/README.md`.

    Args:
        lab: the lab.
        names: experiments; the entry's file is named after them.
        add: blocks of `results.OPTIONAL` to put on the page, behind the figures (observations under their heading); once there, they are kept up to
            date like the others.
        force: overwrite blocks that were edited by hand.

    Raises:
        JournalError: none of them has run; or a page's markers do not fit together (then nothing is written).
        LabError: an experiment does not exist.
    """
    told = sorted(summary.read_all(lab, names), key=lambda s: numbers.number(s.name))
    if not any(r.status != "waiting" for s in told for r in s.runs):
        shown = numbers.show(s.name for s in told)
        raise JournalError(f"there is nothing to write about {shown} yet, none has run: run first, `zhurnal run {shown}`")
    path = path_of(lab, [s.name for s in told])
    before = pages.read(path)
    results_of.check(add)
    parts = blocks.parse(before, path.name, (*BLOCKS, *results_of.OPTIONAL)) if before is not None else []
    index = journal.prepare(lab)  # also reads its markers before anything is written
    drawn = tuple(figures.draw_all(told, kinds_for(told), lab.journal / "fig"))
    contents = contents_of(told, lab, BLOCKS)
    overlaps: tuple[str, ...] = ()
    if before is None:
        contents |= contents_of(told, lab, [observed.NAME])
        parts, overlaps = blocks.parse(new_page(told, contents), path.name, contents), _overlaps(lab, {s.name for s in told})
    parts = blocks.insert(parts, [name for name in results_of.OPTIONAL if name in add and name != observed.NAME], after="figures")
    if observed.NAME in add:
        parts = blocks.insert_under(parts, observed.NAME, heading=observed.HEADING)
    there = {p.name: p for p in parts if isinstance(p, blocks.Block)}
    more = [name for name in there if name in results_of.OPTIONAL and name not in contents]
    more, kept = _without_those_kept(told, lab, more, there, path.name)
    overlaps += kept
    results_of.draw(told, lab, more)
    contents |= contents_of(told, lab, more)
    if observed.NAME in there and observed.rests_on_more(there[observed.NAME].body, contents[observed.NAME]):
        del contents[observed.NAME]
        overlaps += (f"{path.name}: block '{observed.NAME}' is kept: it rests on per-image results, which are not here (they are not kept in git)",)
    updated = blocks.update(parts, contents, path.name, force=force)
    changed = pages.write(path, before, blocks.render(updated.parts))
    listed = journal.write(lab, index, force=force)
    return Written(path, changed, overlaps + updated.notes + listed.notes, updated.kept + listed.kept, updated.absent, drawn)


def _without_those_kept(
    told: Sequence[Summary], lab: Lab, names: Sequence[str], there: dict[str, blocks.Block], file: str
) -> tuple[list[str], tuple[str, ...]]:
    """Return the blocks that can be made, and a note on those left as they stand, where predictions that they were made from are missing."""
    made = [n for n in names if n != observed.NAME and there[n].body.strip()]
    missing = results_of.without_predictions(told) if made else []
    if not missing:
        return list(names), ()
    kept = [n for n, text in contents_of(told, lab, made).items() if blocks.difference(there[n], text) is not None]
    if not kept:
        return list(names), ()
    what = f"block{'s' if len(kept) > 1 else ''} {' and '.join(kept)} {'are' if len(kept) > 1 else 'is'} kept as on the page"
    whose = f"of {summary.names_text(missing)}, which are not here (they are not kept in git)"
    return [n for n in names if n not in kept], (f"{file}: {what}: made from predictions {whose}",)


def contents_of(told: Sequence[Summary], lab: Lab, names: Iterable[str]) -> dict[str, str]:
    """Return what the records say in each of these blocks; nothing is drawn or written."""
    source = f"\n\n<!-- from {summary.sources(told)}; zhurnal {__version__} -->"
    made = {name: BLOCKS[name](told) if name in BLOCKS else results_of.OPTIONAL[name](told, lab) for name in names}
    return {name: text.rstrip() + source for name, text in made.items()}


def _overlaps(lab: Lab, names: set[str]) -> tuple[str, ...]:
    others = [(p, names & set(found)) for p, found in journal.entries(lab) if names & set(found)]
    return tuple(f"{numbers.show(shared)} {'is' if len(shared) == 1 else 'are'} also in {p.name}: this is another entry" for p, shared in others)


def entries_about(lab: Lab, names: Collection[str]) -> list[list[str]]:
    """Return the experiments of each entry in the journal that is about one of `names`, for `write`."""
    have = set(lab.names())
    return [found for _, found in journal.entries(lab) if set(names) & set(found) and have.issuperset(found)]


def new_page(told: Sequence[Summary], contents: dict[str, str]) -> str:
    """Return a new entry's text: generated blocks, and headings for a person's words."""
    question = next((s.experiment.question for s in told if s.experiment.question), "")
    title = f"# [{numbers.show(s.name for s in told)}] {escape_markdown(question)}".rstrip()
    made = {name: blocks.make(name, content) for name, content in contents.items()}
    return "\n".join(
        [
            title + "\n",
            made["header"],
            "## Motivation\n",
            made["motivation"],
            "## Results & Deliverables\n",
            made["results"],
            made["table"],
            made["figures"],
            f"{observed.HEADING}\n",
            made[observed.NAME],
            "<!-- What do the table and the curves show? -->\n",
            "## Weirdness\n",
            "<!-- What was not as expected? -->\n",
            "## Conclusion\n",
            "<!-- What is the answer to the question, and what comes next? -->\n",
        ]
    )


# --- blocks ---


def header(told: Sequence[Summary]) -> str:
    """Return when, on what, with what: two columns."""
    rows = [("start date", summary.date(summary.started(told))), ("end date", _end_date(told))]
    rows += [(label, summary.group(told, tell)) for label, tell in FACTS.items() if any(tell(s) for s in told)]
    lines = [f"| {label} | {escape_markdown(text) or '–'} |" for label, text in rows]
    return "\n".join([lines[0], "|---|---|", *lines[1:]])


def _end_date(told: Sequence[Summary]) -> str:
    unfinished = [s.name for s in told if s.unfinished]
    if unfinished:
        return f"not finished: {summary.names_text(unfinished)}" if len(unfinished) < len(told) else "not finished"
    return summary.date(summary.stopped(told))


def _dataset(s: Summary) -> str:
    data = s.effective.get("data") or {}
    if not data:
        return f"{s.experiment.settings.data.name} (not read yet)"
    kinds = (("num_train", "training"), ("num_val", "validation"), ("num_test", "test"))
    words = [", ".join(f"{data[key]:,} {kind}" for key, kind in kinds if data.get(key))]
    is_video = len(data.get("image") or ()) == 4
    words[0] += " clips" if is_video else " images"
    if data.get("image") and data.get("classes"):
        words.append(f"{len(data['classes'])} classes, {'clips ' if is_video else ''}{'x'.join(map(str, data['image']))}")
    return f"{data.get('name', s.experiment.settings.data.name)}: {'; '.join(words)}"


def _validation(s: Summary) -> str:
    data = s.effective.get("data") or {}
    found = data.get("validation", "")
    found = next((str(n).removeprefix("validation: ") for n in data.get("notes") or () if str(n).startswith(f"validation: {found}")), found)
    return "on the test images" if found == "test" else f"on {found}" if found else ""


def _normalize(s: Summary) -> str:
    data = s.effective.get("data") or {}
    mean, std = data.get("mean"), data.get("std")
    return f"mean {_numbers(mean)}, std {_numbers(std)}" if mean and std else "none" if data else ""


def _numbers(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{v:.4g}" for v in values) + ")"


def _model(s: Summary) -> str:
    own = {k: v for k, v in s.facts.items() if k.startswith("model.") and k != "model.weights"}
    parameters = (s.effective.get("model") or {}).get("num_parameters")
    return table.same_in_all([own]) + (f" ({count(parameters, 'parameter')})" if parameters is not None else "")


def _device(s: Summary) -> str:
    if not s.effective:
        return ""
    threads = s.effective.get("num_threads")
    device = str(s.effective.get("device", "–"))
    return f"{device}, {count(threads, 'thread')}" if device == "cpu" and threads else device


def _data_notes(s: Summary) -> str:
    notes = map(str, (s.effective.get("data") or {}).get("notes") or ())
    return "; ".join(n for n in notes if not n.startswith("validation: "))  # told by _validation


# The lines of the header that are grouped by what they say; one that says nothing of any experiment is left out.
FACTS: dict[str, Callable[[Summary], str]] = {
    "dataset": _dataset,
    "validated": _validation,
    "normalized": _normalize,
    "model": _model,
    "cont.": lambda s: s.experiment.continues or "",
    "weights": lambda s: s.experiment.settings.model.weights or "",
    "seeds": lambda s: ", ".join(map(str, s.seeds)),
    "device": _device,
    "notes": _data_notes,
}


def motivation(told: Sequence[Summary]) -> str:
    """Return the questions, each once, with the experiments that ask it."""
    asked: dict[str, list[str]] = {}
    for s in told:
        asked.setdefault(s.experiment.question, []).append(s.name)
    if len(asked) == 1:
        return escape_markdown(next(iter(asked))) or "(no question was written down)"
    return "\n".join(f"- {numbers.show(names)}: {escape_markdown(question) or '(no question)'}" for question, names in asked.items())


def results(told: Sequence[Summary]) -> str:
    """Return accuracy, time and state in a few plain sentences; which run is better than which is not for this block to say."""
    lines = []
    ran = [(found, s) for s in told if (found := summary.best_val_acc(s))]
    ran.sort(key=lambda pair: -pair[0].mean)
    if len(ran) == 1:
        best, s = ran[0]
        end = summary.last(s, "val_acc")
        lines.append(f"{s.name}: best validation accuracy {_accuracy(best, s)}" + (f"; {_percent(end)} after the last epoch." if end else "."))
    elif ran:
        low, high = (f"{_accuracy(b, s)} in {s.name}" for b, s in (ran[-1], ran[0]))
        lines.append(f"Best validation accuracy: from {low} to {high}.")
    else:
        lines.append("No epoch was finished, so there is no accuracy.")
    tested = [(found, s) for s in told if (found := summary.test_acc(s))]
    if tested:
        shown = ", ".join(f"{_percent(found)} ({s.name})" for found, s in tested[:MANY]) + (", …" if len(tested) > MANY else "")
        lines.append(f"Test accuracy, measured once with the weights of the best epoch: {shown}.")
    times = sorted((t, s.name) for s in told if (t := summary.median_seconds(s)) is not None)
    if times:
        (shortest, first), (longest, last) = times[0], times[-1]
        alike = duration(shortest) == duration(longest)
        lines.append(f"Time per epoch: {duration(shortest)}" + ("." if alike else f" ({first}) to {duration(longest)} ({last})."))
    for s in told:
        if (since := summary.not_finite_since(s)) is not None:
            lines.append(f"The loss of {s.name} was not finite from epoch {since} on: its training diverged.")
    noted: dict[str, list[str]] = {}
    for s in told:
        noted.setdefault(s.unfinished, []).append(s.name)
    lines += [f"Not finished: {summary.names_text(names)}, {escape_markdown(text)}." for text, names in noted.items() if text]
    if any(s.on_test for s in told):
        whose = [s.name for s in told if s.on_test]
        lines.append(
            f"{summary.names_text(whose)} {'was' if len(whose) == 1 else 'were'} validated on the test images, which flatters the best epoch."
        )
    return "\n".join(lines)


def _percent(spread: summary.Spread, with_n: bool = True) -> str:
    text = f"{percent(spread.mean)} %" if spread.sd is None else f"{percent(spread.mean)} ± {percent(spread.sd)} %"
    return f"{text} (n={spread.n})" if with_n and spread.n > 1 else text


def _accuracy(spread: summary.Spread, s: Summary) -> str:
    length = max(r.num_epochs for r in s.counted)
    if spread.n > 1:
        return f"{_percent(spread, with_n=False)} (mean of {spread.n} seeds, best of {count(length, 'epoch')} each)"
    return f"{_percent(spread)} (epoch {summary.best_epochs(s)[0]} of {length})"


def comparison(told: Sequence[Summary]) -> str:
    """Return the table of the experiments."""
    return table.markdown(table.tabulate(told))


def kinds_for(told: Sequence[Summary]) -> tuple[str, ...]:
    """Return which figures an entry shows."""
    return ("val_acc_epoch", "train_val_loss_epoch") if len(told) <= FEW else ("val_acc_epoch", "val_loss_epoch")


def images(told: Sequence[Summary]) -> str:
    """Return the figures, as they were drawn into `fig/`."""
    shown = numbers.show(s.name for s in told)
    lines = []
    for kind in kinds_for(told):
        if not figures.has_something(told, kind):
            continue
        alt = f"{figures.KINDS[kind].title} over epochs of {shown}"
        lines.append(f"![{alt}](fig/{quote(figures.file_stem([s.name for s in told], kind))}.png)")
    if lines and any(len(s.counted) > 1 for s in told):
        lines.append("Of several seeds the line is the mean, the band goes from the lowest to the highest.")
    if lines and any(s.counted and not s.counted[0].finished for s in told):
        lines.append("A cross marks where a run that did not finish ends.")
    return "\n\n".join(lines) or "(no epoch was finished, so there is no curve)"


# The generated blocks of an entry, in the order of a new page.
BLOCKS: dict[str, Callable[[Sequence[Summary]], str]] = {
    "header": header,
    "motivation": motivation,
    "results": results,
    "table": comparison,
    "figures": images,
}


def parse_entry(text: str, file: str = "entry") -> list[blocks.Part]:
    """Return the blocks and the prose of an entry; `blocks.render` puts them together again.

    Raises:
        JournalError: markers do not fit together.
    """
    return blocks.parse(text, file, (*BLOCKS, *results_of.OPTIONAL))
