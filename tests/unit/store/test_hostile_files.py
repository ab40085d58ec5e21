"""Rows and settings of runs that no run wrote, with right checksums: told, left out, and nothing breaks."""

import orjson
import pytest

from helpers_runs import make_run
from zhurnal.core.records import encode
from zhurnal.store import runs, sound
from zhurnal.store.lab import Lab

AT = {"time": "2026-01-01T00:00:00+00:00"}
ROWS = [
    {"kind": "epoch", "epoch": "x", "step": 1}, {"kind": "epoch", "step": 1}, {"kind": "epoch", "epoch": 1, "step": [1]},
    {"kind": ["iter"], "step": 1},
    {"kind": "epoch", "epoch": 1, "step": 1, "val_acc": "high"}, {"kind": "void"}, {"kind": "end", "step": 1, "best_epoch": {}},
    {"kind": "test"},
]  # fmt: skip
EVENTS = [
    {"kind": "stop", **AT, "status": "exploded"}, {"kind": "stop", "status": "failed"}, {"kind": "warning", **AT, "text": 5}, {"kind": "start"},
    {"kind": "time", **AT, "epoch": None}, {"kind": "stop", **AT, "status": "failed", "reason": ["x"]}, {"kind": "start", "time": 5},
]  # fmt: skip


@pytest.mark.parametrize(("file", "row"), [*(("record.jsonl", r) for r in ROWS), *(("events.jsonl", r) for r in EVENTS)])
def test_a_row_that_no_run_writes_is_told_and_hides_no_other(own_lab, file, row):
    home = make_run(own_lab, "e0005", epochs=2)
    whole = runs.read(own_lab.logs, "e0005", 42)
    path = home / file
    path.write_bytes(encode(row) + path.read_bytes())
    found = runs.read(own_lab.logs, "e0005", 42)
    assert len(found.problems) == 1
    assert file in found.problems[0]
    assert (found.epochs, found.status, found.best) == (whole.epochs, whole.status, whole.best)


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"null", b"{", b"[" * 100_000, b'{"settings": []}', b'{"settings": {}, "data": {"fingerprint": 5}}',
     b'{"settings": {}, "data": {"fingerprint": "x", "classes": [1]}}', b'{"settings": {}, "data": {"fingerprint": "x"}, "sources": {"model": 5}}',
     b'{"settings": {}, "data": {"fingerprint": "x"}, "model": {"num_parameters": "many"}}', b"\xff\xfe"],
)  # fmt: skip
def test_effective_settings_that_no_run_writes_count_as_absent(own_lab, content):
    home = make_run(own_lab, "e0005", epochs=2)
    (home / "effective.json").write_bytes(content)
    found = runs.read(own_lab.logs, "e0005", 42)
    assert found.effective == {}
    assert "effective.json" in found.problems[0]
    assert Lab(own_lab.folder).facts("e0005")


def test_texts_come_out_without_what_a_terminal_obeys():
    told = {"settings": {}, "data": {"fingerprint": "x", "classes": ["\x1b[2J", "a\u202eb", "\x9bm", "a\tb"]}, "device": "\x07cpu"}
    values, wrong = sound.effective(orjson.dumps(told))
    assert (values["data"]["classes"], values["device"], wrong) == (["[2J", "ab", "m", "a b"], "cpu", "")
