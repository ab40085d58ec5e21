"""All files of a source become images: decoded once into memory and a cache, or checked once and then streamed.

Legend: N images that can be used, C channels, H height, W width.
"""

import base64
import hashlib
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...core.errors import DataError
from ...core.progress import Progress
from ...core.settings import Data
from ...core.text import count, printable
from . import cache as cached
from .decode import BadImage, Decoded, decode, strict_pillow
from .images import Images, Shape, Streamed, Workers, in_memory
from .loaded import Loaded, moments_of
from .source import MOST_NAMED, Source, name_some

MOST_BAD_NAMED = 1000
_CHUNK = 8_000_000  # bytes of pixels that a thread decodes before it reports


@dataclass(frozen=True)
class _Checked:
    """What decoding all images has shown. `bad` maps an image's number to what is wrong with it; `moments_NC2` are of the others."""

    shape: Shape
    bad: dict[int, str]
    moments_NC2: Tensor
    pixels_NCHW: np.ndarray | None


def load(data: Data, source: Source, cache: Path, progress: Progress, fits: Callable[[int], bool]) -> Loaded:
    """Return the images of a source, in memory if they are to be there or `fits(bytes)` says so.

    Raises:
        DataError: images cannot be read (unless they are to be skipped), or sizes differ.
    """
    path = source.path
    notes = list(source.notes)
    with strict_pillow():
        size = _first_size(source, data)
        num_bytes = len(source.names) * (data.channels or 3) * size[0] * size[1]
        in_ram = data.storage == "memory" or (data.storage == "auto" and fits(num_bytes))
        key = hashlib.sha256(f"{source.fingerprint} {data.image_size} {data.channels} {in_ram}".encode()).hexdigest()[:32]

        def make() -> _Checked:
            made = _decode_all(source, data, size, in_ram, progress)
            _stop_at_bad(source, data, made.bad)
            return made

        def read(facts: dict[str, Any], pixels_NCHW: np.ndarray | None) -> _Checked | None:
            """Return what is stored, or None where an image that could not be read can be by now: a zip can be mended with its list as it was."""
            kept = _from_facts(facts, pixels_NCHW)
            return kept if all(_is_bad(source, number, data) for number in kept.bad) else None

        checked, why = cached.once(cache, key, progress, pixels=in_ram, read=read, make=make, facts=lambda made: (_to_facts(made), made.pixels_NCHW))
        notes += [f"decoded images {why}"] if why else []
        _stop_at_bad(source, data, checked.bad)
    if checked.bad:
        names = [f"{source.names[i]} ({reason})" for i, reason in sorted(checked.bad.items())]
        all_named = "" if len(names) <= MOST_NAMED else " (data.bad_images=stop names each)"
        notes.append(f"skipped {count(len(names), 'image')}: {name_some(names)}{all_named}")
    numbers_N = torch.tensor([i for i in range(len(source.names)) if i not in checked.bad])
    if checked.pixels_NCHW is not None:
        images: Images = in_memory(torch.from_numpy(checked.pixels_NCHW))
    else:
        notes.append(f"streamed: {num_bytes / 1e9:.1f} GB do not fit in memory" if data.storage == "auto" else "streamed, as data.storage says")
        images = _streamed(source, data, checked.shape, numbers_N)
    return Loaded(
        name=path.stem if path.is_file() else path.resolve().name,
        classes=source.classes,
        images=images,
        labels_N=torch.tensor(source.labels)[numbers_N],
        is_test_N=torch.tensor(source.is_test)[numbers_N],
        numbers_N=numbers_N,
        moments_NC2=checked.moments_NC2,
        fingerprint=source.fingerprint,
        notes=tuple(notes),
        is_val_N=torch.tensor(source.is_val)[numbers_N] if source.is_val else None,
    )


def _streamed(source: Source, data: Data, shape: Shape, numbers_N: Tensor) -> Streamed:
    numbers = numbers_N.tolist()
    warnings.filterwarnings("ignore", module=r"PIL\.")  # for good, as threads decode from now on; all images were looked at before

    def decode_row(row: int) -> Tensor:
        number = numbers[row]
        try:
            pixels_CHW = decode(source.read(number), data.image_size, data.channels).pixels_CHW
        except BadImage as error:
            raise DataError(
                f"{source.path}: {source.names[number]} {error}; it could be read when the run began: put it back, and run again"
            ) from error
        if pixels_CHW.shape[1:] != shape[1:]:
            raise DataError(f"{source.path}: {source.names[number]} has changed its size since the run began: put it back, and run again")
        return torch.from_numpy(np.array(np.broadcast_to(pixels_CHW, shape)))

    return Streamed(decode_row, torch.arange(len(numbers)), shape, Workers(data.num_workers))


def _stop_at_bad(source: Source, data: Data, bad: dict[int, str]) -> None:
    if not bad:
        return
    lines = [f"{source.names[i]} {reason}" for i, reason in sorted(bad.items())]
    if data.bad_images == "stop":
        way_out = "mend or remove them, or set data.bad_images=skip"
        raise DataError(f"{source.path}: {count(len(bad), 'image')} cannot be used; {way_out}:\n  " + name_some(lines, "\n  ", MOST_BAD_NAMED))
    left = {source.labels[i] for i in range(len(source.names)) if i not in bad and not source.is_test[i] and not (source.is_val and source.is_val[i])}
    if lost := [name for label, name in enumerate(source.classes) if label not in left]:
        raise DataError(f"{source.path}: no training image can be read of {name_some(lost)}:\n  " + name_some(lines, "\n  ", MOST_BAD_NAMED))


def _first_size(source: Source, data: Data) -> tuple[int, int]:
    """Return the height and width that the images are to have: the size asked for, or that of the first image that can be read."""
    if data.image_size is not None:
        return data.image_size, data.image_size
    bad = {}
    for number in range(len(source.names)):
        try:
            width, height = _decode(source, number, data).size
            return height, width
        except BadImage as error:
            bad[number] = str(error)
    lines = [f"{source.names[i]} {reason}" for i, reason in bad.items()]
    raise DataError(f"{source.path}: none of its {len(bad):,} images can be used:\n  " + name_some(lines, "\n  ", MOST_BAD_NAMED))


def _decode(source: Source, number: int, data: Data) -> Decoded:
    return decode(source.read(number), data.image_size, data.channels)


def _is_bad(source: Source, number: int, data: Data) -> bool:
    try:
        _decode(source, number, data)
    except BadImage:
        return True
    return False


def _decode_all(source: Source, data: Data, size: tuple[int, int], keep: bool, progress: Progress) -> _Checked:
    """Decode every image in as many threads as there are processors; the pixels are kept if `keep`.

    Raises:
        DataError: the images have different sizes.
    """
    num, channels = len(source.names), data.channels or 3
    shape: Shape = (channels, *size)
    kept_NCHW = np.empty((num, *shape), np.uint8) if keep else None
    moments_NC2 = torch.zeros((num, channels, 2), dtype=torch.int64)
    sizes_N2, is_gray_N = np.zeros((num, 2), np.int64), np.ones(num, bool)
    bad: dict[int, str] = {}

    def work(start: int, stop: int) -> None:
        part_NCHW = np.zeros((stop - start, *shape), np.uint8) if kept_NCHW is None else kept_NCHW[start:stop]
        for number in range(start, stop):
            try:
                decoded = _decode(source, number, data)
            except BadImage as error:
                bad[number] = str(error)
                part_NCHW[number - start] = 0
                continue
            sizes_N2[number], is_gray_N[number] = decoded.size, decoded.gray
            if decoded.pixels_CHW.shape[1:] == size:
                part_NCHW[number - start] = decoded.pixels_CHW
        moments_NC2[start:stop] = moments_of(torch.from_numpy(part_NCHW))

    step = max(1, min(64, _CHUNK // (channels * size[0] * size[1])))
    done, task = 0, "decoding images" if keep else "checking images"
    with ThreadPoolExecutor(cached.num_threads()) as pool:
        jobs = {pool.submit(work, start, min(start + step, num)): min(step, num - start) for start in range(0, num, step)}
        try:
            for job in as_completed(jobs):
                job.result()
                done += jobs[job]
                progress(task, done, num)
        except BaseException:  # Ctrl-C, or a bug: do not decode the rest first
            pool.shutdown(cancel_futures=True)
            raise
    good_N = np.array([number not in bad for number in range(num)])
    _stop_at_sizes(source, data, sizes_N2, good_N, bad)
    if channels == 3 and data.channels is None and is_gray_N[good_N].all():
        shape = (1, *size)
    if kept_NCHW is not None and (bad or shape[0] != channels):
        kept_NCHW = np.ascontiguousarray(kept_NCHW[good_N][:, : shape[0]])
    return _Checked(shape, bad, moments_NC2[torch.from_numpy(good_N)][:, : shape[0]], kept_NCHW)


def _stop_at_sizes(source: Source, data: Data, sizes_N2: np.ndarray, good_N: np.ndarray, bad: dict[int, str]) -> None:
    (numbers,) = np.nonzero(good_N)
    if data.image_size is not None or len(np.unique(sizes_N2[numbers], axis=0)) < 2:
        return
    areas = sizes_N2[numbers].prod(1)
    ends = [(what, numbers[at]) for what, at in (("smallest", areas.argmin()), ("largest", areas.argmax()))]
    text = " and ".join(f"the {what} is {sizes_N2[i][0]} x {sizes_N2[i][1]} ({printable(source.names[i])})" for what, i in ends)
    problem = f"{source.path}: its images have different sizes, {text}; set one for all, such as data.image_size=64"
    try:
        _stop_at_bad(source, data, bad)
    except DataError as error:
        problem += f"\n{error}"
    raise DataError(problem)


# --- what the cache keeps --------------------------------------------------------------------------------------------------------------------


def _to_facts(checked: _Checked) -> dict[str, Any]:
    moments = base64.b64encode(checked.moments_NC2.contiguous().numpy().tobytes()).decode()
    return {"shape": list(checked.shape), "bad": {str(i): reason for i, reason in checked.bad.items()}, "moments": moments}


def _from_facts(facts: dict[str, Any], pixels_NCHW: np.ndarray | None) -> _Checked:
    channels, height, width = facts["shape"]
    moments = np.frombuffer(bytearray(base64.b64decode(facts["moments"])), np.int64).reshape(-1, channels, 2)
    return _Checked((channels, height, width), {int(i): reason for i, reason in facts["bad"].items()}, torch.from_numpy(moments), pixels_NCHW)
