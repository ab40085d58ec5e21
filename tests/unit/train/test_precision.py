"""Training in bfloat16: where it is used, where it is not, and that a run is the same however it was stopped."""

import copy
from typing import get_args

import pytest
import torch
from torch import nn

from zhurnal.api import Lab
from zhurnal.core.errors import RunError
from zhurnal.core.settings import Train
from zhurnal.train import precision
from zhurnal.train.run import Interrupted, Stop
from zhurnal.train.watch import Silent

QUICK = {
    "data": "digits", "data.subset": 200, "train.epochs": 2, "train.batch_size": 50, "train.log_every": 1, "train.num_threads": 1,
    "train.tensorboard": False, "train.precision": "bfloat16",
}  # fmt: skip


class Looks(nn.Module):
    """A network that notes the numbers its layers compute in."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 5)
        self.seen = []

    def forward(self, images_NCHW):
        maps = self.conv(images_NCHW)
        logits_NK = self.head(self.norm(maps).mean((2, 3)))
        self.seen = [maps.dtype, logits_NK.dtype]
        return logits_NK


class Told(Silent):
    def __init__(self, stop=None, at=0):
        self.notes, self.stop, self.left = [], stop, at

    def note(self, text):
        self.notes.append(text)

    def step(self, epoch, batch, images, lr):
        self.left -= 1
        if self.left == 0:
            self.stop("enough")


def test_the_names_are_those_of_the_setting():
    assert get_args(Train.model_fields["precision"].annotation) == tuple(precision.DTYPES)


def test_layers_compute_in_it_and_weights_gradients_and_logits_stay_float32():
    network, images_NCHW = Looks(), torch.randn(6, 3, 8, 8)
    plain_NK = network(images_NCHW)
    assert network.seen == [torch.float32] * 2
    precision.compute_in(network, "bfloat16")
    logits_NK = network(images_NCHW)
    assert network.seen == [torch.bfloat16] * 2
    assert logits_NK.dtype == torch.float32
    torch.testing.assert_close(logits_NK, plain_NK, rtol=0.05, atol=0.05)
    assert not torch.equal(logits_NK, plain_NK)
    logits_NK.square().sum().backward()
    assert {p.dtype for p in network.parameters()} | {p.grad.dtype for p in network.parameters()} == {torch.float32}
    assert network.norm.running_mean.dtype == torch.float32
    assert not torch.is_autocast_enabled("cpu")


def test_float32_is_left_alone():
    network = Looks()
    assert precision.compute_in(network, "float32") == []
    assert not network._forward_pre_hooks
    assert not network._forward_hooks


def test_a_copy_computes_as_the_network_does_and_goes_on_when_that_no_longer_does():
    network, images_NCHW = Looks(), torch.randn(6, 3, 8, 8)
    with precision.computing_in(network, "bfloat16"):
        twin = copy.deepcopy(network)
        network(images_NCHW)
        assert network.seen[0] == torch.bfloat16
    for model, dtype in ((network, torch.float32), (twin, torch.bfloat16)):
        model(images_NCHW)
        assert model.seen[0] == dtype


def test_an_error_inside_leaves_nothing_switched_on():
    network = Looks()
    precision.compute_in(network, "bfloat16")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="channels"):
            network(torch.randn(2, 7, 8, 8))
        assert not torch.is_autocast_enabled("cpu")
    network(torch.randn(2, 3, 8, 8))
    assert network.seen[0] == torch.bfloat16
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize(
    "changes",
    [{}, {"train.ema": 0.9, "train.tta": "flip", "train.accumulate": 2}, {"model": "resnet20", "train.memory_format": "channels_last"}],
    ids=str,
)
def test_a_run_that_is_stopped_goes_on_to_the_same_end(tmp_path, changes):
    lab = Lab(Lab.init(tmp_path / "lab").folder)
    lab.new({**QUICK, **changes}, question="?")
    lab.new({}, parent="e0001")
    lab.new({"train.precision": "float32"}, parent="e0001")
    undisturbed = lab.run("e0001")
    stop = Stop()
    with pytest.raises(Interrupted, match="enough"):
        lab.run("e0002", stop=stop, watcher=Told(stop, 3))
    run = lab.run("e0002")
    assert (run.folder / "record.jsonl").read_bytes() == (undisturbed.folder / "record.jsonl").read_bytes()
    exact = lab.run("e0003")
    assert [r["loss"] for r in run.iters] != [r["loss"] for r in exact.iters]
    assert run.iters[0]["loss"] == pytest.approx(exact.iters[0]["loss"], rel=0.02)


def test_it_is_a_difference_between_experiments_and_cannot_change_on_the_way(tmp_path):
    lab = Lab(Lab.init(tmp_path / "lab").folder)
    lab.new(QUICK, question="?")
    assert lab.experiment("e0001").facts()["train.precision"] == "bfloat16"
    stop = Stop()
    with pytest.raises(Interrupted):
        lab.run("e0001", stop=stop, watcher=Told(stop, 2))
    path = lab.file("e0001")
    path.write_text(path.read_text().replace("precision: bfloat16", "precision: float32"))
    with pytest.raises(RunError, match=r"changed since its run began: train\.precision=float32"):
        lab.run("e0001")


def test_a_processor_that_has_to_imitate_it_is_told(tmp_path, monkeypatch):
    lab = Lab(Lab.init(tmp_path / "lab").folder)
    lab.new({**QUICK, "data.subset": 50, "train.epochs": 1}, question="?")
    lab.new({"train.precision": "float32"}, parent="e0001")
    lab.new({}, parent="e0001")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "x86_64", "avx512_f": True, "avx512_bf16": False})
    for name, told in (("e0001", True), ("e0002", False)):
        watcher = Told()
        lab.run(name, watcher=watcher)
        assert any("train.precision is bfloat16, which this cpu has to imitate: float32 is faster here" in n for n in watcher.notes) is told
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "x86_64", "avx512_bf16": True})
    watcher = Told()
    lab.run("e0003", watcher=watcher)
    assert not any("imitate" in n for n in watcher.notes)
