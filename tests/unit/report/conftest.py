"""Entries are tested without drawing: a figure's file is an empty one that names its kind. The golden tests draw."""

import struct
import zlib

import pytest

from zhurnal.analyze import figures

END = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))


@pytest.fixture(autouse=True)
def quick_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    def render(summaries, kind: str) -> dict[str, bytes]:
        return {"png": b"\x89PNG\r\n\x1a\n" + END, "svg": f"<svg>{kind}</svg>\n".encode()} if figures.has_something(summaries, kind) else {}

    monkeypatch.setattr(figures, "render", render)
