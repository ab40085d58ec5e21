"""Measurements of speed, each a function: matrix products, the data pipeline alone, a training step. What `zhurnal bench` does of them: machine.py.

Promises: what is measured is afterwards as it was: weights, statistics, the optimizer's state, PyTorch's generators and number of threads.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .precision import DTYPES, computing_in
from .step import Feed, Losses, train_step

SIZES = (1024, 1536, 2048)  # of the matrices
MAPS = (16, 256, 18)  # images, channels, and pixels a side of the convolution; without padding, on which nothing is computed


@dataclass(frozen=True)
class Peak:
    """The fastest of some products of two square matrices and of a 3x3 convolution: the median over repetitions.

    Both are asked, for either may be far from what the machine can do: on processors with AVX-512 that are not Intel's, MKL multiplies float32
    matrices at half the speed of oneDNN's convolutions or less.
    """

    device: str
    threads: int
    gflops: float  # per second
    kind: str  # in words, what was fastest: product of 1024 x 1024
    precision: str  # float32 or bfloat16
    busy: float | None  # processor seconds for a second on the clock, on one thread; None for a GPU
    tried: dict[str, float]  # GFLOP/s of each kind that was


@dataclass(frozen=True)
class Pipeline:
    """Training images read, augmented and normalized, with nothing else going on."""

    threads: int
    images_per_second: float


@dataclass(frozen=True)
class StepTime:
    """A training step of one batch."""

    threads: int
    channels_last: bool
    precision: str
    batch: int  # images
    seconds: float  # median
    steps: int  # timed

    @property
    def images_per_second(self) -> float:
        """Images trained on in a second."""
        return self.batch / self.seconds


def measure_peak(threads: int, device: torch.device, seconds: float, precision: str = "float32") -> Peak:
    """Return the speed of matrix products and convolutions on `device`, in about `seconds` seconds."""
    tried: dict[str, float] = {}
    with as_before(), torch.no_grad():
        torch.set_num_threads(threads)
        began, used = time.perf_counter(), time.process_time()
        for kind, flops, action in _products(device, DTYPES[precision]):
            tried[kind] = flops / statistics.median(_times(action, seconds / (len(SIZES) + 1), device)) / 1e9
        busy = (time.process_time() - used) / (time.perf_counter() - began) if threads == 1 and device.type == "cpu" else None
    fastest = max(tried, key=tried.__getitem__)
    return Peak(str(device), threads, tried[fastest], fastest, precision, busy, tried)


def _products(device: torch.device, dtype: torch.dtype) -> Iterator[tuple[str, int, Callable[[], Tensor]]]:
    """Yield what is timed for the peak, the floating-point operations of each, and a call that does it."""
    for size in SIZES:
        a, b = torch.ones(size, size, dtype=dtype, device=device), torch.full((size, size), 0.5, dtype=dtype, device=device)
        yield f"product of {size} x {size}", 2 * size**3, lambda a=a, b=b: torch.mm(a, b)  # type: ignore[misc]
    num, channels, side = MAPS
    images_NCHW = torch.ones(num, channels, side, side, dtype=dtype, device=device).contiguous(memory_format=torch.channels_last)
    weight = torch.ones(channels, channels, 3, 3, dtype=dtype, device=device).contiguous(memory_format=torch.channels_last)
    flops = 2 * num * channels * channels * 9 * (side - 2) ** 2
    yield f"3x3 convolution of {channels} channels", flops, lambda: F.conv2d(images_NCHW, weight)


def _times(action: Callable[[], Any], seconds: float, device: torch.device) -> list[float]:
    """Return the seconds of each call, as many as fit into `seconds` after one to warm up; of that alone, where it took longer than `seconds`."""

    def once() -> float:
        began = time.perf_counter()
        action()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - began

    end = time.perf_counter() + seconds
    first = once()
    if time.perf_counter() > end:
        return [first]
    times = [once()]
    while time.perf_counter() + statistics.median(times) < end:
        times.append(once())
    return times


def measure_pipeline(feed: Feed, threads: int, seconds: float) -> Pipeline:
    """Return how many training images are read, augmented and normalized in a second."""
    with as_before():
        torch.set_num_threads(threads)
        done, began = 0, 0.0
        for number, (_, labels_N) in enumerate(batches(feed)):
            if number == 0:  # the first warms up
                began = time.perf_counter()
                continue
            done += len(labels_N)
            if time.perf_counter() - began >= seconds:
                break
        if feed.device.type == "cuda":
            torch.cuda.synchronize(feed.device)
        return Pipeline(threads, done / (time.perf_counter() - began))


def batches(feed: Feed) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches of epoch after epoch, without end."""
    for epoch in count():
        yield from feed.batches(epoch, 0)


def measure_step(
    model: nn.Module,
    images_NCHW: Tensor,
    labels_N: Tensor,
    loss: Losses,
    optimizer: torch.optim.Optimizer,
    *,
    seconds: float,
    channels_last: bool,
    threads: int,
    precision: str = "float32",
) -> StepTime:
    """Return how long a training step on a batch takes: the median of as many as fit into `seconds`, after one to warm up if that is not longer.

    Weights, their layout in memory, statistics, gradients, the optimizer's state, PyTorch's generators and its number of threads are afterwards as
    they were.

    Args:
        model: on the device that is measured.
        images_NCHW: normalized images there, or clips; of these, weights alone take the layout.
        labels_N: their labels.
        loss: of training.
        optimizer: of the model's weights.
        seconds: for this measurement.
        channels_last: whether images and weights lie in memory with their channels last.
        threads: of the processor.
        precision: that a model of float32 takes meanwhile.
    """
    layout = torch.channels_last if channels_last else torch.contiguous_format
    images_NCHW = images_NCHW.contiguous(memory_format=layout if images_NCHW.dim() == 4 else torch.contiguous_format)
    with _untouched(model, optimizer, layout), computing_in(model, precision), as_before():
        torch.set_num_threads(threads)
        times = _times(lambda: train_step(model, optimizer, loss, images_NCHW, labels_N), seconds, images_NCHW.device)
    return StepTime(threads, channels_last, precision, len(labels_N), statistics.median(times), len(times))


@contextmanager
def _untouched(model: nn.Module, optimizer: torch.optim.Optimizer, layout: torch.memory_format) -> Iterator[None]:
    """Let a model be trained on copies of its weights, laid out as wanted, and put its own back."""
    weights = [(p, p.data, p.grad) for p in model.parameters()]
    buffers = [(module, name, b) for module in model.modules() for name, b in module._buffers.items() if b is not None]
    modes = [(module, module.training) for module in model.modules()]
    state, groups = optimizer.state, [dict(g) for g in optimizer.param_groups]
    try:
        for p, value, _ in weights:
            p.data = value.clone(memory_format=layout if value.dim() == 4 else torch.contiguous_format)
            p.grad = None
        copies = {id(b): b.clone() for _, _, b in buffers}
        for module, name, b in buffers:
            module._buffers[name] = copies[id(b)]
        optimizer.state = defaultdict(dict)
        model.train()
        yield
    finally:
        for p, value, gradient in weights:
            p.data = value
            p.grad = gradient
        for module, name, b in buffers:
            module._buffers[name] = b
        for module, mode in modes:
            module.training = mode
        optimizer.state = state
        for group, before in zip(optimizer.param_groups, groups, strict=True):
            group.update(before)


@contextmanager
def as_before() -> Iterator[None]:
    """Put PyTorch's generators and number of threads back afterwards."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []):
        try:
            yield
        finally:
            torch.set_num_threads(threads)
