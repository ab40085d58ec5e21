"""The networks. To add one: a function `build(image, num_classes, *, option=...) -> nn.Module`, a line in `MODELS`, a class in `core/sections/`.

Promises of `make`: the weights are a function of the settings, the shape of an image, the number of classes and the seed; torch's global generator
is left as it was; a network that it returns has been seen to give logits of the right shape.

Shapes: N images, C channels, H height, W width, K classes.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from ...core import settings
from ...core.errors import RunError
from .. import random
from ..init import INITS, NEEDS_IMAGES, Images
from ..own import Own, call_own, describe, find
from .airnet import airnet, airnet_init
from .foreign import foreign, notes_of
from .lenet import lenet
from .resnet import resnet18, resnet20
from .resnet9 import resnet9
from .vgg import vgg, vgg_bn
from .video import VIDEO_MODELS, check_kind
from .vit import vit

MODELS: dict[str, Callable[..., nn.Module]] = {
    "lenet": lenet,
    "vgg": vgg,
    "vgg_bn": vgg_bn,
    "resnet18": resnet18,
    "resnet20": resnet20,
    "resnet9": resnet9,
    "airnet": airnet,
    "vit": vit,
} | VIDEO_MODELS
# Networks whose `init: default` is more than the defaults of their layers, and looks at training images.
DEFAULT_INITS: dict[str, Callable[[nn.Module, Images], None]] = {"airnet": airnet_init}

__all__ = ["DEFAULT_INITS", "MODELS", "build", "make", "notes_of"]


def make(model: settings.Model, image: tuple[int, ...], num_classes: int, *, seed: int, base: Path, images: Images | None = None) -> nn.Module:
    """Return a network on the processor, in training mode, with initial weights; `model.weights` and `model.freeze` are the caller's to apply.

    A network of the user's own, `my_net.py:Net`, is called as `Net(image=..., num_classes=..., **options)`, with those of the first two that its
    signature names. Its weights depend on the seed alone as long as it draws them from torch's generator.

    A network of a library, `timm:resnet50`, gets a new head, and its library's weights where `model.pretrained` asks for them; `notes_of` tells what
    was adapted.

    Args:
        model: the section `model` of the settings.
        image: shape (C, H, W) of an image, or (T, C, H, W) of a clip.
        num_classes: number of logits.
        seed: the run's seed.
        base: the lab's folder, to which the path of a network of the user's own is relative.
        images: gives training images as the network gets them (`init.images_of`), for ways of initialization that look at them.

    Raises:
        SettingsError: a network of the user's own, or of a library, that is not there or does not take its options.
        RunError: it cannot be built, fails on images of that shape, gives something else than logits of shape (N, num_classes), or its
            initialization needs images and there are none.
    """
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would also seed CUDA's generators; networks are built on the processor.
        torch.default_generator.manual_seed(random.seed_of(seed, random.INIT))
        network = build(model, image, num_classes, base=base)
        own_init = DEFAULT_INITS.get(model.name) if model.init == "default" else None
        if own_init is None and model.init not in NEEDS_IMAGES:
            INITS[model.init](network)
        elif len(image) == 4:
            raise RunError(f"model.init={model.init} of {model.name} looks at training images, and the data are clips: use another model.init")
        elif images is None:
            raise RunError(f"model.init={model.init} of {model.name} looks at training images, and there are none here: use another model.init")
        else:
            (own_init or INITS[model.init])(network, images)
    return network


def build(model: settings.Model, image: tuple[int, ...], num_classes: int, *, base: Path) -> nn.Module:
    """Return the network before `model.init`, with weights from torch's generator as it is; otherwise as `make`."""
    own = find("model", model.name, base)
    if own is not None:
        network = call_own(own, "model", model.options(), offered={"image": image, "num_classes": num_classes})
        if not isinstance(network, nn.Module):
            raise RunError(f"{model.name} returns a {type(network).__name__}, must be or return a torch.nn.Module")
        _check(network, model.name, image, num_classes, own)
        return network
    check_kind(model.name, image)
    if isinstance(model, settings.ForeignModel):
        channels, height, width = image
        network = foreign(model, (channels, height, width), num_classes, base)
    else:
        network = MODELS[model.name](image, num_classes, **model.options())
    _check(network, model.name, image, num_classes, own)  # before init: lazy layers get their weights in the first pass
    return network


def _check(network: nn.Module, name: str, image: tuple[int, ...], num_classes: int, own: Own | None) -> None:
    """Pass two images through the network, in evaluation mode and without gradients, and check the shape of the logits.

    Raises:
        RunError: naming the shape it gave and the one expected.
    """
    images_NCHW = torch.rand((2, *image), generator=torch.Generator().manual_seed(0))
    training = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad():
            logits_NK = network(images_NCHW)
    except Exception as error:
        text = describe(error, own) if own else f"{type(error).__name__}: {error}"
        raise RunError(f"{text} (model {name} on images of shape {tuple(images_NCHW.shape)})") from error
    finally:
        for module, mode in training:
            module.training = mode
    expected = (2, num_classes)
    got = f"logits of shape {tuple(logits_NK.shape)}" if isinstance(logits_NK, torch.Tensor) else f"a {type(logits_NK).__name__}"
    if got != f"logits of shape {expected}":
        way = "let the network take num_classes and end in a layer of that width" if own else "this is a fault of Zhurnal's"
        raise RunError(f"model {name} gives {got} for 2 images of shape {image}, must be logits of shape {expected}: {way}")
