"""How weights start. To add a way: a function `(module) -> None` that changes weights in place, a line in `INITS`, a name in `core/sections/`.

Promises: random numbers come from torch's global generator, which `models.make` seeds; a way that finds nothing to change says so.
"""

import warnings
from collections.abc import Callable

from torch import nn

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm)


def default(module: nn.Module) -> None:
    """Leave the weights as the layers were made: PyTorch's default, uniform within 1/sqrt(fan_in) for convolutions and fully connected layers."""


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
    found = False
    for layer in module.modules():
        if isinstance(layer, (*_CONVOLUTIONS, nn.Linear)):
            nn.init.xavier_normal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
            found = True
    _warn_unless(found, "xavier", "convolution or fully connected layer")


def _warn_unless(found: bool, name: str, layer: str) -> None:
    if not found:
        warnings.warn(f"model.init={name} changes no weight: the network has no {layer} of torch.nn; set model.init=default", stacklevel=3)


INITS: dict[str, Callable[[nn.Module], None]] = {"default": default, "kaiming": kaiming, "xavier": xavier}
