"""Removed and brought back: to the byte, never one that is in use, never a number twice, whenever it is killed."""

import os
import shutil

import pytest

from campaign.forks import killed_at, snapshot
from helpers_runs import make_run
from zhurnal.api import Lab
from zhurnal.core.errors import LabError, RunError
from zhurnal.store import plan, runs, taken


def weights(lab, name):
    home = lab.run_folder(name, 1) / "checkpoints"
    home.mkdir()
    (home / "state-00000010-00001.pt").write_bytes(b"state")
    (lab.logs / f"{name}_model_best.pth").write_bytes(b"best")


def test_removed_and_restored_to_the_byte(own_lab):
    weights(own_lab, "e0002")
    before = snapshot(own_lab.folder)
    done = own_lab.rm(["e0002"])
    assert done.names == ("e0002",)
    assert "e0002" not in own_lab.names()
    assert not [p for p in snapshot(own_lab.folder) if p.startswith("experiments/logs/e0002")]
    (found,) = own_lab.trash()
    assert (found.name, found.question) == ("e0002", "Is Adam better?")
    assert own_lab.restore(["e0002"]).names == ("e0002",)
    assert snapshot(own_lab.folder) == before
    assert own_lab.trash() == []


def test_its_number_is_not_given_again(own_lab):
    last = own_lab.new({}).name
    own_lab.rm([last])
    assert own_lab.new({}).name == "e0008"
    own_lab.rm(["e0008"])
    own_lab.gc(own_lab.garbage(trash=True))
    assert own_lab.trash() == []
    assert own_lab.new({}).name == "e0009"
    with pytest.raises(LabError, match=r"e0008 does not exist; e0008 was removed"):
        own_lab.select("e0008")


def test_a_number_that_came_and_went_in_between_is_not_taken(own_lab, monkeypatch):
    real = taken.used
    monkeypatch.setattr(taken, "used", lambda lab: real(lab) - {7})
    (own_lab.folder / taken.REMOVED).mkdir()
    (own_lab.folder / taken.REMOVED / "e0007.yaml").write_text(taken.mark("removed"))
    assert own_lab.new({}).name == "e0008"
    assert [e.name for e in own_lab.sweep([{"optimizer.lr": 0.1}, {"optimizer.lr": 0.2}])] == ["e0009", "e0010"]


def test_what_others_start_from_stays(own_lab):
    own_lab.new({"model.weights": "e0002:best"}, parent="e0001")
    own_lab.new({}, parent="e0006", continues="e0002")
    own_lab.new({"model.weights": "experiments/logs/e0002_model_best.pth"})
    before = snapshot(own_lab.folder)
    with pytest.raises(LabError, match=r"e0002 cannot be removed: e0007 \(weights\), e0008 \(continue\), e0009 \(weights\) start from it"):
        own_lab.rm(["e0002"])
    assert snapshot(own_lab.folder) == before
    assert own_lab.rm(["e0002", "e0007", "e0008", "e0009"]).names == ("e0002", "e0007", "e0008", "e0009")
    own_lab.restore(["e0002", "e0007", "e0008", "e0009"])
    assert snapshot(own_lab.folder) == before
    assert "cannot be read without e0001" in own_lab.rm(["e0001"], force=True).notes[0]


def test_a_running_one_stays_and_its_owner_is_named(own_lab):
    before = snapshot(own_lab.folder)
    with runs.locked(own_lab.run_folder("e0003", 42), "e0003"), pytest.raises(RunError, match=rf"e0003 seed 42 \(process {os.getpid()} on .* since "):
        own_lab.rm(["e0003"])
    (own_lab.run_folder("e0003", 42) / "lock").unlink()
    assert snapshot(own_lab.folder) == before
    assert plan.confirm(own_lab.folder, own_lab.file("e0003"))
    own_lab.rm(["e0003"])
    assert not plan.confirm(own_lab.folder, own_lab.file("e0003"))


def test_the_second_run_is_refused_and_the_first_named(own_lab):
    home = own_lab.run_folder("e0003", 42)
    named = rf"e0003 is already running \(process {os.getpid()} on .* since \d{{4}}-"
    with runs.locked(home, "e0003"), pytest.raises(RunError, match=named), runs.locked(home, "e0003"):
        pass


def test_a_number_taken_again_is_told_and_another_offered(own_lab):
    own_lab.rm(["e0002"])
    own_lab.file("e0002").write_text("settings: {}\n")  # as a git merge can bring it
    with pytest.raises(LabError, match=r"e0002 is taken again .*--as new"):
        own_lab.restore(["e0002"])
    with pytest.raises(LabError, match="e0001 is, or was, the number"):
        own_lab.restore(["e0002"], under="e0001")
    assert own_lab.restore(["e0002"], under="new").names == ("e0007",)
    found = own_lab.experiment("e0007")
    assert found.question == "Is Adam better?"
    assert {r.effective["experiment"] for r in own_lab.runs("e0007")} == {"e0007"}
    assert own_lab.experiment("e0002").question == ""
    assert not taken.was_used(own_lab.folder, "e0007")


def test_one_whose_start_is_in_the_trash_comes_back_with_it(own_lab):
    child = own_lab.new({"model.weights": "e0002:best"}, parent="e0005").name
    before = snapshot(own_lab.folder)
    own_lab.rm([child])
    own_lab.rm(["e0002"])
    removed = snapshot(own_lab.folder)
    with pytest.raises(LabError, match=rf"{child} starts from e0002 \(weights\), which is in the trash: `zhurnal restore e0002,{child}`"):
        own_lab.restore([child])
    assert snapshot(own_lab.folder) == removed
    own_lab.restore([child, "e0002"])
    assert snapshot(own_lab.folder) == before


def test_what_starts_from_one_that_comes_back_as_another_follows(own_lab):
    child = own_lab.new({}, parent="e0002").name
    own_lab.rm([child])
    own_lab.rm(["e0002"])
    own_lab.file("e0002").write_text("question: another\nsettings: {}\n")  # as a git merge can bring it
    with pytest.raises(LabError, match=rf"{child} starts from e0002 \(parent\), which is in the trash: `zhurnal restore e0002 --as new` first"):
        own_lab.restore([child])
    (new,) = own_lab.restore(["e0002"], under="new").names
    own_lab.restore([child])
    assert own_lab.experiment(child).parent == new
    assert own_lab.experiment(child).settings.optimizer.name == "adam"


def test_one_whose_start_is_gone_for_good_comes_back_with_a_note(own_lab):
    child = own_lab.new({}, parent="e0002").name
    own_lab.rm([child])
    own_lab.rm(["e0002"])
    own_lab.gc([g for g in own_lab.garbage(trash=True) if any("e0002" in str(p) for p in g.paths)])
    done = own_lab.restore([child])
    assert done.notes == (f"{child} starts from e0002 (parent), which is not here any more: its settings cannot be read without it",)
    assert own_lab.file(child).exists()


def test_what_is_not_there_is_told(own_lab):
    with pytest.raises(LabError, match="e0042 is not in the trash; it is empty"):
        own_lab.restore(["e0042"])
    own_lab.rm(["e0005"])
    with pytest.raises(LabError, match="e0042 is not in the trash; there are e0005"):
        own_lab.restore(["e0042"])
    with pytest.raises(LabError, match="e0005 does not exist"):
        own_lab.rm(["e0005"])


def test_a_damaged_manifest_hides_nothing(own_lab):
    own_lab.rm(["e0005"])
    (own_lab.trash()[0].folder / "manifest.json").write_text("[" * 2000)
    assert [t.name for t in own_lab.trash()] == ["e0005"]
    own_lab.restore(["e0005"])
    assert own_lab.experiment("e0005").question == "Which learning rate?"


def test_the_later_of_two_removed_comes_back(own_lab):
    own_lab.rm(["e0005"])
    own_lab.file("e0005").write_text("question: second\nsettings: {}\n")
    own_lab.rm(["e0005"])
    own_lab.restore(["e0005"])
    assert own_lab.experiment("e0005").question == "second"
    assert len(own_lab.trash()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("what", ["rm", "restore", "restore as"])
def test_killed_at_any_moment_it_is_done_or_not_begun(own_lab, tmp_path, what):
    make_run(own_lab, "e0005", epochs=1)
    (own_lab.logs / "e0005_model_best.pth").write_bytes(b"best")
    if what != "rm":
        own_lab.rm(["e0005"])
    if what == "restore as":
        own_lab.file("e0005").write_text("settings: {}\n")

    def act(lab):
        return lab.rm(["e0005"]) if what == "rm" else lab.restore(["e0005"], under="e0011" if what == "restore as" else None)

    before = snapshot(own_lab.folder)
    whole = Lab(shutil.copytree(own_lab.folder, tmp_path / "whole"))
    act(whole)
    after = snapshot(whole.folder)
    assert after != before
    ends = set()
    for number in range(1, 200):
        lab = Lab(shutil.copytree(own_lab.folder, tmp_path / str(number)))
        if not killed_at(number, lambda lab=lab: act(lab)):
            break
        plan.finish(lab.folder)
        found = snapshot(lab.folder)
        found.pop("experiments/removed/e0011.yaml", None)  # kept by one that was killed before its commit: explained, and not given again
        assert found in (before, after), number
        ends.add(found == after)
        if found == before:
            act(Lab(lab.folder))
            assert snapshot(lab.folder) == after
        shutil.rmtree(lab.folder)
    assert ends == {True, False}
    assert number > 20
