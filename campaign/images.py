"""Image files made to harm: decoded alike each time, or refused with a reason; never more than a gigabyte held."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from zhurnal.train.data import decode
from zhurnal.train.data.decode import BadImage

from .forks import measured
from .tally import Tally

MOST_SECONDS, MOST_BYTES = 5.0, 1_000_000_000
MODES = {"PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"), "JPEG": ("L", "RGB", "CMYK"), "GIF": ("L", "P"), "TIFF": ("1", "L", "RGB", "CMYK", "F"),
         "WEBP": ("RGB", "RGBA"), "BMP": ("1", "L", "RGB"), "PPM": ("L", "RGB")}  # fmt: skip


def _saved(image: Image.Image, form: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def _noise(mode: str) -> Image.Image:
    pixels_HWC = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    image = Image.fromarray(pixels_HWC)
    return Image.fromarray(pixels_HWC[:, :, 0].astype(np.uint16) * 200) if mode == "I;16" else image.convert(mode)


def _png(width: int, height: int, packed: bytes) -> bytes:
    """Return a gray PNG that says it is so large, with these packed rows."""
    chunks = ((b"IHDR", struct.pack(">2L5B", width, height, 8, 0, 0, 0, 0)), (b"IDAT", packed), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">L", len(c)) + k + c + struct.pack(">L", zlib.crc32(k + c)) for k, c in chunks)


def files() -> list[tuple[str, bytes, str]]:
    """Return what each is, its content, and what is told (a part of it); empty where it may be read, `=` where it must be."""
    jpeg, png = _saved(_noise("RGB"), "JPEG"), _saved(_noise("RGB"), "PNG")
    rows = zlib.compress(bytes(41 * 30))
    frames = [Image.new("P", (8, 8), i % 250) for i in range(2000)]
    found = [(f"{form} {mode}", _saved(_noise(mode), form), "floating-point" if mode == "F" else "=") for form, ms in MODES.items() for mode in ms]
    found += [(f"JPEG cut at {part} %", jpeg[: len(jpeg) * part // 100], "told") for part in (5, 30, 60, 90)]
    found += [(f"PNG cut at {part} %", png[: len(png) * part // 100], "told") for part in (5, 30, 60, 90)]
    found += [(f"PNG of {w} x {h}", _png(w, h, rows), "pixels") for w, h in ((9000, 9000), (12_000, 12_000), (60_000, 60_000), (2**31 - 1, 1))]
    found += [
        ("PNG of no pixel", _png(0, 0, rows), "told"),
        ("PNG of one pixel", _png(1, 1, zlib.compress(b"\0\7")), "="),
        ("PNG with fewer rows than it says", _png(40, 3000, rows), ""),
        ("PNG with a chunk of 2 GB", png[:33] + struct.pack(">L", 2**31 - 1) + png[37:], ""),
        ("GIF of 2,000 frames", _saved(frames[0], "GIF", save_all=True, append_images=frames[1:]), "="),
        ("JPEG that is turned", _saved(_noise("RGB"), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"), "="),
        ("SVG", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "is no"),
        ("HTML", b"<html><script>alert(1)</script></html>", "is no"),
        ("PDF", b"%PDF-1.4\n%%EOF", "is no"),
        ("EPS", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "is no"),
        ("nothing", b"", "is no"),
        ("text", b"not an image\n" * 100, "is no"),
        ("a program behind an image", png + b"#!/bin/sh\ntouch outside\n", "="),
        ("PPM of 10^9 pixels", b"P6 32000 32000 255\n", "pixels"),
    ]  # fmt: skip
    return found


def hostile_images(tally: Tally) -> None:
    """Decode each file twice, at its size and to 16 pixels."""

    def read(content: bytes) -> str:
        try:
            with decode.strict_pillow():
                return f"={decode.decode(content, None, 3).pixels_CHW.shape} {decode.decode(content, 16, 3).pixels_CHW.sum()}"
        except BadImage as error:
            return f"told: {error}"

    for name, content, told in files():
        first, second = measured(lambda content=content: read(content)), measured(lambda content=content: read(content))  # type: ignore[misc]
        held = first.ended == second.ended and told in first.ended and first.ended.startswith(("=", "told"))
        held = held and first.seconds < MOST_SECONDS and first.num_bytes < MOST_BYTES
        tally.count(held, f"{name}: {first.seconds:.1f} s, {first.num_bytes / 1e6:.0f} MB, {first.ended[:150]}, then {second.ended[:50]}")
