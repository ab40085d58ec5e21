"""digits, and CIFAR and MNIST read from small files of their formats; downloads by way of file:// addresses."""

import gzip
import hashlib
import pickle
import tarfile

import numpy as np
import pytest
import torch

from zhurnal.core.errors import DataError
from zhurnal.core.settings import Data
from zhurnal.train.data import prepare
from zhurnal.train.vision import torchvision


def load(tmp_path, name, *, download=False, progress=lambda *_: None, **settings):
    data = Data(name=name, **settings)
    return prepare(data, root=tmp_path / "data", base=tmp_path, cache=tmp_path / "cache", download=download, progress=progress)


def everything(split):
    return split.take(torch.arange(len(split)))


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def datasets():
    torchvision()
    from torchvision import datasets

    return datasets


@pytest.fixture
def cifar(tmp_path, datasets, monkeypatch):
    """CIFAR-10 with 5 batches of 20 images and 20 test images, written to `made`, with its sums known to torchvision; returns all pixels."""
    folder = tmp_path / "made" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    generator, pixels, sums = np.random.default_rng(0), [], {}
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        pixels.append(generator.integers(0, 256, (20, 3 * 32 * 32), dtype=np.uint8))
        (folder / name).write_bytes(pickle.dumps({"data": pixels[-1], "labels": [i % 10 for i in range(20)]}))
        sums[name] = md5(folder / name)
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"class {i}" for i in range(10)]}))
    archive = tmp_path / "made" / "cifar.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, folder.name)
    monkeypatch.setattr(datasets.CIFAR10, "train_list", [[n, s] for n, s in sums.items() if n != "test_batch"])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(datasets.CIFAR10, "meta", {**datasets.CIFAR10.meta, "md5": md5(folder / "batches.meta")})
    monkeypatch.setattr(datasets.CIFAR10, "url", archive.as_uri())
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", md5(archive))
    return torch.from_numpy(np.concatenate(pixels).reshape(-1, 3, 32, 32))


@pytest.fixture
def mnist(tmp_path, datasets, monkeypatch):
    """MNIST with 40 training and 10 test images, packed in `made`."""
    made = tmp_path / "made"
    made.mkdir()
    generator, resources = np.random.default_rng(0), []
    for part, num in (("train", 40), ("t10k", 10)):
        images = generator.integers(0, 256, (num, 28, 28), dtype=np.uint8)
        images_header = np.array([2051, num, 28, 28], ">i4").tobytes()
        labels_header = np.array([2049, num], ">i4").tobytes()
        labels = np.arange(num, dtype=np.uint8) % 10
        for kind, content in (("images-idx3", images_header + images.tobytes()), ("labels-idx1", labels_header + labels.tobytes())):
            path = made / f"{part}-{kind}-ubyte.gz"
            path.write_bytes(gzip.compress(content))
            resources.append((path.name, md5(path)))
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    monkeypatch.setattr(datasets.MNIST, "mirrors", [(tmp_path / "nowhere").as_uri() + "/", made.as_uri() + "/"])


def test_digits(tmp_path):
    from sklearn.datasets import load_digits

    prepared = load(tmp_path, "digits")
    assert (prepared.name, prepared.image, len(prepared.train), len(prepared.val), len(prepared.test)) == ("digits", (1, 8, 8), 1294, 144, 359)
    assert prepared.classes == tuple("0123456789")
    images_NCHW, labels_N, indices_N = everything(prepared.test)
    bunch = load_digits()
    assert np.array_equal(images_NCHW[:, 0].numpy(), np.rint(bunch.images[indices_N] * 255 / 16))
    assert np.array_equal(labels_N.numpy(), bunch.target[indices_N])
    assert (images_NCHW.min(), images_NCHW.max()) == (0, 255)


def test_the_test_digits_are_the_same_for_every_seed(tmp_path):
    first, second = load(tmp_path, "digits"), load(tmp_path, "digits", split_seed=1, validation=0.3, subset=50)
    assert torch.equal(first.test.indices_N, second.test.indices_N)
    assert not torch.equal(first.val.indices_N[:100], second.val.indices_N[:100])
    assert first.fingerprint == second.fingerprint
    assert torch.bincount(second.train.labels_N).tolist() == [5] * 10


def test_cifar_from_its_files(tmp_path, cifar):
    (tmp_path / "made").rename(tmp_path / "data")
    prepared = load(tmp_path, "cifar10", validation=0.2)
    assert (prepared.classes[3], prepared.image, len(prepared.train), len(prepared.val), len(prepared.test)) == ("class 3", (3, 32, 32), 80, 20, 20)
    images_NCHW, labels_N, indices_N = everything(prepared.train)
    assert torch.equal(images_NCHW, cifar[indices_N])
    assert torch.equal(labels_N, indices_N % 10)
    assert torch.equal(everything(prepared.test)[0], cifar[100:])


def test_cifar_resized_and_gray(tmp_path, cifar):
    (tmp_path / "made").rename(tmp_path / "data")
    assert load(tmp_path, "cifar10", image_size=16).image == (3, 16, 16)
    gray = load(tmp_path, "cifar10", channels=1)
    luma = (cifar[gray.test.indices_N].double() * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True)
    assert (everything(gray.test)[0] - luma).abs().max() < 0.51
    assert len(gray.mean) == 1


def test_images_too_large_to_keep_are_resized_when_taken(tmp_path, cifar, monkeypatch):
    from zhurnal.train.data import cache

    (tmp_path / "made").rename(tmp_path / "data")
    kept = load(tmp_path, "cifar10", image_size=48)
    monkeypatch.setattr(cache, "available_memory", lambda: 100)
    taken = load(tmp_path, "cifar10", image_size=48)
    assert any("resized when taken" in note for note in taken.notes)
    assert (taken.mean, taken.std, taken.image) == (kept.mean, kept.std, kept.image)
    assert all(torch.equal(a, b) for a, b in zip(everything(taken.val), everything(kept.val), strict=True))


def test_settings_without_effect_are_noted(tmp_path):
    notes = load(tmp_path, "digits", path="somewhere", storage="stream").notes
    assert any("data.path=somewhere has no effect" in note for note in notes)
    assert any("data.storage=stream has no effect" in note for note in notes)


def test_cifar_absent(tmp_path):
    with pytest.raises(DataError) as caught:
        load(tmp_path, "cifar10")
    text = str(caught.value)
    assert f"{tmp_path / 'data' / 'cifar-10-batches-py'} is not there" in text
    assert "`zhurnal run EXPERIMENT --download`" in text
    assert not (tmp_path / "data").exists()


def test_cifar_damaged(tmp_path, cifar):
    (tmp_path / "made").rename(tmp_path / "data")
    path = tmp_path / "data" / "cifar-10-batches-py" / "data_batch_3"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="is damaged or incomplete"):
        load(tmp_path, "cifar10")


def test_cifar_downloaded(tmp_path, cifar, capfd):
    calls = []
    prepared = load(tmp_path, "cifar10", download=True, progress=lambda *call: calls.append(call))
    assert torch.equal(everything(prepared.test)[0], cifar[100:])
    size = (tmp_path / "made" / "cifar.tar.gz").stat().st_size
    assert ("downloading cifar-10-python.tar.gz", size, size) in calls
    assert [p.name for p in (tmp_path / "data").iterdir()] == ["cifar-10-batches-py"]
    assert load(tmp_path, "cifar10").fingerprint == prepared.fingerprint
    assert capfd.readouterr() == ("", "")


def test_a_download_mends_damaged_files(tmp_path, cifar):
    load(tmp_path, "cifar10", download=True)
    path = tmp_path / "data" / "cifar-10-batches-py" / "test_batch"
    path.write_bytes(b"")
    assert torch.equal(everything(load(tmp_path, "cifar10", download=True).test)[0], cifar[100:])


@pytest.mark.parametrize("failure", ["no server", "no file", "wrong sum"])
def test_a_failed_download_keeps_nothing(tmp_path, cifar, datasets, monkeypatch, failure):
    if failure == "no server":
        monkeypatch.setattr(datasets.CIFAR10, "url", "http://127.0.0.1:9/cifar.tar.gz")
    elif failure == "no file":
        monkeypatch.setattr(datasets.CIFAR10, "url", (tmp_path / "nothing").as_uri())
    else:
        monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", "0" * 32)
    with pytest.raises(DataError) as caught:
        load(tmp_path, "cifar10", download=True)
    reason = {"no server": "refused", "no file": "No such file", "wrong sum": "its MD5 sum is"}[failure]
    assert reason in str(caught.value)
    assert "put its files into" in str(caught.value)
    assert list((tmp_path / "data").iterdir()) == []


def test_mnist_downloaded_from_the_second_mirror_and_read(tmp_path, mnist):
    prepared = load(tmp_path, "mnist", download=True)
    assert (prepared.image, len(prepared.train), len(prepared.val), len(prepared.test)) == ((1, 28, 28), 30, 10, 10)
    assert prepared.classes[9] == "9 - nine"
    assert torch.equal(prepared.test.labels_N, torch.arange(10))
    assert load(tmp_path, "mnist").fingerprint == prepared.fingerprint
    assert load(tmp_path, "mnist", channels=3).image == (3, 28, 28)


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
@pytest.mark.parametrize("keep", [0, 3, 25])
def test_mnist_damaged(tmp_path, mnist, name, keep):
    load(tmp_path, "mnist", download=True)
    path = tmp_path / "data" / "MNIST" / "raw" / name
    path.write_bytes(path.read_bytes()[:keep] if keep < path.stat().st_size - 1 else path.read_bytes()[:-1])
    with pytest.raises(DataError, match="is damaged or incomplete"):
        load(tmp_path, "mnist")


def test_a_folder_without_a_path(tmp_path):
    with pytest.raises(DataError, match=r"data\.path is none, must be FOLDER_OR_ZIP where data.name is folder: set data.path"):
        load(tmp_path, "folder")
