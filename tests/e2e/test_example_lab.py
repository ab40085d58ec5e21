"""The example lab: its pages are made from its records, and nothing in it is of one machine."""

import shutil
from pathlib import Path

import pytest

from zhurnal.api import Lab
from zhurnal.report import journal

EXAMPLE = Path(__file__).parents[2] / "examples" / "lenet-on-cifar10"
ENTRIES = ["e0001-e0004", "e0005-e0011", "e0012-e0014", "e0015-e0018", "e0017,e0019,e0021", "e0020"]


@pytest.fixture
def lab(tmp_path) -> Lab:
    shutil.copytree(EXAMPLE, tmp_path / "lab")
    return Lab(tmp_path / "lab")


def test_it_holds_real_runs():
    lab = Lab(EXAMPLE)
    assert len(lab.names()) == 21
    for name in lab.names():
        (run,) = lab.runs(name)
        assert run.finished, name
        assert not run.problems, name
        assert len(run.epochs) == lab.experiment(name).settings.train.epochs
        assert run.effective["data"]["num_train"] == (100 if name == "e0020" else 50_000)
        assert run.effective["data"]["num_val"] == 10_000
        assert not lab.edited(name)
    assert max(r["val_acc"] for r in lab.runs("e0019")[0].epochs) > 0.6622, "the reference's best"


def test_its_entries_are_the_ones_listed():
    assert sorted(p.stem for p, _ in journal.entries(Lab(EXAMPLE))) == sorted(ENTRIES)


@pytest.mark.parametrize("name", ["lenet-on-cifar10", "moving-shapes"])
def test_its_journal_holds(name):
    found = Lab(EXAMPLE.parent / name).verify()
    assert found.holds, [str(p) for p in found.problems]
    assert min(found.counts.values()) > 0


@pytest.mark.slow
def test_write_makes_the_same_pages_from_the_records(lab):
    before = {p.name: p.read_bytes() for p in lab.journal.glob("*.md")}
    for entry in ENTRIES:
        written = lab.write(lab.select(entry))
        assert not written.changed, entry
        assert not written.kept, entry
    assert {p.name: p.read_bytes() for p in lab.journal.glob("*.md")} == before


@pytest.mark.slow
def test_pages_that_were_lost_are_made_anew_with_the_same_numbers(lab):
    table = "<!-- zhurnal:begin table"
    for entry in ENTRIES:
        page = lab.journal / f"{entry}.md"
        before = page.read_text()
        page.unlink()
        lab.write(lab.select(entry))
        after = page.read_text()
        assert (
            after[after.index("<!-- zhurnal:begin header") : after.index("## Observations")]
            == before[before.index("<!-- zhurnal:begin header") : before.index("## Observations")]
        )
        assert table in after
        for part in after.split("](fig/")[1:]:
            assert (lab.journal / "fig" / part.split(")")[0].replace("%2C", ",")).is_file()


def test_nothing_in_it_is_of_one_machine():
    for path in EXAMPLE.rglob("*"):
        if path.is_file() and path.suffix in (".md", ".yaml", ".json", ".jsonl"):
            text = path.read_text()
            assert "/home/" not in text
            assert "/root/" not in text
            assert "/tmp/" not in text
    assert not [p for p in EXAMPLE.rglob("*") if p.suffix in (".pt", ".pth", ".npz", ".jpg")]
