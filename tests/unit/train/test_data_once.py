"""One process at a time: `files.alone`, and what is built on it, data decoded once."""

import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

from zhurnal.core.settings import Data
from zhurnal.store import files
from zhurnal.train.data import cache, folder, prepare


@pytest.mark.parametrize("is_folder", [False, True])
def test_the_second_waits_and_is_told(tmp_path, is_folder):
    path = tmp_path if is_folder else tmp_path / "deep" / "lock"
    told, order = [], []
    held = threading.Event()

    def first() -> None:
        with files.alone(path) as waited:
            assert not waited
            held.set()
            while len(told) < 2:
                time.sleep(0.01)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    assert held.wait(60)
    with files.alone(path, lambda: told.append("waiting")) as waited:
        assert waited
        order.append("second")
    thread.join()
    assert order == ["first", "second"]
    with files.alone(path) as waited:
        assert not waited


def test_where_nothing_can_be_locked_nothing_is_held(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with files.alone(tmp_path / "file" / "lock") as waited:
        assert not waited


def test_two_that_lack_the_same_images_decode_them_once(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for c in "ab":
        (tmp_path / "photos" / c).mkdir(parents=True)
        for i in range(6):
            Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8)).save(tmp_path / "photos" / c / f"{i}.png")
    real, decoded, waiting = folder._decode_all, [], threading.Event()

    def slowly(*arguments):
        decoded.append(threading.get_ident())
        assert waiting.wait(60), "nobody waited"
        return real(*arguments)

    def progress(task, done, total):
        if task == cache.WAITING:
            waiting.set()

    monkeypatch.setattr(folder, "_decode_all", slowly)
    made = []

    def load() -> None:
        data = Data(name="folder", path=str(tmp_path / "photos"), validation=0.3)
        made.append(prepare(data, root=tmp_path, base=tmp_path, cache=tmp_path / "cache", progress=progress))

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(decoded) == 1
    assert made[0].fingerprint == made[1].fingerprint
    assert made[0].notes == made[1].notes
    assert torch.equal(made[0].train.images.pixels_NCHW, made[1].train.images.pixels_NCHW)


def test_memory_is_divided_among_runs_at_once(monkeypatch):
    monkeypatch.delenv("ZHURNAL_JOBS", raising=False)
    whole = cache.available_memory()
    monkeypatch.setenv("ZHURNAL_JOBS", "4")
    assert cache.available_memory() < whole / 2


@pytest.mark.parametrize(
    ("files", "bytes_left"),
    [
        ({"memory.max": "1000\n", "memory.current": "900\n", "memory.stat": "anon 300\ninactive_file 500\n"}, 600),
        ({"memory.max": "max\n", "memory.current": "900\n", "memory.stat": "anon 300\n"}, None),
        (
            {
                "memory/memory.limit_in_bytes": "2000\n",
                "memory/memory.usage_in_bytes": "1500\n",
                "memory/memory.stat": "cache 1\ntotal_inactive_file 100\n",
            },
            600,
        ),
        ({"memory.max": "1000\n", "memory.current": "1200\n", "memory.stat": "anon 1\n"}, 0),
        ({"memory.max": "1000\n"}, None),
    ],
)
def test_memory_of_a_container_is_what_it_leaves(tmp_path, monkeypatch, files, bytes_left):
    monkeypatch.delenv("ZHURNAL_JOBS", raising=False)
    monkeypatch.setattr(cache, "GROUPS", tmp_path)
    whole = cache.available_memory()
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    found = cache.available_memory()
    assert found == bytes_left if bytes_left is not None else found > whole / 2
