"""Checkpoints: what is kept, what is refused and with which words, and that all of a run comes back."""

import errno
import hashlib
import io
import os
from dataclasses import asdict

import pytest
import torch
from torch import nn

from zhurnal.core.errors import RunError
from zhurnal.store import files
from zhurnal.store.keeper import Keeper
from zhurnal.train import state
from zhurnal.train.ema import Ema
from zhurnal.train.state import Position


def network(num: int = 2) -> nn.Module:
    return nn.Sequential(nn.Linear(3, num), nn.BatchNorm1d(num), nn.Dropout(0.5))


class Training:
    """A network in training, as far as a checkpoint knows it."""

    def __init__(self, folder, seed: int = 1) -> None:
        torch.manual_seed(seed)
        self.folder, self.model = folder, network()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.1)
        self.ema: Ema | None = Ema(self.model, 0.5)
        self.position = Position()

    def step(self) -> None:
        self.model(torch.randn(4, 3)).pow(2).sum().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.position.step += 1
        if self.ema:
            self.ema.update(self.model, self.position.step)

    def save(self):
        return state.save(self.folder, self.position, self.model, self.optimizer, self.ema)

    def restore(self, found) -> None:
        self.position = state.restore(found, self.model, self.optimizer, self.ema)


@pytest.fixture
def training(tmp_path, monkeypatch) -> Training:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    return Training(tmp_path / "checkpoints")


def names(folder) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def rewrite(path, held) -> None:
    """Write a checkpoint of something else, with its right sum."""
    torch.save(held, path)
    path.with_suffix(".sha256").write_text(files.sha256(path) + "\n")


def latest(training: Training, model: nn.Module | None = None) -> tuple[int | None, list[str]]:
    """Return the step of the newest whole checkpoint, and what is told of others."""
    found, problems = state.latest(training.folder, model)
    return (found["position"]["step"] if found else None), problems


def test_all_comes_back_and_training_goes_on_to_the_same_bits(training):
    training.step()
    training.position.val_losses, training.position.lost = [0.5, 0.25], ["3 rows"]
    training.save()
    training.step()
    training.step()
    other = Training(training.folder, seed=2)
    found, problems = state.latest(training.folder, other.model)
    other.restore(found)
    assert problems == []
    assert (other.position.step, other.position.val_losses, other.position.lost) == (1, [0.5, 0.25], ["3 rows"])
    other.step()
    other.step()
    assert state.fingerprint(other.model) == state.fingerprint(training.model)
    assert state.fingerprint(other.ema.model) == state.fingerprint(training.ema.model)
    assert state.fingerprint(other.model) != state.fingerprint(other.ema.model)


def test_a_run_without_an_average_has_none_in_its_checkpoint(training):
    training.ema = None
    training.step()
    training.save()
    found, _ = state.latest(training.folder)
    assert found["ema"] is None
    other = Training(training.folder, seed=2)
    other.ema = None
    other.restore(found)
    assert state.fingerprint(other.model) == state.fingerprint(training.model)


def test_a_run_begins_with_nothing_done():
    assert asdict(Position()) == {
        "epoch": 0, "batch": 0, "step": 0, "loss_sum": 0.0, "correct": 0, "seen": 0, "since_loss": 0.0, "since_seen": 0, "best_epoch": 0,
        "best_val_acc": -1.0, "best_sha256": "", "val_losses": [], "val_accs": [], "seconds": 0.0, "partial": False, "lost": [],
    }  # fmt: skip


def test_a_position_of_another_version_is_taken_as_far_as_it_is_known(training):
    path = training.save()
    held = torch.load(path, weights_only=True)
    held["position"]["from_the_future"] = 1
    del held["position"]["lost"]
    training.restore(held)
    assert asdict(training.position) == asdict(Position())


def test_generators_of_the_gpu_that_trains_come_back(training, monkeypatch):
    device = torch.device("cuda:1")
    monkeypatch.setattr(state, "_device", lambda model: device)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda of: torch.tensor([of.index], dtype=torch.uint8))
    taken: list[tuple[int, torch.device]] = []
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda value, of: taken.append((int(value), of)))
    training.save()
    found, _ = state.latest(training.folder)
    assert len(found["generators"]) == 2
    training.restore(found)
    assert taken == [(1, device)]
    training.restore(found | {"generators": [found["generators"][0], *(torch.tensor([n], dtype=torch.uint8) for n in (5, 6, 7))]})
    assert taken[1:] == [(6, device)], "of a checkpoint that keeps those of all devices, its own"
    monkeypatch.undo()
    training.position.step += 1
    training.save()
    training.restore(state.latest(training.folder)[0])
    assert len(taken) == 2, "a checkpoint from a processor has none"


def test_the_last_two_are_kept_and_the_best_until_now(training):
    training.folder.mkdir()
    for epoch in (1, 2):
        for suffix in (".pth", ".sha256"):
            state.best_path(training.folder, epoch).with_suffix(suffix).write_text("x")
    training.position.best_epoch = 2
    for epoch, step in ((0, 5), (0, 12), (1, 100)):
        training.position.epoch, training.position.step = epoch, step
        assert training.save().name == f"state-{step:08d}-{epoch:05d}.pt"
    both = ["state-00000012-00000", "state-00000100-00001"]
    assert names(training.folder) == ["best-00002.pth", "best-00002.sha256", *(f"{n}{s}" for n in both for s in (".pt", ".sha256"))]


def test_a_disk_that_refuses_leaves_the_checkpoints_before(training, monkeypatch):
    for step in (1, 2):
        training.position.step = step
        training.save()
    training.position.step = 3
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
        with pytest.raises(OSError, match="No space"):
            training.save()
    assert len(names(training.folder)) == 4
    assert latest(training) == (2, [])


def test_the_sum_of_an_earlier_one_never_stands_beside_a_new_one(training, monkeypatch):
    path = training.save()
    real = files.write

    def write(target, data) -> None:
        if target.suffix == ".sha256":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(target, data)

    with monkeypatch.context() as patch:
        patch.setattr(files, "write", write)
        with pytest.raises(OSError, match="No space"):
            training.save()
    assert names(training.folder) == [path.name]
    assert latest(training) == (None, [f"checkpoint {path.name} is not used: {path.name} was not written to its end"])
    training.save()
    assert latest(training) == (0, [])


def test_a_checkpoint_that_is_of_no_use_is_told_and_the_one_before_is_used(training):
    training.save()
    training.position.step = 1
    path = training.save()
    whole = path.read_bytes()
    head = f"checkpoint {path.name} is not used: "
    assert latest(training, training.model) == (1, [])
    wrong = "0.weight is (2, 3), must be (4, 3); 0.bias is (2,), must be (4,); 1.weight is (2,), must be (4,); 1.bias is (2,), must be (4,)"
    found, problems = latest(training, network(4))
    assert found is None
    assert problems[0] == f"{head}{path.name} is of another network: {wrong}, and 2 more"
    path.write_bytes(whole[:-1])
    assert latest(training) == (0, [f"{head}{path} is damaged: its SHA-256 is not the one it was written with"])
    path.with_suffix(".sha256").write_text(hashlib.sha256(whole[:-1]).hexdigest())
    found, (problem,) = latest(training)
    assert found == 0
    assert problem.startswith(f"{head}{path} is no file of weights that can be read safely: ")
    assert "\n" not in problem
    path.with_suffix(".sha256").unlink()
    assert latest(training) == (0, [f"{head}{path.name} was not written to its end"])


HELD = {"position": {"epoch": 0, "batch": 0, "step": 0}, "model": {}, "optimizer": {}, "ema": None, "generators": []}


@pytest.mark.parametrize(
    "held",
    [[], 5, {k: v for k, v in HELD.items() if k != "ema"}, HELD | {"model": 5}, HELD | {"model": {"0.weight": 5}}, HELD | {"position": [0, 0, 0]},
     HELD | {"position": {"epoch": 0, "batch": 0}}, HELD | {"position": {"epoch": "0", "batch": 0, "step": 0}}],
)  # fmt: skip
def test_a_file_with_a_right_sum_that_no_run_writes_is_told(training, held):
    path = training.save()
    rewrite(path, HELD)
    assert latest(training) == (0, [])
    rewrite(path, held)
    assert latest(training, training.model) == (None, [f"checkpoint {path.name} is not used: {path.name} is no checkpoint of a run"])


def test_a_file_is_read_only_where_it_is_there_and_whole(tmp_path):
    path = tmp_path / "a.pth"
    assert state.written_sum(path) is None
    with pytest.raises(RunError, match=r"a\.pth does not exist$"):
        state.read_tensors(path, None)
    rewrite(path, {"a": torch.ones(2)})
    assert state.written_sum(path) == files.sha256(path)
    assert state.read_tensors(path)["a"].tolist() == state.read_tensors(path, files.sha256(path))["a"].tolist() == [1.0, 1.0]
    with pytest.raises(RunError, match=r"a\.pth is damaged: its SHA-256 is not the one it was written with$"):
        state.read_tensors(path, "0" * 64)


@pytest.mark.parametrize("content", [b"", b"\n", b"\x80", b"PK\x03\x04", b"\x80\x02c__builtin__\n\x1b[2J\nx."])
def test_a_file_that_holds_no_tensors_is_told_on_one_line(tmp_path, content):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(RunError, match=r"a\.pth is no file of weights that can be read safely: \w+") as caught:
        state.read_tensors(tmp_path / "a.pth")
    assert str(caught.value).isprintable()


def test_best_weights_are_plain_and_their_sum_is_told(training):
    training.folder.mkdir()
    kept = Keeper(training.folder)
    total = state.save_best(kept, training.folder, 3, training.model)
    path = training.folder / "best-00003.pth"
    assert total == files.sha256(path) == state.written_sum(path)
    assert torch.load(path, weights_only=True).keys() == training.model.state_dict().keys()
    training.position.best_epoch, training.position.best_val_acc, training.position.best_sha256 = 3, 0.5, total
    assert state.check_best(training.folder, training.position) == []
    assert training.position.best_epoch == 3


@pytest.mark.parametrize(("content", "what"), [(b"x", "damaged"), (None, "gone")])
def test_best_weights_that_are_of_no_use_are_told_and_forgotten(training, content, what):
    training.folder.mkdir()
    position = Position(epoch=4, best_epoch=3, best_val_acc=0.5, best_sha256="ab" * 32)
    if content:
        state.best_path(training.folder, 3).write_bytes(content)
    assert state.check_best(training.folder, position) == [
        f"best-00003.pth, the best weights until now, is {what}: the best epoch is looked for among those from epoch 5 on"
    ]
    assert position == Position(epoch=4)
    assert state.check_best(training.folder, position) == [], "none are known, so none are missed"


def test_only_the_newest_best_weights_wait_for_the_disk(training, monkeypatch):
    training.folder.mkdir()
    kept = Keeper(training.folder)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
        state.save_best(kept, training.folder, 1, training.model)
        total = state.save_best(kept, training.folder, 2, training.model)
    assert kept.waiting() == "the best weights (No space left on device)"
    assert kept.look()
    assert names(training.folder) == ["best-00002.pth", "best-00002.sha256"]
    assert state.written_sum(state.best_path(training.folder, 2)) == total


def test_weights_that_do_not_fit_are_named_and_nothing_is_taken(training):
    before = state.fingerprint(training.model)
    weights = network(2).state_dict()
    state.load_weights(training.model, weights, "e0031:best")
    assert state.fingerprint(training.model) != before
    before = state.fingerprint(training.model)
    weights["head.weight"] = weights.pop("1.weight")
    weights["0.bias"] = torch.zeros(5)
    weights["0.weight"] = weights["0.weight"].T.contiguous()
    with pytest.raises(RunError) as caught:
        state.load_weights(training.model, weights, "e0031:best")
    assert str(caught.value) == (
        "weights e0031:best do not fit the network: 1.weight is missing; head.weight has no place in the network; "
        "0.weight is (3, 2), must be (2, 3); 0.bias is (5,), must be (2,). "
        "Use the same model settings, or take no weights"
    )
    weights["1.bias"] = torch.zeros(5)
    with pytest.raises(RunError, match=r"0\.bias is \(5,\), must be \(2,\), and 1 more\. Use"):
        state.load_weights(training.model, weights, "e0031:best")
    for held in (5, {"0.weight": [1.0]}):
        with pytest.raises(RunError, match=r"^e0031:best holds no weights: it must be a state_dict, as torch\.save"):
            state.load_weights(training.model, held, "e0031:best")
    assert state.fingerprint(training.model) == before


def test_a_fingerprint_tells_names_values_and_buffers_apart():
    model = nn.BatchNorm1d(2)
    first = state.fingerprint(model)
    assert first == state.fingerprint(nn.BatchNorm1d(2))
    assert len(first) == 64
    model.running_mean[0] = 1
    assert state.fingerprint(model) != first
    model = nn.BatchNorm1d(2)
    model.num_batches_tracked += 1
    assert state.fingerprint(model) != first
    assert state.fingerprint(nn.Sequential(nn.BatchNorm1d(2))) != first


def test_what_would_run_code_is_not_loaded(tmp_path):
    class Runs:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "canary"),)

    buffer = io.BytesIO()
    torch.save({"a": Runs()}, buffer)
    (tmp_path / "a.pth").write_bytes(buffer.getvalue())
    with pytest.raises(RunError, match="is no file of weights that can be read safely"):
        state.read_tensors(tmp_path / "a.pth")
    assert not (tmp_path / "canary").exists()
