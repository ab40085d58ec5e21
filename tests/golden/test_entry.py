"""A journal entry, the journal's first page and the errors of damaged pages, byte for byte."""

import pytest

from helpers_golden import check_golden
from helpers_runs import make_run
from zhurnal.core.errors import JournalError
from zhurnal.report import entry
from zhurnal.store.lab import Lab


def test_an_entry_of_several_and_of_one(own_lab: Lab) -> None:
    check_golden("entry_e0001-e0006.md", entry.write(own_lab, own_lab.names()).path.read_text())
    own_lab.new({"train.epochs": 3}, continues="e0001", question="Does it go on?")
    make_run(own_lab, "e0007", day=1)
    check_golden("entry_e0007.md", entry.write(own_lab, ["e0007"]).path.read_text())
    check_golden("journal.md", (own_lab.journal / "README.md").read_text())


def test_errors_of_a_damaged_page() -> None:
    text = """# [e0001]
<!-- zhurnal:begin tabel -->
<!-- zhurnal:end tabel -->
<!-- zhurnal:end header -->
<!-- zhurnal:begin table sha=12345678 -->
<!-- zhurnal:begin results -->
<!-- zhurnal:end results -->
<!-- zhurnal:begin results -->
<!-- zhurnal:end table -->
  <!-- zhurnal:begin figures -->
<!-- zhurnal:begin motivation sha=xyz -->
"""
    with pytest.raises(JournalError) as error:
        entry.parse_entry(text, "e0001.md")
    check_golden("errors_blocks.txt", f"{error.value}\n")
