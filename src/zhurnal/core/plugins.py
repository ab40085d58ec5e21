"""Parts that installed packages bring: names found through entry points, without importing the package.

A package registers `tiny = "zhurnal_tiny:tiny"` in the group `zhurnal.models`; then `model=tiny` names it. Groups are `GROUPS`. Looking all packages
over takes tens of milliseconds, so it is done only for a name that is neither built in nor a file of the user's own, and a name found is remembered.
"""

import importlib.metadata
import sys
from dataclasses import dataclass

from .text import list_names

# What a part is -> the group of entry points that holds such parts.
GROUPS = {
    "model": "zhurnal.models",
    "data": "zhurnal.datasets",
    "optimizer": "zhurnal.optimizers",
    "loss": "zhurnal.losses",
    "transform": "zhurnal.transforms",
    "observation": "zhurnal.observations",
}
_found: dict[tuple[str, str, tuple[str, ...]], "Plugin"] = {}


@dataclass(frozen=True)
class Plugin:
    """A part of a package: its name, `module:attribute` where it is, and the package (distribution) with its version."""

    name: str
    value: str
    package: str
    version: str


def find(section: str, name: str) -> Plugin | None:
    """Return the part `name` that a package brings for `section` (a key of `GROUPS`), or None.

    Raises:
        ValueError: several packages bring it.
    """
    if section not in GROUPS or not name.isidentifier():
        return None
    key = (section, name, tuple(sys.path))
    if key not in _found:
        plugins = [p for p in _scan(section) if p.name == name]
        if len({p.package for p in plugins}) > 1:
            raise ValueError(f"'{name}' is brought by {list_names(sorted({p.package for p in plugins}))}; uninstall all but one")
        if not plugins:
            return None
        _found[key] = plugins[0]
    return _found[key]


def names(section: str) -> list[str]:
    """Return the names that packages bring for `section`."""
    return sorted({p.name for p in _scan(section)})


def ways(section: str, file: str) -> str:
    """Return the end of an error text about an unknown name: what packages bring, and the ways to name a part that is not built in.

    >>> ways("model", "my_model.py:Name")
    '; or a file of your own: my_model.py:Name; or a name that an installed package brings (group zhurnal.models; none does)'
    """
    brought = names(section)
    return f"; or a file of your own: {file}; or a name that an installed package brings (group {GROUPS[section]}; " + (
        f"there {'is' if len(brought) == 1 else 'are'} {', '.join(brought)})" if brought else "none does)"
    )


def _scan(section: str) -> list[Plugin]:
    found: dict[tuple[str, str], Plugin] = {}
    for distribution in importlib.metadata.distributions():
        for point in distribution.entry_points.select(group=GROUPS[section]):
            package = distribution.metadata["Name"] or "a package without a name"
            found.setdefault((point.name, package), Plugin(point.name, point.value, package, distribution.version))
    return list(found.values())
