"""`zhurnal check`: guesses the kind, tells each promise, ends with 2 where one is broken, and leaves a lab as it was."""

import pytest
from click.testing import CliRunner

from zhurnal.api import Lab
from zhurnal.cli import cli
from zhurnal.core.errors import SettingsError, ZhurnalError
from zhurnal.train import checking, own

SOURCE = """
import numpy as np
import torch
from torch import nn

class Net(nn.Sequential):
    def __init__(self, image, num_classes, width=4):
        super().__init__(nn.Conv2d(image[0], width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, num_classes))

class Plain(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.LazyLinear(10))

def build(image, num_classes):
    return Net(image, num_classes)

class Focal(nn.Module):
    def forward(self, logits_NK, labels_N):
        return nn.functional.cross_entropy(logits_NK, labels_N, reduction="none")

def focal(logits_NK, labels_N, gamma=2.0):
    return Focal()(logits_NK, labels_N)

def mean(logits, labels):
    return Focal()(logits, labels).mean()

class Mine(torch.optim.SGD):
    pass

def make(parameters, lr):
    return torch.optim.SGD(parameters, lr=lr)

def shift(images_NCHW, draws_ND):
    return images_NCHW.roll(1, -1)

shift.num_draws = 0

def load(root, num=40):
    return {"images": np.zeros((num, 4, 4), np.uint8), "labels": np.arange(num) % 2}

def who(knows):
    return knows
"""


@pytest.fixture
def lab(tmp_path, monkeypatch):
    made = Lab.init(tmp_path / "lab")
    (made.folder / "my.py").write_text(SOURCE)
    monkeypatch.chdir(made.folder)
    return made


def run(*arguments):
    done = CliRunner().invoke(cli, ["check", *arguments])
    return 2 if isinstance(done.exception, ZhurnalError) else done.exit_code, done.output


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Net", "model"), ("Plain", "model"), ("build", "model"), ("Focal", "loss"), ("focal", "loss"), ("mean", "loss"), ("Mine", "optimizer"),
        ("make", "optimizer"), ("shift", "transform"), ("load", "data"),
    ],
)  # fmt: skip
def test_the_kind_is_guessed(lab, name, kind):
    assert checking.guess(own.load_own(f"my.py:{name}", lab.folder)) == kind


def test_what_cannot_be_guessed_is_asked_for(lab):
    with pytest.raises(SettingsError, match=r"^my.py:who takes knows, which does not tell what kind of part it is; say it with --kind "):
        checking.guess(own.load_own("my.py:who", lab.folder))


@pytest.mark.parametrize("name", ["Net", "Plain", "focal", "make", "shift", "load"])
def test_good_parts_pass(lab, name):
    status, output = run(f"my.py:{name}")
    assert (status, "failed" in output) == (0, False), output
    assert "kept all of" in output


def test_options_reach_the_part(lab):
    assert run("my.py:Net", "model.width=6")[0] == 0
    status, output = run("my.py:Net", "width=0")
    assert status == 2
    assert "failed  is built for images of 3x32x32" in output
    assert run("my.py:load", "num=1")[0] == 2


def test_a_broken_promise_is_told_and_ends_with_2(lab):
    status, output = run("my.py:mean")
    assert status == 2
    assert "failed  gives one finite loss for each image: loss my.py:mean returns a tensor of shape ()" in output
    assert run("my.py:who", "--kind", "loss")[0] == 2


def test_an_experiment_comes_to_its_first_step_and_nothing_is_written(lab):
    lab.new({"model": "my.py:Net", "data": "digits"})
    lab.new({"data": "folder", "data.path": "nowhere"})
    lab.new({"optimizer.lr": 100.0, "data": "my.py:load", "data.image_size": 8, "train.epochs": 1})
    before = {p: p.stat().st_mtime_ns for p in lab.folder.rglob("*")}
    status, output = run("e0001")
    assert (status, output.count("passed")) == (0, 2), output
    status, output = run("e0001-e0002")
    assert status == 2
    assert "failed  data, network, optimizer and loss are there and fit: data.path: " in output
    assert {p: p.stat().st_mtime_ns for p in lab.folder.rglob("*")} == before
