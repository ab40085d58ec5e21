"""Files that are there whole or not at all: what is left when the disk refuses, locks of a file, and texts that are read."""

import errno
import fcntl
import os
import stat
import threading
import time
from pathlib import Path

import pytest

from helpers_keeper import until
from zhurnal.core.errors import LabError
from zhurnal.store import files


def refusing(number: int):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.fixture
def synced(monkeypatch) -> list[str]:
    """The names of files and folders in the order they were made durable."""
    found: list[str] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        found.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    return found


def num_open() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def test_a_file_is_durable_before_it_has_its_name_and_its_name_after(tmp_path, synced, monkeypatch):
    order: list[str] = []
    real = os.replace

    def replace(source, target):
        order.extend((*synced, "replace"))
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    before = num_open()
    files.write(tmp_path / "a.txt", "x")
    assert [name[:7] for name in order] == [".a.txt.", "replace"]
    assert synced[1:] == [tmp_path.name]
    assert num_open() == before


def test_new_folders_are_durable(tmp_path, synced):
    files.make_folder(tmp_path / "a" / "b")
    assert sorted(synced) == sorted([tmp_path.name, "a"])
    files.make_folder(tmp_path / "a" / "b")
    assert len(synced) == 2, "those that were there are not synced again"


def test_a_disk_that_takes_part_of_a_write_gets_the_rest(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data[:3]))
    files.write(tmp_path / "a", b"0123456789")
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def replace(path: Path, *texts: str | None) -> None:
    with files.replacing(path) as temporary:
        for text in texts:
            temporary.write_text(text)


@pytest.mark.parametrize("call", ["write", "fsync", "chmod", "replace"])
def test_a_disk_that_refuses_leaves_the_file_as_it_was_and_no_other(tmp_path, monkeypatch, call):
    (tmp_path / "a").write_text("old")
    before = num_open()
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refusing(errno.ENOSPC))
        with pytest.raises(OSError, match="No space"):
            files.write(tmp_path / "a", "new")
        if call != "write":
            with pytest.raises(OSError, match="No space"):
                replace(tmp_path / "a", "new")
    with pytest.raises(TypeError):
        replace(tmp_path / "a", "new", None)  # the block itself fails
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a": "old"}
    assert num_open() == before


def test_a_block_that_ends_well_replaces_the_file(tmp_path, synced):
    (tmp_path / "a").write_text("old")
    mask = os.umask(0o026)
    try:
        with files.replacing(tmp_path / "a") as temporary:
            assert temporary.parent == tmp_path
            temporary.write_text("new")
            assert (tmp_path / "a").read_text() == "old"
            assert synced == []
    finally:
        os.umask(mask)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a": "new"}
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    assert [synced[0][:3], *synced[1:]] == [".a.", tmp_path.name]


def test_a_long_name_is_written_too(tmp_path):
    path = tmp_path / ("x" * 255)
    files.write(path, "x")
    with files.replacing(path) as temporary:
        temporary.write_text("y")
    assert path.read_text() == "y"


@pytest.mark.parametrize("links", [True, False])
def test_a_file_is_made_once_durable_and_nothing_is_left_beside_it(tmp_path, synced, monkeypatch, links):
    if not links:
        monkeypatch.setattr(os, "link", refusing(errno.EPERM))
    before = num_open()
    assert files.create(tmp_path / "a", "first")
    assert synced[-1] == tmp_path.name
    assert "a" in synced or links
    assert not files.create(tmp_path / "a", b"second")
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a": "first"}
    assert (tmp_path / "a").stat().st_mode & 0o111 == 0
    assert num_open() == before


def test_a_file_that_cannot_be_made_without_links_is_an_error(tmp_path, monkeypatch):
    before = num_open()
    monkeypatch.setattr(os, "link", refusing(errno.EPERM))
    real = files._write_all
    calls: list[int] = []

    def full(handle, data):
        calls.append(handle)
        if len(calls) == 2:  # the file itself, behind the one beside it
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle, data)

    monkeypatch.setattr(files, "_write_all", full)
    with pytest.raises(OSError, match="No space"):
        files.create(tmp_path / "a", "first")
    assert list(tmp_path.iterdir()) == [], "half a file would be one that exists"
    assert num_open() == before


def test_whoever_comes_second_waits_and_is_told(tmp_path):
    order: list[str] = []
    waits, waited_for = threading.Event(), []
    before = num_open()

    def second() -> None:
        with files.alone(tmp_path / "made" / "here" / "lock", lambda: waited_for.append(waits.set())) as waited:
            order.append(f"second, waited: {waited}")

    thread = threading.Thread(target=second)
    with files.alone(tmp_path / "made" / "here" / "lock") as waited:
        assert waited is False
        began = time.monotonic()
        thread.start()
        assert waits.wait(10)
        time.sleep(0.15)
        until(lambda: len(waited_for) >= 2)
        order.append("first")
    thread.join()
    assert 2 <= len(waited_for) <= 5 + 20 * (time.monotonic() - began), "a few times a second"
    assert order == ["first", "second, waited: True"]
    assert (tmp_path / "made" / "here" / "lock").stat().st_mode & 0o111 == 0
    with files.alone(tmp_path) as waited:  # a folder can be held too
        assert waited is False
    assert num_open() == before


def test_where_nothing_can_be_locked_nothing_is_held(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    with files.alone(tmp_path / "file" / "lock") as waited:
        assert waited is False
    before = num_open()
    monkeypatch.setattr(fcntl, "flock", refusing(errno.ENOLCK))
    with files.alone(tmp_path / "lock") as waited:
        assert waited is False
    assert num_open() == before


def test_texts_that_are_no_files_of_a_lab_are_told(tmp_path):
    path = tmp_path / "a.md"
    with pytest.raises(LabError, match=r"a\.md does not exist$"):
        files.read_text(path)
    path.write_bytes("größer".encode("latin-1"))
    with pytest.raises(LabError, match=r"a\.md is not UTF-8 text: save it as UTF-8$"):
        files.read_text(path)
    path.write_text("größer", encoding="utf-8")
    assert files.read_text(path, 8) == "größer"
    with pytest.raises(LabError, match=r"a\.md has 8 bytes; at most 7 are read: it is hardly a file of this lab$"):
        files.read_text(path, 7)
    path.write_bytes(b"x" * 1_000_001)
    with pytest.raises(LabError, match="has 1,000,001 bytes; at most 1,000,000 are read"):
        files.read_text(path)


def test_the_sum_of_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert files.sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_home_that_nobody_has_is_left_as_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.expand("~/photos") == tmp_path / "photos"
    assert files.expand("~nobody-of-this-name/photos") == Path("~nobody-of-this-name/photos")
