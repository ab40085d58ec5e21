"""An append-only file: what its keeper may rely on, call by call."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from zhurnal.store import appender
from zhurnal.store.appender import Appender
from zhurnal.store.keeper import Keeper


def refuse(*_: object) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def num_open() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


@pytest.fixture
def synced(monkeypatch) -> list[str]:
    """The names of what was made durable, in order."""
    found: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda handle: found.append(Path(f"/proc/self/fd/{handle}").readlink().name))
    return found


@pytest.mark.parametrize("call", ["ftruncate", "fsync"])
def test_a_file_that_cannot_be_opened_whole_is_not_held_open(tmp_path, monkeypatch, call):
    before = num_open()
    monkeypatch.setattr(os, call, refuse)
    kept = Keeper(tmp_path)
    with pytest.raises(OSError, match="Input/output error"):
        Appender(tmp_path / "a", kept, size=0)
    assert num_open() == before
    assert kept.look(), "the keeper does not know it"


def test_a_new_file_is_durable_in_its_folder_and_a_torn_end_is_cut_off(tmp_path, synced):
    Appender(tmp_path / "a").close()
    assert synced == [tmp_path.name]
    (tmp_path / "a").write_bytes(b"whole\ntorn")
    file = Appender(tmp_path / "a", size=6)
    assert synced == [tmp_path.name], "one that was there needs no sync of its folder"
    file.append(b"next\n")
    file.close()
    assert (tmp_path / "a").read_bytes() == b"whole\nnext\n"


def test_on_a_good_disk_a_chunk_is_one_call(tmp_path, monkeypatch):
    file = Appender(tmp_path / "a", Keeper(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", refuse)
        patch.setattr(os, "fsync", refuse)
        for chunk in (b"1", b"2"):
            file.append(chunk)
    assert file.num_waiting == 0
    assert (tmp_path / "a").read_bytes() == b"12"


def test_what_waits_follows_a_file_that_was_moved_away(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    kept = Keeper(tmp_path / "run")
    file = Appender(tmp_path / "run" / "a", kept)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse)
        file.append(b"waits")
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    assert not file.sync()
    assert (tmp_path / "elsewhere" / "a").read_bytes() == b"waits"
    assert kept.waiting() == "a (No such file or directory)"


def test_a_file_is_made_again_where_all_folders_above_it_are_gone(tmp_path):
    home = tmp_path / "logs" / "e0001" / "s1"
    home.mkdir(parents=True)
    file = Appender(home / "a", Keeper(home))
    file.append(b"1")
    shutil.rmtree(tmp_path / "logs")
    assert file.sync()
    assert (home / "a").read_bytes() == b"1"


def test_memory_is_counted_right_after_a_file_was_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(appender, "LIMIT", 10)
    kept = Keeper(tmp_path)
    file = Appender(tmp_path / "a", kept)
    file.append(b"123456")
    assert file.sync()
    (tmp_path / "a").unlink()
    file.append(b"7")
    assert file.sync()
    monkeypatch.setattr(os, "write", refuse)
    file.append(b"123456", 1)
    file.append(b"1234", 2)
    assert kept.losses() == []
    file.append(b"1", 3)
    assert kept.losses() == ["1 row of a, of step 3, is lost"]


def test_what_is_durable_is_not_synced_again(tmp_path, synced):
    file = Appender(tmp_path / "a")
    synced.clear()
    assert file.sync()
    assert synced == ["a"], "what an earlier process wrote may not be durable"
    assert file.sync()
    assert synced == ["a"]
    file.append(b"1")
    assert file.sync()
    assert file.sync()
    assert synced == ["a", "a"]
    file.close()


def test_without_a_keeper_half_a_chunk_is_taken_back_and_nothing_waits(tmp_path, monkeypatch):
    file = Appender(tmp_path / "a")
    file.append(b"first\n")
    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda handle, data: real(handle, data[:3]))
        with pytest.raises(OSError, match=r"No space left on device: '.*/a'"):
            file.append(b"second\n")
    assert (tmp_path / "a").read_bytes() == b"first\n"
    assert file.num_waiting == 0
    file.append(b"third\n")
    assert (tmp_path / "a").read_bytes() == b"first\nthird\n"
    file.close()


def test_many_chunks_that_wait_are_written_a_part_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(appender, "AT_ONCE", 2)
    kept = Keeper(tmp_path)
    file = Appender(tmp_path / "a", kept)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse)
        for number in range(5):
            file.append(b"%d" % number)
    assert file.num_waiting == 5
    assert not file.sync()
    assert (tmp_path / "a").read_bytes() == b"01"
    assert not file.sync()
    assert file.sync()
    assert (tmp_path / "a").read_bytes() == b"01234"


def test_memory_is_counted_until_what_was_written_is_durable(tmp_path, monkeypatch):
    """What waits to be durable is held too: it would have to be written again."""
    monkeypatch.setattr(appender, "LIMIT", 10)
    kept = Keeper(tmp_path)
    file = Appender(tmp_path / "a", kept)
    for step in range(4):
        file.append(b"123456", step)  # more than the limit, but nothing waits
    assert kept.losses() == []
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse)
        file.append(b"never", None)
        assert kept.losses() == []
        file.append(b"4", 4)
        file.append(b"important", None)
        file.append(b"5", 5)
    assert kept.losses() == ["2 rows of a, of steps 4 to 5, are lost"]
    assert file.sync()
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse)
        file.append(b"12345", 6)
        file.append(b"67890", 7)  # ten bytes are as many as may wait
        assert file.num_waiting == 2
        file.append(b"1", 8)
        file.append(b"", 9)  # from the first that is dropped on all are, until there is room
    assert file.num_waiting == 2
    assert kept.losses() == ["4 rows of a, of steps 4 to 9, are lost"]
    assert file.sync()
    file.append(b"end", 10)
    assert (tmp_path / "a").read_bytes() == b"123456" * 4 + b"neverimportant" + b"1234567890" + b"end"


@pytest.mark.parametrize("number", sorted(appender.CANNOT))
def test_a_file_system_that_makes_nothing_durable_is_gone_on_with(tmp_path, monkeypatch, number):
    def cannot(_: int) -> None:
        raise OSError(number, os.strerror(number))

    file = Appender(tmp_path / "a")
    monkeypatch.setattr(os, "fsync", cannot)
    file.append(b"1")
    assert file.sync()
    file.close()


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_after_a_failed_fsync_only_what_was_not_durable_is_written_again(tmp_path, monkeypatch, number):
    def full(_: int) -> None:
        raise OSError(number, os.strerror(number))

    kept = Keeper(tmp_path)
    file = Appender(tmp_path / "a", kept)
    file.append(b"durable ")
    assert file.sync()
    file.append(b"lost ")
    file.append(b"too ")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert not file.sync()
    assert file.num_waiting == 2
    assert kept.waiting() == f"2 rows of a ({os.strerror(number)})"
    written: list[bytes] = []
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: written.append(data) or real(handle, data))
    assert file.sync()
    assert written == [b"lost ", b"too "]
    assert (tmp_path / "a").read_bytes() == b"durable lost too "


def test_a_file_made_again_is_told_durable_in_its_folder_and_gone_on_with(tmp_path, synced):
    kept = Keeper(tmp_path)
    file = Appender(tmp_path / "a", kept)
    told: list[str] = []
    kept._hear = told.append
    file.append(b"first ")
    assert kept.look()
    (tmp_path / "a").unlink()
    file.append(b"second ")
    synced.clear()
    before = num_open()
    assert kept.look()
    assert num_open() == before
    assert synced == [tmp_path.name, "a"]
    assert (tmp_path / "a").read_bytes() == b"first second "
    assert told == [f"{tmp_path / 'a'} was deleted while the run wrote to it, and is made again; other files that were deleted with it are lost"]
    (tmp_path / "a").rename(tmp_path / "b")
    (tmp_path / "a").write_bytes(b"first ")
    file.append(b"third ")
    assert kept.look()
    assert (tmp_path / "a").read_bytes() == b"first second third "
    assert len(told) == 1, "one that was put back was not made again"


def test_another_file_in_its_place_is_not_held_open(tmp_path):
    kept = Keeper(tmp_path)
    file = Appender(tmp_path / "a", kept)
    file.append(b"mine")
    (tmp_path / "a").rename(tmp_path / "b")
    (tmp_path / "a").write_bytes(b"another")
    before = num_open()
    assert not file.sync()
    assert not file.sync()
    assert num_open() == before
    assert (tmp_path / "a").read_bytes() == b"another"


def test_a_drive_that_came_back_without_what_was_durable_is_not_written_to(tmp_path, monkeypatch):
    kept = Keeper(tmp_path)
    file = Appender(tmp_path / "a", kept)
    file.append(b"durable ")
    assert file.sync()
    file.append(b"in memory ")
    handle, real = file._file, os.pread
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        assert not file.sync()

    def pread(which, *more):
        return refuse() if which == handle else real(which, *more)

    monkeypatch.setattr(os, "pread", pread)
    (tmp_path / "a").write_bytes(b"dura")
    assert not file.sync()
    assert (tmp_path / "a").read_bytes() == b"dura"
    assert "another file is in its place" in kept.waiting()
    (tmp_path / "a").write_bytes(b"durable in m")
    assert file.sync()
    assert (tmp_path / "a").read_bytes() == b"durable in memory "
    handle = file._file
    file.append(b"and on")
    assert file.sync()
    assert file._file == handle, "it is back, and not opened once more"
