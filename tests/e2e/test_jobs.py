"""Several runs at once, in real processes: equal results, Ctrl-C, kills of a run and of the queue, order, failures."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from zhurnal.api import Lab
from zhurnal.core.errors import RunError
from zhurnal.jobs.plan import plan, threads_of_each
from zhurnal.store import files, record, runs

pytestmark = pytest.mark.slow

QUICK = {"data": "digits", "train.epochs": 2, "train.batch_size": 100, "train.log_every": 5, "train.tensorboard": False}
# Steps that take their time while a file `slow` lies in the lab, so that something can happen in the middle however fast the machine is.
SLOW = """
import time
from pathlib import Path
from torch import nn

class Net(nn.Module):
    def __init__(self, image, num_classes):
        super().__init__()
        self.layer = nn.Linear(image[0] * image[1] * image[2], num_classes)

    def forward(self, images_NCHW):
        if self.training and Path("slow").exists():
            time.sleep(0.2)
        return self.layer(images_NCHW.flatten(1))
"""
LONG = {**QUICK, "train.epochs": 12, "model": "slow_net.py:Net"}


def make_lab(folder: Path, *experiments: dict) -> Lab:
    """Make a lab with these experiments, each given as changes; `continues` in them is what it continues."""
    lab = Lab(Lab.init(folder).folder)
    (folder / "slow_net.py").write_text(SLOW)
    for changes in experiments:
        changes = dict(changes)
        lab.new(changes, continues=changes.pop("continues", None))
    return lab


STARTED: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def ended():
    """Leave no process behind, whatever fails; the runs of a queue that is killed stop by themselves."""
    yield
    while STARTED:
        with STARTED.pop() as process:
            process.kill()


def start(lab: Lab, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "zhurnal", "run", *arguments]
    STARTED.append(subprocess.Popen(command, cwd=lab.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    return STARTED[-1]


def finish(process: subprocess.Popen[str], status: int) -> tuple[str, str]:
    out, err = process.communicate(timeout=900)
    assert process.returncode == status, f"{process.returncode}\n{out}\n{err}"
    return out, err


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str] | None = None) -> None:
    deadline = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.02)


def has_trained(lab: Lab, name: str, seed: int = 42) -> bool:
    path = lab.run_folder(name, seed) / "record.jsonl"
    return path.exists() and path.stat().st_size > 0


def process_of(lab: Lab, name: str, seed: int = 42) -> int:
    return int(re.match(r"process (\d+)", (lab.run_folder(name, seed) / "lock").read_text())[1])


def is_alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    if not Path("/proc/self/stat").exists():
        return True
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"  # one that nobody has waited for is dead
    except OSError:  # it ended just now
        return False


def outcome(lab: Lab, keys: list[tuple[str, int]]) -> list[object]:
    """Return the records, to the byte, and the hashes of the best weights."""
    assert all(runs.read(lab.logs, *key).finished for key in keys)
    return [(runs.folder(lab.logs, *key) / "record.jsonl").read_bytes() for key in keys] + [
        files.sha256(lab.logs / f"{name}_model_best.pth") for name in sorted({n for n, _ in keys})
    ]


def one_after_the_other(folder: Path, keys: list[tuple[str, int]], *experiments: dict) -> list[object]:
    """Return the outcome of the same runs in this process, with the one thread that runs so short take."""
    lab = make_lab(folder, *({**e, "train.num_threads": 1} for e in experiments))
    for key in keys:
        lab.run(*key)
    return outcome(lab, keys)


def test_two_at_once_give_what_one_after_the_other_gives(tmp_path):
    experiments = ({**QUICK, "seeds": [1, 2]}, {"continues": "e0001", "optimizer.lr": 0.002})
    keys = [("e0001", 1), ("e0001", 2), ("e0002", 1), ("e0002", 2)]
    lab = make_lab(tmp_path / "lab", *experiments)
    heard: list[tuple[str, str]] = []
    # given in the wrong order: what continues another waits for it
    found = lab.run_all(["e0002", "e0001"], jobs=2, hear=lambda job, line: heard.append((job.label, line["kind"])))
    assert [(run.experiment, run.seed, run.status) for run in found] == [(*key, "finished") for key in keys[2:] + keys[:2]]
    assert [(run.effective["num_threads"], run.effective["settings"]["train"]["num_threads"]) for run in found] == [(1, 0)] * 4
    for seed in (1, 2):
        assert heard.index((f"e0001 seed {seed}", "end")) < heard.index((f"e0002 seed {seed}", "start"))
    assert heard.index(("e0001 seed 2", "start")) < heard.index(("e0001 seed 1", "end")), "the first two were not at once"
    assert sorted(label for label, kind in heard if kind == "begin") == sorted(f"{n} seed {s}" for n, s in keys)
    assert outcome(lab, keys) == one_after_the_other(tmp_path / "serial", keys, *experiments)
    heard.clear()
    assert len(lab.run_all(["e0001", "e0002"], jobs=3, hear=lambda job, line: heard.append((job.label, line["kind"])))) == 4
    assert {kind for _, kind in heard} == {"end"}, "what is finished starts no process"


def test_ctrl_c_stops_all_and_the_same_command_goes_on_to_the_same_end(tmp_path):
    lab = make_lab(tmp_path / "lab", {**LONG, "seeds": [1, 2, 3]})
    (lab.folder / "slow").touch()
    keys = [("e0001", seed) for seed in (1, 2, 3)]
    process = start(lab, "e0001", "--jobs", "2")
    wait_for(lambda: has_trained(lab, "e0001", 1) and has_trained(lab, "e0001", 2), process)
    workers = [process_of(lab, "e0001", seed) for seed in (1, 2)]
    process.send_signal(signal.SIGINT)
    out, err = finish(process, 130)
    assert "Ctrl-C: the runs save their state and stop" in out
    for seed in (1, 2):
        assert re.search(rf"e0001 seed {seed} interrupted at step \d+ \(epoch \d+ of \d+\) \(Ctrl-C\)", err)
    assert "1 run had not begun\n`zhurnal run e0001 --jobs 2` goes on from there" in err
    assert "Traceback" not in out + err
    assert not any(map(is_alive, workers))
    assert [run.status for run in lab.runs("e0001")] == ["interrupted", "interrupted"]
    for seed in (1, 2):
        stops = [e for e in record.read(lab.run_folder("e0001", seed) / "events.jsonl")[0] if e["kind"] == "stop"]
        assert len(stops) == 1
        assert stops[0]["step"] > 0
        assert list((lab.run_folder("e0001", seed) / "checkpoints").glob("state-*.pt"))
    (lab.folder / "slow").unlink()
    out, _ = finish(start(lab, "e0001", "--jobs", "2"), 0)
    assert "goes on from epoch" in out
    assert outcome(lab, keys) == one_after_the_other(tmp_path / "serial", keys, {**LONG, "seeds": [1, 2, 3]})


def test_a_run_that_is_killed_stops_only_those_that_start_from_it(tmp_path):
    experiments = (LONG, LONG, {**QUICK, "model": LONG["model"], "model.weights": "e0001:best"}, QUICK)
    lab = make_lab(tmp_path / "lab", *experiments)
    (lab.folder / "slow").touch()
    process = start(lab, "e0001-e0004", "--jobs", "2")
    wait_for(lambda: has_trained(lab, "e0001"), process)
    os.kill(process_of(lab, "e0001"), signal.SIGKILL)
    (lab.folder / "slow").unlink()
    _, err = finish(process, 2)
    assert "error: e0001: its process was killed by signal 9 (SIGKILL)" in err
    assert "error: e0003: not run: it starts from e0001, which failed" in err
    assert "1 run failed: e0001; 1 run not begun: e0003" in err
    assert [lab.runs(n)[0].status for n in ("e0001", "e0002", "e0004")] == ["interrupted", "finished", "finished"]
    assert lab.runs("e0003") == []
    listed = subprocess.run([sys.executable, "-m", "zhurnal", "ls"], cwd=lab.folder, capture_output=True, text=True).stdout
    assert re.search(r"e0001 .*interrupted at step \d+", listed)
    finish(start(lab, "e0001-e0004", "--jobs", "2"), 0)
    keys = [(f"e000{n}", 42) for n in (1, 2, 3, 4)]
    assert outcome(lab, keys) == one_after_the_other(tmp_path / "serial", keys, *experiments)


def test_runs_stop_and_save_when_their_queue_is_killed(tmp_path):
    lab = make_lab(tmp_path / "lab", {**QUICK, "train.epochs": 5000, "train.checkpoint_seconds": 1000})
    process = start(lab, "e0001", "--seeds", "2", "--jobs", "2")
    wait_for(lambda: has_trained(lab, "e0001", 42) and has_trained(lab, "e0001", 43), process)
    workers = [process_of(lab, "e0001", seed) for seed in (42, 43)]
    process.kill()
    wait_for(lambda: not any(map(is_alive, workers)))
    for run in lab.runs("e0001"):
        assert run.status == "interrupted"
        assert "its queue is gone" in run.reason
        assert list((run.folder / "checkpoints").glob("state-*.pt"))


STUCK = """
import time
from torch import nn

class Net(nn.Module):
    def __init__(self, image, num_classes):
        super().__init__()
        self.layer = nn.Linear(image[0] * image[1] * image[2], num_classes)

        if DURING == "build":
            self.stick()

    def stick(self):
        print("stuck", flush=True)
        time.sleep(600)

    def forward(self, images_NCHW):
        if self.training and len(images_NCHW) == 100:  # a batch, not the trial of the network before
            self.stick()
        return self.layer(images_NCHW.flatten(1))
"""


def stuck(lab: Lab, during: str) -> subprocess.Popen[str]:
    """Return a queue whose two runs hang, while their network is built or in a step."""
    (lab.folder / "my_net.py").write_text(f"DURING = {during!r}\n{STUCK}")
    lab.new({**QUICK, "model": "my_net.py:Net", "seeds": [1, 2]})
    process = start(lab, "e0001", "--jobs", "2")
    told = ""
    while told.count(": stuck") < 2:
        told += (line := process.stdout.readline())
        assert line, told + process.stderr.read()
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "killed"])
def test_runs_that_have_not_begun_to_train_stop_too(tmp_path, number):
    lab = Lab(Lab.init(tmp_path / "lab").folder)
    process = stuck(lab, "build")
    workers = [process_of(lab, "e0001", seed) for seed in (1, 2)]
    process.send_signal(number)
    _, err = process.communicate(timeout=600)
    wait_for(lambda: not any(map(is_alive, workers)))
    assert [run.status for run in lab.runs("e0001")] == ["waiting", "waiting"]
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert err == "2 runs had not begun\n`zhurnal run e0001 --jobs 2` goes on from there\n"


def test_a_second_ctrl_c_ends_at_once(tmp_path):
    lab = Lab(Lab.init(tmp_path / "lab").folder)
    process = stuck(lab, "a step")
    workers = [process_of(lab, "e0001", seed) for seed in (1, 2)]
    process.send_signal(signal.SIGINT)
    while "Ctrl-C again ends" not in (line := process.stdout.readline()):
        assert line, process.stderr.read()
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = finish(process, 130)
    assert err.strip() == "stopped"
    assert not any(map(is_alive, workers))
    assert [run.status for run in lab.runs("e0001")] == ["interrupted", "interrupted"]


BROKEN = {
    "crash.py": "import os, signal\nfrom torch import nn\n\nclass Net(nn.Module):\n    def __init__(self, image, num_classes):\n"
    "        super().__init__()\n        print('here it comes', end='')\n        os.kill(os.getpid(), signal.SIGSEGV)\n",
    "absent.py": "import no_such_module\n\nclass Net:\n    pass\n",
    "leave.py": "import os\n\nclass Net:\n    def __init__(self, image, num_classes):\n        os._exit(3)\n",
}


def test_each_way_to_fail_is_told_and_stops_no_other(tmp_path):
    lab = Lab(Lab.init(tmp_path / "lab").folder)
    for name, text in BROKEN.items():
        (lab.folder / name).write_text(text)
        lab.new({**QUICK, "model": f"{name}:Net"})
    lab.new(QUICK)
    out, err = finish(start(lab, "e0001-e0004", "--jobs", "4"), 1)
    assert "error: e0001: its process was killed by signal 11 (SIGSEGV)" in err
    assert "e0001: here it comes" in out
    assert "Fatal Python error: Segmentation fault" in out
    assert re.search(r"error: e0002: .*no_such_module", err)
    assert "error: e0003: its process ended with status 3; what it printed tells more" in err
    assert "e0004: best val. acc." in out
    assert "3 runs failed: e0001, e0002, e0003" in err
    assert [r.status for n in lab.names() for r in lab.runs(n)] == ["waiting", "failed", "waiting", "finished"]
    with pytest.raises(RunError, match=r"1 of 2 runs did not finish: e0002 failed: .*no_such_module"):
        lab.run_all(["e0002", "e0004"], jobs=2)


def test_a_run_goes_on_with_the_threads_it_began_with(tmp_path):
    began = threads_of_each(2) + 1
    lab = make_lab(tmp_path / "lab", {**LONG, "train.num_threads": began, "seeds": [1, 2]})
    (lab.folder / "slow").touch()
    process = start(lab, "e0001", "--jobs", "2")
    wait_for(lambda: has_trained(lab, "e0001", 1) and has_trained(lab, "e0001", 2), process)
    process.send_signal(signal.SIGTERM)
    _, err = finish(process, 130)
    assert "(SIGTERM)" in err
    (lab.folder / "slow").unlink()
    path = lab.file("e0001")
    path.write_text(path.read_text().replace(f"num_threads: {began}", "num_threads: 0"))
    lab = Lab(lab.folder)
    assert [job.takes for job in plan(lab, ["e0001"], at_once=2)] == [began, began]
    for run in lab.run_all(["e0001"], jobs=2):
        starts = [e for e in record.read(run.folder / "events.jsonl")[0] if e["kind"] == "start"]
        assert [e["num_threads"] for e in starts] == [began, began]
