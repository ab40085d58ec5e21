"""The optimizers. To add one: a function `make(parameters, lr, *, option=...) -> Optimizer`, a line in `OPTIMIZERS`, a class in `core/sections/`.

`parameters` are parameters, or groups of them (`groups.py`).

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
from ..core.errors import RunError, SettingsError
from ..core.text import did_you_mean, list_names, printable
from . import groups
from .muon import Muon
from .own import accepts, call_own, find

Parameters = Iterable[Parameter] | Iterable[groups.Group]
Betas = tuple[float, float]


def sgd(parameters: Parameters, lr: float, *, momentum: float = 0.9, nesterov: bool = False, weight_decay: float = 0.0) -> Optimizer:
    """Return torch.optim.SGD, fused where possible."""
    given, fused = _fused(parameters)
    return torch.optim.SGD(given, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, fused=fused)


def adam(parameters: Parameters, lr: float, *, betas: Betas = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0) -> Optimizer:
    """Return torch.optim.Adam, fused where possible; weight decay is an L2 term of the gradient."""
    given, fused = _fused(parameters)
    return torch.optim.Adam(given, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=fused)


def adamw(parameters: Parameters, lr: float, *, betas: Betas = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.01) -> Optimizer:
    """Return torch.optim.AdamW, fused where possible; weight decay is decoupled from the gradient."""
    given, fused = _fused(parameters)
    return torch.optim.AdamW(given, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=fused)


def rmsprop(
    parameters: Parameters, lr: float, *, alpha: float = 0.99, eps: float = 1e-8, momentum: float = 0.0, weight_decay: float = 0.0
) -> Optimizer:
    """Return torch.optim.RMSprop, of which PyTorch has no fused form; its default loops over tensors on the processor, not on CUDA."""
    return torch.optim.RMSprop(parameters, lr=lr, alpha=alpha, eps=eps, momentum=momentum, weight_decay=weight_decay)


def nadam(
    parameters: Parameters, lr: float, *, betas: Betas = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0, momentum_decay: float = 0.004,
    decoupled_weight_decay: bool = False,
) -> Optimizer:  # fmt: skip
    """Return torch.optim.NAdam: Dozat 2016."""
    return torch.optim.NAdam(parameters, lr, betas, eps, weight_decay, momentum_decay=momentum_decay, decoupled_weight_decay=decoupled_weight_decay)


def radam(
    parameters: Parameters, lr: float, *, betas: Betas = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0,
    decoupled_weight_decay: bool = False,
) -> Optimizer:  # fmt: skip
    """Return torch.optim.RAdam: Liu et al. 2020."""
    return torch.optim.RAdam(parameters, lr, betas, eps, weight_decay, decoupled_weight_decay=decoupled_weight_decay)


def adamax(parameters: Parameters, lr: float, *, betas: Betas = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0) -> Optimizer:
    """Return torch.optim.Adamax: Kingma and Ba 2015, section 7."""
    return torch.optim.Adamax(parameters, lr, betas, eps, weight_decay)


def adagrad(
    parameters: Parameters, lr: float, *, lr_decay: float = 0.0, initial_accumulator_value: float = 0.0, eps: float = 1e-10, weight_decay: float = 0.0
) -> Optimizer:
    """Return torch.optim.Adagrad: Duchi, Hazan and Singer 2011."""
    return torch.optim.Adagrad(
        parameters, lr, lr_decay=lr_decay, weight_decay=weight_decay, initial_accumulator_value=initial_accumulator_value, eps=eps
    )


def adadelta(parameters: Parameters, lr: float, *, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0.0) -> Optimizer:
    """Return torch.optim.Adadelta: Zeiler 2012."""
    return torch.optim.Adadelta(parameters, lr, rho, eps, weight_decay)


def asgd(parameters: Parameters, lr: float, *, lambd: float = 0.0001, alpha: float = 0.75, weight_decay: float = 0.0) -> Optimizer:
    """Return torch.optim.ASGD: Polyak and Juditsky 1992, as Bottou 2010 has it. The averages it would keep from step 10^6 on are used by nothing."""
    return torch.optim.ASGD(parameters, lr, lambd=lambd, alpha=alpha, weight_decay=weight_decay)


def adafactor(parameters: Parameters, lr: float, *, beta2_decay: float = -0.8, d: float = 1.0, weight_decay: float = 0.0) -> Optimizer:
    """Return torch.optim.Adafactor: Shazeer and Stern 2018."""
    return torch.optim.Adafactor(parameters, lr, beta2_decay=beta2_decay, d=d, weight_decay=weight_decay)


def muon(
    parameters: Parameters, lr: float, *, momentum: float = 0.95, nesterov: bool = True, weight_decay: float = 0.0, ns_steps: int = 5,
    renormalize: bool = False, other: str = "adamw", other_lr: float = 0.001, other_momentum: float = 0.9,
) -> Optimizer:  # fmt: skip
    """Return our Muon (`muon.py`): Jordan et al. 2024. airbench's settings: momentum 0.6, ns_steps 3, renormalize, other sgd, other_momentum 0.85."""
    return Muon(
        parameters, lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, ns_steps=ns_steps, renormalize=renormalize,
        other=other, other_lr=other_lr, other_momentum=other_momentum,
    )  # fmt: skip


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": sgd,
    "adam": adam,
    "adamw": adamw,
    "rmsprop": rmsprop,
    "nadam": nadam,
    "radam": radam,
    "adamax": adamax,
    "adagrad": adagrad,
    "adadelta": adadelta,
    "asgd": asgd,
    "adafactor": adafactor,
    "muon": muon,
}


def make_optimizer(optimizer: settings.Optimizer, module: nn.Module, base: Path) -> Optimizer:
    """Return the optimizer of the parameters of `module` that want a gradient. Call it when the module is on its device.

    An optimizer of the user's own is called as `make(parameters, lr=..., weight_decay=..., **options)`. It need not take a `weight_decay` as long as
    the settings leave that 0.

    Raises:
        SettingsError: an optimizer of the user's own or of timm that is not there or does not take its options.
        RunError: it cannot be made or is no torch.optim.Optimizer; or no parameter wants a gradient; or `head_lr` is set and there is no head.
    """
    parameters: list[Any] = [p for p in module.parameters() if p.requires_grad]
    if not parameters:
        raise RunError("the model has no parameter to train, must have at least one with requires_grad: check what model.name freezes")
    options = optimizer.options()
    if isinstance(optimizer, settings.GroupedOptimizer):
        if groups.is_grouped(optimizer):
            parameters = groups.make(optimizer, module)
        if isinstance(optimizer, settings.TimmOptimizer):
            return _timm(optimizer.name, parameters, options)
    own = find("optimizer", optimizer.name, base)
    if own is None:
        return OPTIMIZERS[optimizer.name](parameters, **options)
    if optimizer.weight_decay == 0 and not accepts(own, "weight_decay"):
        del options["weight_decay"]
    made = call_own(own, "optimizer", options, given=(parameters,))
    if not isinstance(made, Optimizer):
        raise RunError(f"{optimizer.name} returns a {type(made).__name__}, must be or return a torch.optim.Optimizer")
    return made


def _timm(name: str, parameters: list[Any], options: dict[str, Any]) -> Optimizer:
    """Return the optimizer that timm calls so, by its `create_optimizer_v2`; weight decay is as timm has it, an L2 term or decoupled.

    Raises:
        RunError: timm is not installed, or the optimizer needs more of the training step than its gradient.
        SettingsError: timm has no such optimizer, or it does not take an option.
    """
    from .vision import torchvision

    try:
        torchvision()  # timm imports it
        import timm.optim
    except ModuleNotFoundError as error:
        raise RunError(f"optimizer {name} needs the package {error.name}: pip install 'zhurnal[timm]'") from error
    short = name.partition(":")[2]
    known = timm.optim.list_optimizers()
    if short.removeprefix("lookahead_") not in known:
        raise SettingsError(
            [f"optimizer: timm has no optimizer '{printable(short, 60)}'{did_you_mean(short, known) or f'; it has {list_names(known)}'}"]
        )
    lists = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    try:
        made = timm.optim.create_optimizer_v2(parameters, opt=short, filter_bias_and_bn=False, **lists)
    except (TypeError, ValueError) as error:
        raise SettingsError([f"optimizer: {name} does not take {list_names(options)} so: {printable(str(error))}"]) from error
    if getattr(made, "is_second_order", False):
        raise RunError(f"optimizer {name} needs second derivatives, which a training step does not compute: choose another")
    return made  # type: ignore[no-any-return]


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


def _fused(parameters: Parameters) -> tuple[list[Any], bool | None]:
    """Return the parameters, and True where one kernel for a whole step exists and gives what PyTorch's loop over tensors does, else None."""
    given: list[Any] = list(parameters)
    each = [p for g in given for p in (g["params"] if isinstance(g, dict) else (g,))]
    fits = all(p.device.type in ("cpu", "cuda") and p.dtype in (torch.float32, torch.float64) and p.layout is torch.strided for p in each)
    return given, True if fits else None


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
