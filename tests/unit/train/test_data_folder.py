"""Images of your own, from file to split: memory and streaming, the cache, bad images, sizes, normalization."""

import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from zhurnal.core.errors import DataError
from zhurnal.core.settings import Data, Normalize
from zhurnal.train.data import InMemory, Streamed, cache, folder, prepare

NUM = {"train": 20, "test": 6}


def png(seed, size=(8, 6), mode="RGB"):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


def make(where, **options):
    """Write 20 training and 6 test images of two classes."""
    for part, num in NUM.items():
        for i in range(num):
            path = where / part / ("cat", "dog")[i % 2] / f"{i:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(i + 100 * (part == "test"), **options))
    return where


@pytest.fixture
def pets(tmp_path):
    return make(tmp_path / "pets")


def load(where, **settings):
    progress = settings.pop("progress", lambda *_: None)
    data = Data(**{"name": "folder", "path": where.name, "bad_images": "stop", "validation": 0.2} | settings)
    return prepare(data, root=where.parent / "data", base=where.parent, cache=where.parent / "cache", progress=progress)


def everything(split):
    return split.take(torch.arange(len(split)))


def same(a, b):
    assert (a.classes, a.image, a.mean, a.std, a.fingerprint) == (b.classes, b.image, b.mean, b.std, b.fingerprint)
    for one, other in ((a.train, b.train), (a.val, b.val), (a.test, b.test)):
        assert all(torch.equal(x, y) for x, y in zip(everything(one), everything(other), strict=True))


def forbid_decoding(monkeypatch):
    def decode_all(*_):
        raise AssertionError("decoded again")

    monkeypatch.setattr(folder, "_decode_all", decode_all)


def test_pixels_labels_and_numbers(pets):
    prepared = load(pets)
    assert (prepared.name, prepared.classes, prepared.image) == ("pets", ("cat", "dog"), (3, 6, 8))
    assert (len(prepared.train), len(prepared.val), len(prepared.test)) == (16, 4, 6)
    assert prepared.notes == ("validation: 20 % of the training images, stratified",)
    names = sorted(p.relative_to(pets).as_posix() for p in (pets / "train").rglob("*.png"))
    names += sorted(p.relative_to(pets).as_posix() for p in (pets / "test").rglob("*.png"))
    seen = []
    for split in (prepared.train, prepared.val, prepared.test):
        images_NCHW, labels_N, indices_N = everything(split)
        for image_CHW, label, index in zip(images_NCHW, labels_N.tolist(), indices_N.tolist(), strict=True):
            expected = np.asarray(Image.open(pets / names[index])).transpose(2, 0, 1)
            assert np.array_equal(image_CHW.numpy(), expected)
            assert names[index].split("/")[1] == prepared.classes[label]
        seen += indices_N.tolist()
    assert sorted(seen) == list(range(26))
    assert torch.equal(prepared.train.images.take(torch.tensor([3, 1])), prepared.train.take(torch.tensor([3, 1]))[0])


def test_mean_and_std_are_of_the_training_images(pets):
    prepared = load(pets)
    pixels = everything(prepared.train)[0].double() / 255
    assert prepared.mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), abs=1e-12)
    assert prepared.std == pytest.approx(pixels.std((0, 2, 3), correction=0).tolist(), abs=1e-12)
    assert load(pets, subset=4).mean == prepared.mean
    assert load(pets, normalize="none").mean is None
    given = load(pets, normalize=Normalize(mean=[0.1, 0.2, 0.3], std=[0.2, 0.4, 1.0]))
    assert (given.mean, given.std) == ((0.1, 0.2, 0.3), (0.2, 0.4, 1.0))


@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_streaming_gives_the_same(pets, num_workers):
    streamed, held = load(pets, storage="stream", num_workers=num_workers), load(pets, storage="memory")
    assert isinstance(streamed.train.images, Streamed)
    assert isinstance(held.train.images, InMemory)
    assert "streamed, as data.storage says" in streamed.notes
    same(streamed, held)


def test_images_that_do_not_fit_are_streamed(pets, monkeypatch):
    monkeypatch.setattr(cache, "available_memory", lambda: 100)
    prepared = load(pets)
    assert isinstance(prepared.val.images, Streamed)
    assert "streamed: 0.0 GB do not fit in memory" in prepared.notes


@pytest.mark.parametrize("storage", ["memory", "stream"])
def test_images_are_decoded_once(pets, monkeypatch, storage):
    first = load(pets, storage=storage)
    forbid_decoding(monkeypatch)
    same(load(pets, storage=storage), first)


def test_settings_that_matter_have_caches_of_their_own(pets):
    assert load(pets, image_size=4).image == (3, 4, 4)
    assert load(pets, image_size=5).image == (3, 5, 5)
    assert load(pets, channels=1).image == (1, 6, 8)
    assert load(pets).image == (3, 6, 8)


def test_a_changed_image_is_decoded_again(pets):
    before = load(pets)
    (pets / "train" / "cat" / "00.png").write_bytes(png(999))
    after = load(pets)
    assert after.fingerprint != before.fingerprint
    assert not torch.equal(everything(after.train)[0], everything(before.train)[0]) or not torch.equal(
        everything(after.val)[0], everything(before.val)[0]
    )


@pytest.mark.parametrize("damage", ["cut pixels", "flip a pixel", "no pixels", "cut facts", "change facts", "empty facts", "another shape"])
def test_a_damaged_cache_is_made_again(pets, damage):
    first = load(pets)
    (facts,) = [p for p in (pets.parent / "cache").glob("*.json") if not p.name.endswith(".files.json")]
    pixels = facts.with_suffix(".npy")
    content = bytearray(pixels.read_bytes())
    if damage == "cut pixels":
        pixels.write_bytes(content[:-7])
    elif damage == "flip a pixel":
        content[-100] ^= 255
        pixels.write_bytes(content)
    elif damage == "no pixels":
        pixels.unlink()
    elif damage == "cut facts":
        facts.write_bytes(facts.read_bytes()[:-5])
    elif damage == "change facts":
        facts.write_bytes(facts.read_bytes().replace(b'"shape": [3', b'"shape": [1'))
    elif damage == "empty facts":
        facts.write_bytes(b"{}")
    else:
        np.save(pixels, np.zeros((2, 3, 6, 8), np.uint8))
    same(load(pets), first)
    assert cache.load(facts.parent, facts.stem, pixels=True) is not None  # and mended


def test_a_cache_that_cannot_be_written_is_noted(pets):
    (pets.parent / "cache").write_text("a file in the way")
    assert any("could not be kept" in note for note in load(pets).notes)


def test_nothing_half_written_stays(tmp_path):
    def fail(file):
        file.write(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        cache.write(tmp_path / "x.npy", fail)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("storage", ["memory", "stream"])
def test_bad_images_stop_and_are_named(pets, storage):
    (pets / "train" / "cat" / "02.png").write_bytes(b"no image")
    (pets / "test" / "dog" / "01.png").write_bytes(png(1)[:60])
    with pytest.raises(DataError) as caught:
        load(pets, storage=storage)
    text = str(caught.value)
    assert "2 images cannot be used; mend or remove them, or set data.bad_images=skip" in text
    assert "train/cat/02.png is no JPEG" in text
    assert "test/dog/01.png cannot be decoded" in text


@pytest.mark.parametrize("storage", ["memory", "stream"])
def test_bad_images_are_skipped_when_told(pets, storage):
    before = load(pets, storage=storage)
    (pets / "train" / "cat" / "02.png").write_bytes(b"no image")
    after = load(pets, storage=storage, bad_images="skip")
    assert any("skipped 1 image: train/cat/02.png (is no JPEG" in note for note in after.notes)
    assert len(after.train) + len(after.val) == 19
    assert 1 not in after.train.indices_N.tolist() + after.val.indices_N.tolist()  # train/cat/02.png was number 1
    was = dict(zip(before.test.indices_N.tolist(), everything(before.test)[0], strict=True))
    assert all(torch.equal(was[i], image) for i, image in zip(after.test.indices_N.tolist(), everything(after.test)[0], strict=True))
    with pytest.raises(DataError, match="1 image cannot be used"):  # also where the cache knows it
        load(pets, storage=storage)


def test_many_bad_images_are_named_and_counted(pets, monkeypatch):
    for path in pets.rglob("*.png"):
        path.write_bytes(b"no image")
    (pets / "train" / "cat" / "00.png").write_bytes(png(0))
    with pytest.raises(DataError) as caught:
        load(pets)
    assert "25 images cannot be used" in str(caught.value)
    assert all(f"/{i:02d}.png" in str(caught.value) for i in range(1, 20))
    monkeypatch.setattr(folder, "MOST_BAD_NAMED", 20)
    with pytest.raises(DataError, match=r"and 5 more$"):
        load(pets)
    with pytest.raises(DataError, match="no training image can be read of dog"):
        load(pets, bad_images="skip")


def test_no_image_can_be_read(pets):
    for path in pets.rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(DataError, match="none of its 26 images can be used"):
        load(pets)


def test_different_sizes_need_a_size(pets):
    (pets / "train" / "cat" / "04.png").write_bytes(png(1, size=(5, 4)))
    (pets / "train" / "dog" / "05.png").write_bytes(png(1, size=(30, 40)))
    with pytest.raises(DataError) as caught:
        load(pets)
    text = "the smallest is 5 x 4 (train/cat/04.png) and the largest is 30 x 40 (train/dog/05.png); set one for all, such as data.image_size=64"
    assert text in str(caught.value)
    assert load(pets, image_size=4).image == (3, 4, 4)


def test_gray_only_if_all_are(tmp_path):
    gray = make(tmp_path / "gray", mode="L")
    prepared = load(gray)
    assert prepared.image == (1, 6, 8)
    assert len(prepared.mean) == 1
    assert prepared.mean[0] == pytest.approx(everything(prepared.train)[0].double().mean().item() / 255)
    same(load(gray, storage="stream"), prepared)
    (gray / "train" / "cat" / "00.png").write_bytes(png(5))
    assert load(gray).image == (3, 6, 8)
    assert load(gray, channels=1).image == (1, 6, 8)


def test_a_zip_and_the_folder_it_was_made_of_are_alike(pets):
    with zipfile.ZipFile(pets.parent / "pets.zip", "w", zipfile.ZIP_DEFLATED) as zipped:
        for file in pets.rglob("*.png"):
            zipped.write(file, file.relative_to(pets.parent))
    held, streamed, original = load(pets.parent / "pets.zip"), load(pets.parent / "pets.zip", storage="stream", num_workers=3), load(pets)
    assert held.name == "pets"
    assert torch.equal(everything(held.train)[0], everything(original.train)[0])
    same(held, streamed)


@pytest.mark.parametrize("storage", ["memory", "stream"])
def test_images_of_a_zip_that_is_mended_are_read_again(pets, storage):
    packed, whole = pets.parent / "pets.zip", pets.parent / "whole.zip"
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_STORED) as zipped:
        for file in sorted(pets.rglob("*.png")):
            zipped.write(file, file.relative_to(pets.parent))
    content = whole.read_bytes()
    middle = content.index((pets / "train" / "cat" / "02.png").read_bytes()) + 60
    packed.write_bytes(content[:middle] + b"damaged" + content[middle + 7 :])
    for _ in range(2):  # decoded, and from the cache
        held = load(packed, storage=storage, bad_images="skip")
        assert len(held.train) + len(held.val) == NUM["train"] - 1
    packed.write_bytes(content)  # its list of files, with their checksums, was right before
    mended = load(packed, storage=storage, bad_images="skip")
    assert len(mended.train) + len(mended.val) == NUM["train"]
    assert not any("skipped" in note for note in mended.notes)


def test_a_streamed_file_that_vanishes_is_named(pets):
    prepared = load(pets, storage="stream")
    for path in (pets / "test").rglob("*.png"):
        path.unlink()
    with pytest.raises(DataError, match=r"test/cat/00.png cannot be read .* put it back"):
        everything(prepared.test)


def test_progress_ends_at_the_total(pets):
    calls = []
    load(pets, progress=lambda *call: calls.append(call))
    assert ("reading files", 26, 26) in calls
    assert calls[-1] == ("decoding images", 26, 26)


def test_the_test_images_as_validation(pets):
    prepared = load(pets, validation="test")
    assert (len(prepared.train), len(prepared.val), prepared.test) == (20, 6, None)
    assert any("flatters" in note for note in prepared.notes)


def test_settings_that_the_images_cannot_meet_are_told_together(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "own" / name).mkdir(parents=True)
        for i in range(4):
            (tmp_path / "own" / name / f"{i}.png").write_bytes(png(i))
    with pytest.raises(DataError) as caught:
        load(tmp_path / "own", validation="test", subset=9, normalize=Normalize(mean=[0.5], std=[0.5, 0.5]))
    lines = str(caught.value).splitlines()
    assert [line.split(" ")[0] for line in lines] == ["data.validation", "data.subset", "data.normalize.mean", "data.normalize.std"]
    assert "data.normalize.mean has 1 number, must have 3" in lines[2]
    prepared = load(tmp_path / "own")
    assert prepared.test is None
    assert any("no test images" in note for note in prepared.notes)


def test_a_constant_channel_can_be_normalized(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "own" / name).mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (4, 4), (255, 0, i)).save(tmp_path / "own" / name / f"{i}.png")
    prepared = load(tmp_path / "own")
    assert prepared.std[:2] == (1.0, 1.0)
    assert any("same value in every pixel" in note for note in prepared.notes)
