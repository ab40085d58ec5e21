"""A trained network that is asked: it says what it said in validation, of tensors and of files, with the files of its own it was trained with."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from zhurnal.analyze import predictions
from zhurnal.api import Lab
from zhurnal.cli import cli
from zhurnal.core import records
from zhurnal.core.errors import ZhurnalError
from zhurnal.train.setup import build
from zhurnal.train.watch import Silent

QUICK = {"data": "digits", "data.subset": 200, "train.epochs": 3, "train.batch_size": 50, "train.tensorboard": False, "train.num_threads": 1}


@pytest.fixture
def lab(tmp_path) -> Lab:
    return Lab(Lab.init(tmp_path / "lab").folder)


def photos(folder: Path, num: int = 12) -> None:
    draw = np.random.default_rng(0)
    for part in ("train", "test"):
        for label, name in enumerate(("dark", "light")):
            for number in range(num):
                pixels = draw.integers(100 * label, 150 + 100 * label, (16, 16, 3), dtype=np.uint8)
                path = folder / part / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)


@pytest.mark.parametrize("changes", [{}, {"train.ema": 0.9}, {"train.precision": "bfloat16"}, {"data.normalize": "none"}])
def test_it_says_of_validation_images_what_it_said_in_validation(lab, changes):
    lab.new({**QUICK, **changes})
    run = lab.run("e0001")
    kept = predictions.read(run)
    network = lab.trained("e0001")
    assert (network.experiment, network.seed, network.epoch, network.on_test) == ("e0001", 42, kept.epoch, False)
    assert network.val_acc == pytest.approx(kept.accuracy)
    assert network.classes == kept.classes
    val = build(lab, lab.experiment("e0001"), 42, download=False, watcher=Silent()).data.val
    found_NK = network.probabilities(val.take(torch.arange(len(val)))[0])
    assert found_NK.argmax(1).tolist() == kept.predicted_N.tolist()
    np.testing.assert_allclose(found_NK.max(1).values, kept.confidence_N, atol=2e-3)
    assert not network.model.training
    assert not any(p.requires_grad for p in network.model.parameters())


def test_files_are_read_as_in_validation_and_bad_ones_are_named(lab):
    photos(lab.folder / "photos")
    lab.new({"data": "folder", "data.path": "photos", "data.image_size": 8, "data.validation": "test", "train.epochs": 2, "train.tensorboard": False})
    run = lab.run("e0001")
    kept = predictions.read(run)
    files = sorted((lab.folder / "photos" / "test").rglob("*.png"), key=lambda p: p.relative_to(lab.folder).as_posix())
    network = lab.trained("e0001")
    assert network.on_test
    (lab.folder / "bad.png").write_text("no image")
    answers = network.classify([*files, lab.folder / "bad.png", "gone.png"])
    assert [a.classes[0][0] for a in answers[: len(files)]] == [kept.classes[k] for k in kept.predicted_N]
    np.testing.assert_allclose([a.classes[0][1] for a in answers[: len(files)]], kept.confidence_N, atol=2e-3)
    assert all(sum(p for _, p in a.classes) == pytest.approx(1) for a in answers[: len(files)])
    assert [a.problem for a in answers[-2:]] == ["is no JPEG, PNG, BMP, GIF, TIFF, WEBP or PPM image", "No such file or directory"]
    assert network.classify([]) == []
    assert [len(a.classes) for a in network.classify(files[:2], top=1)] == [1, 1]


def test_images_of_another_shape_are_refused(lab):
    lab.new({**QUICK, "train.epochs": 1})
    lab.run("e0001")
    network = lab.trained("e0001")
    for wrong in (torch.zeros(2, 1, 8, 8), torch.zeros(2, 3, 8, 8, dtype=torch.uint8)):
        with pytest.raises(ZhurnalError, match=r"must be torch.uint8 \(N, 1, 8, 8\)"):
            network.probabilities(wrong)
    assert network.probabilities(torch.zeros(0, 1, 8, 8, dtype=torch.uint8)).shape == (0, 10)


def test_a_network_of_ones_own_is_the_one_that_was_trained(lab):
    net = "from torch import nn\n\nclass Net(nn.Module):\n    def __init__(self, image, num_classes):\n        super().__init__()\n"
    net += (
        "        self.layer = nn.Linear(64, num_classes)\n\n    def forward(self, x):\n        return SIGN * self.layer(x.flatten(1))\n\nSIGN = 1\n"
    )
    (lab.folder / "my_net.py").write_text(net)
    lab.new({**QUICK, "model": "my_net.py:Net"})
    kept = predictions.read(lab.run("e0001"))
    (lab.folder / "my_net.py").write_text(net.replace("SIGN = 1", "SIGN = -1"))
    val = build(lab, lab.experiment("e0001"), 42, download=False, watcher=Silent()).data.val
    found_NK = lab.trained("e0001").probabilities(val.take(torch.arange(len(val)))[0])
    assert found_NK.argmax(1).tolist() == kept.predicted_N.tolist()


def test_a_network_that_changed_and_of_which_there_is_no_copy_is_refused(lab, tmp_path):
    net = "from torch import nn\n\nclass Net(nn.Module):\n    def __init__(self, image, num_classes):\n        super().__init__()\n"
    net += "        self.layer = nn.Linear(64, num_classes)\n\n    def forward(self, x):\n        return self.layer(x.flatten(1))\n"
    (tmp_path / "far.py").write_text(net)
    lab.new({**QUICK, "train.epochs": 1, "model": f"{tmp_path / 'far.py'}:Net"})
    run = lab.run("e0001")
    (tmp_path / "far.py").write_text(net + "\n\nraise SystemExit('edited')\n")
    assert lab.trained("e0001").classes == tuple("0123456789"), "the copy is asked"
    (run.folder / "sources" / "far.py").unlink()
    with pytest.raises(ZhurnalError, match=r"far.py:Net changed since e0001 was trained with it, and no copy of it is in .*: put it back"):
        lab.trained("e0001")


def test_what_a_network_draws_beside_its_weights_is_drawn_again(lab):
    net = "import torch\nfrom torch import nn\n\nclass Net(nn.Module):\n    def __init__(self, image, num_classes):\n        super().__init__()\n"
    net += "        self.order = torch.randperm(64)\n        self.layer = nn.Linear(64, num_classes)\n\n"
    net += "    def forward(self, x):\n        return self.layer(x.flatten(1)[:, self.order])\n"
    (lab.folder / "net.py").write_text(net)
    lab.new({**QUICK, "model": "net.py:Net"})
    kept = predictions.read(lab.run("e0001"))
    val = build(lab, lab.experiment("e0001"), 42, download=False, watcher=Silent()).data.val
    assert lab.trained("e0001").probabilities(val.take(torch.arange(len(val)))[0]).argmax(1).tolist() == kept.predicted_N.tolist()


def test_the_weights_that_the_end_of_a_run_names_are_taken(lab):
    lab.new(QUICK)
    run = lab.run("e0001")
    other = run.end["best_epoch"] % 3 + 1  # as where the best weights were lost, and another epoch is the best of those that came
    (best,) = (run.folder / "checkpoints").glob("best-*.pth")
    for path in (best, best.with_suffix(".sha256")):
        path.rename(path.with_name(f"best-{other:05d}{path.suffix}"))
    lines = (run.folder / "record.jsonl").read_bytes().splitlines(keepends=True)
    end = json.loads(lines[-1])
    end.pop("crc")
    (run.folder / "record.jsonl").write_bytes(b"".join(lines[:-1]) + records.encode(end | {"best_epoch": other, "best_val_acc": 0.25}))
    assert (lab.trained("e0001").epoch, lab.trained("e0001").val_acc) == (other, 0.25)


def test_a_run_without_its_settings_is_told(lab):
    lab.new({**QUICK, "train.epochs": 1})
    run = lab.run("e0001")
    for damage in (b"{", b'{"settings": {"data": "x"}, "data": {"fingerprint": "x"}}'):
        (run.folder / "effective.json").write_bytes(damage)
        assert not Lab(lab.folder).runs("e0001")[0].on_test
        with pytest.raises(ZhurnalError, match=r"effective.json is missing or damaged"):
            lab.trained("e0001")


def test_the_best_seed_is_asked_or_the_one_that_is_named(lab):
    lab.new({**QUICK, "seeds": [1, 2]})
    runs = {seed: lab.run("e0001", seed) for seed in (1, 2)}
    best = max(runs, key=lambda s: runs[s].best[1])
    assert lab.trained("e0001").seed == best
    assert lab.trained("e0001", 3 - best).seed == 3 - best
    with pytest.raises(ZhurnalError, match="e0001 has no run with seed 7: its runs are 1, 2"):
        lab.trained("e0001", 7)


def test_what_cannot_be_asked(lab):
    lab.new(QUICK)
    with pytest.raises(ZhurnalError, match="e0001 cannot be asked: it has no whole epoch yet; run it"):
        lab.trained("e0001")
    run = lab.run("e0001")
    (best,) = (run.folder / "checkpoints").glob("best-*.pth")
    whole = best.read_bytes()
    best.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ZhurnalError, match="is damaged"):
        lab.trained("e0001")
    best.unlink()
    with pytest.raises(ZhurnalError, match="its weights are not here, and git does not keep them; copy experiments/logs/e0001 from where it ran"):
        lab.trained("e0001")


@pytest.mark.slow
def test_clips_are_given_as_tensors(lab):
    changes = {"data": "moving_shapes", "data.num_clips": 80, "data.clip_length": 4, "model": "frame_average", "train.epochs": 1}
    lab.new({**changes, "train.tensorboard": False, "train.num_threads": 1})
    lab.run("e0001")
    network = lab.trained("e0001")
    assert network.probabilities(torch.zeros(2, *network.image, dtype=torch.uint8)).shape == (2, len(network.classes))
    with pytest.raises(ZhurnalError, match=r"is about clips of 4 frames, not images: give probabilities\(\) clips_NTCHW"):
        network.classify(["a.png"])


def test_the_command(lab, monkeypatch):
    photos(lab.folder / "photos")
    lab.new({"data": "folder", "data.path": "photos", "data.image_size": 8, "train.epochs": 2, "train.tensorboard": False})
    lab.run("e0001")
    monkeypatch.chdir(lab.folder)
    folder = Path("photos/test/light")
    (folder / ".hidden.png").write_text("left out")
    (folder / "notes.txt").write_text("left out")
    done = CliRunner().invoke(cli, ["predict", "e0001", str(folder), "photos/test/dark/3.png", "--top", "2"])
    assert done.exit_code == 0, done.output
    assert "e0001, seed 42, weights of epoch" in done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["file", "class", "probability", "class", "probability"]
    assert len(lines) == 1 + 12 + 1
    assert lines[-1].startswith("photos/test/dark/3.png")
    (folder / "0.png").write_text("no image")
    done = CliRunner().invoke(cli, ["predict", "e0001", str(folder), "--json"])
    assert done.exit_code == 2
    told = json.loads(done.stdout)
    assert [image["problem"] is None for image in told["images"]] == [False] + [True] * 11
    assert set(told["images"][1]["probabilities"]) == {"dark", "light"}
    assert "error: photos/test/light/0.png: is no JPEG" in done.stderr
    (lab.folder / "empty").mkdir()
    assert "no images in empty" in CliRunner().invoke(cli, ["predict", "e0001", "empty"]).output
