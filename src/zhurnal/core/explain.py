"""Sentences for what pydantic finds wrong: the value, the rule, the way out."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from .text import did_you_mean, list_names, show

_RULES = {
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be a text",
    "finite_number": "must be finite",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "literal_error": "must be {expected}",
    "missing": "is missing",
}


class Problems(ValueError):
    """What is wrong with a field that holds several things: a text for each, to stand after the field's key."""

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__("; ".join(texts))
        self.texts = texts


def explain_all(section: str, cls: type[BaseModel], error: ValidationError, given: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the key and the sentence for each thing that pydantic found wrong with `given`."""
    found: dict[str, list[str]] = {}
    for item in error.errors():
        key, text = explain(section, cls, item, given)
        several = item.get("ctx", {}).get("error")
        found[key] = list(several.texts) if isinstance(several, Problems) else [text]
    return [(key, text) for key, texts in found.items() for text in texts]


def explain(section: str, cls: type[BaseModel], item: Any, given: Mapping[str, Any]) -> tuple[str, str]:
    """Return the key and the sentence for one of pydantic's errors about `given`."""
    field = str(item["loc"][0]) if item["loc"] else ""
    key = f"{section}.{field}" if field else section
    kind, context, value = item["type"], item.get("ctx", {}), item["input"]
    if kind == "extra_forbidden" and len(item["loc"]) == 1:
        names = [n for n in cls.model_fields if n != "name"]
        part = f"{section} {cls.model_fields['name'].default}" if "name" in cls.model_fields and section != "data" else section
        return key, f": {part} has no such setting{did_you_mean(field, names) or ';'} it has {list_names(names) if names else 'none'}"
    if (field in cls.model_fields and len(item["loc"]) > 1) or kind == "literal_error" or (kind == "tuple_type" and f"{section}.{field}" in _ALLOWED):
        return key, f" is {show(given.get(field, value))}, must be {_allowed(section, cls, field)}"
    if kind == "value_error":
        return key, f": {context['error']}"
    rule = _RULES.get(kind, item["msg"]).format(**{k: show(v) for k, v in context.items()})
    bounds = _bounds(cls, field)
    return key, f" is {show(value)}, must be {bounds}" if bounds and kind.startswith(("greater", "less")) else f" is {show(value)}, {rule}"


def _bounds(cls: type[BaseModel], field: str) -> str:
    """Return `above 0 and at most 100` for a number with two bounds."""
    words = {"Gt": "above {gt}", "Ge": "at least {ge}", "Lt": "below {lt}", "Le": "at most {le}"}
    found = []
    for limit in cls.model_fields[field].metadata if field in cls.model_fields else ():
        if type(limit).__name__ in words:
            name = type(limit).__name__
            found.append(words[name].format(**{name.lower(): show(getattr(limit, name.lower()))}))
    return " and ".join(found)


_ALLOWED = {
    "resize_crop.scale": "two numbers above 0 and at most 1, such as [0.08, 1]",
    "resize_crop.ratio": "two numbers above 0, such as [0.75, 1.33]",
    "random_erasing.scale": "two numbers above 0 and at most 1, such as [0.02, 0.33]",
    "random_erasing.ratio": "two numbers above 0, such as [0.3, 3.3]",
    "data.validation": "a number above 0 and at most 0.5, or test",
    "data.normalize": "data, none, or {mean: [...], std: [...]} of pixels between 0 and 1 (those of 0 to 255 divided by 255), std above 0, "
    "as many of each",
    "model.scale": "width (for airnet), or a number above 0 and at most 100",
    "loss.class_weights": "none, balanced, or a number above 0 for each class, such as [1, 1, 4]",
    "optimizer.betas": "two numbers from 0 to below 1, such as [0.9, 0.999]",
    "scheduler.milestones": "numbers above 0, such as [30, 60]",
}


def _allowed(section: str, cls: type[BaseModel], field: str) -> str:
    """Return what a field with several kinds of value may be."""
    if f"{section}.{field}" in _ALLOWED:
        return _ALLOWED[f"{section}.{field}"]
    annotation = cls.model_fields[field].annotation
    choices = [a for part in (annotation, *getattr(annotation, "__args__", ())) for a in getattr(part, "__args__", ()) if isinstance(a, (str, int))]
    choices = choices or [a for a in getattr(annotation, "__args__", ()) if isinstance(a, (str, int))]
    if choices:
        return list_names(show(c) for c in dict.fromkeys(choices))
    limits = [m for a in getattr(annotation, "__args__", ()) for m in getattr(a, "__metadata__", ())]
    return "a whole number above 0, or none" if limits else "a value of another type"
