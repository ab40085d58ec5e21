"""What keeps a training in bounds: averages of weights, clipped gradients, batches in parts, stopping early."""

import pytest
import torch
from torch import nn

from zhurnal.api import Lab
from zhurnal.train.ema import Ema
from zhurnal.train.step import train_step

QUICK = {"train.epochs": 2, "train.batch_size": 200, "train.num_threads": 1, "train.tensorboard": False}


@pytest.fixture
def lab(tmp_path) -> Lab:
    return Lab(Lab.init(tmp_path / "lab").folder)


def loss(logits_NK, labels_N):
    return nn.functional.cross_entropy(logits_NK, labels_N, reduction="none")


def test_an_average_follows_by_its_formula():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    ema = Ema(model, 0.9)
    expected = {k: v.clone() for k, v in model.state_dict().items()}
    for step in range(1, 30):
        model(torch.randn(8, 3)).sum().backward()
        with torch.no_grad():
            for p in model.parameters():
                p += torch.randn_like(p)
        ema.update(model, step)
        decay = min(0.9, (1 + step) / (10 + step))
        for key, value in model.state_dict().items():
            expected[key] = decay * expected[key] + (1 - decay) * value if value.is_floating_point() else value
    for key, value in ema.model.state_dict().items():
        torch.testing.assert_close(value, expected[key], msg=key)
    assert not any(p.requires_grad for p in ema.model.parameters())


def test_weights_that_two_layers_share_are_averaged_once():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)
            self.b.weight = self.a.weight

    model = Tied()
    ema = Ema(model, 0.5)
    before = ema.model.a.weight.clone()
    with torch.no_grad():
        model.a.weight += 1
    ema.update(model, 1000)
    torch.testing.assert_close(ema.model.a.weight, before + 0.5)
    assert ema.model.b.weight is ema.model.a.weight


def test_validation_measures_the_average_and_training_does_not_change(lab):
    lab.new(QUICK)
    lab.new({"train.ema": 0.9}, parent="e0001")
    plain, averaged = lab.run("e0001"), lab.run("e0002")
    assert plain.end["weights"] == averaged.end["weights"]
    assert plain.epochs[1]["val_loss"] != averaged.epochs[1]["val_loss"]
    best = torch.load(lab.logs / "e0002_model_best.pth", weights_only=True)
    assert any(not torch.equal(v, w) for v, w in zip(best.values(), torch.load(lab.logs / "e0001_model_best.pth").values(), strict=True))


@pytest.mark.parametrize("num_parts", [2, 3, 7])
def test_a_batch_in_parts_gives_the_same_step(num_parts):
    torch.manual_seed(0)
    images, labels = torch.randn(7, 5), torch.randint(3, (7,))
    found = []
    for parts in (1, num_parts):
        torch.manual_seed(1)
        model = nn.Linear(5, 3)
        told = train_step(model, torch.optim.SGD(model.parameters(), 0.1), loss, images, labels, num_parts=parts)
        found.append((model.weight.detach().clone(), told[0], told[1]))
    torch.testing.assert_close(found[0], found[1])


def test_gradients_are_clipped_to_a_norm():
    torch.manual_seed(0)
    images, labels = 100 * torch.randn(8, 5), torch.randint(3, (8,))
    model = nn.Linear(5, 3)
    before = [p.detach().clone() for p in model.parameters()]
    train_step(model, torch.optim.SGD(model.parameters(), 1.0), loss, images, labels, clip_grad_norm=0.5)
    moved = torch.cat([(p.detach() - b).flatten() for p, b in zip(model.parameters(), before, strict=True)]).norm()
    assert float(moved) == pytest.approx(0.5, rel=1e-4)


def test_a_run_stops_early_and_says_so(lab):
    lab.new({**QUICK, "train.epochs": 50, "optimizer.lr": 1e-9, "train.early_stopping": 3})
    run = lab.run("e0001")
    assert run.finished
    assert len(run.epochs) == run.end["epoch"] == run.end["best_epoch"] + 3
    assert len(run.epochs) < 50
    assert lab.run("e0001").end == run.end


def test_a_frozen_network_thaws_at_its_epoch_and_resumes_exactly(lab):
    from zhurnal.core.errors import Interrupted
    from zhurnal.train.run import Stop
    from zhurnal.train.watch import Silent

    lab.new({**QUICK, "train.epochs": 3, "data.subset": 400, "model": "resnet20", "model.freeze": "backbone", "model.unfreeze_epoch": 3})
    lab.new({}, parent="e0001")
    undisturbed = lab.run("e0001")
    assert any("unfrozen from epoch 3" in w for w in undisturbed.warnings)

    class StopAt(Silent):
        def __init__(self, stop: Stop, left: int) -> None:
            self.stop, self.left = stop, left

        def step(self, epoch: int, batch: int, images: int, lr: float) -> None:
            self.left -= 1
            if not self.left:
                self.stop("enough")

    for at in (2, 3):
        stop = Stop()
        with pytest.raises(Interrupted):
            lab.run("e0002", stop=stop, watcher=StopAt(stop, at))
    assert (lab.run("e0002").folder / "record.jsonl").read_bytes() == (undisturbed.folder / "record.jsonl").read_bytes()


def test_data_dependent_initialization_takes_the_experiments_own_images(lab):
    lab.new({**QUICK, "train.epochs": 1, "model.init": "lsuv"})
    lab.new({"model.init": "default"}, parent="e0001")
    assert lab.run("e0001").epochs[0]["train_loss"] != lab.run("e0002").epochs[0]["train_loss"]
