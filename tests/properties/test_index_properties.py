"""What is told of a lab is the same with an index, without one, and with a damaged one, whatever happens to the files in between."""

import contextlib
import fcntl
import io
import os
import shutil
import time
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zhurnal.api import Lab
from zhurnal.cli.showing import show_experiment
from zhurnal.core.errors import ZhurnalError
from zhurnal.core.records import encode
from zhurnal.store import view

COLUMNS = [
    "experiment",
    "diff",
    "best_val_acc",
    "last_val_acc",
    "test_acc",
    "time_per_epoch",
    "seeds",
    "epochs",
    "lr",
    "total_time",
    "state",
    "dataset",
]


class Bare(Lab):
    """A lab whose index can neither be read nor written."""

    @property
    def cache(self) -> Path:
        return self.folder / "zhurnal.yaml"


def told(lab: Lab) -> list[object]:
    """Return all that one sees of a lab."""
    names, seen = lab.names(), []
    for sort in (None, "-val_acc", "val_loss", "started"):
        listing = lab.ls(sort=sort)
        seen += [listing.lines, sorted(listing.problems)]
    for name in names:
        try:
            seen.append(lab.compare([name, names[0]], columns=COLUMNS))
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                show_experiment(lab, name)
            seen.append(printed.getvalue())
        except ZhurnalError as error:
            seen.append(str(error))
    return seen


def a_line(lab: Lab, run: str, file: str, row: dict[str, object]) -> None:
    with contextlib.suppress(FileNotFoundError), (lab.logs / run / file).open("r+b") as f:
        f.seek(0, os.SEEK_END)
        f.write(encode(row))


def an_epoch(lab: Lab, at: int) -> None:
    row = {"epoch": 20 + at, "step": 9000 + at, "lr": 0.1, "train_loss": 0.1, "train_acc": 0.9, "val_loss": 0.5, "val_acc": 0.9 + at / 1000}
    a_line(lab, "e0003/s42", "record.jsonl", {"kind": "epoch", **row})
    a_line(
        lab, "e0003/s42", "events.jsonl", {"kind": "time", "time": "2026-10-01T10:00:00+00:00", "epoch": 20 + at, "seconds": 3.0, "partial": False}
    )


def resume(lab: Lab, at: int) -> None:
    a_line(lab, "e0001/s42", "events.jsonl", {"kind": "start", "time": "2026-10-01T10:00:00+00:00", "attempt": 2, "step": 3, "epoch": 1})


def finish(lab: Lab, at: int) -> None:
    a_line(lab, "e0003/s42", "events.jsonl", {"kind": "stop", "time": "2026-10-02T10:00:00+00:00", "status": "finished", "step": 9, "epoch": 1})


def same_length(lab: Lab, at: int) -> None:
    """Change a value in a parent's file, in place, to one as long."""
    with contextlib.suppress(FileNotFoundError):
        path = lab.file("e0001")
        path.write_text(path.read_text().replace("momentum: 0.9", "momentum: 0.8") if at % 2 else path.read_text().replace("0.01", "0.02"))


def effective(lab: Lab, at: int) -> None:
    """Change a number in place, to one as long."""
    with contextlib.suppress(FileNotFoundError):
        path = lab.logs / "e0006" / "s42" / "effective.json"
        path.write_bytes(path.read_bytes().replace(b"62006", b"6%04d" % at).replace(b'"c1fa', b'"d%03d' % at))


def spoil(lab: Lab, at: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        lab.file("e0002").write_text("parent: e0001\nchanges: {optimizer.lr: -1}\n" if at % 2 else "a: [")


def reparent(lab: Lab, at: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        lab.file("e0005").write_text(f"question: again\nparent: e000{1 + at % 6}\nchanges:\n  optimizer.lr: 0.5\n")


def drop_run(lab: Lab, at: int) -> None:
    shutil.rmtree(lab.logs / "e0002" / f"s{1 + at % 3}", ignore_errors=True)


def add_run(lab: Lab, at: int) -> None:
    with contextlib.suppress(FileNotFoundError, FileExistsError):
        shutil.copytree(lab.logs / "e0002" / "s2", lab.logs / "e0002" / f"s{10 + at}")


def drop_experiment(lab: Lab, at: int) -> None:
    lab.file(f"e000{1 + at % 6}").unlink(missing_ok=True)


def put_back(lab: Lab, at: int) -> None:
    for name in ("e0001", "e0002", "e0005"):
        lab.file(name).write_bytes((lab.folder / "before" / f"{name}.yaml").read_bytes())


def damage(lab: Lab, at: int) -> None:
    path = lab.cache / "index.sqlite"
    if path.is_file() and path.stat().st_size:
        data = bytearray(path.read_bytes())
        for i in range(at, len(data), 997):
            data[i] ^= 0x55
        path.write_bytes(bytes(data))


def cut(lab: Lab, at: int) -> None:
    path = lab.cache / "index.sqlite"
    if path.is_file():
        os.truncate(path, path.stat().st_size * at // 100)


def no_index(lab: Lab, at: int) -> None:
    shutil.rmtree(lab.folder / ".zhurnal", ignore_errors=True)


def another_file(lab: Lab, at: int) -> None:
    lab.cache.mkdir(parents=True, exist_ok=True)
    (lab.cache / "index.sqlite").write_bytes(os.urandom(4096) if at % 2 else b"")


HAPPENINGS = [
    an_epoch, resume, finish, same_length, effective, spoil, reparent, drop_run, add_run, drop_experiment, put_back,
    damage, cut, no_index, another_file,
]  # fmt: skip


@pytest.fixture
def later(monkeypatch):
    """Look from ten seconds later: all files are settled, and rows of the index are kept."""
    monkeypatch.setattr(view, "clock", lambda: time.time_ns() + 10_000_000_000)
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(happenings=st.lists(st.tuples(st.sampled_from(HAPPENINGS), st.integers(0, 99)), min_size=1, max_size=5))
def test_the_same_is_told_with_and_without_an_index(made_up_lab, tmp_path, later, happenings):
    home = tmp_path / "lab"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(made_up_lab.folder, home)
    shutil.copytree(home / "experiments", home / "before", ignore=shutil.ignore_patterns("logs"))
    Lab(home).ls()
    for happen, at in happenings:
        time.sleep(0.01)  # longer than a tick of the file system's clock
        happen(Lab(home), at)
        assert told(Lab(home)) == told(Bare(home)), (happen.__name__, at)
    assert told(Lab(home)) == told(Bare(home)), "from the index alone"


def test_a_run_that_lives_is_told_as_running(own_lab, later):
    def state(lab: Lab) -> str:
        return next(line.cells[3] for line in lab.ls().lines if line.experiment == "e0003")

    before = state(Lab(own_lab.folder))
    assert before.startswith("interrupted at step")
    assert state(Lab(own_lab.folder)) == before
    handle = os.open(own_lab.logs / "e0003" / "s42" / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert state(Lab(own_lab.folder)) == "running"
    assert told(Lab(own_lab.folder)) == told(Bare(own_lab.folder))
    os.close(handle)
    assert state(Lab(own_lab.folder)) == before


def test_what_changed_a_moment_ago_is_not_kept(own_lab, monkeypatch):
    first = min(path.stat().st_ctime_ns for path in own_lab.folder.rglob("*"))
    for seconds, kept in ((1, 0), (3600, 6)):
        monkeypatch.setattr(view, "clock", lambda at=first + seconds * 1_000_000_000: at)
        Lab(own_lab.folder).ls()
        with view.look(own_lab) as seen:
            assert len(seen.index.rows("line")) == kept


def test_effective_settings_are_read_where_a_run_is_kept(own_lab, later):
    Lab(own_lab.folder).ls()
    with view.look(Lab(own_lab.folder)) as seen:
        (run,) = seen.runs("e0001")
        assert "rows" not in run.__dict__, "it comes from the index"
        assert run.effective == orjson.loads((run.folder / "effective.json").read_bytes())
        assert len(run.epochs) == run.num_epochs == 30
