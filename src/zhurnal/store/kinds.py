"""Which data set reads a path: `data=photos/` becomes `data.name=folder`, or what the folder really holds. Asked once, when an experiment is made."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.diff import path_kind
from . import files


def place(changes: Mapping[str, Any], base: Path) -> tuple[dict[str, Any], str]:
    """Return changes in which a path given as `data` is replaced by the kind that is there, and a note on what was taken (empty without a path).

    `base` is the folder that a relative path starts from.
    """
    value = changes.get("data")
    if not isinstance(value, str) or (kind := path_kind(value)) is None:
        return dict(changes), ""
    why = "by its suffix"
    if kind == "folder" and not value.lower().endswith(".zip"):
        kind, why = _folder_kind(base / files.expand(value))
    changes = {key: v for key, v in changes.items() if key != "data"}
    return {"data.name": kind, "data.path": value} | changes, f"{value} is read as data={kind}, {why}"


def _folder_kind(path: Path) -> tuple[str, str]:
    for kind, marks in _MARKS.items():
        for mark in marks:
            if all((path / part).exists() for part in mark):
                return kind, "for it holds " + " and ".join(mark)
    return "folder", "a folder for each class" if path.is_dir() else "though nothing is there yet"


# Data set -> what a folder must hold to be one; any of the sets of names.
_MARKS = {
    "huggingface": (("dataset_dict.json",), ("state.json", "dataset_info.json")),
    "penn_fudan": (("PNGImages", "PedMasks"),),
    "dtd": (("images", "labels/train1.txt"),),
}
