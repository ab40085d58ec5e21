"""How weights start. To add a way: a function `(module) -> None` that changes weights in place, a line in `INITS`, a name in `core/sections/`.

A way that looks at training images takes them as a second argument and has its name in `NEEDS_IMAGES`.

Promises: random numbers come from torch's global generator, which `models.make` seeds; a way that finds nothing to change says so; the mode, the
buffers and the gradients of a network are left as they were.

Shapes: N images, C channels, H height, W width, P patches, D numbers in a patch.
"""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..core.errors import RunError
from .data import Split

# Gives training images as the network gets them: normalized float images_NCHW, without augmentation.
Images = Callable[[], Tensor]

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm)
_BATCH_NORMS = _NORMS[:3]
_WEIGHTED = (*_CONVOLUTIONS, nn.Linear)

WHITEN_EPS = 5e-4  # added to eigenvalues; from the source
WHITEN_IMAGES = 5000  # the source takes its first 5,000 training images
LSUV_IMAGES = 256
LSUV_TOLERANCE = 0.1  # of the variance, and
LSUV_TRIES = 10  # the most times that a layer is scaled: from the source's code


def default(module: nn.Module) -> None:
    """Leave the weights as the network made them.

    For layers of PyTorch that is uniform within 1/sqrt(fan_in) for convolutions and fully connected layers. A network with a start of its own
    (`airnet`) has it in `models.DEFAULT_INITS`.
    """


def kaiming(module: nn.Module) -> None:
    """Fill convolutions by Kaiming normal (fan_out, gain of ReLU), batch and group norm by 1 and 0; the reference's `resnet`.

    Biases of convolutions and all of fully connected layers keep PyTorch's default, as in the code that the reference took it from:
    torchvision's `ResNet.__init__`, whose convolutions have no bias. Method: He, Zhang, Ren and Sun 2015, "Delving deep into rectifiers".
    """
    found = False
    for layer in module.modules():
        if isinstance(layer, _CONVOLUTIONS):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            found = True
        elif isinstance(layer, _NORMS) and layer.affine:
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
    _warn_unless(found, "kaiming", "convolution")


def xavier(module: nn.Module) -> None:
    """Fill convolutions and fully connected layers by Xavier normal, their biases by 0.

    Source: Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks": equation 12 for the variance, and
    section 2.3 for the biases.
    """
    for layer in _weighted(module, "xavier"):
        nn.init.xavier_normal_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def orthogonal(module: nn.Module) -> None:
    """Fill convolutions (as matrices out x rest) and fully connected layers by random orthogonal matrices; biases keep PyTorch's default.

    Source: Saxe, McClelland and Ganguli 2014, "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks", whose layers
    have no bias.
    """
    for layer in _weighted(module, "orthogonal"):
        nn.init.orthogonal_(layer.weight)


def trunc_normal(module: nn.Module) -> None:
    """Fill convolutions and fully connected layers by a normal of deviation 0.02, cut at -2 and 2, their biases by 0.

    Source: the code of Liu et al. 2022, "A ConvNet for the 2020s" (`ConvNeXt._init_weights`), which took it from that of DeiT.
    """
    for layer in _weighted(module, "trunc_normal"):
        nn.init.trunc_normal_(layer.weight, std=0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def lsuv(module: nn.Module, images: Images) -> None:
    """Fill convolutions and fully connected layers by orthogonal matrices, then scale each, first to last, until its output has variance 1.

    The variance is taken over a batch of 256 training images and all outputs, in evaluation mode, which leaves the statistics of batch norm alone; a
    layer used several times is scaled by its first use. Biases are left alone, and left out of the variance. Source: Mishkin and Matas 2016, "All
    you need is a good init", algorithm 1, with a tolerance of 0.1 and at most ten tries as in its code.

    Raises:
        RunError: a layer gives the same output everywhere, so that no factor gives it a variance of 1.
    """
    layers = _weighted(module, "lsuv")
    for layer in layers:
        nn.init.orthogonal_(layer.weight)
    names = {layer: name for name, layer in module.named_modules()}
    done: set[nn.Module] = set()

    def scale(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        if layer in done:
            return output
        done.add(layer)
        for _ in range(LSUV_TRIES):
            variance = float((output if layer.bias is None else output - _along_channels(layer)).double().var())
            if abs(variance - 1) < LSUV_TOLERANCE:
                break
            if not variance > 0:
                raise RunError(f"model.init=lsuv: {names[layer]} gives the same output for all images, must vary: use another model.init")
            layer.weight.data /= variance**0.5
            output = layer.forward(*inputs)
        return output

    _look(module, images()[:LSUV_IMAGES], dict.fromkeys(layers, scale))


def dirac(module: nn.Module) -> None:
    """Let the first filters of each convolution pass its input channels on; other filters, and biases, keep PyTorch's default.

    As many filters as there are input channels, or fewer where the convolution has fewer; a convolution in groups has them in each group. Source:
    Zagoruyko and Komodakis 2017, "DiracNets", in the partial form of github.com/KellerJordan/cifar10-airbench (`Conv.reset_parameters`).
    """
    found = False
    for layer in module.modules():
        if isinstance(layer, _CONVOLUTIONS):
            with torch.no_grad():
                for filters in layer.weight.chunk(layer.groups):
                    nn.init.dirac_(filters[: layer.weight.shape[1]])
            found = True
    _warn_unless(found, "dirac", "convolution")


def whitening(module: nn.Module, images: Images) -> None:
    """Let the first convolution whiten patches of the training images, and freeze its weights; see `whiten`. Nothing else is touched."""
    whiten(module, images)


def whiten(module: nn.Module, images: Images) -> None:
    """Fill the first convolution by the whitening of the patches it sees, and freeze its weights; its bias, where it has one, trains.

    Its filters are the eigenvectors of the patches' second moments (C x kernel numbers in a patch), each over sqrt(eigenvalue + 5e-4), the largest
    first, then the same negated. Where the layer has fewer filters than twice as many as numbers in a patch, the largest are taken; where more, the
    rest keep their start. Source: David Page 2018, "How to train your ResNet", part 8, in the form of github.com/KellerJordan/cifar10-airbench
    (`init_whiten`): 5,000 training images, no mean taken off beyond that of the normalization.

    Raises:
        RunError: the network has no convolution, or the first is not a 2-d one over all its channels.
    """
    layer = next((m for m in module.modules() if isinstance(m, _CONVOLUTIONS)), None)
    if not isinstance(layer, nn.Conv2d) or layer.groups != 1 or layer.out_channels < 2:
        what = "no convolution" if layer is None else f"{layer} as its first convolution"
        raise RunError(f"model.init=whitening needs a first nn.Conv2d without groups, but the network has {what}: use another model.init")
    size = layer.weight[0].numel()
    moments_DD, count = torch.zeros(size, size, dtype=torch.float64), 0

    def collect(found: nn.Module, inputs: tuple[Any, ...]) -> None:
        nonlocal count
        assert isinstance(found, nn.Conv2d)
        patches_NDP = nn.functional.unfold(inputs[0], layer.kernel_size, layer.dilation, 0, layer.stride)
        patches_PD = patches_NDP.transpose(1, 2).reshape(-1, size)
        moments_DD.add_((patches_PD.T @ patches_PD).double())
        count += len(patches_PD)
        raise _Enough

    for part_NCHW in images()[:WHITEN_IMAGES].split(250):
        _look(module, part_NCHW, {}, {layer: collect})
    values_D, vectors_DD = torch.linalg.eigh(moments_DD / count)
    filters_DD = (vectors_DD / (values_D.clamp(min=0) + WHITEN_EPS).sqrt()).T.flip(0)
    num = min(size, layer.out_channels // 2)
    with torch.no_grad():
        filters = filters_DD[:num].to(layer.weight.dtype).unflatten(1, layer.weight.shape[1:])
        layer.weight[: 2 * num] = torch.cat([filters, -filters])
    layer.weight.requires_grad_(False)


def zero_gamma(module: nn.Module) -> None:
    """Set the scale of the last batch norm of each residual block to 0, so that every block starts as the identity.

    A residual block is a module whose class is called BasicBlock or Bottleneck, as in this package, torchvision and timm, and its last batch norm the
    one called bn3, or else bn2. Source: Goyal et al. 2017, "Accurate, large minibatch SGD", section 5.1.
    """
    found = False
    for block in module.modules():
        if type(block).__name__ in ("BasicBlock", "Bottleneck"):
            last = getattr(block, "bn3", None) or getattr(block, "bn2", None)
            if isinstance(last, _BATCH_NORMS) and last.affine:
                nn.init.zeros_(last.weight)
                found = True
    _warn_unless(found, "zero_gamma", "residual block (BasicBlock, Bottleneck) with batch norm")


INITS: dict[str, Callable[..., None]] = {
    "default": default,
    "kaiming": kaiming,
    "xavier": xavier,
    "orthogonal": orthogonal,
    "trunc_normal": trunc_normal,
    "lsuv": lsuv,
    "dirac": dirac,
    "whitening": whitening,
    "zero_gamma": zero_gamma,
}
NEEDS_IMAGES = frozenset({"lsuv", "whitening"})


def images_of(split: Split, normalize: Callable[[Tensor], Tensor], num: int = WHITEN_IMAGES) -> Images:
    """Return a function that gives `num` of the split's images, evenly spread over it, normalized, on the processor.

    Which they are depends on the split alone: not on the seed, so that runs differ in their random numbers only.
    """

    def take() -> Tensor:
        positions_N = torch.linspace(0, len(split) - 1, min(num, len(split)), dtype=torch.float64).round().long()
        return normalize(split.take(positions_N)[0]).cpu()

    return take


class _Enough(Exception):
    """What was looked for has been seen; the rest of the pass is not needed."""


def _look(module: nn.Module, images_NCHW: Tensor, after: dict[Any, Any], before: dict[Any, Any] | None = None) -> None:
    """Pass images through the network, in evaluation mode and without gradients, with hooks before and after layers."""
    training = [(m, m.training) for m in module.modules()]
    handles = [layer.register_forward_hook(hook) for layer, hook in after.items()]
    handles += [layer.register_forward_pre_hook(hook) for layer, hook in (before or {}).items()]
    module.eval()
    try:
        with torch.no_grad():
            module(images_NCHW)
    except _Enough:
        pass
    finally:
        for handle in handles:
            handle.remove()
        for m, mode in training:
            m.training = mode


def _along_channels(layer: Any) -> Tensor:
    """Return the bias of a convolution or fully connected layer in a shape that fits its output."""
    bias: Tensor = layer.bias
    return bias if isinstance(layer, nn.Linear) else bias.view(-1, *[1] * (layer.weight.ndim - 2))


def _weighted(module: nn.Module, name: str) -> list[Any]:
    found = [layer for layer in module.modules() if isinstance(layer, _WEIGHTED)]
    _warn_unless(bool(found), name, "convolution or fully connected layer", stacklevel=4)
    return found


def _warn_unless(found: bool, name: str, layer: str, stacklevel: int = 3) -> None:
    if not found:
        text = f"model.init={name} changes no weight: the network has no {layer} of torch.nn; set model.init=default"
        warnings.warn(text, stacklevel=stacklevel)
