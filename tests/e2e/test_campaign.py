"""Tier 1 of the campaign: each row of it at its smallest count. `make campaign` runs tier 2."""

import subprocess
import sys
from pathlib import Path

import pytest

from campaign.__main__ import run
from campaign.rows import ROWS
from campaign.tally import Tally

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_row(row):
    tally = run(row, row.counts[0], seed=0)
    assert tally.tried or tally.notes, "a row that tries nothing says why"
    assert not tally.lost


def test_names_of_rows_are_words_of_their_own():
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() for name in names)


def test_what_is_lost_is_counted_and_told(tmp_path):
    tally = Tally("x", 2, 0, tmp_path)
    tally.count(True, "unseen")
    tally.count(False, "the disk was full")
    assert (tally.tried, tally.held, tally.lost) == (2, 1, ["trial 2: the disk was full"])


@pytest.mark.slow
def test_the_command_prints_a_table_and_names_unknown_rows():
    done = subprocess.run([sys.executable, "-m", "campaign", "--tier", "1", "--rows", "flips"], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "| flips |" in done.stdout
    assert "| 100 | 100 | 0 |" in done.stdout
    failed = subprocess.run([sys.executable, "-m", "campaign", "--rows", "flops"], capture_output=True, text=True, cwd=ROOT, check=False)
    assert "no row flops; there are" in failed.stderr
