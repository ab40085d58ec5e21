"""`zhurnal.yaml`, `.gitignore` and `.gitattributes` of a lab: what they say when it is made, and how the first is read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import SettingsError
from ..core.text import did_you_mean, list_names
from . import yamls

CONFIG = "zhurnal.yaml"

TEXT = """\
# This folder is a Zhurnal lab.
title: {title}
# Where cifar10, mnist and the like are, from here.
data: data
# The smallest difference in accuracy that matters, in points.
smallest_difference: 0.5
"""
GITATTRIBUTES = """\
# Lines of records belong together: where a merge finds two versions of one, it takes none of their lines, and says so.
experiments/logs/** -merge
journal/fig/** -merge
"""
GITIGNORE = """\
# Caches, the trash, weights and locks; the records, the texts and the figures are for git.
.zhurnal/
data/
experiments/logs/**/lock
experiments/logs/**/checkpoints/
experiments/logs/**/predictions/
experiments/logs/**/tensorboard/
experiments/logs/**/profile/
*.pt
*.pth
"""


@dataclass(frozen=True)
class Config:
    """What `zhurnal.yaml` says."""

    title: str
    data: str
    smallest_difference: float  # points of accuracy


def read(folder: Path) -> Config:
    """Return what `zhurnal.yaml` in a lab's folder says.

    Raises:
        SettingsError: a key is unknown or of another type; all problems at once.
    """
    document = yamls.read(folder / CONFIG)
    known: dict[str, type | tuple[type, ...]] = {"title": str, "data": str, "smallest_difference": (int, float)}
    problems = [
        f"{document.place(k)}: {k}: unknown key{did_you_mean(k, known) or ';'} keys are {list_names(known)}"
        for k in document.values
        if k not in known
    ]
    problems += [
        f"{document.place(k)}: {k} must be a {'number' if k == 'smallest_difference' else 'text'}"
        for k, kind in known.items()
        if k in document.values and (not isinstance(document.values[k], kind) or isinstance(document.values[k], bool))
    ]
    if problems:
        raise SettingsError(problems)
    found: dict[str, Any] = {"title": folder.name, "data": "data", "smallest_difference": 0.5} | document.values
    return Config(found["title"], found["data"], float(found["smallest_difference"]))
