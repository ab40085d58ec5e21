"""Disk space: listed first, freed only when asked, and never what resume or the journal needs."""

import os
import time

import pytest

from helpers_runs import make_run
from zhurnal.api import Lab
from zhurnal.core.errors import ZhurnalError
from zhurnal.store import files, runs


def checkpoint(home, name, data=b"weights", whole=True):
    path = home / "checkpoints" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    path.with_suffix(".sha256").write_text((files.sha256(path) if whole else "0" * 64) + "\n")
    return path


@pytest.fixture
def lab(own_lab):
    """e0001 finished with two states and an old best; e0003 killed with four states, the newest damaged."""
    home = own_lab.run_folder("e0001", 42)
    best = runs.read(own_lab.logs, "e0001", 42).end["best_epoch"]
    for name in ("state-00000010-00001.pt", "state-00000020-00002.pt", f"best-{best:05d}.pth", "best-00001.pth"):
        checkpoint(home, name)
    (home / "predictions").mkdir()
    (home / "predictions" / "epoch-00001.npz").write_bytes(b"kept")
    for step in (1, 2, 3, 4):
        checkpoint(own_lab.run_folder("e0003", 42), f"state-{step:08d}-00001.pt", whole=step < 4)
    return own_lab


def left(lab, name):
    return sorted(p.name for p in (lab.run_folder(name, 42) / "checkpoints").iterdir() if p.suffix != ".sha256")


def test_the_list_deletes_nothing_and_the_rest_stays(lab):
    items = lab.garbage()
    assert [(i.what, i.num_bytes > 0) for i in items] == [("e0001 seed 42", True)] * 2 + [("e0003 seed 42", True)]
    assert len(left(lab, "e0001")) == len(left(lab, "e0003")) == 4
    assert lab.gc(items) == sum(i.num_bytes for i in items)
    best = runs.read(lab.logs, "e0001", 42).end["best_epoch"]
    assert left(lab, "e0001") == [f"best-{best:05d}.pth"]
    assert left(lab, "e0003") == [f"state-{step:08d}-00001.pt" for step in (2, 3, 4)]  # two that are whole, and the newest
    assert (lab.run_folder("e0001", 42) / "predictions" / "epoch-00001.npz").exists()
    assert lab.garbage() == []


@pytest.mark.parametrize(("changes", "continues"), [({}, "e0001"), ({"model.weights": "e0001:last"}, None)])
def test_what_an_experiment_is_to_start_from_stays_until_that_has_finished(lab, changes, continues):
    lab.new(changes, parent="e0001", continues=continues)
    assert [i.why.partition(":")[2] for i in lab.garbage(["e0001"])] == [" best weights of earlier epochs"]
    make_run(lab, "e0007", epochs=2)
    assert len(lab.garbage(["e0001"])) == 2


def test_an_experiment_that_cannot_be_read_keeps_what_it_names(lab):
    lab.file("e0007").write_text("parent: e0001\ncontinue: e0001\nchanges:\n  train.epoch: 3\n")
    assert len(lab.garbage(["e0001"])) == 1


def test_a_running_one_and_links_are_left_alone(lab, tmp_path):
    items = lab.garbage(["e0003"])
    with runs.locked(lab.run_folder("e0003", 42), "e0003"):
        assert lab.garbage(["e0003"]) == []
        assert lab.gc(items) == 0
    assert len(left(lab, "e0003")) == 4
    os.rename(lab.run_folder("e0001", 42) / "checkpoints", tmp_path / "elsewhere")  # noqa: PTH104
    (lab.run_folder("e0001", 42) / "checkpoints").symlink_to(tmp_path / "elsewhere")
    assert lab.garbage(["e0001"]) == []


def test_half_written_files_go_when_they_are_old(lab):
    young, old = lab.folder / "experiments" / ".e0009.yaml.a.tmp", lab.folder / "experiments" / ".e0008.yaml.b.tmp"
    for path in (young, old):
        path.write_text("x")
    os.utime(old, (time.time() - 90_000,) * 2)
    (item,) = [i for i in Lab(lab.folder).garbage() if i.what == "half written"]
    assert item.paths == (old,)


def test_the_trash_is_emptied_only_when_asked(lab):
    lab.rm(["e0005"])
    assert not any("trash" in i.why for i in lab.garbage())
    items = [i for i in lab.garbage(trash=True) if "trash" in i.why]
    assert lab.gc(items) == sum(i.num_bytes for i in items)
    assert lab.trash() == []


def test_seeds_that_were_asked_for_later_keep_what_they_start_from(lab):
    lab.new(parent="e0001", continues="e0001")
    make_run(lab, "e0007", epochs=2)
    assert len(lab.garbage(["e0001"])) == 2
    lab.repeat("e0007", seeds=3)
    assert len(lab.garbage(["e0001"])) == 1


def test_a_seed_that_began_keeps_what_it_starts_from(lab):
    lab.new(parent="e0001", continues="e0001")
    make_run(lab, "e0007", epochs=2)
    make_run(lab, "e0007", 43, epochs=1, status="interrupted")
    assert len(lab.garbage(["e0001"])) == 1


def test_the_trash_goes_as_a_whole_or_not_at_all(lab):
    with pytest.raises(ZhurnalError, match="without naming experiments"):
        lab.garbage(["e0001"], trash=True)
