"""Text for people: suggestions for misspelt names, numbers, durations and dates. Pure functions."""

import difflib
import math
import re
import unicodedata
from collections.abc import Iterable


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the nearest of `choices`, or an empty text.

    >>> did_you_mean("sdg", ["sgd", "adam"])
    "; did you mean 'sgd'?"
    """
    choices = list(choices)
    near = difflib.get_close_matches(word.lower(), choices, n=1, cutoff=0.55)
    if not near:  # `optim` for `optimizer`: a beginning is a better guess than a likeness
        near = [c for c in choices if len(word) > 2 and c.startswith(word.lower())][:1]
    return f"; did you mean '{near[0]}'?" if near else ""


def list_names(names: Iterable[str]) -> str:
    """Return names as `a, b or c`."""
    names = list(names)
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + f" or {names[-1]}"


def show(value: object) -> str:
    """Return a setting's value as it is written on the command line: `0.001`, `true`, `none`, `[0.9, 0.999]`.

    >>> show(1e-05), show(True), show(None), show((0.9, 0.999)), show({"mean": [0.5]}), show(["crop", {"cutout": {"size": 8}}])
    ('1e-05', 'true', 'none', '[0.9, 0.999]', '{mean: [0.5]}', '[crop, cutout(size=8)]')
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_show_item(v) for v in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {show(v)}" for k, v in value.items()) + "}"
    return str(value) if not isinstance(value, str) or value.isprintable() else printable(value, 2000)


def _show_item(value: object) -> str:
    """Return an item of a list: a name with its options as `cutout(size=8)`."""
    if isinstance(value, dict) and len(value) == 1:
        name, options = next(iter(value.items()))
        if isinstance(options, dict):
            return f"{name}({', '.join(f'{k}={show(v)}' for k, v in options.items())})"
    return show(value)


def percent(fraction: float | None, digits: int = 2) -> str:
    """Return a fraction in [0, 1] as percent without the sign: `66.22`; `–` for None and NaN."""
    return "–" if fraction is None or math.isnan(fraction) else f"{100 * fraction:.{digits}f}"


def duration(seconds: float | None) -> str:
    """Return a duration in seconds for people.

    >>> duration(0.42), duration(14.06), duration(180), duration(4000), duration(200000)
    ('0.42 s', '14.1 s', '3 min 00 s', '1 h 06 min', '2 d 7 h')
    """
    if seconds is None or math.isnan(seconds):
        return "–"
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    if seconds < 3599.5:
        return f"{int(seconds + 0.5) // 60} min {int(seconds + 0.5) % 60:02d} s"
    minutes = int(seconds / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"


def size(num_bytes: int) -> str:
    """Return a number of bytes for people.

    >>> size(0), size(1536), size(2_345_678), size(12_000_000_000)
    ('0 B', '1.5 kB', '2.3 MB', '12.0 GB')
    """
    value, unit = float(num_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{num_bytes} B" if unit == "B" else f"{value:.1f} {unit}"


def count(number: int, noun: str) -> str:
    """Return `1 run`, `3 runs`, `60,000 images`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


# Control characters, halves of characters (surrogates), and characters that change the direction of what follows.
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


_SPACES = "\n\r\t\u2028\u2029"


def plain_json(text: str) -> str:
    """Return JSON in which characters that a terminal would obey are written as escapes; they can stand in its texts only, so it says the same."""
    return UNSAFE.sub(lambda match: match[0] if match[0] == "\n" else f"\\u{ord(match[0]):04x}", text)


def character(text: str) -> str:
    """Return how a character that cannot be shown is called: `the character U+202E (right-to-left override)`."""
    name = unicodedata.name(text, "").lower()
    return f"the character U+{ord(text):04X}" + (f" ({name})" if name else "")


def printable(text: str, limit: int = 500) -> str:
    """Return `text` without control and direction-changing characters, cut at `limit`: safe for a terminal or a page."""
    kept = (" " if c in _SPACES else c for c in text if c in _SPACES or not unicodedata.category(c).startswith("C"))
    clean = "".join(kept)
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def escape_markdown(text: str) -> str:
    """Return a person's text so that Markdown and HTML show it as it is: no link, no tag, no table cell, no comment comes of it.

    >>> escape_markdown("a|b <i> [x](y) batch_size _z_")
    'a\\\\|b &lt;i&gt; \\\\[x\\\\](y) batch_size \\\\_z\\\\_'
    """
    text = printable(text, len(text) + 1).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"[\\`*{}\[\]#|~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\\g<0>", text)
