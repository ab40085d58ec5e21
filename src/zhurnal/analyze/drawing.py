"""How a figure is set up, turned into bytes and put on disk; what is on it is drawn in the files beside this one."""

import io
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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


def put(folder: Path, stem: str, rendered: Mapping[str, bytes]) -> list[Path]:
    """Write a figure's files, `stem.png` and `stem.svg`, leaving alone those whose bytes would not change; return where they are."""
    if rendered:
        folder.mkdir(parents=True, exist_ok=True)
    written = []
    for ending, data in rendered.items():
        path = folder / f"{stem}.{ending}"
        if not path.is_file() or path.read_bytes() != data:
            files.write(path, data)
        written.append(path)
    return written
