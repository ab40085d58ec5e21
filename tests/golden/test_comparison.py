"""The tables of one made-up lab, byte for byte, in every form."""

import pytest

from helpers_golden import check_golden
from zhurnal.analyze import table
from zhurnal.core.errors import ZhurnalError
from zhurnal.store.lab import Lab


@pytest.mark.parametrize(("form", "ending"), [(table.markdown, "md"), (table.csv, "csv"), (table.latex, "tex"), (table.to_json, "json")])
def test_a_table_in_every_form(made_up_lab: Lab, form, ending: str) -> None:
    check_golden(f"table.{ending}", form(table.compare(made_up_lab, made_up_lab.names())))


def test_all_columns_against_the_parent(made_up_lab: Lab) -> None:
    check_golden("table_all_columns.md", table.markdown(table.compare(made_up_lab, made_up_lab.names(), columns=list(table.COLUMNS), diff="parent")))


def test_an_unknown_column(made_up_lab: Lab) -> None:
    with pytest.raises(ZhurnalError) as error:
        table.compare(made_up_lab, ["e0001"], columns=["best_val_ac"])
    check_golden("error_column.txt", f"{error.value}\n")
