"""Another lab to put together with this one: a folder, or a commit of this lab's own history. Only read."""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core import numbers
from ..core.errors import LabError, SettingsError
from ..core.text import printable
from ..store import taken, yamls
from ..store.config import CONFIG
from ..store.lab import Lab

_COMMIT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./@{}^~+-]{0,199}", re.ASCII)
_FILE = re.compile(r"(?:experiments/)?(removed/)?(e\d{4,7})\.yaml", re.ASCII)


@dataclass(frozen=True)
class Other:
    """The experiments of another lab: the files by their names, and the numbers that were used once."""

    files: Mapping[str, bytes]
    removed: tuple[str, ...]


def read(lab: Lab, theirs: str) -> Other:
    """Return what is in a lab's folder, or in a branch or commit of the git repository that `lab` is in.

    Raises:
        LabError: it is neither.
    """
    if (Path(theirs) / CONFIG).is_file():
        there = Lab(theirs)
        return Other({n: there.file(n).read_bytes() for n in there.names()}, tuple(map(numbers.name, taken.removed(there))))
    if not _COMMIT.fullmatch(theirs):
        raise LabError(f"{printable(theirs, 100)} is neither the folder of a lab nor the name of a commit: give one of them")
    names = _git(lab, "ls-tree", "-r", "-z", "--name-only", theirs, "--", "experiments/", what=theirs).split(b"\0")
    found: dict[str, bytes] = {}
    gone = []
    for name in names:
        match = _FILE.fullmatch(name.decode(errors="replace"))
        if match and match[1]:
            gone.append(match[2])
        elif match:
            found[match[2]] = _git(lab, "cat-file", "blob", f"{theirs}:./experiments/{match[2]}.yaml", what=theirs)
    return Other(found, tuple(gone))


def _git(lab: Lab, *arguments: str, what: str) -> bytes:
    try:
        done = subprocess.run(["git", "--no-pager", *arguments], cwd=lab.folder, capture_output=True, timeout=60, check=False)
    except FileNotFoundError:
        raise LabError(f"{what} is no folder of a lab, and git is not installed to look for a commit of that name") from None
    if done.returncode:
        reason = printable(done.stderr.decode(errors="replace").strip().splitlines()[-1], 200) if done.stderr.strip() else "git says no more"
        raise LabError(f"{what} is neither the folder of a lab nor a commit that git knows here ({reason}): give one of them")
    return done.stdout


def is_same(ours: bytes, theirs: bytes) -> bool:
    """Return whether two files of one number are the same experiment: made at the same time, or, where one does not say when, alike to the byte."""
    if ours == theirs:
        return True
    when = [_created(text) for text in (ours, theirs)]
    return bool(when[0]) and when[0] == when[1]


def _created(data: bytes) -> Any:
    try:
        return yamls.parse(data.decode(), "experiment").values.get("created")
    except (SettingsError, UnicodeDecodeError):
        return None
