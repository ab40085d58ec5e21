"""A small hostile folder: what can be read is read the same in every way, what cannot is named; bands of large images are alike to the bit."""

import io
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

import helpers_images
from zhurnal.core.errors import DataError
from zhurnal.core.settings import Data
from zhurnal.train.data import decode, prepare
from zhurnal.train.data.source import class_name

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile") / "photos"
    return folder, helpers_images.hostile_folder(folder, num=120, huge=False)


def load(folder, cache, **settings):
    data = Data(**{"name": "folder", "path": str(folder), "image_size": 12, "bad_images": "skip", "validation": 0.2} | settings)
    return prepare(data, root=cache, base=cache, cache=cache)


def test_each_bad_file_is_named_and_no_other(hostile, tmp_path):
    folder, made = hostile
    with pytest.raises(DataError) as caught:
        load(folder, tmp_path, bad_images="stop")
    lines = str(caught.value).splitlines()[1:]
    assert len(lines) == len(made.bad)
    assert all(any(line.startswith(f"  {name} ") for line in lines) for name in made.bad)


@pytest.mark.parametrize("num_workers", [0, 2, 4])
def test_every_other_file_is_read_the_same_in_every_way(hostile, tmp_path, num_workers):
    folder, made = hostile
    kept = load(folder, tmp_path)
    streamed = load(folder, tmp_path, storage="stream", num_workers=num_workers)
    assert len(kept.train) + len(kept.val) == len(made.good)
    assert (kept.mean, kept.std, kept.fingerprint) == (streamed.mean, streamed.std, streamed.fingerprint)
    for a, b in ((kept.train, streamed.train), (kept.val, streamed.val)):
        everything = torch.arange(len(a))
        with torch.inference_mode():
            b.take(everything)  # threads are not in that mode
        assert all(torch.equal(x, y) for x, y in zip(a.take(everything), b.take(everything), strict=True))


def test_names_of_classes_can_be_written_and_are_one_for_both_forms(hostile, tmp_path):
    folder, _ = hostile
    classes = load(folder, tmp_path).classes
    assert len(classes) == len(helpers_images.CLASSES)
    assert class_name(os.fsdecode(b"latin-\xe9")) == "latin-\\xe9"
    assert class_name("cafe\u0301") == "caf\u00e9" in classes
    (tmp_path / "odd").mkdir()
    for name in (b"a", b"latin-\xe9"):
        os.mkdir(os.fsencode(tmp_path / "odd") + b"/" + name)  # noqa: PTH102
        for i in range(3):
            with open(os.fsencode(tmp_path / "odd") + b"/" + name + b"/%d.png" % i, "wb") as file:  # noqa: PTH123
                file.write(helpers_images.save(Image.new("L", (4, 4), i), "PNG"))
    assert [c.encode() for c in load(tmp_path / "odd", tmp_path).classes] == [b"a", b"latin-\\xe9"]


KINDS = {
    "RGB": {}, "RGB keyed": {"transparency": (0, 0, 0)}, "L": {}, "RGBA": {}, "LA": {}, "P": {}, "P transparent": {"transparency": 1}, "1": {},
    "I;16": {},
}  # fmt: skip


def png(kind, orientation=1, smooth=False):
    mode = kind.split()[0]
    pixels = np.random.default_rng(0).integers(0, 256, (37, 23, 3), dtype=np.uint8)
    if smooth:
        pixels[:] = np.linspace(0, 255, 37, dtype=np.uint8)[:, None, None]
    image = Image.fromarray(pixels).quantize(9) if mode == "P" else Image.fromarray(pixels).convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 200)
    exif = Image.Exif()
    exif[0x0112] = orientation
    return helpers_images.save(image, "PNG", exif=exif, **KINDS[kind])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", KINDS)
def test_bands_and_turns_give_the_same_pixels_to_the_bit(kind, orientation, monkeypatch):
    content = png(kind, orientation)
    for channels in (None, 1, 3):
        monkeypatch.setattr(decode, "LARGE", 4_000_000)
        whole = decode.decode(content, None, channels)
        with Image.open(io.BytesIO(content)) as image:
            upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        if kind == "RGB" and channels != 1:
            assert np.array_equal(whole.pixels_CHW, upright.transpose(2, 0, 1))
        monkeypatch.setattr(decode, "LARGE", 100)
        bands = decode.decode(content, None, channels)
        assert np.array_equal(whole.pixels_CHW, bands.pixels_CHW)
        assert (whole.size, whole.gray) == (bands.size, bands.gray)
        assert whole.size == ((37, 23) if orientation > 4 else (23, 37))


@pytest.mark.parametrize("kind", ["RGB", "L", "I;16"])
def test_averaging_a_large_image_before_it_is_resized_changes_little(kind, monkeypatch):
    content = png(kind, smooth=True)
    whole = decode.decode(content, 4, None).pixels_CHW.astype(int)
    monkeypatch.setattr(decode, "LARGE", 100)
    bands = decode.decode(content, 4, None).pixels_CHW.astype(int)
    assert whole.shape == bands.shape
    assert np.abs(whole - bands).max() <= 8
    assert not np.array_equal(whole, np.zeros_like(whole))


def test_large_images_are_decoded_one_at_a_time(monkeypatch):
    monkeypatch.setattr(decode, "LARGE", 100)
    at_once, most = [], []
    lock = threading.Lock()
    original = decode.to_mode

    def counted(*arguments):
        with lock:
            at_once.append(1)
            most.append(len(at_once))
        time.sleep(0.01)
        with lock:
            at_once.pop()
        return original(*arguments)

    monkeypatch.setattr(decode, "to_mode", counted)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: decode.decode(png("RGBA"), 8, None), range(8)))
    assert max(most) == 1
