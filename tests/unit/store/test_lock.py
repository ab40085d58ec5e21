"""The lock of a run, and that it tells the truth: after a kill, a reboot, in a copy, with a number given again, without locks."""

import errno
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zhurnal.core.errors import RunError
from zhurnal.store import lock
from zhurnal.store.lock import is_locked, locked


def test_a_copy_of_a_lab_does_not_live(tmp_path):
    with locked(tmp_path / "run", "e0001"):
        shutil.copytree(tmp_path / "run", tmp_path / "copy")
        assert is_locked(tmp_path / "run")
        assert not is_locked(tmp_path / "copy")
        with locked(tmp_path / "copy", "e0001"):
            pass


ORPHAN = """
import os, sys, time
from pathlib import Path
from zhurnal.store.lock import locked
with locked(Path(sys.argv[1]), "e0001"):
    child = os.fork()
    if not child:
        time.sleep(60)
    print(child, flush=True)
    time.sleep(60)
"""


def test_a_killed_run_whose_children_live_is_dead_and_can_be_gone_on_with(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ORPHAN, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        child = int(process.stdout.readline())
        try:
            assert is_locked(tmp_path)
            with pytest.raises(RunError, match=rf"already running \(process {process.pid} on [^\n]*\)"), locked(tmp_path, "e0001"):
                pass
            process.kill()
            process.wait()
            handle = os.open(tmp_path / "lock", os.O_RDONLY)
            with pytest.raises(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            os.close(handle)
            assert not is_locked(tmp_path)
            with locked(tmp_path, "e0001") as holds:
                assert holds()
                assert is_locked(tmp_path)
                with pytest.raises(RunError, match=f"process {os.getpid()}"), locked(tmp_path, "e0001"):
                    pass
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.fixture
def without_locks(monkeypatch):
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)


def test_where_there_are_no_locks_the_process_is_looked_for(tmp_path, without_locks):
    with locked(tmp_path, "e0001"):
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path), "it has ended, though this process lives"
    code = "from zhurnal.store import lock\nprint(lock._identity(), end='')"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    (tmp_path / "lock").write_text(f"process 1 on a machine\n{other}")
    assert not is_locked(tmp_path), "its process was killed"
    with locked(tmp_path, "e0001"):
        pass


@pytest.mark.parametrize(
    ("change", "lives"),
    [
        (lambda boot, names, pid, began: f"{boot} {names} {pid} {began}", True),
        (lambda boot, names, pid, began: f"{boot} {names} {pid} 12", False),  # its number was given to another process
        (lambda boot, names, pid, began: f"{boot} {names} 99999999 12", False),
        (lambda boot, names, pid, began: f"other {names} {pid} 12", True),  # of another machine: not to be known
        (lambda boot, names, pid, began: f"{boot} pid:[1] {pid} 12", True),  # of another container on this machine
        (lambda boot, names, pid, began: "", True),  # not written to its end
        (lambda boot, names, pid, began: f"{boot} {names} 99999999", True),  # nor this one
    ],
)
def test_who_lives_without_locks(tmp_path, without_locks, change, lives):
    (tmp_path / "lock").write_text(f"process 1 on a machine\n{change(*lock._identity().split())}\n")
    assert is_locked(tmp_path) is lives


def test_who_holds_a_run_is_told(tmp_path):
    assert lock.owner(tmp_path / "nothing") == "nobody"
    (tmp_path / "lock").write_text("")
    assert lock.owner(tmp_path) == "it just began"
    (tmp_path / "lock").write_text("process 1 on\x1b a\u202e machine\nsecond line")
    assert lock.owner(tmp_path) == "process 1 on a machine"
    (tmp_path / "lock").write_text("process 1 on a machine\n" * 100)
    with locked(tmp_path, "e0001"):
        assert len((tmp_path / "lock").read_text().splitlines()) == 2
        assert (tmp_path / "lock").read_text().startswith("process ")
        since = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d"
        assert re.fullmatch(rf"process {os.getpid()} on {os.uname().nodename} since {since}", lock.owner(tmp_path))


def test_where_there_are_no_locks_a_living_process_keeps_its_run(tmp_path, without_locks):
    began = lock._began(os.getppid())
    boot, names, _, _ = lock._identity().split()
    (tmp_path / "lock").write_text(f"process {os.getppid()} on a machine\n{boot} {names} {os.getppid()} {began}\n")
    with pytest.raises(RunError, match=rf"^e0001 is already running \(process {os.getppid()} on a machine\): wait for it, or stop it with Ctrl-C"):
        locked(tmp_path, "e0001").__enter__()
    assert lock.owner(tmp_path) == f"process {os.getppid()} on a machine"


def test_a_machine_that_cannot_be_told_counts_as_alive(tmp_path, without_locks, monkeypatch):
    monkeypatch.setattr(Path, "readlink", lambda _: (_ for _ in ()).throw(PermissionError()))
    assert lock._identity() == f"unknown unknown {os.getpid()} {lock._began(os.getpid())}\n"
    (tmp_path / "lock").write_text("process 99999999 on a machine\nunknown unknown 99999999 1\n")
    assert is_locked(tmp_path), "whether its process lives cannot be known"


def test_a_zombie_has_ended():
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    try:
        assert lock._began(child) == ""
    finally:
        os.waitpid(child, 0)


def test_of_two_that_take_over_from_a_dead_process_the_second_finds_the_first(tmp_path):
    (tmp_path / "lock").write_text(f"process 1 on a machine\n{' '.join(lock._identity().split()[:2])} 99999999 1\n")
    dead = os.open(tmp_path / "lock", os.O_RDWR)
    (tmp_path / "lock").unlink()
    with locked(tmp_path, "e0001"):
        handles = [dead]
        assert not lock._take_over(tmp_path, handles)
        assert is_locked(tmp_path)
        assert lock.owner(tmp_path).startswith(f"process {os.getpid()} ")
    for handle in handles:
        os.close(handle)


def test_a_process_began_after_the_one_that_started_it():
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            assert int(lock._began(child.pid)) >= int(lock._began(os.getpid())) > 0
        finally:
            child.kill()


def test_whoever_only_looks_does_not_keep_a_run_from_beginning(tmp_path, monkeypatch):
    (tmp_path / "lock").touch()
    handle = os.open(tmp_path / "lock", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_SH)
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            fcntl.flock(handle, fcntl.LOCK_UN)

    monkeypatch.setattr(time, "sleep", sleep)
    with locked(tmp_path, "e0001"):
        assert is_locked(tmp_path)
    assert waited == [0, 0.01, 0.01]
    os.close(handle)


def test_a_lock_is_taken_again_where_all_folders_above_it_are_gone(tmp_path):
    with locked(tmp_path / "logs" / "e0001" / "s1", "e0001") as holds:
        assert (tmp_path / "logs" / "e0001" / "s1" / "lock").stat().st_mode & 0o111 == 0
        shutil.rmtree(tmp_path / "logs")
        assert holds()
        assert is_locked(tmp_path / "logs" / "e0001" / "s1")


def test_a_lock_leaves_no_file_open_and_no_name_in_it(tmp_path):
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with locked(tmp_path, "e0001") as holds:
        (tmp_path / "lock").unlink()
        assert holds()
        assert holds()
        is_locked(tmp_path)
        lock.owner(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert (tmp_path / "lock").read_text() == ""


def test_after_a_reboot_nothing_is_held(tmp_path):
    (tmp_path / "lock").write_text(f"process 1 on a machine\n{lock._identity()}")
    assert not is_locked(tmp_path)
    with locked(tmp_path, "e0001"):
        pass
