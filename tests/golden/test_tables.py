"""The tables of one made-up lab, byte for byte, in every form."""

from pathlib import Path

import pytest

from helpers_golden import check_golden
from helpers_runs import make_lab
from zhurnal.analyze import table
from zhurnal.core.errors import ZhurnalError
from zhurnal.store.lab import Lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return make_lab(Path(tmp_path_factory.mktemp("tables")) / "lab")


@pytest.mark.parametrize(("form", "ending"), [(table.markdown, "md"), (table.csv, "csv"), (table.latex, "tex"), (table.to_json, "json")])
def test_a_table_in_every_form(lab: Lab, form, ending: str) -> None:
    check_golden(f"table.{ending}", form(table.compare(lab, lab.names())))


def test_all_columns_against_the_parent(lab: Lab) -> None:
    check_golden("table_all_columns.md", table.markdown(table.compare(lab, lab.names(), columns=list(table.COLUMNS), diff="parent")))


def test_an_unknown_column(lab: Lab) -> None:
    with pytest.raises(ZhurnalError) as error:
        table.compare(lab, ["e0001"], columns=["best_val_ac"])
    check_golden("error_column.txt", f"{error.value}\n")
