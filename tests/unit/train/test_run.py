"""A run: what it writes, what it starts from, what it refuses. Small and fast; kills are in tests/e2e."""

import re
import threading
import zipfile
from types import SimpleNamespace

import numpy as np
import orjson
import pytest
import torch

from zhurnal.api import Lab
from zhurnal.core.errors import Interrupted, RunError, SettingsError, ZhurnalError
from zhurnal.store import files, record
from zhurnal.train import log, models, state
from zhurnal.train import run as running
from zhurnal.train.failure import explain
from zhurnal.train.run import Stop
from zhurnal.train.state import Position
from zhurnal.train.watch import Silent

QUICK = {"train.epochs": 2, "train.batch_size": 200, "train.log_every": 2, "train.num_threads": 1, "train.tensorboard": False}


@pytest.fixture
def lab(tmp_path) -> Lab:
    return Lab(Lab.init(tmp_path / "lab").folder)


def rows(lab: Lab, name: str, kind: str) -> list[dict]:
    return [r for r in record.read(lab.run_folder(name, 42) / "record.jsonl")[0] if r["kind"] == kind]


def test_a_run_leaves_what_the_architecture_says(lab):
    lab.new({**QUICK, "train.tensorboard": True})
    run = lab.run("e0001")
    assert run.finished
    assert [r["epoch"] for r in run.epochs] == [1, 2]
    assert run.epochs[0]["num_train"] + run.epochs[0]["num_val"] + run.test["num_test"] == 1797
    assert [r["step"] for r in run.iters] == [2, 4, 6, 8, 10, 12, 14]
    assert run.test["epoch"] == run.end["best_epoch"] == max(run.epochs, key=lambda r: (r["val_acc"], -r["epoch"]))["epoch"]
    assert [t["epoch"] for t in run.times] == [1, 2]
    assert {p.name for p in run.folder.iterdir()} == {
        "record.jsonl",
        "events.jsonl",
        "effective.json",
        "checkpoints",
        "predictions",
        "tensorboard",
        "lock",
    }
    held = np.load(run.folder / "predictions" / "epoch-00002.npz")
    assert held["predicted"].shape == held["loss"].shape == (run.epochs[0]["num_val"],)
    labels = np.load(run.folder / "predictions" / "labels.npz")
    assert (held["predicted"] == labels["label"]).mean() == run.epochs[1]["val_acc"]
    right = held["predicted"] == labels["label"]
    assert np.allclose(held["confidence"][right], np.exp(-held["loss"][right].astype(float)), atol=2e-3)
    assert held["loss"].astype(float).mean() == pytest.approx(run.epochs[1]["val_loss"], rel=1e-3)
    assert next((run.folder / "tensorboard").glob("events.out.tfevents.*")).stat().st_size > 500


def test_the_best_weights_are_plain_pytorch_weights(lab):
    lab.new(QUICK)
    lab.run("e0001")
    weights = torch.load(lab.logs / "e0001_model_best.pth", weights_only=True)
    network = models.make(lab.experiment("e0001").settings.model, (1, 8, 8), 10, seed=0, base=lab.folder)
    network.load_state_dict(weights)


def test_the_running_accuracy_is_that_of_the_training_pass(lab):
    lab.new({**QUICK, "train.epochs": 1})
    lab.new({"train.train_accuracy": "second_pass"}, parent="e0001")
    first, second = lab.run("e0001"), lab.run("e0002")
    assert first.end["weights"] == second.end["weights"]
    assert first.epochs[0]["val_acc"] == second.epochs[0]["val_acc"]
    assert first.epochs[0]["train_loss"] != second.epochs[0]["train_loss"]


def test_the_training_loss_of_an_epoch_is_the_mean_over_its_images(lab):
    lab.new({**QUICK, "train.epochs": 1, "train.log_every": 1})
    run = lab.run("e0001")
    num = run.epochs[0]["num_train"]
    sizes = [min(200, num - start) for start in range(0, num, 200)]
    assert len(set(sizes)) == 2, "the last batch is a smaller one"
    assert run.epochs[0]["train_loss"] == pytest.approx(sum(r["loss"] * n for r, n in zip(run.iters, sizes, strict=True)) / num, rel=1e-9)


def test_the_same_seed_gives_the_same_record_and_another_another(lab):
    lab.new(QUICK)
    lab.new({}, parent="e0001")
    a, b, c = lab.run("e0001"), lab.run("e0002"), lab.run("e0001", 43)
    assert (a.folder / "record.jsonl").read_bytes() == (b.folder / "record.jsonl").read_bytes()
    assert a.end["weights"] != c.end["weights"]


def test_settings_that_change_speed_only_change_nothing_else(lab):
    lab.new({**QUICK, "data.transform": "augment"})
    lab.new({"train.batch_size_val": 7, "train.checkpoint_seconds": 0.0, "train.log_every": 3, "data.num_workers": 0}, parent="e0001")
    assert lab.run("e0001").end["weights"] == lab.run("e0002").end["weights"]
    assert lab.diff("e0001", "e0002") == {}


def test_a_finished_run_is_left_alone(lab):
    lab.new(QUICK)
    run = lab.run("e0001")
    before = {p: p.stat().st_mtime_ns for p in run.folder.rglob("*")}
    assert lab.run("e0001").finished
    assert {p: p.stat().st_mtime_ns for p in run.folder.rglob("*")} == before


def test_to_continue_takes_weights_and_optimizer(lab):
    lab.new(QUICK)
    lab.new({"train.epochs": 1}, continues="e0001")
    lab.new({"train.epochs": 1, "model.weights": "e0001:last"}, parent="e0001")
    first, on, taken = lab.run("e0001"), lab.run("e0002"), lab.run("e0003")
    assert on.effective["started_from"]["weights"] == taken.effective["started_from"]["weights"] == first.end["weights"]
    assert on.effective["started_from"]["optimizer_state"] is True
    assert on.end["weights"] != taken.end["weights"], "the momentum of e0001 makes the difference"
    assert on.epochs[0]["train_loss"] < first.epochs[0]["train_loss"]


def test_weights_from_a_file(lab):
    lab.new(QUICK)
    lab.run("e0001")
    lab.new({"model.weights": "experiments/logs/e0001_model_best.pth"}, parent="e0001")
    assert lab.run("e0002").effective["started_from"]["file"].endswith("e0001_model_best.pth")


def test_weights_that_do_not_fit_are_told(lab):
    lab.new(QUICK)
    lab.run("e0001")
    lab.new({"model": "vgg", "model.weights": "e0001:best"}, parent="e0001")
    with pytest.raises(RunError, match=r"conv1_1\.weight is missing.*more"):
        lab.run("e0002")
    assert lab.runs("e0002")[0].state().startswith("failed: weights e0001:best do not fit")


def test_a_weights_file_that_would_run_code_is_refused(lab, tmp_path):
    import pickle

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "canary"), "w"))

    (lab.folder / "evil.pth").write_bytes(pickle.dumps(Evil()))
    lab.new({**QUICK, "model.weights": "evil.pth"})
    with pytest.raises(RunError, match=r"evil\.pth is no file of weights"):
        lab.run("e0001")
    assert not (tmp_path / "canary").exists()


def test_what_it_is_to_start_from_must_be_finished(lab):
    lab.new(QUICK)
    lab.new({}, continues="e0001")
    with pytest.raises(RunError, match=r"e0001 has no finished run.*zhurnal run e0001"):
        lab.run("e0002")


def test_a_file_that_changed_since_its_run_began_is_refused(lab):
    lab.new(QUICK)
    stop = Stop()
    watcher = StopAt(stop, 3)
    with pytest.raises(Interrupted, match="stopped at step 3"):
        lab.run("e0001", stop=stop, watcher=watcher)
    path = lab.file("e0001")
    path.write_text(path.read_text().replace("epochs: 2", "epochs: 3"))
    with pytest.raises(RunError, match=r"e0001\.yaml changed since its run began: train\.epochs=3\. Put it back \(train\.epochs=2\)"):
        Lab(lab.folder).run("e0001")
    path.write_text(path.read_text().replace("epochs: 3", "epochs: 2").replace("checkpoint_seconds: 10.0", "checkpoint_seconds: 1.0"))
    assert Lab(lab.folder).run("e0001").finished


class StopAt(Silent):
    """Asks to stop at a step."""

    def __init__(self, stop: Stop, at: int) -> None:
        self.stop, self.left = stop, at

    def step(self, epoch: int, batch: int, images: int, lr: float) -> None:
        self.left -= 1
        if self.left == 0:
            self.stop("enough")


def test_a_run_that_is_stopped_goes_on_to_the_same_end(lab):
    lab.new(QUICK)
    lab.new({}, parent="e0001")
    undisturbed = lab.run("e0001")
    for at in (3, 5, 1):
        stop = Stop()
        with pytest.raises(Interrupted, match="enough"):
            lab.run("e0002", stop=stop, watcher=StopAt(stop, at))
        assert lab.runs("e0002")[0].status == "interrupted"
    run = lab.run("e0002")
    assert (run.folder / "record.jsonl").read_bytes() == (undisturbed.folder / "record.jsonl").read_bytes()
    assert [t["partial"] for t in run.times] == [True, True]


def test_a_run_works_in_a_thread(lab):
    lab.new(QUICK)
    done = []
    thread = threading.Thread(target=lambda: done.append(lab.run("e0001")))
    thread.start()
    thread.join(60)
    assert done[0].finished


OWN = """
from torch import nn

class Net(nn.Module):
    def __init__(self, image, num_classes, width=4):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(image[0] * image[1] * image[2], width), nn.ReLU(), nn.Linear(width, num_classes))

    def forward(self, x):
        return self.net(x)
"""


def test_a_network_of_ones_own_is_saved_with_the_run_and_part_of_the_difference(lab):
    (lab.folder / "my_net.py").write_text(OWN)
    lab.new({**QUICK, "model": "my_net.py:Net", "model.width": 6})
    run = lab.run("e0001")
    assert run.effective["model"]["num_parameters"] == 64 * 6 + 6 + 6 * 10 + 10
    assert (run.folder / "sources" / "my_net.py").read_text() == OWN
    (lab.folder / "my_net.py").write_text(OWN + "# changed\n")
    lab.new({}, parent="e0001")
    lab.run("e0002")
    assert list(lab.diff("e0001", "e0002")) == ["model.source"]


def test_a_transform_of_ones_own(lab):
    (lab.folder / "shift.py").write_text("def shift(images, draws):\n    return images.roll(1, 3)\n\n\nshift.num_draws = 1\n")
    lab.new(QUICK)
    lab.new({"data.transform": "shift.py:shift"}, parent="e0001")
    assert lab.run("e0001").end["weights"] != lab.run("e0002").end["weights"]
    assert (lab.run_folder("e0002", 42) / "sources" / "shift.py").exists()


def test_steps_in_a_list_go_on_exactly_after_a_stop(lab):
    steps = ["crop", "alternating_flip", {"cutout": {"size": 3}}, {"rand_augment": {"num_ops": 1}}]
    lab.new({**QUICK, "data.transform": steps})
    lab.new({**QUICK, "data.transform": steps})
    stop = Stop()
    with pytest.raises(Interrupted):
        lab.run("e0001", stop=stop, watcher=StopAt(stop, 11))  # in the second epoch
    assert lab.run("e0001").end["weights"] == lab.run("e0002").end["weights"]
    assert lab.run("e0001").effective["settings"]["data"]["transform"] == steps


def test_a_network_of_ones_own_that_changed_is_not_gone_on_with(lab):
    (lab.folder / "my_net.py").write_text(OWN)
    lab.new({**QUICK, "model": "my_net.py:Net"})
    stop = Stop()
    with pytest.raises(Interrupted):
        lab.run("e0001", stop=stop, watcher=StopAt(stop, 2))
    (lab.folder / "my_net.py").write_text(OWN + "# changed\n")
    with pytest.raises(RunError, match=r"my_net\.py changed since"):
        lab.run("e0001")


def test_an_option_the_network_does_not_take(lab):
    (lab.folder / "my_net.py").write_text(OWN)
    lab.new({**QUICK, "model": "my_net.py:Net", "model.depth": 6})
    with pytest.raises(SettingsError, match="depth"):
        lab.run("e0001")


def test_a_run_that_diverges_says_so_in_numbers_and_goes_on(lab):
    lab.new({**QUICK, "optimizer.lr": 100.0})
    run = lab.run("e0001")
    assert run.finished
    assert any(r["val_loss"] is None or r["val_loss"] > 100 for r in run.epochs)


def test_a_run_that_fails_says_why(lab):
    (lab.folder / "my_net.py").write_text(OWN.replace("return self.net(x)", "assert not self.training, 'no luck'\n        return self.net(x)"))
    lab.new({**QUICK, "model": "my_net.py:Net"})
    with pytest.raises(RunError, match=r"my_net\.py:Net failed: my_net\.py:\d+: AssertionError: no luck"):
        lab.run("e0001")
    assert "no luck" in lab.runs("e0001")[0].state()


def test_no_batch_is_left(lab):
    lab.new({**QUICK, "train.batch_size": 5000, "train.drop_last": True})
    with pytest.raises(RunError, match="no batch is left"):
        lab.run("e0001")


def test_a_device_that_is_not_there(lab):
    lab.new({**QUICK, "train.device": "cuda:7"})
    with pytest.raises(RunError, match="cuda:7, but"):
        lab.run("e0001")


def test_the_data_of_a_run_must_not_change(lab, tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    for c in "ab":
        (tmp_path / "photos" / c).mkdir(parents=True)
        for i in range(20):
            Image.fromarray(rng.integers(0, 255, (16, 16, 3), np.uint8)).save(tmp_path / "photos" / c / f"{i}.png")
    lab.new({**QUICK, "data": str(tmp_path / "photos"), "train.batch_size": 4, "data.validation": 0.2})
    stop = Stop()
    with pytest.raises(Interrupted):
        lab.run("e0001", stop=stop, watcher=StopAt(stop, 3))
    Image.fromarray(rng.integers(0, 255, (16, 16, 3), np.uint8)).save(tmp_path / "photos" / "a" / "new.png")
    with pytest.raises(ZhurnalError, match="data of e0001 changed"):
        lab.run("e0001")
    (tmp_path / "photos" / "a" / "new.png").unlink()
    assert lab.run("e0001").finished


def test_effective_settings_are_what_the_optimizer_got(lab):
    lab.new({**QUICK, "optimizer": "adam", "optimizer.lr": 0.004, "data.subset": 300})
    run = lab.run("e0001")
    found = orjson.loads((run.folder / "effective.json").read_bytes())
    assert found["optimizer"][0]["lr"] == 0.004
    assert found["optimizer"][0]["betas"] == [0.9, 0.999]
    assert found["data"]["num_train"] == run.epochs[0]["num_train"] == 300
    assert found["num_threads"] == 1


def test_a_step_schedule_is_followed(lab):
    lab.new({**QUICK, "train.epochs": 4, "scheduler": "step", "scheduler.step_size": 2, "scheduler.gamma": 0.5})
    assert [r["lr"] for r in lab.run("e0001").epochs] == [0.01, 0.01, 0.005, 0.005]


def test_a_damaged_best_checkpoint_is_not_used(lab):
    lab.new(QUICK)
    lab.run("e0001")
    path = next((lab.run_folder("e0001", 42) / "checkpoints").glob("best-*.pth"))
    with pytest.raises(RunError, match="damaged"):
        state.read_tensors(path, "0" * 64)


def test_batch_norm_with_a_last_batch_of_one_image(lab):
    lab.new({**QUICK, "model": "vgg_bn", "data.subset": 21, "train.batch_size": 20, "train.epochs": 1})
    with pytest.raises(RunError, match=r"batch of one image.*drop_last"):
        lab.run("e0001")
    assert lab.runs("e0001")[0].status == "failed"


def test_a_disk_that_stays_full_leaves_a_run_that_goes_on_when_there_is_room(lab, monkeypatch):
    lab.new({**QUICK, "train.checkpoint_seconds": 0.0})
    lab.new({}, parent="e0001")
    undisturbed = lab.run("e0001")
    real, left = files.write, [6]

    def write(*arguments: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        real(*arguments)

    monkeypatch.setattr(files, "write", write)
    monkeypatch.setattr(log, "PATIENCE", 0.1)
    monkeypatch.setattr(running, "PATIENCE", 0.1)
    with pytest.raises(RunError, match=r"trained to its end, but could not write all of it: .*best weights.*No space left on device.*Make room"):
        lab.run("e0002")
    monkeypatch.undo()
    assert lab.runs("e0002")[0].status == "failed"
    assert any("the best weights cannot be written: No space left" in w for w in lab.runs("e0002")[0].warnings)
    run = lab.run("e0002")
    assert (run.folder / "record.jsonl").read_bytes() == (undisturbed.folder / "record.jsonl").read_bytes()


def test_ctrl_c_on_a_full_disk_says_where_it_goes_on(lab, monkeypatch):
    lab.new(QUICK)
    stop = Stop()
    monkeypatch.setattr(running, "PATIENCE", 0.1)

    def write(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(state.files, "write", write)
    (lab.run_folder("e0001", 42)).mkdir(parents=True)
    with pytest.raises(RunError, match=r"No space left on device.*make room"):  # it does not even begin
        lab.run("e0001")
    monkeypatch.setattr(running, "_open", lambda *_: None)
    with pytest.raises(Interrupted, match=r"stopped at step 3 \(enough\); .* goes on from step 0, for its state could not be saved"):
        lab.run("e0001", stop=stop, watcher=StopAt(stop, 3))


def test_weights_of_the_best_epoch_that_are_gone_are_told_and_found_again(lab):
    lab.new({**QUICK, "train.epochs": 3, "train.checkpoint_seconds": 0.0})
    lab.new({}, parent="e0001")
    undisturbed = lab.run("e0001")
    stop = Stop()
    with pytest.raises(Interrupted):
        lab.run("e0002", stop=stop, watcher=StopAt(stop, 10))
    (best,) = (lab.run_folder("e0002", 42) / "checkpoints").glob("best-*.pth")
    best.write_bytes(b"")
    run = lab.run("e0002")
    assert "best-00001.pth, the best weights until now, is damaged: the best epoch is looked for among those from epoch 2 on" in run.warnings[-1]
    assert run.end == undisturbed.end
    assert undisturbed.end["best_epoch"] > 1


def test_a_run_that_would_stop_early_looks_on_where_its_best_weights_are_gone(lab):
    lab.new({**QUICK, "train.epochs": 4, "train.checkpoint_seconds": 0.0, "train.early_stopping": 2})
    batches = lab.run("e0001").epochs[0]["step"]
    lab.new({}, parent="e0001")
    stop = Stop()
    with pytest.raises(Interrupted):
        lab.run("e0002", stop=stop, watcher=StopAt(stop, 2 * batches + 1))
    checkpoints = lab.run_folder("e0002", 42) / "checkpoints"
    newest = max(checkpoints.glob("state-*.pt"))
    newest.unlink()  # what is left is of the end of an epoch
    for best in checkpoints.glob("best-*.pth"):
        best.unlink()
    run = lab.run("e0002")
    assert run.finished
    assert run.end["best_epoch"] >= 3


@pytest.mark.parametrize(
    ("error", "num_parts", "text"),
    [
        (ValueError("Expected more than 1 value per channel when training"), 1, r"a batch of one image, .* use train.drop_last=true or another"),
        (ValueError("Expected more than 1 value per channel when training"), 4, r"in batches of 200, each in 4 parts\): use another .*accumulate"),
        (torch.OutOfMemoryError("CUDA out of memory."), 1, r"not enough memory for a training step on 200 images .*train.accumulate=2, in a new"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), 3, r"not enough memory .*train.accumulate=6"),
    ],
)
def test_what_ends_a_run_is_told_with_the_way_out(lab, error, num_parts, text):
    lab.new({**QUICK, "train.accumulate": num_parts})
    parts = SimpleNamespace(data=SimpleNamespace(train=range(1001)), feed=SimpleNamespace(batch_size=200), sources={})
    told, status = explain(error, lab.experiment("e0001"), parts, Position(), 0)
    assert status == "failed"
    assert isinstance(told, RunError)
    assert re.search(text, str(told))


def test_images_that_can_be_read_again_after_a_stop_are_told(lab):
    make_photos(lab.folder / "photos")
    with zipfile.ZipFile(lab.folder / "photos.zip", "w", zipfile.ZIP_STORED) as packed:
        for file in sorted((lab.folder / "photos").rglob("*.png")):
            packed.write(file, file.relative_to(lab.folder))
    whole = (lab.folder / "photos.zip").read_bytes()
    middle = whole.index(b"IDAT") + 10
    (lab.folder / "photos.zip").write_bytes(whole[:middle] + b"damaged" + whole[middle + 7 :])
    lab.new({"data": "folder", "data.path": "photos.zip", "data.bad_images": "skip", "train.epochs": 3, "train.batch_size": 10})
    stop = Stop()
    with pytest.raises(Interrupted):
        lab.run("e0001", stop=stop, watcher=StopAt(stop, 2))
    (lab.folder / "photos.zip").write_bytes(whole)  # the zip's list, with its checksums, is as it was
    with pytest.raises(RunError, match=r"images of e0001 that can be read changed since its run began \(num_(train|val) \d+ -> \d+\): put the old"):
        lab.run("e0001")


def test_validation_that_does_not_fit_in_memory_is_told_with_its_own_way_out(lab, monkeypatch):
    lab.new({**QUICK, "train.batch_size_val": 50})

    def evaluate(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(running, "evaluate", evaluate)
    with pytest.raises(RunError, match=r"not enough memory to validate 50 images at once .*smaller train.batch_size_val"):
        lab.run("e0001")


def test_a_run_whose_checkpoints_are_not_here_says_that_it_begins_again(lab):
    lab.new({**QUICK, "train.epochs": 3, "train.checkpoint_seconds": 0.0})
    stop = Stop()
    with pytest.raises(Interrupted):
        lab.run("e0001", stop=stop, watcher=StopAt(stop, 10))
    for path in (lab.run_folder("e0001", 42) / "checkpoints").iterdir():  # as in a clone: git does not keep them
        path.unlink()
    run = lab.run("e0001")
    assert run.finished
    assert "no checkpoint is here, though it stopped at step 10: it begins again, its rows are compared" in run.warnings


def test_a_run_goes_on_where_what_it_started_from_is_gone(lab):
    lab.new({**QUICK, "train.checkpoint_seconds": 0.0})
    lab.run("e0001")
    lab.new({"train.epochs": 3}, continues="e0001")
    stop = Stop()
    with pytest.raises(Interrupted):
        lab.run("e0002", stop=stop, watcher=StopAt(stop, 3))
    for path in (lab.run_folder("e0001", 42) / "checkpoints").glob("state-*"):
        path.unlink()
    assert lab.run("e0002").finished
    lab.new({"train.epochs": 4}, parent="e0002")
    with pytest.raises(
        RunError, match=r"e0001 has no whole checkpoint to continue from .*it is finished and not trained again, so make one with its"
    ):
        lab.run("e0003")


def test_a_finished_run_without_an_end_that_can_be_read_is_no_error(lab):
    lab.new(QUICK)
    path = lab.run("e0001").folder / "record.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:-1], lines[-1].replace(b'"best_epoch"', b'"best_epoch_"')]))
    told = []

    class Listens(Silent):
        def note(self, text):
            told.append(text)

    lab.run("e0001", watcher=Listens())
    assert "the end of e0001 is in no record that can be read: e0001_model_best.pth was not written" in told


def test_threads_that_a_run_cannot_change_any_more_are_told(lab):
    lab.new({**QUICK, "train.epochs": 3, "train.checkpoint_seconds": 0.0})
    stop, told = Stop(), []
    with pytest.raises(Interrupted):
        lab.run("e0001", stop=stop, watcher=StopAt(stop, 3))
    path = lab.file("e0001")
    path.write_text(path.read_text().replace("num_threads: 1", "num_threads: 2"))

    class Listens(StopAt):
        def note(self, text):
            told.append(text)

    run = lab.run("e0001", watcher=Listens(Stop(), 10**6))
    assert run.finished
    assert "train.num_threads is 2 now, but this run goes on with 1, as it began: else its results would not be the same" in told


def test_a_folder_that_vanishes_does_not_end_the_run(lab):
    import shutil

    lab.new({**QUICK, "train.epochs": 3})
    lab.new({}, parent="e0001")
    undisturbed = lab.run("e0001")
    home = lab.run_folder("e0002", 42)

    class Deletes(Silent):
        def row(self, row) -> None:
            if row["step"] == 4:
                shutil.rmtree(home)

    run = lab.run("e0002", watcher=Deletes())
    assert run.finished
    assert (home / "record.jsonl").read_bytes() == (undisturbed.folder / "record.jsonl").read_bytes()
    assert any("was deleted while the run wrote to it" in w for w in run.warnings)
    assert run.effective["seed"] == 42
    assert (home / "predictions" / "labels.npz").exists()


def make_photos(folder, count=30) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    for c in "ab":
        (folder / c).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(rng.integers(0, 255, (12, 12, 3), np.uint8)).save(folder / c / f"{i}.png")


def test_streamed_images_train_and_resume_as_those_in_memory(lab, tmp_path):
    make_photos(tmp_path / "photos")
    more = {"data": str(tmp_path / "photos"), "train.batch_size": 8, "data.transform": "augment", "train.train_accuracy": "second_pass"}
    lab.new({**QUICK, **more})
    for workers in (0, 2):
        lab.new({"data.storage": "stream", "data.num_workers": workers, "train.tensorboard": True}, parent="e0001")
    expected = (lab.run("e0001").folder / "record.jsonl").read_bytes()
    for name in ("e0002", "e0003"):
        for at in (3, 6):
            stop = Stop()
            with pytest.raises(Interrupted):
                lab.run(name, stop=stop, watcher=StopAt(stop, at))
        assert (lab.run(name).folder / "record.jsonl").read_bytes() == expected
        assert not [w for w in lab.runs(name)[0].warnings if "not exact" in w]


def test_each_run_has_its_own_number_of_threads(lab):
    default = torch.get_num_threads()
    lab.new({**QUICK, "train.epochs": 1})
    lab.new({"train.num_threads": 2}, parent="e0001")
    lab.new({"train.num_threads": 0}, parent="e0001")
    assert [lab.run(name).effective["num_threads"] for name in ("e0001", "e0002", "e0003")] == [1, 2, 1]
    torch.set_num_threads(default)


def test_a_file_imported_by_ones_own_is_saved_and_compared(lab):
    (lab.folder / "width.py").write_text("WIDTH = 4\n")
    (lab.folder / "my_net.py").write_text("from width import WIDTH\n" + OWN.replace("width=4", "width=WIDTH"))
    lab.new({**QUICK, "model": "my_net.py:Net"})
    lab.new({}, parent="e0001")
    run = lab.run("e0001")
    assert (run.folder / "sources" / "width.py").read_text() == "WIDTH = 4\n"
    (lab.folder / "width.py").write_text("WIDTH = 32\n")
    assert lab.run("e0002").effective["model"]["num_parameters"] > run.effective["model"]["num_parameters"]
    assert list(lab.diff("e0001", "e0002")) == ["model.source"]


def test_the_child_of_a_continued_experiment_continues_too(lab):
    lab.new(QUICK)
    lab.new({"train.epochs": 1}, continues="e0001")
    assert lab.new({"optimizer.lr": 0.1}, parent="e0002").continues == "e0001"
    assert lab.new({"optimizer.lr": 0.1}, parent="e0002", continues="none").continues is None


def test_what_starts_from_itself_in_a_circle_is_told(lab):
    lab.new(QUICK)
    lab.new({}, parent="e0001")
    lab.file("e0001").write_text(lab.file("e0001").read_text() + "continue: e0002\n")
    with pytest.raises(ZhurnalError, match=r"circle|in turn"):
        Lab(lab.folder).experiment("e0002")
    lab.file("e0002").write_text("parent: e0001\nchanges:\n  model.weights: e0888:best\n")
    lab.file("e0001").write_text(lab.file("e0001").read_text().replace("continue: e0002\n", ""))
    with pytest.raises(ZhurnalError, match="e0888 does not exist"):
        Lab(lab.folder).experiment("e0002")


class StopInTest(Silent):
    """Asks to stop when the test images are measured."""

    def __init__(self, stop: Stop) -> None:
        self.stop = stop

    def phase(self, name: str) -> None:
        if name.startswith("testing"):
            self.stop("enough")


def test_the_test_pass_can_be_stopped_and_made_again(lab):
    lab.new(QUICK)
    lab.new({}, parent="e0001")
    stop = Stop()
    with pytest.raises(Interrupted, match="enough"):
        lab.run("e0001", stop=stop, watcher=StopInTest(stop))
    assert lab.runs("e0001")[0].status == "interrupted"
    assert (lab.run("e0001").folder / "record.jsonl").read_bytes() == (lab.run("e0002").folder / "record.jsonl").read_bytes()


def test_views_are_told_beside_the_plain_figure_and_change_nothing_else(lab):
    lab.new(QUICK)
    lab.new({"train.tta": "flip_shift"}, parent="e0001")
    plain, views = lab.run("e0001"), lab.run("e0002")
    assert plain.end["weights"] == views.end["weights"]
    assert [{k: v for k, v in r.items() if k != "val_acc_tta"} for r in views.epochs] == plain.epochs
    assert all(0 <= r["val_acc_tta"] <= 1 for r in views.epochs)
    assert 0 <= views.test["test_acc_tta"] <= 1
    assert "test_acc_tta" not in plain.test


def test_class_weights_change_training(lab):
    lab.new(QUICK)
    lab.new({"loss.class_weights": [5, 1, 1, 1, 1, 1, 1, 1, 1, 1]}, parent="e0001")
    assert lab.run("e0001").end["weights"] != lab.run("e0002").end["weights"]


def test_mixing_changes_training(lab):
    lab.new(QUICK)
    lab.new({"train.cutmix": 1.0}, parent="e0001")
    lab.new({"train.mixup": 1.0}, parent="e0001")
    assert len({lab.run(e).end["weights"] for e in ("e0001", "e0002", "e0003")}) == 3


def test_a_run_that_diverged_says_so_on_its_page(lab):
    (lab.folder / "my_net.py").write_text(OWN.replace("return self.net(x)", "return self.net(x) * float('nan')"))
    lab.new({**QUICK, "model": "my_net.py:Net"})
    run = lab.run("e0001")
    assert all(r["val_loss"] is None for r in run.epochs)
    assert "was not finite from epoch" in lab.write(["e0001"]).path.read_text()


def test_a_file_edited_after_its_run_is_noticed(lab):
    lab.new(QUICK)
    lab.run("e0001")
    assert lab.edited("e0001") == {}
    path = lab.file("e0001")
    path.write_text(path.read_text().replace("epochs: 2", "epochs: 3"))
    assert Lab(lab.folder).edited("e0001") == {"train.epochs": 3}


def test_another_library_or_machine_is_named_and_marks_the_run(lab, monkeypatch):
    lab.new(QUICK)
    stop, real = Stop(), running.setup.environment
    with pytest.raises(Interrupted):
        lab.run("e0001", stop=stop, watcher=StopAt(stop, 3))
    monkeypatch.setattr(running.setup, "environment", lambda device: real(device) | {"torch": "2.99.0", "num_threads": 7})
    warnings = lab.run("e0001").warnings
    assert f"resumed with torch {torch.__version__} -> 2.99.0, num_threads 1 -> 7: equal results to the bit are not promised" in warnings


def test_a_checkpoint_of_another_network_is_told_and_the_one_before_is_used(lab):
    lab.new({**QUICK, "train.checkpoint_seconds": 0.0})
    lab.new({}, parent="e0001")
    undisturbed = lab.run("e0001")
    stop = Stop()
    with pytest.raises(Interrupted):
        lab.run("e0002", stop=stop, watcher=StopAt(stop, 10))
    newest = max((lab.run_folder("e0002", 42) / "checkpoints").glob("state-*.pt"))
    held = torch.load(newest, weights_only=True)
    held["model"] = {"a": torch.zeros(3)}
    torch.save(held, newest)
    newest.with_suffix(".sha256").write_text(files.sha256(newest))
    run = lab.run("e0002")
    assert any(newest.name in w and "of another network" in w for w in run.warnings)
    assert (run.folder / "record.jsonl").read_bytes() == (undisturbed.folder / "record.jsonl").read_bytes()


def test_a_watcher_that_cannot_write_does_not_end_the_run(lab):
    class Full(Silent):
        def row(self, row) -> None:
            raise OSError(28, "No space left on device")

        note = row

    lab.new(QUICK)
    run = lab.run("e0001", watcher=Full())
    assert run.finished
    assert any("what the run prints cannot be written: No space left on device" in w for w in run.warnings)
