"""Numbers of experiments in texts, and texts with other numbers in them. Pure functions.

A mention is a whole word as Zhurnal writes it: `e0007`, a range or list of them (`e0005-e0008,e0010`, also with `%2C` for the comma, as links have
it), alone or as the beginning of a file's name (`e0007_model_best.pth`, `e0007:best`). `E7`, `experiment 7` and `e0007` inside another word are none.
A range that loses or gains a member is written anew.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..core import numbers
from ..core.errors import JournalError, LabError
from ..core.records import Row
from ..report import blocks

Names = Mapping[str, str]  # old name -> new name
_ONE = r"e\d{4,7}"
_GROUP = re.compile(rf"(?<![\w-]){_ONE}(?:(?:-|–|,\s?|%2C){_ONE})*(?![A-Za-z0-9])", re.ASCII)
_AS_WRITTEN = re.compile(r"(\s*['\"]?)([eE]?\d{1,7})(?!\w)", re.ASCII)
_WITH_WHICH = re.compile(r"(\s*['\"]?)([eE]?\d{1,7})(?=:(?:best|last))", re.ASCII)
_LINK = re.compile(rf"(experiments/logs/)({_ONE})(?=/|_model_best\.pth$)", re.ASCII)


def renamed(text: str, mapping: Names) -> str:
    """Return a text with other numbers in its mentions; all are changed at once, so two may change places.

    >>> renamed("e0007 and [e0005-e0008](e0005-e0008.md), not e00071 or some0007", {"e0007": "e0012"})
    'e0012 and [e0005-e0006,e0008,e0012](e0005-e0006,e0008,e0012.md), not e00071 or some0007'
    """
    return _GROUP.sub(lambda match: _group(match[0], mapping), text)


def _group(text: str, mapping: Names) -> str:
    if not any(old in text for old in mapping) and "-" not in text and "–" not in text:
        return text
    comma = "%2C" if "%2C" in text else ", " if ", " in text else ","
    plain = re.sub(r",\s", ",", text.replace("%2C", ","))
    try:
        before = numbers.parse(plain)
    except LabError:  # a range that runs backwards: no group, but its members are mentions
        return re.sub(_ONE, lambda match: mapping.get(match[0], match[0]), text)
    after = [mapping.get(name, name) for name in before]
    if after == before:
        return text
    in_order = before == sorted(before, key=numbers.number)
    if "-" in plain or "–" in plain:
        return numbers.show(after).replace(",", comma)
    return comma.join(sorted(after, key=numbers.number) if in_order else after)


def mentions(text: str, names: Iterable[str]) -> bool:
    """Return whether a text mentions one of the experiments."""
    mapping = dict.fromkeys(names, "e0000")
    return renamed(text, mapping) != text


def page(text: str, mapping: Names) -> str:
    """Return a page of the journal with other numbers; a generated block stays one, and one that was edited by hand stays that."""
    names = re.findall(r"<!-- zhurnal:begin ([a-z_]+)", text)
    try:
        parts = blocks.parse(text, "page", names)
    except JournalError:  # its markers do not fit together: it is text
        return renamed(text, mapping)
    return blocks.render([_part(part, mapping) for part in parts])


def _part(part: blocks.Part, mapping: Names) -> blocks.Part:
    if isinstance(part, blocks.Prose):
        return blocks.Prose(renamed(part.text, mapping))
    body = renamed(part.body, mapping)
    begin = part.begin
    if part.sha and not part.edited:
        begin = begin.replace(f"sha={part.sha}", f"sha={blocks.digest(body)}")
    return blocks.Block(part.name, part.sha, body, begin, part.end, part.line)


def prose(text: str) -> str:
    """Return what a person wrote on a page: all but its generated blocks."""
    names = re.findall(r"<!-- zhurnal:begin ([a-z_]+)", text)
    try:
        return "".join(part.text for part in blocks.parse(text, "page", names) if isinstance(part, blocks.Prose))
    except JournalError:
        return text


def weights(text: Any, mapping: Names) -> Any:
    """Return what `model.weights` or a path says with another number: `e0007:best`, `experiments/logs/e0007_model_best.pth`."""
    if not isinstance(text, str):
        return text
    name, colon, which = text.partition(":")
    if colon and which in ("best", "last"):
        return f"{one(name, mapping)}:{which}"
    return _LINK.sub(lambda match: match[1] + mapping.get(match[2], match[2]), text)


def one(text: Any, mapping: Names) -> Any:
    """Return a number, however a person wrote it (`E7`), changed; as it is where it stays or is none."""
    try:
        return mapping.get(numbers.name(numbers.number(text)), text) if isinstance(text, str) else text
    except LabError:
        return text


def settings(values: Any, mapping: Names) -> Any:
    """Return settings or changes, nested or dotted, with other numbers where they name experiments."""
    if not isinstance(values, Mapping):
        return values
    found = {}
    for key, value in values.items():
        last = str(key).rpartition(".")[2]
        is_name = last in ("weights", "path") and isinstance(value, str)
        found[key] = weights(value, mapping) if is_name else settings(value, mapping) if key in ("model", "data") else value
    return found


def effective(values: Mapping[str, Any], mapping: Names) -> dict[str, Any]:
    """Return the content of `effective.json` with other numbers; keys stay in their order."""
    found = dict(values)
    for key in ("experiment", "continue"):
        if key in found:
            found[key] = one(found[key], mapping)
    found["settings"] = settings(found.get("settings"), mapping)
    start = found.get("started_from")
    if isinstance(start, Mapping):
        found["started_from"] = dict(start) | {
            key: one(start[key], mapping) if key == "experiment" else weights(start[key], mapping) for key in ("experiment", "file") if key in start
        }
    if "settings" not in values:
        del found["settings"]
    return found


def row(found: Row, mapping: Names) -> Row:
    """Return a row of a run's files with other numbers, in its texts and in the settings of a range test."""
    changed = dict(found)
    for key in ("reason", "text", "note"):
        if isinstance(changed.get(key), str):
            changed[key] = renamed(changed[key], mapping)
    if found["kind"] == "lr_find":
        changed["experiment"] = one(changed.get("experiment"), mapping)
        changed["settings"] = settings(changed.get("settings"), mapping)
    return changed


def stem(text: str, mapping: Names) -> str:
    """Return the name of a page's or a figure's file with other numbers: `e0005-e0008`, `e0007,e0008_val_acc_epoch`."""
    match = re.match(rf"{_ONE}(?:[-,]{_ONE})*(?=$|[_.])", text)
    return _group(match[0], mapping) + text[match.end() :] if match else text


def yaml(text: str, mapping: Names) -> str:
    """Return an experiment's file with other numbers, each line otherwise as it was: its parent, what it continues, weights, series, its words."""
    lines = []
    for line in renamed(text, mapping).splitlines(keepends=True):
        key, colon, value = line.partition(":")
        last = key.strip().rpartition(".")[2]
        pattern = {"parent": _AS_WRITTEN, "continue": _AS_WRITTEN, "weights": _WITH_WHICH}.get(last)
        match = pattern.match(value) if pattern and colon else None
        if match and not re.fullmatch(_ONE, match[2]):  # E7: the others are changed already
            value = match[1] + str(one(match[2], mapping)) + value[match.end() :]
        lines.append(key + colon + value)
    return "".join(lines)
