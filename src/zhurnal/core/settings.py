"""The settings of an experiment: seven sections, checked together, with all problems at once.

The sections are `data`, `model`, `optimizer`, `scheduler`, `loss`, `train` and `seeds`, each in its file of `sections/`. A section that names a
part (`model: {name: vgg_bn, num_fc: 3}`) takes the options of that part and no others; `model: vgg_bn` is short for `model: {name: vgg_bn}`. A part
of your own (`my_net.py:Net`) takes any options, and so does a network of a library (`timm:resnet50`). The tables hold the built-in names; `train`
holds a function for each.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from pydantic import ValidationError

from . import plugins
from .errors import SettingsError
from .explain import explain_all
from .facts import SECTIONS as SECTIONS
from .facts import Defaults
from .facts import flatten as flatten
from .sections.base import Section as Section
from .sections.base import is_own as is_own
from .sections.base import split_own as split_own
from .sections.data import DATASETS as DATASETS
from .sections.data import FROM_PATH as FROM_PATH
from .sections.data import ONLY_FOR as ONLY_FOR
from .sections.data import TRANSFORMS as TRANSFORMS
from .sections.data import Data as Data
from .sections.data import Normalize as Normalize
from .sections.data import OwnData as OwnData
from .sections.loss import LOSSES as LOSSES
from .sections.loss import CrossEntropy as CrossEntropy
from .sections.loss import Loss as Loss
from .sections.loss import OwnLoss as OwnLoss
from .sections.model import FRAME_MODELS as FRAME_MODELS
from .sections.model import INITS as INITS
from .sections.model import LIBRARIES as LIBRARIES
from .sections.model import MODELS as MODELS
from .sections.model import VIDEO_MODELS as VIDEO_MODELS
from .sections.model import ForeignModel as ForeignModel
from .sections.model import Model as Model
from .sections.model import OwnModel as OwnModel
from .sections.model import is_foreign as is_foreign
from .sections.optimizer import OPTIMIZERS as OPTIMIZERS
from .sections.optimizer import SGD as SGD
from .sections.optimizer import GroupedOptimizer as GroupedOptimizer
from .sections.optimizer import Muon as Muon
from .sections.optimizer import Optimizer as Optimizer
from .sections.optimizer import OwnOptimizer as OwnOptimizer
from .sections.optimizer import TimmOptimizer as TimmOptimizer
from .sections.scheduler import SCHEDULERS as SCHEDULERS
from .sections.scheduler import NoScheduler as NoScheduler
from .sections.scheduler import Scheduler as Scheduler
from .sections.scheduler import Step as Step
from .sections.train import Train as Train
from .sections.transforms import RECIPES as RECIPES
from .sections.transforms import STEPS as STEPS
from .sections.transforms import steps_of as steps_of
from .sections.video import VIDEO as VIDEO
from .sections.video import Clips as Clips
from .sections.video import MovingShapes as MovingShapes
from .sections.video import Video as Video
from .text import UNSAFE, character, did_you_mean, list_names, show

# Section -> its built-in parts, the part it has when nothing is said, and the class of a part of the user's own (None: not possible).
PARTS: dict[str, tuple[dict[str, type[Section]], str, type[Section] | None]] = {
    "model": (MODELS, "lenet", OwnModel),
    "optimizer": (OPTIMIZERS, "sgd", OwnOptimizer),
    "scheduler": (SCHEDULERS, "none", None),
    "loss": (LOSSES, "cross_entropy", OwnLoss),
}
# Section -> how names of parts from other packages begin (`timm:lion`), and the class that takes any options for them.
FOREIGN: dict[str, tuple[tuple[str, ...], type[Section]]] = {
    "model": (tuple(f"{library}:" for library in LIBRARIES), ForeignModel),
    "optimizer": (("timm:",), TimmOptimizer),
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


def section_class(section: str, name: Any) -> type[Section]:
    """Return the class that checks `section` when it names the part `name`.

    Raises:
        ValueError: there is no such part; the text names near matches, all names, and how to use one's own.
    """
    if section == "train":
        return Train
    own = own_class(section)
    if isinstance(name, str) and not is_builtin(section, name) and own is not None and (is_own(name) or plugins.find(section, name)):
        return own
    prefixes, foreign = FOREIGN.get(section, ((), Section))
    if isinstance(name, str) and name.startswith(prefixes) and not name.endswith(":"):
        return foreign
    if is_builtin(section, name):
        return VIDEO.get(name, Data) if section == "data" else PARTS[section][0][name]
    names = DATASETS if section == "data" else PARTS[section][0]
    if own is None:
        raise ValueError(f"'{name}' is none of {list_names(names)}{did_you_mean(str(name), names)}")
    near = did_you_mean(str(name), [*names, *plugins.names(section)])
    if section == "data":
        near = near or "; for images of your own: data=folder data.path=FOLDER_OR_ZIP"
    library = "; or a library's: timm:resnet50, torchvision:vgg16_bn" if section == "model" else ""
    raise ValueError(f"'{name}' is none of {list_names(names)}{near}{plugins.ways(section, f'my_{section}.py:{OWN_NAMES[section]}')}{library}")


def defaults(section: str, name: str | None) -> Defaults:
    """Return the options of a part that were not given any; nothing for a part that is not there."""
    return (_defaults if is_builtin(section, name) or name is None else _defaults.__wrapped__)(section, name)  # a package may come and go


@cache
def _defaults(section: str, name: str | None) -> Defaults:
    try:
        values = section_class(section, name).model_validate({"name": name} if name else {}).model_dump(mode="json")
    except (ValueError, KeyError):
        values = {}
    return Defaults(values, section in PARTS and is_builtin(section, name))


OWN_NAMES = {"data": "load", "model": "Name", "optimizer": "Name", "loss": "Name"}


def own_class(section: str) -> type[Section] | None:
    """Return the class of a part of the user's own, or of a package's; None where the section has no such parts."""
    return OwnData if section == "data" else PARTS[section][2]


def is_builtin(section: str, name: Any) -> bool:
    """Return whether `name` is a part that comes with Zhurnal."""
    return isinstance(name, str) and name in (DATASETS if section == "data" else PARTS[section][0])


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
            problem(section, f" is {show(given)}, must be {'keys and values' if section == 'train' else 'a name, or keys and values'}")
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
            for key, text in explain_all(section, cls, error, given):
                problem(key, text)
    seeds = values.get("seeds", [42])
    if isinstance(seeds, int) and not isinstance(seeds, bool):
        seeds = [seeds]
    if not (isinstance(seeds, (list, tuple)) and seeds and all(isinstance(s, int) and not isinstance(s, bool) and 0 <= s < 2**32 for s in seeds)):
        problem("seeds", f" is {show(seeds)}, must be whole numbers from 0 to 2^32-1, such as [42] or [1, 2, 3]")
    elif len(set(seeds)) != len(seeds):
        problem("seeds", f" is {show(seeds)}, must not name a seed twice")
    leaves = list(_leaves(values))
    for key, leaf in leaves:
        if isinstance(leaf, str) and (found := UNSAFE.search(leaf)) is not None:
            problem(key, f" holds {character(found[0])}, which can deceive a reader or a terminal: write it without")
    if not problems:  # options of built-in parts are finite by now; of others nothing is known
        for key, leaf in leaves:
            if isinstance(leaf, float) and not math.isfinite(leaf):
                problem(key, f" is {show(leaf)}, must be finite")
        _check_together(built, problem)
    if problems:
        raise SettingsError(sorted(problems, key=_line))
    return Settings(**built, seeds=tuple(seeds))


def _leaves(values: Mapping[Any, Any], above: str = "") -> Iterator[tuple[str, str | float]]:
    """Give each text and each fraction in nested settings, and each key, with the dotted key it stands under."""
    for key, value in values.items():
        inner = value if isinstance(value, Mapping) else dict(enumerate(value)) if isinstance(value, (list, tuple)) else {}
        here = f"{above}.{key}" if above and isinstance(key, str) else above or str(key)
        yield here, str(key)
        yield from _leaves(inner, here)
        if isinstance(value, str | float):
            yield here, value


def _line(problem: str) -> int:
    """Return the line that a problem stands in, to tell problems in the order of the file."""
    found = re.match(r"[^:]+:(\d+): ", problem)
    return int(found[1]) if found else 0


def _check_together(built: Mapping[str, Any], problem: Any) -> None:
    """Check what no single field can: fields that need or exclude each other."""
    data, optimizer, scheduler, model, train = (built[s] for s in ("data", "optimizer", "scheduler", "model", "train"))
    epochs = train.epochs
    if train.mix_probability != 1 and not (train.mixup or train.cutmix):
        problem("train.mix_probability", f" is {show(train.mix_probability)}, but nothing is mixed: set train.mixup or train.cutmix above 0")
    if data.name in FROM_PATH and not data.path:
        problem("data.path", f" is missing: data={data.name} needs data.path={FROM_PATH[data.name]}")
    if data.name in DATASETS and data.name not in FROM_PATH and data.path:
        problem("data.path", f" is {data.path}, but data.name is {data.name}: set data=folder to read images of your own, data=clips to read video")
    for field, kinds in ONLY_FOR.items():
        if getattr(data, field) is not None and data.name not in kinds:
            problem(f"data.{field}", f" is {getattr(data, field)}, but data.name is {data.name}: only data={list_names(kinds)} has a use for it")
    if isinstance(data.normalize, Normalize) and len(data.normalize.mean) != len(data.normalize.std):
        problem(
            "data.normalize", f" has {len(data.normalize.mean)} means and {len(data.normalize.std)} deviations, must be one of each for every channel"
        )
    if isinstance(optimizer, (SGD, Muon)) and optimizer.nesterov and optimizer.momentum == 0:
        problem("optimizer.nesterov", " is true, but optimizer.momentum is 0: Nesterov momentum needs a momentum above 0")
    if scheduler.warmup_epochs >= epochs:
        problem("scheduler.warmup_epochs", f" is {show(scheduler.warmup_epochs)}, must be below train.epochs, which is {epochs}")
    if model.unfreeze_epoch is not None and model.freeze == "none":
        problem("model.unfreeze_epoch", f" is {model.unfreeze_epoch}, but model.freeze is none: nothing is frozen; set model.freeze=backbone")
    elif model.unfreeze_epoch is not None and model.unfreeze_epoch > train.epochs:
        text = f" is {model.unfreeze_epoch}, but train.epochs is {train.epochs}: it would never come; set it to at most {train.epochs}, or none"
        problem("model.unfreeze_epoch", text)
    if isinstance(model, ForeignModel) and model.pretrained:
        if model.init != "default":
            problem("model.init", f" is {model.init}, but model.pretrained is true, whose weights it would overwrite: leave one out")
        if model.weights and not model.weights.endswith((".pth", ".pt")):
            text = f" is {model.weights}, but model.pretrained is true, for which it must be a .pth file: leave out model.pretrained"
            problem("model.weights", text)
