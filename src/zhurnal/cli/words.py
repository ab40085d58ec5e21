"""How the words of a command line are taken apart."""


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
