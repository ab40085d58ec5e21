"""Progressive resizing: sizes by epoch, networks that take them and those that do not, exact resume."""

import itertools

import pytest
import torch

from zhurnal.api import Lab
from zhurnal.core.errors import Interrupted, RunError
from zhurnal.train import resize
from zhurnal.train.run import Stop

QUICK = {"data": "digits", "data.subset": 120, "train.epochs": 4, "train.batch_size": 40, "train.num_threads": 1, "train.tensorboard": False}
GROWING = {**QUICK, "model": "airnet", "model.width": "small", "train.initial_scale": 0.5, "train.finetune_fraction": 0.25, "data.image_size": 32}


@pytest.fixture
def lab(tmp_path) -> Lab:
    return Lab(Lab.init(tmp_path / "lab").folder)


def sizes(epochs, size, initial_scale, finetune_fraction):
    return [resize.size_at(epoch, epochs, size, initial_scale, finetune_fraction) for epoch in range(epochs)]


def test_sizes_grow_from_the_first_to_the_full_and_stay():
    got = sizes(10, (32, 48), 0.5, 0.3)
    assert got[0] == (16, 24)
    assert got[7:] == [(32, 48)] * 3
    assert all(a <= c and b <= d for (a, b), (c, d) in itertools.pairwise(got))
    assert {h % resize.INCREMENT for h, _ in got} == {0}


@pytest.mark.parametrize(("scale", "fraction"), [(1.0, 0.0), (1.0, 0.9)])
def test_a_scale_of_one_leaves_images_as_they_are(scale, fraction):
    assert sizes(3, (30, 30), scale, fraction) == [(30, 30)] * 3


def test_small_images_keep_at_least_an_increment():
    assert sizes(2, (8, 8), 0.01, 0.0)[0] == (4, 4)
    assert sizes(2, (3, 3), 0.5, 0.0)[0] == (3, 3)


def test_resizing_keeps_the_mean_and_removes_what_is_too_fine():
    board = (torch.arange(32)[:, None] + torch.arange(32)[None]) % 2
    small = resize.resize(board[None, None].float(), (16, 16))
    assert small.shape == (1, 1, 16, 16)
    assert (small[..., 2:-2, 2:-2] - 0.5).abs().max() < 0.01


def test_training_sees_the_sizes_and_validation_the_full_one(lab, monkeypatch):
    lab.new(GROWING)
    from zhurnal.train import models

    seen = []
    made = models.make

    def spy(*arguments, **named):
        model = made(*arguments, **named)
        model.register_forward_pre_hook(lambda module, given: seen.append((module.training, tuple(given[0].shape[-2:]))))
        return model

    monkeypatch.setattr(models, "make", spy)
    lab.run("e0001")
    trained = [size for training, size in seen if training]
    trained = trained[len(trained) - 12 :]  # three steps in each of four epochs
    assert trained == [(16, 16)] * 3 + [(20, 20)] * 3 + [(24, 24)] * 3 + [(32, 32)] * 3
    assert {size for training, size in seen if not training} == {(16, 16), (32, 32)}  # (16, 16): the check before the run


def test_a_resumed_run_has_the_sizes_of_an_undisturbed_one(lab):
    lab.new(GROWING)
    lab.new({}, parent="e0001")
    whole = lab.run("e0001")

    class StopAt:
        def __init__(self, stop):
            self.stop = stop

        def __getattr__(self, name):
            return lambda *arguments: None

        def step(self, epoch, batch, images, lr):
            if (epoch, batch) == (2, 1):
                self.stop()

    stop = Stop()
    with pytest.raises(Interrupted):
        lab.run("e0002", stop=stop, watcher=StopAt(stop))
    assert (lab.run("e0002").folder / "record.jsonl").read_bytes() == (whole.folder / "record.jsonl").read_bytes()


def test_a_network_of_one_size_says_so(lab):
    lab.new({**QUICK, "data.image_size": 32, "model": "vgg_bn", "train.initial_scale": 0.5})
    with pytest.raises(RunError, match=r"train.initial_scale makes images of 16x16 pixels .* does not take"):
        lab.run("e0001")


def test_clips_do_not_grow(lab):
    lab.new({"data": "moving_shapes", "data.subset": 16, "train.epochs": 1, "train.num_threads": 1, "train.initial_scale": 0.5})
    with pytest.raises(RunError, match="clips"):
        lab.run("e0001")
