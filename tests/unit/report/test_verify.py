"""`verify`: a clean journal reports nothing; each kind of problem is found, with its place. Sentences are in test_claims.py."""

import json
import re
from pathlib import Path

import orjson
import pytest

from helpers_runs import make_run
from zhurnal.cli import main
from zhurnal.core.errors import LabError
from zhurnal.report import blocks, entry
from zhurnal.report.problems import Problem, Verified
from zhurnal.report.verify import verify
from zhurnal.store.lab import Lab

ENTRIES = ("e0001-e0002", "e0003-e0005", "e0006")


@pytest.fixture
def lab(own_lab: Lab) -> Lab:
    for text in ENTRIES:
        entry.write(own_lab, own_lab.select(text))
    return Lab(own_lab.folder)


def page(lab: Lab, name: str = "e0001-e0002") -> Path:
    return lab.journal / f"{name}.md"


def edit(path: Path, old: str, new: str) -> int:
    """Replace the first `old` of a file and return the line it stands in."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return text[: text.index(old)].count("\n") + 1


def add(lab: Lab, text: str, name: str = "e0001-e0002") -> int:
    """Add a paragraph to a page and return its line."""
    before = page(lab, name).read_text()
    page(lab, name).write_text(f"{before}\n{text}\n")
    return before.count("\n") + 2


def only(found: Verified) -> Problem:
    assert len(found.problems) == 1, [str(p) for p in found.problems]
    return found.problems[0]


def test_a_clean_journal_holds(lab: Lab) -> None:
    found = verify(lab)
    assert found.holds, [str(p) for p in found.problems]
    assert (found.counts["entries"], found.counts["blocks"], found.counts["figures"], found.counts["records"]) == (3, 19, 6, 7)
    assert found.notes == ()
    before = {p: p.read_bytes() for p in lab.folder.rglob("*") if p.is_file() and ".zhurnal" not in p.parts}
    verify(lab)
    assert {p: p.read_bytes() for p in lab.folder.rglob("*") if p.is_file() and ".zhurnal" not in p.parts} == before


def test_a_block_out_of_date_names_the_line_and_what_the_records_say(lab: Lab) -> None:
    make_run(lab, "e0006", top=0.69, tau=6)
    found = verify(lab)
    told = {(p.kind, p.file) for p in found.problems}
    assert told == {("block", "journal/e0006.md"), ("block", "journal/README.md"), ("figure", "journal/e0006.md")}
    text = page(lab, "e0006").read_text().splitlines()
    (results,) = [p for p in found.problems if "block 'results'" in p.text]
    assert text[results.line - 1] in results.text
    assert results.evidence.startswith("the records say: e0006: best validation accuracy 69.")
    assert "`zhurnal write e0006`" in results.text


def test_a_block_edited_by_hand(lab: Lab) -> None:
    line = edit(page(lab), "| e0001 |", "| e0001, the best |")
    found = only(verify(lab))
    assert (found.kind, found.line) == ("edited", line)
    assert "block 'table' was edited by hand: it says: | e0001, the best |" in found.text
    assert found.evidence.startswith("the records say: | e0001 |")


def test_a_block_edited_with_a_hash_that_fits_is_out_of_date(lab: Lab) -> None:
    text = page(lab).read_text()
    (table,) = [p for p in entry.parse_entry(text) if isinstance(p, blocks.Block) and p.name == "table"]
    body = table.body.replace("lenet", "le-net").replace("62,006", "62,007", 1)
    page(lab).write_text(text.replace(table.body, body).replace(table.sha, blocks.digest(body)))
    assert only(verify(lab)).kind == "block"


def test_a_changed_hash(lab: Lab) -> None:
    edit(page(lab), "begin header sha=", "begin header sha=00000000 -->\n<!-- was ")
    text = page(lab).read_text()
    page(lab).write_text(re.sub(r"(sha=00000000 -->\n)<!-- was [^\n]*\n", r"\1", text))
    found = only(verify(lab))
    assert found.kind == "edited"
    assert "or the hash in its marker was" in found.text
    assert found.evidence == "the records say what the block says"


def test_an_empty_block_and_windows_line_ends(lab: Lab) -> None:
    data = page(lab).read_bytes().replace(b"\n", b"\r\n")
    page(lab).write_bytes(data)
    assert verify(lab).holds
    text = page(lab, "e0006").read_text()
    page(lab, "e0006").write_text(
        re.sub(r"(begin results) sha=\w+ -->\n.*?<!-- zhurnal:end results", r"\1 -->\n<!-- zhurnal:end results", text, flags=re.S)
    )
    assert only(verify(lab)).text.startswith("block 'results' is out of date. Write it again")


def test_a_block_that_another_version_wrote_the_same_holds(lab: Lab) -> None:
    text = page(lab).read_text().replace("; zhurnal 0.1.0 -->", "; zhurnal 0.0.9 -->")
    for part in entry.parse_entry(text):
        if isinstance(part, blocks.Block):
            text = text.replace(part.sha, blocks.digest(part.body))
    page(lab).write_text(text)
    assert verify(lab).holds


def test_markers_that_do_not_fit(lab: Lab) -> None:
    edit(page(lab), "<!-- zhurnal:end results -->\n", "")
    found = [p for p in verify(lab).problems if p.kind == "page"]
    assert found
    assert all(p.line for p in found)


def test_the_list_of_entries(lab: Lab) -> None:
    page(lab, "e0006").rename(lab.journal / "e0001,e0006.md")
    kinds = {(p.kind, p.file) for p in verify(lab).problems}
    assert ("block", "journal/README.md") in kinds
    assert ("link", "journal/README.md") in kinds
    assert ("block", "journal/e0001,e0006.md") in kinds


# --- figures ---


def test_a_figure_of_other_records(lab: Lab) -> None:
    svg = lab.journal / "fig" / "e0006_val_acc_epoch.svg"
    assert svg.read_text().rstrip().splitlines()[-1].startswith("<!-- zhurnal source=")
    (lab.journal / "fig" / "e0006_val_acc_epoch.png").write_bytes((lab.journal / "fig" / "e0001,e0002_val_acc_epoch.png").read_bytes())
    found = only(verify(lab))
    assert found.text.startswith("figure e0006_val_acc_epoch.png shows something else than the records hold. Draw it again: `zhurnal write e0006`")
    assert "e0006_val_acc_epoch.png" in page(lab, "e0006").read_text().splitlines()[found.line - 1]


def test_a_figure_that_was_touched_up(lab: Lab) -> None:
    edit(lab.journal / "fig" / "e0006_val_acc_epoch.svg", "val_acc_epoch", "my_acc_epoch")
    assert "e0006_val_acc_epoch.svg was changed after it was drawn" in only(verify(lab)).text


def test_a_figure_without_a_stamp_and_one_that_is_missing(lab: Lab) -> None:
    (lab.journal / "fig" / "e0006_val_acc_epoch.svg").write_text("<svg/>")
    (lab.journal / "fig" / "e0006_train_val_loss_epoch.png").unlink()
    found = verify(lab).problems
    assert {p.text.partition(" ")[2].partition(".")[0]: p.kind for p in found} == {
        "e0006_val_acc_epoch": "figure",
        "e0006_train_val_loss_epoch": "figure",
    }
    assert any("does not say what it was drawn from" in p.text for p in found)
    assert any("is missing: draw it again, `zhurnal write e0006`" in p.text for p in found)


def test_figures_that_no_page_shows_are_noted_only(lab: Lab) -> None:
    from zhurnal.analyze import figures

    figures.draw(lab, ["e0001", "e0006"], ["val_loss_epoch"], lab.journal / "fig")
    found = verify(lab)
    assert found.holds
    assert [(n.file, n.text) for n in found.notes] == [
        ("journal/fig/e0001,e0006_val_loss_epoch.png", "no page shows it"),
        ("journal/fig/e0001,e0006_val_loss_epoch.svg", "no page shows it"),
    ]


def test_a_block_of_predictions_that_are_not_here_is_noted(lab: Lab) -> None:
    entry.write(lab, ["e0006"], add=["classes"])
    text = page(lab, "e0006").read_text()
    (block,) = [p for p in entry.parse_entry(text) if isinstance(p, blocks.Block) and p.name == "classes"]
    made_elsewhere = "\nOf 500 airplanes 300 are right.\n\n"
    page(lab, "e0006").write_text(text.replace(block.body, made_elsewhere).replace(block.sha, blocks.digest(made_elsewhere)))
    found = verify(lab)
    assert found.holds
    assert "block 'classes' is not checked: the predictions of e0006 are not here" in found.notes[0].text
    edit(page(lab, "e0006"), "300 are right", "400 are right")
    assert only(verify(lab)).text == "block 'classes' was edited by hand"


def test_writing_keeps_a_block_of_predictions_that_are_not_here(lab: Lab) -> None:
    entry.write(lab, ["e0006"], add=["classes"])
    text = page(lab, "e0006").read_text()
    (block,) = [p for p in entry.parse_entry(text) if isinstance(p, blocks.Block) and p.name == "classes"]
    assert str(lab.folder) not in block.body
    made_elsewhere = "\nOf 500 airplanes 300 are right.\n\n"
    page(lab, "e0006").write_text(text.replace(block.body, made_elsewhere).replace(block.sha, blocks.digest(made_elsewhere)))
    for options in ({}, {"add": ["classes"]}, {"force": True}):
        written = entry.write(lab, ["e0006"], **options)
        assert made_elsewhere in page(lab, "e0006").read_text()
        assert "block classes is kept as on the page: made from predictions of e0006, which are not here" in written.notes[0]
    assert verify(lab).holds


# --- links ---


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("See [the plan](plan.md).", "plan.md leads nowhere"),
        ("![a sketch](<my sketch.png>)", "my sketch.png leads nowhere"),
        ("[there](e0006.md#no-such-heading)", "#no-such-heading leads nowhere: e0006.md has no such heading"),
        ("[here](#weirdnesses)", "#weirdnesses leads nowhere"),
        ("![mine](/home/me/a.png)", "/home/me/a.png is a path of one machine"),
        ('<img src="gone.svg" width="100">', "gone.svg leads nowhere"),
        ("[ref]: gone.md", "gone.md leads nowhere"),
    ],
)
def test_dead_links(lab: Lab, text: str, said: str) -> None:
    line = add(lab, text)
    found = only(verify(lab))
    assert (found.kind, found.line) == ("link", line)
    assert found.text.startswith(said)


def test_links_that_live_and_links_that_are_none(lab: Lab) -> None:
    add(lab, "[a](e0006.md) [b](e0006.md#results--deliverables) [c](#weirdness) [d](../zhurnal.yaml) [e](https://example.org/x) [f](mailto:a@b.c)")
    add(lab, "`[code](gone.md)` <!-- [comment](gone.md) -->\n\n```\n[fenced](gone.md)\n```\n\nf(x)[1](2).")
    found = verify(lab)
    assert [str(p) for p in found.problems] == [
        f"journal/e0001-e0002.md:{page(lab).read_text().count(chr(10))}: 2 leads nowhere: there is no such file"
    ]


# --- experiments and records ---


def test_experiments_in_no_entry_and_entries_about_none(lab: Lab) -> None:
    page(lab, "e0006").rename(lab.journal / "e0006-e0007.md")
    entry.journal.write(lab)
    found = verify(lab)
    assert [p.text for p in found.problems if p.kind == "entry"] == [
        "the entry is about e0007, which does not exist: rename the page after the experiments it is about"
    ]
    page(lab, "e0006-e0007").unlink()
    entry.journal.write(lab)
    told = only(verify(lab))
    assert (told.file, told.text) == ("experiments/e0006.yaml", "e0006 ran and is in no entry of the journal: `zhurnal write e0006`")


def test_damaged_lines_of_records(lab: Lab) -> None:
    record = lab.run_folder("e0001", 42) / "record.jsonl"
    line = edit(record, '"val_acc":0.6', '"val_acc":0.7')
    events = lab.run_folder("e0006", 42) / "events.jsonl"
    events.write_bytes(events.read_bytes()[:-9])
    found = [p for p in verify(lab).problems if p.kind == "record"]
    assert [(p.file, p.line) for p in found][:2] == [
        ("experiments/logs/e0001/s42/record.jsonl", 0),  # an epoch is missing
        ("experiments/logs/e0001/s42/record.jsonl", line),
    ]
    assert "checksum does not fit: the line was changed or is damaged" in found[1].text
    assert any(p.file.endswith("e0006/s42/events.jsonl") and "torn" in p.text for p in found)


def test_a_record_that_contradicts_itself(lab: Lab) -> None:
    from zhurnal.core.records import decode_all, encode

    path = lab.run_folder("e0001", 42) / "record.jsonl"
    rows, _, _ = decode_all(path.read_bytes())
    rows[-1]["best_epoch"] = 3
    path.write_bytes(b"".join(encode({k: v for k, v in r.items() if k != "crc"}) for r in rows))
    assert "its last row says that epoch 3 was best" in only(verify(lab)).text


def test_an_experiment_edited_after_it_ran_and_one_that_cannot_be_read(lab: Lab) -> None:
    with lab.file("e0006").open("a") as file:
        file.write("# a comment changes nothing\n")
    assert verify(lab).holds
    edit(lab.file("e0006"), "scheduler.step_size: 20", "scheduler.step_size: 25")
    (told,) = [p for p in verify(Lab(lab.folder)).problems if p.kind == "record"]
    assert told.text.startswith("was edited after it ran (scheduler.step_size=25)")
    edit(lab.file("e0006"), "scheduler.step_size: 25", "scheduler.step_sise: 25")
    found = [p for p in verify(Lab(lab.folder)).problems if p.kind == "record"]
    assert any(p.file == "experiments/e0006.yaml" and p.line and "did you mean 'step_size'" in p.text for p in found)


def test_effective_settings_that_are_gone(lab: Lab) -> None:
    (lab.run_folder("e0006", 42) / "effective.json").write_bytes(orjson.dumps([1]))
    assert any(p.file.endswith("s42/effective.json") for p in verify(lab).problems)


# --- what stands twice ---


def test_text_of_another_entry(lab: Lab) -> None:
    sentence = "The curve of the validation loss falls fast at first, and is *flat* after ten epochs or so."
    add(lab, f"- {sentence}", "e0001-e0002")
    line = add(lab, sentence.replace("*", "").replace("falls fast", "falls\nfast"), "e0006")
    found = only(verify(lab))
    assert (found.kind, found.file, found.line) == ("repeated", "journal/e0006.md", line)
    assert found.quote == sentence.replace("*", "")
    assert "stands word for word in journal/e0001-e0002.md:" in found.text


@pytest.mark.parametrize(
    ("text", "twice"),
    [
        ("We compare e0001, e0002 and e0001.", "e0001"),
        ("## More of e0001-e0003, e0002", "e0002"),
        ("| run | acc. |\n|---|---|\n| e0001 | – |\n| e0001 | – |", "e0001"),
    ],
)
def test_an_experiment_listed_twice(lab: Lab, text: str, twice: str) -> None:
    add(lab, text)
    found = only(verify(lab))
    assert (found.kind, f"lists {twice} twice" in found.text) == ("repeated", True)


@pytest.mark.parametrize(
    "text",
    [
        "e0001 and e0002 end alike, and e0001 is done first.",
        "| run | seed |\n|---|---|\n| e0002 | 1 |\n| e0002 | 2 |",
        "Nothing.",
        "From e0001 to e0002.",
    ],
)
def test_what_is_not_listed_twice(lab: Lab, text: str) -> None:
    add(lab, text)
    assert verify(lab).holds


# --- some entries only, and the command ---


def test_only_the_entries_about_some_experiments(lab: Lab) -> None:
    edit(page(lab), "| e0001 |", "| e0001! |")
    assert verify(lab, ["e0006"]).holds
    assert not verify(lab, ["e0002"]).holds
    lab.new({}, question="?")
    with pytest.raises(LabError, match="no entry of the journal is about e0007: write one with `zhurnal write e0007`"):
        verify(Lab(lab.folder), ["e0007"])


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = 0
    try:
        main(list(arguments))
    except SystemExit as end:
        status = int(end.code or 0)
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def test_exit_status_text_and_json(lab: Lab, capsys, monkeypatch) -> None:
    monkeypatch.chdir(lab.folder)
    status, out, _ = command(capsys, "verify")
    assert (status, out) == (0, "all holds: 3 entries, 19 blocks, 6 figures, 0 sentences, 9 links, 7 records\n")
    line = edit(page(lab), "| e0001 |", "| e0001! |")
    status, out, _ = command(capsys, "verify", "e0001")
    assert status == 1
    assert out.startswith(f"journal/e0001-e0002.md:{line}: block 'table' was edited by hand")
    assert out.splitlines()[-1].startswith("1 thing in 1 file does not hold, of 1 entry, 6 blocks")
    status, out, _ = command(capsys, "verify", "--json")
    told = json.loads(out)
    assert (status, told["holds"], told["problems"][0]["line"]) == (1, False, line)
    status, out, err = command(capsys, "verify", "e0099")
    assert (status, out) == (2, "")
    assert "e0099 does not exist" in err
    monkeypatch.chdir(lab.folder.parent)
    assert command(capsys, "--lab", "lab", "verify")[1].startswith("lab/journal/e0001-e0002.md")
