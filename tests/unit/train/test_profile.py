"""`run --profile`: a trace of the steps asked for, and a record that is the same to the byte as without it."""

import gzip
import json
import os

import pytest

from zhurnal.api import Lab
from zhurnal.core.errors import Interrupted, SettingsError
from zhurnal.train import timing
from zhurnal.train.profile import BETWEEN, LONGEST, Profile
from zhurnal.train.run import Stop
from zhurnal.train.watch import Silent

QUICK = {
    "data": "digits", "data.subset": 400, "train.epochs": 2, "train.batch_size": 32, "train.log_every": 3, "train.num_threads": 1,
    "train.tensorboard": False, "train.checkpoint_seconds": 0.0,
}  # fmt: skip


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)
    lab = Lab(Lab.init(tmp_path / "lab").folder)
    lab.new(QUICK, question="?")
    lab.new({}, parent="e0001", question="the same, not profiled")
    return lab


def record(run):
    return (run.folder / "record.jsonl").read_bytes()


def steps_in(path):
    events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    return sorted({int(e["name"].split()[1]) for e in events if e["name"].startswith("step ") and e.get("cat") == "user_annotation"})


class Notes(Silent):
    def __init__(self):
        self.notes, self.steps = [], 0

    def note(self, text):
        self.notes.append(text)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"train.ema": 0.9, "train.accumulate": 2, "train.mixup": 0.2, "optimizer": "muon", "train.tta": "flip"}])
def test_a_profiled_run_has_the_same_record_and_a_trace(lab, changes):
    lab.new(changes, parent="e0001", question="?")
    lab.new({}, parent="e0003", question="?")
    told = []
    profile = Profile(9, 15, told.append)  # an epoch has 13 steps: validation is in it
    profiled, plain = lab.run("e0003", profile=profile), lab.run("e0004")
    assert record(profiled) == record(plain)
    assert told == [profile.found]
    found = profile.found
    assert found.path == profiled.folder / "profile" / "steps-9-15.json.gz"
    assert (found.first, found.last) == (9, 15)
    assert steps_in(found.path) == list(range(9, 16))
    parts = dict(found.parts)
    assert {*timing.STEP, "validation"} <= parts.keys()
    assert all(seconds > 0 for seconds in parts.values())
    assert found.seconds == pytest.approx(sum(parts.values()))
    operators = {o.name: o for o in found.operators}
    assert operators["aten::convolution_backward"].calls == 7 * 2 * (2 if changes else 1)  # LeNet has two convolutions
    assert BETWEEN in operators
    assert sum(o.share for o in found.operators) == pytest.approx(1)
    assert not any(name.startswith(("step ", "Optimizer.")) or name in parts for name in operators)


def test_a_trace_names_no_machine_and_no_folder_and_its_marks_nest(lab):
    profile = Profile(1, 3)
    lab.run("e0001", profile=profile)
    text = gzip.decompress(profile.found.path.read_bytes()).decode()
    assert "host_name" not in text
    assert "traceName" not in text
    assert str(lab.folder) not in text
    marks = [e for e in json.loads(text)["traceEvents"] if e.get("cat") == "user_annotation" and not e["name"].startswith("Optimizer.")]
    steps = [e for e in marks if e["name"].startswith("step ")]
    assert {e["name"] for e in steps} == {"step 1", "step 2", "step 3"}
    for step in steps:  # a checkpoint cuts a step in two
        inside = [e for e in marks if e is not step and step["ts"] <= e["ts"] < step["ts"] + step["dur"]]
        assert {e["name"] for e in inside} <= set(timing.STEP)
        assert inside[0]["name"] == "waiting for data"
        assert all(e["ts"] + e["dur"] <= step["ts"] + step["dur"] + 1 for e in inside)
    assert list(profile.found.path.parent.iterdir()) == [profile.found.path]


def test_what_cannot_be_printed_does_not_end_the_run(lab):
    def nobody_reads(_):
        raise BrokenPipeError

    watcher = Notes()
    assert lab.run("e0001", profile=Profile(1, 3, nobody_reads), watcher=watcher).finished
    assert "what was profiled could not be printed" in watcher.notes


def test_steps_after_the_end_are_not_profiled(lab):
    profile, watcher = Profile(100, 110), Notes()
    assert record(lab.run("e0001", profile=profile, watcher=watcher)) == record(lab.run("e0002"))
    assert profile.found is None
    assert profile.missed == "nothing was profiled: the run has 26 steps, and steps 100-110 come after them"
    assert profile.missed in watcher.notes


def test_a_window_cut_off_by_the_end_holds_what_there_was(lab):
    profile = Profile(20, 30)
    run = lab.run("e0001", profile=profile)
    assert (profile.found.first, profile.found.last) == (20, 26)
    assert profile.found.path == run.folder / "profile" / "steps-20-26.json.gz"
    assert {"validation", "checkpoints"} <= dict(profile.found.parts).keys()


class StopsAfter(Notes):
    def __init__(self, stop, last):
        super().__init__()
        self.stop, self.last = stop, last

    def step(self, epoch, batch, images, lr):
        self.steps += 1
        if self.steps == self.last:
            self.stop("enough")


def test_resume_before_within_and_after_the_window(lab):
    stop = Stop()
    first = Profile(5, 8)
    with pytest.raises(Interrupted):
        lab.run("e0001", stop=stop, watcher=StopsAfter(stop, 6), profile=first)
    assert (first.found.first, first.found.last) == (5, 6)
    stop, second = Stop(), Profile(5, 8)
    with pytest.raises(Interrupted):
        lab.run("e0001", stop=stop, watcher=StopsAfter(stop, 4), profile=second)  # goes on from step 7
    assert (second.found.first, second.found.last) == (7, 8)
    third = Profile(5, 8)
    run = lab.run("e0001", profile=third)
    assert third.missed == "nothing was profiled: the run goes on from step 11, after steps 5-8"
    assert record(run) == record(lab.run("e0002"))
    assert sorted(p.name for p in (run.folder / "profile").iterdir()) == ["steps-5-6.json.gz", "steps-7-8.json.gz"]
    over = Profile(5, 8)
    lab.run("e0001", profile=over)
    assert (over.found, over.missed) == (None, "")


def test_a_trace_that_cannot_be_written_does_not_end_the_run(lab):
    (lab.run_folder("e0001", 42)).mkdir(parents=True)
    (lab.run_folder("e0001", 42) / "profile").write_text("in the way")
    profile, watcher = Profile(2, 3), Notes()
    assert lab.run("e0001", profile=profile, watcher=watcher).finished
    assert profile.found.path is None
    assert profile.found.operators
    assert any("the trace could not be written to" in n for n in watcher.notes)


def test_early_stopping_before_the_window_is_told(lab):
    lab.new({"train.epochs": 40, "train.early_stopping": 1, "optimizer.lr": 1e-9}, parent="e0001", question="?")
    profile, watcher = Profile(300, 310), Notes()
    run = lab.run("e0003", profile=profile, watcher=watcher)
    assert profile.missed == f"nothing was profiled: the run ended after step {run.end['step']}, before steps 300-310"
    assert watcher.notes[-1] == profile.missed


@pytest.mark.parametrize(
    ("window", "text"),
    [((0, 5), "are 0-5, must rise from 1"), ((7, 5), "are 7-5, must rise"), ((1, LONGEST + 1), "201 of them, must be at most 200")],
)
def test_what_is_no_window(window, text):
    with pytest.raises(SettingsError, match=text):
        Profile(*window)
