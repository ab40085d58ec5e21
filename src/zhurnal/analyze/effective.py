"""What differs between two experiments in what they really got, counted as factors: the question whether a difference has one cause comes first.

A part that was changed (`optimizer=adam`) is one factor together with the options that only it has. An option that both parts have and that differs
(`lr`, `weight_decay`) is a factor of its own: who changes optimizer and learning rate at once cannot say which of them did it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..core.facts import NAMED
from ..core.text import printable, show
from . import table
from .summary import Summary

# The accuracies that are compared are those without test-time augmentation, whatever else was measured.
NOT_A_CAUSE = frozenset({"train.tta"})
_DATA_ITSELF = frozenset({"data.transform", "data.normalize"})  # of the settings of data, those that leave the images as they are


# Options that mean something only where one of others is switched on, and these: switching it on brings them along.
_WITHOUT_EFFECT = {
    "train.mix_probability": ("train.mixup", "train.cutmix"),
    "train.finetune_fraction": ("train.initial_scale",),
    "scheduler.warmup_start": ("scheduler.warmup_epochs",),
}
_OFF = {"train.initial_scale": 1.0}  # what switches off, where that is not 0


@dataclass(frozen=True)
class Factor:
    """Something that differs between two experiments."""

    key: str  # optimizer, optimizer.lr
    first: Any
    second: Any

    @property
    def word(self) -> str:
        """Its name, short: `lr`."""
        known = {"data.fingerprint": "the images", "continue": "what it continues"}
        last = self.key.rpartition(".")[2]
        return known.get(self.key, f"the file of {self.key.partition('.')[0]}" if last == "source" else last)

    def text(self, second: bool = True) -> str:
        """Return it with its value in the second experiment, or the first: `lr=0.001`."""
        if self.key == "data.fingerprint" or self.key.endswith(".source"):
            return self.word
        return printable(f"{self.key if self.word in ('path', 'name', 'options') else self.word}={show(self.second if second else self.first)}", 80)

    def both(self, first: str, second: str) -> str:
        """Return it with its values in two experiments: `lr (0.01 in e0038, 0.001 in e0039)`."""
        if self.text() == self.word:
            return self.word
        return f"{self.word} ({printable(show(self.first), 40)} in {first}, {printable(show(self.second), 40)} in {second})"


def factors(first: Summary, second: Summary) -> list[Factor]:
    """Return what differs between two experiments, what the second one's file names first in front."""
    a, b = table.comparable([first, second])
    keys = [k for k in dict.fromkeys([*a, *b]) if k not in NOT_A_CAUSE and (k not in a or k not in b or a[k] != b[k])]
    missing = object()
    changed = {s for s in NAMED if f"{s}.name" in keys and a.get(f"{s}.name", missing) != b.get(f"{s}.name", missing)}
    found = [Factor(k, a.get(k), b.get(k)) for k in keys if not _is_implied(k, keys, changed, a, b)]
    found = [Factor(f.key.partition(".")[0], f.first, f.second) if f.key.endswith(".name") else f for f in found]
    named = [k.removesuffix(".name") for k in second.experiment.changes]
    return sorted(found, key=lambda f: next((i for i, k in enumerate(named) if f.key in (k, k.partition(".")[0])), len(named)))


def _is_implied(key: str, keys: list[str], changed: set[str], a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Return whether a difference follows from another one that is told."""
    section, _, last = key.partition(".")
    if key in _WITHOUT_EFFECT and any(k in keys for k in _WITHOUT_EFFECT[key]) and any(_off(key, facts) for facts in (a, b)):
        return True
    if key == "data.fingerprint":
        return any(k.startswith("data.") and k != key and k not in _DATA_ITSELF for k in keys)
    return section in changed and last != "name" and (key not in a or key not in b or last == "source")


def _off(key: str, facts: Mapping[str, Any]) -> bool:
    """Return whether an option has no effect in an experiment, for what would give it one is switched off."""
    return all(not facts.get(k) or facts.get(k) == _OFF.get(k, 0) for k in _WITHOUT_EFFECT[key])


def other_images(first: Summary, second: Summary) -> bool:
    """Return whether two experiments were validated on other images, as far as their settings tell."""
    a, b = (s.effective.get("data") or {} for s in (first, second))
    return any(k in a and k in b and a[k] != b[k] for k in ("validation", "num_val")) or any(
        first.facts.get(k) != second.facts.get(k) for k in ("data.validation", "data.split_seed")
    )


def label(first: Summary, second: Summary, told: list[Factor] | None = None) -> tuple[str, str]:
    """Return what to call two experiments beside each other: `e0038 (optimizer=sgd)`, `e0039 (optimizer=adam)`."""
    told = factors(first, second) if told is None else told
    texts = [" ".join(f.text(second=side) for f in told[:3]) + (" …" if len(told) > 3 else "") for side in (False, True)]
    return tuple(f"{s.name} ({t})" if t else s.name for s, t in zip((first, second), texts, strict=True))  # type: ignore[return-value]
