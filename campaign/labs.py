"""Labs with one experiment that has all that is hard to resume, processes that run it, and what must come out of it."""

import multiprocessing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

from zhurnal.api import Lab
from zhurnal.store import files

NET = '''
from torch import nn

class Net(nn.Module):
    """Has all that is hard to resume: dropout, batch norm, a second branch of randomness."""

    def __init__(self, image, num_classes, width=8):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(image[0], width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.Dropout2d(0.2),
            nn.Flatten(), nn.Dropout(0.5), nn.Linear(width * image[1] * image[2], num_classes))

    def forward(self, images_NCHW):
        return self.layers(images_NCHW)
'''
CHANGES: dict[str, Any] = {
    "model": "my_net.py:Net",
    "data": "digits",
    "data.transform": ["crop", "alternating_flip", {"color_jitter": {"p": 0.5}}, "cutout", "trivial_augment"],
    "train.mixup": 0.4,
    "train.cutmix": 1.0,
    "train.mix_probability": 0.8,
    "optimizer": "adam",
    "optimizer.lr": 0.003,
    "scheduler": "step",
    "scheduler.step_size": 2,
    "scheduler.gamma": 0.5,
    "train.epochs": 5,
    "train.batch_size": 100,
    "train.batch_size_val": 50,
    "train.log_every": 4,
    "train.checkpoint_seconds": 0.0,
    "train.num_threads": 1,
    "train.tensorboard": False,
    "train.ema": 0.9,
    "train.accumulate": 2,
    "train.clip_grad_norm": 1.0,
}
# A run of two short epochs, for what is tried at every one of its calls.
SHORT: dict[str, Any] = {
    "data": "digits",
    "data.subset": 60,
    "train.epochs": 2,
    "train.batch_size": 20,
    "train.log_every": 1,
    "train.checkpoint_seconds": 0.0,
    "train.num_threads": 1,
    "train.tensorboard": True,
}


def make_lab(folder: Path, changes: Mapping[str, Any] = CHANGES) -> Lab:
    """Make a lab with the experiment e0001."""
    lab = Lab(Lab.init(folder).folder)
    (folder / "my_net.py").write_text(NET)
    lab.new(dict(changes), question="Is it exact?")
    return lab


def make_photos(folder: Path) -> None:
    """Write 60 small images of noise in two classes."""
    import numpy as np
    from PIL import Image

    draw = np.random.default_rng(0)
    for name in "ab":
        (folder / name).mkdir(parents=True)
        for number in range(30):
            Image.fromarray(draw.integers(0, 255, (12, 12, 3), np.uint8)).save(folder / name / f"{number}.png")


@dataclass(frozen=True)
class Outcome:
    """What a finished run left that must be the same to the bit."""

    record: bytes
    weights: str  # SHA-256 of the file of the best weights
    state: str  # SHA-256 of the last checkpoint without clocks: weights, optimizer, average, generators


def outcome(lab: Lab) -> Outcome:
    """Return what the run of e0001 left.

    Raises:
        AssertionError: it is not finished.
    """
    (run,) = lab.runs("e0001")
    assert run.finished, run.state()
    last = max((run.folder / "checkpoints").glob("state-*.pt"))
    return Outcome((run.folder / "record.jsonl").read_bytes(), files.sha256(lab.logs / "e0001_model_best.pth"), state_sum(last))


def state_sum(path: Path) -> str:
    """Return a SHA-256 of all values in a checkpoint, but for the seconds and the stops, which are not learned."""
    import hashlib

    import torch

    held = torch.load(path, weights_only=True)
    for clock in ("seconds", "partial"):
        del held["position"][clock]
    total = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, dict):
            for key in sorted(value, key=str):
                total.update(repr(key).encode())
                add(value[key])
        elif isinstance(value, list | tuple):
            total.update(b"%d" % len(value))
            for inside in value:
                add(inside)
        elif isinstance(value, torch.Tensor):
            total.update(f"{value.dtype} {tuple(value.shape)}".encode() + value.contiguous().numpy().tobytes())
        else:
            total.update(repr(value).encode())

    add(held)
    return total.hexdigest()


def fork_server() -> ForkServerContext:
    """Return a context whose processes have torch imported already, so that a kill costs milliseconds."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["zhurnal.train.run", "zhurnal.train.setup", "sklearn.datasets", "torch._dynamo", "campaign.kills"])
    return found


def attempt(context: ForkServerContext, target: Callable[..., None], *arguments: object, seconds: float = 600) -> int:
    """Call a function in a process of its own, and return how it ended.

    Raises:
        AssertionError: it took longer than so many seconds, and was killed.
    """
    process = context.Process(target=target, args=arguments)
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
        raise AssertionError(f"a process did not end within {seconds:.0f} s")
    assert process.exitcode is not None
    return process.exitcode
