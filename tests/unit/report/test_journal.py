"""The journal's first page: entries newest first, links that work, the rest a person's."""

from helpers_runs import make_run
from zhurnal.report import entry, journal
from zhurnal.store.lab import Lab


def rows(lab: Lab) -> list[str]:
    return [line for line in journal.page(lab).read_text().splitlines() if line.startswith("| 2")]


def test_newest_entries_stand_first(own_lab: Lab) -> None:
    entry.write(own_lab, ["e0006"])
    entry.write(own_lab, ["e0001", "e0002"])
    entry.write(own_lab, ["e0001", "e0003"])
    assert journal.page(own_lab).read_text().startswith("# CIFAR-10 notes\n\n<!-- zhurnal:begin entries sha=")
    assert rows(own_lab) == [
        "| 2026-09-01 | [e0006](e0006.md) | Does a schedule help? | 67.25 % (validated on the test images) |",
        "| 2026-09-01 (not finished) | [e0001,e0003](e0001%2Ce0003.md) | Can LeNet learn CIFAR-10? | 64.68 % (e0001) |",
        "| 2026-09-01 | [e0001-e0002](e0001-e0002.md) | Can LeNet learn CIFAR-10? | 67.05 ± 0.61 % (e0002, mean of 3 seeds) |",
    ]
    make_run(own_lab, "e0001", day=3)
    entry.write(own_lab, ["e0001", "e0002"])
    assert [row[:40] for row in rows(own_lab)] == [
        "| 2026-09-04 (not finished) | [e0001,e00",
        "| 2026-09-04 | [e0001-e0002](e0001-e0002",
        "| 2026-09-01 | [e0006](e0006.md) | Does a"[:40],
    ]


def test_a_persons_words_and_pages_stay(own_lab: Lab) -> None:
    own_lab.journal.mkdir(exist_ok=True)
    (own_lab.journal / "ideas.md").write_text("Mine.")
    (own_lab.journal / "experience.md").write_text("Mine.")
    entry.write(own_lab, ["e0001"])
    page = journal.page(own_lab)
    page.write_text("Before.\n" + page.read_text() + "After.\n")
    entry.write(own_lab, ["e0002"])
    text = page.read_text()
    assert text.startswith("Before.\n# CIFAR-10 notes\n")
    assert text.endswith("<!-- zhurnal:end entries -->\nAfter.\n")
    assert len(rows(own_lab)) == 2
    page.write_text("All mine now.\n")
    entry.write(own_lab, ["e0006"])
    assert page.read_text() == "All mine now.\n"


def test_an_edited_list_is_kept_and_reported(own_lab: Lab) -> None:
    entry.write(own_lab, ["e0001"])
    page = journal.page(own_lab)
    page.write_text(page.read_text().replace("Can LeNet", "Could LeNet"))
    written = entry.write(own_lab, ["e0002"])
    assert len(written.notes) == 1
    assert written.kept == ("entries",)
    assert written.notes[0].startswith("README.md:3: block 'entries' was edited by hand and is kept.")
    assert len(rows(own_lab)) == 1
    entry.write(own_lab, ["e0002"], force=True)
    assert len(rows(own_lab)) == 2


def test_an_entry_whose_experiments_are_gone_is_still_listed(own_lab: Lab) -> None:
    (own_lab.journal / "e0042.md").write_text("# [e0042] From another lab\n")
    entry.write(own_lab, ["e0001"])
    assert "| – | [e0042](e0042.md) | From another lab | – |" in journal.page(own_lab).read_text()
    assert entry.entries_about(own_lab, ["e0042"]) == []


def test_an_empty_journal_says_how_to_begin(own_lab: Lab) -> None:
    assert journal.write(own_lab).notes == ()
    assert "no entries yet: `zhurnal write e0001`" in journal.page(own_lab).read_text()
