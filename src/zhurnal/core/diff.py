"""What differs between experiments: apply changes to a parent, take the difference of two, tell many apart.

All of it works on *effective* settings, with every default filled in, so writing out a default is no difference. `apply(a, diff(a, b)) == b`.

Changing a named part (`optimizer: adam`) keeps the values of all options that the new part also has (`lr`, `weight_decay`), gives the others of the
new part their defaults, drops what it has no use for, and says so: all else is equal.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import facts as plain
from .errors import SettingsError
from .facts import MAY_CHANGE as MAY_CHANGE
from .facts import NAMED
from .facts import SPEED_ONLY as SPEED_ONLY
from .facts import assignments as assignments
from .facts import short as short
from .settings import DATASETS, ONLY_FOR, PARTS, SECTIONS, Settings, defaults, flatten, is_builtin, is_own, own_class, parse, section_class
from .text import show


@dataclass(frozen=True)
class Applied:
    """Settings after changes, and what a person should know about how they came about."""

    settings: Settings
    notes: tuple[str, ...]


def expand(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return changes as dotted keys: `{"optimizer": "adam"}` becomes `{"optimizer.name": "adam"}`; nested mappings become dotted.

    `data: photos/`, `photos.zip`, `labels.csv` or `images.npz` (a path) is short for images of one's own; see `path_kind`.
    """
    flat: dict[str, Any] = {}
    twice: list[str] = []
    for key, value in changes.items():
        if isinstance(value, Mapping) and "." not in key:
            twice += [f"{key}.{inner}" for inner in value if f"{key}.{inner}" in changes]
            flat.update({f"{key}.{inner}": v for inner, v in value.items()})
        elif key == "data" and isinstance(value, str) and (kind := path_kind(value)):
            flat.update({"data.name": kind, "data.path": value})
        elif key in NAMED:
            flat[f"{key}.name"] = value
        else:
            flat[key] = value
    if twice:
        raise SettingsError([f"{key} is given twice, once inside its section and once as {key}: keep one" for key in twice])
    return flat


def path_kind(value: str) -> str | None:
    """Return the data set that reads the path `value`, by its suffix; None where it is no path. What a folder holds is not looked at here.

    >>> path_kind("photos/"), path_kind("labels.csv"), path_kind("digits"), path_kind("sub/my_data.py:load")
    ('folder', 'table', None, None)
    """
    if value in DATASETS or is_own(value):
        return None
    for suffixes, kind in ((SUFFIXES_TABLE, "table"), ((".npz",), "npz"), ((".zip",), "folder")):
        if value.lower().endswith(suffixes):
            return kind
    return "folder" if "/" in value or "\\" in value else None


SUFFIXES_TABLE = (".csv", ".tsv")


def _carry(section: str, old: Mapping[str, Any], name: str) -> tuple[dict[str, Any], list[str], list[str]]:
    """Return a section's values after only its part changed to `name`, with the options kept from `old` and those dropped."""
    cls = section_class(section, name)
    fields = cls.model_fields
    carried = {k: v for k, v in old.items() if k in fields and k != "name"}
    if section == "model":
        carried.pop("weights", None)  # weights of another network do not fit, nor do names of its modules
        if carried.get("freeze") not in ("none", "backbone"):
            carried.pop("freeze", None)
            carried.pop("unfreeze_epoch", None)
    if section == "data":
        if name not in ("folder", "clips") and is_builtin("data", name):
            carried.pop("path", None)
        for field, kinds in ONLY_FOR.items():
            if name not in kinds:
                carried.pop(field, None)
    defaults = cls.model_validate({"name": name}).model_dump(mode="json")
    kept = [k for k in carried if k not in cls.common and carried[k] != defaults.get(k)] if section in PARTS else []
    dropped = [k for k, v in old.items() if k != "name" and v is not None and (k not in fields or k not in carried)]
    return {**defaults, **carried, "name": name}, kept, dropped


def apply(parent: Settings, changes: Mapping[str, Any], where: Callable[[str], str] | None = None, parent_name: str = "") -> Applied:
    """Return the settings of an experiment that differs from `parent` by `changes` (dotted, nested or short form).

    Raises:
        SettingsError: with all problems of the changes at once; `where` tells where each key stands.
    """
    check_changes(changes)
    values: dict[str, Any] = parent.to_dict()
    flat = expand(changes)
    notes: list[str] = []
    for section in NAMED:
        name = flat.get(f"{section}.name", values[section]["name"])
        if section == "scheduler" and name is None:
            name = flat["scheduler.name"] = "none"
        if not isinstance(name, str) or name == values[section]["name"]:
            continue
        old = values[section]
        try:
            values[section], kept, dropped = _carry(section, old, name)
        except ValueError:
            continue  # an unknown name: parse() below reports it
        kept = [k for k in kept if f"{section}.{k}" not in flat]
        dropped = [k for k in dropped if f"{section}.{k}" not in flat]
        if kept:
            notes.append(f"{section} {name} keeps " + ", ".join(f"{k}={show(old[k])}" for k in kept) + f" of {old['name']}")
        if dropped:
            notes.append(f"{section} {name} drops " + ", ".join(f"{k}={show(old[k])}" for k in dropped) + f" of {old['name']}")
    for key, value in flat.items():
        section, dot, field = key.partition(".")
        if not dot:
            values[section] = value
        elif isinstance(values.setdefault(section, {}), dict):
            values[section][field] = value
    for section in NAMED:  # an option of a part of one's own is taken back by setting it to none
        own = own_class(section)
        if own is not None and isinstance(values[section], dict) and not is_builtin(section, values[section].get("name")):
            values[section] = {k: v for k, v in values[section].items() if v is not None or k in own.model_fields}
    inherited = flatten(parent.to_dict()) if parent_name else {}
    return Applied(parse(values, where, lambda key: f"parent {parent_name} has {show(inherited[key])}" if key in inherited else ""), tuple(notes))


def diff(parent: Settings, child: Settings) -> dict[str, Any]:
    """Return the changes that make `child` of `parent`, dotted, with `optimizer: adam` for a changed part: what `apply` takes."""
    a, b = parent.to_dict(), child.to_dict()
    changes: dict[str, Any] = {}
    for section in SECTIONS:
        if section == "seeds":
            if a["seeds"] != b["seeds"]:
                changes["seeds"] = b["seeds"]
            continue
        base = a[section]
        if section in NAMED and a[section]["name"] != b[section]["name"]:
            changes[section] = b[section]["name"]
            base, _, _ = _carry(section, a[section], b[section]["name"])
        for key, value in b[section].items():
            if key != "name" and (key not in base or base[key] != value):
                changes[f"{section}.{key}"] = value
        for key in base:
            if key not in b[section]:
                changes[f"{section}.{key}"] = None
    return changes


def check_changes(changes: Mapping[str, Any]) -> None:
    """Raise SettingsError where changes are empty texts or keys that cannot be settings; names and values are checked by `apply`."""
    problems = [
        f"'{k}' is no setting: write section.key=value, such as train.epochs=80" for k in changes if not k or k.startswith(".") or k.endswith(".")
    ]
    if problems:
        raise SettingsError(problems)


def facts(settings: Settings) -> dict[str, Any]:
    """Return effective settings as flat facts to compare, without those that change speed and not results."""
    return plain.facts_of(settings.to_dict())


def tell_apart(facts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return for each experiment the values of all settings that are not the same in all of them; see `facts.tell_apart`."""
    return plain.tell_apart(facts, defaults)
