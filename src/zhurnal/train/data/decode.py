"""One image file becomes pixels: uint8, upright as its EXIF says, gray or color, resized if asked.

Formats: JPEG, PNG, BMP, GIF and TIFF (first frame), WEBP, PPM. Transparent pixels are laid on black. 16-bit gray becomes 8-bit. A JPEG much larger
than the size asked for is decoded at a half, quarter or eighth, never below twice that size. Any image of more than 4 million pixels is averaged over
whole blocks first, never below twice that size: so one takes the memory of its own pixels and little more.
"""

import ctypes
import io
import platform
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".pnm"})
LARGEST = 64_000_000  # pixels
LARGE = 4_000_000  # pixels; of larger images one at a time is decoded, whatever the number of threads
_one_large = threading.Lock()
_MALLOC_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None) if platform.system() == "Linux" else None  # of glibc alone
# EXIF's orientation -> what makes the image upright.
_TURNS = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90"}
_QUARTERS = ("TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90")
# What Pillow's readers raise on damaged files.
DAMAGED = (OSError, ValueError, TypeError, LookupError, EOFError, ArithmeticError, SyntaxError, RuntimeError, MemoryError, struct.error, zlib.error)
_GRAY = ("1", "L", "LA", "La")


class BadImage(Exception):
    """A file that cannot be used as an image; the text says why."""


@dataclass(frozen=True)
class Decoded:
    """Pixels of one image, its width and height before resizing, and whether it is gray (the pixels may be color all the same)."""

    pixels_CHW: np.ndarray
    size: tuple[int, int]
    gray: bool


def decode(content: bytes, image_size: int | None, channels: int | None) -> Decoded:
    """Return the pixels of an image file, uint8 pixels_CHW.

    `image_size` is the height and width to resize to (the square in the middle of the upright image, bilinear and antialiased), None keeps the size.
    `channels` is 1 or 3, None takes what the image has.

    Raises:
        BadImage: the file is no image of a known format, is damaged or cut off, or has more than 64 million pixels.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            num_pixels = image.width * image.height
            if num_pixels > LARGEST:
                raise BadImage(f"{image.width} x {image.height} pixels are more than {LARGEST // 1_000_000} million")
            with _one_at_a_time() if num_pixels > LARGE else nullcontext():
                return _decode(image, image_size, channels)
    except UnidentifiedImageError:
        raise BadImage(f"is no {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImage(str(error)) from error
    except DAMAGED as error:
        raise BadImage(f"cannot be decoded ({error or type(error).__name__})") from error


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Decode a large image while no other thread does; then let the system have the memory, which glibc would keep for each thread by itself."""
    with _one_large:
        try:
            yield
        finally:
            if _MALLOC_TRIM is not None:
                _MALLOC_TRIM(0)


def to_pixels(plain: "Image", image_size: int | None) -> np.ndarray:
    """Return pixels_CHW of an "L" or "RGB" image; the square in its middle in `image_size`, where that is not None."""
    from PIL import Image

    if image_size is not None:
        side = min(plain.size)
        left, top = (plain.width - side) / 2, (plain.height - side) / 2
        plain = plain.resize((image_size, image_size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
    array = np.asarray(plain)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def _decode(image: "Image", image_size: int | None, channels: int | None) -> Decoded:
    """Return the pixels of an opened image. It is closed as soon as its own pixels are not needed any more."""
    from PIL import Image

    size = image.size
    if image_size is not None:
        image.draft(None, (2 * image_size, 2 * image_size))
    image.load()
    turn = _TURNS.get(image.getexif().get(0x0112, 1))
    gray = image.mode in _GRAY or image.mode.startswith("I")
    block = 1 if image_size is None else max(1, min(image.size) // (2 * image_size))
    plain = to_mode(image, "L" if (gray if channels is None else channels == 1) else "RGB", block)
    if plain is not image:
        image.close()
    if turn is not None:
        plain = plain.transpose(Image.Transpose[turn])
        size = size[::-1] if turn in _QUARTERS else size
    return Decoded(to_pixels(plain, image_size), size, gray)


def to_mode(image: "Image", mode: str, block: int = 1) -> "Image":
    """Return the image as 8-bit "L" or "RGB". A large one is converted in bands, and averaged over blocks of `block` x `block` pixels."""
    from PIL import Image

    if image.mode == "F":
        raise BadImage("has floating-point pixels; save it with 8 or 16 bits")
    if image.width * image.height <= LARGE:
        return _converted(image, mode)
    if block == 1 and image.mode == mode and not image.has_transparency_data:
        return image
    plain = Image.new(mode, (-(-image.width // block), -(-image.height // block)))
    rows = max(1, LARGE // image.width // block) * block
    for top in range(0, image.height, rows):
        band = image.crop((0, top, image.width, min(top + rows, image.height)))
        plain.paste(_converted(band, mode).reduce(block), (0, top // block))
    return plain


def _converted(image: "Image", mode: str) -> "Image":
    from PIL import Image

    if image.mode.startswith("I"):
        values_HW = np.asarray(image).astype(np.int64)
        if values_HW.min() < 0 or values_HW.max() > 65535:
            raise BadImage("has pixels outside 0 to 65,535; save it with 8 or 16 bits")
        image = Image.fromarray(((values_HW + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    return image if image.mode == mode else image.convert(mode)


@contextmanager
def strict_pillow() -> Iterator[None]:
    """Make Pillow's warning about huge images an error and silence the others, in all threads: they are about metadata, which is not used."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield
