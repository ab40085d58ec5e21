"""`bench` and `run --profile` in processes: outside a lab, stopped by Ctrl-C, and with nothing of the profiler's library on the terminal."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
CHANGES = ["data=digits", "train.epochs=1", "train.batch_size=32", "train.num_threads=1", "train.tensorboard=false"]


def zhurnal(*arguments, at):
    return subprocess.run([sys.executable, "-m", "zhurnal", *arguments], cwd=at, capture_output=True, text=True, timeout=600, env=ENVIRONMENT)


def test_a_profiled_run_is_the_same_and_says_where_its_trace_is(tmp_path):
    zhurnal("init", "lab", at=tmp_path)
    lab = tmp_path / "lab"
    for _ in range(2):
        assert zhurnal("new", *CHANGES, "-m", "?", at=lab).returncode == 0
    profiled, plain = zhurnal("run", "e0001", "--profile", at=lab), zhurnal("run", "e0002", at=lab)
    assert (profiled.returncode, plain.returncode, profiled.stderr) == (0, 0, "")
    assert "steps-20-30.json.gz: open it in chrome://tracing or ui.perfetto.dev" in profiled.stdout
    first, second = (lab / "experiments" / "logs" / name / "s42" for name in ("e0001", "e0002"))
    assert (first / "record.jsonl").read_bytes() == (second / "record.jsonl").read_bytes()
    assert [p.name for p in (first / "profile").iterdir()] == ["steps-20-30.json.gz"]
    assert not (second / "profile").exists()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks Linux how far the process is")
def test_bench_outside_a_lab_can_be_stopped_and_tells_what_it_measured(tmp_path):
    command = [sys.executable, "-m", "zhurnal", "bench", "--seconds", "600", "--json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, preexec_fn=_hear_ctrl_c, **pipes) as process:
        deadline = time.monotonic() + 300
        while process.poll() is None and time.monotonic() < deadline and not _measuring(process.pid):
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    found = json.loads(out)
    assert not found["complete"]
    assert found["notes"][-1] == "stopped: this is what was measured before"
    assert list(tmp_path.iterdir()) == []


def _hear_ctrl_c():
    """Undo what a shell does to a command in the background, where tests may run."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _measuring(pid):
    """Return whether the process has computed for so long that it must be past its imports, and in the matrix products (72 seconds)."""
    ticks = sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK") > 10
