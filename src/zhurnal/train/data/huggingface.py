"""Data sets of Hugging Face saved on disk (`dataset.save_to_disk(folder)`), read without the package datasets: their files are Arrow streams.

A folder holds `state.json`, `dataset_info.json` and `data-*.arrow`; a set of splits holds `dataset_dict.json` and such a folder for each split.
Images are the column with the feature Image, labels that with the feature ClassLabel (or the column named). Needs pyarrow:
`pip install 'zhurnal[huggingface]'`.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...core.errors import DataError
from ...core.text import did_you_mean, list_names
from .decode import BadImage
from .entries import check_classes, in_order
from .source import LARGEST_FILE, Source, name_some

# The names that splits of the hub have -> ours.
SPLITS = {"train": "train", "validation": "val", "valid": "val", "val": "val", "dev": "val", "test": "test"}


def scan_huggingface(path: Path, label_column: str | None) -> Source:
    """Return the images of a data set, or set of splits, saved on disk.

    Raises:
        DataError: pyarrow is not installed; or the folder holds no such set, or no images and labels; all problems at once.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise DataError("data=huggingface needs the package pyarrow: pip install 'zhurnal[huggingface]'") from error
    folders, left_out = _folders(path)
    parts = [(split, folder, *_columns(folder, label_column)) for split, folder in folders]
    digest = hashlib.sha256()
    rows: list[tuple[str, Any, int, str]] = []  # split, table column of images, row, label
    classes: list[str] | None = None
    if len({names is None for *_, names in parts}) > 1:
        raise DataError(f"{path}: only some of its splits name their classes; make them alike with Dataset.cast_column, and save it again")
    for split, folder, image, label, names in parts:
        table = _table(folder, digest)
        if missing := [c for c in (image, label) if c not in table.column_names]:
            raise DataError(f"{folder}: its files have no column {list_names(missing)}, which dataset_info.json names; save it again")
        values = table.column(label).to_pylist()
        if names is not None:
            if classes is not None and names != classes:
                raise DataError(f"{path}: its splits have different classes; make them alike with Dataset.cast_column, and save it again")
            if wrong := sorted({str(v) for v in values if not isinstance(v, int) or not 0 <= v < len(names)}):
                raise DataError(
                    f"{folder}: labels that are none of its {len(names)} classes: {name_some(wrong)}; remove those images, and save it again"
                )
            classes, values = names, [names[v] for v in values]
        elif any(v is None for v in values):
            raise DataError(
                f"{folder}: {sum(v is None for v in values):,} images have no label in the column {label}; remove them, and save it again"
            )
        column = table.column(image)
        rows += [(split, column, row, str(v)) for row, v in enumerate(values)]
    rows.sort(key=lambda r: ("train", "val", "test").index(r[0]))
    order = classes or in_order({r[3] for r in rows})
    check_classes(str(path), order, [r[3] for r in rows if r[0] == "train"], [r[3] for r in rows if r[0] != "train"])
    labels = {c: k for k, c in enumerate(order)}

    def read(number: int) -> bytes:
        _, column, row, _ = rows[number]
        value = column[row].as_py()
        content = value.get("bytes") if isinstance(value, dict) else value
        if content is None:
            raise BadImage("is a path and no image: load it with datasets, and save it again with embedded images")
        if not isinstance(content, bytes) or len(content) > LARGEST_FILE:
            raise BadImage("holds no image file")
        return content

    return Source(
        path=path,
        classes=tuple(order),
        names=tuple(f"{split} image {row}" for split, _, row, _ in rows),
        labels=tuple(labels[r[3]] for r in rows),
        is_test=tuple(r[0] == "test" for r in rows),
        fingerprint=digest.hexdigest(),
        notes=tuple(f"left out the split {name}, which is none of {list_names(SPLITS)}" for name in left_out),
        read=read,
        is_val=tuple(r[0] == "val" for r in rows) if any(r[0] == "val" for r in rows) else (),
    )


def _folders(path: Path) -> tuple[list[tuple[str, Path]], list[str]]:
    """Return (split, folder) for each split, and the names of splits that are left out."""
    wanted = "give a folder that dataset.save_to_disk wrote"
    if not path.is_dir():
        raise DataError(f"data.path: {path} {'is a file' if path.exists() else 'does not exist'}; {wanted}")
    if (path / "state.json").is_file():
        return [("train", path)], []
    if not (path / "dataset_dict.json").is_file():
        raise DataError(f"data.path: {path} holds neither state.json nor dataset_dict.json; {wanted}")
    names = [str(n) for n in _json(path / "dataset_dict.json").get("splits", [])]
    found = [(SPLITS[n], path / n) for n in names if n in SPLITS]
    if "train" not in [split for split, _ in found]:
        raise DataError(f"{path}: has no split train, only {name_some(names) or 'none at all'}; give the folder of one of them as data.path")
    if len({split for split, _ in found}) < len(found):
        raise DataError(f"{path}: has several splits for validation: {name_some(names)}; remove all but one")
    return found, [n for n in names if n not in SPLITS]


def _columns(folder: Path, label_column: str | None) -> tuple[str, str, list[str] | None]:
    """Return the columns with images and labels, and the names of the classes where the set has them."""
    features = _json(folder / "dataset_info.json").get("features") or {}
    kinds = {name: f.get("_type") for name, f in features.items() if isinstance(f, dict)}
    images = [n for n, kind in kinds.items() if kind == "Image"]
    labels = [n for n, kind in kinds.items() if kind == "ClassLabel"] or [n for n in features if n == "label"]
    has = f"its columns are {name_some(list(features))}" if features else "dataset_info.json names no columns"
    problems = []
    if len(images) != 1:
        problems.append(
            f"{folder}: has {len(images) or 'no'} columns of images ({name_some(images)}), must have one"
            if images
            else f"{folder}: has no column of images; {has}"
        )
    if label_column is not None:
        if label_column not in features:
            problems.append(
                f"data.label_column is {label_column}, but {folder} has no such column{did_you_mean(label_column, features) or ';'} {has}"
            )
        labels = [label_column]
    elif len(labels) != 1:
        problems.append(f"{folder}: has {list_names(labels) if labels else 'no column'} for labels; name one: data.label_column=NAME; {has}")
    if problems:
        raise DataError("\n".join(problems))
    names = features[labels[0]].get("names")
    return images[0], labels[0], [str(n) for n in names] if isinstance(names, Sequence) and not isinstance(names, str) else None


def _table(folder: Path, digest: Any) -> Any:
    """Return the table of a split, mapped into memory and read where it is used; its files go into `digest`."""
    import pyarrow as pa

    tables = []
    for entry in _json(folder / "state.json").get("_data_files", []):
        file = folder / Path(str(entry.get("filename"))).name
        try:
            with file.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
            tables.append(pa.ipc.open_stream(pa.memory_map(str(file))).read_all())
        except (OSError, pa.ArrowInvalid) as error:
            raise DataError(f"{file} cannot be read ({error}); save the set again") from error
    if not tables:
        raise DataError(f"{folder}: state.json names no files; save the set again")
    return pa.concat_tables(tables)


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read ({error}); save the set again with dataset.save_to_disk") from error
    if not isinstance(found, dict):
        raise DataError(f"{file} is no mapping; save the set again with dataset.save_to_disk")
    return found
