"""Experiments removed, and brought back to the byte.

Promises: nothing is deleted, files are renamed; a running experiment is refused, and one that others start from; the number is not given again; it
comes back under its number, or, where that is taken, under another one.

    .zhurnal/trash/e0003-20261125T120000/    manifest.json, and what was there, as it lay in the lab:
        experiments/e0003.yaml
        experiments/logs/e0003/              its runs
        experiments/logs/e0003_model_best.pth
"""

import datetime
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core import numbers
from ..core.errors import LabError
from ..core.text import printable
from ..store import files, plan, taken
from ..store.lab import Lab
from . import links, rewrite
from .mentions import Names
from .planned import planned

LARGEST_MANIFEST = 100_000


@dataclass(frozen=True)
class Trashed:
    """A removed experiment."""

    name: str
    folder: Path
    removed: str  # ISO 8601
    question: str
    num_bytes: int


@dataclass(frozen=True)
class Done:
    """What was removed or brought back: names, and what a person should know."""

    names: tuple[str, ...]
    notes: tuple[str, ...] = ()


def parts_of(name: str) -> tuple[str, str, str]:
    """Return where what belongs to an experiment lies, seen from the lab: its file, its runs, its best weights."""
    return f"experiments/{name}.yaml", f"experiments/logs/{name}", f"experiments/logs/{name}_model_best.pth"


def rm(lab: Lab, names: Sequence[str], *, force: bool = False) -> Done:
    """Move experiments with all that their runs left into the lab's trash.

    Args:
        lab: the lab.
        names: experiments; several that start from each other go together.
        force: also those that others start from, which then cannot be read until it is back.

    Raises:
        LabError: one does not exist, or others start from it; nothing was moved.
        RunError: one is running.
    """
    with plan.alone(lab.folder) as finished:
        wanted = lab.select(",".join(names))
        needed = links.dependents(lab, wanted)
        if needed and not force:
            raise LabError(
                "\n".join(
                    f"{name} cannot be removed: {', '.join(others)} start{'s' if len(others) == 1 else ''} from it. "
                    f"Remove {'that' if len(others) == 1 else 'those'} too, or use --force: without {name} they cannot be read, until it is restored"
                    for name, others in needed.items()
                )
            )
        shown = numbers.show(wanted)
        links.check_idle(lab, wanted, f"`zhurnal rm {shown}`")
        now = datetime.datetime.now().astimezone()
        made = plan.Plan(lab.folder, f"rm {shown}")
        try:
            for name in wanted:
                _plan_rm(lab, made, name, now)
            made.do()
        finally:
            made.abandon()
    lab.forget(wanted)
    notes = [*finished, *(f"{', '.join(others)} cannot be read without {name}" for name, others in needed.items())]
    pages = [path.name for path in sorted(lab.journal.glob("*.md")) if _is_about(path, wanted)]
    notes += [f"journal/{page} is about it and stays as it is" for page in pages]
    return Done(tuple(wanted), tuple(notes))


def _is_about(path: Path, names: Sequence[str]) -> bool:
    try:
        return bool(set(names) & set(numbers.parse(path.stem)))
    except LabError:
        return False


def _plan_rm(lab: Lab, made: plan.Plan, name: str, now: datetime.datetime) -> None:
    home = _free(lab.folder / ".zhurnal" / "trash", f"{name}-{now:%Y%m%dT%H%M%S}")
    question = (links.values(lab.file(name)) or {}).get("question")
    there = [part for part in parts_of(name) if os.path.lexists(lab.folder / part)]
    manifest = {
        "name": name,
        "removed": now.isoformat(timespec="seconds"),
        "question": printable(question, 300) if isinstance(question, str) else "",
        "bytes": sum(size(lab.folder / part) for part in there),
        "parts": there,
    }
    tombstone = lab.folder / taken.REMOVED / f"{name}.yaml"
    made.put(taken.mark("removed").encode(), tombstone, over=tombstone.read_bytes() if tombstone.exists() else None)  # first: see `taken.take`
    made.put(json.dumps(manifest, indent=1, ensure_ascii=False).encode(), home / "manifest.json")
    for part in there:
        made.move(lab.folder / part, home / part)


def _free(folder: Path, stem: str) -> Path:
    tries = (folder / (stem if i == 1 else f"{stem}-{i}") for i in range(1, 10_000))
    return next(path for path in tries if not os.path.lexists(path))


def size(path: Path) -> int:
    """Return how many bytes a file or folder holds; links count as nothing."""
    if path.is_symlink() or not path.exists():
        return 0
    if not path.is_dir():
        return path.stat().st_size
    return sum(size(Path(entry.path)) for entry in os.scandir(path))


def listing(lab: Lab) -> list[Trashed]:
    """Return what is in the trash, by number, the latest first; what has no manifest that can be read is told by its folder's name."""
    home = lab.folder / ".zhurnal" / "trash"
    found = []
    for folder in sorted(home.glob("e*-*")) if home.is_dir() else []:
        name = folder.name.partition("-")[0]
        try:
            values = json.loads(files.read_text(folder / "manifest.json", LARGEST_MANIFEST))
            told = Trashed(name, folder, str(values["removed"]), printable(str(values["question"]), 300), int(values["bytes"]))
        except (LabError, ValueError, KeyError, TypeError, RecursionError):
            told = Trashed(name, folder, "", "", size(folder))
        found.append(told)
    return sorted(found, key=lambda t: (numbers.number(t.name), t.removed, t.folder.name), reverse=True)[::-1]


def restore(lab: Lab, names: Sequence[str], *, under: str | None = None) -> Done:
    """Bring experiments back from the trash, each as it was removed last.

    Args:
        lab: the lab.
        names: experiments in the trash.
        under: another number to come back under, for one experiment; `new` takes the next free one.

    Raises:
        LabError: one is not in the trash, or its number is taken again, or what it starts from is in the trash; nothing was moved.
    """
    with plan.alone(lab.folder) as finished:
        wanted = numbers.parse(",".join(names))
        latest = {t.name: t for t in listing(lab)}
        if missing := [n for n in wanted if n not in latest]:
            there = f"there are {numbers.show(latest)}" if latest else "it is empty"
            raise LabError(f"{numbers.show(missing)} {'is' if len(missing) == 1 else 'are'} not in the trash; {there}")
        if under is not None and len(wanted) > 1:
            raise LabError("one experiment at a time can come back under another number: name one")
        finished += _check_starts(lab, wanted, latest)
        mapping = _under(lab, wanted, under)
        what = f"restore {numbers.show(wanted)}" + "".join(f" as {new}" for new in mapping.values())
        with planned(lab, what, mapping.values()) as made:
            for name in wanted:
                _plan_restore(lab, made, latest[name], mapping)
            for other in listing(lab) if mapping else ():
                if other.name not in wanted and other.removed <= latest[wanted[0]].removed:  # what it starts from is this one
                    for path, (before, after) in rewrite.changed(other.folder, [other.name], mapping).items():
                        made.put(after, path, over=before)
    back = [mapping.get(n, n) for n in wanted]
    lab.forget(back)
    return Done(tuple(back), tuple(finished))


def _check_starts(lab: Lab, wanted: Sequence[str], latest: Mapping[str, Trashed]) -> list[str]:
    """Return a note for each experiment that starts from one that is gone for good.

    Raises:
        LabError: one starts from another that is in the trash and stays there.
    """
    there, notes = set(lab.names()), []
    for name in wanted:
        told = links.values(latest[name].folder / "experiments" / f"{name}.yaml")
        for start, how in links.starts(told).items() if told is not None else ():
            if start in wanted:
                continue
            # one that others start from is not removed, so it went later: an experiment of that number in the lab is another one
            if start in latest and (start not in there or latest[start].removed >= latest[name].removed):
                way = f"`zhurnal restore {start} --as new` first" if start in there else f"`zhurnal restore {start},{name}`"
                raise LabError(f"{name} starts from {start} ({how}), which is in the trash: {way}")
            if start not in there:
                notes.append(f"{name} starts from {start} ({how}), which is not here any more: its settings cannot be read without it")
    return notes


def _under(lab: Lab, wanted: Sequence[str], under: str | None) -> Names:
    if under is not None:
        old = wanted[0]
        if under == "new":
            return {old: taken.reserve(lab, 1)[0]}
        new = numbers.name(numbers.number(under))
        if new == old:
            return _under(lab, wanted, None)
        if not taken.keep(lab, new):
            raise LabError(f"{new} is, or was, the number of an experiment: give another, or `zhurnal restore {old} --as new` for the next free one")
        return {old: new}
    for name in wanted:
        if there := [part for part in parts_of(name) if os.path.lexists(lab.folder / part)]:
            raise LabError(
                f"{name} is taken again ({there[0]} is there): `zhurnal restore {name} --as new` brings it back under the next free number"
            )
    return {}


def _plan_restore(lab: Lab, made: plan.Plan, what: Trashed, mapping: Names) -> None:
    new = mapping.get(what.name, what.name)
    changed = rewrite.changed(what.folder, [what.name], mapping) if mapping else {}
    for part, target in zip(parts_of(what.name)[::-1], parts_of(new)[::-1], strict=True):  # the file last: then all of it is there
        if os.path.lexists(what.folder / part):
            made.move(what.folder / part, lab.folder / target)
    for path, (before, after) in changed.items():
        made.put(after, lab.folder / rewrite.moved(path.relative_to(what.folder).as_posix(), mapping), over=before)
    made.remove(lab.folder / taken.REMOVED / f"{new}.yaml")
    for part in ("manifest.json", "experiments/logs", "experiments", ""):
        made.remove(what.folder / part)


def empty(lab: Lab, which: Sequence[Trashed]) -> int:
    """Delete what is in the trash for good; return how many bytes that frees. Their numbers stay used."""
    import shutil

    freed = 0
    with plan.alone(lab.folder):
        for what in which:
            going = what.folder.with_name(f".going-{what.folder.name}")
            freed += size(what.folder)
            what.folder.rename(going)
        for going in (lab.folder / ".zhurnal" / "trash").glob(".going-*"):  # also those of a command that was killed
            shutil.rmtree(going)
    return freed
