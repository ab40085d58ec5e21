"""`zhurnal bench`: how fast this machine multiplies matrices, prepares images and trains, and where the time of an epoch goes.

Promises: no experiment and no record is changed; weights, PyTorch's generators and number of threads are afterwards as they were; what was measured
before somebody stops it is there. Speeds are those of the moment: `notes` say where other programs were in the way.

FLOPs are counted as in summary.py: matrix products and convolutions, forward and backward; percentages are of the product of two square
matrices in float32, measured on as many threads. PyTorch works as it does in a run: with deterministic algorithms.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..core.cores import cores
from ..core.experiment import Experiment
from ..store.lab import Lab
from . import init, models, optimizers, precision, profile, setup, transforms, tuning
from .bench import Peak, Pipeline, StepTime, as_before, batches, measure_peak, measure_pipeline, measure_step
from .epoch_time import EpochTime, measure_epoch
from .profile import Operator
from .run import _deterministic
from .step import train_step
from .summary import training_flops
from .watch import Silent, Watcher

MODELS = ("lenet", "airnet", "vgg_bn", "resnet18")  # of a measurement without experiment, the cheapest first
NUM_IMAGES = 10_000  # generated for it
SMALLEST_BATCH = 16
PROFILED_STEPS = 5
# Of the seconds there are, what each measurement takes; training steps get the rest.
SHARES = {"peak": 0.12, "pipeline": 0.07, "epoch": 0.25}


@dataclass(frozen=True)
class Speed:
    """A training step of a network, beside what the machine can do."""

    model: str
    step: StepTime
    flops: int  # of training on one image
    gflops: float  # per second
    of_peak: float | None  # in [0, 1] or a little above; None where the peak was not measured


@dataclass
class Bench:
    """All that was measured, filled in as it comes."""

    subject: str  # the experiment, or an empty text for the built-in networks
    pipeline_of: str  # in words: which images, which transform
    machine: dict[str, Any]
    device: str
    cores: int
    load: float | None  # how many programs wanted to run in the minute before, on average
    num_threads: int  # that a run takes
    precisions: tuple[str, ...]  # that networks are measured in
    image: tuple[int, ...] = ()
    notes: list[str] = field(default_factory=list)
    peaks: list[Peak] = field(default_factory=list)
    pipelines: list[Pipeline] = field(default_factory=list)
    speeds: list[Speed] = field(default_factory=list)
    epoch: EpochTime | None = None
    operators: list[Operator] = field(default_factory=list)
    complete: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def begin(lab: Lab | None, name: str | None) -> Bench:
    """Return an empty measurement of an experiment's machine, or of the built-in networks' when `name` is None."""
    experiment = lab.experiment(name) if lab is not None and name is not None else None
    train = experiment.settings.train if experiment else None
    device = setup.choose_device(train.device if train else "auto")
    num_cores, load = cores(), tuning.load_average()
    threads = (train.num_threads if train else 0) or min(torch.get_num_threads(), num_cores)
    precisions = (train.precision,) if train else tuple(p for p in precision.DTYPES if precision.is_native(p, device))
    found = Bench(name or "", "", setup.environment(device), str(device), num_cores, load, threads, precisions)
    if load is not None and load > num_cores:
        found.notes.append(f"the load average is {load:.1f} on {num_cores} cores: other programs are at work, so it measures a busy machine")
    return found


def measure(
    found: Bench,
    lab: Lab | None = None,
    *,
    seconds: float = 30.0,
    operators: bool = False,
    watcher: Watcher | None = None,
    download: bool = False,
) -> None:
    """Fill `found` in, in about `seconds` seconds and those that it takes to build networks and read images.

    Args:
        found: what `begin` returned.
        lab: where the experiment is; none for the built-in networks.
        seconds: more of them take larger batches of slow networks, and more steps.
        operators: also which operators the time goes to.
        watcher: is told how far it is.
        download: whether missing data may be downloaded.

    Raises:
        ZhurnalError: the experiment cannot be built.
    """
    watcher = _Progress(watcher or Silent())
    threads = sorted({1, found.num_threads})
    device = torch.device(found.device)
    with as_before(), _deterministic(), _subject(lab, found.subject) as (where, experiments):
        watcher.progress("peak", 0, 1)
        kinds = [(n, name) for name in found.precisions for n in threads]
        found.peaks += [measure_peak(n, torch.device("cpu"), SHARES["peak"] * seconds / len(kinds), name) for n, name in kinds]
        if device.type == "cuda":
            found.peaks += [measure_peak(found.num_threads, device, 1.0, name) for name in found.precisions]
        _note_busy(found)
        watcher.progress("peak", 1, 1)
        left = seconds * (1 - sum(SHARES.values()))
        first: setup.Parts | None = None
        for number, experiment in enumerate(experiments):
            torch.set_num_threads(found.num_threads)
            if first is not None:
                parts = _another(first, where, experiment)
            else:
                parts = setup.build(where, experiment, experiment.settings.seeds[0], download=download, watcher=watcher)
                first, found.image = parts, parts.data.image
                found.pipeline_of = _describe(experiment, parts, generated=not found.subject)
                watcher.progress("pipeline", 0, 1)
                found.pipelines += [measure_pipeline(parts.feed, n, SHARES["pipeline"] * seconds / len(threads)) for n in threads]
                watcher.progress("pipeline", 1, 1)
                torch.set_num_threads(found.num_threads)
                of = experiment.settings, parts.model, parts.data.image, len(parts.data.train), parts.device
                tuned = setup.tune(parts, tuning.choose(*of, found.num_threads, where.cache), found.num_threads)  # as a run would be
                with tempfile.TemporaryDirectory(dir=where.cache if where.cache.is_dir() else None, prefix="bench-") as folder:
                    found.epoch = measure_epoch(experiment, tuned, Path(folder), seconds=SHARES["epoch"] * seconds, watcher=watcher)
                if operators:
                    found.operators += measure_operators(tuned, experiment)
                torch.set_num_threads(found.num_threads)
            began = time.monotonic()
            for speed in _speeds(found, experiment, parts, threads, max(1.0, left / (len(experiments) - number)), watcher):
                found.speeds.append(speed)
            left -= time.monotonic() - began
    found.complete = True


class _Progress(Silent):
    """Passes on how far it is, and nothing else: what there is to say of an experiment's data is for its runs."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher

    def progress(self, task: str, done: int, total: int) -> None:
        """See Watcher."""
        self.watcher.progress(task, done, total)


@contextmanager
def _subject(lab: Lab | None, name: str) -> Iterator[tuple[Lab, list[Experiment]]]:
    """Give the experiment to measure, without weights that it would start from, or experiments on generated images in a lab for the moment."""
    if lab is not None and name:
        experiment = lab.experiment(name)
        settings = experiment.settings
        model = settings.model.model_copy(update={"weights": None} | ({"pretrained": False} if hasattr(settings.model, "pretrained") else {}))
        yield lab, [replace(experiment, continues=None).with_settings(replace(settings, model=model))]
        return
    with tempfile.TemporaryDirectory(prefix="zhurnal-bench-") as folder:
        made = Lab.init(folder)
        generator = np.random.default_rng(0)
        images = generator.integers(0, 256, (NUM_IMAGES, 32, 32, 3), np.uint8)
        np.savez(made.folder / "images.npz", images=images, labels=np.arange(NUM_IMAGES) % 10)
        given = {"data.name": "npz", "data.path": "images.npz", "data.transform": "augment_simple", "train.tensorboard": False}
        yield made, [made.experiment(made.new({"model": model, **given}).name) for model in MODELS]


def _another(first: setup.Parts, lab: Lab, experiment: Experiment) -> setup.Parts:
    """Return what an experiment on the same images as `first` trains with."""
    data, settings = first.data, experiment.settings
    images = init.images_of(data.train, transforms.normalizer(data.mean, data.std))
    model = models.make(settings.model, data.image, len(data.classes), seed=settings.seeds[0], base=lab.folder, images=images).to(first.device)
    return replace(first, model=model, optimizer=optimizers.make_optimizer(settings.optimizer, model, lab.folder))


def _describe(experiment: Experiment, parts: setup.Parts, *, generated: bool) -> str:
    size, transform = "x".join(map(str, parts.data.image)), experiment.settings.data.transform
    what = "generated images" if generated else parts.data.name
    how = "prepared ahead" if parts.feed.ahead else "in memory"
    return f"{what} of {size}, {how}, transform {transform if isinstance(transform, str) else 'of its own steps'}"


def _note_busy(found: Bench) -> None:
    alone = next((p for p in found.peaks if p.threads == 1 and p.busy is not None), None)
    if alone is not None and alone.busy is not None and alone.busy < 0.9:
        found.notes.append(f"one thread got {100 * alone.busy:.0f} % of a core during the matrix product: other programs took the rest")


def _speeds(found: Bench, experiment: Experiment, parts: setup.Parts, threads: list[int], seconds: float, watcher: Watcher) -> Iterator[Speed]:
    """Yield the training step of an experiment's network for each number of threads and layout, in about `seconds` seconds.

    The first precision is measured in all of them, the others on the most threads.

    A batch is halved until two steps of each kind fit into the time, down to 16 images; what there is no time left for is noted.
    """
    images_NCHW, labels_N = next(parts.feed.batches(0, 0))
    options: dict[str, Any] = {"loss": parts.loss, "optimizer": parts.optimizer}
    layouts = (False, True) if images_NCHW.dim() == 4 else (False,)
    kinds = [(n, channels_last, found.precisions[0]) for n in (threads if parts.device.type == "cpu" else threads[-1:]) for channels_last in layouts]
    kinds += [(threads[-1], channels_last, name) for name in found.precisions[1:] for channels_last in layouts]
    name, flops = experiment.settings.model.name, training_flops(parts.model, parts.data.image)
    task = f"step of {name}"
    watcher.progress(task, 0, len(kinds))
    end = time.monotonic() + 1.5 * seconds
    few, num = min(4, len(labels_N)), len(labels_N)
    tried = measure_step(parts.model, images_NCHW[:few], labels_N[:few], seconds=0.2, channels_last=False, threads=kinds[0][0], **options)
    while num // 2 >= SMALLEST_BATCH and 2 * len(kinds) * num * tried.seconds / few > seconds:
        num //= 2
    for done, (n, channels_last, numbers) in enumerate(kinds):
        if done and time.monotonic() > end:
            found.notes.append(f"there was no time for all measurements of {name}: give more --seconds")
            break
        kind: dict[str, Any] = {"threads": n, "channels_last": channels_last, "precision": numbers}
        step = measure_step(parts.model, images_NCHW[:num], labels_N[:num], seconds=min(1.0, seconds / len(kinds)), **kind, **options)
        gflops = flops * step.images_per_second / 1e9
        peak = next((p.gflops for p in found.peaks if (p.threads, p.device, p.precision) == (n, str(parts.device), numbers)), None)
        watcher.progress(task, done + 1, len(kinds))
        yield Speed(name, step, flops, gflops, gflops / peak if peak else None)
    watcher.progress(task, len(kinds), len(kinds))


def measure_operators(parts: setup.Parts, experiment: Experiment) -> tuple[Operator, ...]:
    """Return what the operators of some training steps took, data and augmentation included."""
    settings = experiment.settings.train
    options: dict[str, Any] = {"num_parts": settings.accumulate, "clip_grad_norm": settings.clip_grad_norm}
    feed = batches(parts.feed)

    def step() -> None:
        images_NCHW, labels_N = next(feed)
        train_step(parts.model, parts.optimizer, parts.loss, images_NCHW, labels_N, **options)

    step()  # warms up
    trace = profile.make(parts.device)
    trace.start()
    for _ in range(PROFILED_STEPS):
        with torch.profiler.record_function("step"):
            step()
    trace.stop()
    return profile.operators(trace, frozenset({"step"}))
