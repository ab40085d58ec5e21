"""Each benchmark runs, on few images, and writes a page; peers whose packages are not installed are left out (`ZHURNAL_PEER_PYTHON` names a Python
that has them)."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
PEERS = os.environ.get("ZHURNAL_PEER_PYTHON", sys.executable)


@pytest.fixture
def measure(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("measure")


def output(*arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, cwd=FOLDER.parent)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pipeline", "logged_steps"])
def test_against_peers(name):
    page = output(f"benchmarks/{name}.py", "--quick", "--peer-python", PEERS)
    assert "--peer-python PATH" in page
    assert PEERS not in page
    assert "| Zhurnal " in page


@pytest.mark.slow
def test_lenet_against_each_peer():
    page = output("benchmarks/lenet.py", "--quick", "--peer-python", PEERS)
    rows = [line.split("|")[1].strip() for line in page.splitlines() if line.endswith(" % |") and "`" in line]
    expected = ["Zhurnal"] * 3 + ["reference loop", "reference loop, 2 workers", "reference loop"]
    assert rows[:6] == expected
    for package, name in (("lightning", "Lightning, Zhurnal's batches"), ("keras", "Keras on torch, in memory")):
        installed = subprocess.run([PEERS, "-c", f"import {package}"], capture_output=True, check=False).returncode == 0
        assert (name in rows) == installed, f"{package}: measured when installed, and only then"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["memory", "overhead"])
def test_zhurnal_alone(name):
    page = output(f"benchmarks/{name}.py", "--quick")
    assert "## " not in page
    assert "| missed |" in page or "| reached |" in page


@pytest.mark.slow
def test_steps():
    page = output("benchmarks/steps.py", "--quick")
    kinds = [line.split("|")[3].strip() for line in page.splitlines() if line.startswith("| float32 | 1 |")]
    assert kinds == ["product of 1024 x 1024", "product of 1536 x 1536", "product of 2048 x 2048", "3x3 convolution of 256 channels"]
    for network in ("lenet", "airnet", "vgg_bn", "resnet18"):
        assert f"| {network} | float32 | 1 |" in page


@pytest.mark.slow
def test_transforms():
    assert "| `augment_simple` |" in output("benchmarks/transforms.py", "--rounds", "1", "--batch", "8")


@pytest.mark.slow
def test_observations():
    assert "| onset of rising loss, steady rise, 80 epochs: mean error |" in output("benchmarks/simulated_journals.py", "--quick")
    assert "(CPU)." in output("benchmarks/observations_speed.py", "--runs", "2", "--epochs", "15", "--images", "50")


@pytest.mark.slow
def test_zhurnal_in_trouble():
    page = output("benchmarks/trouble.py", "--quick", "--alone")
    lost = [line.split("|")[4:7] for line in page.splitlines() if line.startswith("| Zhurnal | 2 |")]
    assert lost == [[" 0 ", " 0 of 2 ", " 0 "]]
    assert page.count("| yes | 1 |") == 1
    assert "equal to the byte: 1 of 1." in page
    assert "equal to the bit: reached." in page


FORGETFUL = """
import json, random, sys, time
from contextlib import contextmanager
sys.path.insert(0, {peers!r})
import resumes, writers

@contextmanager
def opened(folder):
    with (folder / "log").open("w") as file:  # Python writes when its buffer is full
        yield lambda step: file.write(f"{{step}}\\n")

def stored(folder):
    return [(int(line), float(line)) for line in (folder / "log").read_text().split()]

def train(folder, tell, seed):
    draw = random.Random(seed())  # the same again for what goes on
    found = sorted(folder.glob("at-*"))
    for step in range(1 + int(found[-1].name[3:]) if found else 1, resumes.STEPS + 1):
        tell(step, draw.random())
        (folder / f"at-{{step:03d}}").touch()
    return {{"final weights": str(draw.getstate())}}

resumes.PAUSE = 0.01
if "kill" in sys.argv:
    writers.main([writers.Writer("forgetful", opened, stored)], lambda folder: None)
else:
    resumes.main({{"forgetful": lambda *a: train(*a, seed=lambda: 0), "never the same": lambda *a: train(*a, seed=time.time_ns)}})
"""


@pytest.mark.slow
def test_trouble_sees_what_is_lost(tmp_path):
    script = tmp_path / "forgetful.py"
    script.write_text(FORGETFUL.format(peers=str(FOLDER / "peers")))
    for line in output(str(script), "kill", "--folder", str(tmp_path), "--trials", "2", "--seconds", "0.2").splitlines():
        assert (trial := json.loads(line))["lost"] == trial["acknowledged"] > 0
    pair, trial, never = map(json.loads, output(str(script), "--trials", "1").splitlines())
    assert pair["equal"]
    assert trial["steps"] == trial["differ"] > 0
    assert not trial["same"]["final weights"]
    assert not never["equal"], "and nothing is said of its trials"


BUSY = "import time\nt = time.process_time()\nwhile time.process_time() - t < {}: pass\n"


@pytest.mark.slow
def test_the_cost_of_an_epoch_includes_processes_below_and_not_the_first(measure):
    code = f"import subprocess, sys\n{BUSY.format(0.3)}print('epoch 1/3', flush=True)\ntime.sleep(0.5)\n"  # until that is read
    code += f"subprocess.run([sys.executable, '-c', {BUSY.format(0.4)!r}])\n{BUSY.format(0.2)}print('epoch 2/3', flush=True)\n"
    busy = BUSY.format(0.4) + "print(flush=True)\ntime.sleep(600)"
    code += f"child = subprocess.Popen([sys.executable, '-c', {busy!r}], stdout=subprocess.PIPE)\nchild.stdout.readline()\n"
    code += "print('epoch 3/3', flush=True)\nchild.kill(); child.wait()"
    watched = measure.watch([sys.executable, "-c", code])
    assert [mark.epoch for mark in watched.marks] == [1, 2, 3]
    cpu, _ = watched.per_epoch()
    assert cpu >= 0.48, "half of 0.4 + 0.2 of the second epoch and 0.4 of the third, less hundredths that are cut off"
    assert watched.cpu - 2 * cpu >= 0.28, "the first epoch does not count"


@pytest.mark.slow
def test_peak_memory_is_that_of_all_processes_at_once(measure):
    hold = "import time; held = b'x' * 100_000_000; time.sleep(3)"
    code = f"import subprocess, sys; p = [subprocess.Popen([sys.executable, '-c', {hold!r}]) for _ in range(2)]; [c.wait() for c in p]"
    assert 200e6 < measure.watch([sys.executable, "-c", code], memory=True).peak_bytes < 400e6


def test_a_program_that_fails_is_told(measure):
    with pytest.raises(SystemExit, match="no such thing"):
        measure.watch([sys.executable, "-c", "raise ValueError('no such thing')"])


def test_all_programs_get_the_same_images(measure, tmp_path):
    from PIL import Image

    for part, num in (("train", 4), ("test", 2)):
        for number in range(num):
            path = tmp_path / "photos" / part / "ab"[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), (number, 0, 10 * (part == "test"))).save(path)
    held = np.load(measure.write_arrays(tmp_path / "photos", tmp_path / "images.npz", 4, 2))
    assert held["train_images"][:, 0, 0, 0].tolist() == [0, 2, 1, 3]
    assert held["train_labels"].tolist() == [0, 0, 1, 1]
    assert held["test_images"][:, 0, 0, 2].tolist() == [10, 10]
    noise = np.load(measure.write_arrays(None, tmp_path / "noise.npz", 40, 20))
    assert noise["train_images"].shape == (40, 32, 32, 3)
    assert np.bincount(noise["test_labels"]).tolist() == [2] * 10


def test_a_page_names_no_path(measure, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["benchmarks/lenet.py", "--data", "/home/me/x.zip", "--peer-python=/home/me/python", "--rounds", "3"])
    assert measure.command() == "python benchmarks/lenet.py --data PATH --peer-python=PATH --rounds 3"


def test_every_benchmark_is_in_the_table():
    table = (FOLDER / "README.md").read_text()
    for path in FOLDER.glob("*.py"):
        assert path.name in table, path.name
    assert not {p.stem for p in FOLDER.glob("*.py")} & sys.stdlib_module_names, "a script's folder comes first on its path"


@pytest.mark.slow
def test_the_guard_fails_where_a_ratio_fell(measure, monkeypatch, tmp_path, capsys):
    guard = importlib.import_module("guard")
    assert set(json.loads(guard.STORED.read_text())["ratios"]) == set(guard.RATIOS)
    name = "JSON lines / record"
    for stored, status in ((0.01, 0), (100.0, 1)):
        (tmp_path / "guard.json").write_text(json.dumps({"ratios": {name: stored}}))
        monkeypatch.setattr(guard, "STORED", tmp_path / "guard.json")
        monkeypatch.setattr(sys, "argv", ["guard.py", "--only", name])
        if status:
            with pytest.raises(SystemExit, match="1"):
                guard.main()
        else:
            guard.main()
        assert ("| fell |" if status else "| held |") in capsys.readouterr().out
    (tmp_path / "guard.json").write_text(json.dumps({"ratios": {"another": 3.0, name: 100.0}}))
    monkeypatch.setattr(sys, "argv", ["guard.py", "--only", name, "--write", "--rounds", "1"])
    guard.main()
    stored = json.loads((tmp_path / "guard.json").read_text())["ratios"]
    assert stored["another"] == 3.0, "what was not measured stays"
    assert stored[name] < 100


@pytest.mark.slow
def test_real_seeds_take_up_a_lab(tmp_path):
    arguments = ("benchmarks/real_seeds.py", "--quick", "--lab", str(tmp_path / "lab"))
    page = output(*arguments)
    assert "| seeds of e0001 | 1 | 15 |" in page
    assert "| seeds of e0002 | 3 | 10 |" in page
    assert "| e0001 and e0002, equal | 1 | 36 |" in page
    assert "| e0001 and e0002, equal | 6 | 1 |" in page
    assert "Supported or strong among runs that do not differ: 0 of 137 comparisons; must be 0." in page
    records = {p: p.stat().st_mtime_ns for p in (tmp_path / "lab").rglob("record.jsonl")}
    assert len(records) == 24
    assert output(*arguments).splitlines()[5:] == page.splitlines()[5:]
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "lab").rglob("record.jsonl")} == records
