"""The range test: what it suggests from curves, and that it leaves everything as it was."""

import numpy as np
import pytest
import torch

from zhurnal.api import Lab
from zhurnal.core import records
from zhurnal.core.errors import SettingsError
from zhurnal.train import lr_find
from zhurnal.train.watch import Silent

LRS = np.logspace(-6, 0, 100)
SMALL = {
    "data": "digits", "data.subset": 200, "train.batch_size": 16, "train.epochs": 3, "train.num_threads": 1, "train.tensorboard": False,
    "optimizer": "adam",
}  # fmt: skip


def curve(falls_at=1e-3, depth=1.5, breaks_at=0.1, noise=0.02, seed=0):
    """A loss that falls about a learning rate and breaks at another."""
    x = np.log10(LRS)
    loss = 2.3 - depth / (1 + np.exp(-4 * (x - np.log10(falls_at)))) + np.exp(np.minimum(8 * (x - np.log10(breaks_at)), 50))
    return loss + noise * np.random.default_rng(seed).standard_normal(len(x))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("falls_at", [1e-4, 1e-3, 5e-3])
def test_the_steepest_place_and_the_minimum_are_found(falls_at, seed):
    losses = curve(falls_at, seed=seed)
    found = lr_find.suggest(LRS, losses, True)
    assert falls_at / 2 < found.steepest < 2 * falls_at
    lowest = LRS[int(np.argmin(lr_find.smoothed(losses)))]
    assert found.tenth == pytest.approx(lowest / 10)
    assert found.note == ""


@pytest.mark.parametrize("seed", range(20))
def test_a_loss_that_only_scatters_gives_no_suggestion(seed):
    flat = 2.3 + 0.2 * np.random.default_rng(seed).standard_normal(100)
    found = lr_find.suggest(LRS, flat, False)
    assert (found.steepest, found.tenth) == (None, None)
    assert found.note.startswith("no suggestion: the loss never fell (from 2.")
    rising = curve(depth=0.0, seed=seed)
    assert lr_find.suggest(LRS, rising, True).steepest is None


def test_what_is_said_of_doubtful_suggestions():
    assert "a larger --max" in lr_find.suggest(LRS, 2.3 - 1.5 / (1 + np.exp(-4 * (np.log10(LRS) + 0.3))), False).note
    broken = np.append(2.3 - 1.5 / (1 + np.exp(-4 * (np.log10(LRS[:-1]) + 0.3))), [np.inf])
    assert "a larger --max" not in lr_find.suggest(LRS, broken, True).note
    assert "close to where the loss breaks" in lr_find.suggest(LRS, curve(falls_at=0.05, breaks_at=0.08, noise=0.0), True).note
    assert "diverged after 4 steps" in lr_find.suggest(LRS[:4], [2.3, 5, 50, np.nan], True).note


def test_smoothing_is_corrected_for_its_beginning():
    assert lr_find.smoothed([2.0, 2.0, 2.0]) == pytest.approx([2, 2, 2])
    assert lr_find.smoothed([1.0, 3.0]) == pytest.approx([1, (0.9 * 1 + 3) / 1.9])
    assert not lr_find.has_diverged([1.0] * 20 + [20.0])
    assert lr_find.has_diverged([1.0] * 20 + [50.0])
    assert lr_find.has_diverged([1.0, float("nan")])


@pytest.fixture
def lab(tmp_path):
    lab = Lab(Lab.init(tmp_path / "lab").folder)
    lab.new(SMALL, question="?")
    lab.new({"optimizer": "muon", "optimizer.head_lr": 0.003, "model": "vgg_bn", "data.image_size": 32}, parent="e0001", question="?")
    return lab


def files(lab):
    return {str(p.relative_to(lab.folder)) for p in lab.folder.rglob("*") if p.is_file() and lab.cache not in p.parents}


class Told(Silent):
    def __init__(self, stop_at=None):
        self.done, self.stop_at = [], stop_at

    def progress(self, task, done, total):
        if task == "range test":
            self.done.append((done, total))
            if done == self.stop_at:
                raise KeyboardInterrupt


def test_a_range_test_leaves_its_rows_and_figure_and_nothing_else(lab):
    torch.manual_seed(7)
    before, generator, threads = files(lab), torch.get_rng_state(), torch.get_num_threads()
    watcher = Told()
    found, figures = lab.lr_find("e0001", steps=40, watcher=watcher)
    assert torch.equal(torch.get_rng_state(), generator)
    assert torch.get_num_threads() == threads
    assert files(lab) - before == {f"journal/fig/e0001_lr_find.{e}" for e in ("png", "svg")} | {"experiments/logs/e0001/lr_find.jsonl"}
    assert [p.name for p in figures] == ["e0001_lr_find.png", "e0001_lr_find.svg"]
    assert lab.runs("e0001") == []
    assert watcher.done[-1] == (40, 40)
    rows, problems, _ = records.decode_all((lab.logs / "e0001" / "lr_find.jsonl").read_bytes())
    assert problems == []
    assert [r["kind"] for r in rows] == ["lr_find", *["iter"] * len(found.lrs), "suggestion"]
    assert (rows[1]["lr"], rows[-2]["loss"]) == (1e-6, found.losses[-1])
    assert rows[0]["settings"]["optimizer"]["name"] == "adam"
    again, _ = lab.lr_find("e0001", steps=40)
    assert again == found


def test_ctrl_c_leaves_nothing(lab):
    before = files(lab)
    with pytest.raises(KeyboardInterrupt):
        lab.lr_find("e0001", steps=40, watcher=Told(stop_at=5))
    assert files(lab) == before


def test_only_rates_that_follow_lr_are_tried(lab, monkeypatch):
    seen = []

    def step(model, optimizer, *_, **__):
        seen.append({g["lr_from"]: g["lr"] for g in optimizer.param_groups})
        return torch.tensor(2.0), torch.tensor(0)

    monkeypatch.setattr(lr_find, "train_step", step)
    lab.lr_find("e0002", steps=20, low=0.01, high=1.0)
    assert [s["lr"] for s in seen] == pytest.approx(np.logspace(-2, 0, 20))
    assert {(s["head_lr"], s["other_lr"]) for s in seen} == {(0.003, 0.001)}


@pytest.mark.parametrize(
    ("options", "text"),
    [({"steps": 5}, "steps is 5, must be at least 20"), ({"low": 1.0, "high": 0.1}, "the learning rates are 1 to 0.1, must rise from above 0")],
)
def test_what_is_no_range(lab, options, text):
    with pytest.raises(SettingsError, match=text):
        lab.lr_find("e0001", **options)


def test_the_figure_shows_the_curve_and_is_the_same_each_time(tmp_path):
    from zhurnal.analyze.lr_find import draw

    losses = np.append(curve(), [np.nan])
    lrs = np.append(LRS, [1.2])
    png, svg = draw(tmp_path / "fig", "e0007", lrs, losses, lr_find.smoothed(losses), steepest=0.00123, tenth=None)
    text = svg.read_text()
    assert "Range test of the learning rate, e0007" in text
    assert "steepest descent: 0.0012" in text
    assert "tenth" not in text
    assert draw(tmp_path / "fig", "e0008", [1.0, 2.0], [np.nan] * 2, [np.nan] * 2, steepest=None, tenth=None) == []
    first = png.read_bytes(), png.stat().st_mtime_ns
    draw(tmp_path / "fig", "e0007", lrs, losses, lr_find.smoothed(losses), steepest=0.00123, tenth=None)
    assert (png.read_bytes(), png.stat().st_mtime_ns) == first


def test_the_command(lab, capsys):
    from zhurnal.cli import main

    main(["--lab", str(lab.folder), "lr-find", "e0001", "--steps", "20", "--max", "1e-5"])
    out = capsys.readouterr().out
    assert "e0001 with seed 42: 20 steps, learning rate from 1e-06, came to 1e-05" in out
    assert "no suggestion: the loss never fell" in out
    assert "e0001_lr_find.png" in out
    with pytest.raises(SystemExit) as end:
        main(["--lab", str(lab.folder), "lr-find", "e0001", "--steps", "2"])
    assert end.value.code == 2


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "muon"])
def test_the_suggestion_trains_well(tmp_path, optimizer):
    lab = Lab(Lab.init(tmp_path / "lab").folder)
    lab.new({**SMALL, "data.subset": None, "train.batch_size": 64, "optimizer": optimizer}, question="?")
    found, _ = lab.lr_find("e0001")
    best = {}
    for factor in (1.0, 1 / 30):
        made = lab.new({"optimizer.lr": found.suggestion.tenth * factor}, parent="e0001", question="?")
        best[factor] = [row["val_loss"] for row in lab.run(made.name).epochs]
    assert np.isfinite(best[1.0]).all()
    assert best[1.0][-1] < 0.9 * best[1 / 30][-1]
    assert best[1.0][-1] < best[1.0][0]


def test_images_are_mixed_as_in_a_run(tmp_path):
    lab = Lab(Lab.init(tmp_path / "lab").folder)
    lab.new(SMALL)
    lab.new({"train.mixup": 1.0}, parent="e0001")
    first, second = (lr_find.find(lab, name, steps=20).losses for name in ("e0001", "e0002"))
    assert first != second
