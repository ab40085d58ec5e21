"""Changes to several files of a lab that happen whole: a plan is written first, then done, and whoever comes after a kill finishes it.

Promises: before `commit` has returned nothing of the lab has changed; from then on every step is done, whatever is killed in between, by `finish` at
the latest, which each command that changes a lab calls first. Nothing is overwritten that is not as it was when the plan was made. One such change
happens at a time (`alone`), and none while a run begins (`confirm`).

    .zhurnal/changing            held by whoever makes such a change
    .zhurnal/unfinished/         plan.json, and files/ with what it will put in place; renamed here whole: that is the commit

Steps, with paths seen from the lab:

    move A B      A becomes B, which must not be there
    put A B SUM   A, a file of the plan, takes the place of B, whose SHA-256 is SUM (empty: it is not there)
    remove A      A, a file or an empty folder, goes
"""

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..core.errors import LabError
from ..core.text import printable
from . import files

UNFINISHED = Path(".zhurnal") / "unfinished"
LOCK = Path(".zhurnal") / "changing"
# Where a step may reach: a plan that came with a foreign lab must not touch anything else.
_PLACES = re.compile(
    r"experiments/(e\d{4,7}\.yaml|removed(/e\d{4,7}\.yaml)?|logs(/e\d{4,7}(_model_best\.pth|/.+)?)?)|journal/.+|\.zhurnal/(trash|unfinished)(/.+)?",
    re.DOTALL,
)
Step = tuple[str, ...]


@dataclass
class Plan:
    """Steps that are being put together; nothing happens before `commit`."""

    lab: Path
    told: str  # what it does, for whoever finishes it: `renumber e0007 to e0012`
    steps: list[Step] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)  # what `do` left alone, because it was changed in between

    def __post_init__(self) -> None:
        self._building = self.lab / f"{UNFINISHED}.building"
        shutil.rmtree(self._building, ignore_errors=True)  # of a command that was killed before its commit
        (self._building / "files").mkdir(parents=True)

    def move(self, source: Path, target: Path) -> None:
        """Plan that `source`, a file or a folder, becomes `target`."""
        self.steps.append(("move", self._inside(source), self._inside(target)))

    def put(self, content: bytes, target: Path, *, over: bytes | None = None) -> None:
        """Plan that `target`, which by then holds `over` (none: is not there), holds `content`."""
        staged = self._stage()
        staged.write_bytes(content)
        self._put(staged, target, "" if over is None else hashlib.sha256(over).hexdigest())

    def bring(self, source: Path, target: Path) -> None:
        """Plan that a copy of `source`, a file of another lab, is put at `target`, where nothing is."""
        staged = self._stage()
        shutil.copy2(source, staged)
        self._put(staged, target, "")

    def remove(self, target: Path) -> None:
        """Plan that a file, or a folder that is empty by then, goes; where a folder is not empty, it stays."""
        self.steps.append(("remove", self._inside(target)))

    def commit(self) -> None:
        """Write the plan down, durable and in one step: from here on it will be done."""
        for path in (self._building / "files").iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        files.write(self._building / "plan.json", json.dumps({"told": self.told, "steps": self.steps}, indent=1))
        files.sync_folder(self._building / "files")
        self._building.rename(self.lab / UNFINISHED)
        files.sync_folder(self.lab / ".zhurnal")

    def abandon(self) -> None:
        """Forget a plan that was not committed."""
        shutil.rmtree(self._building, ignore_errors=True)

    def do(self) -> None:
        """Commit, and do all steps."""
        self.commit()
        self.skipped += _do(self.lab, self.steps)

    def _stage(self) -> Path:
        return self._building / "files" / f"{len(self.steps):06d}"

    def _put(self, staged: Path, target: Path, total: str) -> None:
        self.steps.append(("put", (UNFINISHED / "files" / staged.name).as_posix(), self._inside(target), total))

    def _inside(self, path: Path) -> str:
        text = path.relative_to(self.lab).as_posix()
        if not _may(text):
            raise LabError(f"{printable(text)} is no file that experiments or the journal are kept in")
        return text


def _may(text: str) -> bool:
    return _PLACES.fullmatch(text) is not None and not {".", ".."} & set(text.split("/")) and "\0" not in text


@contextmanager
def alone(lab: Path) -> Iterator[list[str]]:
    """Change a lab alone: wait for another process that does, and finish what one left that was killed; give what was finished, a line each."""
    (lab / ".zhurnal").mkdir(exist_ok=True)
    with files.alone(lab / LOCK):
        yield _finish(lab)


def is_committed(lab: Path) -> bool:
    """Return whether there is a plan that is to be finished."""
    return (lab / UNFINISHED).exists()


def finish(lab: Path) -> list[str]:
    """Finish what a killed command left; return what it was, a line each. Does nothing, and takes no time, where there is nothing.

    Raises:
        LabError: it cannot be finished; the text says what is in the way.
    """
    if not is_committed(lab):
        return []
    with alone(lab) as finished:
        return finished


def confirm(lab: Path, file: Path) -> bool:
    """Return whether an experiment's file is there while nobody moves it: a run asks when it holds its lock, who moves looks at locks first."""
    if not (lab / LOCK).exists():
        return file.is_file()
    with files.alone(lab / LOCK):
        return file.is_file()


def _finish(lab: Path) -> list[str]:
    home = lab / UNFINISHED
    if not (home / "plan.json").is_file():
        return []
    try:
        found = json.loads(files.read_text(home / "plan.json", 1_000_000_000))
        told, steps = str(found["told"]), [tuple(map(str, step)) for step in found["steps"]]
        if not all(_is_step(step) for step in steps):
            raise ValueError("a step that no command makes")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise LabError(f"{home / 'plan.json'} is damaged ({printable(str(error), 200)}): look at it, and move {home} away to go on without") from None
    skipped = _do(lab, steps)
    return [f"finished what was interrupted: {printable(told, 300)}", *skipped]


def _is_step(step: Step) -> bool:
    length = {"move": 3, "put": 4, "remove": 2}.get(step[0] if step else "")
    return length == len(step) and all(map(_may, step[1:3]))


def _do(lab: Path, steps: list[Step]) -> list[str]:
    """Do what of the steps is not done yet, and forget the plan; return a sentence for each file that was left alone."""
    skipped = []
    for step in steps:
        match step:
            case ("move", source, target):
                _move(lab / source, lab / target)
            case ("put", staged, target, total):
                skipped += _put(lab / staged, lab / target, total)
            case ("remove", target):
                _remove(lab / target)
    gone = lab / f"{UNFINISHED}.done"
    shutil.rmtree(gone, ignore_errors=True)
    (lab / UNFINISHED).rename(gone)
    files.sync_folder(lab / ".zhurnal")
    shutil.rmtree(gone, ignore_errors=True)
    return skipped


def _move(source: Path, target: Path) -> None:
    going = source.with_name(f".{source.name[:200]}.going")
    if os.path.lexists(going):
        _delete(going)  # what is left of a source that was copied to another disk
    if not os.path.lexists(source):
        return  # done before
    _make_folder(target.parent)
    if os.path.lexists(target):
        if _content(source) != _content(target):
            raise LabError(f"{source} cannot become {target}, which is there already: move one of them away, and give the command again")
        is_copied = True  # to another disk, and interrupted then
    else:
        is_copied = not _rename(source, target)
        if is_copied:
            _copy(source, target)
    files.sync_folder(target.parent)
    if is_copied:
        source.rename(going)  # in one step: half of a source is not taken for one that was changed
        _delete(going)
    files.sync_folder(source.parent)


def _rename(source: Path, target: Path) -> bool:
    """Rename; return False where the two are on different disks."""
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    return True


def _copy(source: Path, target: Path) -> None:
    """Copy to another disk: whole beside the target first, then under its name."""
    copy = target.with_name(f".{target.name[:200]}.copying")
    _delete(copy)
    if source.is_dir() and not source.is_symlink():
        shutil.copytree(source, copy, symlinks=True)
    else:
        shutil.copy2(source, copy, follow_symlinks=False)
    os.sync()
    copy.rename(target)


def _content(path: Path) -> list[tuple[str, str]]:
    """Return names and SHA-256 of all there is at a path."""
    found = [path, *path.rglob("*")] if path.is_dir() and not path.is_symlink() else [path]
    return sorted((str(p.relative_to(path)), str(p.readlink()) if p.is_symlink() else files.sha256(p) if p.is_file() else "") for p in found)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _put(staged: Path, target: Path, total: str) -> list[str]:
    if not staged.exists():
        return []  # done before
    now = files.sha256(target) if target.is_file() else ""
    if now != total and now != files.sha256(staged):
        return [f"{target.name} was changed in between, and is left as it is"]
    _make_folder(target.parent)
    try:
        staged.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with files.replacing(target) as temporary:
            shutil.copy2(staged, temporary)
    files.sync_folder(target.parent)
    return []


def _remove(target: Path) -> None:
    try:
        if target.is_dir() and not target.is_symlink():
            target.rmdir()
        else:
            target.unlink(missing_ok=True)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return
    if target.parent.is_dir():
        files.sync_folder(target.parent)


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        files.sync_folder(folder.parent)
