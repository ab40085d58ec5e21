"""What a keeper does in time, and its thread: rows are durable soon, trouble is told at once and once, and nothing is done for nothing."""

import errno
import threading
import time

from helpers_keeper import ROWS, WHOLE, opened, until
from zhurnal.core.records import encode
from zhurnal.store import appender, keeper, record
from zhurnal.store.keeper import Keeper
from zhurnal.store.record import Record


def test_the_thread_makes_rows_durable_and_tells_trouble_soon(tmp_path, disk, monkeypatch):
    monkeypatch.setattr(keeper, "SECONDS", 0.05)
    kept, told = Keeper(tmp_path), []
    rows = Record(tmp_path / "record.jsonl", keeper=kept)
    with kept.running(lambda text: told.append((time.monotonic(), text))):
        rows.append(ROWS[0])
        until(lambda: rows._file._synced == len(encode(ROWS[0])))
        disk["write"] = errno.ENOSPC
        began = time.monotonic()
        rows.append(ROWS[1])
        until(lambda: told)
        assert told[0][0] - began < 5
        time.sleep(0.3)
        assert len(told) == 1, "the same trouble is told once"
        disk.clear()
        until(lambda: len(told) == 2)
    assert record.read(tmp_path / "record.jsonl")[0] == ROWS[:2]


def test_a_block_that_ends_does_not_wait_for_more_to_come(tmp_path, monkeypatch):
    monkeypatch.setattr(keeper, "SECONDS", 600.0)
    kept, told = Keeper(tmp_path), []
    rows = Record(tmp_path / "record.jsonl", keeper=kept)
    began = time.monotonic()
    with kept.running(told.append):
        kept.tell("news")
        until(lambda: told == ["news"])
        rows.append(ROWS[0])
        until(lambda: not kept._now.is_set() and kept._wake.is_set())
    assert time.monotonic() - began < 60
    assert "keeper" not in {thread.name for thread in threading.enumerate()}


def test_trouble_that_is_not_told_again_is_tried_again(tmp_path, disk, monkeypatch):
    monkeypatch.setattr(keeper, "SECONDS", 0.01)
    kept, told = Keeper(tmp_path), []
    with kept.running(told.append):
        for name in ("a", "b"):
            disk["replace"] = errno.ENOSPC
            kept.put("predictions", {tmp_path / name: b"1"})
            disk.clear()
            until((tmp_path / name).exists)
            until(lambda: not kept.waiting())
    assert [text[:27] for text in told] == ["predictions cannot be writt", "all that had to wait is wri"]


def test_the_thread_goes_on_until_all_that_waits_is_written(tmp_path, disk, monkeypatch):
    monkeypatch.setattr(keeper, "SECONDS", 0.01)
    monkeypatch.setattr(appender, "AT_ONCE", 2)
    rows, kept, _ = opened(tmp_path / "record.jsonl")
    disk["write"] = errno.ENOSPC
    for row in ROWS:
        rows.append(row)
    disk.clear()
    kept._wake.clear()
    with kept.running(lambda _: None):
        kept.wake()
        until(lambda: (tmp_path / "record.jsonl").read_bytes() == WHOLE)


def test_the_thread_waits_for_more_to_come_and_then_for_something_new(tmp_path, monkeypatch):
    monkeypatch.setattr(keeper, "SECONDS", 0.05)
    kept, looked = Keeper(tmp_path), []
    real = kept.look
    monkeypatch.setattr(kept, "look", lambda: looked.append(time.monotonic()) or real())
    rows = Record(tmp_path / "record.jsonl", keeper=kept)
    with kept.running(lambda _: None):
        began = time.monotonic()
        rows.append(ROWS[0])
        until(lambda: looked)
        assert looked[0] - began > 0.04
        time.sleep(0.2)
        assert len(looked) == 1, "nothing is new"


def test_the_same_trouble_is_told_again_after_a_minute(tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(keeper.time, "monotonic", lambda: now[0])
    kept, told = Keeper(tmp_path), []
    kept._hear = told.append
    for seconds, num in ((0, 1), (59.9, 1), (0.1, 2), (30, 2), (30, 3)):
        now[0] += seconds
        kept.trouble("a", OSError(errno.ENOSPC, "No space left on device"))
        kept.look()
        assert len(told) == num, now


def test_what_waits_is_tried_again_until_it_is_written_or_the_time_is_over(tmp_path, disk, monkeypatch):
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            disk.clear()

    monkeypatch.setattr(keeper.time, "sleep", sleep)
    rows, kept, _ = opened(tmp_path / "record.jsonl")
    disk["write"] = errno.ENOSPC
    rows.append(ROWS[0])
    with monkeypatch.context() as patch:
        patch.setattr(keeper.time, "monotonic", lambda: 1000.0)
        assert not kept.settle()
    assert waited == []
    assert kept.settle(60)
    assert waited == [0.2] * 3
    assert record.read(tmp_path / "record.jsonl")[0] == ROWS[:1]
