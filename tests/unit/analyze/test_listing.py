"""The list of experiments: its order, what it leaves out, what it says of files that cannot be read."""

import pytest
from click.testing import CliRunner

from zhurnal.analyze.listing import _sorted
from zhurnal.api import Lab
from zhurnal.cli import cli
from zhurnal.core.errors import LabError, ZhurnalError


@pytest.fixture
def lab(made_up_lab) -> Lab:
    return Lab(made_up_lab.folder)


def test_by_number_without_a_word(lab):
    found = lab.ls()
    assert found.names == lab.names()
    assert found.headings == ("experiment", "diff", "question", "state", "best val. acc.", "started")
    assert found.left_out == 0
    assert lab.ls(["e0003", "e0001"]).names == ["e0003", "e0001"]


def test_the_best_first_and_those_without_a_value_last(lab):
    found = lab.ls(sort="-val_acc")
    values = [line.value for line in found.lines]
    assert values[-1] is None
    assert values[:-1] == sorted(values[:-1], reverse=True)
    assert found.names[-1] == "e0005"
    assert found == lab.ls(sort="best val. acc.", reverse=True) == lab.ls(sort="Best_Val_Acc", reverse=True)
    upwards = lab.ls(sort="val_acc").names
    assert upwards == [*reversed(found.names[:-1]), "e0005"]


def test_the_value_is_that_of_the_comparison(lab):
    table = lab.compare(lab.names(), columns=["best_val_acc", "lr"])
    best = {row.experiment: row.values[0].mean for row in table.rows if row.values[0]}
    assert {line.experiment: line.value for line in lab.ls(sort="val_acc").lines if line.value is not None} == best
    assert {line.experiment: line.value for line in lab.ls(sort="lr").lines} == {row.experiment: row.values[1] for row in table.rows}


def test_a_column_that_is_not_in_the_list_is_added(lab):
    found = lab.ls(sort="lr")
    assert found.headings[-1] == "lr"
    assert [line.cells[-1] for line in found.lines] == ["0.001", "0.003", "0.01", "0.01", "0.03", "3"]
    assert [line.experiment for line in found.lines][2:4] == ["e0001", "e0006"], "equal ones stay by number"


@pytest.mark.parametrize("column", ["experiment", "diff", "question", "state", "started", "finished", "seeds", "epochs", "total_time", "val_loss"])
def test_any_column_sorts(lab, column):
    up, down = lab.ls(sort=column), lab.ls(sort=f"-{column}")
    assert sorted(up.names) == sorted(down.names) == lab.names()
    known = [line.value for line in up.lines if line.value is not None]
    assert known == sorted(known)
    assert [line.value for line in down.lines if line.value is not None] == known[::-1]


def test_a_limit_says_what_it_leaves_out(lab):
    assert lab.ls(sort="-val_acc", limit=2).names == lab.ls(sort="-val_acc").names[:2]
    assert lab.ls(sort="-val_acc", limit=2).left_out == 4
    assert (lab.ls(limit=2).names, lab.ls(limit=2).left_out) == (["e0001", "e0002"], 4)
    assert lab.ls(limit=2, reverse=True).names == ["e0006", "e0005"]
    assert lab.ls(limit=9).left_out == 0


def test_an_unknown_column_is_told_with_those_there_are(lab):
    with pytest.raises(ZhurnalError, match=r"cannot sort by 'val_los'; did you mean 'val_loss'\? columns are experiment, diff"):
        lab.ls(sort="val_los")
    with pytest.raises(LabError, match="e0099 does not exist"):
        lab.ls(["e0099"])


def test_numbers_stand_before_texts_and_none_last():
    assert _sorted([None, "b", 2, "a", 1], False) == [4, 2, 3, 1, 0]
    assert _sorted([None, "b", 2, "a", 1], True) == [2, 4, 1, 3, 0]


def test_a_file_that_cannot_be_read_hides_no_other(own_lab):
    own_lab.file("e0002").write_text("settings: {optimizer: {name: sdg}}\n")
    found = Lab(own_lab.folder).ls(sort="-val_acc")
    assert next(line for line in found.lines if line.experiment == "e0002").cells[3] == "cannot be read"
    assert len(found.lines) == 6
    assert "did you mean 'sgd'" in found.problems[0]


def test_the_command(lab):
    told = CliRunner().invoke(cli, ["--lab", str(lab.folder), "ls", "--sort", "-val_acc", "--limit", "1"]).output.splitlines()
    assert told[1].startswith("e0006")
    assert told[2:] == ["† validated on the test images: the best epoch was chosen on them.", "(and 5 more experiments)"]
