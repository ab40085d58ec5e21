"""Networks of timm and torchvision, `timm:resnet50` or `torchvision:vgg16_bn`, with a new head for the data's classes.

Promises: nothing is downloaded; names of weights are the library's, whatever was adapted; what was adapted is told (`notes_of`).

Shapes: N images, C channels, H height, W width, K classes.
"""

import difflib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...core.errors import RunError, SettingsError
from ...core.settings import ForeignModel
from ...core.text import list_names, printable
from .. import vision

Image = tuple[int, int, int]
_SMALL = 32  # pixels; tried for smaller images, before the size that a network is made for
_NATIVE = 224  # pixels; what both libraries' networks are made for where they do not say

# Arguments of the libraries that are not the user's to give.
_TAKEN = frozenset({"num_classes", "in_chans", "progress", "checkpoint_path", "cache_dir", "pretrained_cfg", "pretrained_cfg_overlay"})


@dataclass(frozen=True)
class Adapt:
    """Makes images fit a network, before its first layer: a forward pre-hook, so that the names of its weights stay the library's."""

    size: tuple[int, int] | None  # height and width to resize to: bilinear, with antialiasing
    repeat: int  # copies of a single channel

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the images that the network gets."""
        images_NCHW: Tensor = inputs[0]
        if self.repeat > 1:
            images_NCHW = images_NCHW.expand(-1, self.repeat, -1, -1)
        if self.size is not None and images_NCHW.shape[-2:] != self.size:
            images_NCHW = functional.interpolate(images_NCHW, self.size, mode="bilinear", antialias=True)
        return (images_NCHW, *inputs[1:])


def foreign(model: ForeignModel, image: Image, num_classes: int, base: Path | None = None) -> nn.Module:
    """Return the network of a library that `model.name` names, for images of shape `image` = (C, H, W): images_NCHW -> logits_NK.

    Its first convolution takes the images' channels (weights that are loaded are summed over channels for gray images), or gray images are
    repeated to three where it has no such convolution. Images it cannot take are resized: to 32x32 where they are smaller, to the least size that
    the library names for it, or to the size it is made for, the first that it takes. Options that are no settings go to the library's function.

    Args:
        model: the section `model` of the settings.
        image: shape (C, H, W) of an image.
        num_classes: number of logits.
        base: the lab's folder, to which `model.weights` is relative.

    Raises:
        SettingsError: an unknown network, or an option it does not take.
        RunError: the library is not installed, the weights are not on this machine, or it takes no images of any size tried.
    """
    library, _, name = model.name.partition(":")
    if taken := sorted(_TAKEN & set(model.options())):
        raise SettingsError([f"model.{option} is no setting of {model.name}: it follows from the data and the other settings" for option in taken])
    file = None
    if model.pretrained and model.weights:
        file = Path(model.weights) if base is None or Path(model.weights).is_absolute() else base / model.weights
        if not file.is_file():
            raise RunError(f"model.weights is {model.weights}, but there is no file {file}: put it there, or set model.pretrained=false")
    build = _timm if library == "timm" else _torchvision
    network, repeat, sizes, notes = build(model, name, image, num_classes, file)
    if model.input_size is not None:
        sizes = [(model.input_size, model.input_size)]
    elif min(image[1:]) < _SMALL:
        sizes.insert(1, (_SMALL, _SMALL))
    _fit(network, model, image, repeat, sizes, notes)
    network.adapted = tuple(notes)  # type: ignore[assignment]  # plain data on a module, for notes_of
    return network


def notes_of(network: nn.Module) -> tuple[str, ...]:
    """Return sentences about how a network was adapted to the data; none for networks that were not."""
    notes = getattr(network, "adapted", ())
    return notes if isinstance(notes, tuple) and all(isinstance(n, str) for n in notes) else ()


def names(library: str) -> list[str]:
    """Return the names of the image networks that a library has (seconds: it is imported).

    Raises:
        RunError: it is not installed.
    """
    if library == "timm":
        return list(_import_timm().list_models())
    vision.torchvision()
    from torchvision import models

    return list(models.list_models(module=models))


_Built = tuple[nn.Module, int, list[tuple[int, int] | None], list[str]]


def _timm(model: ForeignModel, name: str, image: Image, num_classes: int, file: Path | None) -> _Built:
    timm = _import_timm()
    if not timm.is_model(name):
        raise _unknown("timm", name, timm.list_models())
    notes: list[str] = []
    options: dict[str, Any] = {"num_classes": num_classes, "in_chans": image[0], "pretrained": False, **model.options()}
    if model.pretrained:
        path = file or _timm_weights(timm, model.name, name)
        options |= {"pretrained": True, "pretrained_cfg_overlay": {"file": str(path), "source": ""}}
        notes.append(_told(model.name, path))
    network = _call(lambda: timm.create_model(name, **options), model, list(model.options()))
    config: Any = network.default_cfg
    native = tuple(config.get("input_size", (3, _NATIVE, _NATIVE))[1:])
    least = config.get("min_input_size")
    sizes: list[tuple[int, int] | None] = [None, *([tuple(least[1:])] if least else []), (native[0], native[1])]
    return network, 1, sizes, notes


def _torchvision(model: ForeignModel, name: str, image: Image, num_classes: int, file: Path | None) -> _Built:
    vision.torchvision()
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise _unknown("torchvision", name, known)
    notes: list[str] = []
    weights = models.get_model_weights(name).DEFAULT
    options = model.options()
    if name in ("googlenet", "inception_v3"):  # their second head would give two results in training
        options = {"aux_logits": bool(model.pretrained), "init_weights": False, **options}
    network = _call(lambda: models.get_model(name, weights=None, **options), model, list(model.options()))
    if model.pretrained:
        path = file or _torchvision_weights(model.name, weights)
        _load(network, path, model.name)
        notes.append(_told(model.name, path))
    if name in ("googlenet", "inception_v3"):
        setattr(network, "aux_logits", False)  # noqa: B010  # a plain attribute, whatever nn.Module's types say
        for auxiliary in ("aux1", "aux2", "AuxLogits"):
            if hasattr(network, auxiliary):
                setattr(network, auxiliary, None)
    _replace_head(network, num_classes, model.name)
    repeat = 1
    if image[0] != 3 and not _replace_first(network, image[0], model.pretrained):
        repeat = 3 if image[0] == 1 else 1
    least = weights.meta.get("min_size")
    crop = getattr(weights.transforms(), "crop_size", [_NATIVE])[0]
    return network, repeat, [None, *([(least[0], least[1])] if least else []), (crop, crop)], notes


def _fit(network: nn.Module, model: ForeignModel, image: Image, repeat: int, sizes: list[tuple[int, int] | None], notes: list[str]) -> None:
    """Resize images to the first of `sizes` (None: as they are) that the network takes, and say so."""
    if repeat > 1:
        notes.append(f"{model.name} has three channels: gray images are repeated")
    errors = []
    for size in dict.fromkeys(sizes):
        adapt = Adapt(size, repeat)
        error = _tried(network, adapt, image)
        if error is None:
            if size is not None and size != image[1:]:
                why = "model.input_size asks for it" if model.input_size else f"{model.name} takes none of {image[1]}x{image[2]}"
                notes.append(f"images are resized from {image[1]}x{image[2]} to {size[0]}x{size[1]} inside the network: {why}")
            if repeat > 1 or size is not None:
                network.register_forward_pre_hook(adapt)
            return
        errors.append(f"{'as they are' if size is None else f'resized to {size[0]}x{size[1]}'}: {error}")
    raise RunError(f"model {model.name} does not take images of shape {image} ({'; '.join(errors)}): set model.input_size, or data.channels=3")


def _tried(network: nn.Module, adapt: Adapt, image: Image) -> str | None:
    """Return what goes wrong with one image, or None; modes and statistics are left alone."""
    training = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad():
            (images_NCHW,) = adapt(network, (torch.rand((1, *image), generator=torch.Generator().manual_seed(0)),))
            result = network(images_NCHW)
        return None if isinstance(result, Tensor) and result.isfinite().all() else "no finite logits"
    except Exception as error:  # noqa: BLE001  # a library's network may raise anything at all on images that it does not take
        return f"{type(error).__name__}: {printable(str(error), 120)}"
    finally:
        for module, mode in training:
            module.training = mode


def _replace_head(network: nn.Module, num_classes: int, name: str) -> None:
    """Put a new last layer, with PyTorch's default weights, in the place of the library's."""
    layers = [(key, m) for key, m in network.named_modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
    key, last = layers[-1]
    parent, _, child = key.rpartition(".")
    head: nn.Module
    if isinstance(last, nn.Linear):
        head = nn.Linear(last.in_features, num_classes, bias=last.bias is not None)
    else:
        assert isinstance(last, nn.Conv2d)
        head = nn.Conv2d(last.in_channels, num_classes, tuple(last.kernel_size), bias=last.bias is not None)  # type: ignore[arg-type]
    setattr(network.get_submodule(parent), child, head)


def _replace_first(network: nn.Module, channels: int, pretrained: bool) -> bool:
    """Let the first convolution take `channels` instead of three; return whether there is such a convolution.

    Loaded weights are summed for one channel, and repeated in turn with the same total for another number.
    """
    found = next(((key, m) for key, m in network.named_modules() if isinstance(m, nn.Conv2d)), None)
    if found is None or found[1].in_channels != 3 or found[1].groups != 1 or hasattr(network, "transform_input"):
        return False
    key, old = found
    new = nn.Conv2d(
        channels, old.out_channels, old.kernel_size, old.stride, old.padding, old.dilation, bias=old.bias is not None, padding_mode=old.padding_mode  # type: ignore[arg-type]
    )  # fmt: skip
    if pretrained:
        with torch.no_grad():
            taken = [c % 3 for c in range(channels)]
            weight = old.weight.sum(1, keepdim=True) if channels == 1 else old.weight[:, taken] * (3 / channels)
            new.weight.copy_(weight)
            if old.bias is not None and new.bias is not None:
                new.bias.copy_(old.bias)
    parent, _, child = key.rpartition(".")
    setattr(network.get_submodule(parent), child, new)
    return True


def _import_timm() -> Any:
    """Return timm.

    Raises:
        RunError: it is not installed.
    """
    vision.torchvision()  # first: timm imports it
    try:
        import timm
    except ImportError as error:
        raise RunError(f"networks of timm need the package timm ({error}): pip install 'zhurnal[timm]'") from error
    return timm


def _call(build: Callable[[], nn.Module], model: ForeignModel, options: list[str]) -> nn.Module:
    try:
        return build()
    except (TypeError, ValueError, AssertionError, RuntimeError, KeyError) as error:
        given = f" with {', '.join(f'model.{o}' for o in options)}" if options else ""
        raise SettingsError([f"model.name is {model.name}, which cannot be built{given}: {type(error).__name__}: {printable(str(error))}"]) from error


def _timm_weights(timm: Any, name: str, architecture: str) -> Path:
    """Return the file of a network's weights in the caches of Hugging Face and torch.hub."""
    config = timm.get_pretrained_cfg(architecture)
    looked, url = [], ""
    if config is not None and config.hf_hub_id:
        from huggingface_hub import constants, try_to_load_from_cache

        url = f"https://huggingface.co/{config.hf_hub_id}"
        for filename in ("model.safetensors", "pytorch_model.bin"):
            found = try_to_load_from_cache(config.hf_hub_id, filename)
            if isinstance(found, str):
                return Path(found)
        looked.append(f"{config.hf_hub_id} in {constants.HF_HUB_CACHE}")
    if config is not None and config.url:
        url = config.url
        path = Path(torch.hub.get_dir()) / "checkpoints" / str(config.url).rpartition("/")[2]
        if path.is_file():
            return path
        looked.append(str(path))
    raise _no_weights(name, looked, url)


def _torchvision_weights(name: str, weights: Any) -> Path:
    """Return the file of a network's weights in the cache of torch.hub, checked against the start of its SHA-256 in its name."""
    filename = str(weights.url).rpartition("/")[2]
    path = Path(torch.hub.get_dir()) / "checkpoints" / filename
    if not path.is_file():
        raise _no_weights(name, [str(path)], weights.url)
    start = path.stem.rpartition("-")[2]
    if not hashlib.sha256(path.read_bytes()).hexdigest().startswith(start):
        raise RunError(f"{path} is damaged: its SHA-256 does not begin with {start}, as its name says; fetch it again from {weights.url}")
    return path


def _load(network: nn.Module, path: Path, name: str) -> None:
    from ..state import load_weights, read_tensors

    held = read_tensors(path)
    held = held.get("state_dict", held) if isinstance(held, dict) else held
    if not isinstance(held, dict) or not all(isinstance(v, Tensor) for v in held.values()):
        raise RunError(f"{path} holds no weights: it must be a state_dict of {name}")
    load_weights(network, held, str(path))


def _no_weights(name: str, looked: list[str], url: str) -> RunError:
    where = f"looked for {list_names(looked)}" if looked else "the library names none for it"
    put = f"put the file there (it is at {url}), or " if url else ""
    return RunError(
        f"model.pretrained: weights of {name} are not on this machine, and are not downloaded ({where}): "
        f"{put}set model.weights=FILE.pth, or model.pretrained=false"
    )


def _unknown(library: str, name: str, known: list[str]) -> SettingsError:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6) or [k for k in known if k.startswith(name[:4])][:3]
    hint = f"; did you mean {list_names(f'{library}:{n}' for n in near)}?" if near else ""
    return SettingsError([f"model.name: {library} has no network '{name}' among its {len(known)}{hint} (`zhurnal models {library}:` lists them)"])


def _told(name: str, path: Path) -> str:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"{name} starts from the pre-trained weights {path.name} (SHA-256 {digest[:16]}); its last layer is new"
