"""Imports torchvision where its compiled operators do not load, as beside a CPU build of torch.

torchvision registers shapes for the operators `nms` and `qnms` while it is imported, and fails when its binary has not declared them. Declaring them
first is enough for its models, transforms and data sets; its detection operators stay unusable. Where the binary loads, nothing is declared.
"""

import importlib
from types import ModuleType
from typing import Any

_OPERATORS = ("nms", "qnms")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
# Declarations last as long as this object does.
_declared: list[Any] = []


def torchvision() -> ModuleType:
    """Return the module torchvision, imported on the first call (seconds)."""
    import torch

    if not _declared and not _binary_loads():
        library = torch.library.Library("torchvision", "DEF")
        for operator in _OPERATORS:
            library.define(operator + _SCHEMA)
        _declared.append(library)
    return importlib.import_module("torchvision")


def _binary_loads() -> bool:
    """Return whether torchvision's compiled operators load beside this torch; loading them twice does nothing."""
    import sys
    from importlib.util import find_spec
    from pathlib import Path

    import torch

    if "torchvision" in sys.modules:  # somebody imported it already: it loaded, or was helped
        return True
    spec = find_spec("torchvision")
    for folder in spec.submodule_search_locations or () if spec else ():
        for binary in Path(folder).glob("_C*"):
            try:
                torch.ops.load_library(str(binary))
            except OSError:  # built for another torch: the one question asked here
                return False
            return True
    return False
