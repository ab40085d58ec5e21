"""The plain part of YAML: what is left to a parser. That the rest agrees with one is in tests/properties."""

import pytest

from zhurnal.store import simple


@pytest.mark.parametrize(
    "text",
    [
        "", "# nothing\n", "a: 1\n# a comment\x07\n", "a: x\x07y\n", "a: 1\n  b: 2\n", "a:\n    b: 1\n  c: 2\n", " a: 1\nb: 2\n", "a: 1\na: 2\n",
        "true: 1\n", "Null: 1\n", 'a: "x"\n', "a: [1,\n2]\n", "a: [1, [2]]\n", "a: {b: 1}\n", "a: x: y\n", "a: x #y\n", "a: yes:\n", "a: 0x1F\n",
        "a: 'it''s'\n", "a: +1\n", "a: 1_000\n", "a: -x\n", "a: True\n", "a: " + "9" * 19 + "\n", "a:  1\n", "a: x \n", "a b: 1\n", "- a\n", "a:1\n",
        "a: [yes, 'no']\n", "a: [true,false]\n",
        "".join(" " * n + "a:\n" for n in range(7)) + " " * 7 + "a: 1\n",
    ],
)  # fmt: skip
def test_what_is_left_to_a_parser(text):
    assert simple.parse(text) is None


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("-0.5", -0.5), ("1e-05", 1e-05), ("0", 0), ("-12", -12), ("9" * 18, int("9" * 18)), ("true", True), ("null", None),
        ("e0031:best", "e0031:best"),
        ("Is it better?", "Is it better?"), ("'a: b'", "a: b"), ("''", ""), ("[]", []), ("[1, 0.5, a-b, true, null]", [1, 0.5, "a-b", True, None]),
        ("a/b.py:Net", "a/b.py:Net"),
    ],
)  # fmt: skip
def test_values(value, found):
    values, lines = simple.parse(f"# a comment\n\na:\n  b_c.d: {value}\n  e:\nf: 1") or ({}, {})
    assert values == {"a": {"b_c.d": found, "e": None}, "f": 1}
    assert type(values["a"]["b_c.d"]) is type(found)
    assert lines == {("a",): 3, ("a", "b_c.d"): 4, ("a", "e"): 5, ("f",): 6}


def test_nesting():
    deepest = "".join(" " * n + "a:\n" for n in range(6)) + " " * 6 + "a: 1\nb: 2\n"
    values, lines = simple.parse(deepest) or ({}, {})
    assert values == {"a": {"a": {"a": {"a": {"a": {"a": {"a": 1}}}}}}, "b": 2}
    assert lines["a", "a"] == 2
    assert simple.parse("a:\n    b:\n        c: 1\n    d: 2\ne:\n  f: 3\n") == (
        {"a": {"b": {"c": 1}, "d": 2}, "e": {"f": 3}},
        {("a",): 1, ("a", "b"): 2, ("a", "b", "c"): 3, ("a", "d"): 4, ("e",): 5, ("e", "f"): 6},
    )
