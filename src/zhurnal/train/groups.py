"""Parameter groups from settings: which weights get which learning rate and weight decay.

Promises: the groups of a network and their order depend on its structure and the settings alone, so that a checkpoint's groups meet the same
parameters again; without any of the settings there is one group, of all parameters; each parameter that wants a gradient is in one group.

A group tells in `lr_from` which setting its learning rate comes from (`lr`, `head_lr` or `other_lr`), and in `name` which weights it holds.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn import Parameter

from ..core.errors import RunError
from ..core.settings import GroupedOptimizer, Muon, Optimizer

HEADS = ("fc", "head", "classifier")
NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
OPENED = (nn.Sequential, nn.ModuleList)  # their children are layers of their own

Group = dict[str, Any]


@dataclass(frozen=True)
class _Place:
    """What a group's settings depend on."""

    depth: int  # layers between it and the head; 0 without layer_decay
    head: bool
    other: bool  # not orthogonalized by Muon
    no_decay: bool


def head_of(module: nn.Module) -> nn.Module | None:
    """Return the layer that makes the logits, or None where none can be told.

    It is what `module.get_classifier()` returns (timm's networks), else the attribute `fc`, `head` or `classifier`, else the whole network; and of
    that the last linear layer, or where it has none and is not the whole network, itself.
    """
    get = getattr(module, "get_classifier", None)
    found = get() if callable(get) else next((getattr(module, name) for name in HEADS if hasattr(module, name)), None)
    if not isinstance(found, nn.Module) or not any(True for _ in found.parameters()):
        found = None
    linears = [m for m in (module if found is None else found).modules() if isinstance(m, nn.Linear)]
    return linears[-1] if linears else found


def layers_of(module: nn.Module) -> list[list[Parameter]]:
    """Return the parameters of each layer of a network, from the images on; the head's are among them.

    Layers are the children of the network in the order they were given to it; an nn.Sequential or nn.ModuleList counts as its own children. A child
    that has no parameter with two dimensions (a norm) belongs to the layer before it, and the network's own parameters (an embedding of positions) to
    the first layer.
    """
    layers: list[list[Parameter]] = [list(module.parameters(recurse=False))]
    for child in _children(module):
        parameters = list(child.parameters())
        if any(p.ndim >= 2 for p in parameters) and any(p.ndim >= 2 for p in layers[-1]) and len(layers) > 1:
            layers.append(parameters)
        elif any(p.ndim >= 2 for p in parameters) and len(layers) == 1:
            layers.append(layers[0] + parameters)
        else:
            layers[-1] = layers[-1] + parameters
    return layers[1:] if len(layers) > 1 else layers


def _children(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        if isinstance(child, OPENED):
            yield from _children(child)
        else:
            yield child


def is_grouped(optimizer: Optimizer) -> bool:
    """Return whether an optimizer's settings tell weights apart."""
    if not isinstance(optimizer, GroupedOptimizer):
        return False
    return isinstance(optimizer, Muon) or optimizer.no_decay != "none" or optimizer.head_lr is not None or optimizer.layer_decay is not None


def of(optimizer: Optimizer, module: nn.Module, names: Collection[str]) -> list[Group]:
    """Return the parameters `names`, which an optimizer is to train from now on too, in the groups that it would have had them in from the start."""
    if isinstance(optimizer, GroupedOptimizer) and is_grouped(optimizer):
        return make(optimizer, module, only=names)
    return [{"params": [module.get_parameter(name) for name in names]}]


def make(optimizer: GroupedOptimizer, module: nn.Module, *, only: Collection[str] | None = None) -> list[Group]:
    """Return the parameters of `module` that want a gradient, of them `only` those of these names, as groups for a torch.optim.Optimizer.

    `no_decay: norm_bias` sets weight decay to 0 for biases, normalization layers, and whatever else has one dimension, as timm does. `layer_decay` d
    gives the layer n below the head d^n of the learning rate: Clark, Luong, Le and Manning 2020 (ELECTRA), appendix A; Bao, Dong, Piao and Wei
    2022 (BEiT), appendix. `head_lr` is the head's own learning rate. Muon has groups of their own for the weights that it orthogonalizes: those with
    two dimensions or more that are neither in the head nor an embedding, and no single row or column.

    Raises:
        RunError: `head_lr` is set and no head can be found.
    """
    head = head_of(module)
    if head is None and optimizer.head_lr is not None:
        raise RunError(
            "optimizer.head_lr is set, but the network has no last layer that can be told: name it fc, head or classifier, or end with an nn.Linear"
        )
    place = _places(optimizer, module, head)
    groups: dict[_Place, list[Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad and (only is None or name in only):
            groups.setdefault(place(name, parameter), []).append(parameter)
    order = sorted(groups, key=lambda p: (p.other, p.head and optimizer.head_lr is not None, p.depth, p.head, p.no_decay))
    return [_group(optimizer, p, groups[p]) for p in order]


def _places(optimizer: GroupedOptimizer, module: nn.Module, head: nn.Module | None) -> Callable[[str, Parameter], _Place]:
    """Return a function from a parameter's name and itself to its place."""
    in_head = {id(p) for p in head.parameters()} if head is not None else set()
    norms = {id(p) for m in module.modules() if isinstance(m, NORMS) for p in m.parameters(recurse=False)}
    embeddings = {id(p) for m in module.modules() if isinstance(m, nn.Embedding) for p in m.parameters(recurse=False)}
    depths: dict[int, int] = {}
    if optimizer.layer_decay is not None:
        layers = [rest for layer in layers_of(module) if (rest := [p for p in layer if id(p) not in in_head])]
        below = 1 if head is not None else 0
        depths = {id(p): len(layers) - 1 - i + below for i, layer in reversed(list(enumerate(layers))) for p in layer}
    muon = isinstance(optimizer, Muon)
    own_head = muon or optimizer.layer_decay is not None or optimizer.head_lr is not None

    def place(name: str, p: Parameter) -> _Place:
        of_head = id(p) in in_head
        matrix = p.ndim >= 2 and not of_head and id(p) not in embeddings and 1 < p.shape[0] < p.numel()
        thin = p.ndim <= 1 or id(p) in norms or "bias" in name.rpartition(".")[2]
        return _Place(
            depth=0 if of_head else depths.get(id(p), 0),
            head=own_head and of_head,
            other=muon and (not matrix or thin),
            no_decay=optimizer.no_decay == "norm_bias" and thin,
        )

    return place


def _group(optimizer: GroupedOptimizer, place: _Place, parameters: list[Parameter]) -> Group:
    lr_from, lr = "lr", optimizer.lr
    if place.other:
        lr_from, lr = "other_lr", optimizer.other_lr if isinstance(optimizer, Muon) else lr
    if place.head and optimizer.head_lr is not None:
        lr_from, lr = "head_lr", optimizer.head_lr
    words = ["head" if place.head else f"{place.depth} below the head" if place.depth else "" if place.other else "all"]
    if place.other and not place.head:
        words.append("biases and norms")
    group: Group = {"params": parameters, "lr": lr * (optimizer.layer_decay or 1.0) ** place.depth, "lr_from": lr_from}
    if place.no_decay:
        words.append("no decay")
        group["weight_decay"] = 0.0
    if isinstance(optimizer, Muon):
        group["rule"] = optimizer.other if place.other else "muon"
    return group | {"name": ", ".join(filter(None, words)), "initial_lr": group["lr"]}
