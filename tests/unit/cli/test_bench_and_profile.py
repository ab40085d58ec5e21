"""`bench` and `run --profile` on the command line: what they print, keep and refuse."""

import json
import os

import click
import pytest

from zhurnal.analyze import bench as figure
from zhurnal.api import Lab
from zhurnal.cli import main, measuring
from zhurnal.train import machine

SMALL = {"data": "digits", "data.subset": 300, "train.epochs": 1, "train.batch_size": 32, "train.num_threads": 1, "train.tensorboard": False}


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)
    lab = Lab(Lab.init(tmp_path / "lab").folder)
    lab.new(SMALL, question="?")
    return lab


def run(capsys, *arguments):
    """Return the exit status of a command, and what it printed."""
    status = 0
    try:
        main(list(arguments))
    except SystemExit as end:
        status = int(end.code or 0)
    printed = capsys.readouterr()
    return status, printed.out, printed.err


@pytest.mark.slow
def test_bench_of_an_experiment_prints_tables_and_keeps_them(lab, capsys):
    status, out, _ = run(capsys, "--lab", str(lab.folder), "bench", "e0001", "--seconds", "1", "--operators")
    assert status == 0
    for text in (
        "peak in float32 on 1 thread",
        "data pipeline:",
        "training step",
        "channels last",
        "where the time of an epoch goes: lenet",
        "backward",
    ):
        assert text in out
    assert "aten::convolution_backward" in out
    kept = lab.cache / "bench"
    assert {p.name for p in kept.iterdir()} == {"e0001.json", "e0001.png", "e0001.svg"}
    held = json.loads((kept / "e0001.json").read_text())
    assert held["complete"]
    assert held["subject"] == "e0001"
    assert lab.runs("e0001") == []


@pytest.mark.slow
def test_bench_as_json_without_a_lab(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(machine, "MODELS", ("lenet",))
    monkeypatch.setattr(machine, "NUM_IMAGES", 600)
    monkeypatch.chdir(tmp_path)
    status, out, _ = run(capsys, "bench", "--seconds", "1", "--json")
    assert status == 0
    assert {s["model"] for s in json.loads(out)["speeds"]} == {"lenet"}
    assert list(tmp_path.iterdir()) == []
    status, out, err = run(capsys, "bench", "--seconds", "1", "--json", "--out", "kept")
    assert json.loads(out)["complete"]
    assert "bench.png (and .svg)" in err
    assert {p.name for p in (tmp_path / "kept").iterdir()} == {"bench.json", "bench.png", "bench.svg"}


def test_bench_that_is_stopped_prints_what_there_is(lab, monkeypatch, capsys):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(machine, "measure_epoch", stopped)
    status, out, _ = run(capsys, "--lab", str(lab.folder), "bench", "e0001", "--seconds", "1")
    assert status == 130
    assert "stopped: this is what was measured before" in out
    assert "data pipeline:" in out
    assert "training step" not in out
    assert not (lab.cache / "bench").exists()


def test_bench_refuses_what_is_not_there(lab, tmp_path, monkeypatch, capsys):
    status, _, err = run(capsys, "--lab", str(lab.folder), "bench", "e0009")
    assert status == 2
    assert "e0009 does not exist" in err
    monkeypatch.chdir(tmp_path)
    status, _, err = run(capsys, "bench", "e0001")
    assert status == 2
    assert "is in no lab" in err


@pytest.mark.parametrize(("width", "shown"), [(40, "lenet 1 NCHW"), (70, "images/s"), (88, "GFLOP/s"), (200, "GFLOP/s")])
def test_tables_fit_the_terminal(monkeypatch, capsys, width, shown):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(width))
    measuring._tell(told(operators=[{"name": "aten::convolution_backward", "calls": 22, "seconds": 0.0258, "share": 0.2}]))
    out = click.unstyle(capsys.readouterr().out)
    tables = out.split("training step")[1].splitlines()[1:]
    assert max(len(line.rstrip()) for line in tables if not line.startswith("where")) <= width
    assert shown in out
    for word in ("lenet", "NCHW", "3,200", "29 %", "metrics and records", "12.5 %", "25.8"):
        assert word in out
    assert "convolution_backward" in out.replace("\n", "") or width == 40


def test_profile_on_the_command_line(lab, capsys):
    lab.new({"train.batch_size": 100}, parent="e0001", question="?")
    folder = ("--lab", str(lab.folder))
    status, out, _ = run(capsys, *folder, "run", "e0001-e0002", "--quiet", "--profile", "4-5")
    assert status == 0
    assert "e0001: steps 4-5 took" in out
    assert "steps-4-5.json.gz: open it in chrome://tracing or ui.perfetto.dev" in out
    assert "forward" in out
    assert "aten::" in out
    assert (lab.run_folder("e0001", 42) / "profile" / "steps-4-5.json.gz").is_file()
    steps = lab.runs("e0002")[0].end["step"]
    assert f"e0002: nothing was profiled: the run has {steps} steps, and steps 4-5 come after them" in out
    status, out, _ = run(capsys, *folder, "run", "e0001", "--profile")
    assert status == 0
    assert "e0001: nothing was profiled: it is finished and does not train again" in out


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["e0001", "--profile", "5"], "--profile 5 names no steps: write the first and the last"),
        (["e0001", "--profile", "10-5"], "--profile 10-5: steps are counted from 1, and the last is not before the first"),
        (["e0001", "--profile", "0-5"], "--profile 0-5: steps are counted from 1"),
        (["e0001", "--profile", "a-b"], "--profile a-b names no steps"),
        (["--profile", "e0001"], "--profile e0001 names no steps"),
        (["e0001", "--profile", "1-5000"], "5,000 of them, must be at most 200"),
    ],
)
def test_what_is_no_window(lab, capsys, words, text):
    status, _, err = run(capsys, "--lab", str(lab.folder), "run", *words)
    assert status == 2
    assert text in err
    assert lab.runs("e0001") == []


def told(**changes):
    step = {"threads": 1, "channels_last": False, "precision": "float32", "batch": 128, "seconds": 0.04, "steps": 3}
    counts = {"steps": 71, "steps_measured": 30, "val": 1000, "val_measured": 400}
    parts = [{"name": name, "seconds": 1.0, "share": 1 / len(figure.PARTS)} for name in figure.PARTS]
    return {
        "machine": {"processor": "Some processor", "device": "cpu", "torch": "2.13"}, "device": "cpu", "cores": 2, "load": 0.5, "notes": [],
        "pipelines": [{"threads": 1, "images_per_second": 25_000.0}], "pipeline_of": "generated images", "operators": [],
        "peaks": [{"device": "cpu", "threads": 1, "gflops": 70.0, "kind": "product of 1024 x 1024", "precision": "float32"}],
        "speeds": [{"model": "lenet", "step": step, "gflops": 20.0, "of_peak": 0.29}],
        "epoch": {"model": "lenet", "threads": 1, "batch": 128, "seconds": 8.0, "parts": parts} | counts,
    } | changes  # fmt: skip


def test_the_figure_shows_what_was_measured_and_is_the_same_each_time(tmp_path):
    png, svg = figure.draw(tmp_path, "bench", told())
    text = svg.read_text()
    for words in (
        "lenet, 1 thread, NCHW",
        "3,200 images/s, 29 %",
        "peak, 1 thread",
        "Where the time of an epoch goes",
        *figure.PARTS,
        "Some processor, 2 cores",
    ):
        assert words in text
    assert "busy" not in text
    first = png.read_bytes(), png.stat().st_mtime_ns
    assert figure.draw(tmp_path, "bench", told()) == [png, svg]
    assert (png.read_bytes(), png.stat().st_mtime_ns) == first
    assert "load 7.0: busy" in figure.draw(tmp_path, "busy", told(load=7.0))[1].read_text()
    only = figure.draw(tmp_path, "only", told(speeds=[], peaks=[]))[1].read_text()
    assert "Training step" not in only
    assert figure.draw(tmp_path, "none", told(speeds=[], epoch=None)) == []


def test_the_parts_of_the_figure_are_those_of_the_loop():
    from zhurnal.train import timing

    assert list(figure.PARTS) == [*timing.STEP, "validation", "checkpoints"]
