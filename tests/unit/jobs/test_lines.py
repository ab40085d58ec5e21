"""What a run's process tells its queue: every line arrives, torn ones are told, and nobody waits for a queue that does not read."""

import os
import threading
import time

import pytest

from zhurnal.jobs import lines


@pytest.fixture
def pipe():
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


def read_all(pipe: int) -> list[dict]:
    os.set_blocking(pipe, False)
    found = b""
    try:
        while more := os.read(pipe, 1 << 16):
            found += more
    except BlockingIOError:
        pass
    told, rest = lines.read(found)
    assert rest == b""
    return told


def test_a_run_is_told(pipe, monkeypatch):
    monkeypatch.setattr(lines.time, "monotonic", lambda: 1000.0)
    watch = lines.Lines(pipe[1])
    watch.tell("here")
    watch.progress("decoding images", 0, 10)
    assert not watch.training
    watch.begin("e0001", 42, 3, 7, 1, 2)
    assert watch.training
    watch.row({"kind": "iter", "step": 9, "epoch": 2, "loss": 1.5, "lr": 0.1})
    watch.step(1, 3, 100, 0.1)
    watch.step(1, 4, 100, 0.1)  # too soon to be told
    watch.row({"kind": "epoch", "epoch": 2, "step": 14, "val_acc": 0.5, "val_loss": float("nan")})
    watch.note("a note\nof two lines, ☃")
    found = read_all(pipe[0])
    assert [line["kind"] for line in found] == ["here", "progress", "begin", "step", "row", "note"]
    assert found[2] == {"kind": "begin", "epochs": 3, "batches": 7, "epoch": 1, "batch": 2}
    assert found[3] | {"speed": 0} == {"kind": "step", "epoch": 1, "batch": 3, "loss": 1.5, "speed": 0}
    assert found[3]["speed"] > 0
    assert found[4]["row"]["val_loss"] is None
    assert found[5]["text"] == "a note\nof two lines, ☃"


def test_steps_are_left_out_where_nobody_reads_and_a_row_waits(pipe, monkeypatch):
    monkeypatch.setattr(lines, "SECONDS", 0.0)
    watch = lines.Lines(pipe[1])
    watch.begin("e0001", 42, 1, 100_000, 0, 0)
    for batch in range(5_000):  # more than a pipe holds
        watch.step(0, batch, 100, 0.1)
    thread = threading.Thread(target=watch.row, args=({"kind": "end", "step": 1, "text": "x" * 200_000},))
    thread.start()
    found, deadline = [], time.monotonic() + 60
    rest = b""
    while not any(line["kind"] == "row" for line in found) and time.monotonic() < deadline:
        told, rest = lines.read(rest + os.read(pipe[0], 1 << 16))
        found += told
    thread.join(60)
    steps = [line["batch"] for line in found if line["kind"] == "step"]
    assert steps == list(range(len(steps)))
    assert len(steps) < 5_000
    assert len(found[-1]["row"]["text"]) == 200_000


def test_a_queue_that_is_gone_is_no_error(pipe):
    watch = lines.Lines(pipe[1])
    os.close(pipe[0])
    watch.note("to nobody")
    watch.row({"kind": "epoch", "epoch": 1})


def test_a_torn_line_is_told_and_hides_no_other():
    told, rest = lines.read(b'{"kind":"here"}\n{"kind":"st\n{"kind":"finished"}\n{"ki')
    assert [line["kind"] for line in told] == ["here", "note", "finished"]
    assert '{"kind":"st' in told[1]["text"]
    assert rest == b'{"ki'
