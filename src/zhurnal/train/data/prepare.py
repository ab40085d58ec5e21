"""From the settings' `data` section to three splits: load the set, put images where they belong, and find the normalization.

The validation part is drawn from the training images first, then the subset from what is left. Mean and standard deviation are those of the training
images without the validation part, before the subset is drawn: experiments that differ in `data.subset` normalize alike.
"""

import math
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ...core.errors import DataError
from ...core.progress import Progress, silent
from ...core.settings import DATASETS, FROM_PATH, Clips, Data, MovingShapes, Normalize
from ...core.text import count, did_you_mean, list_names
from ...store import files
from .. import own
from . import arrays, builtin, clips, folder, given, huggingface, moving, penn_fudan, splits, table
from . import cache as cached
from .images import InMemory, Prepared, Split
from .loaded import Loaded, fit, mean_std, moments_of
from .source import Source, scan

MEMORY_SHARE = 0.4  # of the memory that can still be taken
_SECONDS = 0.1  # between two reports of progress


def prepare(data: Data, *, root: Path, base: Path, cache: Path, download: bool = False, progress: Progress = silent) -> Prepared:
    """Return the data set that `data` names, split and ready to train on.

    `root` is the lab's data folder, where the files of CIFAR and MNIST are; `base` the folder that a relative `data.path` starts from; `cache` a
    folder for decoded images, which may be deleted at any time. `download` allows fetching what `root` lacks.

    >>> prepared = prepare(Data(name="digits"), root=Path("data"), base=Path("."), cache=Path("cache"))
    >>> prepared.image, len(prepared.train), len(prepared.val), len(prepared.test)
    ((1, 8, 8), 1294, 144, 359)

    Raises:
        DataError: the set is missing, unreadable, or not what the settings say; all problems found, each with a way out.
    """
    loaded = _load(data, root, base, cache, download, progress)
    problems, notes = [], [*loaded.notes]
    test_rows = loaded.is_test_N.nonzero()[:, 0]
    train_rows = (~loaded.is_test_N).nonzero()[:, 0]
    validation = "test" if data.validation == "test" else f"{100 * data.validation:g} % of the training images"
    if data.validation == "test":
        val_rows, test = test_rows, None
        notes.append("validation: the test images; the best epoch is chosen on them, so their accuracy flatters")
        if not len(test_rows):
            problems.append(
                f"data.validation is test, but {loaded.name} has no test images; give a part of the training images, such as data.validation=0.1"
            )
        if loaded.is_val_N is not None and (num := int((loaded.is_val_N & ~loaded.is_test_N).sum())):
            notes.append(f"the set's own {count(num, 'validation image')} are trained on, for data.validation is test")
    elif loaded.is_val_N is not None and bool(loaded.is_val_N.any()):
        val_rows, train_rows = loaded.is_val_N.nonzero()[:, 0], (~loaded.is_test_N & ~loaded.is_val_N).nonzero()[:, 0]
        test = _split(loaded, test_rows) if len(test_rows) else None
        validation = "the set's own"
        notes.append(f"validation: the set's own {len(val_rows):,} images; data.validation={data.validation:g} and data.split_seed have no effect")
    else:
        rest, held_out = _hold_out(loaded, train_rows, data)
        train_rows, val_rows = train_rows[rest], train_rows[held_out]
        test = _split(loaded, test_rows) if len(test_rows) else None
        notes.append(splits.describe(data.validation))
        if test is None:
            notes.append("no test images: accuracy is measured on validation images only")
        if absent := sorted(set(range(len(loaded.classes))) - set(loaded.labels_N[val_rows].tolist())):
            notes.append(f"no validation image of {list_names(loaded.classes[k] for k in absent)}, which has a single training image")
    subset_rows = train_rows
    if data.subset is not None:
        try:
            subset_rows = train_rows[splits.choose(loaded.labels_N[train_rows], data.subset, data.split_seed)]
        except DataError as error:
            problems.append(str(error))
    if not len(val_rows) and data.validation != "test":
        problems.append(f"{loaded.name} has too few images for a validation part: at least one class needs 2 training images")
    problems += _wrong_normalize(data, loaded)
    if problems:
        raise DataError("\n".join(problems))
    mean, std = _normalization(data, loaded, train_rows, notes, progress)
    return Prepared(
        name=loaded.name,
        classes=loaded.classes,
        image=loaded.images.shape,
        train=_split(loaded, subset_rows),
        val=_split(loaded, val_rows),
        test=test,
        mean=mean,
        std=std,
        fingerprint=loaded.fingerprint,
        notes=tuple(notes),
        decoder=loaded.decoder,
        validation=validation,
    )


def _hold_out(loaded: Loaded, rows: Tensor, data: Data) -> tuple[Tensor, Tensor]:
    """Return the positions in `rows` of the rest and of the validation part; samples of one group stay together."""
    assert data.validation != "test"
    size = loaded.per_group
    inside = torch.arange(size)
    parts = splits.hold_out(loaded.labels_N[rows][::size], data.validation, data.split_seed)
    rest, held_out = ((groups[:, None] * size + inside).flatten() for groups in parts)
    return rest, held_out


def _load(data: Data, root: Path, base: Path, cache: Path, download: bool, progress: Progress) -> Loaded:
    available = cached.available_memory()

    def fits(num_bytes: int) -> bool:
        return num_bytes < MEMORY_SHARE * available

    report = _seldom(progress)
    if isinstance(data, MovingShapes):
        return moving.load(data)
    if data.name in FROM_PATH:
        if data.path is None:
            raise DataError(f"data.path is none, must be {FROM_PATH[data.name]} where data.name is {data.name}: set data.path")
        path = base / files.expand(data.path)
        if isinstance(data, Clips):
            return clips.load(data, path, cache, report, fits)
        if data.name == "npz":
            loaded = arrays.load_npz(path, lambda n: data.storage == "memory" or fits(n))
            return fit(_note_unused(loaded, data, with_path=True), data.image_size, data.channels, lambda n: data.storage == "memory" or fits(n))
        return folder.load(data, _source(data, path, cache, report), cache, report, fits)
    own_part = own.find("data", data.name, base)
    if own_part is not None:
        root = base / files.expand(data.path) if data.path else root
        return given.load_given(own_part, data, root, cache, report, fits)
    if data.name == "digits":
        loaded = builtin.digits()
    elif data.name in builtin.TORCHVISION:
        loaded = builtin.from_torchvision(data.name, root, download, report)
    else:
        raise DataError(f"data.name is '{data.name}', which is none of {list_names(DATASETS)}{did_you_mean(data.name, DATASETS)}")
    loaded = fit(loaded, data.image_size, data.channels, lambda n: data.storage == "memory" or fits(n))
    return _note_unused(loaded, data, with_path=False)


def _source(data: Data, path: Path, cache: Path, progress: Progress) -> Source:
    """Return the images that a path names; one line for each kind."""
    match data.name:
        case "table":
            return table.scan_table(path, data.label_column, cache, progress)
        case "dtd":
            return table.scan_dtd(path, data.partition or 1, cache, progress)
        case "penn_fudan":
            return penn_fudan.scan_penn_fudan(path, progress)
        case "huggingface":
            return huggingface.scan_huggingface(path, data.label_column)
        case _:
            return scan(path, cache, progress)


def _note_unused(loaded: Loaded, data: Data, *, with_path: bool) -> Loaded:
    unused = [(f"data.path={data.path}", data.path is not None and not with_path), ("data.storage=stream", data.storage == "stream")]
    notes = tuple(f"{setting} has no effect: {data.name} is read whole, from its own files" for setting, is_set in unused if is_set)
    return replace(loaded, notes=(*loaded.notes, *notes))


def _split(loaded: Loaded, rows: Tensor) -> Split:
    return Split(loaded.images.select(rows), loaded.labels_N[rows], loaded.numbers_N[rows])


def _wrong_normalize(data: Data, loaded: Loaded) -> list[str]:
    if not isinstance(data.normalize, Normalize):
        return []
    channels = loaded.images.shape[-3]
    given = {"mean": data.normalize.mean, "std": data.normalize.std}
    numbers = "one number" if channels == 1 else f"{channels} numbers"
    return [
        f"data.normalize.{name} has {len(values)} number{'s' if len(values) > 1 else ''}, must have {channels}, one for each channel: "
        f"give {numbers}, or data.normalize=data"
        for name, values in given.items()
        if len(values) != channels
    ]


def _normalization(
    data: Data, loaded: Loaded, rows: Tensor, notes: list[str], progress: Progress
) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    if data.normalize == "none":
        return None, None
    if isinstance(data.normalize, Normalize):
        return tuple(data.normalize.mean), tuple(data.normalize.std)
    moments_NC2 = _moments_taken(loaded, rows, progress) if loaded.moments_NC2 is None else loaded.moments_NC2[rows]
    mean, std = mean_std(moments_NC2, math.prod(loaded.images.shape) // loaded.images.shape[-3])
    if 0.0 in std:
        notes.append("a channel has the same value in every pixel of the training images: it is normalized with a standard deviation of 1")
    return mean, tuple(s or 1.0 for s in std)


def _moments_taken(loaded: Loaded, rows: Tensor, progress: Progress) -> Tensor:
    """Return the moments of images that exist only when taken."""
    assert isinstance(loaded.images, InMemory)
    found = []
    for part in torch.split(rows, 256):
        found.append(moments_of(loaded.images.take(part)))
        progress("measuring images", 256 * (len(found) - 1) + len(part), len(rows))
    return torch.cat(found)


def _seldom(progress: Progress) -> Progress:
    """Return `progress`, called at most ten times a second for one task, but always at its end."""
    last: dict[str, float] = {}

    def report(task: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done >= total or now - last.get(task, 0.0) >= _SECONDS:
            last[task] = now
            progress(task, done, total)

    return report
