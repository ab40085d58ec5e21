"""Zhurnal: a lab journal for computer-vision experiments.

>>> import zhurnal                                                                          # doctest: +SKIP
>>> lab = zhurnal.Lab("cifar")                                                              # doctest: +SKIP
>>> e = lab.new({"optimizer": "adam"}, parent="e0001", question="Is Adam better?")          # doctest: +SKIP
>>> lab.run(e.name)                                                                         # doctest: +SKIP
>>> print(lab.compare(["e0001", e.name]))                                                   # doctest: +SKIP

Importing it imports nothing slow; torch comes with the first run.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import Lab as Lab
    from .core.errors import ZhurnalError as ZhurnalError

__version__ = "0.1.0"
__all__ = ["Lab", "ZhurnalError", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Lab":
        from .api import Lab

        return Lab
    if name == "ZhurnalError":
        from .core.errors import ZhurnalError

        return ZhurnalError
    raise AttributeError(f"module 'zhurnal' has no attribute '{name}'")
