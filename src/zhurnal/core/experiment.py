"""An experiment: a numbered question, and settings given as a parent and what differs from it. And its YAML text, written and read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .diff import facts
from .settings import Settings

# Keys of an experiment's file, in the order they are written.
FILE_KEYS = ("question", "parent", "continue", "changes", "settings", "series", "created")


@dataclass(frozen=True)
class Experiment:
    """An experiment with its settings resolved through its parents."""

    name: str  # e0039
    question: str
    parent: str | None
    continues: str | None  # the experiment whose last checkpoint (weights and optimizer) it starts from
    changes: Mapping[str, Any]  # what differs from the parent, dotted; empty without a parent
    settings: Settings
    series: str | None  # the range made by one sweep: e0005-e0011
    created: str  # ISO 8601
    notes: tuple[str, ...] = ()  # what was kept and dropped when a part changed

    def facts(self) -> dict[str, Any]:
        """Return what can make results differ, flat: effective settings and what it starts from."""
        return facts(self.settings) | {"continue": self.continues}

    def header(self) -> str:
        """Return what it starts from: `cont. e0002`, `weights e0031:best`, both, or an empty text."""
        parts = [f"cont. {self.continues}"] if self.continues else []
        parts += [f"weights {self.settings.model.weights}"] if self.settings.model.weights else []
        return ", ".join(parts)
