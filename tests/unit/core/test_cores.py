"""Processor cores that a process may use: bound to, or left by a container, in both versions of control groups."""

import os

import pytest

from zhurnal.core import cores as module
from zhurnal.core.cores import cores


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Return a function that lays out control groups of a machine of 64 cores."""
    monkeypatch.setattr(module, "GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(module, "OWN", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)

    def lay_out(own: str, files: dict[str, str]) -> int:
        (tmp_path / "own").write_text(own)
        for name, text in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return cores()

    return lay_out


def test_those_that_it_is_bound_to():
    assert 1 <= cores() <= os.cpu_count()
    if hasattr(os, "sched_setaffinity"):
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(before)})
        try:
            assert cores() == 1
        finally:
            os.sched_setaffinity(0, before)


def test_without_groups(machine):
    assert machine("", {}) == 64
    assert machine("nonsense", {}) == 64


@pytest.mark.parametrize(
    ("own", "files", "found"),
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),  # a container, as it sees itself
        ("0::/\n", {"cpu.max": "max 100000\n"}, 64),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),  # half a core
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "300000 100000\n"}, 3),  # the group around it
        ("4:memory:/x\n3:cpu,cpuacct:/x/y\n", {"cpu,cpuacct/x/y/cpu.cfs_quota_us": "-1\n", "cpu,cpuacct/x/y/cpu.cfs_period_us": "100000\n"}, 64),
        ("3:cpu,cpuacct:/x/y\n", {"cpu,cpuacct/x/cpu.cfs_quota_us": "400000\n", "cpu,cpuacct/x/cpu.cfs_period_us": "100000\n"}, 4),
        ("3:cpuacct,cpu:/\n", {"cpu/cpu.cfs_quota_us": "500000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 5),
        ("0::/\n", {"cpu.max": "many\n"}, 64),
    ],
)
def test_what_a_container_leaves(machine, own, files, found):
    assert machine(own, files) == found
