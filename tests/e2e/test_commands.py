"""The program in processes, as a user meets it: the whole way, wrong inputs, Ctrl-C, two at once, no room, no network."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
QUICK = ["train.epochs=2", "train.batch_size=100", "train.num_threads=1"]


def zhurnal(*arguments: str, at: Path, status: int = 0, **options) -> subprocess.CompletedProcess[str]:
    """Run a command; it must end with `status` and, unless it is a bug, without a traceback."""
    done = subprocess.run([sys.executable, "-m", "zhurnal", *arguments], cwd=at, capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == status, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Return a zip of real image files of two classes that a network can tell apart."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("photos") / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for part, count in (("train", 60), ("test", 20)):
            for c, tint in (("apples", (200, 40, 40)), ("pears", (60, 180, 60))):
                for i in range(count):
                    pixels = np.clip(np.array(tint) + rng.normal(0, 40, (24, 24, 3)), 0, 255).astype(np.uint8)
                    with archive.open(f"{part}/{c}/{i:03}.jpg", "w") as file:
                        Image.fromarray(pixels).save(file, "JPEG")
    return path


def test_from_a_zip_of_images_to_a_journal_page(tmp_path, photos):
    zhurnal("init", "lab", at=tmp_path)
    lab = tmp_path / "lab"
    assert "given twice" in zhurnal("new", *QUICK, "train.batch_size=16", at=lab, status=2).stderr
    zhurnal("new", f"data={photos}", "train.epochs=3", "train.batch_size=16", "train.num_threads=1", "-m", "Apples or pears?", at=lab)
    zhurnal("new", "--from", "e0001", "optimizer=adam", "optimizer.lr=0.001", "-m", "Is Adam better?", at=lab)
    ran = zhurnal("run", "e0001-e0002", at=lab).stdout
    assert "e0001: best val. acc." in ran
    assert "test acc." in ran
    table = zhurnal("compare", "e0001-e0002", at=lab).stdout
    assert "optimizer=adam lr=0.001" in table
    rows = json.loads(zhurnal("compare", "e0001-e0002", "--format", "json", at=lab).stdout)
    assert len(rows["rows"]) == 2
    zhurnal("write", "e0001-e0002", at=lab)
    page = (lab / "journal" / "e0001-e0002.md").read_text()
    for words in ("Apples or pears?", "Is Adam better?", "start date", "## Observations", "| e0002 | optimizer=adam"):
        assert words in page
    for figure in re.findall(r"\]\((fig/[^)]+)\)", page):
        path = lab / "journal" / figure.replace("%2C", ",")
        with Image.open(path) as image:
            assert image.size[0] > 500
        assert path.with_suffix(".svg").exists()
    assert "e0001-e0002.md" in (lab / "journal" / "README.md").read_text()
    page = page.replace("## Conclusion", "## Conclusion\n\nApples are red.")
    (lab / "journal" / "e0001-e0002.md").write_text(page)
    assert "up to date" in zhurnal("write", "e0001-e0002", at=lab).stdout
    assert (lab / "journal" / "e0001-e0002.md").read_text() == page
    again = zhurnal("run", "e0001", at=lab).stdout
    assert "best val. acc." in again
    assert "epoch   1/3" not in again
    for command in (["ls"], ["show", "e0002"], ["diff", "e0001", "e0002"], ["settings", "optimizer"]):
        assert zhurnal(*command, at=lab).stdout


def test_a_block_edited_by_hand_is_kept_and_told(tmp_path):
    zhurnal("init", "lab", at=tmp_path)
    lab = tmp_path / "lab"
    zhurnal("new", *QUICK, at=lab)
    zhurnal("run", "e0001", "--quiet", at=lab)
    zhurnal("write", "e0001", at=lab)
    page = lab / "journal" / "e0001.md"
    edited = page.read_text().replace("| e0001 |", "| e0001 (mine) |", 1)
    page.write_text(edited)
    told = zhurnal("write", "e0001", at=lab, status=2)
    assert "edited" in told.stderr
    assert page.read_text() == edited
    zhurnal("write", "e0001", "--force", at=lab)
    assert "(mine)" not in page.read_text()


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("wrong")
    zhurnal("init", "lab", at=home)
    zhurnal("new", *QUICK, at=home / "lab")
    return home / "lab"


WRONG = [
    (["rnu", "e0001"], "'rnu' is no command; did you mean 'run'?"),
    (["run", "e0042"], "e0042 does not exist; there are e0001"),
    (["run", "first"], "'first' is no experiment number: write it as e0039"),
    (["new", "optimizr=adam"], "optimizr: unknown section; did you mean 'optimizer'?"),
    (["new", "optimizer"], "'optimizer' is no change: write setting=value"),
    (["new", "model=lenett"], "did you mean 'lenet'?"),
    (["new", "--from", "e0009"], "e0009 does not exist"),
    (["new", "data=nowhere/at/all", "--from", "e0001", "train.epochs=0"], "train.epochs is 0, must be above 0"),
    (["sweep", "optimizer.lr=0.1"], "a sweep needs at least two values"),
    (["compare", "e0001", "--columns", "accuracy"], "accuracy"),
    (["write", "e0001"], "zhurnal run e0001"),
    (["init", "."], "already a lab"),
    (["--lab", "/nowhere", "ls"], "/nowhere is no lab"),
    (["settings", "optimiser"], "did you mean 'optimizer'?"),
    (["run"], "Missing argument"),
    (["new", "--form", "e0001"], "--from"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=[" ".join(a) for a, _ in WRONG])
def test_wrong_input_gets_one_clear_message(lab, arguments, message):
    before = sorted(p.name for p in (lab / "experiments").iterdir())
    told = zhurnal(*arguments, at=lab, status=2)
    assert message in told.stderr
    assert sorted(p.name for p in (lab / "experiments").iterdir()) == before


@pytest.fixture
def own_place(tmp_path) -> Path:
    """Return a lab with an experiment that has not run, for tests that change it."""
    zhurnal("init", "lab", at=tmp_path)
    zhurnal("new", *QUICK, at=tmp_path / "lab")
    return tmp_path / "lab"


def test_data_that_is_not_there(own_place):
    lab = own_place
    made = zhurnal("new", "data=cifar10", *QUICK, at=lab).stdout.split()[0]
    told = zhurnal("run", made, at=lab, status=2).stderr
    assert "--download" in told
    made = zhurnal("new", "data=photos/", *QUICK, at=lab).stdout.split()[0]
    told = zhurnal("run", made, at=lab, status=2).stderr
    assert "photos" in told


def test_one_experiment_that_fails_does_not_stop_the_others(own_place):
    lab = own_place
    broken = zhurnal("new", "data=gone.zip", at=lab).stdout.split()[0]
    done = zhurnal("run", f"{broken},e0001", at=lab, status=2)
    assert "e0001: best val. acc." in done.stdout
    assert f"1 run failed: {broken}" in done.stderr


@pytest.mark.parametrize(("number", "status", "word"), [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 130, "SIGTERM")])
def test_a_run_that_is_asked_to_stop_says_where_it_goes_on(tmp_path, number, status, word):
    zhurnal("init", "lab", at=tmp_path)
    lab = tmp_path / "lab"
    zhurnal("new", "train.epochs=2000", "train.num_threads=1", at=lab)
    process = subprocess.Popen([sys.executable, "-m", "zhurnal", "run", "e0001"], cwd=lab, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    record = lab / "experiments" / "logs" / "e0001" / "s42" / "record.jsonl"
    deadline = time.monotonic() + 120
    while not (record.exists() and record.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert record.exists()
    refused = zhurnal("run", "e0001", at=lab, status=2).stderr
    assert f"already running (process {process.pid}" in refused
    assert "running" in zhurnal("ls", at=lab).stdout
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == status
    assert word in told
    assert "zhurnal run e0001` goes on from there" in told
    assert "interrupted at step" in zhurnal("ls", at=lab).stdout


def test_a_run_that_was_killed_shows_as_interrupted(tmp_path):
    zhurnal("init", "lab", at=tmp_path)
    lab = tmp_path / "lab"
    zhurnal("new", "train.epochs=2000", "train.num_threads=1", at=lab)
    process = subprocess.Popen([sys.executable, "-m", "zhurnal", "run", "e0001", "--quiet"], cwd=lab)
    record = lab / "experiments" / "logs" / "e0001" / "s42" / "record.jsonl"
    deadline = time.monotonic() + 120
    while not (record.exists() and record.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert record.exists()
    process.kill()
    process.wait()
    assert "interrupted at step" in zhurnal("ls", at=lab).stdout


def test_the_demo(tmp_path):
    done = zhurnal("demo", at=tmp_path)
    page = tmp_path / "zhurnal-demo" / "journal" / "e0001-e0002.md"
    assert str(page) in done.stdout
    assert "Is Adam better?" in page.read_text()
    before = page.stat().st_mtime_ns
    zhurnal("demo", at=tmp_path)  # again: it is all there
    assert page.stat().st_mtime_ns == before


def test_the_demo_leaves_a_lab_of_ones_own_alone(tmp_path):
    zhurnal("init", "lab", at=tmp_path)
    zhurnal("new", "-m", "My own question", at=tmp_path / "lab")
    assert "is a lab of your own" in zhurnal("demo", "lab", at=tmp_path, status=2).stderr
    assert [p.name for p in (tmp_path / "lab" / "experiments").glob("e*.yaml")] == ["e0001.yaml"]


def test_paths_are_those_seen_from_where_one_stands(tmp_path, photos):
    zhurnal("init", "lab", at=tmp_path)
    (tmp_path / "labels.csv").write_text("path,label\na.png,x\nb.png,y\n")
    (tmp_path / "digits").mkdir()
    assert "is read as data=table" in zhurnal("--lab", "lab", "new", "data=labels.csv", at=tmp_path).stdout
    zhurnal("--lab", "lab", "new", "data=digits", at=tmp_path)
    (tmp_path / "photos").mkdir()
    swept = zhurnal("--lab", "lab", "sweep", "data=photos", "data.image_size=32", "optimizer.lr=0.01,0.1", at=tmp_path).stdout
    assert "../photos/ is read as data=folder" in swept
    shown = zhurnal("--lab", "lab", "show", "e0002", at=tmp_path).stdout
    assert "../digits" not in shown


@pytest.mark.parametrize("jobs", [[], ["--jobs", "2"]])
def test_a_run_whose_reader_is_gone_goes_on(tmp_path, jobs):
    lab = tmp_path / "lab"
    zhurnal("init", "lab", at=tmp_path)
    zhurnal("new", "train.epochs=6", *QUICK[1:], "seeds=[1, 2]", at=lab)
    command = [sys.executable, "-m", "zhurnal", "run", "e0001", *jobs]
    with subprocess.Popen(command, cwd=lab, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        process.stdout.close()
        told = process.stderr.read()
        assert process.wait(timeout=300) == 0, told
    assert "Traceback" not in told
    assert zhurnal("ls", at=lab).stdout.count("finished") == 1
    ends = [line for seed in (1, 2) for line in (lab / f"experiments/logs/e0001/s{seed}/record.jsonl").read_text().splitlines() if '"end"' in line]
    assert len(ends) == 2


def test_no_lab(tmp_path):
    told = zhurnal("ls", at=tmp_path, status=2).stderr
    assert "zhurnal init" in told


def test_a_read_only_lab(lab):
    if os.geteuid() == 0:
        pytest.skip("root writes everywhere")
    (lab / "experiments").chmod(0o500)
    try:
        assert "cannot write" in zhurnal("new", at=lab, status=2).stderr
    finally:
        (lab / "experiments").chmod(0o700)


def test_output_goes_into_a_pipe(lab):
    done = subprocess.run(f"{sys.executable} -m zhurnal settings | head -1", shell=True, cwd=lab, capture_output=True, text=True)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("columns", ["40", "80"])
def test_a_narrow_terminal(lab, columns):
    environment = {**os.environ, "COLUMNS": columns}
    for command in (["--help"], ["ls"], ["show", "e0001"], ["settings"]):
        assert zhurnal(*command, at=lab, env=environment).stdout
