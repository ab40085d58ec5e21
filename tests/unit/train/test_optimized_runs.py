"""Runs with groups, Muon and schedules: the learning rates they take, and the same end when they are stopped on the way."""

import pytest

from zhurnal.api import Lab
from zhurnal.core.settings import SCHEDULERS
from zhurnal.train.run import Interrupted, Stop
from zhurnal.train.schedulers import lr_at
from zhurnal.train.watch import Silent

QUICK = {
    "data.subset": 300, "train.epochs": 2, "train.batch_size": 60, "train.log_every": 1, "train.num_threads": 1, "train.tensorboard": False,
}  # fmt: skip
GROUPS = {"optimizer.no_decay": "norm_bias", "optimizer.head_lr": 0.03, "optimizer.layer_decay": 0.7, "optimizer.weight_decay": 0.01}


class StopAt(Silent):
    def __init__(self, stop, at):
        self.stop, self.left = stop, at

    def step(self, epoch, batch, images, lr):
        self.left -= 1
        if self.left == 0:
            self.stop("enough")


@pytest.fixture
def lab(tmp_path):
    return Lab(Lab.init(tmp_path / "lab").folder)


@pytest.mark.parametrize(
    ("optimizer", "scheduler"), [("muon", "cosine"), ("nadam", "one_cycle"), ("adagrad", "triangular"), ("adafactor", "cosine_restarts")]
)
def test_a_run_that_is_stopped_goes_on_to_the_same_end(lab, optimizer, scheduler):
    lab.new({**QUICK, "optimizer": optimizer, "scheduler": scheduler, "scheduler.warmup_epochs": 0.5, **GROUPS})
    lab.new({}, parent="e0001")
    undisturbed = lab.run("e0001")
    for at in (2, 5):
        stop = Stop()
        with pytest.raises(Interrupted, match="enough"):
            lab.run("e0002", stop=stop, watcher=StopAt(stop, at))
    run = lab.run("e0002")
    assert (run.folder / "record.jsonl").read_bytes() == (undisturbed.folder / "record.jsonl").read_bytes()
    first = run.effective["optimizer"][0]["initial_lr"]
    part = lab.experiment("e0001").settings.scheduler
    assert [r["lr"] for r in run.iters] == [lr_at(part, first, step=s, steps_per_epoch=5, epochs=2) for s in range(10)]
    assert len({r["lr"] for r in run.iters}) > 5
    assert {g["name"] for g in run.effective["optimizer"]} >= {"head", "head, no decay"}


def test_every_schedule_but_plateau_is_followed_in_a_run(lab):
    lab.new({**QUICK, "data.subset": 60, "train.epochs": 3, "train.batch_size": 30}, question="?")
    for name in SCHEDULERS:
        made = lab.new({"scheduler": name, **({"scheduler.step_size": 1} if name == "step" else {})}, parent="e0001", question="?")
        run = lab.run(made.name)
        part = lab.experiment(made.name).settings.scheduler
        if name != "plateau":
            assert [r["lr"] for r in run.iters] == [lr_at(part, 0.01, step=s, steps_per_epoch=2, epochs=3) for s in range(6)]


def test_a_plateau_lowers_the_rate_and_resumes_exactly(tmp_path):
    from zhurnal.api import Lab
    from zhurnal.core.errors import Interrupted
    from zhurnal.train.run import Stop
    from zhurnal.train.watch import Silent

    lab = Lab(Lab.init(tmp_path / "plateau").folder)
    changes = {"train.epochs": 8, "train.batch_size": 300, "train.num_threads": 1, "train.tensorboard": False, "optimizer.lr": 1e-6}
    changes |= {"scheduler": "plateau", "scheduler.patience": 1, "scheduler.factor": 0.5, "scheduler.monitor": "val_acc"}
    lab.new(changes)
    lab.new({}, parent="e0001")
    run = lab.run("e0001")
    rates = [r["lr"] for r in run.epochs]
    assert rates[0] == 1e-6
    assert rates[-1] < 1e-6

    class StopAt(Silent):
        def __init__(self, stop: Stop) -> None:
            self.stop, self.left = stop, 22

        def step(self, epoch: int, batch: int, images: int, lr: float) -> None:
            self.left -= 1
            if not self.left:
                self.stop("enough")

    stop = Stop()
    with pytest.raises(Interrupted):
        lab.run("e0002", stop=stop, watcher=StopAt(stop))
    assert (lab.run("e0002").folder / "record.jsonl").read_bytes() == (run.folder / "record.jsonl").read_bytes()
