"""How the words of a command line are taken apart."""

from typing import Any

# Settings whose value is a list: there, a list is one value of a sweep.
LISTS = ("betas", "seeds", "transform", "milestones", "class_weights")


def split_values(text: str) -> list[str]:
    """Return the values in `0.003,0.01` or `[1, 2],[3]`: commas inside brackets and braces part nothing.

    >>> split_values("0.003,0.01"), split_values("[1, 2],{mean: [0, 1]}")
    (['0.003', '0.01'], ['[1, 2]', '{mean: [0, 1]}'])
    """
    parts, depth = [""], 0
    for character in text:
        depth += (character in "[{") - (character in "]}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [p.strip() for p in parts]


def spread(key: str, values: list[Any]) -> list[Any]:
    """Return the values of a sweep, with `lr=[0.1,0.2]` taken as two.

    >>> spread("optimizer.lr", [[0.1, 0.2]]), spread("optimizer.betas", [[0.9, 0.99]])
    ([0.1, 0.2], [[0.9, 0.99]])
    """
    if len(values) == 1 and isinstance(values[0], list) and key.rpartition(".")[2] not in LISTS:
        return values[0]
    return values
