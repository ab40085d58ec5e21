"""An experiment gets another number, and everything that names it follows.

Promises: every reference is rewritten (files of experiments, runs, the trash, the journal with its file names, links and mentions), no other byte of
a person's words is touched, generated blocks stay unedited, and all of it happens or, killed at any moment, is finished by the next command. The old
number is not given again, unless it is another experiment's in the lab that this one is to be merged with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core import numbers
from ..core.errors import LabError
from ..core.text import count
from ..store import plan, taken
from ..store.lab import Lab
from . import links, mentions, other, rewrite, trash
from .mentions import Names
from .planned import planned


@dataclass(frozen=True)
class Renumbered:
    """Which experiments have another number, what was rewritten, and what a person should know."""

    mapping: Names
    files: tuple[str, ...] = ()  # rewritten or renamed, seen from the lab
    notes: tuple[str, ...] = ()


def renumber(lab: Lab, name: str, new: str | None = None) -> Renumbered:
    """Give an experiment another number; without one, the next that is free.

    Raises:
        LabError: it does not exist, or the new number is, or was, another's; nothing was changed.
        RunError: it, or one that starts from it, is running.
    """
    with plan.alone(lab.folder) as finished:
        (old,) = lab.select(numbers.name(numbers.number(name)))
        if new is None:
            (target,) = taken.reserve(lab, 1)
        else:
            target = numbers.name(numbers.number(new))
            if target == old:
                return Renumbered({}, notes=(*finished, f"{old} has this number already"))
            if not taken.keep(lab, target):
                raise LabError(f"{target} is, or was, the number of an experiment: give another, or none for the next that is free")
        return _do(lab, {old: target}, finished, forget=False)


def renumber_against(lab: Lab, theirs: str) -> Renumbered:
    """Give another number to each experiment whose number is another experiment's in `theirs`: a lab's folder, or a branch or commit of this lab.

    After that, the two can be merged: no number is used on both sides. An experiment that both have is left alone; it is the same where it was made
    at the same time (`created`), or, where that is not written, where its file is the same.

    Raises:
        LabError: `theirs` is neither a lab nor a commit.
        RunError: one of them is running.
    """
    with plan.alone(lab.folder) as finished:
        there = other.read(lab, theirs)
        collide = [n for n in lab.names() if n in there.files and not other.is_same(lab.file(n).read_bytes(), there.files[n])]
        if not collide:
            return Renumbered({}, notes=tuple(finished))
        new = taken.reserve(lab, len(collide), beyond=max(map(numbers.number, (*there.files, *there.removed)), default=0))
        return _do(lab, dict(zip(collide, new, strict=True)), finished, forget=True)


def _do(lab: Lab, mapping: Names, finished: Sequence[str], *, forget: bool) -> Renumbered:
    """Give experiments the numbers that were kept for them. With `forget`, the old numbers are free to be another's."""
    told = ", ".join(f"{old} to {new}" for old, new in mapping.items())
    with planned(lab, f"renumber {told}", mapping.values()) as made:
        needed = links.dependents(lab, mapping)
        affected = {*mapping, *(text.partition(" ")[0] for others in needed.values() for text in others)}
        links.check_idle(lab, sorted(affected), f"renumber {', '.join(mapping)}")
        changed = rewrite.changed(lab.folder, lab.names(), mapping) | rewrite.pages(lab.journal, mapping)
        for what in trash.listing(lab):
            changed |= rewrite.changed(what.folder, [what.name], {k: v for k, v in mapping.items() if k != what.name})
        moves = rewrite.moves(lab.folder, list(mapping), mapping)
        _check_free(lab, moves)
        for path, target in moves.items():
            made.move(path, lab.folder / target)
        for path, (before, after) in changed.items():
            made.put(after, _place(lab.folder, path, mapping), over=before)
        for old, new in mapping.items():
            made.remove(lab.folder / taken.REMOVED / f"{new}.yaml")
            tombstone = lab.folder / taken.REMOVED / f"{old}.yaml"
            if not forget:
                made.put(taken.mark(f"renumbered: {new}").encode(), tombstone, over=tombstone.read_bytes() if tombstone.exists() else None)
    lab.forget([*mapping, *mapping.values()])
    files = sorted({*moves.values(), *(_place(lab.folder, p, mapping).relative_to(lab.folder).as_posix() for p in changed)})
    return Renumbered(mapping, tuple(files), (*finished, *made.skipped, *_notes(lab, changed)))


def _place(folder: Path, path: Path, mapping: Names) -> Path:
    part = path.relative_to(folder).as_posix()
    return folder / part if part.startswith(".zhurnal/") else folder / rewrite.moved(part, mapping)


def _check_free(lab: Lab, moves: Mapping[Path, str]) -> None:
    there = [target for target in moves.values() if (lab.folder / target).exists() and lab.folder / target not in moves]
    twice = {target for target in moves.values() if list(moves.values()).count(target) > 1}
    if there or twice:
        raise LabError(f"{', '.join(sorted({*there, *twice}))} {'is' if len(there) == 1 else 'are'} there already: move that away first")


def _notes(lab: Lab, changed: rewrite.Changed) -> list[str]:
    """Return what is told of words that were changed in a person's own text."""
    notes = []
    for path, (before, after) in changed.items():
        if path.suffix != ".md":
            continue
        old, new = (mentions.prose(text.decode(errors="replace")).splitlines() for text in (before, after))
        lines = sum(a != b for a, b in zip(old, new, strict=True))
        if lines:
            notes.append(f"journal/{path.relative_to(lab.journal).as_posix()}: the number was changed in {count(lines, 'line')} of your own words")
    return notes
