"""Two labs put together: what both have once, what collides under another number, nothing of this lab changed."""

import shutil

import pytest

from campaign.forks import killed_at, snapshot
from helpers_runs import make_run
from zhurnal.api import Lab
from zhurnal.core.errors import LabError
from zhurnal.store import plan


@pytest.fixture
def two(own_lab, tmp_path):
    """Two labs that had e0001-e0006 together and went apart: each has an e0007; theirs a child e0008 and a run that ours lacks."""
    other = Lab(shutil.copytree(own_lab.folder, tmp_path / "other"))
    own_lab.new({"optimizer.lr": 0.5}, parent="e0001", question="Ours?")
    other.file("e0007").write_text("question: Theirs?\nparent: e0001\nchanges:\n  optimizer.lr: 0.7\ncreated: '2026-01-01T00:00:00+00:00'\n")
    other.new({"train.epochs": 4}, parent="e0007", continues="e0007", question="The child of e0007?")
    make_run(other, "e0007", epochs=2)
    make_run(other, "e0008", epochs=4)
    make_run(other, "e0005", epochs=2)
    other.write(["e0007", "e0008"])
    (other.logs / "e0007_model_best.pth").write_bytes(b"theirs")
    return own_lab, other


def test_what_collides_gets_another_number_and_its_child_follows(two):
    ours, theirs = two
    before, mine = snapshot(theirs.folder), snapshot(ours.folder)
    done = ours.merge(theirs.folder)
    assert snapshot(theirs.folder) == before
    assert (done.names, done.mapping, done.same) == (
        ("e0009", "e0008"),
        {"e0007": "e0009"},
        ("e0001", "e0002", "e0003", "e0004", "e0005", "e0006"),
    )
    lab = Lab(ours.folder)
    found = snapshot(lab.folder)
    assert {p: found[p] for p in mine if not p.startswith(("journal", ".zhurnal"))} == {
        p: s for p, s in mine.items() if not p.startswith(("journal", ".zhurnal"))
    }
    assert lab.experiment("e0008").continues == lab.experiment("e0008").parent == "e0009"
    assert lab.experiment("e0008").question == "The child of e0009?"
    assert lab.runs("e0008")[0].effective["started_from"]["experiment"] == "e0009"
    assert len(lab.runs("e0005")) == 1
    assert (lab.logs / "e0009_model_best.pth").read_bytes() == b"theirs"
    page = (lab.journal / "e0008-e0009.md").read_text()
    assert "e0007" not in page
    assert not lab.write(["e0008", "e0009"]).kept
    assert lab.new({}).name == "e0010"
    again = lab.merge(theirs.folder)
    assert again.names == ()
    assert set(again.same) == {f"e{n:04d}" for n in range(1, 9)}


def test_a_free_number_is_kept_as_it_is(two):
    ours, theirs = two
    ours.rm(["e0007"])
    done = ours.merge(theirs.folder)
    assert done.mapping == {"e0007": "e0009"}  # the removed one's number is not given again
    assert done.names == ("e0009", "e0008")
    assert ours.experiment("e0008").parent == "e0009"


def test_words_and_records_of_both_sides_are_kept(two):
    ours, theirs = two
    ours.write(["e0001"])
    theirs.write(["e0001"])
    for lab, words in ((ours, "We say so."), (theirs, "They say so.")):
        page = lab.journal / "e0001.md"
        page.write_text(page.read_text().replace("## Conclusion", f"## Conclusion\n\n{words}"))
    make_run(theirs, "e0001", epochs=3)
    done = ours.merge(theirs.folder)
    assert "journal/e0001.md is there in both labs, in other words: theirs is beside it as e0001.theirs.md" in done.notes
    assert "e0001 seed 42 ran in both labs, and the records differ: this lab's is kept" in done.notes
    assert "We say so." in (ours.journal / "e0001.md").read_text()
    assert "They say so." in (ours.journal / "e0001.theirs.md").read_text()


def test_links_are_not_brought_and_what_lacks_is_named(two, tmp_path):
    ours, theirs = two
    (tmp_path / "secret").write_text("secret")
    (theirs.run_folder("e0007", 42) / "checkpoints").symlink_to(tmp_path)
    (theirs.run_folder("e0007", 42) / "notes.txt").symlink_to(tmp_path / "secret")
    theirs.new({"model": "my_net.py:Net"})
    done = ours.merge(theirs.folder)
    assert not (ours.run_folder("e0009", 42) / "checkpoints").exists()
    assert not any(p.is_symlink() for p in ours.folder.rglob("*"))
    assert sum("is a link" in note for note in done.notes) == 2
    assert any("my_net.py is not there" in note for note in done.notes)


def test_what_is_no_other_lab_is_told(own_lab, tmp_path):
    with pytest.raises(LabError, match="this lab itself"):
        own_lab.merge(own_lab.folder)
    with pytest.raises(LabError, match="is no lab"):
        own_lab.merge(tmp_path)


@pytest.mark.slow
def test_killed_at_any_moment_it_is_done_or_not_begun(two, tmp_path, monkeypatch):
    monkeypatch.setattr(Lab, "_refresh", lambda *_: [])
    ours, theirs = two
    before = snapshot(ours.folder)
    whole = Lab(shutil.copytree(ours.folder, tmp_path / "whole"))
    whole.merge(theirs.folder)
    after = snapshot(whole.folder)
    ends = set()
    for number in range(1, 400):
        copy = Lab(shutil.copytree(ours.folder, tmp_path / str(number)))
        if not killed_at(number, lambda copy=copy: copy.merge(theirs.folder)):
            break
        plan.finish(copy.folder)
        found = snapshot(copy.folder)
        if found != after:  # numbers that were kept by the killed command, and are not given again
            found = {p: s for p, s in found.items() if not p.startswith("experiments/removed/")}
        assert found in (before, after), number
        ends.add(found == after)
        shutil.rmtree(copy.folder)
    assert ends == {True, False}
    assert number > 50
