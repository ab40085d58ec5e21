"""The record: rows that are there once written, compared when made again; and the state of a run read from them."""

import os

import pytest

from zhurnal.core.errors import RunError
from zhurnal.core.records import encode
from zhurnal.store import record, runs
from zhurnal.store.record import Record

ROWS = [{"kind": "iter", "step": n, "epoch": 1, "loss": 1 / n, "lr": 0.1} for n in range(1, 6)]


def fill(path, rows=ROWS) -> None:
    with Record(path) as r:
        for row in rows:
            assert r.append(row)


def test_rows_are_read_back(tmp_path):
    fill(tmp_path / "r")
    assert record.read(tmp_path / "r") == (ROWS, [])
    assert record.read(tmp_path / "nothing") == ([], [])


def test_rows_made_again_are_compared_and_not_written_twice(tmp_path):
    fill(tmp_path / "r")
    before = (tmp_path / "r").read_bytes()
    with Record(tmp_path / "r", resumed=True) as r:
        assert [r.append(row) for row in ROWS[2:]] == [False] * 3
        assert r.append({"kind": "iter", "step": 6, "epoch": 1, "loss": 0.1, "lr": 0.1})
        assert r.mismatch is None
    assert (tmp_path / "r").read_bytes().startswith(before)


def test_a_record_is_made_durable_when_asked(tmp_path, monkeypatch):
    synced: list[int] = []
    with Record(tmp_path / "r") as r:
        r.append(ROWS[0])
        monkeypatch.setattr(os, "fsync", synced.append)
        r.sync()
        assert synced == [r._file._file]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(synced[0])


def test_a_row_that_differs_is_told_and_the_last_one_counts(tmp_path):
    fill(tmp_path / "r")
    with Record(tmp_path / "r", resumed=True) as r:
        assert not r.append(ROWS[1])
        assert r.append(ROWS[2] | {"loss": 9.0})
        assert "step 3" in r.mismatch
        assert "9.0" in r.mismatch
        assert r.append(ROWS[3]), "that of the other attempt is void, equal or not"
    rows, problems = record.read(tmp_path / "r")
    assert [(x["step"], x.get("loss")) for x in record.current(rows)] == [(1, 1.0), (2, 0.5), (3, 9.0), (4, 0.25)], (
        "rows of the other attempt are void"
    )
    assert not problems
    with Record(tmp_path / "r", resumed=True) as r:  # and going on from there is exact again
        assert not r.append(ROWS[2] | {"loss": 9.0})
        assert not r.append(ROWS[3])
        assert r.append(ROWS[4] | {"loss": 8.0})
        assert r.mismatch is None


def test_a_void_row_takes_back_what_is_behind_its_step():
    rows = [{"kind": "iter", "step": 3}, {"kind": "epoch", "step": 3}, {"kind": "iter", "step": 4}]
    assert record.current([*rows, {"kind": "void", "step": 3}]) == rows[:2]


def test_rows_of_a_step_have_their_order_whatever_that_of_the_file():
    rows = [{"kind": kind, "step": 1} for kind in ("another", "end", "test", "epoch", "iter")]
    assert record.current([{"kind": "iter", "step": 2}, *rows]) == [*reversed(rows), {"kind": "iter", "step": 2}]


def test_a_damaged_line_before_does_not_make_a_resume_look_inexact(tmp_path):
    fill(tmp_path / "r")
    data = bytearray((tmp_path / "r").read_bytes())
    data[12] ^= 1
    (tmp_path / "r").write_bytes(data)
    with Record(tmp_path / "r", resumed=True) as r:
        assert [r.append(row) for row in ROWS] == [True, False, False, False, False]
        assert r.mismatch is None
    assert record.current(record.read(tmp_path / "r")[0]) == ROWS


def test_a_torn_line_is_cut_off_and_told(tmp_path):
    fill(tmp_path / "r")
    whole = (tmp_path / "r").read_bytes()
    (tmp_path / "r").write_bytes(whole + encode(ROWS[0])[:-20])
    with Record(tmp_path / "r") as r:
        assert "torn" in r.torn
        r.append(ROWS[0])
    assert (tmp_path / "r").read_bytes() == whole + encode(ROWS[0])


def test_a_full_disk_leaves_no_half_line(tmp_path, monkeypatch):
    fill(tmp_path / "r")
    whole = (tmp_path / "r").read_bytes()
    real = os.write
    with Record(tmp_path / "r") as r:
        monkeypatch.setattr(os, "write", lambda file, data: real(file, data[:10]))
        with pytest.raises(RunError, match="Free some space"):
            r.append(ROWS[0])
    assert (tmp_path / "r").read_bytes() == whole


def make_run(logs, events, rows=()) -> runs.Run:
    home = runs.folder(logs, "e0001", 42)
    home.mkdir(parents=True)
    fill(home / "record.jsonl", rows)
    fill(home / "events.jsonl", [{"kind": e[0], "time": f"2026-01-01T00:00:0{i}", **e[1]} for i, e in enumerate(events)])
    return runs.read(logs, "e0001", 42)


START = ("start", {"attempt": 1, "step": 0, "epoch": 0})
EPOCHS = [{"kind": "epoch", "epoch": n, "step": 10 * n, "val_acc": n / 10} for n in (1, 2)]


def test_a_run_that_was_killed_is_interrupted(tmp_path):
    run = make_run(tmp_path, [START], [*EPOCHS, {"kind": "iter", "step": 25, "epoch": 3, "loss": 1.0, "lr": 0.1}])
    assert run.status == "interrupted"
    assert run.state() == "interrupted at step 25 (epoch 3)"


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([], "waiting"),
        ([START, ("stop", {"status": "finished", "reason": ""})], "finished"),
        ([START, ("stop", {"status": "failed", "reason": "no memory"})], "failed"),
        ([START, ("stop", {"status": "failed", "reason": "x"}), START], "interrupted"),
    ],
)
def test_states(tmp_path, events, status):
    assert make_run(tmp_path, events).status == status


def test_a_run_that_lives_is_running(tmp_path):
    make_run(tmp_path, [START])
    with runs.locked(runs.folder(tmp_path, "e0001", 42), "e0001"):
        assert runs.read(tmp_path, "e0001", 42).status == "running"
        with pytest.raises(RunError, match=f"process {os.getpid()}"), runs.locked(runs.folder(tmp_path, "e0001", 42), "e0001"):
            pass
    assert runs.read(tmp_path, "e0001", 42).status == "interrupted"


def test_the_last_row_of_an_epoch_counts(tmp_path):
    again = EPOCHS[1] | {"val_acc": 0.9}
    run = make_run(tmp_path, [START], [*EPOCHS, again])
    assert [r["val_acc"] for r in run.epochs] == [0.1, 0.9]


def test_damage_is_told_and_hides_nothing(tmp_path):
    run = make_run(tmp_path, [START], EPOCHS)
    path = run.folder / "record.jsonl"
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    run = runs.read(tmp_path, "e0001", 42)
    assert [r["epoch"] for r in run.epochs] == [2]
    assert "line 1" in run.problems[0]
