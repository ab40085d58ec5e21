"""YAML files: read with the line of every key and limits on what is accepted, written so that a person can edit them.

YAML 1.2 (`1e-3` is a number, `no` is a text). Duplicate keys, merge keys, tags, aliases and directives are errors, and so is what is larger or deeper
than settings can be; that is found before a parser builds anything, so a hostile file costs less than a second and little memory. Text as `dump`
writes it, and most of what a person makes of it, is read by `simple.py`; anything else by ruamel.yaml, which takes tens of milliseconds to import and
to read a page.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import SettingsError
from . import files, simple

_DIGITS = re.compile(r"[-+]?[0-9]{100}|0x[0-9a-fA-F]{100}|0o[0-7]{100}")
DEPTH = 8
LARGEST = 200_000  # bytes of a file
MOST = 10_000  # values and keys in a file
LARGEST_NUMBER = 2**63
# Numbers of YAML 1.2's core schema; 007 stays a text, as a folder's name may be.
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)


@dataclass(frozen=True)
class Document:
    """A YAML file: its values, and the line of every key by its path."""

    values: dict[str, Any]
    lines: dict[tuple[str, ...], int]
    name: str

    def place(self, *path: str) -> str:
        """Return `e0040.yaml:7` for the longest part of `path` that the file has."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.name}:{self.lines[path]}" if path else self.name


def read(path: Path) -> Document:
    """Return a YAML file that holds a mapping.

    Raises:
        SettingsError: it is not YAML, not a mapping, or uses what settings have no need for; with file and line.
        LabError: it does not exist or is too large.
    """
    return parse(files.read_text(path, LARGEST), path.name)


def parse(text: str, name: str) -> Document:
    """Return the YAML document in `text`; see `read`."""
    if (known := simple.parse(text)) is not None:
        return Document(*known, name)
    return parse_any(text, name)


def parse_any(text: str, name: str) -> Document:
    """Return the YAML document in `text` as ruamel.yaml reads it, which `simple.parse` agrees with wherever it reads anything."""
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap
    from ruamel.yaml.constructor import DuplicateKeyError
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    _check_conflict(text, name)
    _check_depth(text, name)
    yaml = YAML(typ="rt")
    try:
        _check_events(yaml.parse(text), name)
        loaded = YAML(typ="rt").load(text)
    except DuplicateKeyError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SettingsError([f"{name}:{line}: {(error.problem or 'a key stands twice').splitlines()[0]}"]) from None
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SettingsError([f"{name}:{line}: this is not YAML: {error.problem or error.context}"]) from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise SettingsError([f"{name}: this is not YAML: {str(error).splitlines()[0]}"]) from None
    if not isinstance(loaded, CommentedMap):
        raise SettingsError([f"{name}: must be keys and values, such as `question: Is Adam better?`"])
    lines: dict[tuple[str, ...], int] = {}
    return Document(_plain(loaded, (), lines, name), lines, name)


def _check_events(events: Iterable[Any], name: str) -> None:
    """Refuse what settings have no need for, while a parser goes through the text and has built nothing yet."""
    from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, DocumentStartEvent, ScalarEvent

    depth = 0
    for num, event in enumerate(events):
        tag = getattr(event, "tag", None)
        wrong = ""
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None):
            wrong = "aliases (&, *) are not read: write the value out"
        elif tag is not None and str(tag):
            wrong = f"tag {tag} is not read: write a plain value"
        elif isinstance(event, DocumentStartEvent) and (event.version or event.tags):
            wrong = "directives (%) are not read: take the line away"
        elif isinstance(event, ScalarEvent) and event.value == "<<" and not event.style:
            wrong = "merge keys (<<) are not read: write the values out"
        elif isinstance(event, ScalarEvent) and not event.style and len(event.value) > 400 and _DIGITS.match(event.value):
            wrong = "a number of so many digits is none that a setting has"
        elif num > MOST:
            wrong = f"more than {MOST:,} values and keys are too many for settings"
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > DEPTH + 1:
            wrong = "nested too deep for settings"
        if wrong:
            raise SettingsError([f"{name}:{event.start_mark.line + 1}: {wrong}"])


def _check_conflict(text: str, name: str) -> None:
    """Refuse a file in which a git merge left both sides, and say how a number that both used is told apart."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(("<<<<<<< ", ">>>>>>> ")):
            raise SettingsError(
                [
                    f"{name}:{number}: git left a conflict here. If both sides changed this file, take one of them, and remove git's marks. "
                    "If both made an experiment of this number: `git merge --abort`, then `zhurnal renumber --against OTHER-BRANCH`, commit, and "
                    "merge again"
                ]
            )


def _check_depth(text: str, name: str) -> None:
    """Refuse deep nesting before a parser sees it: parsers take seconds for it."""
    depth = 0
    for number, line in enumerate(text.splitlines(), 1):
        if (len(line) - len(line.lstrip(" "))) > 40 * DEPTH:
            raise SettingsError([f"{name}:{number}: nested too deep for settings"])
        for character in line:
            depth += (character in "[{") - (character in "]}")
            if depth > 4 * DEPTH:
                raise SettingsError([f"{name}:{number}: nested too deep for settings"])


def _plain(value: Any, path: tuple[str, ...], lines: dict[tuple[str, ...], int], name: str) -> Any:
    """Return plain Python values, noting the line of each key."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    if isinstance(value, CommentedMap):
        found = {}
        for key, inner in value.items():
            line = value.lc.key(key)[0] + 1
            if not isinstance(key, str | int | float | None):
                raise SettingsError([f"{name}:{line}: a key must be a text, this one is a list or holds keys itself"])
            lines[(*path, str(key))] = line
            found[str(key)] = _plain(inner, (*path, str(key)), lines, name)
        return found
    if isinstance(value, CommentedSeq):
        return [_plain(inner, path, lines, name) for inner in value]
    if isinstance(value, int) and abs(value) >= LARGEST_NUMBER:
        raise SettingsError([f"{name}:{lines.get(path, 1)}: {'.'.join(path)}: a number of so many digits is none that a setting has"])
    if isinstance(value, bool) or value is None:
        return value
    for kind in (int, float, str):  # ruamel's own scalar classes remember how a value was written
        if isinstance(value, kind):
            return kind(value)
    return str(value)


def value(text: str) -> Any:
    """Return the value in an override such as `optimizer.lr=1e-3`, read as YAML: `80`, `true`, `none`, `[1, 2]`, `adam`."""
    if text.strip().lower() in ("none", "null", ""):
        return None
    if text.strip().lower() in ("true", "false"):
        return text.strip().lower() == "true"
    if not any(c in text for c in "[{\"'"):  # the common case needs no parser
        if len(text) > 400:
            return text
        if _INTEGER.fullmatch(text.strip()):
            return int(text)
        return float(text) if _FLOAT.fullmatch(text.strip()) else text
    try:
        return parse(f"value: {text}", text).values["value"]
    except SettingsError:
        return text


def dump(values: Mapping[str, Any]) -> str:
    """Return YAML text for plain values, lists on one line."""
    import io

    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 4096
    yaml.default_flow_style = False
    stream = io.StringIO()
    yaml.dump(_commented(values), stream)
    return stream.getvalue()


def _commented(value: Any) -> Any:
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    if isinstance(value, Mapping):
        return CommentedMap((k, _commented(v)) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        sequence = CommentedSeq(_commented(v) for v in value)
        sequence.fa.set_flow_style()
        return sequence
    return value
