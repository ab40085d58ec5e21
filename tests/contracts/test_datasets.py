"""What every data set promises, whatever it is made of: parts that do not overlap, types, numbers that stay."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import helpers_layouts as layouts
from zhurnal.core.settings import DATASETS, FROM_PATH, Data, section_class
from zhurnal.train.data import builtin, prepare

CIFAR_ZIP = Path(__file__).parents[3] / "shared" / "data" / "cifar10-jpeg.zip"


def pets(folder):
    for i in range(40):
        path = folder / ("test" if i >= 32 else "train") / ("cat", "dog")[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (10, 12, 3), dtype=np.uint8)).save(buffer, "PNG")
        path.write_bytes(buffer.getvalue())
    return {"name": "folder", "path": "pets"}


OWN = """
import numpy as np

def load(root, num=60):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (num, 8, 8, 3), dtype=np.uint8)
    return {"images": images, "labels": np.arange(num) % 3, "split": ["train"] * 50 + ["test"] * 10}
"""


def from_path(kind, folder):
    """Write a data set of a kind that is read from a path; return its settings."""
    if kind == "my_data.py:load":
        (folder / "my_data.py").write_text(OWN)
        return {"name": kind}
    if kind == "huggingface":
        pytest.importorskip("pyarrow")
    path = getattr(layouts, kind)(folder / "a.npz" if kind == "npz" else folder / "set")
    return {"name": kind, "path": str(path), "image_size": 8 if kind == "penn_fudan" else None}


@pytest.fixture(params=["digits", "memory", "stream", "array", *(name for name in FROM_PATH if name not in ("folder", "clips")), "my_data.py:load"])
def load(request, tmp_path, monkeypatch):
    """A function: settings -> Prepared."""
    base = (
        from_path(request.param, tmp_path)
        if request.param not in ("digits", "memory", "stream", "array")
        else {"name": "digits"}
        if request.param in ("digits", "array")
        else pets(tmp_path / "pets") | {"storage": request.param}
    )
    if request.param == "array":  # as CIFAR comes: color, with test images of its own
        generator = torch.Generator().manual_seed(0)
        pixels = torch.randint(0, 256, (300, 3, 8, 8), dtype=torch.uint8, generator=generator)
        labels = torch.randint(0, 4, (300,), generator=generator)
        monkeypatch.setattr(builtin, "digits", lambda: builtin.from_arrays("array", tuple("abcd"), pixels, labels, torch.arange(300) >= 200))

    def prepared(**settings):
        return prepare(section_class("data", base["name"])(**base | settings), root=tmp_path / "data", base=tmp_path, cache=tmp_path / "cache")

    return prepared


def parts(prepared):
    return [split for split in (prepared.train, prepared.val, prepared.test) if split is not None]


def test_the_names_in_the_settings_are_those_that_can_be_loaded():
    assert {"digits", "moving_shapes", *FROM_PATH, *builtin.TORCHVISION} == set(DATASETS)


def test_types_and_shapes(load):
    prepared = load()
    for split in parts(prepared):
        images_NCHW, labels_N, indices_N = split.take(torch.tensor([1, 0, 1]))
        assert (images_NCHW.dtype, images_NCHW.shape) == (torch.uint8, (3, *prepared.image))
        assert images_NCHW.is_contiguous()
        assert (labels_N.dtype, indices_N.dtype) == (torch.int64, torch.int64)
        assert torch.equal(images_NCHW[0], images_NCHW[2])
        assert split.images.shape == prepared.image
        assert len(split.images) == len(split) == len(split.indices_N)
        assert 0 <= int(split.labels_N.min()) <= int(split.labels_N.max()) < len(prepared.classes)
        assert split.take(torch.tensor([], dtype=torch.int64))[0].shape == (0, *prepared.image)
    assert len(prepared.mean) == len(prepared.std) == prepared.image[0]
    assert len(prepared.fingerprint) == 64


def test_taken_images_may_be_written_to(load):
    split = load().train
    everything = torch.arange(len(split))
    before = split.take(everything)[0].clone()
    split.take(everything)[0].zero_()
    assert torch.equal(split.take(everything)[0], before)


def test_parts_do_not_overlap_and_are_ordered(load):
    numbers = [split.indices_N for split in parts(load())]
    together = torch.cat(numbers)
    assert len(together.unique()) == len(together)
    assert all(torch.equal(n, n.sort().values) for n in numbers)


def test_the_same_settings_give_the_same(load):
    first, again = load(split_seed=5, subset=12), load(split_seed=5, subset=12)
    assert (first.mean, first.fingerprint, first.notes) == (again.mean, again.fingerprint, again.notes)
    assert all(torch.equal(a.indices_N, b.indices_N) for a, b in zip(parts(first), parts(again), strict=True))


def test_a_subset_takes_from_the_training_images_only(load):
    whole, part = load(), load(subset=12)
    assert len(part.train) == 12
    assert set(part.train.indices_N.tolist()) < set(whole.train.indices_N.tolist())
    assert torch.equal(part.val.indices_N, whole.val.indices_N)
    assert (part.mean, part.std, part.fingerprint) == (whole.mean, whole.std, whole.fingerprint)
    counts = torch.bincount(part.train.labels_N)
    assert counts.max() - counts.min() <= 1


def test_numbers_name_the_same_image_in_every_split(load):
    first, other = load(split_seed=0), load(split_seed=1, validation=0.4)
    pixels = [
        {int(i): image for split in parts(prepared) for image, i in zip(split.take(torch.arange(len(split)))[0], split.indices_N, strict=True)}
        for prepared in (first, other)
    ]
    assert pixels[0].keys() == pixels[1].keys()
    assert all(torch.equal(pixels[0][i], pixels[1][i]) for i in pixels[0])


def test_validating_on_the_test_images(load):
    usual, prepared = load(), load(validation="test")
    assert prepared.test is None
    assert torch.equal(prepared.val.indices_N, usual.test.indices_N)
    assert len(prepared.train) == len(usual.train) + len(usual.val)


def test_size_and_channels(load):
    prepared = load(image_size=6, channels=1)
    assert prepared.image == (1, 6, 6)
    assert prepared.train.take(torch.tensor([0]))[0].shape == (1, 1, 6, 6)


@pytest.mark.slow
@pytest.mark.skipif(not CIFAR_ZIP.exists(), reason="the CIFAR-10 zip is not on this machine")
def test_cifar_as_jpeg_files(tmp_path):
    prepared = prepare(Data(name="folder", path=str(CIFAR_ZIP)), root=tmp_path, base=tmp_path, cache=tmp_path / "cache")
    assert (prepared.image, len(prepared.train), len(prepared.val), len(prepared.test)) == ((3, 32, 32), 45000, 5000, 10000)
    assert prepared.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=0.002)
