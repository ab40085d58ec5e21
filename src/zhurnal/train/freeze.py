"""Freezing: which weights stay as they are, and from which epoch on they train too.

Promises: what is frozen is a function of the settings and the epoch alone, so a resumed run is the run that was not stopped; parameters that a
network froze by itself (the whitening of `airnet`) stay frozen; a batch norm that is frozen stays in evaluation mode, whatever `.train()` is called:
its running statistics are those of the weights that it was frozen with.
"""

import re
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from ..core.errors import SettingsError
from ..core.settings import Model, Settings
from ..core.text import did_you_mean, list_names
from . import groups

_RANGE = re.compile(r"(?P<base>.*?)(?P<first>\d+)-(?P<last>\d+)")
_NORMS = (nn.modules.batchnorm._BatchNorm,)


def freeze(model: nn.Module, spec: str) -> list[str]:
    """Freeze the modules that `spec` names; return the names of the parameters that were trained before and are not any more.

    `none` freezes nothing; `backbone` all but the last layer that has weights; `layer1` or `features.3` a module and all within it;
    `features.0-10` those of a range, ends included, of which some may not be there; several are separated by commas.

    Raises:
        SettingsError: a name that the network does not have, with near matches, or nothing left to train.
    """
    if spec == "none":
        return []
    prefixes = _prefixes(model, spec)
    names = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and _within(name, prefixes):
            parameter.requires_grad_(False)
            names.append(name)
    if not any(p.requires_grad for p in model.parameters()):
        for name in names:
            model.get_parameter(name).requires_grad_(True)
        raise SettingsError([f"model.freeze is {spec}, which leaves nothing to train: freeze less, such as model.freeze=backbone"])
    for name, module in model.named_modules():
        if isinstance(module, _NORMS) and _within(name, prefixes):
            module.register_forward_pre_hook(_stay_in_evaluation)
            module.eval()
    return names


def unfreeze(model: nn.Module, names: Iterable[str]) -> None:
    """Let parameters that `freeze` named train again, and batch norms follow the network's mode again."""
    for name in names:
        model.get_parameter(name).requires_grad_(True)
    for module in model.modules():
        hooks = [key for key, hook in module._forward_pre_hooks.items() if hook is _stay_in_evaluation]
        for key in hooks:
            del module._forward_pre_hooks[key]
        if hooks:
            module.train(model.training)


def is_frozen(settings: Model, done: int) -> bool:
    """Return whether what `settings.freeze` names is frozen in the epoch after `done` whole epochs."""
    return settings.freeze != "none" and (settings.unfreeze_epoch is None or done + 1 < settings.unfreeze_epoch)


def follow(settings: Settings, model: nn.Module, optimizer: torch.optim.Optimizer, names: Iterable[str], done: int) -> bool:
    """Unfreeze what `freeze` named, once `done` whole epochs are enough, and let the optimizer train it; return whether that happened now.

    It may be called at any time and any number of times. A run calls it when it has counted an epoch, before it saves, and before it restores a
    checkpoint of which it knows `done`: so the optimizer has the groups that the checkpoint's has.
    """
    held = [name for name in names if not model.get_parameter(name).requires_grad]
    if not held or is_frozen(settings.model, done):
        return False
    unfreeze(model, held)
    for group in groups.of(settings.optimizer, model, held):
        join(optimizer, group.pop("params"), **group)
    return True


def join(optimizer: torch.optim.Optimizer, parameters: Iterable[nn.Parameter], **options: Any) -> None:
    """Give an optimizer more parameters, as a group of their own that starts with its settings, or with `options` where given.

    The group's `initial_lr` is the optimizer's rate before any schedule, so that the schedule gives it the rate of the others.
    """
    lr = optimizer.param_groups[0].get("initial_lr", optimizer.defaults.get("lr"))
    own = {"initial_lr": lr, "lr": lr} if lr is not None else {}
    optimizer.add_param_group({"params": list(parameters), **own, **options})


def head_of(model: nn.Module) -> str:
    """Return the name of the last module, in order of registration, that has parameters of its own."""
    found = [name for name, module in model.named_modules() if any(True for _ in module.parameters(recurse=False))]
    return found[-1] if found else ""


def _stay_in_evaluation(module: nn.Module, inputs: Any) -> None:
    module.training = False


def _within(name: str, prefixes: list[str]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def _prefixes(model: nn.Module, spec: str) -> list[str]:
    """Return the names of the modules and parameters that `spec` stands for."""
    known = [name for name, _ in model.named_modules() if name]
    own = [name for name, _ in model.named_parameters()]
    if spec == "backbone":
        head = head_of(model)
        return [name for name in (*known, *own) if not _within(name, [head]) and not _within(head, [name])]
    found, problems = [], []
    for word in (w.strip() for w in spec.split(",")):
        match = _RANGE.fullmatch(word)
        if word in known or word in own:
            found.append(word)
        elif match:
            first, last = int(match["first"]), int(match["last"])
            ends = [f"{match['base']}{first}", f"{match['base']}{last}"]
            problems += [_unknown(word, end, known) for end in dict.fromkeys(ends) if end not in known]
            if first > last:
                problems.append(f"model.freeze: {word} runs backwards: write {match['base']}{last}-{first}")
            found += [n for n in (f"{match['base']}{i}" for i in range(first, last + 1)) if n in known]
        else:
            problems.append(_unknown(word, word, known))
    if problems:
        raise SettingsError(problems)
    return found


def _unknown(word: str, name: str, known: list[str]) -> str:
    top = list(dict.fromkeys(n.partition(".")[0] for n in known))
    listed = list_names(top[:12]) if len(top) <= 12 else ", ".join(top[:12]) + f" and {len(top) - 12} more"
    shown = f"'{word}'" if word == name else f"{word} with '{name}'"
    return f"model.freeze: the network has no module {shown}{did_you_mean(name, known) or ';'} it has {listed}; or backbone, or none"
