"""A folder of mixed, partly hostile images, made from a seed: what people have on their disks, and what somebody would send to do harm.

`hostile_folder(path)` writes about 2,000 files in classes of very unlike size and returns which cannot be used (`bad`), which can, and what is no
image.
Images of class k are bright in its own corner, so that a network can learn something.
"""

import io
import os
import struct
import unicodedata
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

# Class folders, of unlike size, with the names that disks have.
CLASSES = {
    "plain": 900,
    "with spaces and 'quotes'": 420,
    unicodedata.normalize("NFC", "caf\u00e9"): 240,
    "-n": 160,
    "\u05d0\u05d1\u05d2 \u202erev": 120,  # right to left, with an override
    "\u6f22" * 80: 90,  # 240 bytes
    "few": 3,
}


@dataclass
class Hostile:
    """What `hostile_folder` wrote: names relative to the folder."""

    good: list[str] = field(default_factory=list)
    bad: dict[str, str] = field(default_factory=dict)  # name -> what is wrong with it
    no_images: list[str] = field(default_factory=list)


def picture(generator: np.random.Generator, label: int, height: int, width: int) -> np.ndarray:
    """Return pixels_HW3 of noise with a bright patch whose place tells the label."""
    pixels = generator.integers(0, 120, (height, width, 3), dtype=np.uint8)
    top, left = (label % 3) * height // 3, (label // 3) * width // 3
    pixels[top : top + max(1, height // 3), left : left + max(1, width // 3)] += 120
    return pixels


def save(image: Image.Image, form: str, **options: object) -> bytes:
    """Return the content of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG with a right checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def lying_png(width: int, height: int, rows: bytes = b"", bits: int = 0) -> bytes:
    """Return a PNG whose header says `width` x `height`, with compressed rows of something else."""
    header = struct.pack(">IIBBBBB", width, height, bits or 8, 0 if bits else 2, 0, 0, 0)  # gray of so many bits, or color
    parts = png_chunk(b"IHDR", header), png_chunk(b"IDAT", zlib.compress(rows)), png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def plain_content(generator: np.random.Generator, label: int, number: int) -> tuple[str, bytes]:
    """Return a suffix and the content of an image of one of many kinds that must all be read."""
    height, width = (int(n) for n in generator.integers(8, 80, 2))
    rgb = Image.fromarray(picture(generator, label, height, width))
    kinds = {
        ".jpg": lambda: save(rgb, "JPEG", quality=85),
        ".JPG": lambda: save(rgb.convert("L"), "JPEG"),
        ".jpeg": lambda: save(rgb.convert("CMYK"), "JPEG"),
        ".png": lambda: save(rgb, "PNG"),
        "_gray.png": lambda: save(rgb.convert("L"), "PNG"),
        "_rgba.png": lambda: save(_rgba(rgb, generator), "PNG"),
        "_la.png": lambda: save(_rgba(rgb, generator).convert("LA"), "PNG"),
        "_palette.png": lambda: save(rgb.quantize(32), "PNG"),
        "_transparent_palette.png": lambda: save(rgb.quantize(16), "PNG", transparency=3),
        "_bits.png": lambda: save(rgb.convert("1"), "PNG"),
        "_16.png": lambda: save(Image.fromarray(np.asarray(rgb.convert("L")).astype(np.uint16) * 257), "PNG"),
        "_16.tif": lambda: save(Image.fromarray(np.asarray(rgb.convert("L")).astype(np.uint16) * 257), "TIFF"),
        ".tiff": lambda: save(rgb, "TIFF", compression="tiff_lzw"),
        ".bmp": lambda: save(rgb, "BMP"),
        ".webp": lambda: save(rgb, "WEBP", quality=80),
        ".ppm": lambda: save(rgb, "PPM"),
        ".gif": lambda: save(rgb, "GIF", save_all=True, append_images=[rgb.rotate(90 * n, expand=True) for n in range(1, 4)], duration=40),
        "_turned.jpg": lambda: save(rgb, "JPEG", exif=_orientation(int(generator.integers(1, 9)))),
        "_bad_exif.jpg": lambda: save(rgb, "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff"),
        "_is_a_png.jpg": lambda: save(rgb, "PNG"),
        "_is_a_gif.png": lambda: save(rgb, "GIF"),
        "_pixel.png": lambda: save(rgb.resize((1, 1)), "PNG"),
        "_line.png": lambda: save(rgb.resize((300, 1)), "PNG"),
    }
    suffix = list(kinds)[number % len(kinds)]
    return suffix, kinds[suffix]()


def _rgba(rgb: Image.Image, generator: np.random.Generator) -> Image.Image:
    alpha = generator.integers(0, 256, (rgb.height, rgb.width), dtype=np.uint8)
    rgb = rgb.copy()
    rgb.putalpha(Image.fromarray(alpha))
    return rgb


def _orientation(number: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = number
    return exif


def huge_contents() -> dict[str, bytes]:
    """Return images of about 60 million pixels, small as files, in the modes that take the most memory."""
    side = 7800
    return {
        "huge_rgba.png": save(Image.new("RGBA", (side, side), (200, 10, 10, 128)), "PNG", compress_level=1),
        "huge_16.png": save(Image.fromarray(np.full((side, side), 30_000, np.uint16)), "PNG", compress_level=1),
        "huge_turned.jpg": save(Image.new("RGB", (side, side), (10, 200, 10)), "JPEG", exif=_orientation(6)),
        "huge_palette.png": save(Image.new("P", (side, side), 1), "PNG", compress_level=1, transparency=0),
        "wide.png": save(Image.new("RGB", (60_000, 20), (9, 9, 200)), "PNG"),
    }


def bad_contents() -> dict[str, tuple[bytes, str]]:
    """Return contents that are no usable image, and what is wrong with each."""
    rgb = Image.fromarray(picture(np.random.default_rng(0), 0, 40, 40))
    jpeg, png, tiff, webp = (save(rgb, form) for form in ("JPEG", "PNG", "TIFF", "WEBP"))
    bomb = lying_png(30_000, 30_000, bytes(30_000 * (1 + 30_000 // 8)), bits=1)  # tells the truth: 900 million pixels in 100 kB
    flipped = bytearray(png)
    flipped[len(png) // 2] ^= 0xFF
    text = png_chunk(b"zTXt", b"comment\x00\x00" + zlib.compress(b"a" * 20_000_000, 9))
    return {
        "empty.jpg": (b"", "zero bytes"),
        "one.png": (b"\x89", "one byte"),
        "cut.jpg": (jpeg[: len(jpeg) // 2], "truncated"),
        "cut.png": (png[: len(png) // 2], "truncated"),
        "cut.tif": (tiff[: len(tiff) // 2], "truncated"),
        "cut.webp": (webp[: len(webp) // 2], "truncated"),
        "flipped.png": (bytes(flipped), "damaged"),
        "text.jpg": (b"this is no image\n" * 50, "text"),
        "page.png": (b"<html><body>404 not found</body></html>", "a web page"),
        "noise.bmp": (np.random.default_rng(1).bytes(5000), "noise"),
        "lying_small.png": (lying_png(500, 500, b"\x00" * 100), "a header that says more than there is"),
        "lying_huge.png": (lying_png(50_000, 50_000, b"\x00" * 100), "a header that says 2.5 billion pixels"),
        "lying_none.png": (lying_png(0, 0), "no pixels"),
        "bomb.png": (bomb, "900 million pixels"),
        "bomb_text.png": (png[:33] + text + png[33:], "20 MB of text in its header"),
        "lying.gif": (b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b";", "a GIF without a frame"),
        "lying.bmp": (b"BM" + struct.pack("<IHHIIiiHHIIiiII", 70, 0, 0, 54, 40, 1 << 30, 1 << 30, 1, 24, 0, 16, 0, 0, 0, 0), "a BMP of 2^60 pixels"),
        "float.tif": (save(Image.fromarray(np.ones((9, 9), np.float32)), "TIFF"), "floating-point pixels"),
        "eps.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "a program for a printer"),
    }


def hostile_folder(folder: Path, *, num: int = 2000, huge: bool = True, seed: int = 0) -> Hostile:
    """Write the folder: `train/<class>/*` with about `num` files, all kinds in each class that is large enough."""
    made = Hostile()
    generator = np.random.default_rng(seed)
    share = num / sum(CLASSES.values())

    def put(*parts: str | bytes, content: bytes) -> str:
        path = os.path.join(os.fsencode(folder), *(os.fsencode(p) for p in parts))  # noqa: PTH118
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(content)
        return os.fsdecode(os.path.relpath(path, os.fsencode(folder)))

    for label, (name, count) in enumerate(CLASSES.items()):
        for number in range(max(3, round(count * share))):
            suffix, content = plain_content(generator, label, number)
            made.good.append(put("train", name, f"{number:04d}{suffix}", content=content))
    bad = list(bad_contents().items())
    for number, (name, (content, why)) in enumerate(bad):
        made.bad[put("train", list(CLASSES)[number % 4], name, content=content)] = why
    whole = save(Image.fromarray(picture(generator, 0, 40, 40)), "JPEG")
    for number in range(30):
        made.bad[put("train", "plain", f"cut {number}.jpg", content=whole[: 100 + 20 * number])] = "truncated"
    for name, content in (huge_contents() if huge else {}).items():
        made.good.append(put("train", "plain", name, content=content))
    _, content = plain_content(generator, 0, 3)
    for odd in ODD_NAMES:
        made.good.append(put("train", "plain", odd, content=content))
    nfd = unicodedata.normalize("NFD", "caf\u00e9")
    made.good.append(put("train", nfd, "other form.png", content=content))
    made.good.append(put("train", "plain", "in", "folders", "below.png", content=content))
    for name in ("notes.txt", "labels.csv", "clip.mp4", "archive.zip", "noextension", "script.py"):
        made.no_images.append(put("train", "plain", name, content=b"no image"))
    for name in (".DS_Store", "Thumbs.db", "._0001.jpg"):
        put("train", "plain", name, content=b"left behind by a system")
    (folder / "train" / "plain" / "link.png").symlink_to("nowhere.png")
    made.bad["train/plain/link.png"] = "a link to nowhere"
    return made


# Names of files that must all be read. The last is not UTF-8.
ODD_NAMES: tuple[str | bytes, ...] = (
    " leading and trailing .png",
    "-rf.png",
    "--help.png",
    "new\nline.png",
    "tab\t and \x1b[31mcolor.png",
    "semi;colon&and|pipe$(x).png",
    "\u202egnp.exe.png",
    "\u0645\u0631\u062d\u0628\u0627.png",
    unicodedata.normalize("NFC", "\u00fcn\u00ef.png"),
    unicodedata.normalize("NFD", "\u00fcn\u00ef.png"),
    "x" * 251 + ".png",
    "%s%n{0}.png",
    "UPPER.PNG",
    b"latin-\xe9.png",
)
