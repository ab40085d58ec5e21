"""Whether `effective.json` is what a run writes: a file that is anything else is told, and never trusted in parts.

Texts come out as a person may see them: without control and direction-changing characters.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from ..core.text import printable

LARGEST = 64_000_000  # bytes
LONGEST = 20_000  # characters of a text
_DATA = {
    "name": str, "fingerprint": str, "classes": list, "image": list, "num_train": int, "num_val": int, "num_test": int, "mean": list | None,
    "std": list | None, "validation": str, "notes": list,
}  # fmt: skip
_TYPES = {
    "experiment": str, "seed": int, "settings": dict, "continue": str | None, "started_from": dict | None, "data": dict, "model": dict,
    "optimizer": list, "sources": dict, "device": str, "num_threads": int, "memory_format": str,
}  # fmt: skip


def effective(data: bytes) -> tuple[dict[str, Any], str]:
    """Return what a run really got, or nothing and what is wrong with it."""
    if len(data) > LARGEST:
        return {}, f"effective.json has {len(data):,} bytes, more than a run writes"
    try:
        values = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        return {}, f"effective.json is damaged: {printable(str(error), 200)}"
    wrong = _wrong(values)
    if wrong:
        return {}, f"effective.json is not what a run writes: {wrong}"
    if not data.isascii() or b"\\" in data or b"\x7f" in data:  # then a text may hold what a terminal would obey
        values = _clean(values)
    return values, ""


def _wrong(values: Any) -> str:
    if not isinstance(values, dict):
        return "it holds no keys"
    told = values.get("data")
    if not isinstance(values.get("settings"), dict) or not isinstance(told, dict) or not isinstance(told.get("fingerprint"), str):
        return "settings or the data's fingerprint are missing"
    for holder, types in ((values, _TYPES), (told, _DATA)):
        for key, kind in types.items():
            if key in holder and not isinstance(holder[key], kind):
                return f"{key} is of another kind"
    texts = [*told.get("classes", ()), *told.get("notes", ())]
    numbers = [*told.get("image", ()), *(told.get("mean") or ()), *(told.get("std") or ())]
    sources = values.get("sources", {}).values()
    if not all(isinstance(t, str) for t in texts) or not all(isinstance(n, int | float) for n in numbers):
        return "classes, notes or numbers are of another kind"
    if not all(isinstance(s, Mapping) and isinstance(s.get("sha256"), str) for s in sources):
        return "sources have no SHA-256"
    parameters = values.get("model", {}).get("num_parameters")
    return "" if parameters is None or isinstance(parameters, int) else "num_parameters is of another kind"


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isprintable() and len(value) <= LONGEST else printable(value, LONGEST)
    if isinstance(value, dict):
        return {_clean(k): _clean(v) for k, v in value.items()}
    return [_clean(v) for v in value] if isinstance(value, list) else value
