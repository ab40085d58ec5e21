"""Numbers in texts: what is a mention, and what a text says with another number."""

import pytest

from zhurnal.core.records import encode
from zhurnal.report import blocks
from zhurnal.tidy import mentions, rewrite

MOVED = {"e0007": "e0012"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("e0007", "e0012"),
        ('As e0007\'s loss (e0007), e0007: "e0007".', 'As e0012\'s loss (e0012), e0012: "e0012".'),
        ("[e0007](e0007.md)", "[e0012](e0012.md)"),
        ("[e0005-e0008]", "[e0005-e0006,e0008,e0012]"),
        ("e0006-e0007", "e0006,e0012"),
        ("e0005–e0008", "e0005-e0006,e0008,e0012"),
        ("e0006, e0007 and e0008", "e0006, e0012 and e0008"),
        ("![x](fig/e0007%2Ce0008_val_acc_epoch.png)", "![x](fig/e0008%2Ce0012_val_acc_epoch.png)"),
        ("experiments/logs/e0007_model_best.pth", "experiments/logs/e0012_model_best.pth"),
        ("model.weights=e0007:best", "model.weights=e0012:best"),
        ("e0009-e0007", "e0009-e0012"),
        ("e0001-e0003", "e0001-e0003"),
        ("e00071 xe0007 e0007x E7 e7 0007 run-e0007.md", "e00071 xe0007 e0007x E7 e7 0007 run-e0007.md"),
        ("", ""),
    ],
)
def test_whole_words_are_mentions(before, after):
    assert mentions.renamed(before, MOVED) == after


def test_two_numbers_can_change_places():
    assert mentions.renamed("e0001 beats e0002", {"e0001": "e0002", "e0002": "e0001"}) == "e0002 beats e0001"


def test_a_hostile_page_takes_no_time():
    text = "e0001-e9999999," * 20_000 + "e0007" * 20_000 + "-e0007" * 20_000
    assert len(mentions.renamed(text, MOVED)) == len(text)


def test_a_generated_block_stays_one_and_an_edited_one_stays_edited():
    page = (
        "# About e0007\n\n"
        + blocks.make("table", "| e0007 | 5 |")
        + "mine: e0007\n"
        + blocks.make("results", "e0007 is best.").replace("best", "worst")
    )
    after = mentions.page(page, MOVED)
    assert "e0007" not in after
    first, second = (p for p in blocks.parse(after, "x", ("table", "results")) if isinstance(p, blocks.Block))
    assert (first.edited, second.edited) == (False, True)


def test_a_page_with_broken_markers_is_text():
    assert mentions.page("<!-- zhurnal:begin table -->\ne0007\n", MOVED) == "<!-- zhurnal:begin table -->\ne0012\n"


def test_a_file_keeps_all_but_the_number():
    before = "# e0007 first\nquestion: 'As e0007?'\nparent: E7   # why\ncontinue: 7\nchanges:\n  model.weights: e7:best\n  train.epochs: 7\n"
    before += "series: e0005-e0008\n"
    assert mentions.yaml(before, MOVED) == (
        "# e0012 first\nquestion: 'As e0012?'\nparent: e0012   # why\ncontinue: e0012\nchanges:\n  model.weights: e0012:best\n  train.epochs: 7\n"
        "series: e0005-e0006,e0008,e0012\n"
    )


def test_effective_settings_change_only_where_they_name_an_experiment():
    before = {
        "experiment": "e0008", "seed": 1, "continue": "e0007", "settings": {"model": {"name": "lenet", "weights": "e0007:last"}, "seeds": [7]},
        "started_from": {"kind": "continue", "experiment": "e0007"}, "data": {"classes": ["e0007", "cat"], "fingerprint": "e0007"},
    }  # fmt: skip
    after = mentions.effective(before, MOVED)
    assert (after["continue"], after["settings"]["model"]["weights"], after["started_from"]["experiment"]) == ("e0012", "e0012:last", "e0012")
    assert after["data"] == before["data"]
    assert list(after) == list(before)


def test_lines_get_their_checksums_anew_and_damaged_ones_stay(tmp_path):
    path = tmp_path / "experiments" / "logs" / "e0007" / "s1" / "events.jsonl"
    path.parent.mkdir(parents=True)
    kept, torn = encode({"kind": "start", "time": "x", "step": 0}), b'{"kind":"warning","text":"e0007","crc":"00000000"}\n'
    path.write_bytes(kept + encode({"kind": "stop", "time": "x", "status": "failed", "step": 1, "reason": "`zhurnal run e0007` goes on"}) + torn)
    (found,) = rewrite.changed(tmp_path, ["e0007"], MOVED).values()
    assert found[1].startswith(kept)
    assert found[1].endswith(torn)
    assert encode({"kind": "stop", "time": "x", "status": "failed", "step": 1, "reason": "`zhurnal run e0012` goes on"}) in found[1]
