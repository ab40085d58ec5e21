"""Images by a function of the user's own, `data=my_data.py:load`, or by one that a package brings.

`load(root, **options)` returns a mapping, or an object with attributes, of
    images    uint8 array or tensor NHWC, NCHW or NHW; or a list of paths, relative to `root`
    labels    a whole number or a text for each image
    classes   optional: the names of the classes 0, 1, ...; without it the labels, sorted
    split     optional: `train`, `val` or `test` for each image
`root` is `data.path` where that is set, else the lab's folder of data sets.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ...core.errors import DataError
from ...core.progress import Progress
from ...core.settings import Data
from ...core.text import list_names
from ..own import Own, call_own
from . import arrays, folder
from .entries import Entry, from_entries
from .loaded import Loaded, fit

_KEYS = ("images", "labels", "classes", "split")


def load_given(own: Own, data: Data, root: Path, cache: Path, progress: Progress, fits: Callable[[int], bool]) -> Loaded:
    """Return what the function returns, checked.

    Raises:
        SettingsError: it does not take its options.
        RunError: it raised; the text has the line in the user's file.
        DataError: what it returned is not as above, with all problems at once; or its images cannot be read.
    """
    name = own.spec.rpartition(":")[2]
    fields = _fields(own, call_own(own, "data", data.options(), given=(root,)))
    images, problems = fields["images"], list[str]()
    classes = None if fields["classes"] is None else [str(c) for c in fields["classes"]]
    if isinstance(images, (np.ndarray, Tensor)) and getattr(images, "dtype", None) is not None and _numeric(images):
        pixels_NCHW = arrays.pixels_of(images, "images", problems)
        labels, split = _labels_and_split(fields, len(images) if images.ndim else 0, problems)
        loaded = arrays.assemble(own.spec, name, problems, lambda: pixels_NCHW, labels, classes, split)
        return fit(loaded, data.image_size, data.channels, lambda n: data.storage == "memory" or fits(n))
    paths = list(images) if isinstance(images, (list, tuple, np.ndarray)) else None
    if paths is None or not all(isinstance(p, (str, os.PathLike)) for p in paths):
        raise DataError(f"{own.spec}: images is of type {type(images).__name__}, must be a uint8 array or tensor, or a list of paths")
    labels, split = _labels_and_split(fields, len(paths), problems)
    files = [os.fspath(p) for p in paths]
    if twice := sorted({f for f in files if files.count(f) > 1} if len(set(files)) < len(files) else ()):
        problems.append(f"images names {list_names(twice[:5])} more than once")
    named, order, _ = arrays.class_names(labels, classes, split, problems)
    if problems:
        raise DataError("\n".join(f"{own.spec}: {problem}" for problem in problems))
    entries = [Entry(file, label, split[i] if split else "train", file) for i, (file, label) in enumerate(zip(files, named, strict=True))]
    source = from_entries(Path(own.spec), root, entries, order, own.spec if split else "", cache, progress)
    return folder.load(data, source, cache, progress, fits)


def _numeric(images: Any) -> bool:
    return isinstance(images, Tensor) or images.dtype.kind in "biufc"


def _fields(own: Own, made: Any) -> dict[str, Any]:
    found = {key: made.get(key) if isinstance(made, Mapping) else getattr(made, key, None) for key in _KEYS}
    if missing := [key for key in ("images", "labels") if found[key] is None]:
        got = f"a mapping of {list_names(map(str, made))}" if isinstance(made, Mapping) and made else f"a {type(made).__name__}"
        raise DataError(f"{own.spec} returns {got} without {' and '.join(missing)}, must be a mapping or object with images and labels")
    return found


def _labels_and_split(fields: dict[str, Any], num: int, problems: list[str]) -> tuple[list[str | int], list[str] | None]:
    labels = arrays.labels_of(fields["labels"], num, "labels", problems)
    split = None
    if fields["split"] is not None:
        split = [str(s) for s in fields["split"]]
        if len(split) != num:
            problems.append(f"split holds {len(split):,} parts for {num:,} images, must be one for each")
            split = None
    return labels, split
