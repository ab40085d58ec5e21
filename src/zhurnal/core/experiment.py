"""An experiment: a numbered question, and settings given as a parent and what differs from it. And its YAML text, written and read."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from . import numbers
from .facts import facts_of

if TYPE_CHECKING:
    from .settings import Settings

# Keys of an experiment's file, in the order they are written.
FILE_KEYS = ("question", "parent", "continue", "changes", "settings", "repeat", "series", "created")


@dataclass(frozen=True)
class Experiment:
    """An experiment with its settings resolved through its parents."""

    name: str  # e0039
    question: str
    parent: str | None
    continues: str | None  # the experiment whose last checkpoint (weights and optimizer) it starts from
    changes: Mapping[str, Any]  # what differs from the parent, dotted; empty without a parent
    values: Mapping[str, Any]  # its settings as plain values, as `Settings.to_dict` gives them
    series: str | None  # the range made by one sweep: e0005-e0011
    created: str  # ISO 8601
    notes: tuple[str, ...] = ()  # what was kept and dropped when a part changed
    repeat: int = 1  # how many seeds were asked for in all; its children do not inherit it

    @cached_property
    def settings(self) -> "Settings":
        """Its settings, checked."""
        from .settings import parse

        return parse(self.values)

    def with_settings(self, settings: "Settings") -> "Experiment":
        """Return the experiment with other settings."""
        found = replace(self, values=settings.to_dict())
        found.__dict__["settings"] = settings
        return found

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds it is to run with: those of its settings and, up to `repeat`, the next ones counted up from the first."""
        named: list[int] = self.values["seeds"]
        more = (s for s in itertools.count(named[0]) if s not in named)
        return (*named, *itertools.islice(more, max(0, self.repeat - len(named))))

    @property
    def weights(self) -> str | None:
        """The weights it starts from: `e0031:best`, or a file."""
        found: str | None = self.values["model"].get("weights")
        return found

    @property
    def starts(self) -> tuple[str, ...]:
        """The experiments that it is made from or starts from: its settings cannot be had without theirs."""
        weights = [] if not self.weights or self.weights.endswith((".pth", ".pt")) else [numbers.name(numbers.number(self.weights.partition(":")[0]))]
        return tuple(dict.fromkeys(n for n in (self.parent, self.continues, *weights) if n))

    def facts(self) -> dict[str, Any]:
        """Return what can make results differ, flat: effective settings and what it starts from."""
        return facts_of(self.values) | {"continue": self.continues}

    def header(self) -> str:
        """Return what it starts from: `cont. e0002`, `weights e0031:best`, both, or an empty text."""
        parts = [f"cont. {self.continues}"] if self.continues else []
        parts += [f"weights {self.weights}"] if self.weights else []
        return ", ".join(parts)
