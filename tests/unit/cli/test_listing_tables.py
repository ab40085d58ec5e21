"""Plain tables: as wide as they need, wrapped where the terminal is narrow."""

from zhurnal.cli.tables import cell_width, layout, wrap

ROWS = [["e0001", "optimizer=adam lr=0.001", "66.22"], ["e0002", "a\nb", "7.1"]]


def test_columns_are_as_wide_as_their_widest_cell():
    assert layout(["name", "diff", "acc"], ROWS, right=(2,)) == [
        "name   diff                       acc",
        "e0001  optimizer=adam lr=0.001  66.22",
        "e0002  a b                        7.1",
    ]


def test_a_narrow_terminal_wraps_the_columns_that_may_be():
    assert layout(["name", "diff", "acc"], ROWS, right=(2,), shrink=(1,), width=30) == [
        "name   diff                acc",
        "e0001  optimizer=adam    66.22",
        "       lr=0.001",
        "e0002  a b                 7.1",
    ]


def test_a_table_that_cannot_fit_is_as_narrow_as_it_can_be():
    assert max(map(len, layout(["name", "diff", "acc"], ROWS, shrink=(1,), width=1))) == 5 + 2 + 8 + 2 + 5


def test_wide_characters_take_two_columns():
    assert cell_width("猫a\u0301") == 3
    assert layout(["a", "b"], [["猫", "1"], ["xyz", "2"]]) == ["a    b", "猫   1", "xyz  2"]
    assert wrap("猫猫猫", 4) == ["猫猫", "猫"]


def test_a_text_is_wrapped_whole():
    text = "which optimizer is better for this network, sgd or adam"
    for width in (1, 5, 9, 20, 80):
        lines = wrap(text, width)
        assert all(len(line) <= width for line in lines)
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")
