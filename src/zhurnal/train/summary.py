"""What a network is made of: its layers with shapes, parameters and FLOPs, and a table of all networks.

Promises: the network's modes, statistics and gradients are left as they were; a FLOP is a multiplication or an addition, as
torch.utils.flop_counter counts matrix products and convolutions, and nothing else (no activations, norms or pools).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from ..core import settings
from ..core.errors import ZhurnalError
from ..core.experiment import Experiment
from ..store.lab import Lab
from . import models
from .data import prepare
from .freeze import freeze
from .models.foreign import names

Image = tuple[int, ...]  # (C, H, W), or (T, C, H, W) of a clip
CLIP_LENGTH = 8  # frames that networks for clips are tried on, where only the shape of images is known


@dataclass(frozen=True)
class Layer:
    """A module of a network that computes something itself."""

    name: str  # as in the names of its weights; empty for the network itself
    kind: str  # its class
    shape: tuple[int, ...] | None  # of its output for one image, without the batch; None where it was never used or gives no tensor
    parameters: int  # its own; a tensor that two modules share is counted in the first
    trained: int  # of them, those that want a gradient
    flops: int  # of a forward pass of one image
    uses: int  # how many times it is called in a forward pass


@dataclass(frozen=True)
class Summary:
    """A network's layers, in the order they are used, those never used last; and its totals."""

    layers: tuple[Layer, ...]
    parameters: int
    trained: int
    forward_flops: int  # of one image
    training_flops: int  # of one image: forward and backward
    notes: tuple[str, ...]

    @property
    def shared(self) -> list[Layer]:
        """Layers used more than once."""
        return [layer for layer in self.layers if layer.uses > 1]

    @property
    def unused(self) -> list[Layer]:
        """Layers never used."""
        return [layer for layer in self.layers if layer.uses == 0]


@dataclass(frozen=True)
class Known:
    """A built-in network, built for an image."""

    name: str
    about: str
    parameters: int
    training_flops: int  # of one image
    problem: str  # why it cannot be built for such images, or an empty text


def summarize(network: nn.Module, image: Image) -> Summary:
    """Return what a network is made of, for images of shape `image`, by passing one through it in evaluation mode.

    A module appears if it has no modules in it, parameters of its own, or does matrix products itself (attention).
    """
    modules = dict(network.named_modules())
    order: dict[str, int] = {}
    uses = dict.fromkeys(modules, 0)
    flops = dict.fromkeys(modules, 0)
    shapes: dict[str, tuple[int, ...]] = {}
    open_calls: list[list[int]] = []  # of each module that runs now: FLOPs when it began, and FLOPs of the modules in it
    counter = FlopCounterMode(display=False)

    def begin(name: str) -> None:
        order.setdefault(name, len(order))
        open_calls.append([counter.get_total_flops(), 0])

    def end(name: str, output: Any) -> None:
        uses[name] += 1
        before, inside = open_calls.pop()
        total = counter.get_total_flops() - before
        flops[name] += total - inside
        if open_calls:
            open_calls[-1][1] += total
        if isinstance(output, Tensor):
            shapes.setdefault(name, tuple(output.shape[1:]))

    handles = []
    for name, module in modules.items():
        handles.append(module.register_forward_pre_hook(lambda _, __, name=name: begin(name), prepend=True))
        handles.append(module.register_forward_hook(lambda _, __, output, name=name: end(name, output)))
    training = [(module, module.training) for module in modules.values()]
    network.eval()
    try:
        with torch.no_grad(), counter:
            network(example(image, 1))
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in training:
            module.training = mode
    seen: set[int] = set()
    layers = []
    for name, module in modules.items():
        own = [p for p in module.parameters(recurse=False) if id(p) not in seen]
        seen.update(id(p) for p in own)
        if not own and not flops[name] and any(True for _ in module.children()):
            continue
        layers.append(
            Layer(
                name,
                type(module).__name__,
                shapes.get(name),
                sum(p.numel() for p in own),
                sum(p.numel() for p in own if p.requires_grad),
                flops[name],
                uses[name],
            )
        )
    layers.sort(key=lambda layer: order.get(layer.name, len(order)))
    return Summary(
        tuple(layers),
        sum(p.numel() for p in network.parameters()),
        sum(p.numel() for p in network.parameters() if p.requires_grad),
        sum(flops.values()),
        training_flops(network, image),
        models.notes_of(network),
    )


def training_flops(network: nn.Module, image: Image) -> int:
    """Return the FLOPs of a forward and backward pass, for one image of shape `image`.

    Two images are passed, in training mode: a batch norm cannot train on one. Gradients and statistics are put back.
    """
    gradients = [(p, p.grad) for p in network.parameters()]
    buffers = [(b, b.clone()) for b in network.buffers()]
    training = [(module, module.training) for module in network.modules()]
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    network.zero_grad(set_to_none=True)
    network.train()
    try:
        with torch.random.fork_rng(devices=[]), FlopCounterMode(display=False) as counter:
            logits_NK = network(example(image, 2).to(device))
            if logits_NK.requires_grad:
                functional.cross_entropy(logits_NK, torch.zeros(2, dtype=torch.long, device=device)).backward()
    finally:
        for parameter, gradient in gradients:
            parameter.grad = gradient
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)
        for module, mode in training:
            module.training = mode
    return int(counter.get_total_flops()) // 2


def example(image: Image, num: int) -> Tensor:
    """Return `num` images of shape `image`, always the same."""
    return torch.rand((num, *image), generator=torch.Generator().manual_seed(0))


def known(image: Image, num_classes: int) -> list[Known]:
    """Return all built-in networks with their default options, built for images of shape (C, H, W); nothing is computed but shapes.

    Networks for clips are built for 8 of these images.
    """
    found = []
    for name, build in models.MODELS.items():
        about = (settings.MODELS[name].__doc__ or "").splitlines()[0]
        shape = (CLIP_LENGTH, *image) if name in settings.VIDEO_MODELS else image
        try:
            with torch.device("meta"):
                network = build(shape, num_classes)
            parameters = sum(p.numel() for p in network.parameters())
            found.append(Known(name, about, parameters, training_flops(network, shape), ""))
        except ZhurnalError as error:
            found.append(Known(name, about, 0, 0, str(error)))
    return found


# Shape and number of classes of the data sets known by name.
SHAPES: dict[str, tuple[Image, int]] = {
    "digits": ((1, 8, 8), 10),
    "cifar10": ((3, 32, 32), 10),
    "cifar100": ((3, 32, 32), 100),
    "mnist": ((1, 28, 28), 10),
    "fashion_mnist": ((1, 28, 28), 10),
}


def shape_of(data: settings.Data) -> tuple[Image, int] | None:
    """Return the shape of an image and the number of classes that the section `data` leads to, or None where only the files know."""
    if data.name not in SHAPES:
        return None
    (channels, height, width), num_classes = SHAPES[data.name]
    if data.image_size is not None:
        height = width = data.image_size
    return (data.channels or channels, height, width), num_classes


def shape_in(lab: Lab, experiment: Experiment) -> tuple[Image, int]:
    """Return the shape of an image and the number of classes of an experiment's data, by reading it.

    Raises:
        DataError: the data is missing or unreadable.
    """
    data = prepare(experiment.settings.data, root=lab.data, base=lab.folder, cache=lab.cache)
    return data.image, len(data.classes)


def build(model: settings.Model, image: Image, num_classes: int, base: Path) -> nn.Module:
    """Return an experiment's network as it is before training, frozen as its settings say; its weights are not those of any run."""
    model = model.model_copy(update={"pretrained": False}) if isinstance(model, settings.ForeignModel) else model
    with torch.random.fork_rng(devices=[]):
        network = models.build(model, image, num_classes, base=base)
    freeze(network, model.freeze)
    return network


def foreign_names(library: str) -> list[str]:
    """Return the names of the image networks of `timm` or `torchvision`.

    Raises:
        RunError: it is not installed.
    """
    return names(library)
