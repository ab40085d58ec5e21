"""What `run --jobs` shows: on terminals of several widths, and in a file."""

import io

import pytest
from rich.console import Console

from helpers_runs import make_run
from zhurnal.api import Lab
from zhurnal.cli.several import View, _tell_threads
from zhurnal.core.stop import Stop
from zhurnal.jobs.plan import plan
from zhurnal.jobs.worker import Outcome
from zhurnal.store import lab as store


def show(folder, *, width: int, terminal: bool, capsys) -> tuple[str, str]:
    """Return what is printed, and the last bars, of a queue of which one run trains, one fails, and one is not begun."""
    lab = Lab(store.Lab.init(folder).folder)
    lab.new({"model": "lenet", "data": "digits", "train.epochs": 3, "seeds": [1, 2]}, question="Is [this] it?")
    lab.new({"seeds": [1]}, continues="e0001")
    first, second, third = jobs = plan(lab, ["e0001", "e0002"], at_once=2)
    text = io.StringIO()
    console = Console(file=text, width=width, force_terminal=terminal, color_system=None, legacy_windows=False, soft_wrap=True)
    view = View(lab, jobs, console, False, Stop())
    with view.progress:
        for job in (first, second):
            view.hear(job, {"kind": "start"})
            view.hear(job, {"kind": "progress", "task": "decoding images", "done": 3, "total": 10})
        for _ in range(2):
            view.hear(second, {"kind": "progress", "task": "waiting for a process that decodes the same data", "done": 0, "total": 1})
        view.hear(first, {"kind": "begin", "epochs": 3, "batches": 10, "epoch": 1, "batch": 2})
        view.hear(first, {"kind": "phase", "name": "training"})
        view.hear(first, {"kind": "step", "epoch": 1, "batch": 3, "loss": None, "speed": 1234.5})
        view.hear(first, {"kind": "step", "epoch": 1, "batch": 5, "loss": 1.25, "speed": 1234.5})
        view.hear(first, {"kind": "row", "row": {"kind": "epoch", "epoch": 2, "val_acc": 0.625}})
        view.hear(first, {"kind": "row", "row": {"kind": "end"}})
        view.hear(first, {"kind": "note", "text": "[bold]a note"})
        view.hear(second, {"kind": "printed", "text": "printed by a network"})
        view.progress.refresh()
        bars = Console(file=io.StringIO(), width=width, record=True)
        bars.print(view.progress.get_renderable())
        make_run(lab, "e0001", 1, epochs=3)
        view.hear(first, {"kind": "end", "outcome": Outcome(first, "finished")})
        view.hear(second, {"kind": "end", "outcome": Outcome(second, "failed", "out of\nluck")})
        view.hear(third, {"kind": "end", "outcome": Outcome(third, "not run", "it starts from e0001 seed 1, which failed")})
    return text.getvalue() + capsys.readouterr().err, bars.export_text()


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_terminal_shows_a_line_for_each_run(tmp_path, width, capsys):
    told, bars = show(tmp_path / "lab", width=width, terminal=True, capsys=capsys)
    assert "e0001 seed 1" in bars
    assert ("loss 1.2500  val. acc. 62.50" in bars) is (width > 70)
    assert ("1,234 img/s" in bars) is (width > 100)
    if width > 70:
        assert "epoch 2/3" in bars
        assert "0 of 3" in bars
    assert "a note" in told


def test_a_file_gets_beginnings_ends_and_notes(tmp_path, capsys):
    told, _ = show(tmp_path / "lab", width=80, terminal=False, capsys=capsys)
    assert told.splitlines()[:7] == [
        "e0001 seed 1: begins: Is [this] it?",
        "e0001 seed 2: begins: Is [this] it?",
        "e0001 seed 2: waiting for a process that decodes the same data",
        "e0001 seed 1: goes on from epoch 2, step 12",
        "e0001 seed 1: [bold]a note",
        "e0001 seed 2: printed by a network",
        "e0001 seed 1: best val. acc. 26.96 at epoch 3 of 3, 14.3 s an epoch",
    ]
    assert told.splitlines()[7:] == [
        "error: e0001 seed 2: out of",
        "error: e0001 seed 2: luck",
        "error: e0002: not run: it starts from e0001 seed 1, which failed",
    ]


def test_more_threads_than_cores_are_told(tmp_path, monkeypatch):
    from zhurnal.cli import several
    from zhurnal.jobs import plan as planning

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    lab = store.Lab.init(tmp_path / "lab")
    lab.new({"seeds": [1, 2, 3]})
    lab.new({"train.num_threads": 2}, parent="e0001")

    def told(names: list[str], at_once: int, cores: int) -> str:
        for module in (planning, several):
            monkeypatch.setattr(module, "cores", lambda: cores)
        text = io.StringIO()
        _tell_threads(plan(Lab(lab.folder), names, at_once=at_once), at_once, Console(file=text, width=200))
        return text.getvalue()

    assert told(["e0001"], 2, 4) == "2 at once, 2 processor threads each\n"
    assert told(["e0001"], 3, 2).splitlines()[1] == "note: at once they take up to 3 threads on 2 cores: they take turns"
    assert "up to 4 threads on 2 cores: train.num_threads=0 gives each its part" in told(["e0001", "e0002"], 2, 2)


def test_an_experiment_that_is_gone_by_now_stops_nobody(tmp_path):
    lab = Lab(store.Lab.init(tmp_path / "lab").folder)
    lab.new({"model": "lenet", "data": "digits"}, question="Is it?")
    (job,) = plan(lab, ["e0001"], at_once=2)
    text = io.StringIO()
    view = View(lab, [job], Console(file=text), True, Stop())
    lab.file("e0001").unlink()
    view.hear(job, {"kind": "start"})
    view.hear(job, {"kind": "end", "outcome": Outcome(job, "failed", "e0001 does not exist")})
    assert "begins: no question" in text.getvalue()
