"""Zip files made to harm, given as data: nothing is written anywhere, no more than a few megabytes are unpacked, and what is wrong is told."""

import io
import struct
import zipfile
import zlib
from pathlib import Path

from PIL import Image

from zhurnal.core.errors import DataError
from zhurnal.train.data import source
from zhurnal.train.data.decode import BadImage

from .forks import measured
from .tally import Tally

MOST_SECONDS, MOST_BYTES = 1.0, 200_000_000
LINK = 0o120777 << 16


def _png() -> bytes:
    out = io.BytesIO()
    Image.new("L", (4, 4), 7).save(out, "PNG")
    return out.getvalue()


GOOD = {f"{c}/{i}.png": _png() for c in ("a", "b") for i in range(2)}


def _zip(extra: dict[str, bytes] | None = None, *, twice: str = "", link: str = "", kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", kind) as packed:
        for name, content in (GOOD | (extra or {})).items():
            info = zipfile.ZipInfo("x")
            info.filename = name  # as it is: the class would mend it
            info.compress_type = kind
            if name == link:
                info.external_attr = LINK
            packed.writestr(info, content)
        if twice:
            packed.NameToInfo.pop(twice)  # else a warning
            packed.writestr(zipfile.ZipInfo(twice), _png())
    return out.getvalue()


def _patched(data: bytes, mark: bytes, offset: int, value: bytes, last: bool = False) -> bytes:
    """Return data with `value` at `offset` behind the first (or last) `mark`."""
    at = (data.rfind(mark) if last else data.find(mark)) + offset
    return data[:at] + value + data[at + len(value) :]


def _long_list() -> bytes:
    """Return a zip whose list of members has 70 MB of empty names."""
    entry = b"PK\1\2" + struct.pack("<6H3L5H2L", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"x"
    body = entry * (70_000_000 // len(entry))
    return body + b"PK\5\6" + struct.pack("<4H2LH", 0, 0, 0xFFFF, 0xFFFF, len(body), 0, 0)


def _bomb() -> bytes:
    """Return a zip with 200 MB of zeros in 200 kB, as a picture."""
    return _zip({"a/bomb.png": bytes(200_000_000)})


CENTRAL, END = b"PK\1\2", b"PK\5\6"
# What it is, how it is made, and what is told (a part of it); empty where the rest of it may be read.
ARCHIVES = (
    ("up", lambda: _zip({"../outside.png": b"x"}), "reach outside"),
    ("up inside", lambda: _zip({"a/../../outside.png": b"x"}), "reach outside"),
    ("absolute", lambda: _zip({"/tmp/outside.png": b"x"}), "reach outside"),
    ("a drive", lambda: _zip({"C:/outside.png": b"x"}), "reach outside"),
    ("a drive, backslashes", lambda: _zip({"C:\\outside.png": b"x"}), "reach outside"),
    ("up, backslashes", lambda: _zip({"..\\outside.png": b"x"}), "reach outside"),
    ("a share", lambda: _zip({"\\\\host\\x.png": b"x"}), "reach outside"),
    ("a null character", lambda: _zip({"a/x\0.png": b"x"}), "reach outside"),
    ("a link", lambda: _zip({"a/link.png": b"/etc/passwd"}, link="a/link.png"), "are links"),
    ("a link to a folder", lambda: _zip({"a/link": b"/"}, link="a/link"), "are links"),
    ("a name twice", lambda: _zip(twice="a/0.png"), "stand twice"),
    ("a name twice, written otherwise", lambda: _zip({"a//0.png": b"x"}), "stand twice"),
    ("a thousand to one", _bomb, "packed more than 100 to 1"),
    ("sizes that lie: small", lambda: _patched(_bomb(), CENTRAL, 24, struct.pack("<L", 100), last=True), "cannot be read"),
    ("sizes that lie: large", lambda: _patched(_zip(), CENTRAL, 24, struct.pack("<L", 0xFFFFFFF0)), "more than 256 MB"),
    ("a list of 70 MB", _long_list, "its list of members has"),
    ("a sum that is wrong", lambda: _patched(_zip(), CENTRAL, 16, b"\1\2\3\4"), "cannot be read"),
    ("a way of packing that is not known", lambda: _patched(_zip(), CENTRAL, 10, struct.pack("<H", 99)), "cannot be read"),
    ("a password", lambda: _patched(_zip(), CENTRAL, 8, struct.pack("<H", 1)), "with a password"),
    ("cut off", lambda: _zip()[:-30], "neither a folder nor a zip"),
    ("cut in the middle", lambda: _zip()[:200], "neither a folder nor a zip"),
    ("no zip", lambda: zlib.compress(b"x" * 1000), "neither a folder nor a zip"),
    ("nothing", lambda: b"", "neither a folder nor a zip"),
    ("an empty zip", lambda: END + bytes(18), "has no class folders"),
    ("a zip in a zip", lambda: _zip({"a/inner.zip": _zip()}), ""),
    ("a name of 60,000 characters", lambda: _zip({"a/" + "x" * 60_000 + ".png": _png()}), ""),
    ("2,000 folders deep", lambda: _zip({"a/" + "d/" * 2000 + "x.png": _png()}), ""),
    ("a file and a folder of one name", lambda: _zip({"a/0.png/x.png": _png()}), ""),
    ("control characters", lambda: _zip({"a/\x1b[2J\u202e.png": b"x"}), ""),
    ("a program in front", lambda: b"#!/bin/sh\ntouch outside\n" + _zip(), ""),
)


def _read(path: Path) -> str:
    try:
        found = source.scan(path, path.parent / "cache", lambda *_: None)
    except DataError as error:
        return f"told: {error}"
    told = []
    for number in range(len(found.names)):
        try:
            found.read(number)
        except BadImage as error:
            told.append(f"told: {error}")
    return "; ".join(told) or "read"


def archives(tally: Tally) -> None:
    """Read each of ARCHIVES as data."""
    path = tally.folder / "inside" / "photos.zip"
    path.parent.mkdir()
    for name, make, told in ARCHIVES:
        path.write_bytes(make())
        cost = measured(lambda: _read(path))
        held = told in cost.ended and cost.ended.startswith(("told", "read")) and cost.seconds < MOST_SECONDS and cost.num_bytes < MOST_BYTES
        beside = {p.name for p in tally.folder.iterdir()} | {p.name for p in path.parent.iterdir()}
        held = held and "\x1b" not in cost.ended and beside == {"inside", "photos.zip"} and not Path("/tmp/outside.png").exists()
        tally.count(held, f"{name}: {cost.seconds:.1f} s, {cost.num_bytes / 1e6:.0f} MB, {cost.ended[:200]}, {sorted(beside)}")
