"""`zhurnal check`: tries a part of the user's own (or of a package) against its contract, or an experiment's way to its first step. Writes nothing.

What kind of part a name is, is guessed from what it is and what it takes: a class of torch.nn or torch.optim, an attribute `num_draws`, or the names
of its arguments.
"""

import inspect
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..core import plugins, settings
from ..core.errors import SettingsError
from ..core.experiment import Experiment
from ..core.text import list_names
from ..store.lab import Lab
from . import contract, losses, models, optimizers, own, random, setup, step, transforms
from .contract import Finding
from .data import prepare
from .watch import Silent

KINDS = ("model", "optimizer", "loss", "transform", "data")
_LABELS = ("labels", "label", "target", "targets", "y", "labels_N")


def check_part(
    name: str, base: Path, data_folder: Path, *, kind: str | None = None, options: Mapping[str, Any] | None = None
) -> tuple[str, list[Finding]]:
    """Return the kind of a part and what trying it found.

    Args:
        name: `my_net.py:Net`, or a name that a package brings.
        base: the folder that its path is relative to: the lab's.
        data_folder: what a data set's function is given as `root`, unless `options` hold a `path`.
        kind: one of `KINDS`; without it, it is guessed.
        options: options of the part, as in the settings.

    Raises:
        ZhurnalError: there is no such part, its kind cannot be guessed, or options are wrong.
    """
    kind = kind or _kind_of_plugin(name) or guess(_load(name, base))
    options = dict(options or {})
    torch.manual_seed(random.seed_of(0, random.TRAIN))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # promises are what is asked here
        if kind == "transform":
            found = own.find("transform", name, base)
            assert found is not None
            function = found.function
            return kind, contract.transform(lambda image: transforms.from_function(name, function))
        section = _section(kind, name, options)
        if kind == "model":
            shapes = _shapes(own.find("model", name, base))
            return kind, contract.model(lambda image, num, seed: models.make(section, image, num, seed=seed, base=base), shapes)
        if kind == "optimizer":
            return kind, contract.optimizer(lambda module: optimizers.make_optimizer(section, module, base), target=0.9)
        if kind == "loss":
            return kind, contract.loss(losses.make_loss(section, base))
        with tempfile.TemporaryDirectory() as cache:
            return kind, contract.dataset(lambda: prepare(section, root=data_folder, base=base, cache=Path(cache)))


def _section(kind: str, name: str, options: dict[str, Any]) -> Any:
    """Return the part's section, checked as an experiment's is."""
    return getattr(settings.parse({kind: {"name": name, **options}}), kind)


def _load(name: str, base: Path) -> own.Own:
    if not settings.is_own(name):
        raise SettingsError(
            [f"{name}: is neither FILE.py:NAME nor a name that an installed package brings (groups {list_names(plugins.GROUPS.values())})"]
        )
    return own.load_own(name, base)


def _kind_of_plugin(name: str) -> str | None:
    kinds = [kind for kind in KINDS if not settings.is_own(name) and plugins.find(kind, name) is not None]
    if len(kinds) > 1:
        raise SettingsError([f"{name} is the name of a {list_names(kinds)}; say which with --kind"])
    return kinds[0] if kinds else None


def guess(part: own.Own) -> str:
    """Return what kind of part it is.

    Raises:
        SettingsError: it looks like none.
    """
    function = part.function
    parameters = list(inspect.signature(function).parameters)
    if isinstance(function, type) and issubclass(function, torch.optim.Optimizer):
        return "optimizer"
    called = vars(function).get("forward", vars(function).get("__call__")) if isinstance(function, type) else None
    if called is not None and [*inspect.signature(called).parameters][2:3] in [[name] for name in _LABELS]:
        return "loss"
    if isinstance(function, type) and issubclass(function, nn.Module):
        return "model"
    if hasattr(function, "num_draws"):
        return "transform"
    if len(parameters) > 1 and parameters[1] in _LABELS:
        return "loss"
    if len(parameters) > 1 and parameters[1].startswith("draws"):
        return "transform"
    if {"image", "num_classes"} & set(parameters):
        return "model"
    if parameters and parameters[0] == "root":
        return "data"
    if "lr" in parameters or (parameters and parameters[0] in ("parameters", "params")):
        return "optimizer"
    takes = f"takes {', '.join(parameters)}" if parameters else "takes no argument"
    raise SettingsError([f"{part.spec} {takes}, which does not tell what kind of part it is; say it with --kind {'|'.join(KINDS)}"])


def _shapes(part: own.Own | None) -> tuple[contract.Shape, ...]:
    """Return the shapes to try: of two sizes where the network is told the shape of images, else of one."""
    return contract.SHAPES if part is not None and own.accepts(part, "image") else contract.SHAPES[:1]


def check_experiment(lab: Lab, experiment: Experiment, *, download: bool = False) -> list[Finding]:
    """Return whether an experiment comes to its first step: data, network, optimizer, a batch of two images, one update. Writes no file in the lab.

    Decoded images go to a temporary cache, so a large folder is decoded again by the run. A GPU is not used.
    """
    parts: list[setup.Parts] = []
    train = experiment.settings.train.model_copy(update={"batch_size": 2, "drop_last": False, "device": "cpu"})
    small = experiment.with_settings(replace(experiment.settings, train=train))
    findings = []
    with tempfile.TemporaryDirectory() as cache:
        elsewhere = _Elsewhere(lab, Path(cache))
        build = lambda: parts.append(setup.build(elsewhere, small, small.settings.seeds[0], download=download, watcher=Silent()))  # noqa: E731
        findings.append(contract.attempt("data, network, optimizer and loss are there and fit", build))
        if parts:
            findings.append(contract.attempt("a step with two images leaves a finite loss and finite weights", lambda: _one_step(parts[0])))
    return findings


class _Elsewhere(Lab):
    """A lab whose cache is another folder."""

    def __init__(self, lab: Lab, cache: Path) -> None:
        super().__init__(lab.folder)
        self._elsewhere = cache

    @property
    def cache(self) -> Path:
        """The other folder."""
        return self._elsewhere


def _one_step(parts: setup.Parts) -> None:
    positions_N = torch.arange(min(2, len(parts.data.train)))
    images_NCHW, labels_N = parts.feed.batch(positions_N, 0)
    before = [p.detach().clone() for p in parts.model.parameters()]
    total, _ = step.train_step(parts.model, parts.optimizer, parts.loss, images_NCHW, labels_N)
    if not total.isfinite():
        raise contract.Broken(f"the loss is {total.item()}: try a smaller optimizer.lr, or data.normalize=data")
    if not all(p.isfinite().all() for p in parts.model.parameters()):
        raise contract.Broken("weights are not finite after it: try a smaller optimizer.lr")
    if all(torch.equal(a, b) for a, b in zip(before, parts.model.parameters(), strict=True)):
        raise contract.Broken("no weight changed: look at optimizer.lr, and at what the network freezes")
