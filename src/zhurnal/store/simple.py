"""The plain part of YAML that files of a lab are written in, read in microseconds: `key: value` lines, nested by indentation, lists on one line.

Promise: `parse` returns what a YAML parser returns, or None. Whatever is not plainly one of these is left to such a parser: double quotes, texts over
several lines, lists over several lines, keys that stand twice, all mistakes.
"""

import re
from typing import Any

DEEPEST = 6
Values = dict[str, Any]
Lines = dict[tuple[str, ...], int]

_LINE = re.compile(r"( {0,60})([A-Za-z_][A-Za-z0-9_.]{0,99}):(?: ([^ ].*))?")
_NUMBER = re.compile(r"-?(?:(?P<int>0|[1-9][0-9]{0,17})|(?:0|[1-9][0-9]{0,17})\.[0-9]+(?:e[-+]?[0-9]{1,3})?|[1-9]e[-+]?[0-9]{1,3})")
_TEXT = re.compile(r"[A-Za-z](?:[^:#]|:(?=[^ :#]))*(?<! )")
_QUOTED = re.compile(r"'([^'\\]*)'")
_IN_LIST = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_WORDS = {"true": True, "false": False, "null": None}
_OTHER = object()  # what is left to a parser


def parse(text: str) -> tuple[Values, Lines] | None:
    """Return the values of a document and the line of each key by its path; None where it takes a YAML parser."""
    root: Values = {}
    lines: Lines = {}
    open_maps: list[tuple[int, Values, tuple[str, ...]]] = [(0, root, ())]  # indentation, values, path
    empty: tuple[Values, str, tuple[str, ...]] | None = None  # the key before, if it has no value yet
    before = 0
    for number, line in enumerate(text.split("\n"), 1):
        if not line or line.lstrip(" ").startswith("#"):
            if not line.isprintable():
                return None
            continue
        found = _LINE.fullmatch(line)
        if found is None or not line.isprintable():
            return None
        indent, key, given = len(found[1]), found[2], found[3]
        if indent > before:
            if empty is None or len(open_maps) > DEEPEST:
                return None
            inner: Values = {}
            empty[0][empty[1]] = inner
            open_maps.append((indent, inner, empty[2]))
        while open_maps and open_maps[-1][0] > indent:
            open_maps.pop()
        if not open_maps or open_maps[-1][0] != indent:
            return None
        _, values, above = open_maps[-1]
        path = (*above, key)
        if key in values or key.lower() in _WORDS:
            return None
        value = None if given is None else _value(given)
        if value is _OTHER:
            return None
        values[key] = value
        lines[path] = number
        empty = (values, key, path) if given is None else None
        before = indent
    return (root, lines) if root else None


def _value(text: str) -> Any:
    if text[0] == "[":
        if text[-1] != "]" or text == "[]":
            return [] if text == "[]" else _OTHER
        items = [_scalar(item, _IN_LIST) for item in text[1:-1].split(", ")]
        return _OTHER if _OTHER in items else items
    quoted = _QUOTED.fullmatch(text)
    return quoted[1] if quoted else _scalar(text, _TEXT)


def _scalar(text: str, pattern: re.Pattern[str]) -> Any:
    if (number := _NUMBER.fullmatch(text)) is not None:
        return int(text) if number["int"] else float(text)
    if text in _WORDS:
        return _WORDS[text]
    return text if pattern.fullmatch(text) and text.lower() not in _WORDS else _OTHER
