"""Images exactly as a network gets them, and what a data set holds: counts, mean and deviation, images that are there twice."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..core.errors import DataError
from ..core.progress import Progress, silent
from ..store.lab import Lab
from . import clips, random, transforms
from .data import Prepared, Split, prepare
from .setup import make_transform
from .step import Feed


@dataclass(frozen=True)
class Look:
    """A data set, looked at through an experiment's settings."""

    data: Prepared
    counts: dict[str, dict[str, int]]  # split -> class -> images
    mean: tuple[float, ...]  # of what the network gets in the shown batch, for each channel
    std: tuple[float, ...]
    low: float
    high: float
    images_NHWC: np.ndarray  # uint8, of the shown batch with its normalization undone; the frames of a clip side by side
    labels: list[str]
    twice: list[tuple[str, str, int]]  # pairs of splits that share pixels: (split, split, images)


def look(lab: Lab, name: str, *, epoch: int = 1, count: int = 32, split: str = "train", progress: Progress = silent) -> Look:
    """Return the first `count` images of an epoch (counted from 1) as the network of an experiment gets them, and facts about its data.

    Raises:
        ZhurnalError: the data are missing or unreadable.
    """
    settings = lab.experiment(name).settings
    data = prepare(settings.data, root=lab.data, base=lab.folder, cache=lab.cache, progress=progress)
    normalize = transforms.normalizer(data.mean, data.std)
    transform = make_transform(settings.data.transform if split == "train" else "init", data, lab)
    chosen = {"train": data.train, "val": data.val, "test": data.test}[split]
    if chosen is None:
        raise DataError(f"{data.name} has no test images here: look at those of validation with --split val")
    seed = settings.seeds[0]
    feed = Feed(chosen, transform, normalize, seed, count, False, torch.device("cpu"), False)
    order = random.permutation(seed, random.ORDER, epoch - 1, len(chosen)) if split == "train" else torch.arange(len(chosen))
    images_NCHW, labels_N = feed.batch(order[:count], epoch - 1)
    channels = data.image[-3]
    scale = torch.tensor(data.std or (1.0,) * channels).view(-1, 1, 1)
    shift = torch.tensor(data.mean or (0.0,) * channels).view(-1, 1, 1)
    shown = ((clips.strips(images_NCHW) * scale + shift) * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    frames_NCHW = images_NCHW.flatten(0, -4)
    splits = {"train": data.train, "val": data.val} | ({"test": data.test} if data.test is not None else {})
    return Look(
        data=data,
        counts={s: {c: int(n) for c, n in zip(data.classes, _counts(part, len(data.classes)), strict=True)} for s, part in splits.items()},
        mean=tuple(float(v) for v in frames_NCHW.mean((0, 2, 3))),
        std=tuple(float(v) for v in frames_NCHW.std((0, 2, 3))),
        low=float(images_NCHW.min()),
        high=float(images_NCHW.max()),
        images_NHWC=shown,
        labels=[data.classes[int(i)] for i in labels_N],
        twice=_twice(splits, progress),
    )


def _counts(split: Split, num_classes: int) -> list[int]:
    return [int(n) for n in torch.bincount(split.labels_N, minlength=num_classes)]


def _twice(splits: dict[str, Split], progress: Progress) -> list[tuple[str, str, int]]:
    """Return how many images of a split have exactly the pixels of an image in the same or an earlier split."""
    seen: dict[bytes, str] = {}
    found: dict[tuple[str, str], int] = defaultdict(int)
    total, done = sum(len(s) for s in splits.values()), 0
    for name, split in splits.items():
        for positions_N in torch.arange(len(split)).split(1024):
            images_NCHW, _, _ = split.take(positions_N)
            for row in images_NCHW.reshape(len(images_NCHW), -1).numpy():
                key = _digest(row)
                if key in seen:
                    found[(seen[key], name)] += 1
                else:
                    seen[key] = name
            done += len(positions_N)
            progress("looking for images that are there twice", done, total)
    return [(a, b, n) for (a, b), n in found.items()]


def _digest(row: np.ndarray[Any, Any]) -> bytes:
    import hashlib

    return hashlib.blake2b(row.tobytes(), digest_size=16).digest()


def images_of(lab: Lab, name: str, positions: list[int]) -> np.ndarray:
    """Return validation images of an experiment by their positions, uint8 images_NHWC, without augmentation."""
    settings = lab.experiment(name).settings
    data = prepare(settings.data, root=lab.data, base=lab.folder, cache=lab.cache)
    images_NCHW, _, _ = data.val.take(torch.tensor(positions))
    return clips.strips(images_NCHW).permute(0, 2, 3, 1).numpy()
