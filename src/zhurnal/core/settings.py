"""The settings of an experiment: one field here gives the YAML key, its check, its error message and its documentation.

A settings file has seven sections, `data`, `model`, `optimizer`, `scheduler`, `loss`, `train` and `seeds`. A section that names a part (`model:
{name: vgg_bn, num_fc: 3}`) takes the options of that part and no others; `model: vgg_bn` is short for `model: {name: vgg_bn}`. A part of your own
(`my_net.py:Net`) takes any options. The tables below hold the built-in names; `train` holds a function for each.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, ValidationError

from .errors import SettingsError
from .explain import explain
from .text import did_you_mean, list_names, show

Int = Annotated[int, Strict()]
Bool = Annotated[bool, Strict()]
Str = Annotated[str, Strict()]
Float = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Probability = Annotated[Float, Field(ge=0, lt=1)]

_OWN = re.compile(r"(?P<file>[^:]+\.py):(?P<name>[A-Za-z_]\w*)")


def is_own(name: str) -> bool:
    """Return whether `name` is a part of the user's own, such as `my_net.py:Net`."""
    return _OWN.fullmatch(name) is not None


def split_own(name: str) -> tuple[str, str]:
    """Return the file and the name in `my_net.py:Net`."""
    match = _OWN.fullmatch(name)
    assert match is not None
    return match["file"], match["name"]


class Section(BaseModel):
    """One section of the settings. Frozen; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
    # Fields that belong to the section whichever part it names; the rest are the part's own options.
    common: ClassVar[frozenset[str]] = frozenset({"name"})

    def options(self) -> dict[str, Any]:
        """Return the options of the part that this section names, without the section's common fields."""
        return {k: v for k, v in self.model_dump().items() if k not in self.common}


# --- data ------------------------------------------------------------------------------------------------------------------------------------


class Normalize(Section):
    """Mean and standard deviation for each channel, of pixels between 0 and 1."""

    mean: list[Float] = Field(min_length=1, max_length=4)
    std: list[Annotated[Float, Field(gt=0)]] = Field(min_length=1, max_length=4)


def _known_transform(value: str) -> str:
    if value not in TRANSFORMS and not is_own(value):
        raise ValueError(f"'{value}' is none of {list_names(TRANSFORMS)}{did_you_mean(value, TRANSFORMS)}")
    return value


class Data(Section):
    """Which images, how they are split, and what happens to them before the network."""

    common = frozenset({"name"})
    name: Str = Field("digits", description="digits, cifar10, cifar100, mnist, fashion_mnist, or folder for your own images")
    path: Str | None = Field(None, description="folder or zip with train/<class>/* and optionally test/<class>/*, or <class>/*; for name: folder")
    validation: Annotated[Float, Field(gt=0, le=0.5)] | Literal["test"] = Field(
        0.1, description="part of the training images kept for validation, or `test` to validate on the test images"
    )
    split_seed: Annotated[Int, Field(ge=0)] = Field(0, description="seed of the split into training and validation images")
    subset: Annotated[Int, Field(gt=0)] | None = Field(None, description="train on this many images, the same number of each class")
    transform: Annotated[Str, AfterValidator(_known_transform)] = Field(
        "init", description="what happens to training images: init, augment_simple, augment"
    )
    normalize: Normalize | Literal["data", "none"] = Field(
        "data", description="data: mean and std of the training images; none; or {mean: [...], std: [...]}"
    )
    image_size: Annotated[Int, Field(ge=4, le=2048)] | None = Field(None, description="height and width in pixels to resize to; none keeps the size")
    channels: Literal[1, 3] | None = Field(None, description="1 for gray, 3 for color; none takes what the images have")
    bad_images: Literal["stop", "skip"] = Field("stop", description="what an image that cannot be read does: stop, or skip (each is named)")
    storage: Literal["auto", "memory", "stream"] = Field("auto", description="hold decoded images in memory, or decode them again each epoch")
    num_workers: Annotated[Int, Field(ge=0, le=64)] = Field(2, description="threads that decode streamed images; results do not depend on it")


# --- model -----------------------------------------------------------------------------------------------------------------------------------


def _known_init(value: str) -> str:
    value = INIT_ALIASES.get(value, value)
    if value not in INITS:
        raise ValueError(f"'{value}' is none of {list_names(INITS)}{did_you_mean(value, INITS)}")
    return value


class Model(Section):
    """Which network, how its weights start."""

    common = frozenset({"name", "init", "weights"})
    name: Str
    init: Annotated[Str, AfterValidator(_known_init)] = Field(
        "default", description="default (PyTorch's), kaiming (the reference's `resnet`), xavier"
    )
    weights: Str | None = Field(None, description="start from these weights: e0031:best, e0031:last, or a .pth file")


class LeNet(Model):
    """LeNet: two 5x5 convolutions with max-pooling, three fully connected layers."""

    name: Str = "lenet"


class Vgg(Model):
    """VGG-16's thirteen 3x3 convolutions in five groups."""

    name: Str = "vgg"
    relu_inside: Bool = Field(True, description="ReLU after every convolution (model 2), or only after a group (false: model 1)")
    num_fc: Literal[1, 3] = Field(1, description="fully connected layers at the end")


class VggBn(Vgg):
    """VGG with batch normalization."""

    name: Str = "vgg_bn"


class OwnModel(Model):
    """A network of your own, `my_net.py:Net`; its options are the keyword arguments of its builder."""

    model_config = ConfigDict(extra="allow")


# --- optimizer -------------------------------------------------------------------------------------------------------------------------------


class Optimizer(Section):
    """Which optimizer; `lr` and `weight_decay` are kept when an experiment changes only the name."""

    name: Str
    lr: Annotated[Float, Field(gt=0, le=100)] = Field(0.01, description="learning rate")
    weight_decay: Annotated[Float, Field(ge=0, le=1)] = Field(0.0, description="weight decay; decoupled for adamw, an L2 term for the others")


class SGD(Optimizer):
    """Stochastic gradient descent with momentum."""

    name: Str = "sgd"
    momentum: Probability = 0.9
    nesterov: Bool = False


class Adam(Optimizer):
    """Adam, with PyTorch's defaults."""

    name: Str = "adam"
    lr: Annotated[Float, Field(gt=0, le=100)] = Field(0.001, description="learning rate")
    betas: tuple[Probability, Probability] = (0.9, 0.999)
    eps: Annotated[Float, Field(gt=0)] = 1e-8


class AdamW(Adam):
    """Adam with decoupled weight decay."""

    name: Str = "adamw"
    weight_decay: Annotated[Float, Field(ge=0, le=1)] = Field(0.01, description="decoupled weight decay")


class RMSprop(Optimizer):
    """RMSprop, with PyTorch's defaults."""

    name: Str = "rmsprop"
    alpha: Probability = 0.99
    eps: Annotated[Float, Field(gt=0)] = 1e-8
    momentum: Probability = 0.0


class OwnOptimizer(Optimizer):
    """An optimizer of your own, `my_optimizer.py:make`."""

    model_config = ConfigDict(extra="allow")


# --- scheduler, loss, train ------------------------------------------------------------------------------------------------------------------


class Scheduler(Section):
    """How the learning rate changes."""

    name: Str


class NoScheduler(Scheduler):
    """A constant learning rate."""

    name: Str = "none"


class Step(Scheduler):
    """Multiply the learning rate by `gamma` every `step_size` epochs."""

    name: Str = "step"
    step_size: Annotated[Int, Field(gt=0)] = Field(40, description="epochs between two drops")
    gamma: Annotated[Float, Field(gt=0, le=1)] = Field(0.1, description="factor of a drop")


class Loss(Section):
    """What is minimized."""

    name: Str


class CrossEntropy(Loss):
    """Cross-entropy, averaged over a batch."""

    name: Str = "cross_entropy"
    label_smoothing: Probability = 0.0


class OwnLoss(Loss):
    """A loss of your own, `my_loss.py:focal`: a function of logits and labels that returns one loss for each image."""

    model_config = ConfigDict(extra="allow")


class Train(Section):
    """How long, in which batches, on what."""

    epochs: Annotated[Int, Field(gt=0, le=1_000_000)] = Field(10, description="passes over the training images")
    batch_size: Annotated[Int, Field(gt=0, le=1_000_000)] = Field(128, description="images in a training step")
    batch_size_val: Annotated[Int, Field(gt=0, le=1_000_000)] = Field(256, description="images in a validation step; changes speed, not results")
    drop_last: Bool = Field(False, description="leave out the last batch of an epoch when it is smaller")
    train_accuracy: Literal["running", "second_pass"] = Field(
        "running", description="measure training accuracy while training, or by a second pass over the training images after each epoch"
    )
    log_every: Annotated[Int, Field(gt=0)] = Field(10, description="iterations between two rows of the running loss")
    device: Annotated[Str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = Field("auto", description="auto, cpu, cuda or cuda:1")
    num_threads: Annotated[Int, Field(ge=0, le=1024)] = Field(0, description="processor threads; 0 takes PyTorch's default")
    checkpoint_seconds: Annotated[Float, Field(ge=0)] = Field(10.0, description="save the state for resume this often, in seconds")
    tensorboard: Bool = Field(True, description="write TensorBoard events beside the record")


# --- tables ----------------------------------------------------------------------------------------------------------------------------------

DATASETS = ("digits", "cifar10", "cifar100", "mnist", "fashion_mnist", "folder")
TRANSFORMS = ("init", "augment_simple", "augment")
INITS = ("default", "kaiming", "xavier")
INIT_ALIASES = {"resnet": "kaiming"}
MODELS: dict[str, type[Section]] = {"lenet": LeNet, "vgg": Vgg, "vgg_bn": VggBn}
OPTIMIZERS: dict[str, type[Section]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW, "rmsprop": RMSprop}
SCHEDULERS: dict[str, type[Section]] = {"none": NoScheduler, "step": Step}
LOSSES: dict[str, type[Section]] = {"cross_entropy": CrossEntropy}
# Section -> its built-in parts, the part it has when nothing is said, and the class of a part of the user's own (None: not possible).
PARTS: dict[str, tuple[dict[str, type[Section]], str, type[Section] | None]] = {
    "model": (MODELS, "lenet", OwnModel),
    "optimizer": (OPTIMIZERS, "sgd", OwnOptimizer),
    "scheduler": (SCHEDULERS, "none", None),
    "loss": (LOSSES, "cross_entropy", OwnLoss),
}


@dataclass(frozen=True)
class Settings:
    """All settings of an experiment, resolved. Equal settings compare equal."""

    data: Data
    model: Model
    optimizer: Optimizer
    scheduler: Scheduler
    loss: Loss
    train: Train
    seeds: tuple[int, ...] = (42,)

    def to_dict(self) -> dict[str, Any]:
        """Return plain nested values, ready for YAML or JSON; every default is filled in."""
        sections: dict[str, Any] = {f.name: getattr(self, f.name).model_dump(mode="json") for f in fields(self) if f.name != "seeds"}
        return sections | {"seeds": list(self.seeds)}


SECTIONS = tuple(f.name for f in fields(Settings))


def flatten(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return `{"train.epochs": 30, ...}` for nested settings. Lists, and the mean and std of `normalize`, stay whole."""
    flat: dict[str, Any] = {}
    for section, value in values.items():
        if isinstance(value, Mapping):
            flat.update({f"{section}.{key}": inner for key, inner in value.items()})
        else:
            flat[section] = value
    return flat


def section_class(section: str, name: Any) -> type[Section]:
    """Return the class that checks `section` when it names the part `name`.

    Raises:
        ValueError: there is no such part; the text names near matches, all names, and how to use one's own.
    """
    if section == "data":
        if name not in DATASETS:
            hint = did_you_mean(str(name), DATASETS) or "; for images of your own: data=folder data.path=FOLDER_OR_ZIP"
            raise ValueError(f"'{name}' is none of {list_names(DATASETS)}{hint}")
        return Data
    if section == "train":
        return Train
    table, _, own = PARTS[section]
    if isinstance(name, str) and name in table:
        return table[name]
    if own is not None and isinstance(name, str) and is_own(name):
        return own
    hint = f"; or a file of your own: my_{section}.py:Name" if own is not None else ""
    raise ValueError(f"'{name}' is none of {list_names(table)}{did_you_mean(str(name), table)}{hint}")


def parse(values: Mapping[str, Any], where: Callable[[str], str] | None = None, aside: Callable[[str], str] | None = None) -> Settings:
    """Return checked settings from nested plain values.

    Args:
        values: sections, as `Settings.to_dict` gives them or as a person writes them (`model: lenet`).
        where: a function from a dotted key (`optimizer.lr`) to the text that says where it stands (`e0040.yaml:7`); none leaves it out.
        aside: a function from a dotted key to what else is worth knowing (`parent e0038 has 0.01`), or an empty text.

    Raises:
        SettingsError: with one problem for each thing that is wrong, all of them at once.
    """
    problems: list[str] = []

    def problem(key: str, text: str) -> None:
        place = where(key) if where else ""
        more = aside(key) if aside else ""
        text += f" ({more})" if more else ""
        problems.append(f"{place}: {key}{text}" if place else f"{key}{text}")

    built: dict[str, Any] = {}
    for key in values:
        if key not in SECTIONS:
            problem(str(key), f": unknown section{did_you_mean(str(key), SECTIONS) or ';'} sections are {list_names(SECTIONS)}")
    for section in SECTIONS:
        if section == "seeds":
            continue
        given = values.get(section)
        if isinstance(given, str) and section != "train":
            given = {"name": given}
        if given is None:
            given = {}
        if not isinstance(given, Mapping):
            problem(section, f" is {show(given)}, must be a name or a mapping")
            continue
        name = given.get("name", "digits" if section == "data" else PARTS[section][1] if section in PARTS else None)
        try:
            cls = section_class(section, "none" if section == "scheduler" and name is None else name)
        except ValueError as error:
            problem(f"{section}.name" if isinstance(values.get(section), Mapping) else section, f": {error}")
            continue
        if section == "scheduler" and "name" in given and given["name"] is None:
            given = {**given, "name": "none"}
        try:
            built[section] = cls.model_validate(dict(given))
        except ValidationError as error:
            for key, text in dict(explain(section, cls, item, given) for item in error.errors()).items():
                problem(key, text)
    seeds = values.get("seeds", [42])
    if isinstance(seeds, int) and not isinstance(seeds, bool):
        seeds = [seeds]
    if not (isinstance(seeds, (list, tuple)) and seeds and all(isinstance(s, int) and not isinstance(s, bool) and 0 <= s < 2**32 for s in seeds)):
        problem("seeds", f" is {show(seeds)}, must be whole numbers from 0 to 2^32-1, such as [42] or [1, 2, 3]")
    elif len(set(seeds)) != len(seeds):
        problem("seeds", f" is {show(seeds)}, must not name a seed twice")
    if not problems:
        _check_together(built, problem)
    if problems:
        raise SettingsError(problems)
    return Settings(**built, seeds=tuple(seeds))


def _check_together(built: Mapping[str, Any], problem: Any) -> None:
    """Check what no single field can: fields that need or exclude each other."""
    data, optimizer = built["data"], built["optimizer"]
    if data.name == "folder" and not data.path:
        problem("data.path", " is missing: data=folder needs data.path=FOLDER_OR_ZIP")
    if data.name != "folder" and data.path:
        problem("data.path", f" is {data.path}, but data.name is {data.name}: set data=folder to read images of your own")
    if isinstance(data.normalize, Normalize) and len(data.normalize.mean) != len(data.normalize.std):
        problem(
            "data.normalize", f" has {len(data.normalize.mean)} means and {len(data.normalize.std)} deviations, must be one of each for every channel"
        )
    if isinstance(optimizer, SGD) and optimizer.nesterov and optimizer.momentum == 0:
        problem("optimizer.nesterov", " is true, but optimizer.momentum is 0: Nesterov momentum needs a momentum above 0")
