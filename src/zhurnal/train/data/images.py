"""The images of an experiment, as training sees them: sources of uint8 pixels, the splits made of them, and what is known of the whole.

Legend: N images, C channels, H height, W width. A clip is an image of shape (T, C, H, W), T frames: all here holds for clips too.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

Shape = tuple[int, ...]  # (C, H, W), or (T, C, H, W) for clips


class Images(Protocol):
    """A source of images of one shape, numbered from 0: `InMemory` or `Streamed`."""

    @property
    def shape(self) -> Shape:
        """(C, H, W) of each image."""
        ...

    def __len__(self) -> int: ...

    def take(self, indices_N: Tensor) -> Tensor:
        """Return uint8 images_NCHW of the numbers `indices_N` (int64)."""
        ...

    def select(self, indices_N: Tensor) -> "Images":
        """Return those images as a source of their own, without copying pixels."""
        ...


@dataclass(frozen=True)
class InMemory:
    """Images held as one uint8 tensor. `rows_N` are the rows of the tensor that belong to this source, `resize` what is done to a batch taken."""

    pixels_NCHW: Tensor
    rows_N: Tensor
    shape: Shape
    resize: Callable[[Tensor], Tensor] | None = None

    def __len__(self) -> int:
        return len(self.rows_N)

    def take(self, indices_N: Tensor) -> Tensor:
        """Return uint8 images_NCHW of the numbers `indices_N` (int64), a copy."""
        images_NCHW = self.pixels_NCHW.index_select(0, self.rows_N[indices_N])
        return images_NCHW if self.resize is None else self.resize(images_NCHW)

    def select(self, indices_N: Tensor) -> "InMemory":
        """Return those images as a source of their own; the pixels are shared."""
        return InMemory(self.pixels_NCHW, self.rows_N[indices_N], self.shape, self.resize)


def in_memory(pixels_NCHW: Tensor) -> InMemory:
    """Return all of `pixels_NCHW` (uint8) as a source."""
    return InMemory(pixels_NCHW, torch.arange(len(pixels_NCHW)), tuple(pixels_NCHW.shape[1:]))


@dataclass
class Workers:
    """Threads that decode, started when first needed; 0 decodes in the calling thread."""

    num: int
    _pool: ThreadPoolExecutor | None = field(default=None, repr=False)

    def run(self, work: Callable[[int], None], size: int) -> None:
        """Call `work(number)` for the numbers 0 to size - 1, spread over the threads; the first exception is raised."""
        if self.num == 0 or size < 2:
            for row in range(size):
                work(row)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.num, thread_name_prefix="decode")
        for _ in self._pool.map(work, range(size)):
            pass


@dataclass(frozen=True)
class Streamed:
    """Images decoded from their files each time they are taken. `decode(row)` returns the uint8 pixels_CHW of a row."""

    decode: Callable[[int], Tensor]
    rows_N: Tensor
    shape: Shape
    workers: Workers

    def __len__(self) -> int:
        return len(self.rows_N)

    def take(self, indices_N: Tensor) -> Tensor:
        """Return uint8 images_NCHW of the numbers `indices_N` (int64); the same for any number of workers.

        Raises:
            DataError: a file cannot be read any more.
        """
        rows = self.rows_N[indices_N].tolist()
        images_NCHW = np.empty((len(rows), *self.shape), np.uint8)  # no tensor: one made in inference mode is read-only in other threads

        def work(position: int) -> None:
            images_NCHW[position] = self.decode(rows[position]).numpy()

        self.workers.run(work, len(rows))
        return torch.from_numpy(images_NCHW)

    def select(self, indices_N: Tensor) -> "Streamed":
        """Return those images as a source of their own, decoded by the same threads."""
        return Streamed(self.decode, self.rows_N[indices_N], self.shape, self.workers)


@dataclass(frozen=True)
class Split:
    """The images for training, validation or test, with labels (int64) and numbers (int64).

    `indices_N` number the images inside the whole stored set. They stay the same when the split or the subset changes, so counter-based augmentation
    is drawn from them.
    """

    images: Images
    labels_N: Tensor
    indices_N: Tensor

    def __len__(self) -> int:
        return len(self.labels_N)

    def take(self, positions_N: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (uint8 images_NCHW, labels_N, indices_N) of the positions `positions_N` (int64, 0 to len - 1) in this split."""
        return self.images.take(positions_N), self.labels_N[positions_N], self.indices_N[positions_N]


@dataclass(frozen=True)
class Prepared:
    """A data set, ready to train on. `mean` and `std` are of pixels between 0 and 1, one for each channel; None leaves pixels unnormalized.

    `fingerprint` is the SHA-256 of the content, whatever the settings; `notes` are sentences that a reader of the results should
    see.
    """

    name: str
    classes: tuple[str, ...]
    image: Shape
    train: Split
    val: Split
    test: Split | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    fingerprint: str
    notes: tuple[str, ...]
    decoder: str | None = None  # what decoded video, with its version
    validation: str = ""  # what the validation images are: `test`, `10 % of the training images`, `the set's own`
