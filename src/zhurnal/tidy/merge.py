"""The experiments of another lab come into this one.

Promises: the other lab is only read. An experiment that both have is taken once, with the runs that this lab lacks; one whose number is another's
here gets the next free number, and its children, runs and pages follow. Nothing of this lab is overwritten: where both have a run or a page and they
differ, this lab's stays, and it is told. Killed at any moment, it has not begun or is finished by the next command.

What it does not bring: data sets, caches, the trash, links, and files of the user's own that experiments name; those that lack are named.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core import numbers
from ..core.errors import LabError, ZhurnalError
from ..core.text import list_names
from ..store import plan, runs, taken, yamls
from ..store.lab import Lab
from . import links, mentions, rewrite
from .mentions import Names
from .planned import planned

# What of a run is not brought: the lock, and what a killed process left half written.
_LEFT_OUT = (".tmp",)


@dataclass(frozen=True)
class Merged:
    """What came in, by its name in this lab; which of it has another number than in the other lab; which experiments both had."""

    names: tuple[str, ...]
    mapping: Names
    same: tuple[str, ...]
    notes: tuple[str, ...] = ()


def merge(lab: Lab, folder: str | Path) -> Merged:
    """Bring the experiments of the lab in `folder` into `lab`.

    Raises:
        LabError: there is no lab, or it is this one.
        RunError: a run of the other lab is going on.
        SettingsError: an experiment's file of the other lab cannot be read, so it is not known what it starts from.
    """
    there = Lab(folder)
    if there.folder == lab.folder:
        raise LabError(f"{there.folder} is this lab itself: name the folder of another one")
    with plan.alone(lab.folder) as finished:
        names = there.names()
        links.check_idle(there, names, f"merge {folder}")
        documents = {n: yamls.read(there.file(n)).values for n in names}
        same, mapping, fresh, reserved = _sort(lab, there, documents)
        notes: list[str] = []
        with planned(lab, f"merge {there.folder}", reserved) as made:
            for name in fresh:
                _plan_experiment(lab, there, made, name, mapping, notes)
            for name in same:
                _plan_runs(lab, there, made, name, mapping, notes)
            _plan_pages(lab, there, made, mapping, notes)
            for new in reserved:
                made.remove(lab.folder / taken.REMOVED / f"{new}.yaml")
            for number in taken.removed(there) - taken.used(lab):
                made.put(taken.mark("removed").encode(), lab.folder / taken.REMOVED / f"{numbers.name(number)}.yaml")
    lab.forget([mapping.get(n, n) for n in fresh])
    notes += _lacking(lab, [mapping.get(n, n) for n in fresh])
    return Merged(tuple(mapping.get(n, n) for n in fresh), mapping, tuple(same), (*finished, *made.skipped, *notes))


def _sort(lab: Lab, there: Lab, documents: dict[str, dict[str, Any]]) -> tuple[list[str], dict[str, str], list[str], list[str]]:
    """Return which experiments both have, the other numbers that theirs get here, which come in, and the numbers kept for them."""
    mapping: dict[str, str] = {}
    same: list[str] = []
    fresh: list[str] = []
    reserved: list[str] = []
    ours = taken.used(lab)
    mine = {n: links.values(lab.file(n)) for n in lab.names()}
    when: dict[Any, list[str]] = {}
    for n, values in mine.items():
        when.setdefault(values.get("created") if values else None, []).append(n)
    beyond = max(taken.used(there), default=0)
    for name in _parents_first(documents):
        created = documents[name].get("created")
        alike = [n for n in dict.fromkeys((name, *(when.get(created, []) if created else []))) if _alike(mine.get(n), documents[name], mapping)]
        if alike:
            same.append(name)
            if alike[0] != name:  # it came in before, and got another number
                mapping[name] = alike[0]
        else:
            fresh.append(name)
            if numbers.number(name) in ours:
                reserved += taken.reserve(lab, 1, beyond=beyond)
                mapping[name] = reserved[-1]
            elif taken.keep(lab, name):
                reserved.append(name)
            else:
                reserved += taken.reserve(lab, 1, beyond=beyond)
                mapping[name] = reserved[-1]
    return same, mapping, sorted(fresh), reserved


def _parents_first(documents: dict[str, dict[str, Any]]) -> list[str]:
    order: dict[str, None] = {}

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in order or name in above or name not in documents:
            return
        for start in links.starts(documents[name]):
            visit(start, (*above, name))
        order[name] = None

    for name in documents:
        visit(name, ())
    return list(order)


def _alike(ours: Any, theirs: dict[str, Any], mapping: Names) -> bool:
    """Return whether two files hold the same experiment: made at the same time, from the same, with the same settings. Its words may differ."""
    return ours is not None and _identity(ours, {}) == _identity(theirs, mapping)


def _identity(values: Any, mapping: Names) -> tuple[Any, ...]:
    starts = [mentions.one(values.get(key), mapping) for key in ("parent", "continue")]
    return (*starts, *(mentions.settings(values.get(key), mapping) for key in ("changes", "settings")), values.get("created"))


def _plan_experiment(lab: Lab, there: Lab, made: plan.Plan, name: str, mapping: Names, notes: list[str]) -> None:
    new = mapping.get(name, name)
    _plan_runs(lab, there, made, name, mapping, notes)
    best = there.logs / f"{name}_model_best.pth"
    if best.is_file() and not best.is_symlink():
        made.bring(best, lab.logs / f"{new}_model_best.pth")
    made.put(mentions.yaml(there.file(name).read_text(encoding="utf-8"), mapping).encode(), lab.file(new))


def _plan_runs(lab: Lab, there: Lab, made: plan.Plan, name: str, mapping: Names, notes: list[str]) -> None:
    """Plan to bring the runs of an experiment that this lab lacks."""
    new = mapping.get(name, name)
    changed = rewrite.changed(there.folder, [name], mapping) if mapping else {}
    have = set(runs.seeds(lab.logs, new))
    for seed in runs.seeds(there.logs, name):
        home, target = runs.folder(there.logs, name, seed), runs.folder(lab.logs, new, seed)
        if seed in have:
            if not _same_record(home, target):
                notes.append(f"{new} seed {seed} ran in both labs, and the records differ: this lab's is kept")
            continue
        for path in _files(home, notes):
            place = target / path.relative_to(home)
            if path in changed:
                made.put(changed[path][1], place)
            else:
                made.bring(path, place)
    test = there.logs / name / "lr_find.jsonl"
    if test.is_file() and not test.is_symlink() and not (lab.logs / new / "lr_find.jsonl").exists():
        if test in changed:
            made.put(changed[test][1], lab.logs / new / "lr_find.jsonl")
        else:
            made.bring(test, lab.logs / new / "lr_find.jsonl")


def _same_record(a: Path, b: Path) -> bool:
    records = [(home / "record.jsonl").read_bytes() if (home / "record.jsonl").is_file() else b"" for home in (a, b)]
    return records[0] == records[1]


def _files(home: Path, notes: list[str]) -> Iterator[Path]:
    for folder, folders, files in os.walk(home):
        for name in sorted([*files, *(f for f in folders if (Path(folder) / f).is_symlink())]):
            path = Path(folder) / name
            if name == "lock" or name.endswith(_LEFT_OUT):
                continue
            if path.is_symlink() or not path.is_file():
                notes.append(f"{path.relative_to(home)} of {home.parent.name} is a link or no plain file, and is not brought")
                continue
            yield path


def _plan_pages(lab: Lab, there: Lab, made: plan.Plan, mapping: Names, notes: list[str]) -> None:
    """Plan to bring pages and figures; a page that differs from this lab's comes beside it."""
    for path in sorted((*there.journal.glob("*.md"), *(there.journal / "fig").glob("*"))):
        if path.is_symlink() or not path.is_file():
            continue
        part = path.relative_to(there.folder).as_posix()
        target = lab.folder / rewrite.moved(part, mapping)
        if path.suffix != ".md":
            if not target.exists():
                made.bring(path, target)
            continue
        text = mentions.page(path.read_bytes().decode(errors="surrogateescape"), mapping)
        if not target.exists():
            made.put(text.encode(errors="surrogateescape"), target)
        elif mentions.prose(text).split() != mentions.prose(target.read_bytes().decode(errors="surrogateescape")).split():
            beside = _beside(target)
            if not (path.name == "README.md" and _is_bare(text)):
                made.put(text.encode(errors="surrogateescape"), beside)
                notes.append(f"journal/{target.name} is there in both labs, in other words: theirs is beside it as {beside.name}")


def _beside(target: Path) -> Path:
    tries = (target.with_name(f"{target.stem}.theirs{'' if i == 1 else i}.md") for i in range(1, 10_000))
    return next(path for path in tries if not path.exists())


def _is_bare(text: str) -> bool:
    """Return whether the first page of a journal holds no more than its title and the list of entries."""
    return len([line for line in mentions.prose(text).splitlines() if line.strip()]) <= 1


def _lacking(lab: Lab, names: Sequence[str]) -> list[str]:
    """Return what this lab lacks of what the experiments name, and what cannot be read in it."""
    notes: dict[str, None] = {}
    for name in names:
        try:
            notes |= dict.fromkeys(lab.missing(lab.experiment(name)))
        except ZhurnalError as error:
            notes[str(error).splitlines()[0]] = None
    return [n.removeprefix("note: ") for n in notes]


def told(merged: Merged) -> str:
    """Return what came in, in a sentence."""
    parts = [f"{numbers.show(merged.names)} came in" if merged.names else "no experiment came in"]
    moved = [f"{old} as {new}" for old, new in merged.mapping.items() if new in merged.names]
    parts += [f"their number{'s were' if len(moved) > 1 else ' was'} taken here: {list_names(moved).replace(' or ', ' and ')}"] if moved else []
    parts += [f"{numbers.show(merged.same)} {'was' if len(merged.same) == 1 else 'were'} the same"] if merged.same else []
    return "; ".join(parts)
