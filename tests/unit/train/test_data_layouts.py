"""Data sets read from a path: tables, DTD's lists, .npz, Hugging Face's folders, Penn-Fudan's crops; and what is wrong with them."""

import json

import numpy as np
import pytest
import torch

import helpers_layouts as layouts
from zhurnal.core.errors import DataError, SettingsError
from zhurnal.core.settings import Data, parse
from zhurnal.store import kinds
from zhurnal.train.data import Streamed, arrays, prepare


def load(name, path, **settings):
    return prepare(Data(name=name, path=str(path), **settings), root=path.parent, base=path.parent, cache=path.parent / "cache")


def everything(split):
    return split.take(torch.arange(len(split)))


def sizes(prepared):
    return len(prepared.train), len(prepared.val), len(prepared.test or ())


def problem(name, path, **settings):
    with pytest.raises(DataError) as caught:
        load(name, path, **settings)
    return str(caught.value).replace(str(path.parent), "TMP")


# --- tables ----------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_table_gives_images_labels_and_parts(tmp_path, delimiter):
    prepared = load("table", layouts.table(tmp_path, delimiter))
    assert (prepared.classes, prepared.image, sizes(prepared)) == (("cat", "dog"), (3, 10, 12), (24, 8, 8))
    assert prepared.validation == "the set's own"
    assert "parts by the column split: 24 train, 8 val, 8 test" in prepared.notes
    images_NCHW, labels_N, _ = everything(prepared.test)
    for image_CHW, label, i in zip(images_NCHW, labels_N, (8, 9, 18, 19, 28, 29, 38, 39), strict=True):
        assert torch.equal(image_CHW, torch.from_numpy(layouts.pixels(i)).permute(2, 0, 1))
        assert label == i % 2


def test_a_table_without_parts_is_split_as_settings_say(tmp_path):
    path = layouts.table(tmp_path)
    path.write_text("".join(line.rpartition(",")[0] + "\n" for line in path.read_text().splitlines()))
    prepared = load("table", path, validation=0.25, storage="stream")
    assert (sizes(prepared), prepared.validation) == ((30, 10, 0), "25 % of the training images")
    assert isinstance(prepared.train.images, Streamed)


def test_classes_that_are_numbers_are_in_the_order_of_their_values(tmp_path):
    path = layouts.table(tmp_path)
    path.write_text("\ufeff" + path.read_text().replace("cat", "10").replace("dog", "9").replace("label", "kind"))
    assert load("table", path, label_column="kind").classes == ("9", "10")


def test_all_that_is_wrong_with_a_table_is_told_at_once_with_lines(tmp_path):
    path = layouts.table(tmp_path)
    lines = path.read_text().splitlines()
    lines[3], lines[5], lines[7], lines[9], lines[11] = ",cat,train", "images/05.png,,train", "images/06.png,cat,trian", lines[2], "a,b"
    path.write_text("\n".join(lines))
    assert problem("table", path) == (
        "TMP/labels.csv: 5 lines cannot be used; mend or remove them:\n  line 4 has no path\n  line 6 has no label\n"
        "  line 8: split is 'trian', must be train, val or test; did you mean 'train'?\n"
        "  line 10 names images/01.png again, which line 3 has: an image must stand there once\n"
        "  line 12 has 2 cells, must have 3, as the headings have"
    )


def test_files_of_a_table_that_are_absent_or_damaged_are_named_with_lines(tmp_path):
    path = layouts.table(tmp_path)
    (tmp_path / "images" / "03.png").unlink()
    (tmp_path / "images" / "08.png").write_bytes(b"")
    text = problem("table", path)
    assert "images/03.png (line 5) does not exist, or is no plain file" in text
    assert "images/08.png (line 10) is no JPEG" in text
    prepared = load("table", path, bad_images="skip")
    assert sizes(prepared) == (23, 8, 7)
    assert len(everything(prepared.test)[1]) == 7


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"file,label\na,b\n", "TMP/t.csv:1: has no column path; its columns are file, label"),
        (
            b"path,class\na,b\n",
            "TMP/t.csv:1: has no column label; its columns are path, class; or name the one with the labels: data.label_column=NAME",
        ),
        (b"path,label,path\na,b,c\n", "TMP/t.csv:1: has twice the column path; its columns are path, label, path"),
        (b"", "TMP/t.csv: has no images; it must hold a line of headings, such as path,label, and a line for each image"),
        (b"path,label\na,\xff\n", "TMP/t.csv:2: is no UTF-8 text (byte 0xff); save it as CSV UTF-8"),
        (b'path,label\n"a"b,c\n', "TMP/t.csv:2: is no CSV (',' expected after '\"'); mend the quotes of that line"),
        (b"path,label\na,b\n", "TMP/t.csv: has fewer than 2 classes, only b"),
        (b"path,label,split\na,b,test\nb,c,test\n", "TMP/t.csv: has no training images"),
        (
            b"path,label,split\na,b,train\nb,c,test\n",
            "TMP/t.csv: no training image of c; there are validation or test images of it: add some, or leave the class out",
        ),
    ],
)
def test_what_is_wrong_with_a_table(tmp_path, content, text):
    (tmp_path / "t.csv").write_bytes(content)
    assert problem("table", tmp_path / "t.csv") == text


# --- DTD -------------------------------------------------------------------------------------------------------------------------------------


def test_dtd_s_lists_give_the_parts(tmp_path):
    folder = layouts.dtd(tmp_path / "dtd")
    first, second = load("dtd", folder), load("dtd", folder, partition=2)
    assert (first.classes, sizes(first)) == (("banded", "woven"), (16, 16, 16))
    assert first.fingerprint != second.fingerprint
    assert torch.equal(everything(second.val)[0], everything(first.train)[0])
    assert load("dtd", folder, partition=1).fingerprint == first.fingerprint


def test_what_is_wrong_with_dtd_s_lists(tmp_path):
    folder = layouts.dtd(tmp_path / "dtd")
    assert problem("dtd", folder, partition=5) == "TMP/dtd/labels/train5.txt does not exist; there is data.partition=1 or 2"
    name = (folder / "labels" / "train1.txt").read_text().splitlines()[0]
    (folder / "labels" / "val1.txt").write_text(f"{name}\n../x.jpg\nbanded/none.jpg\n")
    text = problem("dtd", folder)
    assert f"val1.txt:1 names {name} again, which train1.txt:1 has" in text
    assert "val1.txt:2: '../x.jpg' must be <class>/<file>" in text
    (folder / "labels" / "val1.txt").write_text("banded/none.jpg\n")
    assert "images/banded/none.jpg (val1.txt:1) does not exist" in problem("dtd", folder)
    assert "must hold images/<class>/* and labels/train1.txt" in problem("dtd", tmp_path / "nowhere")


# --- npz -------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(10, 12), (10, 12, 3), (3, 10, 12), (10, 12, 1)], ids=str)
def test_npz_of_every_shape(tmp_path, shape):
    path = layouts.npz(tmp_path / "a.npz", shape=shape)
    prepared = load("npz", path)
    assert prepared.image == (3 if 3 in shape else 1, 10, 12)
    assert (sizes(prepared), prepared.classes) == ((24, 8, 8), ("0", "1"))
    first = torch.from_numpy(np.load(path)["train_images"][0])
    expected = first[None] if first.ndim == 2 else first.permute(2, 0, 1) if first.shape[-1] in (1, 3) else first
    assert torch.equal(everything(prepared.train)[0][0], expected)
    assert load("npz", path, image_size=6, channels=1).image == (1, 6, 6)


def test_npz_of_images_and_labels_with_named_classes(tmp_path):
    images = np.zeros((40, 8, 8), np.uint8)
    np.savez_compressed(tmp_path / "a.npz", images=images, labels=np.arange(40) % 3, classes=np.array(["cat", "dog", "emu"]), other=images[:1])
    prepared = load("npz", tmp_path / "a.npz")
    assert (prepared.classes, sizes(prepared)) == (("cat", "dog", "emu"), (36, 4, 0))


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"images": np.zeros((4, 8, 8)), "labels": np.arange(4)}, "images is of type torch.float64, must be uint8, pixel values from 0 to 255"),
        ({"images": np.zeros((4, 8, 8, 8), np.uint8), "labels": np.arange(4)}, "images has shape (4, 8, 8, 8), must be N x H x W, "),
        ({"images": np.zeros((4, 8, 8), np.uint8), "labels": np.arange(5)}, "labels holds 5 labels for 4 images, must be one for each"),
        ({"images": np.zeros((4, 8, 8), np.uint8), "labels": np.zeros((4, 2), int)}, "labels has shape (4, 2), must be one label for each image, 4"),
        ({"images": np.zeros((4, 8, 8), np.uint8), "labels": np.ones(4)}, "labels is of type float64, must be whole numbers or texts"),
        ({"images": np.zeros((4, 8, 8), np.uint8)}, "has no labels; it must hold images and labels, or train_images and train_labels; it has images"),
        ({"x": np.zeros(3)}, "has no images or labels; "),
        (
            {"images": np.zeros((4, 8, 8), np.uint8), "labels": np.arange(4), "classes": np.array(["a"])},
            "has labels that are none of its 1 classes: 1",
        ),
    ],
)
def test_what_is_wrong_with_an_npz(tmp_path, arrays, text):
    np.savez(tmp_path / "a.npz", **arrays)
    assert f"TMP/a.npz: {text}" in problem("npz", tmp_path / "a.npz")


class Evil:
    def __reduce__(self):
        raise AssertionError("a pickle was written or read")


def test_pickles_and_damage_in_an_npz_are_errors(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.array([{}, {}], dtype=object), labels=np.arange(2))
    assert "Object arrays cannot be loaded when allow_pickle=False" in problem("npz", tmp_path / "a.npz")
    layouts.npz(tmp_path / "b.npz")
    whole = (tmp_path / "b.npz").read_bytes()
    (tmp_path / "b.npz").write_bytes(whole[: len(whole) // 2])
    assert "is no .npz file that can be read" in problem("npz", tmp_path / "b.npz")
    assert "does not exist" in problem("npz", tmp_path / "c.npz")


# --- Hugging Face ----------------------------------------------------------------------------------------------------------------------------


def test_without_pyarrow_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    assert problem("huggingface", tmp_path / "x") == "data=huggingface needs the package pyarrow: pip install 'zhurnal[huggingface]'"


def test_hugging_face_s_folders(tmp_path):
    pytest.importorskip("pyarrow")
    folder = layouts.huggingface(tmp_path / "hf")
    prepared = load("huggingface", folder)
    assert (prepared.classes, sizes(prepared), prepared.image) == (("cat", "dog"), (24, 8, 8), (3, 10, 12))
    assert torch.equal(everything(prepared.train)[0][20], torch.from_numpy(layouts.pixels(20)).permute(2, 0, 1))
    streamed = load("huggingface", folder, storage="stream", num_workers=4)
    assert all(torch.equal(a, b) for a, b in zip(everything(streamed.train), everything(prepared.train), strict=True))
    assert sizes(load("huggingface", folder / "train")) == (22, 2, 0)


def test_what_is_wrong_with_hugging_face_s_folders(tmp_path):
    pytest.importorskip("pyarrow")
    two = {"img": {"_type": "Image"}, "fine": {"names": ["a", "b"], "_type": "ClassLabel"}, "coarse": {"names": ["c", "d"], "_type": "ClassLabel"}}
    folder = layouts.huggingface(tmp_path / "two", features=two)
    assert "has fine or coarse for labels; name one: data.label_column=NAME; its columns are img, fine, coarse" in problem("huggingface", folder)
    assert load("huggingface", folder, label_column="coarse").classes == ("c", "d")
    assert "did you mean 'coarse'?" in problem("huggingface", folder, label_column="corse")
    folder = layouts.huggingface(tmp_path / "test", splits={"test": 8})
    assert "has no split train, only test" in problem("huggingface", folder)
    (folder / "test" / "data-00000-of-00001.arrow").write_bytes(b"no arrow")
    assert "data-00000-of-00001.arrow cannot be read" in problem("huggingface", folder / "test")
    assert "holds neither state.json nor dataset_dict.json" in problem("huggingface", tmp_path)
    folder = layouts.huggingface(tmp_path / "mixed", splits={"train": 12, "test": 8})
    info = json.loads((folder / "test" / "dataset_info.json").read_text())
    label = next(f for f in info["features"].values() if "names" in f)
    del label["names"]
    (folder / "test" / "dataset_info.json").write_text(json.dumps(info))
    assert "only some of its splits name their classes; make them alike" in problem("huggingface", folder)


# --- Penn-Fudan ------------------------------------------------------------------------------------------------------------------------------


def test_penn_fudan_s_crops_hold_what_they_say(tmp_path):
    prepared = load("penn_fudan", layouts.penn_fudan(tmp_path / "pf"), image_size=24)
    assert prepared.classes == ("background", "person")
    assert sizes(prepared) == (24, 8, 8)
    for split in (prepared.train, prepared.val, prepared.test):
        images_NCHW, labels_N, _ = everything(split)
        assert torch.equal(images_NCHW.flatten(1).max(1).values > 100, labels_N == 1)
        assert labels_N.double().mean() == 0.5
    (tmp_path / "pf" / "PNGImages" / "._Ped00001.png").write_bytes(b"what macOS puts beside a file")
    again = load("penn_fudan", tmp_path / "pf", image_size=24, storage="stream")
    assert torch.equal(everything(again.train)[0], everything(prepared.train)[0])


def test_what_is_wrong_with_penn_fudan_s_folders(tmp_path):
    folder = layouts.penn_fudan(tmp_path / "pf")
    (folder / "PedMasks" / "Ped00003_mask.png").unlink()
    (folder / "PedMasks" / "Ped00004_mask.png").write_bytes(b"no png")
    text = problem("penn_fudan", folder)
    assert text.startswith(
        "TMP/pf: 2 photographs without a mask that can be used:\n  Ped00003_mask.png: does not exist\n  Ped00004_mask.png: cannot be read"
    )
    assert "must hold PNGImages/*.png and PedMasks" in problem("penn_fudan", tmp_path)


# --- which kind a path is --------------------------------------------------------------------------------------------------------------------


def test_a_path_alone_is_read_as_what_is_there(tmp_path):
    layouts.table(tmp_path / "csv")
    layouts.dtd(tmp_path / "dtd")
    layouts.penn_fudan(tmp_path / "pf", 1)
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "dataset_dict.json").write_text("{}")
    found = {
        p: kinds.place({"data": p, "model": "vgg"}, tmp_path) for p in ("csv/labels.csv", "dtd/", "./pf", "hf/", "a.npz", "a.zip", "csv/", "digits")
    }
    assert {p: changes.get("data.name") for p, (changes, _) in found.items()} == {
        "csv/labels.csv": "table", "dtd/": "dtd", "./pf": "penn_fudan", "hf/": "huggingface", "a.npz": "npz", "a.zip": "folder", "csv/": "folder",
        "digits": None,
    }  # fmt: skip
    assert found["dtd/"] == (
        {"data.name": "dtd", "data.path": "dtd/", "model": "vgg"}, "dtd/ is read as data=dtd, for it holds images and labels/train1.txt"
    )  # fmt: skip
    assert found["digits"] == ({"data": "digits", "model": "vgg"}, "")


def test_settings_that_a_set_has_no_use_for():
    with pytest.raises(SettingsError) as caught:
        parse({"data": {"name": "table", "partition": 2}})
    assert caught.value.problems == (
        "data.path is missing: data=table needs data.path=LABELS.csv",
        "data.partition is 2, but data.name is table: only data=dtd has a use for it",
    )


@pytest.mark.parametrize(
    ("labels", "classes", "named"),
    [
        ([2, 0, 1], ["0", "1", "10"], ["10", "0", "1"]),  # numbers of classes whose names are numbers
        ([0, 1, 4], ["1", "2", "3", "4", "5"], ["1", "2", "5"]),
        ([1, 5], ["1", "2", "3", "4", "5"], ["1", "5"]),  # 5 is no number of a class, so these are names
        (["10", "1"], ["0", "1", "10"], ["10", "1"]),
        (["0", "b"], ["a", "b"], ["a", "b"]),
    ],
)
def test_whole_numbers_are_numbers_of_classes_and_texts_are_names(labels, classes, named):
    problems = []
    assert arrays.class_names(labels, classes, None, problems)[0] == named
    assert not problems


def test_numbers_of_classes_in_an_npz(tmp_path):
    images = np.zeros((8, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=np.array([0, 1, 2, 2] * 2), classes=["0", "1", "10"])
    prepared = load("npz", tmp_path / "a.npz", validation=0.4)
    assert prepared.classes == ("0", "1", "10")
    assert set(prepared.train.labels_N.tolist()) == {0, 1, 2}


def test_validation_images_that_are_trained_on_are_told(tmp_path):
    images, labels = np.zeros((6, 8, 8, 3), np.uint8), np.array([0, 1] * 3)
    np.savez(tmp_path / "a.npz", **{f"{part}_{what}": x for part in ("train", "val", "test") for what, x in (("images", images), ("labels", labels))})
    assert "the set's own 6 validation images are trained on, for data.validation is test" in load("npz", tmp_path / "a.npz", validation="test").notes
    assert not any("trained on" in n for n in load("npz", tmp_path / "a.npz").notes)


@pytest.mark.parametrize("given", [{"mean": [125.3] * 3, "std": [0.2] * 3}, {"mean": [0.5] * 3, "std": [63.0] * 3}, {"mean": [-0.1], "std": [1.0]}])
def test_normalization_is_of_pixels_between_0_and_1(given):
    with pytest.raises(SettingsError, match=r"data.normalize is .* of pixels between 0 and 1 \(those of 0 to 255 divided by 255\)"):
        parse({"data": {"normalize": given}})
