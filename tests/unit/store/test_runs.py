"""What is read of a run: numbers, times, and the words for its state."""

import dataclasses

import orjson
import pytest

from helpers_runs import make_run
from zhurnal.core.errors import SettingsError
from zhurnal.core.records import encode
from zhurnal.store import runs, sound

AT = {"time": "2026-01-01T00:00:00+00:00"}


def test_before_its_start_a_run_waits_and_nothing_is_known(own_lab):
    found = runs.read(own_lab.logs, "e0005", 42)
    assert (found.status, found.state(), found.finished) == ("waiting", "waiting", False)
    assert (found.facts, found.fingerprints, found.effective, found.best, found.last) == ({}, {}, {}, None, {})
    assert (found.total_seconds, found.seconds, found.started, found.stopped, found.step, found.num_epochs) == (None, (), "", "", 0, 0)
    assert runs.read_all(own_lab.logs, "e0005") == []
    (own_lab.logs / "e0005").write_text("no folder")
    assert runs.seeds(own_lab.logs, "e0005") == []


def test_seeds_are_folders_by_number(own_lab):
    for name in ("s10", "s9", "x1", "s", "sx", "s-1", "s009", "s²", "s٣", "s9.old"):
        (own_lab.logs / "e0005" / name).mkdir(parents=True)
    (own_lab.logs / "e0005" / "s7").touch()
    assert runs.seeds(own_lab.logs, "e0005") == [9, 10]


def test_words_for_states(own_lab):
    assert runs.read(own_lab.logs, "e0001", 42).state() == "finished"
    assert runs.read(own_lab.logs, "e0003", 42).state() == "interrupted at step 4722 (epoch 13 of 30)"
    assert runs.read(own_lab.logs, "e0004", 42).state() == "failed: the loss is not finite at step 1603"
    assert runs.read(own_lab.logs, "e0003", 42).reason == "it was killed"


def test_a_run_that_is_held_keeps_what_was_read(own_lab):
    found = runs.read(own_lab.logs, "e0004", 42)
    assert found.facts
    lives = found.running()
    assert (lives.status, lives.reason, lives.stopped, lives.finished) == ("running", "", "", False)
    assert dataclasses.replace(lives, status="failed", reason=found.reason, stopped=found.stopped) == found
    assert {"rows", "effective", "facts"} <= lives.__dict__.keys()
    with runs.locked(found.folder, "e0004"):
        assert runs.read(own_lab.logs, "e0004", 42).status == "running"
    with runs.locked(own_lab.run_folder("e0001", 42), "e0001"):
        assert runs.read(own_lab.logs, "e0001", 42).status == "finished", "it ran all its epochs"


@pytest.mark.parametrize("answers", [[True, False], [False, True]])
def test_a_run_that_began_or_ended_while_it_was_read_is_running(own_lab, monkeypatch, answers):
    monkeypatch.setattr(runs, "is_locked", lambda _: answers.pop(0))
    assert runs.read(own_lab.logs, "e0003", 42).status == "running"


def test_numbers_of_epochs(own_lab):
    home = make_run(own_lab, "e0005", epochs=3, null_epochs=(2, 3), partial=(2,))
    found = runs.read(own_lab.logs, "e0005", 42)
    assert found.num_epochs == 3
    assert found.not_finite_since == 2
    assert found.last["epoch"] == 3
    assert len(found.times) == 3
    assert len(found.seconds) == len(found.images_per_second) == 2, "of whole epochs"
    assert found.total_seconds == pytest.approx(sum(t["seconds"] for t in found.times))
    assert found.step == 3 * 391
    rows = [{"kind": "epoch", "epoch": e, "step": e, "val_acc": a, "train_loss": 1.0, "val_loss": 1.0} for e, a in enumerate([0.5, 0.7, 0.7], 1)]
    (home / "record.jsonl").write_bytes(b"".join(map(encode, rows)))
    found = runs.read(own_lab.logs, "e0005", 42)
    assert found.best == (2, 0.7), "the first of the best"
    assert found.not_finite_since is None
    (home / "record.jsonl").write_bytes(b"".join(encode(row | {"val_loss": None if row["epoch"] > 1 else 1.0}) for row in rows))
    assert runs.read(own_lab.logs, "e0005", 42).not_finite_since == 2, "one of the two is enough"
    (home / "record.jsonl").write_bytes(b"".join(encode(row | {"val_acc": None}) for row in rows))
    assert runs.read(own_lab.logs, "e0005", 42).best is None
    (home / "events.jsonl").write_bytes(encode({"kind": "start", **AT, "step": 1000}))
    found = runs.read(own_lab.logs, "e0005", 42)
    assert (found.step, found.total_seconds, found.stopped) == (1000, None, AT["time"]), "a start tells a step too"


@pytest.mark.parametrize(("value", "number"), [(1, 1.0), (0.5, 0.5), (None, None), (float("nan"), None), ("1", None)])
def test_a_number_of_a_row(value, number):
    assert runs.number({"a": value}, "a") == number
    assert runs.number({}, "a") is None


@pytest.mark.parametrize(
    ("events", "status", "reason"),
    [
        (["finished"], "finished", ""),
        (["start", "finished", "start"], "finished", ""),
        (["failed"], "failed", "why"),
        (["start", "failed", "start"], "interrupted", "it was killed"),
        (["start", "interrupted"], "interrupted", "why"),
        (["start", "start", "failed"], "failed", "why"),
    ],
)
def test_the_last_word_counts(own_lab, events, status, reason):
    home = own_lab.run_folder("e0005", 42)
    home.mkdir(parents=True)
    rows = [{"kind": "start", **AT, "n": n} if e == "start" else {"kind": "stop", **AT, "status": e, "reason": "why"} for n, e in enumerate(events)]
    (home / "events.jsonl").write_bytes(b"".join(map(encode, rows)))
    found = runs.read(own_lab.logs, "e0005", 42)
    assert (found.status, found.reason) == (status, reason)


def test_texts_of_events_are_safe_and_damage_is_told(own_lab):
    home = own_lab.run_folder("e0005", 42)
    home.mkdir(parents=True)
    rows = [{"kind": "start", **AT}, {"kind": "warning", **AT, "text": "\x1b[31mred"}, {"kind": "stop", **AT, "status": "failed", "reason": "a\x1bb"}]
    (home / "events.jsonl").write_bytes(b"".join(map(encode, rows)) + b"torn")
    (home / "record.jsonl").write_bytes(b"broken\n")
    (home / "effective.json").write_bytes(b"{")
    found = runs.read(own_lab.logs, "e0005", 42)
    assert (found.reason, found.warnings) == ("ab", ("[31mred",))
    assert [p.partition(":")[0] for p in found.problems] == ["record.jsonl", "events.jsonl", "effective.json is damaged"]


def test_what_it_really_got(own_lab):
    make_run(own_lab, "e0005", epochs=1, sources={"model": {"sha256": "0123456789"}})
    found = runs.read(own_lab.logs, "e0005", 42)
    assert found.fingerprints == {"model.source": "01234567", "data.fingerprint": "c1fac1fa"}
    assert found.facts["optimizer.lr"] == 0.03
    path = found.folder / "effective.json"
    path.write_bytes(orjson.dumps(orjson.loads(path.read_bytes()) | {"settings": {"model": "none of ours"}}))
    with pytest.raises(SettingsError, match="none of ours"):
        _ = runs.read(own_lab.logs, "e0005", 42).facts


WHOLE = {"settings": {}, "data": {"fingerprint": "x"}}


def test_effective_settings_are_bounded(monkeypatch):
    data = orjson.dumps(WHOLE)
    monkeypatch.setattr(sound, "LARGEST", len(data))
    assert sound.effective(data) == (WHOLE, "")
    assert sound.effective(data + b" ") == ({}, f"effective.json has {len(data) + 1} bytes, more than a run writes")


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ([], "it holds no keys"),
        ({"settings": {}}, "settings or the data's fingerprint are missing"),
        ({"data": {"fingerprint": "x"}}, "settings or the data's fingerprint are missing"),
        (WHOLE | {"data": {"fingerprint": 5}}, "settings or the data's fingerprint are missing"),
        (WHOLE | {"device": 5}, "device is of another kind"),
        (WHOLE | {"data": {"fingerprint": "x", "mean": 5}}, "mean is of another kind"),
        (WHOLE | {"data": {"fingerprint": "x", "classes": ["a", 1]}}, "classes, notes or numbers are of another kind"),
        (WHOLE | {"data": {"fingerprint": "x", "notes": [1]}}, "classes, notes or numbers are of another kind"),
        (WHOLE | {"data": {"fingerprint": "x", "image": ["3"]}}, "classes, notes or numbers are of another kind"),
        (WHOLE | {"data": {"fingerprint": "x", "std": ["3"]}}, "classes, notes or numbers are of another kind"),
        (WHOLE | {"sources": {"model": {}}}, "sources have no SHA-256"),
        (WHOLE | {"model": {"num_parameters": "5"}}, "num_parameters is of another kind"),
        (WHOLE | {"model": {}, "data": {"fingerprint": "x", "mean": None, "std": [0.5, 1]}, "continue": None}, ""),
    ],
)
def test_what_no_run_writes_is_named(values, wrong):
    assert sound.effective(orjson.dumps(values)) == ((values, "") if not wrong else ({}, f"effective.json is not what a run writes: {wrong}"))


NAME = {"a": "digits", "x": "größe"}  # where all is plain ASCII nothing can be hidden in a text, and it is not looked through


@pytest.mark.parametrize("text", ["a\x7fb", "a\\u0007b", "a\u202eb", "x" * 20_001])
def test_long_and_hostile_texts_are_cleaned(text):
    data = orjson.dumps(WHOLE).replace(b'"x"', f'"x","notes":["{text}"],"name":"{NAME[text[0]]}","num_train":5'.encode())
    values, wrong = sound.effective(data)
    assert wrong == ""
    (note,) = values["data"]["notes"]
    assert note == ("x" * 19_999 + "…" if text[0] == "x" else "ab")
    assert (values["data"]["name"], values["data"]["num_train"]) == (NAME[text[0]], 5)
