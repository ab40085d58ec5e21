"""Disk space that can be freed: listed first, freed only when asked.

What goes is a checkpoint that no run will go on from and nothing is to start from:

- of a finished run, its states (weights and optimizer), unless an experiment that has not finished continues it or takes its last weights; its best
  weights stay;
- of a run that has not finished, states older than the two newest whole ones, and best weights older than the best: a kill can leave them;
- files that were left half written.

Records, effective settings, predictions (the journal's tables and figures are made from them), sources and best weights are never touched, nor
anything of a run that lives. The trash is emptied only when that is asked too.
"""

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import LabError, ZhurnalError
from ..store import files, plan, runs
from ..store.lab import Lab
from . import links, trash

KEEP = 2  # states that a run which has not finished keeps
OLD_SECONDS = 24 * 3600.0  # what is left half written is older than this


@dataclass(frozen=True)
class Item:
    """Something that can go."""

    what: str  # e0003 seed 42
    why: str
    paths: tuple[Path, ...]
    num_bytes: int


def listing(lab: Lab, names: Sequence[str] | None = None) -> list[Item]:
    """Return what can go of the runs of some experiments, or of all; deletes nothing."""
    found: list[Item] = []
    started = _to_start_from(lab)
    for name in lab.names() if names is None else lab.select(",".join(names)):
        for seed in runs.seeds(lab.logs, name):
            found += _of_run(lab, name, seed, started.get(name, ""))
    return found + (_half_written(lab) if names is None else [])


def _to_start_from(lab: Lab) -> dict[str, str]:
    """Return the experiments whose last checkpoint one that has not finished starts from, with its name."""
    found: dict[str, str] = {}
    for name in lab.names():
        try:
            experiment = lab.experiment(name)
            needed = [experiment.continues] if experiment.continues else []
            needed += [experiment.weights.partition(":")[0]] if (experiment.weights or "").endswith(":last") and experiment.weights else []
            began = set(runs.seeds(lab.logs, name))
            finished = {seed for seed in began if runs.read(lab.logs, name, seed).finished}
            if needed and not finished.issuperset({*experiment.seeds, *began}):
                found |= dict.fromkeys(needed, name)
        except ZhurnalError:  # it may start from any that it names
            found |= dict.fromkeys(links.starts(links.values(lab.file(name)) or {}), name)
    return found


def _of_run(lab: Lab, name: str, seed: int, needed_by: str) -> Iterator[Item]:
    home = runs.folder(lab.logs, name, seed)
    if runs.is_locked(home) or home.is_symlink() or (home / "checkpoints").is_symlink():
        return
    run = runs.read(lab.logs, name, seed)
    states = sorted((home / "checkpoints").glob("state-*.pt"))
    what = f"{name} seed {seed}"
    if run.finished:
        if states and not needed_by:
            yield _item(what, "finished: its last states; it can then not be continued, its best weights stay", states)
        best = run.end["best_epoch"] if run.end else None
        old = [p for p in sorted((home / "checkpoints").glob("best-*.pth")) if best is not None and p.name != f"best-{best:05d}.pth"]
        if old and (home / "checkpoints" / f"best-{best:05d}.pth").is_file():
            yield _item(what, "finished: best weights of earlier epochs", old)
        return
    whole = [p for p in states if _is_whole(p)] if len(states) > KEEP else []
    old = [p for p in states if len(whole) >= KEEP and p < whole[-KEEP]]
    if old:
        yield _item(what, f"older than the {KEEP} states it goes on from", old)


def _is_whole(path: Path) -> bool:
    total = path.with_suffix(".sha256")
    try:
        return total.is_file() and files.sha256(path) == files.read_text(total, 1000).strip()
    except (OSError, LabError):
        return False


def _item(what: str, why: str, paths: Iterable[Path]) -> Item:
    """Return an item; each checkpoint takes its sum along, which goes after it."""
    both = tuple(itertools.chain.from_iterable((p, p.with_suffix(".sha256")) for p in paths))
    there = tuple(p for p in both if p.exists())
    return Item(what, why, there, sum(p.lstat().st_size for p in there))


def _half_written(lab: Lab) -> list[Item]:
    """Return files that `files.write` and its like were killed over; only where they are a day old, so that no writer is disturbed."""
    folders = [lab.folder, lab.folder / "experiments", lab.logs, lab.journal, lab.journal / "fig"]
    folders += [
        runs.folder(lab.logs, n, s) / part for n in lab.names() for s in runs.seeds(lab.logs, n) for part in ("", "checkpoints", "predictions")
    ]
    before = time.time() - OLD_SECONDS
    found = [
        path
        for folder in folders
        if folder.is_dir()
        for path in (*folder.glob(".*.tmp"), *(folder.glob("*.tmp") if folder.name == "predictions" else ()))
        if path.is_file() and not path.is_symlink() and path.lstat().st_mtime < before
    ]
    return [Item("half written", "left by a process that was killed", tuple(found), sum(p.lstat().st_size for p in found))] if found else []


def free(lab: Lab, items: Sequence[Item]) -> int:
    """Delete what was listed; return how many bytes that freed. A run that lives by now is left alone."""
    there = {t.folder: t for t in trash.listing(lab)}
    of_trash = [there[i.paths[0]] for i in items if i.paths[0] in there]
    freed = trash.empty(lab, of_trash) if of_trash else 0
    with plan.alone(lab.folder):
        for item in (i for i in items if i.paths[0] not in there):
            if item.what != "half written" and runs.is_locked(item.paths[0].parent.parent):
                continue
            for path in item.paths:
                if path.exists():
                    freed += path.lstat().st_size
                    path.unlink()
    return freed


def in_trash(lab: Lab) -> list[Item]:
    """Return what is in the trash as items."""
    return [Item(t.name, f"in the trash since {t.removed[:10] or 'an unknown day'}", (t.folder,), trash.size(t.folder)) for t in trash.listing(lab)]
