"""Every experiment of the reference journals is one that a user can run: loaded, network and data built, and steps trained on a small stand-in."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zhurnal.api import Lab
from zhurnal.store import yamls

EXAMPLES = Path(__file__).parents[2] / "examples"
START_FROM = ("e0002", "e0031", "e0041")  # others go on from their weights
LABS = {"reference-1": 41, "reference-2": 15}
OURS = {"reference-1": ("e0044",), "reference-2": ()}  # run here, and no part of the reference


@pytest.mark.parametrize(("name", "count"), LABS.items())
def test_every_experiment_loads(name, count):
    lab = Lab(EXAMPLES / name)
    experiments = [lab.experiment(n) for n in lab.names() if n not in OURS[name]]
    assert len(experiments) == count
    assert all(e.question for e in experiments)
    assert all(e.settings.data.validation == "test" and e.settings.train.train_accuracy == "second_pass" for e in experiments)
    for e in experiments[1:]:
        assert e.parent, f"{e.name} has no parent"


def settings(name: str, experiment: str) -> dict:
    return Lab(EXAMPLES / name).experiment(experiment).settings.to_dict()


def test_what_the_reference_says_of_its_best_experiment():
    s = settings("reference-1", "e0038")
    assert s["model"] == {"name": "vgg_bn", "init": "kaiming", "weights": None, "relu_inside": True, "num_fc": 1} | {
        k: v for k, v in s["model"].items() if k not in ("name", "init", "weights", "relu_inside", "num_fc")
    }
    assert s["data"]["transform"] == "augment_simple"
    assert s["data"]["normalize"] == {"mean": [0.4914, 0.4822, 0.4465], "std": [0.2023, 0.1994, 0.201]}
    assert (s["optimizer"]["lr"], s["optimizer"]["momentum"], s["optimizer"]["weight_decay"]) == (0.01, 0.9, 0.0005)
    assert (s["scheduler"]["step_size"], s["scheduler"]["gamma"], s["train"]["epochs"], s["train"]["batch_size"]) == (50, 0.1, 120, 128)


def test_what_the_reference_says_of_others():
    adam = settings("reference-1", "e0039")["optimizer"]  # "at e0038's settings"
    assert (adam["name"], adam["lr"], adam["weight_decay"]) == ("adam", 0.001, 0.0005)
    trains = {n: settings("reference-2", n)["train"] for n in Lab(EXAMPLES / "reference-2").names()}
    batches = {n: train["batch_size"] for n, train in trains.items()}
    assert batches == {f"e{n:04}": size for n, size in enumerate([128] * 4 + [16, 32, 32, 256, 128, 512] + [2048] * 5, start=1)}
    assert [train["device"] for train in trains.values()] == ["cpu"] * 6 + ["cuda"] + ["auto"] * 8


def test_the_best_from_scratch_was_tried_for_real():
    lab = Lab(EXAMPLES / "reference-1")
    (run,) = lab.runs("e0044")
    differs = {"data", "data.path", "train.train_accuracy", "train.checkpoint_seconds"}
    assert set(lab.diff("e0038", "e0044")) <= differs
    assert (run.status, run.problems, run.num_epochs, run.effective["data"]["num_train"]) == ("interrupted", (), 3, 50_000)
    assert [r["val_acc"] for r in run.epochs] == sorted(r["val_acc"] for r in run.epochs)
    page = (lab.journal / "e0044.md").read_text()
    assert "epoch 4 of 120" in page
    assert "interrupted after 3 of 120 epochs" in (lab.journal / "fig" / "e0044_val_acc_epoch.svg").read_text()
    for path in (EXAMPLES / "reference-1").rglob("e0044*/**/*.json*"):
        assert not any(place in path.read_text() for place in ("/home/", "/root/", "/tmp/", "/work/"))


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory) -> Path:
    """Return a folder of images in the form of CIFAR-10, a few of each class."""
    home = tmp_path_factory.mktemp("stand-in")
    draw = np.random.default_rng(0)
    for part, count in (("train", 4), ("test", 2)):
        for c in range(10):
            folder = home / part / f"class-{c}"
            folder.mkdir(parents=True)
            for i in range(count):
                Image.fromarray(draw.integers(0, 255, (32, 32, 3), np.uint8)).save(folder / f"{i}.png")
    return home


@pytest.mark.slow
@pytest.mark.parametrize("name", LABS)
def test_every_experiment_trains_on_a_stand_in(name, stand_in, tmp_path):
    home = tmp_path / name
    shutil.copytree(EXAMPLES / name, home, ignore=shutil.ignore_patterns("logs", *(f"{n}.yaml" for n in OURS[name])))
    lab = Lab(home)
    for experiment in lab.names():  # small data, two steps; all else is as it stands
        path = lab.file(experiment)
        text = yamls.read(path).values
        if text.get("parent"):
            changes = {k: v for k, v in text["changes"].items() if k not in ("train.epochs", "train.batch_size", "data.subset", "train.device")}
            if changes.pop("model.pretrained", False):  # its weights are not on every machine; the network is the same
                changes["model.pretrained"] = False
            text["changes"] = changes
        else:
            text["settings"]["data"] |= {"name": "folder", "path": str(stand_in)}
            text["settings"]["train"] |= {"epochs": 1, "batch_size": 20, "num_threads": 1, "tensorboard": False, "device": "cpu", "log_every": 1}
        path.write_text(yamls.dump(text))
    lab = Lab(home)
    for experiment in lab.names():
        run = lab.run(experiment)
        assert run.finished, experiment
        assert len(run.iters) >= 2, experiment
        if experiment not in START_FROM:  # half a gigabyte each
            shutil.rmtree(run.folder / "checkpoints")
            (lab.logs / f"{experiment}_model_best.pth").unlink()
    assert lab.write(lab.names()).changed
