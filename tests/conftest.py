"""Fixtures of all tests. Being here also puts this folder on their path, so that they can import helpers_runs.py and helpers_golden.py."""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from zhurnal.store.lab import Lab


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
    shutil.copytree(made_up_lab.folder, tmp_path / "lab", ignore=shutil.ignore_patterns(".zhurnal"))
    return Lab(tmp_path / "lab")
