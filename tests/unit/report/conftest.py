"""Entries are tested without drawing: a figure's file holds its kind. The golden tests draw."""

import pytest

from zhurnal.analyze import figures


@pytest.fixture(autouse=True)
def quick_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    def render(summaries, kind: str) -> dict[str, bytes]:
        return {ending: kind.encode() for ending in ("png", "svg")} if figures.has_something(summaries, kind) else {}

    monkeypatch.setattr(figures, "render", render)
