"""Zhurnal's contract for each part: what built-in parts are tested with. Needs the package installed beside Zhurnal."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("name", ["tiny", "stripes", "sign_sgd"])
def test_keeps_the_contract(name, tmp_path):
    done = subprocess.run([sys.executable, "-m", "zhurnal", "check", name], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kept all of" in done.stdout
