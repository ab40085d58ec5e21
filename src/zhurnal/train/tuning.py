"""How a run computes: the layout of its tensors in memory and the number of processor threads, chosen by a short measurement at its start.

Promises: the choice is measured on a copy of the network, and leaves weights, statistics and random generators as they were; it is kept for the
next run on the same machine with the same network (unless the machine was busy), written into `effective.json`, and never made anew when a run goes
on. What is given in the settings is taken as given. Runs too short to gain from it are not measured: contiguous, one thread.

Which is best cannot be known from the network: channels last makes `airnet` a fifth faster and some others slower; a second thread nearly halves a
step of `vgg_bn` and gains little for `lenet`, and on a busy machine threads that wait for one another can make it ten times slower.
"""

import copy
import ctypes
import hashlib
import math
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ..core.cores import cores
from ..core.settings import Settings, Train
from ..store import files

CONTIGUOUS, CHANNELS_LAST = "contiguous", "channels_last"
MEASURED, BUSY = "measured", "measured on a busy machine"  # the second is good for this run, and not kept for others
WORTH = 1e12  # floating-point operations of training from which on a measurement pays: about half a minute of one core
SECONDS = 2.0  # that a measurement takes, about
STEP_SECONDS = 0.1  # of a step that is measured: large networks are tried with fewer images
CODE = 2  # raised when layers or networks of this package become faster: what was measured with those before is measured anew
TOO_SLOW = 3.0  # times the best: with fewer threads it only gets slower
BETTER = 0.95  # of the time of the simpler choice: what is gained must be more than noise


@dataclass(frozen=True)
class Choice:
    """How a run computes."""

    memory_format: str  # contiguous or channels_last
    num_threads: int
    why: str  # given, only choice, short, measured, measured on a busy machine, known (by an earlier run), resumed, or "not measured: " and the error
    microseconds: dict[str, float] = field(default_factory=dict)  # for an image of a training step, of all that were tried: "channels_last x2"


def choose(settings: Settings, model: nn.Module, image: tuple[int, ...], num_train: int, device: torch.device, threads: int, cache: Path) -> Choice:
    """Return how to compute, measuring it where that is left open and pays.

    Args:
        settings: of the experiment.
        model: on its device.
        image: shape of an image, (C, H, W), or of a clip, (T, C, H, W).
        num_train: images in an epoch.
        device: where it trains.
        threads: the most that may be taken.
        cache: a folder of files that can be deleted at any time.
    """
    train = settings.train
    formats: list[str] = [CONTIGUOUS, CHANNELS_LAST] if train.memory_format == "auto" else [train.memory_format]
    counts = [train.num_threads] if train.num_threads else _counts(threads) if device.type == "cpu" else [threads]
    if len(formats) * len(counts) == 1:
        return Choice(formats[0], counts[0], "given")
    if not _has_maps(model) and train.memory_format == "auto":
        formats = [CONTIGUOUS]
    if len(formats) * len(counts) == 1:
        return Choice(formats[0], counts[0], "only choice")
    try:
        with _undisturbed(model) as tried:
            work = _flops(tried, image, device) * num_train * train.epochs
            if work < WORTH:
                return Choice(formats[0], counts[0], "short")
            key = cache / "tuning" / f"{_key(settings, model, image, device, threads)}.json"
            known = _read(key)
            if known is not None and known.memory_format in formats and known.num_threads in counts:
                return known
            times = _measure(tried, formats, counts, image, device, math.ceil(train.batch_size / train.accumulate))
    except Exception as error:  # noqa: BLE001  # of any network; where it is an error of its own, training meets it and tells it better
        return Choice(formats[0], counts[-1], f"not measured: {type(error).__name__}: {error}"[:500])
    tried_us = {f"{f} x{n}": round(t * 1e6, 2) for (f, n), t in times.items()}
    if _busy():
        return Choice(*_best(times), BUSY, tried_us)
    chosen = Choice(*_best(times), MEASURED, tried_us)
    _write(key, chosen)
    return chosen


def resumed(effective: dict[str, Any]) -> Choice:
    """Return the choice that a run began with, from its `effective.json`."""
    return Choice(effective.get("memory_format", CONTIGUOUS), effective["num_threads"], "resumed")


def lay_out(choice: Choice, *models: nn.Module) -> None:
    """Bring weights and statistics of networks into the layout that was chosen; values stay, and so do the parameters themselves."""
    for model in models:
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.data = arrange(tensor.data, choice.memory_format)


def lay_out_state(optimizer: torch.optim.Optimizer) -> None:
    """Bring an optimizer's averages into the layout of their weights: a fused step walks through both in the order of memory."""
    for weight, state in optimizer.state.items():
        if not isinstance(weight, torch.Tensor) or not isinstance(state, dict):  # an optimizer of the user's own may keep more there
            continue
        for name, value in state.items():
            if isinstance(value, torch.Tensor) and value.shape == weight.shape and value.stride() != weight.stride():
                state[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)


def arrange(tensor: torch.Tensor, memory_format: str) -> torch.Tensor:
    """Return images, clips or weights in a layout; tensors of fewer than four dimensions as they are.

    >>> arrange(torch.zeros(2, 3, 4, 5), "channels_last").stride()
    (60, 1, 15, 3)
    """
    if tensor.ndim not in (4, 5):
        return tensor
    if memory_format == CHANNELS_LAST:
        return tensor.contiguous(memory_format=torch.channels_last if tensor.ndim == 4 else torch.channels_last_3d)
    return tensor.contiguous()


def keep_memory() -> None:
    """Tell glibc to keep freed memory for the next step: giving each large tensor back costs a page fault for every 4 kB of the next one."""
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
    if mallopt(mmap_threshold, 64 << 20) or mallopt(mmap_threshold, 32 << 20):  # older ones refuse more than 32 MB
        mallopt(trim_threshold, 256 << 20)  # alone it would end glibc's own raising of the other, which is worse than nothing


def _busy() -> bool:
    """Return whether more wants to compute than there are cores, by the load of the last minute."""
    return (load_average() or 0.0) > cores()


def load_average() -> float | None:
    """Return how many threads wanted to compute in the last minute; none where the system does not say."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def _counts(threads: int) -> list[int]:
    """Return the numbers of threads worth trying: 1, and powers of two up to all."""
    return sorted({1, threads, *(2**k for k in range(1, 12) if 2**k < threads)})


def _has_maps(model: nn.Module) -> bool:
    return any(p.ndim in (4, 5) for p in model.parameters())


@contextmanager
def _undisturbed(model: nn.Module) -> Iterator[nn.Module]:
    """Yield a copy of the model to try things with; afterwards threads and random generators are as they were."""
    threads = torch.get_num_threads()
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            yield copy.deepcopy(model).train()
        finally:
            torch.set_num_threads(threads)


def _flops(model: nn.Module, image: tuple[int, ...], device: torch.device) -> float:
    """Return the floating-point operations of training on one image, forward and backward."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(2, *image, device=device))
    return 1.5 * float(counter.get_total_flops())


def _step(model: nn.Module, images: torch.Tensor) -> float:
    """Return the seconds that forward and backward take."""
    for p in model.parameters():
        p.grad = None
    _wait(images.device)
    began = time.perf_counter()
    model(images).square().mean().backward()
    _wait(images.device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _measure(
    model: nn.Module, formats: list[str], counts: list[int], image: tuple[int, ...], device: torch.device, batch: int
) -> dict[tuple[str, int], float]:
    """Return for each layout and number of threads the seconds for an image of a training step, the fastest of several; they take turns."""
    torch.set_num_threads(counts[-1])
    size = min(batch, 4)
    images = torch.rand(batch, *image, device=device)
    while size < batch:
        _step(model, images[:size])
        if _step(model, images[:size]) > STEP_SECONDS / 2:
            break
        size = min(batch, 2 * size)
    models = {f: copy.deepcopy(model) for f in formats}
    for f in formats:
        lay_out(Choice(f, 1, ""), models[f])

    def step(f: str) -> float:  # clips stay as they are: `setup.tune` lays out images alone
        return _step(models[f], arrange(images[:size], f) if len(image) == 3 else images[:size])

    worth: list[int] = []
    best = math.inf
    for n in reversed(counts):  # from many threads down: on many cores a step on one of them would take longer than all the rest
        torch.set_num_threads(n)
        fastest = min(min(step(f), step(f)) for f in formats)
        if fastest > TOO_SLOW * best:
            break
        best = min(best, fastest)
        worth.insert(0, n)
    times: dict[tuple[str, int], list[float]] = {(f, n): [] for n in worth for f in formats}
    began = time.perf_counter()
    while time.perf_counter() - began < SECONDS or any(len(t) < 3 for t in times.values()):
        for (f, n), taken in times.items():
            torch.set_num_threads(n)
            taken.append(step(f))
        if min(len(t) for t in times.values()) >= 50:
            break
    return {key: min(taken[1:]) / size for key, taken in times.items()}


def _best(times: dict[tuple[str, int], float]) -> tuple[str, int]:
    """Return the fastest; of those that are as good as equal the first, which is the simpler: fewer threads, then contiguous.

    >>> _best({("contiguous", 1): 1.0, ("channels_last", 1): 0.97, ("contiguous", 2): 0.96, ("channels_last", 2): 0.99})
    ('contiguous', 1)
    """
    best, *others = times
    for key in others:
        if times[key] < BETTER * times[best]:
            best = key
    return best


def _key(settings: Settings, model: nn.Module, image: tuple[int, ...], device: torch.device, threads: int) -> str:
    """Return a name for the machine and what it computes."""
    from .setup import processor

    train: Train = settings.train
    options = {k: v for k, v in settings.model.model_dump(mode="json").items() if k not in ("init", "weights")}
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{processor()} {torch.backends.cpu.get_cpu_capability()}"
    shapes = [list(p.shape) for p in model.parameters()]  # also of a network of the user's own, which may have been edited
    given = [train.batch_size, train.accumulate, train.memory_format, train.num_threads, train.precision]
    parts = [CODE, machine, threads, torch.__version__, options, shapes, image, *given]
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def _read(path: Path) -> Choice | None:
    try:
        known = Choice(**orjson.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
    return Choice(known.memory_format, known.num_threads, "known", known.microseconds)


def _write(path: Path, choice: Choice) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, orjson.dumps(asdict(choice), option=orjson.OPT_INDENT_2))
    except OSError:  # a cache: without it the next run measures again
        return
