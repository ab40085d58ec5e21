"""What `verify` finds: one thing that does not hold, with its place, and all of them with what was looked at."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..core.text import count


@dataclass(frozen=True, order=True)
class Problem:
    """Something that does not hold."""

    file: str  # as seen from the lab's folder
    line: int  # from 1; 0 for the whole file
    kind: str  # a name in KINDS
    text: str
    quote: str = ""  # the person's sentence that it is about
    evidence: str = ""  # what the records say of that
    strength: str = ""  # how strong that is, in the words of observations

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        quote = f"“{self.quote}” " if self.quote else ""
        return f"{place}: {quote}{self.text}"


KINDS = {
    "block": "a generated block is not what the records say",
    "edited": "a generated block was edited by hand",
    "page": "a page cannot be read: its markers do not fit together",
    "figure": "a figure is missing, or shows something else",
    "claim": "a sentence says what the records do not",
    "unsupported": "a sentence says more than the runs can show",
    "repeated": "something stands twice",
    "link": "a link leads nowhere",
    "entry": "an experiment is in no entry, or an entry is about one that does not exist",
    "record": "a record is damaged, or its experiment was edited after it ran",
}


@dataclass(frozen=True)
class Verified:
    """What was looked at, what does not hold, and what could not be checked or is worth knowing."""

    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...]  # not counted as problems: unused figures, what could not be checked here
    counts: Mapping[str, int]  # entries, blocks, figures, sentences, links, records -> how many were looked at

    @property
    def holds(self) -> bool:
        """Whether nothing was found."""
        return not self.problems

    def looked_at(self) -> str:
        """Return what was looked at: `6 entries, 36 blocks, ...`."""
        words = {"entries": "entry"}
        return ", ".join(
            f"{n:,} {key}" if key in words and n != 1 else count(n, words.get(key, key.removesuffix("s"))) for key, n in self.counts.items()
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        plain = {"holds": self.holds, "looked_at": dict(self.counts)}
        return plain | {"problems": [asdict(p) for p in self.problems], "notes": [asdict(p) for p in self.notes]}


def ordered(found: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return problems by file and line, each once."""
    return tuple(sorted(dict.fromkeys(found)))
