"""Penn-Fudan's pedestrians as a data set to classify: square crops of `person` and of `background`, cut out by the masks.

Layout: `PNGImages/*.png` and `PedMasks/<name>_mask.png`, whose pixels are 0 for background and 1, 2, ... for each person (Wang, Shi, Song and Shen
2007, "Object detection combining recognition and segmentation"). The set is made for detection; this is the smallest use of it that a classifier has:
- each person gives one crop, the smallest square around its mask that the photograph has room for;
- and one of background of the same side, at a place without any person, drawn from the file's name; where 64 draws find none, there is none;
- photographs, not crops, are parted: of each five in the order of their names, the fourth is for validation and the fifth for testing.
"""

import hashlib
import io
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...core.errors import DataError
from ...core.progress import Progress
from ...core.text import count
from .. import random
from .decode import BadImage, decode
from .entries import check_classes
from .source import Source, name_some

CLASSES = ("background", "person")
SMALLEST = 8  # pixels: persons with a smaller box are left out
_DRAWS = 64
_PARTS = ("train", "train", "train", "val", "test")


@dataclass(frozen=True)
class _Crop:
    photo: Path
    left: int
    top: int
    side: int
    label: int
    part: str


def scan_penn_fudan(path: Path, progress: Progress) -> Source:
    """Return the crops of persons and background.

    Raises:
        DataError: folders or masks are missing or cannot be read; all problems at once.
    """
    photos = sorted(p for p in (path / "PNGImages").glob("*.png") if not p.name.startswith("."))  # ._x.png: what macOS puts beside a file
    if not photos or not (path / "PedMasks").is_dir():
        raise DataError(f"data.path: {path} must hold PNGImages/*.png and PedMasks/<name>_mask.png")
    problems: list[str] = []
    crops: list[_Crop] = []
    digest = hashlib.sha256()
    for number, photo in enumerate(photos):
        mask_file = path / "PedMasks" / f"{photo.stem}_mask.png"
        try:
            mask_HW = _mask(mask_file)
            content = photo.read_bytes()
        except (OSError, BadImage) as error:
            problems.append(f"{mask_file.name}: {error}")
            continue
        digest.update(hashlib.sha256(content).digest() + hashlib.sha256(mask_HW.tobytes()).digest() + photo.name.encode(errors="surrogateescape"))
        crops += _crops(photo, mask_HW, _PARTS[number % len(_PARTS)])
        progress("reading masks", number + 1, len(photos))
    if problems:
        raise DataError(f"{path}: {count(len(problems), 'photograph')} without a mask that can be used:\n  " + name_some(problems, "\n  "))
    crops.sort(key=lambda c: ("train", "val", "test").index(c.part))
    names = [CLASSES[c.label] for c in crops if c.part == "train"]
    check_classes(str(path), CLASSES, names, [])
    return Source(
        path=path,
        classes=CLASSES,
        names=tuple(f"{c.photo.parent.name}/{c.photo.name} at {c.left},{c.top} of side {c.side}" for c in crops),
        labels=tuple(c.label for c in crops),
        is_test=tuple(c.part == "test" for c in crops),
        fingerprint=digest.hexdigest(),
        notes=(f"{len(crops):,} square crops of persons and background from {count(len(photos), 'photograph')}, parted by photograph",),
        read=lambda number: _read(crops[number]),
        is_val=tuple(c.part == "val" for c in crops) if any(c.part == "val" for c in crops) else (),
    )


def _mask(file: Path) -> np.ndarray:
    """Return the numbers of persons, mask_HW."""
    from PIL import Image

    try:
        with Image.open(file, formats=["PNG"]) as image:
            if image.width * image.height > 64_000_000 or image.mode not in ("L", "P", "I", "I;16", "1"):
                raise BadImage(f"is {image.width} x {image.height} of mode {image.mode}, must be gray or palette with a number for each person")
            return np.asarray(image).astype(np.int64)
    except FileNotFoundError:
        raise BadImage("does not exist") from None
    except (ValueError, SyntaxError, OSError) as error:
        raise BadImage(f"cannot be read ({error})") from error


def _crops(photo: Path, mask_HW: np.ndarray, part: str) -> list[_Crop]:
    height, width = mask_HW.shape
    crops = []
    inside = mask_HW > 0
    sums = np.pad(inside.cumsum(0).cumsum(1), ((1, 0), (1, 0)))  # how many person pixels lie above and left of a corner
    for person in np.unique(mask_HW[inside]).tolist():
        ys, xs = np.nonzero(mask_HW == person)
        box = ys.max() - ys.min() + 1, xs.max() - xs.min() + 1
        side = int(min(max(box), height, width))
        if min(box) < SMALLEST:
            continue
        top = int(np.clip((ys.min() + ys.max() + 1 - side) // 2, 0, height - side))
        left = int(np.clip((xs.min() + xs.max() + 1 - side) // 2, 0, width - side))
        crops.append(_Crop(photo, left, top, side, 1, part))
        draws_D2 = random.uniform(zlib.crc32(photo.name.encode(errors="surrogateescape")), random.SPLIT, int(person), torch.arange(_DRAWS), 2)
        for y, x in (draws_D2 * torch.tensor([height - side + 1, width - side + 1])).to(torch.int64).tolist():
            if sums[y + side, x + side] - sums[y, x + side] - sums[y + side, x] + sums[y, x] == 0:
                crops.append(_Crop(photo, x, y, side, 0, part))
                break
    return crops


def _read(crop: _Crop) -> bytes:
    """Return a crop as the content of a PPM file."""
    from PIL import Image

    try:
        pixels_CHW = decode(crop.photo.read_bytes(), None, 3).pixels_CHW
    except OSError as error:
        raise BadImage(f"cannot be read ({error})") from error
    if crop.top + crop.side > pixels_CHW.shape[1] or crop.left + crop.side > pixels_CHW.shape[2]:
        raise BadImage("is smaller than its mask")
    part = pixels_CHW[:, crop.top : crop.top + crop.side, crop.left : crop.left + crop.side]
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(part.transpose(1, 2, 0))).save(buffer, "PPM")
    return buffer.getvalue()
