"""The data sets known by name: digits from scikit-learn, CIFAR and MNIST from the files that torchvision reads.

Legend: N images, C channels, H height, W width.
"""

import hashlib
import http.client
import pickle
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...core.errors import DataError
from ...core.progress import Progress
from ...store import files
from . import splits
from .images import in_memory
from .loaded import Loaded, moments_of

# Name -> class in torchvision.datasets, and the folder that its files are in.
TORCHVISION = {
    "cifar10": ("CIFAR10", "cifar-10-batches-py"),
    "cifar100": ("CIFAR100", "cifar-100-python"),
    "mnist": ("MNIST", "MNIST"),
    "fashion_mnist": ("FashionMNIST", "FashionMNIST"),
}
DIGITS_TEST = 0.2
_TIMEOUT = 60  # seconds without a byte


def digits() -> Loaded:
    """Return scikit-learn's 1,797 handwritten digits of 8x8 pixels, values 0 to 16 spread over 0 to 255.

    The set has no test part: a stratified 20 % (359 images), the same for everyone, is its test part here.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels_NCHW = torch.from_numpy(np.rint(bunch.images * (255 / 16)).astype(np.uint8))[:, None].contiguous()
    labels_N = torch.from_numpy(bunch.target.astype(np.int64))
    is_test_N = torch.zeros(len(labels_N), dtype=torch.bool)
    is_test_N[splits.hold_out(labels_N, DIGITS_TEST, splits.FIXED_SEED)[1]] = True
    return from_arrays("digits", tuple(str(digit) for digit in range(10)), pixels_NCHW, labels_N, is_test_N)


def from_torchvision(name: str, root: Path, download: bool, progress: Progress) -> Loaded:
    """Return the data set `name` from its files under `root`.

    Raises:
        DataError: the files are not there or are damaged, or downloading them failed; then `root` is as it was.
    """
    from ..vision import torchvision

    kind, folder = TORCHVISION[name]
    torchvision()
    import torchvision.datasets as datasets

    dataset: Any = getattr(datasets, kind)
    progress(f"reading {name}", 0, 2)
    try:
        train, test = _read(dataset, root)
    except _Unusable as error:
        if not download:
            state = "damaged or incomplete" if (root / folder).exists() else "not there"
            raise DataError(
                f"data.name is {name}, but {root / folder} is {state} ({error}); download it with `zhurnal run EXPERIMENT --download` "
                f"(the experiment you want to run), or put its files there"
            ) from error
        train, test = _download_once(dataset, name, folder, root, progress)
    progress(f"reading {name}", 2, 2)
    pixels_NCHW, labels_N = torch.cat([_pixels(train), _pixels(test)]), torch.cat([_labels(train), _labels(test)])
    is_test_N = torch.arange(len(labels_N)) >= len(train)
    return from_arrays(name, tuple(train.classes), pixels_NCHW, labels_N, is_test_N)


def from_arrays(
    name: str, classes: tuple[str, ...], pixels_NCHW: Tensor, labels_N: Tensor, is_test_N: Tensor, is_val_N: Tensor | None = None
) -> Loaded:
    """Return a data set held in memory."""
    digest = hashlib.sha256()
    for array in (pixels_NCHW, labels_N, is_test_N, *(() if is_val_N is None else (is_val_N,))):
        digest.update(f"{array.dtype} {tuple(array.shape)}".encode())
        digest.update(array.contiguous().numpy().data)
    return Loaded(
        name=name,
        classes=classes,
        images=in_memory(pixels_NCHW),
        labels_N=labels_N,
        is_test_N=is_test_N,
        numbers_N=torch.arange(len(labels_N)),
        moments_NC2=moments_of(pixels_NCHW),
        fingerprint=digest.hexdigest(),
        notes=(),
        is_val_N=is_val_N,
    )


class _Unusable(Exception):
    """The files of a data set are absent or damaged."""


def _read(dataset: Any, root: Path) -> tuple[Any, Any]:
    """Return the training and test part, read and checked by torchvision (CIFAR against MD5 sums, MNIST by its sizes)."""
    try:
        train, test = (dataset(root, train=is_train, download=False) for is_train in (True, False))
    except (RuntimeError, OSError, ValueError, TypeError, AssertionError, LookupError, EOFError, pickle.UnpicklingError) as error:
        raise _Unusable(str(error).removesuffix(" You can use download=True to download it") or "wrong size") from error
    if any(len(part.data) != len(part.targets) for part in (train, test)):
        raise _Unusable("as many labels as images are needed")
    return train, test


def _pixels(part: Any) -> Tensor:
    """Return pixels_NCHW: CIFAR has an array NHWC, MNIST a tensor NHW."""
    if isinstance(part.data, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(part.data.transpose(0, 3, 1, 2)))
    pixels_NHW: Tensor = part.data
    return pixels_NHW[:, None].contiguous()


def _labels(part: Any) -> Tensor:
    return torch.as_tensor(part.targets, dtype=torch.int64)


# --- download --------------------------------------------------------------------------------------------------------------------------------


def _download_once(dataset: Any, name: str, folder: str, root: Path, progress: Progress) -> tuple[Any, Any]:
    """Download, unless another process that was waited for has done so."""
    with suppress(OSError):  # told below
        root.mkdir(parents=True, exist_ok=True)
    waiting = f"waiting for a process that downloads into {root}"
    with files.alone(root, lambda: progress(waiting, 0, 1)) as waited:
        if waited:
            progress(waiting, 1, 1)
            try:
                return _read(dataset, root)
            except _Unusable:  # it failed there; here it may not
                pass
        return _download(dataset, name, folder, root, progress)


def _download(dataset: Any, name: str, folder: str, root: Path, progress: Progress) -> tuple[Any, Any]:
    """Download into a folder beside the place, check, unpack and read there, and only then rename it into place."""
    is_mnist = hasattr(dataset, "mirrors")
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=root) as temporary:
            raw = Path(temporary) / folder / "raw" if is_mnist else Path(temporary)
            raw.mkdir(parents=True, exist_ok=True)
            archives = dataset.resources if is_mnist else [(dataset.filename, dataset.tgz_md5)]
            for filename, md5 in archives:
                urls = [f"{mirror}{filename}" for mirror in dataset.mirrors] if is_mnist else [dataset.url]
                _fetch(urls, raw / filename, md5, f"downloading {filename}", progress)
            dataset(temporary, download=True)  # finds the checked archives and unpacks them
            parts = _read(dataset, Path(temporary))
            if (root / folder).exists():  # what was there could not be read; it is kept until the new one is in place
                (root / folder).rename(Path(temporary) / "replaced")
            (Path(temporary) / folder).rename(root / folder)
            return parts
    except (OSError, RuntimeError, EOFError, http.client.HTTPException, shutil.Error, _Unusable) as error:
        raise DataError(
            f"data.name is {name}: downloading it to {root} failed ({error}); nothing was kept. Try again, or put its files into {root / folder}"
        ) from error


def _fetch(urls: Sequence[str], path: Path, md5: str, task: str, progress: Progress) -> None:
    """Download the first of `urls` that gives a file with the MD5 sum.

    Raises:
        OSError: none does; the text has the reason for each.
    """
    reasons = []
    for url in urls:
        try:
            digest = hashlib.md5(usedforsecurity=False)
            with urllib.request.urlopen(url, timeout=_TIMEOUT) as response, path.open("wb") as file:
                total, done = int(response.headers.get("Content-Length") or 0), 0
                while block := response.read(1 << 18):
                    file.write(block)
                    digest.update(block)
                    done += len(block)
                    progress(task, done, max(total, done))
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            reasons.append(f"{url}: {getattr(error, 'reason', error)}")
            continue
        if digest.hexdigest() == md5:
            return
        reasons.append(f"{url}: its MD5 sum is {digest.hexdigest()}, must be {md5}")
    raise OSError("; ".join(reasons))
