"""What keeps a run's files when the disk refuses: what waits is written in order, trouble is told once, and what is lost is counted."""

import errno
import os
import shutil

import pytest

from helpers_keeper import ROWS, WHOLE, opened
from zhurnal.core.records import encode
from zhurnal.store import appender, keeper, record, runs
from zhurnal.store.appender import Appender
from zhurnal.store.keeper import Keeper


def test_rows_wait_in_order_and_the_file_is_as_if_nothing_had_happened(tmp_path, disk):
    rows, kept, told = opened(tmp_path / "record.jsonl")
    for at, row in enumerate(ROWS):
        if at == 2:
            disk["write"] = errno.ENOSPC
        if at == 6:
            disk.clear()
        assert rows.append(row)
    assert record.read(tmp_path / "record.jsonl")[0] == ROWS[:2]
    assert kept.waiting() == "6 rows of record.jsonl (No space left on device)"
    assert kept.look()
    assert (tmp_path / "record.jsonl").read_bytes() == WHOLE
    assert kept.waiting() == ""
    assert len(told) == 2
    assert told[0].startswith("record.jsonl cannot be written: No space left on device. Training goes on")
    assert "make room" in told[0]
    assert told[1] == "all that had to wait is written"
    assert kept.losses() == []


def test_half_a_line_is_taken_back_at_once_or_before_the_next(tmp_path, disk, monkeypatch):
    rows, kept, _ = opened(tmp_path / "record.jsonl")
    rows.append(ROWS[0])
    whole = (tmp_path / "record.jsonl").read_bytes()
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, data[:10]))
    rows.append(ROWS[1])
    assert (tmp_path / "record.jsonl").read_bytes() == whole
    disk["ftruncate"] = errno.EIO  # a line that is torn cannot be taken back
    assert not kept.look()
    monkeypatch.setattr(os, "write", real)
    disk.clear()
    with (tmp_path / "record.jsonl").open("ab") as file:
        file.write(encode(ROWS[1])[:10])
    assert kept.look()
    assert (tmp_path / "record.jsonl").read_bytes() == whole + encode(ROWS[1])


def test_after_an_fsync_that_failed_the_lines_since_the_last_are_written_again(tmp_path, disk, monkeypatch):
    rows, kept, told = opened(tmp_path / "record.jsonl")
    for row in ROWS[:3]:
        rows.append(row)
    assert kept.look()
    for row in ROWS[3:5]:
        rows.append(row)
    disk["fsync"] = errno.EIO
    assert not kept.look()
    rows.append(ROWS[5])
    assert not kept.look()
    assert (tmp_path / "record.jsonl").read_bytes().startswith(b"".join(map(encode, ROWS[:5])))
    disk.clear()
    # what was not durable is gone, as a drive may have it
    with (tmp_path / "record.jsonl").open("r+b") as file:
        file.truncate(len(b"".join(map(encode, ROWS[:3]))))
    for row in ROWS[6:]:
        rows.append(row)
    assert kept.look()
    assert (tmp_path / "record.jsonl").read_bytes() == WHOLE
    assert "Input/output error" in told[0]


def test_a_file_system_that_knows_no_fsync_is_no_trouble(tmp_path, disk):
    rows, kept, told = opened(tmp_path / "record.jsonl")
    disk["fsync"] = errno.EINVAL
    rows.append(ROWS[0])
    assert kept.look()
    assert told == []


def test_what_is_more_than_may_wait_is_counted_and_told(tmp_path, disk, monkeypatch):
    monkeypatch.setattr(appender, "LIMIT", 3 * len(encode(ROWS[0])))
    rows, kept, told = opened(tmp_path / "record.jsonl")
    disk["write"] = errno.EDQUOT
    for row in ROWS:
        rows.append(row)
    rows.append({"kind": "epoch", "epoch": 1, "step": 8})  # never dropped
    lost = 8 - kept._appenders[0].num_waiting + 1
    assert 3 <= lost <= 6
    kept.look()
    assert f"rows from step {9 - lost} on are lost" in " ".join(told)
    disk.clear()
    assert kept.look()
    assert [r["step"] for r in record.read(tmp_path / "record.jsonl")[0]] == [*range(1, 9 - lost), 8]
    assert kept.losses() == [f"{lost} rows of record.jsonl, of steps {9 - lost} to 8, are lost"]
    assert told[-1] == "all that had to wait is written, except what was told to be lost"


def test_whole_files_wait_and_the_newest_takes_the_place_of_older_ones(tmp_path, disk):
    kept = Keeper(tmp_path)
    disk["replace"] = errno.EROFS
    kept.put("predictions", {tmp_path / "a": b"0", tmp_path / "a0": b"0"})
    kept.put("predictions", {tmp_path / "a": b"1"})
    kept.put("best", {tmp_path / "b": b"2"}, newest=True)
    kept.put("best", {tmp_path / "b2": b"3"}, newest=True)
    assert list(tmp_path.iterdir()) == [], "no temporary file is left behind"
    assert kept.waiting() == "predictions, best (Read-only file system)"
    disk.clear()
    assert kept.look()
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a": b"1", "a0": b"0", "b2": b"3"}
    assert kept.waiting() == ""


def test_whole_files_are_lost_oldest_first_when_memory_is_full(tmp_path, disk, monkeypatch):
    monkeypatch.setattr(keeper, "LIMIT", 10)
    kept, told = Keeper(tmp_path), []
    kept._hear = told.append
    disk["replace"] = errno.ENOSPC
    for name in "abcd":
        kept.put("predictions", {tmp_path / name: b"12345678"})
    disk.clear()
    assert kept.look()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c", "d"]
    assert kept.losses() == [f"{name} (predictions) could not be written, memory for what waits is full, and it is lost" for name in "ab"]
    assert told[1:3] == kept.losses()
    assert told[3] == "all that had to wait is written, except what was told to be lost"


def test_a_deleted_folder_is_made_again_with_all_rows(tmp_path):
    home = tmp_path / "run"
    home.mkdir()
    rows, kept, told = opened(home / "record.jsonl")
    kept.put("settings", {home / "effective.json": b"{}"}, remember=True)
    for row in ROWS[:4]:
        rows.append(row)
    kept.look()
    shutil.rmtree(home)
    for row in ROWS[4:]:
        rows.append(row)
    assert kept.look()
    assert (home / "record.jsonl").read_bytes() == WHOLE
    assert (home / "effective.json").read_bytes() == b"{}"
    assert "deleted while the run wrote to it" in told[0]


def test_a_folder_that_another_process_has_taken_is_left_alone(tmp_path):
    home = tmp_path / "run"
    home.mkdir()
    rows, kept, told = opened(home / "record.jsonl", Keeper(home, lambda: False))
    rows.append(ROWS[0])
    shutil.rmtree(home)
    assert not kept.look()
    assert not home.exists()
    assert "another process runs there now" in told[0]


def test_a_folder_that_was_moved_gets_its_rows_and_is_trouble_until_it_is_back(tmp_path):
    home = tmp_path / "run"
    home.mkdir()
    rows, kept, told = opened(home / "record.jsonl")
    rows.append(ROWS[0])
    home.rename(tmp_path / "elsewhere")
    rows.append(ROWS[1])
    assert not kept.look()
    assert not home.exists()
    assert record.read(tmp_path / "elsewhere" / "record.jsonl")[0] == ROWS[:2]
    assert "put the run's folder back" in told[0]
    (tmp_path / "elsewhere").rename(home)
    rows.append(ROWS[2])
    assert kept.look()
    assert record.read(home / "record.jsonl")[0] == ROWS[:3]


@pytest.mark.parametrize("num", [0, 2, 4])
def test_a_file_put_back_from_a_copy_is_gone_on_with(tmp_path, num):
    rows, kept, _ = opened(tmp_path / "record.jsonl")
    for row in ROWS[:4]:
        rows.append(row)
    kept.look()
    (tmp_path / "record.jsonl").unlink()
    (tmp_path / "record.jsonl").write_bytes(b"".join(map(encode, ROWS[:num])))
    for row in ROWS[4:]:
        rows.append(row)
    assert kept.look()
    assert (tmp_path / "record.jsonl").read_bytes() == WHOLE


def test_another_file_in_its_place_is_not_written_to(tmp_path):
    rows, kept, told = opened(tmp_path / "record.jsonl")
    rows.append(ROWS[0])
    (tmp_path / "record.jsonl").unlink()
    (tmp_path / "record.jsonl").write_bytes(b"mine\n")
    assert not kept.look()
    assert (tmp_path / "record.jsonl").read_bytes() == b"mine\n"
    assert "another file is in its place" in told[0]


def test_a_drive_that_was_away_is_gone_on_with_when_it_is_back(tmp_path, disk):
    rows, kept, _ = opened(tmp_path / "record.jsonl")
    for row in ROWS[:2]:
        rows.append(row)
    kept.look()
    for row in ROWS[2:4]:  # written, not durable
        rows.append(row)
    disk["write"] = disk["fsync"] = errno.EIO
    rows.append(ROWS[4])
    assert not kept.look()
    disk.clear()
    real = os.pread
    dead = rows._file._file

    def pread(file, *more):
        if file == dead:
            raise OSError(errno.EIO, "dead")
        return real(file, *more)

    os.pread = pread
    try:
        (tmp_path / "record.jsonl").write_bytes(b"".join(map(encode, ROWS[:2])) + encode(ROWS[2])[:9])
        assert kept.look()
    finally:
        os.pread = real
    for row in ROWS[5:]:
        rows.append(row)
    assert kept.look()
    assert (tmp_path / "record.jsonl").read_bytes() == WHOLE


def test_whole_files_wait_while_their_run_is_moved_away(tmp_path):
    home = tmp_path / "run"
    home.mkdir()
    kept = Keeper(home)
    home.rename(tmp_path / "elsewhere")
    kept.put("predictions", {home / "predictions" / "a": b"1"})
    assert not kept.look()
    assert kept.waiting() == "predictions (No such file or directory)"
    assert not home.exists()
    (tmp_path / "elsewhere").rename(home)
    assert kept.look()
    assert (home / "predictions" / "a").read_bytes() == b"1"


def test_what_the_thread_wrote_meanwhile_is_settled(tmp_path, disk, monkeypatch):
    """One fsync fails; before anybody asks what waits, the keeper's thread has tried again."""
    rows, kept, _ = opened(tmp_path / "record.jsonl")
    rows.append(ROWS[0])
    disk["fsync"] = errno.EIO
    real = kept.look

    def look_then_the_thread() -> bool:
        is_whole = real()
        disk.clear()
        real()
        return is_whole

    monkeypatch.setattr(kept, "look", look_then_the_thread)
    assert kept.settle()
    assert record.read(tmp_path / "record.jsonl")[0] == ROWS[:1]


def test_without_a_keeper_trouble_is_raised(tmp_path, disk):
    with pytest.raises(FileNotFoundError):
        Appender(tmp_path / "nowhere" / "a")
    file = Appender(tmp_path / "a")
    disk["write"] = errno.ENOSPC
    with pytest.raises(OSError, match="No space"):
        file.append(b"1")
    disk.clear()
    file.append(b"2")
    disk["fsync"] = errno.EIO
    with pytest.raises(OSError, match="Input/output"):
        file.sync()
    disk.clear()
    assert file.sync()
    assert (tmp_path / "a").read_bytes() == b"2"


def test_the_lock_of_a_deleted_folder_is_taken_again_unless_another_has_it(tmp_path):
    home = tmp_path / "s1"
    with runs.locked(home, "e0001") as holds:
        assert holds()
        shutil.rmtree(home)
        assert not runs.is_locked(home)
        assert holds()
        assert runs.is_locked(home)
        shutil.rmtree(home)
        with runs.locked(home, "e0001"):
            assert not holds()
    assert not runs.is_locked(home)
