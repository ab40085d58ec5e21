"""The way of a clip from a setting to a page: trained, stopped and resumed exactly, compared, written; and that it learns motion."""

from pathlib import Path

import numpy as np
import pytest
import torch

from helpers_video import write_gif
from zhurnal.api import Lab
from zhurnal.core.errors import RunError, SettingsError
from zhurnal.train.data import prepare
from zhurnal.train.look import images_of, look
from zhurnal.train.run import Interrupted, Stop
from zhurnal.train.watch import Silent

EXAMPLE = Path(__file__).parents[2] / "examples" / "moving-shapes"
QUICK = {
    "data": "moving_shapes",
    "data.num_clips": 160,
    "data.image_size": 16,
    "data.clip_length": 4,
    "data.channels": 3,
    "data.transform": "augment",
    "model": "r2plus1d",
    "model.width": 4,
    "optimizer": "adam",
    "train.epochs": 2,
    "train.batch_size": 16,
    "train.log_every": 2,
    "train.num_threads": 1,
    "train.tensorboard": False,
}


@pytest.fixture
def lab(tmp_path):
    return Lab(Lab.init(tmp_path / "lab").folder)


class StopAt(Silent):
    """Asks to stop after so many steps."""

    def __init__(self, steps):
        self.left, self.ask = steps, Stop()

    def step(self, epoch, batch, images, lr):
        self.left -= 1
        if self.left == 0:
            self.ask()


def stopped_and_resumed(lab, name, *steps):
    for number in steps:
        watcher = StopAt(number)
        with pytest.raises(Interrupted):
            lab.run(name, watcher=watcher, stop=watcher.ask)
    return lab.run(name)


def test_a_run_stopped_and_resumed_has_the_record_of_one_left_alone(lab):
    lab.new(QUICK)
    lab.new({}, parent="e0001")
    alone, resumed = lab.run("e0001"), stopped_and_resumed(lab, "e0002", 3, 7)
    assert resumed.finished
    assert len(alone.iters) == 8
    assert (alone.folder / "record.jsonl").read_bytes() == (resumed.folder / "record.jsonl").read_bytes()
    assert alone.effective["data"]["image"] == [4, 3, 16, 16]
    assert "decoder" not in alone.effective["data"]


def test_clips_of_one_s_own_streamed_and_resumed_are_those_in_memory(lab):
    for name in ("left", "right"):
        for i in range(14):
            write_gif(lab.folder / "videos" / name / f"{i}.gif", 6 + i, color=i % 2 == 0)
    own = {"data": "clips", "data.path": "videos", "data.image_size": 16, "data.clip_length": 4, "data.clips_per_video": 2}
    lab.new({k: v for k, v in QUICK.items() if not k.startswith("data")} | own | {"data.transform": "augment"})
    lab.new({"data.storage": "stream"}, parent="e0001")
    memory, streamed = lab.run("e0001"), stopped_and_resumed(lab, "e0002", 4)
    assert memory.end["weights"] == streamed.end["weights"]
    assert memory.effective["data"]["decoder"].startswith("Pillow ")
    assert f"decoded with {memory.effective['data']['decoder']}" in memory.effective["data"]["notes"]


def test_the_entry_says_clips(lab):
    lab.new(QUICK | {"train.epochs": 1})
    lab.run("e0001")
    written = lab.write(["e0001"])
    assert "moving_shapes: 115 training, 13 validation, 32 test clips; 4 classes, clips 4x3x16x16" in written.path.read_text()


def test_what_is_done_for_a_network_is_told_and_written_down(lab):
    class Notes(Silent):
        def __init__(self):
            self.notes = []

        def note(self, text):
            self.notes.append(text)

    small = {"model": "mc3_18", "data.channels": 1, "data.num_clips": 80, "train.epochs": 1}
    lab.new({k: v for k, v in QUICK.items() if k != "model.width"} | small)
    watcher = Notes()
    told = "gray frames are repeated as three channels for the network"
    run = lab.run("e0001", watcher=watcher)
    assert told in watcher.notes
    assert run.effective["model"]["notes"] == [told]


def test_a_network_for_images_is_refused_before_training(lab):
    lab.new({"data": "moving_shapes", "data.num_clips": 80})
    lab.new({"model": "r2plus1d"})
    with pytest.raises(RunError, match=r"set model=frame_average model\.frame_model=lenet"):
        lab.run("e0001")
    with pytest.raises(RunError, match="takes clips of frames, but the data are images of 1x8x8"):
        lab.run("e0002")


def test_clips_are_looked_at_frame_beside_frame(lab):
    lab.new(QUICK | {"data.transform": "augment_simple"})
    found = look(lab, "e0001", count=5)
    assert found.images_NHWC.shape == (5, 16, 4 * 16, 3)
    plain = look(lab, "e0001", count=5, split="val")
    assert sorted(plain.counts["val"].values()) == [3, 3, 3, 4]
    clips_NTCHW, _, _ = prepare_of(lab).val.take(torch.arange(5))
    for t in range(4):
        shown_NHWC = torch.from_numpy(plain.images_NHWC[:, :, 16 * t : 16 * t + 16])
        assert torch.equal(shown_NHWC.permute(0, 3, 1, 2), clips_NTCHW[:, t])
    assert np.array_equal(images_of(lab, "e0001", [3, 0]), plain.images_NHWC[[3, 0]])
    assert len(plain.mean) == 3


def prepare_of(lab):
    return prepare(lab.experiment("e0001").settings.data, root=lab.data, base=lab.folder, cache=lab.cache)


def test_settings_of_video_are_for_video_only(lab):
    with pytest.raises(SettingsError, match=r"data\.clip_length: data has no such setting"):
        lab.new({"data.clip_length": 4})
    with pytest.raises(SettingsError, match=r"data\.clip_stride: data has no such setting"):
        lab.new({"data": "moving_shapes", "data.clip_stride": 4})
    with pytest.raises(SettingsError, match=r"data\.path is missing: data=clips needs data\.path=FOLDER_OR_ZIP"):
        lab.new({"data": "clips"})
    lab.new({"data": "moving_shapes", "data.clip_length": 4, "data.image_size": 20})
    lab.new({"data": "digits", "model": "lenet"}, parent="e0001")
    settings = lab.experiment("e0002").settings.data
    assert settings.image_size == 20
    assert not hasattr(settings, "clip_length")


@pytest.mark.slow
def test_motion_is_learned_with_frames_in_order_and_not_without(lab):
    small = {"data.num_clips": 1600, "data.image_size": 16, "data.clip_length": 6, "data.noise": 0.05, "data.distractors": 0}
    plain = {"data.channels": 1, "data.transform": "init", "optimizer.lr": 0.003, "train.batch_size": 32, "train.epochs": 6}
    lab.new(QUICK | small | plain | {"model.width": 8})
    lab.new({"model": "frame_average"}, parent="e0001")
    lab.new({"data.clip_length": 1}, parent="e0001")
    assert lab.run("e0001").test["test_acc"] > 0.8
    for name in ("e0002", "e0003"):
        assert lab.run(name).test["test_acc"] < 0.25 + 0.1, name  # 320 clips: chance reaches 0.35 once in 30,000 times


def test_the_example_shows_what_it_says():
    lab = Lab(EXAMPLE)
    motion, average, single = (lab.runs(f"e000{i}")[0] for i in (1, 2, 3))
    assert motion.finished
    assert motion.end["best_val_acc"] > 0.95
    assert sum(t["seconds"] for t in motion.times) < 180
    for run in (average, single):
        assert run.finished
        assert run.test["test_acc"] < 0.25 + 0.06  # 600 clips
    text = (EXAMPLE / "journal" / "e0001-e0003.md").read_text()
    assert "clips 8x1x32x32" in text
    assert "<!-- What" not in text
