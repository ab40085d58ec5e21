"""Images and labels held in arrays: `.npz` files, and what a function of the user's own returns.

Legend: N images, C channels, H height, W width, K classes.
"""

import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...core.errors import DataError
from ...core.text import count, list_names
from .builtin import from_arrays
from .entries import check_classes, in_order
from .loaded import Loaded
from .source import name_some

_PARTS = ("train", "val", "test")
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)


def load_npz(path: Path, fits: Callable[[int], bool]) -> Loaded:
    """Return the images of a `.npz` file: `images` and `labels`; or `train_images`, `train_labels` and the same for
    `val` and `test`, as MedMNIST has.

    Images are uint8 NHWC, NCHW or NHW; labels are whole numbers or texts, of shape N or N x 1; `classes` may name the classes 0, 1, ...
    Objects in the file (pickles) are never loaded.

    Raises:
        DataError: the file is not there, is damaged or too large, or its arrays are not as above; all problems at once.
    """
    if not path.is_file():
        raise DataError(f"data.path: {path} {'is a folder' if path.is_dir() else 'does not exist'}; give a .npz file with images and labels")
    try:
        with zipfile.ZipFile(path) as packed:
            num_bytes = sum(member.file_size for member in packed.infolist())
        if not fits(2 * num_bytes):
            raise DataError(f"{path}: its arrays hold {num_bytes / 1e9:.1f} GB, too much for memory: write the images to files, and use data=folder")
        with np.load(path, allow_pickle=False) as file:
            names = file.files
            wanted = [
                n for n in names if n in ("images", "labels", "classes") or n in [f"{p}_{what}" for p in _PARTS for what in ("images", "labels")]
            ]
            arrays = {name: file[name] for name in wanted}
    except _UNREADABLE as error:
        raise DataError(f"{path}: is no .npz file that can be read ({error}); write it with numpy.savez, without objects") from error
    parts = [p for p in _PARTS if f"{p}_images" in arrays]
    pairs = {p: (f"{p}_images", f"{p}_labels") for p in parts} or {"train": ("images", "labels")}
    missing = [n for pair in pairs.values() for n in pair if n not in arrays]
    if missing or "train" not in pairs:
        has = f"it has {name_some(names)}" if names else "it is empty"
        raise DataError(
            f"{path}: has no {list_names(missing or ['train_images'])}; it must hold images and labels, or train_images and train_labels; {has}"
        )
    problems: list[str] = []
    pixels, labels, split = [], [], []
    for part, (images_name, labels_name) in pairs.items():
        pixels.append(pixels_of(arrays[images_name], images_name, problems))
        labels += labels_of(arrays[labels_name], len(arrays[images_name]), labels_name, problems)
        split += [part] * len(arrays[images_name])
    if len({p.shape[1:] for p in pixels}) > 1 and not problems:
        problems.append("has parts of unlike shape: " + name_some([f"{n} {tuple(arrays[n].shape)}" for n, _ in pairs.values()]))
    classes = [str(c) for c in arrays["classes"].reshape(-1).tolist()] if "classes" in arrays else None
    return assemble(str(path), path.stem, problems, lambda: torch.cat(pixels), labels, classes, split if len(pairs) > 1 else None)


def assemble(
    what: str,
    name: str,
    problems: list[str],
    pixels_NCHW: Callable[[], Tensor],
    labels: Sequence[str | int],
    classes: Sequence[str] | None,
    split: Sequence[str] | None,
) -> Loaded:
    """Return a data set of pixels, labels, and a part (train, val or test) for each image.

    Raises:
        DataError: with `problems`, if there are any, or where labels and classes do not fit; all at once.
    """
    named, order, found = class_names(labels, classes, split, problems)
    if problems:
        raise DataError("\n".join(f"{what}: {problem}" for problem in problems))
    check_classes(what, order, *found)
    position = {c: k for k, c in enumerate(order)}
    parts = np.array(split if split is not None else ["train"] * len(named))
    return from_arrays(
        name,
        tuple(order),
        pixels_NCHW(),
        torch.tensor([position[label] for label in named]),
        torch.from_numpy(parts == "test"),
        torch.from_numpy(parts == "val") if (parts == "val").any() else None,
    )


def class_names(
    labels: Sequence[str | int], classes: Sequence[str] | None, split: Sequence[str] | None, problems: list[str]
) -> tuple[list[str], list[str], tuple[list[str], list[str]]]:
    """Return the class of each image, all classes in order, and the classes of the training and of the other images; add what is wrong to `problems`.

    With `classes`, a label is the number of one, also where classes have numbers as names; or its name.
    """
    named = [str(label) for label in labels]
    order = list(classes or in_order(set(named)))
    if classes is not None:
        if len(set(classes)) != len(classes):
            problems.append("has classes that are named twice: " + name_some(sorted({c for c in classes if list(classes).count(c) > 1})))
        numbers = {str(k): c for k, c in enumerate(classes)}
        known = set(classes)
        are_numbers = all(isinstance(label, int) and 0 <= label < len(classes) for label in labels)
        named = [numbers[label] if are_numbers or (label in numbers and label not in known) else label for label in named]
        if wrong := sorted(set(named) - known):
            problems.append(
                f"has labels that are none of its {len(classes)} classes: {name_some(wrong)}; labels are 0 to {len(classes) - 1}, or names"
            )
    if split is not None and (odd := sorted(set(split) - set(_PARTS))):
        problems.append(f"has parts that are none of {list_names(_PARTS)}: {name_some(odd)}")
    train = [c for i, c in enumerate(named) if split is None or split[i] == "train"]
    return named, order, (train, [c for i, c in enumerate(named) if split is not None and split[i] != "train"])


def pixels_of(array: Any, name: str, problems: list[str]) -> Tensor:
    """Return uint8 pixels_NCHW of an array or tensor NHWC, NCHW or NHW; add to `problems` where it is none."""
    array = torch.as_tensor(array) if isinstance(array, Tensor) else torch.from_numpy(np.ascontiguousarray(array)) if _is_plain(array) else array
    if not isinstance(array, Tensor) or array.dtype != torch.uint8:
        kind = getattr(array, "dtype", type(array).__name__)
        problems.append(f"{name} is of type {kind}, must be uint8, pixel values from 0 to 255")
        return torch.empty((0, 1, 1, 1), dtype=torch.uint8)
    shape = tuple(array.shape)
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and shape[3] in (1, 3):
        array = array.permute(0, 3, 1, 2)
    elif array.ndim != 4 or shape[1] not in (1, 3):
        problems.append(f"{name} has shape {shape}, must be N x H x W, N x H x W x C or N x C x H x W with 1 or 3 channels")
        return torch.empty((0, 1, 1, 1), dtype=torch.uint8)
    if 0 in array.shape:
        problems.append(f"{name} has shape {shape}, must hold images")
    pixels_NCHW: Tensor = array.detach().cpu().contiguous()
    return pixels_NCHW


def _is_plain(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.dtype.kind in "biuf" and array.dtype.isnative


def labels_of(labels: Any, num: int, name: str, problems: list[str]) -> list[str | int]:
    """Return labels, whole numbers or texts; add to `problems` where they are neither, or not as many as there are images (`num`)."""
    try:
        array = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    except (ValueError, TypeError, RuntimeError) as error:  # lists of unlike lengths, other objects
        problems.append(f"{name} is no list of labels ({error})")
        return []
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        problems.append(f"{name} has shape {array.shape}, must be one label for each image, {num}")
    elif len(array) != num:
        problems.append(f"{name} holds {count(len(array), 'label')} for {count(num, 'image')}, must be one for each")
    elif array.dtype.kind not in "biuU":
        problems.append(f"{name} is of type {array.dtype}, must be whole numbers or texts")
    else:
        return [str(v) if array.dtype.kind == "U" else int(v) for v in array.tolist()]
    return []
