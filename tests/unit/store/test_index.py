"""The index: kept where files are unchanged, never needed, safe with several processes."""

import multiprocessing
import os
import sqlite3
import time
import zlib
from pathlib import Path

import pytest

from zhurnal.api import Lab
from zhurnal.store import index, runs, view, yamls
from zhurnal.store.index import Index

pytestmark = pytest.mark.usefixtures("closed_databases")


@pytest.fixture
def later(monkeypatch):
    monkeypatch.setattr(view, "clock", lambda: time.time_ns() + 10_000_000_000)


@pytest.fixture
def lab(own_lab) -> Lab:
    return Lab(own_lab.folder)


def refuse(*_):
    raise AssertionError("a file was read that did not change")


def test_nothing_is_read_that_did_not_change(lab, later, monkeypatch):
    names = lab.names()
    listed, compared = lab.ls(), lab.compare(names)
    monkeypatch.setattr(runs.record, "read", refuse)
    monkeypatch.setattr(yamls, "parse", refuse)
    assert Lab(lab.folder).ls() == listed
    assert Lab(lab.folder).compare(names) == compared


def test_only_what_changed_is_read_again(lab, later, monkeypatch):
    lab.ls()
    read = []
    before = runs.read
    monkeypatch.setattr(runs, "read", lambda logs, name, seed: read.append((name, seed)) or before(logs, name, seed))
    with (lab.logs / "e0002" / "s2" / "events.jsonl").open("ab") as file:
        file.write(b"torn")
    Lab(lab.folder).ls()
    assert read == [("e0002", 2)]


def test_experiments_that_are_gone_are_dropped(lab, later):
    lab.ls()
    lab.file("e0006").unlink()
    Lab(lab.folder).ls()
    found = Index(lab.cache / index.NAME)
    assert found.row("line", "e0006") is found.row("experiment", "e0006") is found.row("run", "e0006/s42") is None
    assert found.row("line", "e0001")
    found.close()


def test_a_row_of_another_version_is_none(tmp_path, monkeypatch):
    path = tmp_path / index.NAME
    first = Index(path)
    first.put("line", "e0001", b"signature", b"value")
    first.close()
    assert Index(path).row("line", "e0001") == (b"signature", b"value")
    index._code.cache_clear()
    monkeypatch.setattr(index, "__version__", "another")
    assert Index(path).row("line", "e0001") is None
    index._code.cache_clear()


def test_one_altered_bit_makes_a_row_none(tmp_path):
    path = tmp_path / index.NAME
    first = Index(path)
    first.put("line", "e0001", b"signature", b"value")
    first.close()
    with sqlite3.connect(path) as other:
        other.execute("UPDATE line SET value = ?", (b"walue",))
    other.close()
    assert Index(path).row("line", "e0001") is None


@pytest.mark.parametrize("content", [b"no database", b"", b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_index_is_made_anew(tmp_path, content):
    path = tmp_path / index.NAME
    path.write_bytes(content)
    found = Index(path)
    assert found.rows("line") == {}
    found.put("line", "e0001", b"s", b"v")
    found.close()
    assert Index(path).rows("line") == {"e0001": (b"s", b"v")}


def test_a_database_of_something_else_is_made_anew(tmp_path):
    with sqlite3.connect(tmp_path / index.NAME) as other:
        other.execute("CREATE TABLE line (name TEXT)")
    other.close()
    found = Index(tmp_path / index.NAME)
    assert found.rows("line") == {}
    found.put("line", "e0001", b"s", b"v")
    found.close()
    assert Index(tmp_path / index.NAME).rows("line") == {"e0001": (b"s", b"v")}


def test_while_another_process_holds_it_one_goes_on_without(lab, later, monkeypatch):
    listed = lab.ls()
    monkeypatch.setattr(index, "WAIT_SECONDS", 0.01)
    holder = sqlite3.connect(lab.cache / index.NAME, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    lab.file("e0006").unlink()
    real, opened = sqlite3.connect, []
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: opened.append(args) or real(*args, **options))
    before = (lab.cache / index.NAME).stat().st_ino
    assert Lab(lab.folder).ls().names == listed.names[:-1]
    found = Index(lab.cache / index.NAME)
    assert found.rows("line") == {}
    holder.execute("ROLLBACK")
    holder.close()
    assert found.rows("line") == {}, "it is not asked again"
    assert (lab.cache / index.NAME).stat().st_ino == before, "nothing is wrong with the file"
    assert len(opened) == 2, "each waited for it once"
    assert Index(lab.cache / index.NAME).row("line", "e0006")


def test_a_kind_that_is_not_there_yet_is_no_damage(tmp_path):
    path = tmp_path / index.NAME
    found = Index(path)
    found.put("line", "e0001", b"s", b"v")
    found.close()
    with sqlite3.connect(path) as other:
        other.execute("DROP TABLE run")
    other.close()
    found = Index(path)
    assert found.rows("run") == {}
    assert found.rows("line") == {"e0001": (b"s", b"v")}
    found.put("run", "e0001/s1", b"s", b"v")
    found.close()
    assert (set(Index(path).rows("run")), set(Index(path).rows("line"))) == ({"e0001/s1"}, {"e0001"})


def test_where_the_cache_cannot_be_made_one_goes_on_without(lab, later):
    (lab.folder / ".zhurnal").write_text("in the way")
    assert lab.ls().names == lab.names()


def test_a_read_only_lab_uses_the_index_that_is_there(lab, later, monkeypatch):
    if os.geteuid() == 0:
        pytest.skip("root writes everywhere")
    listed = lab.ls()
    lab.cache.chmod(0o500)
    (lab.cache / index.NAME).chmod(0o400)
    monkeypatch.setattr(runs, "read", refuse)
    try:
        assert Lab(lab.folder).ls() == listed
    finally:
        lab.cache.chmod(0o700)


def test_much_is_written_before_the_end(tmp_path):
    found = Index(tmp_path / index.NAME)
    for number in range(999):
        found.put("line", f"e{number}", b"s", b"v")
    assert not (tmp_path / index.NAME).exists()
    found.put("line", "last", b"s", b"v")
    assert len(Index(tmp_path / index.NAME).rows("line")) == 1000
    found.close()


def test_a_lab_that_nobody_lists_has_no_index(tmp_path):
    found = Index(tmp_path / "cache" / index.NAME)
    assert found.rows("line") == {}
    found.close()
    assert not (tmp_path / "cache").exists()


def test_a_damaged_file_that_cannot_be_deleted_is_gone_on_without(tmp_path, monkeypatch):
    path = tmp_path / index.NAME
    path.write_bytes(b"no database, and longer than a header of one would have to be: " * 20)

    def refuse(*_, **__):
        raise PermissionError("read-only")

    monkeypatch.setattr(Path, "unlink", refuse)
    found = Index(path)
    assert found.rows("line") == {}
    found.put("line", "e0001", b"s", b"v")
    found.close()
    assert path.read_bytes().startswith(b"no database")
    monkeypatch.setattr(sqlite3, "connect", None)
    assert found.rows("line") == {}, "it is not opened once more"


def test_a_file_that_is_damaged_again_and_again_is_gone_on_without(tmp_path, monkeypatch):
    real, calls = sqlite3.connect, []

    def connect(path, **options):
        if path == tmp_path / index.NAME:
            calls.append(path.write_bytes(b"no database, and longer than a header of one would have to be: " * 20))
        return real(path, **options)

    monkeypatch.setattr(sqlite3, "connect", connect)
    found = Index(tmp_path / index.NAME)
    found.put("line", "e0001", b"s", b"v")
    found.close()
    assert len(calls) == 2
    assert not (tmp_path / index.NAME).exists()


def test_long_rows_are_kept_small_and_others_as_they_are(tmp_path):
    found = Index(tmp_path / index.NAME)
    for kind in index.KINDS:
        found.put(kind, "e0001", b"s", b"v" * 10_000)
    found.close()
    with sqlite3.connect(tmp_path / index.NAME) as other:
        sizes = {kind: other.execute(f"SELECT length(value) FROM {kind}").fetchone()[0] for kind in index.KINDS}
    other.close()
    assert {kind for kind, size in sizes.items() if size < 1000} == {"experiment", "run"}
    assert {Index(tmp_path / index.NAME).row(kind, "e0001") for kind in index.KINDS} == {(b"s", b"v" * 10_000)}


def test_an_experiment_is_forgotten_with_its_runs_and_no_other(tmp_path):
    found = Index(tmp_path / index.NAME)
    for name in ("e0001", "e00011", "e0001/s1", "e0002/s1"):
        found.put("run", name, b"s", b"v")
    found.close()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    found.forget(["e0001"])
    found.close()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert set(found.rows("run")) == {"e00011", "e0002/s1"}
    found.close()


def test_an_older_code_makes_another_checksum(monkeypatch):
    before = index._code("line")
    assert before != index._code("run")
    index._code.cache_clear()
    real = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: b"changed" if path.name == "runs.py" else real(path))
    assert index._code("line") != before
    index._code.cache_clear()

    def refuse(path):
        if path.parent.name == "core":
            raise NotADirectoryError("not installed as files")
        return b""

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert index._code("") == zlib.crc32(index.__version__.encode())
    index._code.cache_clear()
    monkeypatch.setattr(Path, "read_bytes", lambda path: b"changed" if path.parent.name == "analyze" else refuse(path))
    assert index._code("") != zlib.crc32(index.__version__.encode()), "the other folders count"
    index._code.cache_clear()


def write_many(path, first: int) -> None:
    index.WAIT_SECONDS = 60  # a machine that stands still for two seconds would lose a row, as it may
    for i in range(first, first + 20):
        found = Index(path)
        found.put("line", f"e{i:04d}", b"s", b"v" * 3000)
        found.close()


def test_several_processes_write_at_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=write_many, args=(tmp_path / index.NAME, first)) for first in (100, 200, 300)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [p.exitcode for p in processes] == [0, 0, 0]
    assert len(Index(tmp_path / index.NAME).rows("line")) == 60
