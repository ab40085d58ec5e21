"""Seeds as one word: asked for when an experiment is made, or added to it later."""

import pytest
from click.testing import CliRunner

from helpers_runs import make_run
from zhurnal.analyze import summary, table
from zhurnal.api import Lab
from zhurnal.cli import cli
from zhurnal.core.errors import LabError, SettingsError
from zhurnal.jobs.plan import runs_of
from zhurnal.store.view import look


@pytest.fixture
def lab(tmp_path, monkeypatch) -> Lab:
    monkeypatch.setattr("os.fsync", lambda _: None)
    lab = Lab(Lab.init(tmp_path / "lab").folder)
    lab.new({"model": "lenet", "data": "cifar10", "train.epochs": 5}, question="Can it?")
    lab.new({"optimizer": "adam"}, parent="e0001", question="Adam?")
    return lab


def test_more_seeds_are_asked_for_and_children_keep_theirs(lab: Lab) -> None:
    make_run(lab, "e0001")
    make_run(lab, "e0002")
    assert lab.repeat("e0001", 3).seeds == (42, 43, 44)
    assert lab.experiment("e0002").seeds == (42,)
    assert runs_of(lab, ["e0001", "e0002"]) == [("e0001", 42), ("e0001", 43), ("e0001", 44), ("e0002", 42)]
    first, second = summary.read_all(lab, ["e0001", "e0002"])
    assert first.unfinished == "seeds 43, 44 waiting; numbers are of the finished seed"
    assert second.unfinished == ""
    assert lab.edited("e0001") == {}
    assert lab.diff("e0001", "e0002").keys() == {"optimizer"}
    for seed in (43, 44):
        make_run(lab, "e0001", seed)
    cells = table.compare(lab, ["e0001", "e0002"], columns=["best_val_acc"]).cells
    assert cells[0][0].endswith("(n=3)")
    assert "±" not in cells[1][0]


def test_the_file_keeps_its_comments(lab: Lab) -> None:
    path = lab.file("e0001")
    path.write_text("# mine\n" + path.read_text().replace("question:", "question:  ", 1).replace("epochs: 5", "epochs: 5  # few"))
    before = path.read_text()
    lab.repeat("e0001", 3)
    assert path.read_text() == before.replace("created:", "repeat: 3\ncreated:")
    lab.repeat("e0001", 5)
    assert path.read_text() == before.replace("created:", "repeat: 5\ncreated:")
    with look(lab) as view:
        assert view.experiment("e0001").seeds == (42, 43, 44, 45, 46)


def test_windows_line_ends_and_no_last_newline(lab: Lab) -> None:
    path = lab.file("e0002")
    path.write_bytes(b"question: Adam?\r\nparent: e0001\r\nchanges:\r\n  optimizer: adam")
    assert lab.repeat("e0002", 2).seeds == (42, 43)
    assert path.read_bytes() == b"question: Adam?\r\nparent: e0001\r\nchanges:\r\n  optimizer: adam\r\nrepeat: 2\r\n"


def test_what_cannot_be_repeated(lab: Lab) -> None:
    lab.new({"seeds": [7, 3, 8]}, parent="e0001")
    with pytest.raises(LabError, match=r"seeds is 2, must be from 3, which e0003 has in its settings, to 1,000"):
        lab.repeat("e0003", 2)
    assert lab.repeat("e0003", 5).seeds == (7, 3, 8, 9, 10)
    path = lab.file("e0002")
    path.write_text("{question: Adam?, parent: e0001, changes: {optimizer: adam}}\n")
    with pytest.raises(LabError, match="is not written as one key a line"):
        lab.repeat("e0002", 3)
    assert path.read_text().startswith("{question")
    path.write_text("parent: e0001\nrepeat: many\n")
    with pytest.raises(SettingsError, match=r"e0002\.yaml:2: repeat is many, must be a whole number of seeds from 1 to 1,000"):
        lab.experiment("e0002")


def test_what_is_not_one_key_a_line_is_left_as_it_is(lab: Lab) -> None:
    path = lab.file("e0002")
    for text in (
        '{"question": "x", "parent": "e0001"}\n',
        'question: "a\n\nrepeat: 1\n  "\nparent: e0001\n',
        "parent: e0001\n? repeat\n: 2\n",
    ):
        path.write_text(text)
        with pytest.raises(LabError, match=r"^e0002\.yaml is not written as one key a line: write `repeat: 3` into it$"):
            lab.repeat("e0002", 3)
        assert path.read_text() == text
    path.write_text('repeat: 2\nquestion: "a\n\nrepeat: 1\n  b"\nparent: e0001\n')
    lab.repeat("e0002", 3)
    assert path.read_text() == 'repeat: 3\nquestion: "a\n\nrepeat: 1\n  b"\nparent: e0001\n'
    path.write_text("question: 'is\n  it'\nparent: e0001\n")
    assert lab.repeat("e0002", 3).seeds == (42, 43, 44)
    assert path.read_text() == "question: 'is\n  it'\nparent: e0001\nrepeat: 3\n"


def test_the_fewest_and_the_most(lab: Lab) -> None:
    assert lab.repeat("e0002", 1).seeds == (42,)
    assert len(lab.repeat("e0002", 1000).seeds) == 1000
    for num in (0, 1001):
        with pytest.raises(LabError, match=rf"^seeds is {num}, must be from 1, which e0002 has in its settings, to 1,000$"):
            lab.repeat("e0002", num)


def test_the_words(lab: Lab) -> None:
    run = CliRunner().invoke
    home = ["--lab", str(lab.folder)]
    assert run(cli, [*home, "new", "--from", "e0001", "optimizer.lr=0.1", "--seeds", "3"]).exit_code == 0
    assert lab.experiment("e0003").seeds == (42, 43, 44)
    assert run(cli, [*home, "sweep", "--from", "e0003", "optimizer.lr=0.1,0.2", "train.epochs=6", "--seeds", "2"]).exit_code == 0
    assert [lab.experiment(n).seeds for n in ("e0004", "e0005")] == [(42, 43)] * 2
    twice = run(cli, [*home, "new", "seeds=[1]", "--seeds", "3"])
    assert (twice.exit_code, "seeds are given twice: --seeds 3 and seeds=[1]" in twice.output) == (2, True)
    make_run(lab, "e0001")
    told = run(cli, [*home, "repeat", "e0001-e0002", "--seeds", "2"])
    assert told.output.splitlines() == [
        "e0001 has 2 seeds: seed 43 to run",
        "e0002 has 2 seeds: seeds 42, 43 to run",
        "next: zhurnal run e0001-e0002",
    ]
