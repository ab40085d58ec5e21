"""Another number: every reference follows, words stay, whenever it is killed; and before a git merge, the numbers that collide."""

import re
import shutil
import subprocess

import orjson
import pytest

from campaign.forks import killed_at, snapshot
from helpers_runs import make_run
from zhurnal.api import Lab
from zhurnal.core.errors import LabError, RunError
from zhurnal.store import plan, runs, taken

OLD = re.compile(rb"(?<!\w)e0002(?!\d)")


def with_children(lab):
    """Add a child that continued e0002, one with its weights, a removed one, and words about it."""
    lab.new({"train.epochs": 2}, parent="e0001", continues="e0002", question="Longer than e0002?")
    lab.new({"model.weights": "e0002:best"}, parent="e0002")
    lab.new({}, parent="e0002")
    make_run(lab, "e0007", epochs=2)
    (lab.logs / "e0002_model_best.pth").write_bytes(b"best")
    lab.rm(["e0009"])
    lab.write(["e0001", "e0002"])
    page = lab.journal / "e0001-e0002.md"
    page.write_text(page.read_text().replace("## Conclusion", "## Conclusion\n\nAs [e0002](e0002.md) says: xe0002, e0001-e0002 and e00021."))
    return lab


def test_everything_that_names_it_follows(own_lab):
    lab = with_children(own_lab)
    records = {p: p.read_bytes() for p in lab.logs.rglob("record.jsonl")}
    done = lab.renumber("e0002", "e0012")
    assert done.mapping == {"e0002": "e0012"}
    lab = Lab(lab.folder)
    assert lab.names() == ["e0001", "e0003", "e0004", "e0005", "e0006", "e0007", "e0008", "e0012"]
    assert lab.experiment("e0007").question == "Longer than e0012?"
    assert (lab.experiment("e0007").continues, lab.experiment("e0008").weights, lab.experiment("e0008").parent) == ("e0012", "e0012:best", "e0012")
    assert {r.effective["experiment"] for r in lab.runs("e0012")} == {"e0012"}
    assert lab.runs("e0007")[0].effective["started_from"]["experiment"] == "e0012"
    assert not any(r.problems for n in lab.names() for r in lab.runs(n))
    assert {p.parent.parent.name.replace("e0012", "e0002"): p.read_bytes() for p in lab.logs.rglob("record.jsonl")}.keys() == {
        p.parent.parent.name for p in records
    }
    left = [p for p in lab.folder.rglob("*") if p.is_file() and (OLD.search(p.name.encode()) or OLD.search(p.read_bytes()))]
    assert [p.relative_to(lab.folder).as_posix() for p in left] == ["experiments/removed/e0002.yaml"]
    page = (lab.journal / "e0001,e0012.md").read_text()
    assert "As [e0012](e0012.md) says: xe0002, e0001,e0012 and e00021." in page
    assert any("e0001-e0002.md: the number was changed in 2 lines of your own words" in n for n in done.notes)
    assert not lab.write(["e0001", "e0012"]).kept
    assert lab.restore(["e0009"]).names == ("e0009",)
    assert lab.experiment("e0009").parent == "e0012"
    assert (lab.logs / "e0012_model_best.pth").read_bytes() == b"best"
    with pytest.raises(LabError, match="e0002 does not exist; e0002 is e0012 now"):
        lab.select("e0002")
    with pytest.raises(LabError, match="e0002 is, or was, the number of an experiment"):
        lab.renumber("e0001", "e0002")
    assert lab.new({}).name == "e0013"


def test_without_a_number_it_takes_the_next(own_lab):
    own_lab.rm(["e0006"])
    assert own_lab.renumber("e0005").mapping == {"e0005": "e0007"}
    assert own_lab.experiment("e0003").series == "e0003-e0004,e0007"
    assert own_lab.renumber("e0007", "7").notes == ("e0007 has this number already",)
    with pytest.raises(LabError, match="e0001 is, or was"):
        own_lab.renumber("e0007", "e0001")


def test_nothing_that_runs_is_renumbered_nor_its_child(own_lab):
    own_lab.new({}, parent="e0005")
    before = snapshot(own_lab.folder)
    for name in ("e0005", "e0007"):
        with runs.locked(own_lab.run_folder(name, 42), name), pytest.raises(RunError, match=f"{name} seed 42"):
            own_lab.renumber("e0005", "e0009")
        shutil.rmtree(own_lab.run_folder(name, 42).parent)
    assert snapshot(own_lab.folder) == before


@pytest.mark.slow
def test_a_page_edited_after_a_kill_is_left_as_it_is(own_lab):
    lab = with_children(own_lab)
    number = 1
    while killed_at(number, lambda: lab.renumber("e0002", "e0012")) and not plan.is_committed(lab.folder):
        number += 1
    assert plan.is_committed(lab.folder)
    page = lab.journal / "e0001-e0002.md"
    page.write_text("my own words, written in between\n")
    told = plan.finish(lab.folder)
    assert told == ["finished what was interrupted: renumber e0002 to e0012", "e0001,e0012.md was changed in between, and is left as it is"]
    assert (lab.journal / "e0001,e0012.md").read_text() == "my own words, written in between\n"


@pytest.mark.slow
def test_killed_at_any_moment_it_is_done_or_not_begun(own_lab, tmp_path, monkeypatch):
    monkeypatch.setattr(Lab, "_refresh", lambda *_: [])
    lab = with_children(own_lab)
    for name in ("e0003", "e0004", "e0006"):
        shutil.rmtree(lab.logs / name)
    before = snapshot(lab.folder)
    whole = Lab(shutil.copytree(lab.folder, tmp_path / "whole"))
    whole.renumber("e0002", "e0012")
    after = snapshot(whole.folder)
    ends = set()
    for number in range(1, 400):
        copy = Lab(shutil.copytree(lab.folder, tmp_path / str(number)))
        if not killed_at(number, lambda copy=copy: copy.renumber("e0002", "e0012")):
            break
        if number % 3 == 0:  # and once more while it is finished
            killed_at(number // 3, lambda copy=copy: plan.finish(copy.folder))
        plan.finish(copy.folder)
        found = snapshot(copy.folder)
        found.pop("experiments/removed/e0012.yaml", None)
        assert found in (before, after), number
        ends.add(found == after)
        shutil.rmtree(copy.folder)
    assert ends == {True, False}
    assert number > 50


def git(at, *arguments, status=0):
    options = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "init.defaultBranch=main", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *options, *arguments], cwd=at, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def two_branches(lab):
    """Make a branch `other` with e0007 and its child e0008, and on main another e0007."""
    git(lab.folder, "init", "-q")
    git(lab.folder, "add", "-A")
    git(lab.folder, "commit", "-qm", "common")
    git(lab.folder, "checkout", "-qb", "other")
    lab.new({"optimizer.lr": 0.5}, parent="e0001", question="Theirs?")
    lab.new({"train.epochs": 3}, parent="e0007", question="The child of e0007?")
    make_run(lab, "e0007", epochs=2)
    lab.write(["e0007"])
    git(lab.folder, "add", "-A")
    git(lab.folder, "commit", "-qm", "theirs")
    git(lab.folder, "checkout", "-q", "main")
    lab = Lab(lab.folder)
    lab.file("e0007").write_text("question: Ours?\nparent: e0001\nchanges:\n  optimizer.lr: 0.7\ncreated: '2026-01-01T00:00:00+00:00'\n")
    make_run(lab, "e0007", 43, epochs=3)
    git(lab.folder, "add", "-A")
    git(lab.folder, "commit", "-qm", "ours")
    return lab


@pytest.mark.slow
def test_a_number_used_on_both_sides_of_a_git_merge_is_found_and_mended(own_lab):
    lab = two_branches(own_lab)
    git(lab.folder, "merge", "other", "-qm", "both", status=1)
    with pytest.raises(Exception, match=r"e0007\.yaml:\d+: git left a conflict here.*zhurnal renumber --against"):
        Lab(lab.folder).experiment("e0007")
    git(lab.folder, "merge", "--abort")
    git(lab.folder, "checkout", "-q", "other")
    theirs = Lab(lab.folder)
    assert theirs.renumber_against("main").mapping == {"e0007": "e0009"}
    assert theirs.renumber_against("main").mapping == {}
    git(lab.folder, "add", "-A")
    git(lab.folder, "commit", "-qm", "another number")
    git(lab.folder, "checkout", "-q", "main")
    git(lab.folder, "merge", "other", "-qm", "both")
    both = Lab(lab.folder)
    assert {n: both.experiment(n).question for n in ("e0007", "e0008", "e0009")} == {
        "e0007": "Ours?",
        "e0008": "The child of e0009?",
        "e0009": "Theirs?",
    }
    assert both.experiment("e0008").parent == "e0009"
    assert [r.seed for r in both.runs("e0007")] == [43]
    assert [r.seed for r in both.runs("e0009")] == [42]
    assert not any(r.problems for n in both.names() for r in both.runs(n))
    assert (both.journal / "e0009.md").is_file()
    assert both.new({}).name == "e0010"


def test_against_what_is_no_lab_says_so(own_lab):
    git(own_lab.folder, "init", "-q")
    for text in ("nowhere", "--output=x", "-x", "a b", "../.."):
        with pytest.raises(LabError, match="neither the folder of a lab nor"):
            own_lab.renumber_against(text)


def test_a_plan_that_reaches_outside_is_refused(own_lab, tmp_path):
    (tmp_path / "precious").write_text("x")
    bad = [
        ["move", "../precious", "experiments/e0042.yaml"], ["remove", "experiments/../../precious"], ["remove", "/etc/hostname"],
        ["move", "zhurnal.yaml", "journal/x.md"], ["put", "experiments/e0001.yaml"], ["exec", "journal/x"], ["remove", "journal/../../precious"],
        ["remove", ".git/config"],
    ]  # fmt: skip
    for step in bad:
        home = own_lab.folder / plan.UNFINISHED
        home.mkdir(parents=True, exist_ok=True)
        (home / "plan.json").write_bytes(orjson.dumps({"told": "x", "steps": [step]}))
        with pytest.raises(LabError, match=r"plan\.json is damaged"):
            plan.finish(own_lab.folder)
    assert (tmp_path / "precious").exists()
    assert (own_lab.folder / "zhurnal.yaml").exists()
    assert taken.used(own_lab) == set(range(1, 7))
