"""The lab: made, found, its experiments written and read, numbers never given twice."""

import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from zhurnal.api import Lab
from zhurnal.core.errors import LabError, SettingsError, ZhurnalError
from zhurnal.store import config, files
from zhurnal.store.lab import grid


@pytest.fixture
def lab(tmp_path) -> Lab:
    return Lab(Lab.init(tmp_path / "lab", "Ein Labor: <b>#1</b>").folder)


def test_a_lab_is_found_from_inside(lab, monkeypatch):
    inside = lab.folder / "journal" / "fig"
    monkeypatch.chdir(inside)
    assert Lab.find().folder == lab.folder
    assert lab.config.title == "Ein Labor: <b>#1</b>"
    with pytest.raises(LabError, match="in no lab"):
        Lab.find(lab.folder.parent)


def test_a_lab_is_not_made_twice(lab):
    with pytest.raises(LabError, match="already a lab"):
        Lab.init(lab.folder)
    with pytest.raises(LabError, match="is a file"):
        Lab.init(lab.folder / "zhurnal.yaml")


def test_an_experiment_is_its_parent_and_the_difference(lab):
    lab.new({"model": "lenet", "train.epochs": 50, "optimizer.weight_decay": 5e-4}, question="Can it learn?")
    lab.new({"optimizer": "adam"}, parent="e0001", question="Is Adam better?")
    text = lab.file("e0002").read_text()
    assert "parent: e0001" in text
    assert "optimizer: adam" in text
    assert "epochs" not in text
    child = Lab(lab.folder).experiment("e0002")
    assert (child.settings.train.epochs, child.settings.optimizer.lr, child.settings.optimizer.weight_decay) == (50, 0.01, 5e-4)
    assert child.notes == ("optimizer adam keeps lr=0.01, weight_decay=0.0005 of sgd", "optimizer adam drops momentum=0.9, nesterov=false of sgd")
    assert lab.diff("e0001", "e0002") == {"optimizer": ("sgd", "adam")}


def test_a_default_written_out_is_no_difference(lab):
    lab.new({})
    lab.new({"optimizer.momentum": 0.9, "scheduler": "none", "data.subset": None}, parent="e0001")
    assert lab.experiment("e0002").changes == {}
    assert lab.diff("e0001", "e0002") == {}


def test_a_grandchild_inherits(lab):
    lab.new({"train.epochs": 50})
    lab.new({"optimizer": "adam", "optimizer.lr": 0.001}, parent="e0001")
    lab.new({"optimizer": "sgd", "train.batch_size": 64}, parent="e0002")
    s = lab.experiment("e0003").settings
    assert (s.optimizer.name, s.optimizer.lr, s.train.epochs, s.train.batch_size) == ("sgd", 0.001, 50, 64)


def test_a_sweep_is_one_series(lab):
    lab.new({})
    made = lab.sweep(grid({"optimizer.lr": [0.1, 0.2], "train.batch_size": [32, 64]}), parent="e0001", question="Which?")
    assert [e.name for e in made] == ["e0002", "e0003", "e0004", "e0005"]
    assert {e.series for e in made} == {"e0002-e0005"}
    assert [(e.settings.optimizer.lr, e.settings.train.batch_size) for e in made] == [(0.1, 32), (0.1, 64), (0.2, 32), (0.2, 64)]


def test_a_sweep_with_one_wrong_value_writes_nothing(lab):
    lab.new({})
    with pytest.raises(SettingsError, match=r"optimizer\.lr is 1000"):
        lab.sweep(grid({"optimizer.lr": [0.1, 1000]}), parent="e0001")
    assert lab.names() == ["e0001"]
    assert sorted(p.name for p in (lab.folder / "experiments").iterdir()) == ["e0001.yaml", "logs"]


def test_to_continue_and_to_take_weights_are_two_things(lab):
    lab.new({})
    on = lab.new({"train.epochs": 3}, continues="e0001")
    taken = lab.new({"model.weights": "e0001:best"}, parent="e0001")
    assert (on.parent, on.header()) == ("e0001", "cont. e0001")
    assert (taken.parent, taken.header()) == ("e0001", "weights e0001:best")
    assert lab.diff("e0001", "e0002") == {"train.epochs": (10, 3), "continue": (None, "e0001")}


def test_a_path_is_short_for_a_folder_of_images(lab):
    e = lab.new({"data": "../photos.zip"})
    assert (e.settings.data.name, e.settings.data.path) == ("folder", "../photos.zip")


def test_a_number_with_logs_is_never_given_again(lab):
    lab.new({})
    lab.new({})
    (lab.logs / "e0002" / "s42").mkdir(parents=True)
    lab.file("e0002").unlink()
    assert Lab(lab.folder).new({}).name == "e0003"


def take(folder: str, count: int, queue) -> None:
    lab = Lab(folder)
    queue.put([lab.new({"train.epochs": os.getpid() % 1000 + 1}).name for _ in range(count)])


@pytest.mark.slow
def test_two_processes_never_get_the_same_number(lab):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [context.Process(target=take, args=(str(lab.folder), 40, queue)) for _ in range(3)]
    for worker in workers:
        worker.start()
    found = [name for _ in workers for name in queue.get(timeout=600)]
    for worker in workers:
        worker.join()
    assert len(found) == len(set(found)) == 120
    assert sorted(found) == Lab(lab.folder).names() == [f"e{n:04d}" for n in range(1, 121)]


def test_text_that_could_do_harm_in_a_terminal_is_cleaned(lab):
    e = lab.new({}, question="\x1b[31mred\x00\u202e right to left\nline")
    assert e.question == "[31mred right to left line"


def test_a_lab_that_cannot_be_written_says_so(lab, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        lab.new({})
    monkeypatch.undo()
    assert sorted(p.name for p in (lab.folder / "experiments").iterdir()) == ["logs"]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    files.write(path, "old")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(5, "I/O error")))
    with pytest.raises(OSError, match="I/O"):
        files.write(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_file_has_the_usual_permissions(tmp_path):
    mask = os.umask(0o022)
    try:
        files.write(tmp_path / "a.txt", "x")
        assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o644
    finally:
        assert os.umask(mask) == 0o022, "the process has the mask that it had"


def test_create_makes_a_file_once(tmp_path):
    assert files.create(tmp_path / "a", "first")
    assert not files.create(tmp_path / "a", "second")
    assert (tmp_path / "a").read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_create_works_without_hard_links(tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert files.create(tmp_path / "a", "first")
    assert not files.create(tmp_path / "a", "second")
    assert (tmp_path / "a").read_text() == "first"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title: 3\n", "title must be a text"),
        ("titel: x\n", "titel: unknown key; did you mean 'title'"),
        ("smallest_difference: yes\n", "smallest_difference must be a number"),
    ],
)
def test_a_wrong_configuration_is_told(lab, text, message):
    (lab.folder / "zhurnal.yaml").write_text(text)
    with pytest.raises(SettingsError, match=message):
        _ = Lab(lab.folder).config


def test_a_sweep_that_cannot_be_written_whole_leaves_nothing(lab, monkeypatch):
    real, left = files.create, [2]

    def create(*arguments: object) -> bool:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        return real(*arguments)

    monkeypatch.setattr(files, "create", create)
    with pytest.raises(OSError, match="No space"):
        lab.sweep(grid({"optimizer.lr": [0.1, 0.2, 0.3]}))
    assert lab.names() == []


def test_a_sweep_begins_behind_a_number_that_is_taken_in_between(lab, monkeypatch):
    real, calls = files.create, []

    def create(path: Path, text: str) -> bool:
        calls.append(path.name)
        if path.name == "e0002.yaml":
            real(path, "settings: {}\n")  # another process was faster
        return real(path, text)

    monkeypatch.setattr(files, "create", create)
    made = lab.sweep(grid({"optimizer.lr": [0.1, 0.2]}))
    assert [e.name for e in made] == ["e0003", "e0004"]
    assert {e.series for e in made} == {"e0003-e0004"}
    assert lab.names() == ["e0002", "e0003", "e0004"]


def test_a_lab_that_cannot_be_made_leaves_nothing_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    (tmp_path / "mine" / "journal").mkdir(parents=True)
    (tmp_path / "mine" / "journal" / "notes.md").write_text("mine")
    for name in ("new", "mine"):
        with pytest.raises(OSError, match="No space"):
            Lab.init(tmp_path / name)
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.name != "fig") == ["mine", "mine/journal", "mine/journal/notes.md"]


def test_a_lab_is_made_around_what_is_there(tmp_path):
    (tmp_path / ".gitignore").write_text("mine\n")
    (tmp_path / "journal" / "fig").mkdir(parents=True)
    lab = Lab.init(tmp_path)
    assert (tmp_path / ".gitignore").read_text() == "mine\n"
    assert (tmp_path / ".gitattributes").read_text() == config.GITATTRIBUTES
    assert lab.config == config.Config(tmp_path.name, "data", 0.5)
    assert (lab.names(), lab.data) == ([], tmp_path / "data")
    (tmp_path / "experiments" / "logs").rmdir()
    (tmp_path / "experiments").rmdir()
    assert lab.names() == []
    with pytest.raises(LabError, match=r"^e0001 does not exist; there is none yet: make one with `zhurnal new`$"):
        lab.select("e0001")
    with pytest.raises(LabError, match=r"/nowhere is no lab: it has no zhurnal\.yaml\. Make one with `zhurnal init nowhere`$"):
        Lab(tmp_path / "nowhere")
    assert Lab.find(tmp_path / "journal").folder == tmp_path


def test_what_is_no_experiments_file_has_no_name(lab):
    lab.new({})
    for name in ("e1.yaml", "e00002.yaml", "notes.yaml", "e0003.yml", "e0004.yaml.swp", "ex.yaml", "e٠٠٠٥.yaml", ".yaml"):
        (lab.folder / "experiments" / name).touch()
    assert lab.names() == ["e0001"]
    (lab.folder / "experiments" / "e0000.yaml").touch()
    with pytest.raises(LabError, match="'e0000' is no experiment number"):
        lab.names()


def test_an_experiment_is_read_again_only_when_its_file_or_a_parents_changed(lab):
    lab.new({})
    lab.new({"optimizer": "adam"}, parent="e0001")
    child = lab.experiment("e0002")
    assert lab.experiment("2") is child
    lab.file("e0001").write_text("settings:\n  train: {epochs: 77}\n")
    assert lab.experiment("e0002").settings.train.epochs == 77
    lab.file("e0001").unlink()
    with pytest.raises(LabError, match=r"^e0002\.yaml: parent e0001 does not exist; there are e0002$"):
        lab.experiment("e0002")
    lab.file("e0002").unlink()
    with pytest.raises(LabError, match="e0002 does not exist"):
        lab.experiment("e0002")


def test_files_that_are_not_there_yet_are_named(lab):
    (lab.folder / "net.py").touch()
    changes = {"data": {"name": "folder", "path": "photos"}, "model": {"name": "net.py:Net", "weights": "old.pth"}, "loss": "loss.py:Loss"}
    found = lab.new(changes)
    seen = f"is not there yet (seen from {lab.folder})"
    assert lab.missing(found) == [f"note: data.path: photos {seen}", f"note: model.weights: old.pth {seen}", f"note: loss: loss.py {seen}"]
    (lab.folder / "photos").mkdir()
    assert len(lab.missing(found)) == 2
    assert lab.missing(lab.new({})) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("parent: 5\n", "e0009.yaml:1: parent must be a text"),
        ("changes: [1]\nparent: e0001\n", "e0009.yaml:1: changes must be keys and values"),
        ("settings: 5\n", "e0009.yaml:1: settings must be keys and values"),
        ("settings: {model: lenet}\nparent: e0001\n", "e0009.yaml:1: an experiment has either a parent and changes, or full settings, not both"),
        ("changes: {train.epochs: 3}\n", "e0009.yaml:1: changes need a parent; without one, write full settings"),
        ("parent: e0009\n", "the parents run in a circle: e0009 -> e0009. Give one of them other `parent:` in its file"),
        ("settings: {}\nrepeat: 0\n", "e0009.yaml:2: repeat is 0, must be a whole number of seeds from 1 to 1,000"),
        ("settings: {}\nrepeat: 1001\n", "e0009.yaml:2: repeat is 1001, must be a whole number of seeds from 1 to 1,000"),
        ("settings: {}\nrepeat: true\n", "e0009.yaml:2: repeat is true, must be a whole number of seeds from 1 to 1,000"),
        ("settings: {}\ncontinue: e0044\n", "e0009.yaml:2: continue e0044 does not exist; there are e0001-e0002,e0009"),
        ("settings:\n  model:\n    weights: e0044:best\n", "e0009.yaml:3: model.weights e0044 does not exist; there are e0001-e0002,e0009"),
        ("parent: e0001\nchanges:\n  model.weights: e0009:best\n", "e0009.yaml:3: model.weights e0009 starts from this experiment in turn"),
        (
            "parent: e0001\nchanges:\n  train.epochs: 0\n",
            "e0009.yaml:3: train.epochs is 0, must be above 0 and at most 1000000 (parent e0001 has 10)",
        ),
        (
            "parent: e0001\nchanges:\n  train:\n    epochs: 0\n",
            "e0009.yaml:4: train.epochs is 0, must be above 0 and at most 1000000 (parent e0001 has 10)",
        ),
    ],
)
def test_a_wrong_file_is_told_with_its_line(lab, text, problem):
    lab.new({})
    lab.new({"train.epochs": 2}, parent="e0001", continues="e0001")
    lab.file("e0009").write_text(text)
    with pytest.raises(ZhurnalError) as caught:
        lab.experiment("e0009")
    assert str(caught.value).startswith(problem)


def test_what_starts_from_itself_over_another_is_told(lab):
    lab.file("e0001").write_text("settings:\n  model: {name: lenet, weights: 'e0003:last'}\n")
    lab.file("e0002").write_text("settings: {}\ncontinue: e0001\n")
    lab.file("e0003").write_text("parent: e0002\n")
    with pytest.raises(LabError, match=r"^e0002\.yaml:2: continue e0001 starts from this experiment in turn \(e0001 -> e0003 -> e0002 -> e0001\)"):
        lab.experiment("e0001")
    with pytest.raises(LabError, match=r"^e0001\.yaml:2: model\.weights e0003 starts from this experiment in turn"):
        Lab(lab.folder).experiment("e0003")


def test_what_was_edited_since_the_first_run_is_told_where_it_matters(own_lab):
    lab = Lab(own_lab.folder)
    assert lab.edited("e0001") == lab.edited("e0005") == {}
    path = lab.file("e0001")
    before = lab.facts("e0001")
    path.write_text(path.read_text().replace("epochs: 30", "epochs: 31").replace("num_threads: none", "num_threads: 3"))
    assert lab.edited("e0001") == {"train.epochs": 31}
    assert lab.facts("e0001") == before, "what its runs really got"
    assert lab.facts("e0005")["train.epochs"] == 31, "what its file says, through its parent"


def test_what_is_forgotten_is_read_again(own_lab):
    lab = Lab(own_lab.folder)
    found = lab.experiment("e0001")
    lab.forget(["e0001"])
    assert lab.experiment("e0001") is not found
    assert not lab.cache.exists(), "no index is made to forget in"


def test_the_most_seeds_and_no_continuation(lab):
    lab.new({})
    lab.new({}, continues="e0001")
    lab.file("e0003").write_text("parent: e0002\ncontinue: none\nrepeat: 1000\n")
    found = lab.experiment("e0003")
    assert (found.continues, found.repeat, found.question, found.series, found.created, found.changes) == (None, 1000, "", None, "", {})
    assert lab.new({}, parent="e0002").continues == "e0001", "a child inherits it"
    assert lab.new({}, parent="e0001", continues="none").continues is None


def test_to_continue_is_to_have_a_parent_unless_one_is_given(lab):
    lab.new({})
    lab.new({"train.epochs": 2}, parent="e0001")
    found = lab.new({}, parent="e0002", continues="1")
    assert (found.parent, found.continues) == ("e0002", "e0001")


def test_weights_of_an_experiment_are_its_best_or_its_last(lab):
    lab.new({})
    for weights in ("e0001", "e0001:", "e0001:first", "e0001:best:x"):
        with pytest.raises(SettingsError, match=f"^model.weights is {weights}, must be an experiment's checkpoint, such as e0031:best or e0031:last"):
            lab.new({"model.weights": weights})
    with pytest.raises(LabError, match="e0042 does not exist"):
        lab.new({"model.weights": "e0042:best"})
    assert lab.names() == ["e0001"]
    for weights in ("e0001:best", "e0001:last", "nothing.pth", "nothing.pt"):
        assert lab.new({"model.weights": weights}).weights == weights


def test_a_question_may_be_long_but_not_longer(lab):
    assert len(lab.new({}, question="?" * 2000).question) == 2000
    with pytest.raises(LabError, match=r"the question has 2,001 characters, must have at most 2,000: write the rest on the journal page"):
        lab.new({}, question="?" * 2001)
    with pytest.raises(LabError, match="would be the same"):
        lab.sweep([{"optimizer": "adam"}, {"optimizer": {"name": "adam"}}])
    assert [e.name for e in lab.sweep([{}])] == ["e0002"]
    assert lab.experiment("e0002").series is None


def test_what_was_read_of_a_path_is_noted(lab):
    first, second = lab.sweep([{"data": "a.csv"}, {"data": "digits"}])
    assert first.notes == ("a.csv is read as data=table, by its suffix",)
    assert second.notes == ()


def test_equal_points_of_a_sweep_are_refused(lab):
    with pytest.raises(LabError, match="would be the same"):
        lab.sweep(grid({"optimizer.lr": [0.1, 0.1]}))


def test_an_experiment_has_one_name_however_it_is_written(lab):
    lab.new({"model": "lenet"})
    for text in ("1:best", "E1:best", "e0001:best"):
        assert lab.new({"model.weights": text}, parent="1").settings.model.weights == "e0001:best"
    assert [e.settings.model.weights for e in lab.sweep([{"model.weights": "1:last"}, {"model.weights": "1:best"}])] == ["e0001:last", "e0001:best"]
    text = lab.file("e0002").read_text()
    lab.file("e0002").write_text(text.replace("e0001:best", "E1:best"))
    assert Lab(lab.folder).experiment("e0002").settings.model.weights == "e0001:best"
    assert lab.run_folder("1", 42) == lab.run_folder("e0001", 42)
    assert lab.runs("1") == lab.runs("e0001") == []
