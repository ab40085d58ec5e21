"""Fixtures of all tests. Being here also puts this folder on their path, so that they can import helpers_runs.py and helpers_golden.py."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

# What a shell, a git hook or a terminal may have set would change what is tested.
for _name in list(os.environ):
    if (
        _name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "COLUMNS", "ZHURNAL_JOBS")
        or _name.startswith("GIT_")
        or _name.lower().endswith("_proxy")
    ):
        del os.environ[_name]
settings.register_profile("any machine", deadline=None)  # a busy one may stand still in the middle of an example
settings.load_profile("any machine")

if TYPE_CHECKING:
    from zhurnal.store.lab import Lab


@pytest.fixture
def closed_databases(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close the databases that a test leaves open, of which Python warns from 3.13 on."""
    real, opened = sqlite3.connect, []

    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        opened.append(real(*arguments, **options))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", connect)
    yield
    for connection in opened:
        connection.close()


@pytest.fixture(scope="session")
def made_up_lab(tmp_path_factory: pytest.TempPathFactory) -> "Lab":
    """The lab of helpers_runs.make_lab, to be read only."""
    from helpers_runs import make_lab

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        return make_lab(Path(tmp_path_factory.mktemp("made_up")) / "lab")


@pytest.fixture
def own_lab(made_up_lab: "Lab", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Lab":
    """A copy of the made-up lab, to be changed. Nothing in it survives a power cut, which is what makes it fast."""
    from zhurnal.store.lab import Lab

    monkeypatch.setattr(os, "fsync", lambda _: None)
    shutil.copytree(made_up_lab.folder, tmp_path / "lab", ignore=shutil.ignore_patterns(".zhurnal"))  # a test that looked left its index there
    return Lab(tmp_path / "lab")
