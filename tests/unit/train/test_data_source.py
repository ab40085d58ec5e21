"""What a folder or zip of images may look like, and what each wrong one is told."""

import os
import zipfile

import pytest
from PIL import Image

from zhurnal.core.errors import DataError
from zhurnal.core.progress import silent
from zhurnal.train.data import source
from zhurnal.train.data.decode import BadImage
from zhurnal.train.data.source import scan


def fill(folder, names):
    """Make a one-pixel image for each name that looks like one, text for the others, and an empty folder for a name with a slash at its end."""
    for i, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(exist_ok=True)
        elif path.suffix.lower() in (".png", ".jpg"):
            Image.new("RGB", (1, 1), (i % 256, 0, 0)).save(path, "PNG")
        else:
            path.write_text("text")
    return folder


def packed(folder, path):
    with zipfile.ZipFile(path, "w") as zipped:
        for file in sorted(folder.rglob("*")):
            zipped.write(file, file.relative_to(folder))
    return path


@pytest.fixture(params=["folder", "zip"])
def made(request, tmp_path):
    """A function: names -> Source, by way of a folder or a zip."""

    def make(*names):
        folder = fill(tmp_path / "pets", names)
        return scan(folder if request.param == "folder" else packed(folder, tmp_path / "pets.zip"), tmp_path / "cache", silent)

    return make


def test_train_and_test(made):
    found = made("train/dog/b.png", "train/dog/a.png", "train/cat/1.jpg", "test/cat/2.PNG")
    assert found.classes == ("cat", "dog")
    assert found.names == ("train/cat/1.jpg", "train/dog/a.png", "train/dog/b.png", "test/cat/2.PNG")
    assert found.labels == (0, 1, 1, 0)
    assert found.is_test == (False, False, False, True)
    assert found.notes == ()
    assert found.read(0).startswith(b"\x89PNG")


def test_classes_alone(made):
    found = made("cat/1.png", "dog/2.png")
    assert (found.classes, found.labels, found.is_test) == (("cat", "dog"), (0, 1), (False, False))


def test_one_folder_around_everything(made):
    assert made("my pets/train/cat/1.png", "my pets/train/dog/1.png", "my pets/test/dog/1.png").is_test == (False, False, True)


def test_one_folder_around_classes(made):
    assert made("pets/cat/1.png", "pets/dog/1.png").classes == ("cat", "dog")


def test_folders_inside_a_class_are_read(made):
    assert made("cat/old/1.png", "cat/new/deep/2.png", "dog/1.png").labels == (0, 0, 1)


def test_what_systems_leave_behind_is_absent(made):
    found = made("cat/1.png", "dog/1.png", "__MACOSX/cat/._1.png", ".git/x.png", "cat/.hidden.png", "cat/Thumbs.db", "dog/.DS_Store")
    assert found.names == ("cat/1.png", "dog/1.png")
    assert found.notes == ()


def test_other_files_are_noted(made):
    found = made("train/cat/1.png", "train/cat/notes.txt", "train/dog/1.png", "val/cat/1.png", "train/stray.png", "README.md")
    assert len(found.names) == 2
    assert found.notes == (
        "left out 1 file without the suffix of an image: train/cat/notes.txt",
        "left out the folders beside train and test: val",
        "left out 1 image outside of class folders: train/stray.png",
    )


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["1.png"], "has no class folders; it must hold train/<class>"),
        (["train/1.png"], "has no class folders in train"),
        (["cat/1.png"], "has fewer than 2 classes, only cat"),
        (["test/cat/1.png", "test/dog/1.png"], "has a folder test but no folder train"),
        (["cat/1.png", "dog/", "owl/x.txt"], "no images in dog, owl; add some, or remove the folders"),
        (["train/cat/1.png", "train/dog/1.png", "test/owl/1.png"], "test has classes that train lacks: owl"),
    ],
)
def test_a_wrong_layout(made, names, text):
    with pytest.raises(DataError) as caught:
        made(*names)
    assert text in str(caught.value)


def test_all_problems_at_once(made):
    with pytest.raises(DataError) as caught:
        made("train/cat/1.png", "test/owl/1.png", "test/cat/")
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert "no images in test/cat" in lines[0]
    assert "fewer than 2 classes in train, only cat" in lines[1]
    assert "owl" in lines[2]


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match=r"nowhere does not exist; give a folder or zip"):
        scan(tmp_path / "nowhere", tmp_path, silent)


@pytest.mark.parametrize("name", ["../x.png", "/etc/x.png", "C:/x.png", "cat/../../x.png", "cat\\..\\..\\x.png"])
def test_members_outside_of_a_zip(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as zipped:
        zipped.writestr(name, b"x")
    with pytest.raises(DataError) as caught:
        scan(tmp_path / "a.zip", tmp_path, silent)
    assert name in str(caught.value)
    assert "outside" in str(caught.value)


def test_links_in_a_zip(tmp_path):
    link = zipfile.ZipInfo("cat/link.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as zipped:
        zipped.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match=r"cat/link\.png"):
        scan(tmp_path / "a.zip", tmp_path, silent)


def test_a_zip_with_a_password(tmp_path):
    path = packed(fill(tmp_path / "pets", ["cat/1.png", "dog/1.png"]), tmp_path / "a.zip")
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="with a password: cat/"):
        scan(path, tmp_path, silent)


def test_a_broken_zip(tmp_path):
    path = packed(fill(tmp_path / "pets", ["cat/1.png", "dog/1.png"]), tmp_path / "a.zip")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="neither a folder nor a zip that can be read"):
        scan(path, tmp_path, silent)


def test_a_member_whose_content_is_damaged_is_a_bad_image(tmp_path):
    path = packed(fill(tmp_path / "pets", ["cat/1.png", "dog/1.png"]), tmp_path / "a.zip")
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 5] ^= 255
    path.write_bytes(content)
    found = scan(path, tmp_path, silent)
    with pytest.raises(BadImage, match="CRC"):
        found.read(0)


def test_a_member_that_unpacks_to_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "LARGEST_FILE", 10_000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("cat/1.png", b"\0" * 20_000)
        zipped.writestr("dog/1.png", b"")
    with pytest.raises(BadImage, match="holds 20,000 bytes"):
        scan(tmp_path / "a.zip", tmp_path, silent).read(0)


def test_links_in_a_folder(tmp_path):
    folder = fill(tmp_path / "pets", ["cat/1.png", "dog/1.png"])
    (folder / "dog" / "again").symlink_to(folder)  # would never end
    (folder / "cat" / "gone.png").symlink_to(tmp_path / "nothing.png")
    os.mkfifo(folder / "cat" / "pipe.png")  # would wait for ever
    found = scan(folder, tmp_path / "cache", silent)
    assert found.names == ("cat/1.png", "cat/gone.png", "cat/pipe.png", "dog/1.png")
    for number in (1, 2):
        with pytest.raises(BadImage, match="link to nowhere"):
            found.read(number)


@pytest.mark.parametrize("parts", [("Training", "Testing"), ("training_set", "test_set"), ("TRAIN", "VAL", "TEST"), ("train-images", "valid")])
@pytest.mark.parametrize("around", ["", "archive/"])
def test_folders_that_look_like_parts_are_no_classes(tmp_path, parts, around):
    folder = fill(tmp_path / "pets", [f"{around}{part}/{c}/1.png" for part in parts for c in ("cat", "dog")])
    with pytest.raises(DataError, match=r"look like parts of the images, not like classes: rename them to train and test; it must hold train/"):
        scan(folder, tmp_path / "cache", silent)
    names = [f"{around}{part}/1.png" for part in parts]  # without classes inside they may be
    assert len(scan(fill(tmp_path / "few", names), tmp_path / "cache", silent).classes) == len(parts)


def test_the_fingerprint_follows_content_and_names_only(tmp_path):
    folder = fill(tmp_path / "pets", ["cat/1.png", "dog/1.png"])
    first = scan(folder, tmp_path / "cache", silent).fingerprint
    os.utime(folder / "cat" / "1.png", ns=(1, 1))
    assert scan(folder, tmp_path / "cache", silent).fingerprint == first
    assert scan(folder, tmp_path / "other cache", silent).fingerprint == first
    (folder / "cat" / "1.png").write_bytes((folder / "dog" / "1.png").read_bytes())
    second = scan(folder, tmp_path / "cache", silent).fingerprint
    (folder / "cat" / "1.png").rename(folder / "cat" / "2.png")
    third = scan(folder, tmp_path / "cache", silent).fingerprint
    assert len({first, second, third}) == 3


def test_unchanged_files_are_not_read_again(tmp_path):
    folder = fill(tmp_path / "pets", ["cat/1.png", "dog/1.png"])
    first = scan(folder, tmp_path / "cache", silent).fingerprint
    (folder / "dog" / "1.png").chmod(0)
    stat = (folder / "cat" / "1.png").stat()
    (folder / "cat" / "1.png").write_bytes(b"x" * stat.st_size)  # same size and time: taken as unchanged
    os.utime(folder / "cat" / "1.png", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert scan(folder, tmp_path / "cache", silent).fingerprint == first
    (index,) = (tmp_path / "cache").glob("*.files.json")
    index.write_text("{damaged")
    assert scan(folder, tmp_path / "cache", silent).fingerprint != first
