"""How anything that takes over a second says how far it is, without knowing who listens."""

from collections.abc import Callable

# Called as progress("decoding images", done, total) with done from 0 to total; the command line draws a bar for each name.
Progress = Callable[[str, int, int], None]


def silent(task: str, done: int, total: int) -> None:
    """Say nothing."""
