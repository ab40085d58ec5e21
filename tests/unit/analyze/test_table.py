"""What a comparison says, and what it refuses to hide."""

import csv as csv_module
import io
import json

import pytest

from helpers_runs import make_run
from zhurnal.analyze import summary, table
from zhurnal.core.errors import LabError, ZhurnalError
from zhurnal.store.lab import Lab


def cell(found: table.Table, experiment: str, column: str) -> str:
    row = next(r for r in found.rows if r.experiment == experiment)
    return row.cells[found.columns.index(column)]


def test_default_columns_are_those_of_the_journal(made_up_lab: Lab) -> None:
    found = table.compare(made_up_lab, ["e0001", "e0002"])
    assert found.headings == ("experiment", "diff", "best val. acc.", "epoch of best", "last", "train acc.", "time per epoch", "parameters")
    assert found.right == (2, 3, 4, 5, 6, 7)
    assert [r.experiment for r in found.rows] == ["e0001", "e0002"]
    assert cell(found, "e0002", "diff") == "optimizer=adam lr=0.001"
    assert found.caption[0] == "Same in all: cifar10 transform=init, lenet, no scheduler, cross_entropy, epochs=30 batch_size=128."


def test_numbers_are_those_of_the_record(made_up_lab: Lab) -> None:
    found = table.compare(made_up_lab, ["e0001"], columns=["best_val_acc", "epoch_of_best", "last_val_acc", "time_per_epoch", "test_acc"])
    (run,) = made_up_lab.runs("e0001")
    accuracies = [r["val_acc"] for r in run.epochs]
    assert found.rows[0].values[0].values == (max(accuracies),)
    assert found.rows[0].values[1] == (accuracies.index(max(accuracies)) + 1,)
    assert found.rows[0].values[2].mean == accuracies[-1]
    assert found.rows[0].cells == (f"{100 * max(accuracies):.2f}", "27", f"{100 * accuracies[-1]:.2f}", "14.1 s", "65.11")


def test_views_that_were_measured_stand_beside_the_plain_figure(own_lab: Lab) -> None:
    plain = own_lab.new({"train.epochs": 3}, parent="e0001").name
    views = own_lab.new({"train.epochs": 3, "train.tta": "flip"}, parent="e0001").name
    for name in (plain, views):
        make_run(own_lab, name)
    assert "val_acc_tta" not in table.compare(own_lab, [plain]).columns
    found = table.compare(own_lab, [plain, views])
    assert found.columns[4:6] == ("last_val_acc", "val_acc_tta")
    (run,) = own_lab.runs(views)
    assert cell(found, plain, "val_acc_tta") == "–"
    assert cell(found, views, "val_acc_tta") == f"{100 * run.epochs[-1]['val_acc'] + 1:.2f}"
    assert any("views: by the mean over views of each image (tta=flip)" in line for line in found.caption)
    assert table.compare(own_lab, [views], columns=["experiment", "last_val_acc"]).columns == ("experiment", "last_val_acc")


def test_the_first_of_equal_epochs_is_the_best(own_lab: Lab) -> None:
    name = own_lab.new({"train.epochs": 4}, parent="e0001").name
    make_run(own_lab, name, nan_from=1)  # all at 0.1
    assert cell(table.compare(own_lab, [name]), name, "epoch_of_best") == "1"


def test_several_seeds_are_mean_deviation_and_number(made_up_lab: Lab) -> None:
    found = table.compare(made_up_lab, ["e0002"])
    bests = [max(r["val_acc"] for r in run.epochs) for run in made_up_lab.runs("e0002")]
    mean = sum(bests) / 3
    deviation = (sum((b - mean) ** 2 for b in bests) / 2) ** 0.5
    assert cell(found, "e0002", "best_val_acc") == f"{100 * mean:.2f} ± {100 * deviation:.2f} (n=3)"
    assert cell(found, "e0002", "epoch_of_best") == "26–30"


def test_unfinished_runs_say_so(made_up_lab: Lab) -> None:
    found = table.compare(made_up_lab, ["e0003", "e0004", "e0005"], columns=["experiment", "best_val_acc", "state", "epochs"])
    assert [r.cells for r in found.rows] == [
        ("e0003 ‡", "38.82", "interrupted", "12 of 30"),
        ("e0004 ‡", "18.44", "failed", "8 of 30"),
        ("e0005 ‡", "–", "waiting", "0 of 30"),
    ]
    assert "‡ e0003: interrupted at step 4722 (epoch 13 of 30); numbers are of the whole epochs so far." in found.caption
    assert "‡ e0004: failed: the loss is not finite at step 1603; numbers are of the whole epochs so far." in found.caption
    assert "‡ e0005: waiting." in found.caption


def test_a_seed_that_did_not_finish_is_left_out_and_named(own_lab: Lab) -> None:
    make_run(own_lab, "e0002", 2, epochs=1, status="interrupted")
    found = table.compare(own_lab, ["e0002"], columns=["best_val_acc", "state"])
    assert found.rows[0].values[0].n == 2
    assert found.rows[0].cells[1] == "2 finished, 1 interrupted"
    assert "‡ e0002: seed 2 interrupted at step 421 (epoch 2 of 30); numbers are of the finished seeds." in found.caption


def test_a_seed_that_was_not_started_is_named(own_lab: Lab) -> None:
    name = own_lab.new({"seeds": [42, 43]}, parent="e0001").name
    make_run(own_lab, name)
    assert summary.read_all(own_lab, [name])[0].unfinished == "seed 43 waiting; numbers are of the finished seed"
    assert table.compare(own_lab, [name], columns=["experiment", "diff"]).rows[0].cells == (f"{name} ‡", "as e0001")


def test_validation_on_test_images_is_marked(made_up_lab: Lab) -> None:
    found = table.compare(made_up_lab, ["e0001", "e0006"])
    assert cell(found, "e0006", "best_val_acc").endswith(" †")
    assert not cell(found, "e0001", "best_val_acc").endswith("†")
    assert "† validated on the test images: the best epoch was chosen on them." in found.caption


def test_an_interrupted_epoch_does_not_count_as_time(own_lab: Lab) -> None:
    make_run(own_lab, "e0001", partial=tuple(range(1, 30)))
    rows = own_lab.runs("e0001")[0].times
    assert table.compare(own_lab, ["e0001"], columns=["time_per_epoch"]).rows[0].values == (rows[-1]["seconds"],)
    make_run(own_lab, "e0001", partial=tuple(range(1, 31)))
    assert table.compare(own_lab, ["e0001"], columns=["time_per_epoch"]).rows[0].cells == ("–",)


def test_diff_against_the_parent(made_up_lab: Lab) -> None:
    found = table.compare(made_up_lab, ["e0001", "e0002"], diff="parent")
    assert cell(found, "e0001", "diff") == "–"
    assert cell(found, "e0002", "diff") == "e0001 + optimizer=adam lr=0.001"


def test_other_images_are_a_difference_and_a_run_that_waits_is_none(own_lab: Lab) -> None:
    found = table.compare(own_lab, ["e0001", "e0005"])
    assert cell(found, "e0005", "diff") == "lr=0.03"
    assert cell(found, "e0001", "diff") == "lr=0.01"
    name = own_lab.new({}, parent="e0001").name
    make_run(own_lab, name, data={"fingerprint": "dead" * 16})
    assert cell(table.compare(own_lab, ["e0001", name]), name, "diff") == "fingerprint=deaddead"


def test_damaged_lines_are_reported(own_lab: Lab) -> None:
    path = own_lab.run_folder("e0001", 42) / "record.jsonl"
    data = path.read_bytes().split(b"\n")
    data[7] = data[7].replace(b'"kind"', b'"kinb"')
    path.write_bytes(b"\n".join(data))
    assert any("e0001: 1 damaged line of its records left out (record.jsonl: line 8" in line for line in table.compare(own_lab, ["e0001"]).caption)


def test_columns_are_known_by_heading_too(made_up_lab: Lab) -> None:
    assert table.compare(made_up_lab, ["e0001"], columns=["Val. loss", "images per second", "val_loss"]).columns == ("val_loss", "images_per_second")
    assert len({c.heading for c in table.COLUMNS.values()}) == len(table.COLUMNS)


def test_what_does_not_exist(made_up_lab: Lab) -> None:
    with pytest.raises(ZhurnalError, match="column 'accuracy' is unknown"):
        table.compare(made_up_lab, ["e0001"], columns=["accuracy"])
    with pytest.raises(LabError, match="e0099 does not exist"):
        table.compare(made_up_lab, ["e0001", "e0099"])
    with pytest.raises(LabError, match="no experiment is named"):
        table.compare(made_up_lab, [])


def nasty(cells: tuple[str, ...]) -> table.Table:
    return table.Table(tuple(table.COLUMNS)[: len(cells)], ("a",) * len(cells), (), (table.Row("e0001", cells, cells),), ())


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_csv_starts_no_formula(text: str) -> None:
    ((_, found),) = list(csv_module.reader(io.StringIO(table.csv(nasty(("e0001", text))), newline="")))[1:]
    assert found == "'" + text.replace("\t", " ").replace("\r", " ")


def test_csv_numbers_stay_numbers(made_up_lab: Lab) -> None:
    text = table.csv(table.compare(made_up_lab, made_up_lab.names(), columns=["experiment", "best_val_acc", "lr", "parameters"]))
    rows = list(csv_module.DictReader(io.StringIO(text)))
    assert [r["best_val_acc_n"] for r in rows] == ["1", "3", "1", "1", "", "1"]
    assert float(rows[0]["best_val_acc"]) == max(r["val_acc"] for r in made_up_lab.runs("e0001")[0].epochs)
    assert rows[3]["lr"] == "3.0"


def test_markdown_and_latex_show_texts_as_they_are() -> None:
    text = "a|b\nc <b> 5 % x_1 & $y$ {z} ~ ^ \\ [l](u)"
    lines = table.markdown(nasty((text,))).splitlines()
    assert len(lines) == 3
    assert lines[2] == "| a\\|b c &lt;b&gt; 5 % x_1 &amp; \\$y\\$ \\{z\\} \\~ ^ \\\\ \\[l\\](u) |"
    assert table.escape_latex(text) == (
        r"a\textbar{}b c \textless{}b\textgreater{} 5 \% x\_1 \& \$y\$ \{z\} \textasciitilde{} \textasciicircum{} \textbackslash{} [l](u)"
    )


def test_json_holds_values_and_texts(made_up_lab: Lab) -> None:
    found = json.loads(table.to_json(table.compare(made_up_lab, ["e0002", "e0005"])))
    assert found["rows"][0]["values"]["best_val_acc"]["n"] == 3
    assert found["rows"][1]["values"]["best_val_acc"] is None
    assert found["rows"][1]["cells"]["best_val_acc"] == "–"
