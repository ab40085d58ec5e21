"""A folder of 2,000 mixed, partly hostile images, by the program itself: it trains under 1 GB, alike however it is read, or names each bad file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import helpers_images
from zhurnal.api import Lab

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")]
# Bytes, beyond those that importing PyTorch takes: about 240 MB of its build for processors, 700 of that for CUDA.
MOST_MEMORY = 700_000_000


# The most memory a process held since it began; rusage would also count what its parent held.
CODE = """
import atexit, re, sys
from zhurnal.cli import main
atexit.register(lambda: print("PEAK", re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1], flush=True))
main(sys.argv[1:])
"""


def zhurnal(lab: Path, *arguments: str) -> tuple[int, str, int]:
    """Run a command; return its status, what it printed, and the most memory it held, in bytes."""
    command = [sys.executable, "-c", CODE, *arguments]
    done = subprocess.run(command, cwd=lab, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ | {"OMP_NUM_THREADS": "1"})
    output, _, peak = done.stdout.decode(errors="replace").rpartition("PEAK ")
    return done.returncode, output, int(peak) * 1024


@pytest.fixture(scope="module")
def imported():
    """The most memory that a process holds which only imports PyTorch, in bytes."""
    code = CODE.replace("from zhurnal.cli import main", "import torch").replace("main(sys.argv[1:])", "")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout.rpartition("PEAK ")[2]) * 1024


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos") / "photos"
    return folder, helpers_images.hostile_folder(folder)


def make_lab(folder: Path, photos: Path, *changes: dict[str, object]) -> Lab:
    lab = Lab.init(folder)
    settings = {"data": f"{photos}/", "data.image_size": 24, "model": "lenet", "train.epochs": 1, "train.num_threads": 1, "train.tensorboard": False}
    for change in changes:
        lab.new(settings | change)
    return Lab(lab.folder)


def test_trains_under_a_gigabyte_and_alike_in_every_way_of_reading(photos, imported, tmp_path):
    folder, made = photos
    ways = [{"data.storage": "memory"}, *({"data.storage": "stream", "data.num_workers": n} for n in (0, 2, 4))]
    lab = make_lab(tmp_path / "lab", folder, *({"data.bad_images": "skip"} | way for way in ways))
    records = []
    for name in lab.names():
        status, output, memory = zhurnal(lab.folder, "run", name, "--quiet")
        assert status == 0, output
        assert "Traceback" not in output
        assert "Warning" not in output
        print(f"{name}: {memory / 1e6:.0f} MB")
        assert memory - imported < MOST_MEMORY, name
        (run,) = lab.runs(name)
        assert run.effective["data"]["num_train"] + run.effective["data"]["num_val"] == len(made.good)
        assert any(f"skipped {len(made.bad)} images" in note for note in run.effective["data"]["notes"])
        records.append((run.folder / "record.jsonl").read_bytes())
    assert len(set(records)) == 1
    assert b'"kind":"end"' in records[0]


def test_stop_names_each_bad_file_and_nothing_else(photos, imported, tmp_path):
    folder, made = photos
    lab = make_lab(tmp_path / "lab", folder, {})
    status, output, memory = zhurnal(lab.folder, "run", "e0001", "--quiet")
    assert status == 2
    assert memory - imported < MOST_MEMORY
    assert f"{len(made.bad)} images cannot be used" in output
    missing = [name for name in made.bad if f"  {name} " not in output]
    assert not missing
    assert not [name for name in made.good if name.isascii() and name.isprintable() and f"  {name} " in output]
    assert "\x1b" not in output
