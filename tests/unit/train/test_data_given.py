"""Data sets by a function of the user's own: arrays or paths, options, and everything that is wrong with what it returns."""

import numpy as np
import pytest
import torch

import helpers_layouts as layouts
from zhurnal.core import diff
from zhurnal.core.errors import DataError, RunError, SettingsError
from zhurnal.core.settings import parse
from zhurnal.train import own
from zhurnal.train.data import Streamed, prepare

SOURCE = """
import types
from pathlib import Path
import numpy as np
import torch

IMAGES = np.arange(40 * 48, dtype=np.uint8).reshape(40, 4, 4, 3)

def arrays(root, num=40, classes=None):
    return {"images": IMAGES[:num], "labels": np.arange(num) % 2, "classes": classes}

def tensors(root):
    split = ["train"] * 30 + ["val"] * 4 + ["test"] * 6
    return types.SimpleNamespace(images=torch.from_numpy(IMAGES).permute(0, 3, 1, 2), labels=["b", "a"] * 20, split=split)

def paths(root, strings=False):
    found = sorted(Path(root).glob("images/*.png"))
    names = [p.relative_to(root) for p in found]
    return {"images": [str(n) for n in names] if strings else names, "labels": [i % 2 for i in range(len(names))], "classes": ["cat", "dog"]}

def wrong(root, what):
    return {
        "nothing": None,
        "no labels": {"images": IMAGES},
        "floats": {"images": IMAGES / 255, "labels": np.arange(40) % 2},
        "many": {"images": IMAGES[..., 0, :], "labels": [1, 2, 3], "split": ["train"], "classes": ["a", "a"]},
        "class": {"images": IMAGES, "labels": np.arange(40) % 3, "classes": ["a", "b"]},
        "part": {"images": IMAGES, "labels": np.arange(40) % 2, "split": ["train"] * 39 + ["trian"]},
        "objects": {"images": [object()], "labels": [1]},
        "twice": {"images": ["a.png", "a.png"], "labels": [0, 1]},
        "one class": {"images": IMAGES, "labels": [0] * 40},
        "fails": 1 / (what != "fails"),
    }[what]
"""


@pytest.fixture
def lab(tmp_path):
    (tmp_path / "my_data.py").write_text(SOURCE)
    return tmp_path


def load(lab, name, **settings):
    data = parse({"data": {"name": f"my_data.py:{name}", **settings}}).data
    return prepare(data, root=lab / "data", base=lab, cache=lab / "cache")


def test_arrays_and_tensors(lab):
    prepared = load(lab, "arrays", num=30, classes=["even", "odd"], validation=0.2)
    assert (prepared.classes, prepared.image, len(prepared.train), len(prepared.val), prepared.test) == (("even", "odd"), (3, 4, 4), 24, 6, None)
    prepared = load(lab, "tensors")
    assert (prepared.classes, len(prepared.train), len(prepared.val), len(prepared.test)) == (("a", "b"), 30, 4, 6)
    images_NCHW, labels_N, _ = prepared.test.take(torch.arange(6))
    expected = torch.arange(40 * 48).to(torch.uint8).view(40, 4, 4, 3).permute(0, 3, 1, 2)
    assert torch.equal(images_NCHW, expected[34:])
    assert labels_N.tolist() == [1, 0] * 3
    assert load(lab, "arrays", image_size=8, channels=1).image == (1, 8, 8)


@pytest.mark.parametrize("strings", [True, False])
def test_paths_are_relative_to_data_path(lab, strings):
    layouts.table(lab / "photos")
    prepared = load(lab, "paths", path="photos", strings=strings, storage="stream")
    assert isinstance(prepared.train.images, Streamed)
    assert (prepared.classes, prepared.image, len(prepared.train)) == (("cat", "dog"), (3, 10, 12), 36)
    images_NCHW, labels_N, indices_N = prepared.train.take(torch.arange(3))
    for image_CHW, label, i in zip(images_NCHW, labels_N, indices_N.tolist(), strict=True):
        assert torch.equal(image_CHW, torch.from_numpy(layouts.pixels(i)).permute(2, 0, 1))
        assert label == i % 2
    (lab / "photos" / "images" / "07.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"my_data.py:paths: 1 image cannot be used; .*\n  images/07.png is no JPEG"):
        load(lab, "paths", path="photos", strings=strings)


@pytest.mark.parametrize(
    ("what", "error", "text"),
    [
        ("nothing", DataError, "my_data.py:wrong returns a NoneType without images and labels, must be a mapping or object with images and labels"),
        ("no labels", DataError, "my_data.py:wrong returns a mapping of images without labels, must be a mapping or object with images and labels"),
        ("floats", DataError, "my_data.py:wrong: images is of type torch.float64, must be uint8, pixel values from 0 to 255"),
        (
            "many",
            DataError,
            "my_data.py:wrong: labels holds 3 labels for 40 images, must be one for each\n"
            "my_data.py:wrong: split holds 1 parts for 40 images, must be one for each\nmy_data.py:wrong: has classes that are named twice: a",
        ),
        ("class", DataError, "my_data.py:wrong: has labels that are none of its 2 classes: 2; labels are 0 to 1, or names"),
        ("part", DataError, "my_data.py:wrong: has parts that are none of train, val or test: trian"),
        ("objects", DataError, "my_data.py:wrong: images is of type list, must be a uint8 array or tensor, or a list of paths"),
        ("twice", DataError, "my_data.py:wrong: images names a.png more than once"),
        ("one class", DataError, "my_data.py:wrong: has fewer than 2 classes, only 0"),
        ("fails", RunError, "my_data.py:32: ZeroDivisionError: division by zero (calling my_data.py:wrong, which data.name asks for)"),
    ],
)
def test_what_is_wrong_with_what_it_returns(lab, what, error, text):
    with pytest.raises(error) as caught:
        load(lab, "wrong", what=what)
    assert str(caught.value) == text


def test_options_are_checked_against_the_signature(lab):
    with pytest.raises(SettingsError, match=r"^data.nmu: my_data.py:arrays has no such setting; did you mean 'num'\? it has num or classes$"):
        load(lab, "arrays", nmu=3)
    with pytest.raises(SettingsError, match=r"^data.what: my_data.py:wrong needs it"):
        load(lab, "wrong")


def test_options_are_part_of_the_difference(lab):
    first = parse({"data": {"name": "my_data.py:arrays", "num": 30}})
    applied = diff.apply(first, {"data.num": 20, "data.subset": 5})
    assert diff.diff(first, applied.settings) == {"data.subset": 5, "data.num": 20}
    back = diff.apply(applied.settings, {"data.num": None})
    assert back.settings.data.options() == {}
    other = diff.apply(applied.settings, {"data": "digits"})
    assert other.notes == ("data digits drops num=20 of my_data.py:arrays",)
    assert diff.expand({"data": "sub/my_data.py:load"}) == {"data.name": "sub/my_data.py:load"}
    assert own.find("data", "my_data.py:arrays", lab).identity(lab)["file"] == "my_data.py"
    assert np.array_equal(load(lab, "arrays").train.labels_N.bincount(), [18, 18])
