"""Several files changed as one: refused steps, other disks, files that are in the way or were changed in between, and kills."""

import errno
import os
import re
import shutil
from pathlib import Path

import pytest

from campaign.forks import killed_at
from zhurnal.core.errors import LabError
from zhurnal.store import plan
from zhurnal.store.plan import Plan


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A folder laid out as a lab, with a run to move: a file, a file in a folder, a link, and an empty folder."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(os, "sync", lambda: None)
    home = tmp_path / "lab"
    run = home / "experiments" / "logs" / "e0001" / "s42"
    (run / "checkpoints").mkdir(parents=True)
    (run / "empty").mkdir()
    (run / "record.jsonl").write_text("rows")
    (run / "checkpoints" / "state.pt").write_text("state")
    (run / "link").symlink_to("record.jsonl")
    (home / ".zhurnal").mkdir()
    return home


@pytest.fixture
def trash_elsewhere(lab, monkeypatch):
    """The trash is on another disk: nothing can be renamed into it."""
    refuse(monkeypatch, errno.EXDEV)


def refuse(monkeypatch, number: int) -> None:
    """Let renames into the trash and out of it fail."""

    def refusing(real):
        def call(source, target):
            if ("trash" in str(source)) != ("trash" in str(target)):
                raise OSError(number, os.strerror(number), str(source))
            return real(source, target)

        return call

    for name in ("rename", "replace"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))


def there(folder):
    """Return all that is in a folder, hidden names too; files that a kill left half-written are not, `gc` takes them away."""
    found = [p for p in folder.rglob("*") if p.suffix != ".tmp"]
    return {str(p.relative_to(folder)): f"-> {p.readlink()}" if p.is_symlink() else p.read_text() if p.is_file() else None for p in found}


RUN = {
    "e0001": None,
    "e0001/s42": None,
    "e0001/s42/record.jsonl": "rows",
    "e0001/s42/checkpoints": None,
    "e0001/s42/checkpoints/state.pt": "state",
    "e0001/s42/link": "-> record.jsonl",
    "e0001/s42/empty": None,
}


def to_trash(lab) -> None:
    made = Plan(lab, "rm e0001")
    made.move(lab / "experiments" / "logs" / "e0001", lab / ".zhurnal" / "trash" / "e0001")
    made.put(b"told", lab / ".zhurnal" / "trash" / "told.json")
    with plan.alone(lab):
        made.do()


def test_files_that_are_no_experiments_are_not_touched(lab):
    made = Plan(lab, "x")
    with pytest.raises(LabError, match=r"^zhurnal\.yaml is no file that experiments or the journal are kept in$"):
        made.move(lab / "zhurnal.yaml", lab / "journal" / "x.md")
    with pytest.raises(ValueError, match="is not in the subpath"):
        made.remove(lab.parent / "x")
    assert made.steps == []


def test_a_plan_that_is_not_committed_changes_nothing_and_is_forgotten(lab):
    before = there(lab)
    made = Plan(lab, "x")
    made.remove(lab / "experiments" / "logs" / "e0001" / "s42" / "record.jsonl")
    made.put(b"x", lab / "journal" / "x.md")
    assert not plan.is_committed(lab)
    assert plan.finish(lab) == []
    made.abandon()
    assert there(lab) == before
    Plan(lab, "killed before its commit").put(b"old", lab / "journal" / "x.md")
    made = Plan(lab, "x")
    made.remove(lab / "journal" / "y.md")
    made.do()
    assert there(lab) == before, "the plan before is forgotten, and what it would have written"


@pytest.mark.usefixtures("trash_elsewhere")
def test_a_folder_is_moved_to_another_disk_whole_and_leaves_nothing(lab):
    to_trash(lab)
    assert there(lab / ".zhurnal" / "trash") == RUN | {"told.json": "told"}
    assert there(lab / "experiments" / "logs") == {}
    assert {p.name for p in (lab / ".zhurnal").iterdir()} == {"trash", "changing"}


@pytest.mark.usefixtures("trash_elsewhere")
def test_a_file_and_a_link_are_moved_to_another_disk(lab):
    run, trash = lab / "experiments" / "logs" / "e0001" / "s42", lab / ".zhurnal" / "trash"
    made = Plan(lab, "x")
    made.move(run / "link", trash / "link")
    made.move(run / "record.jsonl", trash / "record.jsonl")
    made.do()
    assert there(trash) == {"link": "-> record.jsonl", "record.jsonl": "rows"}
    assert {p.name for p in run.iterdir()} == {"checkpoints", "empty"}


@pytest.mark.parametrize("elsewhere", [True, False])
def test_killed_at_any_moment_a_move_is_done_or_not_begun(lab, tmp_path, monkeypatch, elsewhere):
    if elsewhere:
        refuse(monkeypatch, errno.EXDEV)
    ends = []
    for number in range(1, 200):
        copy = tmp_path / str(number)
        shutil.copytree(lab, copy, symlinks=True)
        if not killed_at(number, lambda copy=copy: to_trash(copy)):
            break
        told = plan.finish(copy)
        done = there(copy / ".zhurnal" / "trash") == RUN | {"told.json": "told"} and there(copy / "experiments" / "logs") == {}
        assert done or there(copy / "experiments" / "logs") == RUN, number
        assert not plan.is_committed(copy)
        assert told in ([], ["finished what was interrupted: rm e0001"])
        ends.append(done)
    assert number > (25 if elsewhere else 15)
    assert ends == sorted(ends), "before the commit nothing is done, from then on all"
    assert set(ends) == {True, False}


@pytest.mark.parametrize(
    "text",
    [
        "{", "[]", '{"told": "x"}', '{"told": "x", "steps": 5}', '{"told": "x", "steps": [5]}', '{"told": "x", "steps": [[]]}',
        '{"told": "x", "steps": [["move", "journal/x"]]}', '{"told": "x", "steps": [["remove", "journal/x\\u0000"]]}', "[" * 100_000,
        '{"told": "x", "steps": [["put", "zhurnal.yaml", "journal/x", ""]]}', '{"told": "x", "steps": [["put", "journal/x", "zhurnal.yaml", ""]]}',
        '{"told": "x", "steps": [["remove", "journal/./x"]]}',
    ],
)  # fmt: skip
def test_a_damaged_plan_is_told_and_changes_nothing(lab, text):
    home = lab / plan.UNFINISHED
    home.mkdir()
    assert plan.finish(lab) == [], "without a plan.json there is nothing to finish"
    (home / "plan.json").write_text(text)
    before = there(lab)
    with pytest.raises(LabError, match=rf"^{home}/plan\.json is damaged \(.+\): look at it, and move {home} away to go on without$"):
        plan.finish(lab)
    before.setdefault(str(plan.LOCK), "")
    assert there(lab) == before


def test_where_nothing_can_be_written_it_is_an_error_before_anything_is_changed(lab, monkeypatch):
    (lab / ".zhurnal").rmdir()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(PermissionError):
        plan.alone(lab).__enter__()


def test_what_was_left_behind_its_end_is_in_nobodys_way(lab):
    (lab / ".zhurnal" / "unfinished.done" / "files").mkdir(parents=True)
    to_trash(lab)
    assert {p.name for p in (lab / ".zhurnal").iterdir()} == {"trash", "changing"}


def test_each_step_is_durable(lab, monkeypatch):
    run = lab / "experiments" / "logs" / "e0001" / "s42"
    made = Plan(lab, "x")
    made.move(run / "record.jsonl", lab / "journal" / "a" / "record.md")
    made.put(b"x", lab / "journal" / "b" / "x.md")
    made.remove(run / "checkpoints" / "state.pt")
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(str(Path(f"/proc/self/fd/{handle}").readlink().relative_to(lab))))
    made.commit()
    building = ".zhurnal/unfinished.building"
    assert [re.sub(r"\.\w+\.tmp", ".tmp", name) for name in synced] == [
        f"{building}/files/000001", f"{building}/.plan.json.tmp", building, f"{building}/files", ".zhurnal",
    ]  # fmt: skip
    synced.clear()
    assert plan.finish(lab) == ["finished what was interrupted: x"]
    run_folder = "experiments/logs/e0001/s42"
    assert synced == [
        ".", "journal", "journal/a", run_folder, "journal", "journal/b", f"{run_folder}/checkpoints", ".zhurnal",
    ]  # fmt: skip


def test_a_disk_that_refuses_a_move_leaves_it_to_be_finished(lab, monkeypatch):
    with monkeypatch.context() as patch:
        refuse(patch, errno.EACCES)
        with pytest.raises(PermissionError):
            to_trash(lab)
        with pytest.raises(PermissionError):
            plan.finish(lab)
    assert there(lab / "experiments" / "logs") == RUN
    assert plan.is_committed(lab)
    assert plan.finish(lab) == ["finished what was interrupted: rm e0001"]
    assert there(lab / ".zhurnal" / "trash") == RUN | {"told.json": "told"}
    assert plan.finish(lab) == []


def test_what_is_in_the_way_of_a_move_is_told_and_stays(lab):
    source, target = lab / "experiments" / "logs" / "e0001", lab / ".zhurnal" / "trash" / "e0001"
    target.mkdir(parents=True)
    (target / "mine").write_text("mine")
    for _ in range(2):
        with pytest.raises(LabError, match=f"{source} cannot become {target}, which is there already: move one of them away"):
            plan.finish(lab) if plan.is_committed(lab) else to_trash(lab)
    assert there(target) == {"mine": "mine"}
    assert there(source.parent) == RUN
    shutil.rmtree(target)
    plan.finish(lab)
    assert there(target.parent) == RUN | {"told.json": "told"}


def put(lab, content: bytes, target, over: bytes | None = None) -> list[str]:
    made = Plan(lab, "x")
    made.put(content, target, over=over)
    made.do()
    return made.skipped


def test_a_file_is_put_only_over_what_it_was_made_for(lab):
    page = lab / "journal" / "new" / "page.md"
    assert put(lab, b"first", page) == []
    assert page.read_text() == "first"
    assert put(lab, b"second", page, over=b"first") == []
    assert page.read_text() == "second"
    assert put(lab, b"third", page, over=b"first") == ["page.md was changed in between, and is left as it is"]
    assert put(lab, b"third", page) == ["page.md was changed in between, and is left as it is"]
    assert put(lab, b"second", page, over=b"first") == [], "it holds already what it is to hold"
    assert page.read_text() == "second"


def test_a_file_is_put_on_another_disk(lab, monkeypatch):
    page = lab / ".zhurnal" / "trash" / "page.md"
    page.parent.mkdir()
    page.write_text("old")
    with monkeypatch.context() as patch:
        refuse(patch, errno.EIO)
        with pytest.raises(OSError, match="Input/output error"):
            put(lab, b"new", page, over=b"old")
    assert page.read_text() == "old"
    refuse(monkeypatch, errno.EXDEV)
    assert plan.finish(lab) == ["finished what was interrupted: x"]
    assert there(page.parent) == {"page.md": "new"}


def test_what_is_removed(lab, monkeypatch):
    run = lab / "experiments" / "logs" / "e0001" / "s42"
    made = Plan(lab, "x")
    (run / "elsewhere").symlink_to(run / "checkpoints")
    for name in ("record.jsonl", "link", "empty", "checkpoints", "elsewhere", "nothing", "nowhere/nothing"):
        made.remove(run / name)
    made.do()
    assert there(run) == {"checkpoints": None, "checkpoints/state.pt": "state"}, "a folder that is not empty stays"
    made = Plan(lab, "x")
    made.remove(run / "checkpoints")
    (run / "checkpoints" / "state.pt").unlink()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "rmdir", refuse)
        with pytest.raises(PermissionError):
            made.do()
    assert plan.finish(lab) == ["finished what was interrupted: x"]
    assert there(run) == {}


def test_a_copy_from_another_lab_is_brought_where_nothing_is(lab, tmp_path):
    (tmp_path / "theirs.md").write_text("theirs")
    os.utime(tmp_path / "theirs.md", (1, 1))
    for _ in range(2):
        made = Plan(lab, "x")
        made.bring(tmp_path / "theirs.md", lab / "journal" / "theirs.md")
        (tmp_path / "theirs.md").write_text("later")
        made.do()
    assert (lab / "journal" / "theirs.md").read_text() == "theirs"
    assert (lab / "journal" / "theirs.md").stat().st_mtime == 1
    assert made.skipped == ["theirs.md was changed in between, and is left as it is"]


def test_whether_an_experiment_is_there_is_answered_when_nobody_moves_it(lab):
    file = lab / "experiments" / "e0001.yaml"
    file.write_text("settings: {}\n")
    assert plan.confirm(lab, file)
    assert not (lab / plan.LOCK).exists(), "a lab that nothing was moved in has no lock"
    with plan.alone(lab):
        pass
    assert plan.confirm(lab, file)
    assert not plan.confirm(lab, file.with_name("e0002.yaml"))
