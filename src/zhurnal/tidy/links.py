"""Who starts from whom, by what files say: read without resolving anything, so a file that is wrong hides no other."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ..core import numbers
from ..core.errors import LabError, RunError, ZhurnalError
from ..store import files, runs, yamls
from ..store.lab import Lab
from . import mentions


def values(path: Path) -> Mapping[str, Any] | None:
    """Return what an experiment's file holds; none where it cannot be read."""
    try:
        return yamls.read(path).values
    except ZhurnalError:
        return None


def starts(found: Mapping[str, Any]) -> dict[str, str]:
    """Return the experiments that a file names, each with how: `parent`, `continue`, `weights`."""
    named: dict[str, str] = {}
    for key in ("parent", "continue"):
        if (name := _name(found.get(key))) is not None:
            named.setdefault(name, key)
    for weights in _weights(found):
        named.setdefault(weights, "weights")
    return named


def _name(text: Any) -> str | None:
    try:
        return numbers.name(numbers.number(text)) if isinstance(text, str) else None
    except LabError:
        return None


def _weights(found: Mapping[str, Any]) -> list[str]:
    named: list[str] = []
    for part in (found.get("changes"), found.get("settings")):
        if isinstance(part, Mapping):
            model = part.get("model")
            texts = [part.get("model.weights"), model.get("weights") if isinstance(model, Mapping) else None]
            for text in texts:
                name = _name(text.partition(":")[0]) if isinstance(text, str) and ":" in text else None
                match = re.search(r"experiments/logs/(e\d{4,7})(?:/|_model_best)", text) if isinstance(text, str) else None
                named += [name] if name else [match[1]] if match else []
    return named


def dependents(lab: Lab, names: Collection[str]) -> dict[str, list[str]]:
    """Return for each of `names` the others of the lab that start from it: `e0009 (parent)`."""
    found: dict[str, list[str]] = {}
    for other in lab.names():
        if other in names:
            continue
        try:
            text = files.read_text(lab.file(other))
        except LabError:
            continue
        if not any(name.lstrip("e0") in text for name in names):  # E7 is read too
            continue
        told = values(lab.file(other))
        named = starts(told) if told is not None else {n: "its file cannot be read" for n in names if mentions.mentions(text, [n])}
        for name in names:
            if name in named:
                found.setdefault(name, []).append(f"{other} ({named[name]})")
    return found


def check_idle(lab: Lab, names: Collection[str], what: str) -> None:
    """Raise RunError where a run of one of these experiments lives; call it while no run can begin (`plan.alone`)."""
    living = [
        f"{name} seed {seed} ({runs.owner(home)})"
        for name in names
        for seed in runs.seeds(lab.logs, name)
        if runs.is_locked(home := runs.folder(lab.logs, name, seed))
    ]
    if living:
        raise RunError(f"{', '.join(living)} {'is' if len(living) == 1 else 'are'} running: wait, or stop it with Ctrl-C or `kill`, and then {what}")
