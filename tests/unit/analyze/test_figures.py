"""Figures: the same bytes every time, stable looks, small files, and nothing over the curves."""

import itertools
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from helpers_runs import make_run
from zhurnal.analyze import drawing, figures, summary, table
from zhurnal.core import numbers
from zhurnal.core.errors import ZhurnalError
from zhurnal.store.lab import Lab


def test_files_are_named_and_left_alone(made_up_lab: Lab, tmp_path: Path) -> None:
    paths = figures.draw(made_up_lab, ["e0001", "e0002", "e0004"], ["val_loss_epoch"], tmp_path / "fig")
    assert [p.name for p in paths] == ["e0001,e0002,e0004_val_loss_epoch.png", "e0001,e0002,e0004_val_loss_epoch.svg"]
    before = [(p.read_bytes(), p.stat().st_mtime_ns) for p in paths]
    assert figures.draw(made_up_lab, ["e0001", "e0002", "e0004"], ["val_loss_epoch"], tmp_path / "fig") == paths
    assert [(p.read_bytes(), p.stat().st_mtime_ns) for p in paths] == before
    assert sorted(p.name for p in (tmp_path / "fig").iterdir()) == [p.name for p in paths]
    assert before[0][0].startswith(b"\x89PNG")
    assert b"date" not in before[1][0]
    assert b">e0002 optimizer=adam lr=0.001 (n=3)<" in before[1][0]


def test_changed_records_change_the_figure(own_lab: Lab) -> None:
    before = figures.render(summary.read_all(own_lab, ["e0001"]), "val_acc_epoch", ["svg"])
    make_run(own_lab, "e0001", top=0.5)
    assert figures.render(summary.read_all(own_lab, ["e0001"]), "val_acc_epoch", ["svg"]) != before


@pytest.mark.parametrize("kind", figures.KINDS)
def test_every_kind_is_drawn(made_up_lab: Lab, kind: str) -> None:
    svg = figures.render(summary.read_all(made_up_lab, ["e0001", "e0006"]), kind, ["svg"])["svg"].decode()
    assert figures.KINDS[kind].y_title in svg
    assert ("optimizer step" if kind.endswith("_iter") else ">epoch<") in svg
    assert (">lr × 0.1<" in svg) is (kind != "lr_epoch")


def test_nothing_to_show_draws_nothing(made_up_lab: Lab, tmp_path: Path) -> None:
    assert figures.draw(made_up_lab, ["e0005"], ["val_acc_epoch"], tmp_path / "fig") == []
    assert not (tmp_path / "fig").exists()
    assert not figures.has_something(summary.read_all(made_up_lab, ["e0005"]), "val_acc_epoch")


def test_an_unknown_kind(made_up_lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(ZhurnalError, match=r"figure 'val_acc_epochs' is unknown; did you mean 'val_acc_epoch'\? figures are .*lr_epoch"):
        figures.draw(made_up_lab, ["e0001"], ["val_acc_epochs"], tmp_path)


def test_long_lists_of_names_make_short_file_names() -> None:
    names = [numbers.name(n) for n in range(5, 12)]
    assert figures.file_stem(names, "val_acc_epoch") == "e0005,e0006,e0007,e0008,e0009,e0010,e0011_val_acc_epoch"
    many = [numbers.name(n) for n in range(1, 61)]
    assert figures.file_stem(many, "val_acc_epoch") == "e0001-e0060_val_acc_epoch"
    odd = [numbers.name(n) for n in range(1, 301, 2)]
    assert figures.file_stem(odd, "val_acc_epoch").startswith("e0001-and-149-more-")
    assert len(figures.file_stem(odd, "train_val_loss_epoch")) <= figures.LONGEST_NAME
    assert figures.file_stem(odd, "lr_epoch") != figures.file_stem([*odd[:-1], "e0301"], "lr_epoch")


def test_neighbours_look_different_and_an_experiment_always_the_same() -> None:
    looks = [figures.style(numbers.name(n)) for n in range(1, 29)]
    assert len({str(look) for look in looks}) == 28
    assert all(a[0] != b[0] for a, b in itertools.pairwise(looks))
    assert figures.style("e0039") == figures.style("e39")


def _sweep(lab: Lab, count: int, long: bool = False) -> list[str]:
    changes = [
        {"optimizer.lr": round(0.001 * 1.1**i, 6)} | ({"model": "my_folder/my_longest_net.py:WideResNet", "model.depth": i} if long else {})
        for i in range(count)
    ]
    names = [e.name for e in lab.sweep(changes, parent="e0001")]
    for i, name in enumerate(names):
        make_run(lab, name, top=0.6 + 0.003 * (i % 17), epochs=6)
    return names


@pytest.mark.parametrize(("count", "long"), [(1, False), (4, False), (4, True), (12, False), (60, False), (30, True)])
def test_legends_stand_beside_the_curves_and_on_the_page(own_lab: Lab, count: int, long: bool) -> None:
    found = table.with_diffs(summary.read_all(own_lab, _sweep(own_lab, count, long)))
    kind = figures.KINDS["train_val_acc_epoch"]
    with drawing.matplotlib():
        figure = figures._figure(found, [figures._curves(s, kind) for s in found], kind)
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        FigureCanvasAgg(figure).draw()
        (axes,), (legend,) = figure.axes, figure.legends
        box, page = legend.get_window_extent(), figure.bbox
        assert not box.overlaps(axes.get_window_extent())
        assert box.x0 >= page.x0 - 1
        assert box.x1 <= page.x1 + 1
        assert box.y0 >= page.y0 - 1
        assert axes.get_window_extent().height > 0.3 * 3.7 * figure.dpi
        assert len(legend.get_texts()) == (2 if count == 1 else count + 2)


def test_one_epoch_and_lone_points_show_as_markers(own_lab: Lab) -> None:
    make_run(own_lab, "e0001", epochs=1)
    make_run(own_lab, "e0006", epochs=5, null_epochs=(2, 4))
    for name, lone in (("e0001", [1.0]), ("e0006", [1.0, 3.0, 5.0])):
        found = summary.read_all(own_lab, [name])
        kind = figures.KINDS["val_loss_epoch"]
        with drawing.matplotlib():
            (axes,) = figures._figure(found, [figures._curves(s, kind) for s in found], kind).axes
        (dots,) = [line for line in axes.lines if line.get_marker() == "o"]
        assert list(dots.get_xdata()) == lone


def test_tens_of_thousands_of_iterations_make_a_small_file(own_lab: Lab) -> None:
    make_run(own_lab, "e0001", epochs=10, iters_per_epoch=3_000, log_every=1)
    svg = figures.render(summary.read_all(own_lab, ["e0001"]), "train_loss_iter", ["svg"])["svg"]
    assert len(svg) < 100_000


def test_texts_are_shown_as_they_are_in_any_script(own_lab: Lab) -> None:
    names = [e.name for e in own_lab.sweep([{"model": "a$b^$_<i>&.py:Net"}, {"model": "模型.py:Net"}], parent="e0001")]
    for name in names:
        make_run(own_lab, name, epochs=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        svg = figures.render(summary.read_all(own_lab, names), "val_acc_epoch")["svg"].decode()
    assert "a$b^$_&lt;i&gt;&amp;.py:Net" in svg
    assert "模型.py:Net" in svg


def test_a_users_matplotlib_settings_change_nothing(made_up_lab: Lab) -> None:
    import matplotlib

    found = summary.read_all(made_up_lab, ["e0001"])
    before = figures.render(found, "val_acc_epoch")
    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 20, "figure.dpi": 50, "text.usetex": False, "axes.facecolor": "red"}):
        assert figures.render(found, "val_acc_epoch") == before
        assert matplotlib.rcParams["font.size"] == 20


def test_importing_draws_and_trains_nothing() -> None:
    code = "import sys, zhurnal.analyze.figures, zhurnal.report.entry\n"
    code += "print([m for m in ('torch', 'matplotlib', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
