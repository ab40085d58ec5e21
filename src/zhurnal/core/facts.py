"""Settings as flat facts, plain values that need no schema: what two experiments differ in, told in short.

Nothing here checks anything, so whatever only looks at results can do without the schema in `settings.py`, which takes long to import.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .text import show

SECTIONS = ("data", "model", "optimizer", "scheduler", "loss", "train", "seeds")
NAMED = SECTIONS[:5]  # those that name a part


@dataclass(frozen=True)
class Defaults:
    """The options of a part that were not given any, and whether it is a model, optimizer, scheduler or loss that comes with Zhurnal."""

    values: Mapping[str, Any]
    builtin: bool


def flatten(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return `{"train.epochs": 30, ...}` for nested settings. Lists, and the mean and std of `normalize`, stay whole."""
    flat: dict[str, Any] = {}
    for section, value in values.items():
        if isinstance(value, Mapping):
            flat.update({f"{section}.{key}": inner for key, inner in value.items()})
        else:
            flat[section] = value
    return flat


def short(changes: Mapping[str, Any]) -> str:
    """Return changes for a person, on one line: `optimizer=adam lr=0.001`. A key loses its section where that leaves no doubt.

    >>> short({"optimizer": "adam", "optimizer.lr": 0.001, "train.epochs": 80})
    'optimizer=adam lr=0.001 epochs=80'
    """
    lasts = [k.rpartition(".")[2] for k in changes]
    words = []
    for key, value in changes.items():
        last = key.rpartition(".")[2]
        clear = lasts.count(last) == 1 and last not in ("name", "path", "options", "source")
        words.append(f"{last if clear else key}={show(value)}")
    return " ".join(words)


def tell_apart(facts: Sequence[Mapping[str, Any]], defaults: Callable[[str, str | None], Defaults]) -> list[dict[str, Any]]:
    """Return for each experiment the values of all settings that are not the same in all of them.

    `facts` are flat effective settings (`Experiment.facts`). Where a part differs (`optimizer.name`), its options are told only where they
    differ between experiments that have them, or where only some have them and the value is not the part's default. A setting
    that is none is not told: the others' values tell it.
    """
    keys = list(dict.fromkeys(k for f in facts for k in f))
    rows: list[dict[str, Any]] = [{} for _ in facts]
    for key in keys:
        present = [f[key] for f in facts if key in f]
        section, _, last = key.partition(".")
        if len(present) == len(facts) and all(v == present[0] for v in present):
            continue
        alike = all(v == present[0] for v in present)
        for row, f in zip(rows, facts, strict=True):
            if f.get(key) is None or (len(present) < len(facts) and alike and _is_default(section, last, f, defaults)):
                continue
            row[section if last == "name" else key] = f[key]
    return rows


def _is_default(section: str, key: str, facts: Mapping[str, Any], defaults: Callable[[str, str | None], Defaults]) -> bool:
    """Return whether an option has the default of the part that `facts` names."""
    name = facts.get(f"{section}.name")
    if name is None:
        return False
    known = defaults(section, name)
    return known.builtin and key in known.values and bool(known.values[key] == facts[f"{section}.{key}"])


def assignments(changes: Mapping[str, Any]) -> str:
    """Return changes as they are given on the command line: `train.epochs=80 optimizer=adam`."""
    words = [f"{key}={show(value)}" for key, value in changes.items()]
    return " ".join(f"'{w}'" if " " in w else w for w in words)


def facts_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain settings as flat facts to compare, without those that change speed and not results."""
    return {k: v for k, v in flatten(values).items() if k not in SPEED_ONLY}


# Of these, what may be another when a run goes on: its rows are the same to the bit.
MAY_CHANGE = frozenset(
    {
        "data.storage",
        "data.num_workers",
        "train.checkpoint_seconds",
        "train.tensorboard",
        "train.device",
        "train.num_threads",
        "train.memory_format",
        "seeds",
    }
)
# Settings that cannot change what is learned.
SPEED_ONLY = frozenset(
    {
        "data.storage",
        "data.num_workers",
        "train.batch_size_val",
        "train.log_every",
        "train.checkpoint_seconds",
        "train.tensorboard",
        "train.device",
        "train.num_threads",
        "train.memory_format",
        "seeds",
    }
)
