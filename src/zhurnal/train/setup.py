"""What a run is made of: data, model, optimizer, losses and device, built from an experiment's settings; and what they really are, written down."""

import datetime
import math
import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from .. import __version__
from ..core.errors import RunError
from ..core.experiment import Experiment
from ..core.secrets import masked
from ..core.settings import Settings
from ..store import files
from ..store.lab import Lab
from ..store.runs import Run
from . import clips, init, losses, models, optimizers, own, precision, random, state, transforms, tuning
from .data import Prepared, Streamed, prepare
from .ema import Ema
from .freeze import freeze
from .resize import check, size_at
from .step import Feed, Losses, Normalizer
from .tuning import Choice
from .watch import Watcher

AT_ONCE = (8, 3_000_000)  # batches, and bytes of images in memory, that are augmented together: more would not stay in the caches


@dataclass(frozen=True)
class Parts:
    """All that a run trains with."""

    data: Prepared
    feed: Feed
    normalize: Normalizer
    model: nn.Module
    optimizer: torch.optim.Optimizer
    loss: Losses  # of training
    val_loss: Losses  # the same without label smoothing
    ema: Ema | None  # the average of the weights, which validation measures; none when not wanted
    device: torch.device
    frozen: list[str]  # names of weights that are frozen, until an epoch or for good
    started_from: dict[str, Any] | None
    sources: dict[str, own.Own]
    choice: Choice  # how it computes


def choose_device(name: str) -> torch.device:
    """Return the device that `auto`, `cpu`, `cuda` or `cuda:1` names.

    Raises:
        RunError: it is not there.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it products on a GPU may differ from run to run; read at the first of them
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda":
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= found:
            raise RunError(f"train.device is {name}, but PyTorch {torch.__version__} finds {found} CUDA devices: use train.device=cpu or auto")
    return device


def build(lab: Lab, experiment: Experiment, seed: int, *, download: bool, watcher: Watcher) -> Parts:
    """Build everything an experiment's run needs, its weights at their start.

    Raises:
        ZhurnalError: data, network or weights are missing or do not fit.
    """
    settings = experiment.settings
    device = choose_device(settings.train.device)
    for start in (experiment.continues, settings.model.weights):  # before anything slow
        if start and not start.endswith((".pth", ".pt")):
            _checkpoint(lab, start.partition(":")[0], seed)
    data = prepare(settings.data, root=lab.data, base=lab.folder, cache=lab.cache, download=download, progress=watcher.progress)
    for note in data.notes:
        watcher.note(note)
    images = init.images_of(data.train, transforms.normalizer(data.mean, data.std))
    model = models.make(settings.model, data.image, len(data.classes), seed=seed, base=lab.folder, images=images)
    for note in models.notes_of(model):
        watcher.note(note)
    frozen = freeze(model, settings.model.freeze)
    model = model.to(device)
    precision.compute_in(model, settings.train.precision)
    if not precision.is_native(settings.train.precision, device):
        watcher.note(f"train.precision is {settings.train.precision}, which this {device.type} has to imitate: float32 is faster here")
    optimizer = optimizers.make_optimizer(settings.optimizer, model, lab.folder)
    normalize = transforms.normalizer(data.mean, data.std, device)
    feed = Feed(
        split=data.train,
        transform=make_transform(settings.data.transform, data, lab),
        normalize=normalize,
        seed=seed,
        batch_size=settings.train.batch_size,
        drop_last=settings.train.drop_last,
        device=device,
        size=_growth(settings, model, data, device),
        ahead=isinstance(data.train.images, Streamed),
        at_once=1
        if isinstance(data.train.images, Streamed)
        else max(1, min(AT_ONCE[0], AT_ONCE[1] // (settings.train.batch_size * math.prod(data.image)))),
    )
    if feed.num_batches == 0:
        raise RunError(
            f"train.batch_size is {settings.train.batch_size} with train.drop_last, but there are {len(data.train)} training images: "
            f"no batch is left. Use train.batch_size={max(1, len(data.train) // 4)}"
        )
    torch.manual_seed(random.seed_of(seed, random.TRAIN))
    try:
        started_from = _start(lab, experiment, seed, model, optimizer)
    except RunError:
        if state.latest(lab.run_folder(experiment.name, seed) / "checkpoints", model)[0] is None:
            raise
        started_from = None  # what it started from is gone; it goes on from a checkpoint of its own
    if started_from and started_from.get("optimizer_state") is False:
        watcher.note(f"the optimizer's running averages of {experiment.continues} do not fit optimizer {settings.optimizer.name} and are not taken")
    return Parts(
        data=data,
        feed=feed,
        normalize=normalize,
        model=model,
        optimizer=optimizer,
        loss=losses.make_loss(settings.loss, lab.folder, labels_N=data.train.labels_N, num_classes=len(data.classes), device=device),
        val_loss=losses.make_loss(settings.loss, lab.folder, training=False),
        device=device,
        ema=Ema(model, settings.train.ema) if settings.train.ema else None,
        frozen=frozen,
        started_from=started_from,
        sources={s: part for s, n in _names(experiment).items() if (part := own.find(s, n, lab.folder)) is not None},
        choice=Choice(tuning.CONTIGUOUS, torch.get_num_threads(), "given"),  # until `tune`
    )


def _growth(settings: Settings, model: nn.Module, data: Prepared, device: torch.device) -> Callable[[int], tuple[int, int]] | None:
    """Return the size of training images by epoch, where they grow."""
    train = settings.train
    if train.initial_scale == 1:
        return None
    if len(data.image) != 3:
        raise RunError("train.initial_scale is for images, and these are clips: use train.initial_scale=1")
    size = partial(size_at, epochs=train.epochs, size=data.image[-2:], initial_scale=train.initial_scale, finetune_fraction=train.finetune_fraction)
    check(model, data.image, size(0), device)
    return size


def tune(parts: Parts, choice: Choice, threads: int) -> Parts:
    """Return the parts laid out and fed as `choice` says; `threads` are the most that may be taken. PyTorch's number of threads is set."""
    torch.set_num_threads(choice.num_threads)
    tuning.lay_out(choice, *([parts.model, parts.ema.model] if parts.ema else [parts.model]))
    tuning.lay_out_state(parts.optimizer)
    normalize = parts.normalize
    if choice.memory_format != tuning.CONTIGUOUS and len(parts.data.image) == 3:

        def normalize(images_NCHW: torch.Tensor) -> torch.Tensor:
            return tuning.arrange(parts.normalize(images_NCHW), choice.memory_format)

    spare = parts.device.type == "cpu" and choice.num_threads < threads
    return replace(parts, choice=choice, normalize=normalize, feed=replace(parts.feed, normalize=normalize, ahead=parts.feed.ahead or spare))


def make_transform(transform: str | list[Any], data: Prepared, lab: Lab) -> transforms.Transform:
    """Return what `data.transform` says: a recipe, a list of steps, or a function of the user's own. All frames of a clip get the same draws."""
    found = own.find("transform", transform, lab.folder) if isinstance(transform, str) else None
    if found is not None:
        made = transforms.from_function(found.spec, found.function)
    else:
        channels, height, width = data.image[-3:]
        made = transforms.make(transform, (channels, height, width), data.mean)
    return clips.for_clips(made) if len(data.image) == 4 else made


def _names(experiment: Experiment) -> dict[str, str]:
    settings = experiment.settings
    names = {"data": settings.data.name, "model": settings.model.name, "optimizer": settings.optimizer.name, "loss": settings.loss.name}
    return names | ({"transform": settings.data.transform} if isinstance(settings.data.transform, str) else {})


def _start(lab: Lab, experiment: Experiment, seed: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any] | None:
    """Put in the weights, or the whole checkpoint, that an experiment starts from; return what it was."""
    pretrained = getattr(experiment.settings.model, "pretrained", False)  # then weights are the library's, and loaded already
    weights = None if pretrained else experiment.settings.model.weights
    if experiment.continues:
        found = _checkpoint(lab, experiment.continues, seed)
        before, problems = state.latest(found.folder / "checkpoints")
        if before is None:
            why = f"({'; '.join(problems) or 'none is there'}): it is finished and not trained again, so make one with its settings, and run that"
            raise RunError(f"{experiment.continues} has no whole checkpoint to continue from {why}")
        state.load_weights(model, before["model"], f"of {experiment.continues}")
        taken = _take_optimizer(
            before["optimizer"], optimizer, found.effective["settings"]["optimizer"]["name"] == experiment.settings.optimizer.name
        )
        return {
            "kind": "continue",
            "experiment": experiment.continues,
            "seed": found.seed,
            "epoch": before["position"]["epoch"],
            "step": before["position"]["step"],
            "optimizer_state": taken,
            "weights": state.fingerprint(model),
        }
    if weights is None:
        return None
    if weights.endswith((".pth", ".pt")):
        path = Path(weights) if Path(weights).is_absolute() else lab.folder / weights
        held = state.read_tensors(path)
        held = held.get("state_dict", held) if isinstance(held, dict) else held
        state.load_weights(model, held, weights)
        return {"kind": "weights", "file": weights, "weights": state.fingerprint(model)}
    name, _, which = weights.partition(":")
    found = _checkpoint(lab, name, seed)
    if which == "best":
        epoch = found.end["best_epoch"] if found.end else 0
        path = state.best_path(found.folder / "checkpoints", epoch)
        state.load_weights(model, state.read_tensors(path, state.written_sum(path)), weights)
    else:
        before, problems = state.latest(found.folder / "checkpoints")
        if before is None:
            why = f"({'; '.join(problems) or 'none is there'}): it is finished and not trained again, so make one with its settings, and run that"
            raise RunError(f"{name} has no whole checkpoint {why}")
        state.load_weights(model, before["model"], weights)
        epoch = before["position"]["epoch"]
    return {"kind": "weights", "experiment": name, "which": which, "seed": found.seed, "epoch": epoch, "weights": state.fingerprint(model)}


def _checkpoint(lab: Lab, name: str, seed: int) -> Run:
    """Return the finished run of an experiment to start from: with the same seed, or else its best."""
    runs = [r for r in lab.runs(name) if r.finished and r.end]
    if not runs:
        raise RunError(f"{name} has no finished run to start from: run it first with `zhurnal run {name}`")
    return next((r for r in runs if r.seed == seed), max(runs, key=lambda r: r.end["best_val_acc"] if r.end else -1.0))


def _take_optimizer(before: dict[str, Any], optimizer: torch.optim.Optimizer, same: bool) -> bool:
    """Take over an optimizer's running averages, keeping the new settings; return whether they fit."""
    now = optimizer.state_dict()
    groups = [len(g["params"]) for g in now["param_groups"]]
    if not same or groups != [len(g["params"]) for g in before["param_groups"]]:
        return False
    optimizer.load_state_dict({"state": before["state"], "param_groups": now["param_groups"]})
    return True


def effective(experiment: Experiment, seed: int, parts: Parts, base: Path) -> dict[str, Any]:
    """Return what the run really got, as plain values: the content of `effective.json`. `base` is the lab's folder."""
    data = parts.data
    return {
        "experiment": experiment.name,
        "seed": seed,
        "settings": experiment.settings.to_dict(),
        "continue": experiment.continues,
        "started_from": parts.started_from,
        "data": {
            "name": data.name,
            "fingerprint": data.fingerprint,
            "classes": list(data.classes),
            "image": list(data.image),
            "num_train": len(data.train),
            "num_val": len(data.val),
            "num_test": len(data.test) if data.test is not None else 0,
            "mean": None if data.mean is None else list(data.mean),
            "std": None if data.std is None else list(data.std),
            "validation": data.validation,
            "notes": [masked(note) for note in data.notes],
            **({"decoder": data.decoder} if data.decoder else {}),
        },
        "model": {"num_parameters": sum(p.numel() for p in parts.model.parameters()), "notes": models.notes_of(parts.model)},
        "optimizer": optimizers.effective(parts.optimizer),
        "sources": {section: source.identity(base) for section, source in parts.sources.items()},
        "device": str(parts.device),
        "num_threads": torch.get_num_threads(),
        "memory_format": parts.choice.memory_format,
        "tuning": {"why": parts.choice.why, "microseconds": parts.choice.microseconds},
    }


def environment(device: torch.device) -> dict[str, Any]:
    """Return the machine and the library versions, without names of machines or people."""
    return {
        "zhurnal": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "num_threads": torch.get_num_threads(),
    }


def processor() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())


def now() -> str:
    """Return the time, ISO 8601 with its zone."""
    return datetime.datetime.now().astimezone().isoformat(timespec="milliseconds")


def export_best(lab: Lab, experiment: Experiment, note: Callable[[str], None]) -> None:
    """Put the best weights of the experiment's best finished run at `experiments/logs/e0039_model_best.pth`; say so where the disk refuses."""
    with files.alone(lab.cache / f"{experiment.name}-best.lock"):  # of two seeds that end at once, the later one sees both
        try:
            _export_best(lab, experiment, note)
        except OSError as error:
            name = experiment.name
            note(
                f"{name}_model_best.pth cannot be written: {error.strerror or error}. Mend that, and `zhurnal run {name}` writes it: the run is done"
            )


def _export_best(lab: Lab, experiment: Experiment, note: Callable[[str], None]) -> None:
    runs = [r for r in lab.runs(experiment.name) if r.finished and r.end]
    if not runs:
        note(f"the end of {experiment.name} is in no record that can be read: {experiment.name}_model_best.pth was not written")
        return
    best = max(runs, key=lambda r: r.end["best_val_acc"] if r.end else -1.0)
    assert best.end is not None
    source = state.best_path(best.folder / "checkpoints", best.end["best_epoch"])
    target = lab.logs / f"{experiment.name}_model_best.pth"
    if not source.is_file():
        note(f"{source.name} of seed {best.seed} is gone: {target.name} was not written")
        return
    if target.is_file() and files.sha256(target) == state.written_sum(source):
        return
    with files.replacing(target) as temporary:
        shutil.copyfile(source, temporary)
