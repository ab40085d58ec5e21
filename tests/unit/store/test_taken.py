"""Numbers: the last there is, those of other processes, and what is told of one that is gone."""

import pytest

from zhurnal.core.errors import LabError
from zhurnal.store import files, taken
from zhurnal.store.lab import Lab


@pytest.fixture
def lab(tmp_path, monkeypatch) -> Lab:
    monkeypatch.setattr("os.fsync", lambda _: None)
    return Lab.init(tmp_path / "lab")


SETTINGS = {"settings": {}}


def test_behind_the_last_number_there_is_none(lab):
    lab.file("e9999998").write_text("settings: {}\n")
    with pytest.raises(LabError, match=r"^there is no number behind e9999998: give that one another, `zhurnal renumber e9999998 e0001`$"):
        taken.take(lab, [SETTINGS] * 2)
    assert taken.take(lab, [SETTINGS]) == ["e9999999"]
    with pytest.raises(LabError, match="there is no number behind e9999999"):
        taken.take(lab, [SETTINGS])
    assert lab.names() == ["e9999998", "e9999999"]


def test_all_that_ever_had_a_number_keeps_it(lab):
    (lab.logs / "e0011" / "s1").mkdir(parents=True)
    (lab.logs / "e0012_model_best.pth").touch()
    for folder, name in (
        ("experiments/removed", "e0013.yaml"),
        (".zhurnal/trash", "e0014-20261125T120000"),
        ("experiments/logs", "notes"),
        ("experiments/logs", "e123"),
        ("experiments/logs", "e12345678"),
        ("experiments/logs", "e٠٠١٥"),
        ("experiments/logs", "x0099"),
    ):
        (lab.folder / folder).mkdir(parents=True, exist_ok=True)
        (lab.folder / folder / name).touch()
    lab.file("e0010").write_text("settings: {}\n")
    assert taken.used(lab) == {10, 11, 12, 13, 14}
    assert taken.removed(lab) == {13}
    assert taken.take(lab, [SETTINGS]) == ["e0015"]


def test_numbers_have_four_to_seven_digits(lab):
    assert taken.reserve(lab, 1) == ["e0001"]
    (lab.logs / "e1234567").mkdir()
    assert taken.take(lab, [SETTINGS]) == ["e1234568"]


def test_a_lab_whose_folders_are_files_has_no_numbers(lab):
    (lab.folder / "experiments" / "removed").touch()
    assert taken.used(lab) == set()


def test_numbers_that_are_kept_go_to_nobody_else(lab):
    taken.take(lab, [SETTINGS] * 2)
    assert taken.reserve(lab, 2) == ["e0003", "e0004"]
    assert taken.reserve(lab, 1, beyond=7) == ["e0008"]
    assert taken.take(lab, [SETTINGS]) == ["e0009"]
    assert not taken.keep(lab, "e0009")
    assert taken.keep(lab, "e0004"), "it was kept by a command that was killed: whoever keeps numbers changes the lab alone"
    taken.release(lab, "e0004")
    taken.release(lab, "e0004")
    assert not taken.was_used(lab.folder, "e0004")
    assert (lab.folder / "experiments" / "removed" / "e0003.yaml").read_text().startswith("reserved: '2")


def test_a_number_that_somebody_takes_in_between_is_not_reserved(lab, monkeypatch):
    real = taken.keep

    def keep(lab, name) -> bool:
        if name == "e0001":
            taken.take(lab, [SETTINGS])
        return real(lab, name)

    monkeypatch.setattr(taken, "keep", keep)
    assert taken.reserve(lab, 2) == ["e0002", "e0003"]


def test_a_number_that_an_experiment_takes_while_it_is_kept_is_given_back(lab, monkeypatch):
    real = files.create

    def create(path, data) -> bool:
        lab.file("e0001").write_text("settings: {}\n")  # another process was faster
        return real(path, data)

    monkeypatch.setattr(files, "create", create)
    assert not taken.keep(lab, "e0001")
    assert taken.removed(lab) == set()
    assert lab.names() == ["e0001"]


def test_a_mark_that_another_process_made_first_is_left(lab, monkeypatch):
    monkeypatch.setattr(files, "create", lambda *_: False)
    assert not taken.keep(lab, "e0001")


def test_a_number_that_came_and_went_while_several_are_taken_is_passed_over(lab, monkeypatch):
    real = files.create

    def create(path, data) -> bool:
        if path.name == "e0002.yaml":
            (lab.folder / taken.REMOVED).mkdir(exist_ok=True)
            (lab.folder / taken.REMOVED / "e0002.yaml").write_text(taken.mark("removed"))
        return real(path, data)

    monkeypatch.setattr(files, "create", create)
    assert taken.take(lab, [SETTINGS] * 3) == ["e0003", "e0004", "e0005"]
    assert lab.names() == ["e0003", "e0004", "e0005"]
    assert "series: e0003-e0005" in lab.file("e0004").read_text()


def test_a_series_is_several(lab):
    taken.take(lab, [SETTINGS])
    assert lab.file("e0001").read_text() == "settings: {}\n"


def test_what_became_of_a_number(lab):
    (lab.folder / taken.REMOVED).mkdir()
    for name, what in (("e0001", "removed"), ("e0002", "renumbered: e0012"), ("e0003", "reserved")):
        (lab.folder / taken.REMOVED / f"{name}.yaml").write_text(taken.mark(what))
    assert taken.whereabouts(lab.folder, ["e0001", "e0002", "e0003", "e0004"]) == (
        "e0001 was removed (`zhurnal restore e0001` brings it back from the trash); e0002 is e0012 now; "
    )
    many = [f"e{n:04d}" for n in range(100, 119)]
    assert taken.whereabouts(lab.folder, [*many, "e0002"]) == "e0002 is e0012 now; "
    assert taken.whereabouts(lab.folder, [*many, "e0099", "e0002"]) == "", "of many, the first twenty are looked up"
