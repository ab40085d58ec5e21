"""Looking at a lab: what is kept and what is not, and that what is told follows from the files, whatever the index has."""

import sqlite3
import time

import orjson
import pytest

from helpers_runs import make_run
from zhurnal.api import Lab
from zhurnal.core.errors import LabError
from zhurnal.store import index, runs, view
from zhurnal.store.view import look

pytestmark = pytest.mark.usefixtures("closed_databases")


@pytest.fixture
def lab(own_lab, monkeypatch) -> Lab:
    """The made-up lab, seen so late that all its files are settled."""
    monkeypatch.setattr(view, "clock", lambda: time.time_ns() + 10_000_000_000)
    return Lab(own_lab.folder)


@pytest.fixture
def package(tmp_path, monkeypatch) -> None:
    """An installed package that brings a network `fancy`."""
    info = tmp_path / "site" / "fancy-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fancy\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[zhurnal.models]\nfancy = fancy:Net\n[zhurnal.transforms]\nshiny = fancy:shiny\n")
    monkeypatch.syspath_prepend(tmp_path / "site")


def kept(lab: Lab, kind: str) -> set[str]:
    """Return the names of the rows of a kind."""
    found = index.Index(lab.cache / index.NAME)
    try:
        return set(found.rows(kind))
    finally:
        found.close()


def delete(lab: Lab, kind: str) -> None:
    with sqlite3.connect(lab.cache / index.NAME) as other:
        other.execute(f"DELETE FROM {kind}")
    other.close()


def test_what_is_kept_is_what_is_read(lab):
    with look(lab) as seen:
        read = {n: (seen.experiment(n), seen.runs(n), seen.facts(n), seen.edited(n)) for n in lab.names()}
    assert kept(lab, "experiment") == set(lab.names())
    assert kept(lab, "run") == {f"{n}/s{run.seed}" for n in lab.names() for run in lab.runs(n)}
    with look(Lab(lab.folder)) as seen:
        assert {n: (seen.experiment(n), seen.runs(n), seen.facts(n), seen.edited(n)) for n in lab.names()} == read
        (run,) = seen.runs("e0003")
        assert "rows" not in run.__dict__
        assert run.rows == lab.runs("e0003")[0].rows
        assert run.effective == lab.runs("e0003")[0].effective != {}
        assert (len(run.epochs), len(run.iters), len(run.times)) == (12, 37, 12)
        assert seen.runs("e0002") is seen.runs("e0002")
        first = seen.runs("e0002")
        seen.release("e0002")
        seen.release("e0002")
        assert (seen.runs("e0002"), seen.runs("e0002") is first) == (first, False)
    for name in lab.names():
        assert (lab.experiment(name), lab.runs(name), lab.facts(name), lab.edited(name)) == read[name]


def test_what_is_forgotten_is_gone_from_the_index(lab):
    lab.ls()
    lab.forget(["e0002"])
    assert kept(lab, "experiment") == kept(lab, "line") == set(lab.names()) - {"e0002"}
    assert {name for name in kept(lab, "run") if name.startswith("e0002")} == set()
    assert "e0003/s42" in kept(lab, "run")


def test_a_run_that_is_not_settled_or_lives_is_not_kept(lab, monkeypatch):
    with runs.locked(lab.run_folder("e0003", 42), "e0003"), look(lab) as seen:
        assert seen.runs("e0003")[0].status == "running"
        assert seen.held("e0003", [41, 42])
        assert not seen.held("e0003", [41])
    assert kept(lab, "run") == set()
    monkeypatch.setattr(view, "clock", time.time_ns)
    with look(lab) as seen:
        seen.runs("e0001")
    assert kept(lab, "run") == set()


def test_a_child_is_kept_only_where_its_parents_are_settled(lab, monkeypatch):
    while lab.file("e0006").stat().st_ctime_ns <= max(lab.file(name).stat().st_ctime_ns for name in lab.names() if name != "e0006"):
        lab.file("e0006").touch()  # so that it alone is the last
    changed = max(lab.file(name).stat().st_ctime_ns for name in lab.names())
    monkeypatch.setattr(view, "clock", lambda: changed + view.SETTLED_NS)  # the last of the files is not settled, by a nanosecond
    last = next(name for name in lab.names() if lab.file(name).stat().st_ctime_ns == changed)
    with look(lab) as seen:
        for name in lab.names():
            seen.experiment(name)
    assert last not in kept(lab, "experiment")
    assert len(kept(lab, "experiment")) == 5
    lab.file("e0001").write_text(lab.file("e0001").read_text())  # the parent of all others
    (lab.cache / index.NAME).unlink()
    with look(lab) as seen:
        for name in lab.names():
            seen.experiment(name)
    assert kept(lab, "experiment") == set()


def test_lines_hold_without_the_rows_of_experiments(lab, monkeypatch):
    listed = lab.ls()
    delete(lab, "experiment")
    made = []
    real = view.View.true_line_signature
    monkeypatch.setattr(view.View, "true_line_signature", lambda seen, name: made.append(name) or real(seen, name))
    assert Lab(lab.folder).ls() == listed
    assert made == [], "a parent is read again, and lines still hold"
    delete(lab, "experiment")
    lab.file("e0001").write_text("changes: [wrong\n")
    listing = Lab(lab.folder).ls()
    assert any("e0001.yaml" in problem for problem in listing.problems)
    assert {line.cells[3] for line in listing.lines} == {"cannot be read"}


def test_a_line_follows_a_run_whose_settings_are_gone_or_came(lab):
    home = lab.run_folder("e0001", 42)
    lab.ls()
    (home / "effective.json").rename(home / "away")
    bare = Lab(lab.folder).ls()
    assert bare == Lab(lab.folder).ls()
    (home / "away").rename(home / "effective.json")
    with look(lab) as seen:
        whole = seen.line_signature("e0001", [], [42])
        assert whole == seen.true_line_signature("e0001")
        (home / "effective.json").unlink()
        assert seen.line_signature("e0001", [], [42]) != whole
        assert seen.line_signature("e0001", [], [42]) == seen.true_line_signature("e0001")
        assert seen.line_signature("e0002", ["e0001"], [1, 2, 3]) == seen.true_line_signature("e0002")
    make_run(lab, "e0006", 43, epochs=1)
    with look(lab) as seen:
        signature = seen.line_signature("e0006", ["e0001"], [42, 43])
        assert signature == seen.true_line_signature("e0006")
        assert len(signature) == 32 * (1 + 1 + 2 * 3) + 16, "the experiment, the folder of its runs, three files of each, and its parent"


def test_values_that_would_not_come_back_the_same_are_not_kept():
    assert view._dumps({"a": [1, None, "x"]}) == b'{"a":[1,null,"x"]}'
    assert view._dumps({"a": 2**70}) is None
    assert view._dumps({"a": float("nan")}) is None


@pytest.mark.usefixtures("package")
def test_what_depends_on_a_package_is_not_kept(lab):
    lab.file("e0005").write_text("settings:\n  model: fancy\n")
    lab.file("e0006").write_text("settings:\n  data: {name: cifar10, transform: shiny}\n")
    home = make_run(lab, "e0005", epochs=1)
    for name in ("e0005", "e0006"):
        with look(Lab(lab.folder)) as seen:
            assert not seen.defaults("model", "fancy").builtin
            assert seen.defaults("model", "lenet").builtin
            assert seen.defaults("train", None).values["epochs"] == 10
            assert seen.runs(name)
            seen.experiment(name)
            assert seen.true_line_signature(name) is None
    assert kept(lab, "defaults") == {"model:lenet", "train:None"}
    assert kept(lab, "experiment") == kept(lab, "run") - {"e0006/s42"} == set()
    assert home.is_dir()


def test_a_run_whose_settings_no_version_knows_is_read_each_time(lab):
    path = lab.run_folder("e0001", 42) / "effective.json"
    told = orjson.loads(path.read_bytes())
    path.write_bytes(orjson.dumps(told | {"settings": told["settings"] | {"model": "no such network"}}))
    for _ in range(2):
        with look(Lab(lab.folder)) as seen:
            assert seen.runs("e0001")[0].num_epochs == 30
    assert kept(lab, "run") == set()


def test_defaults_are_kept_whatever_files_are_there(lab, monkeypatch):
    with look(lab) as seen:
        found = seen.defaults("optimizer", "sgd")
        assert seen.defaults("optimizer", "sgd") is found
    monkeypatch.setattr("zhurnal.core.settings.defaults", None)
    with look(lab) as seen:
        assert seen.defaults("optimizer", "sgd") == found
        assert found.values["momentum"] == 0.9


def test_an_experiment_that_is_not_there_is_told(lab):
    with look(lab) as seen, pytest.raises(LabError, match="e0042 does not exist"):
        seen.experiment("e0042")
    assert view.state_of(str(lab.folder / "nothing")) == (0, 0, 0, 0)
