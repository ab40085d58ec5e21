"""Writing entries: a person's words and edits survive, nothing live comes of a user's text, and a refresh without news touches nothing."""

import os
import re
from pathlib import Path

import orjson
import pytest
from markdown_it import MarkdownIt

from helpers_runs import make_run
from zhurnal.core.errors import JournalError, LabError
from zhurnal.report import blocks, entry, journal
from zhurnal.store.lab import Lab


def stamp(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in sorted(folder.rglob("*")) if p.is_file()}


def test_sections_stand_in_the_order_of_the_reference(own_lab: Lab) -> None:
    written = entry.write(own_lab, ["e0002", "e0001"])
    text = written.path.read_text()
    assert written.path.name == "e0001-e0002.md"
    assert text.startswith("# [e0001-e0002] Can LeNet learn CIFAR-10?\n")
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == ["## Motivation", "## Results & Deliverables", "## Observations", "## Weirdness", "## Conclusion"]
    assert [p.name for p in entry.parse_entry(text) if isinstance(p, blocks.Block)] == [*entry.BLOCKS, "observations"]
    assert [w.name for w in written.figures if w.suffix == ".png"] == ["e0001,e0002_val_acc_epoch.png", "e0001,e0002_train_val_loss_epoch.png"]


def test_images_of_an_entry_exist(own_lab: Lab) -> None:
    text = entry.write(own_lab, ["e0001", "e0003"]).path.read_text()
    found = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    assert len(found) == 2
    for link in found:
        assert (own_lab.journal / link.replace("%2C", ",")).is_file()


def test_a_refresh_without_news_touches_no_file(own_lab: Lab) -> None:
    first = entry.write(own_lab, own_lab.names())
    before = stamp(own_lab.folder)
    again = entry.write(Lab(own_lab.folder), own_lab.names())
    assert stamp(own_lab.folder) == before
    assert (first.changed, again.changed, again.notes) == (True, False, ())


def test_news_change_blocks_and_not_one_byte_else(own_lab: Lab) -> None:
    path = entry.write(own_lab, ["e0003"]).path
    text = path.read_text().replace("## Observations\n", "## Observations\n\nIt *rises*   \n\tstill.\n")
    text = text.replace("\n", "\r\n").rstrip("\r\n") + "\n\nno newline at the end"
    path.write_bytes(text.encode())
    make_run(own_lab, "e0003", top=0.7)
    written = entry.write(own_lab, ["e0003"])
    after = path.read_bytes().decode()
    assert (written.changed, written.notes, written.absent) == (True, (), ())
    assert "interrupted" in text
    assert "interrupted" not in after
    prose = [[p.text for p in entry.parse_entry(t) if isinstance(p, blocks.Prose)] for t in (text, after)]
    assert prose[0] == prose[1]
    assert after.count("\n") - after.count("\r\n") == 2  # those that the person wrote
    assert after.endswith("no newline at the end")


def test_an_edited_block_is_kept_and_reported(own_lab: Lab) -> None:
    path = entry.write(own_lab, ["e0003"]).path
    text = path.read_text().replace("| seeds | 42 |", "| seeds | 42, and it rained |")
    path.write_text(text)
    make_run(own_lab, "e0003", top=0.7)
    written = entry.write(own_lab, ["e0003"])
    assert written.changed  # the other blocks
    assert "and it rained" in path.read_text()
    assert "not finished" in path.read_text()
    assert written.kept == ("header",)
    (note,) = written.notes
    assert note.startswith("e0003.md:3: block 'header' was edited by hand and is kept.")
    forced = entry.write(own_lab, ["e0003"], force=True)
    assert forced.notes == ("e0003.md:3: block 'header' was edited by hand and is overwritten",)
    assert forced.kept == ()
    assert "and it rained" not in path.read_text()
    assert entry.write(own_lab, ["e0003"]).notes == ()


def test_a_blank_block_is_written_again(own_lab: Lab) -> None:
    path = entry.write(own_lab, ["e0001"]).path
    text = path.read_text()
    emptied = re.sub(r"(<!-- zhurnal:begin table) sha=\w+ -->.*?(<!-- zhurnal:end table -->)", r"\1 -->\n\2", text, flags=re.DOTALL)
    assert emptied != text
    path.write_text(emptied)
    assert entry.write(own_lab, ["e0001"]).notes == ()
    assert path.read_text() == text


def test_blocks_may_be_moved_and_taken_away(own_lab: Lab) -> None:
    path = entry.write(own_lab, ["e0003"]).path
    found = {p.name: blocks.render([p]) for p in entry.parse_entry(path.read_text()) if isinstance(p, blocks.Block)}
    path.write_text("Mine.\n" + found["figures"] + "Yours.\n" + found["table"])
    make_run(own_lab, "e0003", top=0.7)
    written = entry.write(own_lab, ["e0003"])
    parts = entry.parse_entry(path.read_text())
    assert [p.name if isinstance(p, blocks.Block) else p.text for p in parts] == ["Mine.\n", "figures", "Yours.\n", "table"]
    assert written.absent == ("header", "motivation", "results")
    assert written.notes == ()
    assert "interrupted" not in path.read_text()


@pytest.mark.parametrize("page", ["e0001.md", "README.md"])
def test_a_damaged_page_stops_everything(own_lab: Lab, page: str) -> None:
    entry.write(own_lab, ["e0001"])
    make_run(own_lab, "e0001", top=0.5)
    path = own_lab.journal / page
    path.write_text(path.read_text().replace("<!-- zhurnal:end", "<!-- zhurnal:fin", 1))
    before = stamp(own_lab.journal)
    with pytest.raises(JournalError, match=rf"{page}:\d+: "):
        entry.write(own_lab, ["e0001"])
    assert stamp(own_lab.journal) == before


def test_a_page_that_is_no_utf8(own_lab: Lab) -> None:
    path = entry.write(own_lab, ["e0001"]).path
    path.write_bytes(path.read_bytes() + b"\ncaf\xe9\n")
    with pytest.raises(JournalError, match=rf"e0001.md:{path.read_bytes().count(10)}: this is not UTF-8"):
        entry.write(own_lab, ["e0001"])


def test_a_page_changed_meanwhile_is_not_overwritten(own_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    path = entry.write(own_lab, ["e0001"]).path
    make_run(own_lab, "e0001", top=0.5)
    draw = entry.figures.draw_all

    def draw_while_someone_saves(*args):
        path.write_text(path.read_text() + "saved meanwhile\n")
        return draw(*args)

    monkeypatch.setattr(entry.figures, "draw_all", draw_while_someone_saves)
    with pytest.raises(JournalError, match="changed while it was being written"):
        entry.write(own_lab, ["e0001"])
    assert path.read_text().endswith("saved meanwhile\n")


def test_notes_of_the_data_are_told_once(own_lab: Lab) -> None:
    make_run(own_lab, "e0001", data={"notes": ["validation: 10 % of the training images, stratified", "2 images could not be read"]})
    text = entry.write(own_lab, ["e0001"]).path.read_text()
    assert "| validated | on 10 % of the training images, stratified |" in text
    assert "| notes | 2 images could not be read |" in text


def test_nothing_to_write_about(own_lab: Lab) -> None:
    with pytest.raises(JournalError, match="there is nothing to write about e0005 yet, none has run: run first, `zhurnal run e0005`"):
        entry.write(own_lab, ["e0005"])
    with pytest.raises(LabError, match="e0099 does not exist"):
        entry.write(own_lab, ["e0099"])
    assert not list(own_lab.journal.glob("*.md"))


def test_a_run_without_a_whole_epoch_is_told_without_figures(own_lab: Lab) -> None:
    make_run(own_lab, "e0005", epochs=0, status="failed", reason="out of memory")
    written = entry.write(own_lab, ["e0005"])
    text = written.path.read_text()
    assert written.figures == ()
    assert "No epoch was finished, so there is no accuracy." in text
    assert "Not finished: e0005, failed: out of memory." in text
    assert "![" not in text


def test_overlapping_entries_are_noted_when_new(own_lab: Lab) -> None:
    entry.write(own_lab, ["e0001", "e0002"])
    assert entry.write(own_lab, ["e0001"]).notes == ("e0001 is also in e0001-e0002.md: this is another entry",)
    assert entry.write(own_lab, ["e0001"]).notes == ()
    assert entry.entries_about(own_lab, {"e0002"}) == [["e0001", "e0002"]]
    assert entry.entries_about(own_lab, {"e0001", "e0006"}) == [["e0001", "e0002"], ["e0001"]]


def test_the_header_tells_what_it_starts_from(own_lab: Lab) -> None:
    own_lab.new({"model.weights": "e0001:best"}, parent="e0001", question="Do weights help?")
    own_lab.new({}, continues="e0001", question="Longer?")
    for name in ("e0007", "e0008"):
        make_run(own_lab, name)
    text = entry.write(own_lab, ["e0007", "e0008"]).path.read_text()
    assert "| cont. | e0008: e0001 |" in text
    assert "| weights | e0007: e0001:best |" in text
    assert "- e0007: Do weights help?\n- e0008: Longer?\n" in text


NASTY = "</p><script>alert(1)</script> [x](javascript:alert(2)) ![y](z) --> <!-- zhurnal:end table --> | a | `c` $m$ <b>"


def test_nothing_live_comes_of_a_users_text(own_lab: Lab) -> None:
    lab = own_lab
    name = lab.new({}, parent="e0001", question=NASTY).name
    data = {"name": NASTY, "validation": NASTY, "notes": [NASTY], "classes": [NASTY]}
    home = make_run(lab, name, epochs=2, status="failed", reason=NASTY, data=data)
    effective = orjson.loads((home / "effective.json").read_bytes())
    effective["device"] = effective["settings"]["model"]["weights"] = NASTY
    (home / "effective.json").write_bytes(orjson.dumps(effective))
    entry.write(lab, [name])
    written = entry.write(lab, [name, "e0001"])
    for path in (written.path, journal.page(lab)):
        text = path.read_text()
        html = MarkdownIt("commonmark").enable("table").render(text)
        bare = re.sub(r"<!--.*?-->", "", html, flags=re.DOTALL)
        assert "&lt;script&gt;" in bare
        assert "zhurnal:end" in bare  # shown, not hidden in a comment
        assert set(re.findall(r"<(\w+)", bare)) <= {
            "h1",
            "h2",
            "p",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "ul",
            "li",
            "img",
            "br",
            "a",
            "strong",
            "details",
            "summary",
        }
        assert not re.search(r'(href|src)="(?!fig/|e\d)', bare)
        columns = {line.count("<t") for row in re.findall(r"<tr>.*?</tr>", bare, re.DOTALL) for line in [row]}
        assert columns <= {3, 5, 9}
    assert len(entry.parse_entry(written.path.read_text())) > 5
    assert entry.write(lab, [name, "e0001"]).changed is False


def test_another_version_that_says_the_same_leaves_the_page_alone(own_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    entry.write(own_lab, ["e0001"])
    before = stamp(own_lab.journal)
    monkeypatch.setattr(entry, "__version__", "9.9.9")
    monkeypatch.setattr(journal, "__version__", "9.9.9")
    assert entry.write(own_lab, ["e0001"]).changed is False
    assert stamp(own_lab.journal) == before


def test_a_link_stays_a_link(own_lab: Lab, tmp_path: Path) -> None:
    path = entry.write(own_lab, ["e0003"]).path
    real = tmp_path / "elsewhere.md"
    os.replace(path, real)  # noqa: PTH105
    path.symlink_to(real)
    make_run(own_lab, "e0003", top=0.7)
    assert entry.write(own_lab, ["e0003"]).changed
    assert path.is_symlink()
    assert "interrupted" not in real.read_text()


def test_an_entry_about_too_many_scattered_experiments(own_lab: Lab) -> None:
    names = [f"e{n:04d}" for n in range(1, 101, 2)]
    with pytest.raises(JournalError, match="needs a file name of 299 characters, must be at most 200"):
        entry.path_of(own_lab, names)


def test_observations_are_put_under_their_heading_on_an_older_page(own_lab: Lab) -> None:
    path = entry.write(own_lab, ["e0001", "e0003"]).path
    whole = path.read_text()
    begin, end = whole.index("<!-- zhurnal:begin observations"), whole.index("<!-- What do the table")
    old = whole[:begin] + "My own sentence.\n\n" + whole[end:]
    path.write_text(old)
    assert entry.write(own_lab, ["e0001", "e0003"]).changed is False
    assert path.read_text() == old
    entry.write(own_lab, ["e0001", "e0003"], add=["observations"])
    after = path.read_text()
    heading, block, own = (after.index(t) for t in ("## Observations", "<!-- zhurnal:begin observations", "My own sentence."))
    assert heading < block < own
    assert "<details><summary>evidence</summary>" in after[block:own]


@pytest.mark.parametrize("how", ["exact McNemar test", "t test with the deviation of classes"])
def test_a_block_that_rests_on_images_is_kept_where_they_are_missing(how: str, own_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from zhurnal.report import results

    monkeypatch.setitem(results.OPTIONAL, "observations", lambda told, lab: f"- e0003: {how} on the same 10 images")
    path = entry.write(own_lab, ["e0003"]).path
    assert "observations" in path.read_text()
    entry.write(own_lab, ["e0003"])
    before = path.read_text()
    monkeypatch.setitem(results.OPTIONAL, "observations", lambda told, lab: "- e0003: no per-image results here")
    written = entry.write(own_lab, ["e0003"])
    assert path.read_text() == before
    assert "it rests on per-image results, which are not here" in written.notes[-1]
