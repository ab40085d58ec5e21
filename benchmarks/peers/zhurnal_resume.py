"""Zhurnal's runs, with images decoded again in each epoch, by no and by two workers. Run by `benchmarks/trouble.py`, see resumes.py."""

import hashlib
import shutil
from functools import partial
from pathlib import Path

import torch._dynamo  # noqa: F401  # before the first fork: making an optimizer imports it
from forked import Tell
from PIL import Image
from resumes import BATCH, EPOCHS, GAMMA, LR, MOMENTUM, STEP_SIZE, images, main

from zhurnal.api import Lab
from zhurnal.core.records import Row
from zhurnal.store import files, record
from zhurnal.train import log
from zhurnal.train import run as _  # noqa: F401  # before the first fork
from zhurnal.train.watch import Silent

SETTINGS = {
    "model": "tiny_net.py:Net",
    "data": "folder",
    "data.path": "photos",
    "data.validation": "test",
    "data.transform": ["crop", "flip"],
    "data.storage": "stream",
    "optimizer": "sgd",
    "optimizer.lr": LR,
    "optimizer.momentum": MOMENTUM,
    "scheduler": "step",
    "scheduler.step_size": STEP_SIZE,
    "scheduler.gamma": GAMMA,
    "train.epochs": EPOCHS,
    "train.batch_size": BATCH,
    "train.log_every": 1,
    "train.num_threads": 1,
    "train.checkpoint_seconds": 0.1,  # every eight steps or so
}


class Teller(Silent):
    """Tells the steps and losses of rows."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell

    def row(self, row: Row) -> None:
        """See Watcher."""
        if row["kind"] == "iter":
            self.tell(row["step"], row["loss"])


def make_lab(folder: Path, workers: int) -> None:
    """Make a lab with its images, its network and the experiment e0001."""
    lab = Lab(Lab.init(folder).folder)
    shutil.copy(Path(__file__).with_name("tiny_net.py"), folder)
    for part in ("train", "test"):
        for number, (image, label) in enumerate(zip(*images(part), strict=True)):
            path = folder / "photos" / part / "ab"[label] / f"{number:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    lab.new(SETTINGS | {"data.num_workers": workers})


def train(folder: Path, tell: Tell, workers: int) -> dict[str, str]:
    """Run e0001, or go on with its run."""
    log.CHECKPOINT_SHARE = 1.0  # the pause between checkpoints, which keeps them cheap, would keep them rare in a run of two seconds
    if not (folder / "lab").exists():
        make_lab(folder / "lab", workers)
    lab = Lab(folder / "lab")
    run = lab.run("e0001", watcher=Teller(tell))
    rows, problems = record.read(run.folder / "record.jsonl")
    assert not problems, problems
    return {
        "final weights": rows[-1]["weights"],
        "best weights": files.sha256(lab.logs / "e0001_model_best.pth"),
        "record": hashlib.sha256((run.folder / "record.jsonl").read_bytes()).hexdigest(),
    }


if __name__ == "__main__":
    main({f"Zhurnal, saved every 0.1 s, {n} workers": partial(train, workers=n) for n in (0, 2)})
