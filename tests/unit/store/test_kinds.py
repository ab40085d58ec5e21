"""What a path is read as."""

import pytest

from zhurnal.store import kinds


@pytest.mark.parametrize(
    ("made", "kind", "why"),
    [
        (["dataset_dict.json"], "huggingface", "for it holds dataset_dict.json"),
        (["state.json", "dataset_info.json"], "huggingface", "for it holds state.json and dataset_info.json"),
        (["state.json"], "folder", "a folder for each class"),
        (["PNGImages/", "PedMasks/"], "penn_fudan", "for it holds PNGImages and PedMasks"),
        (["images/", "labels/train1.txt"], "dtd", "for it holds images and labels/train1.txt"),
        (["cats/", "dogs/"], "folder", "a folder for each class"),
        (None, "folder", "though nothing is there yet"),
    ],
)
def test_a_folder_is_read_as_what_it_holds(tmp_path, made, kind, why):
    for name in made or ():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if name.endswith("/") else path.touch()
    for value in ("photos/", f"{tmp_path}/photos"):
        changes, note = kinds.place({"data": value, "train.epochs": 3}, tmp_path)
        assert changes == {"data.name": kind, "data.path": value, "train.epochs": 3}
        assert note == f"{value} is read as data={kind}, {why}"


@pytest.mark.parametrize(("value", "kind"), [("a.csv", "table"), ("a.npz", "npz"), ("a.ZIP", "folder"), ("sub/a.zip", "folder")])
def test_a_file_is_read_by_its_suffix(tmp_path, value, kind):
    (tmp_path / "dataset_dict.json").touch()
    assert kinds.place({"data": value}, tmp_path) == ({"data.name": kind, "data.path": value}, f"{value} is read as data={kind}, by its suffix")


def test_what_is_no_path_stays_as_it_is(tmp_path):
    for changes in ({"data": "digits"}, {"data": "sub/my_data.py:load"}, {"data": {"name": "folder", "path": "x/"}}, {"model": "x/"}):
        assert kinds.place(changes, tmp_path) == (changes, "")


def test_a_path_from_home_is_looked_at(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "dataset_dict.json").touch()
    assert kinds.place({"data": "~/set"}, tmp_path / "elsewhere")[0] == {"data.name": "huggingface", "data.path": "~/set"}
