"""How a figure is set up, turned into bytes and put on disk; what is on it is drawn in the files beside this one.

A figure's file carries a stamp: a digest of what was drawn, and one of the file itself. Whether it still shows what the records hold is read off the
stamp, without drawing: another version of matplotlib, or other fonts, draw the same curves in other bytes. A PNG has it as a text chunk, an SVG as a
comment at its end: `zhurnal source=0123456789abcdef file=0123456789abcdef`.
"""

import hashlib
import io
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..store import files

_LOCK = threading.Lock()  # matplotlib's settings are global while a figure is drawn


@contextmanager
def matplotlib() -> Iterator[None]:
    """Set matplotlib up for the time of one figure, whatever the user's own settings are."""
    import matplotlib as library

    with _LOCK, library.rc_context():
        library.rcdefaults()
        library.rcParams.update(
            {
                "svg.fonttype": "none", "svg.hashsalt": "zhurnal", "text.parse_math": False, "font.size": 9,
                "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#888888", "axes.linewidth": 0.8,
                "axes.labelcolor": "#333333",
                "axes.titlesize": 10.5, "axes.titlelocation": "left", "axes.titleweight": "bold", "axes.titlepad": 10, "text.color": "#222222",
                "xtick.color": "#888888", "ytick.color": "#888888", "xtick.labelcolor": "#333333", "ytick.labelcolor": "#333333",
                "axes.grid": True, "axes.grid.axis": "y", "grid.color": "#E4E4E4", "grid.linewidth": 0.7, "axes.axisbelow": True,
                "legend.frameon": False, "legend.fontsize": 8, "lines.solid_capstyle": "round", "savefig.dpi": 150,
            }
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing")  # a name in a script that the font lacks: the SVG shows it
            yield


def encode(figure: Any, formats: Sequence[str] = ("png", "svg")) -> dict[str, bytes]:
    """Return a figure's bytes for each format, without dates: the same figure gives the same bytes."""
    result = {}
    for ending in formats:
        out = io.BytesIO()
        figure.savefig(out, format=ending, metadata={"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}.get(ending))
        result[ending] = out.getvalue()
    return result


def put(folder: Path, stem: str, rendered: Mapping[str, bytes], source: str = "") -> list[Path]:
    """Write a figure's files, `stem.png` and `stem.svg`, leaving alone those whose bytes would not change; return where they are.

    `source` is the digest of what was drawn, which goes into the stamp; without it, there is none.
    """
    if rendered:
        folder.mkdir(parents=True, exist_ok=True)
    written = []
    for ending, drawn in rendered.items():
        data = stamped(drawn, ending, source) if source else drawn
        path = folder / f"{stem}.{ending}"
        if not path.is_file() or path.read_bytes() != data:
            files.write(path, data)
        written.append(path)
    return written


# --- stamps ---


@dataclass(frozen=True)
class Stamp:
    """What a figure's file says of itself."""

    source: str  # digest of what was drawn
    intact: bool  # whether the file is as it was drawn


_TEXT = "zhurnal source={} file={}"
_IN_FILE = re.compile(rb"zhurnal source=([0-9a-f]{16}) file=([0-9a-f]{16})")
_PNG_END = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
_PNG_KEY = b"tEXtComment\0"


def digest(*parts: bytes) -> str:
    """Return 16 hexadecimal digits for some bytes, in their order."""
    found = hashlib.sha256()
    for part in parts:
        found.update(struct.pack("<Q", len(part)) + part)
    return found.hexdigest()[:16]


def stamped(data: bytes, ending: str, source: str) -> bytes:
    """Return a figure's file with its stamp."""
    if ending == "png":
        if not data.endswith(_PNG_END):
            raise ValueError("this is no PNG file")
        return data[: -len(_PNG_END)] + _chunk(_TEXT.format(source, digest(data)).encode()) + _PNG_END
    return data + f"<!-- {_TEXT.format(source, digest(data))} -->\n".encode()


def _chunk(text: bytes) -> bytes:
    body = _PNG_KEY + text
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def read_stamp(path: Path) -> Stamp | None:
    """Return the stamp of a PNG or SVG file; none where it has none.

    Raises:
        OSError: it cannot be read.
    """
    data = path.read_bytes()
    is_png = path.suffix == ".png"
    data = data if is_png else data.replace(b"\r\n", b"\n")  # as git may check it out
    found = list(_IN_FILE.finditer(data, max(0, len(data) - 400)))
    if not found:
        return None
    source, told = (g.decode() for g in found[-1].groups())
    text = found[-1].group()
    whole = _chunk(text) + _PNG_END if is_png else b"<!-- " + text + b" -->\n"
    bare = data.removesuffix(whole) + (_PNG_END if is_png else b"")
    return Stamp(source, data.endswith(whole) and digest(bare) == told)
