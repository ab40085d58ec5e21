"""The optimizers. To add one: a function `make(parameters, lr, *, option=...) -> Optimizer`, a line in `OPTIMIZERS`, a class in `core/sections/`.

Promises: which implementation is taken (fused or PyTorch's default) depends on the parameters' device and type alone, never on a measurement;
`effective` tells what the optimizer really got.
"""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import Parameter
from torch.optim import Optimizer

from ..core import settings
from ..core.errors import RunError
from .own import accepts, call_own, find


def sgd(parameters: Iterable[Parameter], lr: float, *, momentum: float = 0.9, nesterov: bool = False, weight_decay: float = 0.0) -> Optimizer:
    """Return torch.optim.SGD, fused where possible."""
    parameters = list(parameters)
    return torch.optim.SGD(parameters, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, fused=_fused(parameters))


def adam(
    parameters: Iterable[Parameter], lr: float, *, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0
) -> Optimizer:
    """Return torch.optim.Adam, fused where possible; weight decay is an L2 term of the gradient."""
    parameters = list(parameters)
    return torch.optim.Adam(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=_fused(parameters))


def adamw(
    parameters: Iterable[Parameter], lr: float, *, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.01
) -> Optimizer:
    """Return torch.optim.AdamW, fused where possible; weight decay is decoupled from the gradient."""
    parameters = list(parameters)
    return torch.optim.AdamW(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=_fused(parameters))


def rmsprop(
    parameters: Iterable[Parameter], lr: float, *, alpha: float = 0.99, eps: float = 1e-8, momentum: float = 0.0, weight_decay: float = 0.0
) -> Optimizer:
    """Return torch.optim.RMSprop, of which PyTorch has no fused form; its default loops over tensors on the processor, not on CUDA."""
    return torch.optim.RMSprop(parameters, lr=lr, alpha=alpha, eps=eps, momentum=momentum, weight_decay=weight_decay)


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {"sgd": sgd, "adam": adam, "adamw": adamw, "rmsprop": rmsprop}


def make_optimizer(optimizer: settings.Optimizer, module: nn.Module, base: Path) -> Optimizer:
    """Return the optimizer of the parameters of `module` that want a gradient. Call it when the module is on its device.

    An optimizer of the user's own is called as `make(parameters, lr=..., weight_decay=..., **options)`. It need not take a `weight_decay` as long as
    the settings leave that 0.

    Raises:
        SettingsError: an optimizer of the user's own that is not there or does not take its options.
        RunError: it cannot be made or is no torch.optim.Optimizer; or no parameter wants a gradient.
    """
    parameters = [p for p in module.parameters() if p.requires_grad]
    if not parameters:
        raise RunError("the model has no parameter to train, must have at least one with requires_grad: check what model.name freezes")
    options = optimizer.options()
    own = find("optimizer", optimizer.name, base)
    if own is None:
        return OPTIMIZERS[optimizer.name](parameters, **options)
    if optimizer.weight_decay == 0 and not accepts(own, "weight_decay"):
        del options["weight_decay"]
    made = call_own(own, "optimizer", options, given=(parameters,))
    if not isinstance(made, Optimizer):
        raise RunError(f"{optimizer.name} returns a {type(made).__name__}, must be or return a torch.optim.Optimizer")
    return made


def effective(optimizer: Optimizer) -> list[dict[str, Any]]:
    """Return what each parameter group really has, as plain JSON values, with `num_parameters`, the number of weights in it.

    >>> group, = effective(sgd([Parameter(torch.zeros(2, 3))], 0.1))
    >>> group["lr"], group["momentum"], group["num_parameters"]
    (0.1, 0.9, 6)
    """
    return [
        {key: _plain(value) for key, value in group.items() if key != "params"} | {"num_parameters": sum(p.numel() for p in group["params"])}
        for group in optimizer.param_groups
    ]


def _fused(parameters: list[Parameter]) -> bool | None:
    """Return True where one kernel for a whole step exists and gives what PyTorch's loop over tensors does, else None, PyTorch's choice."""
    fits = all(p.device.type in ("cpu", "cuda") and p.dtype in (torch.float32, torch.float64) and p.layout is torch.strided for p in parameters)
    return True if fits else None


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    return value if value is None or isinstance(value, (bool, int, float, str)) else repr(value)
