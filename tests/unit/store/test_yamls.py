"""YAML files: what is refused and with which line, where the limits are, and values of overrides."""

import pytest

from zhurnal.core.errors import SettingsError
from zhurnal.store import yamls


def told(text: str) -> str:
    """Return what is told of a text that is refused."""
    with pytest.raises(SettingsError) as caught:
        yamls.parse(text, "e0001.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("question: x\nseries: &s a\n", ":2: aliases (&, *) are not read: write the value out"),
        ("question: &s [x]\n", ":1: aliases (&, *) are not read: write the value out"),
        ("question: !x y\n", ":1: tag !x is not read: write a plain value"),
        ("%YAML 1.1\n---\nquestion: x\n", ":2: directives (%) are not read: take the line away"),
        ("%TAG ! tag:x.org,2000:\n---\nquestion: x\n", ":2: directives (%) are not read: take the line away"),
        ("settings:\n  train:\n    <<: {epochs: 3}\n", ":3: merge keys (<<) are not read: write the values out"),
        ("a: " + "9" * 401, ":1: a number of so many digits is none that a setting has"),
        ("a: {b: " + "9" * 30 + "}", ":1: a.b: a number of so many digits is none that a setting has"),
        ("a: {b: 9223372036854775808}", ":1: a.b: a number of so many digits is none that a setting has"),
        ("a: {b: -9223372036854775808}", ":1: a.b: a number of so many digits is none that a setting has"),
        ("x: 1\n? [a, b]\n: 1\n", ":2: a key must be a text, this one is a list or holds keys itself"),
        ("question: a\nquestion: b\n", ':2: found duplicate key "question" with value "b" (original value: "a")'),
        ("question: [x\n", ":2: this is not YAML: expected ',' or ']', but got '<stream end>'"),
        ("question: a\0b\n", ": this is not YAML: unacceptable character #x0000: special characters are not allowed"),
        ("- a\n", ": must be keys and values, such as `question: Is Adam better?`"),
        ("", ": must be keys and values, such as `question: Is Adam better?`"),
    ],
)
def test_what_settings_have_no_need_for_is_told_with_its_line(text, problem):
    assert told(text) == "e0001.yaml" + problem


@pytest.mark.parametrize("mark", ["<<<<<<< HEAD", ">>>>>>> other"])
def test_a_conflict_of_git_is_told_with_the_way_out(mark):
    text = told(f"question: a\n{mark}\n")
    assert text.startswith("e0001.yaml:2: git left a conflict here. If both sides changed this file, take one of them, and remove git's marks. ")
    assert "`zhurnal renumber --against OTHER-BRANCH`" in text


def nested(levels: int) -> str:
    return "".join(f"{' ' * level}a:\n" for level in range(levels - 1)) + " " * (levels - 1) + "a: 1\n"


def test_the_limits_of_depth():
    def depth(value) -> int:
        return 1 + depth(value["a"]) if isinstance(value, dict) else 0

    assert depth(yamls.parse(nested(yamls.DEPTH + 1), "x").values) == yamls.DEPTH + 1
    assert told(nested(yamls.DEPTH + 2)) == f"e0001.yaml:{yamls.DEPTH + 2}: nested too deep for settings"
    brackets = 4 * yamls.DEPTH
    assert told("a: " + "[" * (brackets + 1)) == "e0001.yaml:1: nested too deep for settings"
    assert "this is not YAML" not in told("a: '" + "[{" * (brackets // 2 + 1)), "before a parser saw it"
    assert yamls.parse("a: '" + "[]" * 100 + '\'\nb: "x"', "x").values == {"a": "[]" * 100, "b": "x"}, "brackets that are closed do not count"
    for quote in "'", '"':
        assert yamls.parse(f"a: {quote}" + "[" * brackets + quote, "x").values == {"a": "[" * brackets}
    spaces = 40 * yamls.DEPTH
    assert yamls.parse(f"a:\n{' ' * spaces}b: 1\n", "x").values == {"a": {"b": 1}}
    assert told(f"a:\n{' ' * (spaces + 1)}b: 1\n") == "e0001.yaml:2: nested too deep for settings"


def test_the_limit_of_how_much(monkeypatch):
    monkeypatch.setattr(yamls, "MOST", 10)
    # as a parser counts: twelve events, the last of them number 11 from 0
    text = '"a": [1,\n2,\n3]'
    assert told(text) == "e0001.yaml:3: more than 10 values and keys are too many for settings"
    monkeypatch.setattr(yamls, "MOST", 11)
    assert yamls.parse(text, "x").values == {"a": [1, 2, 3]}


def test_a_long_text_is_no_number_and_the_largest_numbers_are_read():
    assert yamls.parse("a: " + "x" * 401, "x").values == {"a": "x" * 401}
    assert yamls.parse("'a': '" + "9" * 401 + "'", "x").values == {"a": "9" * 401}
    assert yamls.parse("'a': [9223372036854775807, -9223372036854775807]", "x").values == {"a": [2**63 - 1, 1 - 2**63]}


def test_values_are_plain_whatever_their_form():
    found = yamls.parse("'a': 0x1F\n1: [1.50e3, on, ~]\n", "x")
    assert found.values == {"a": 31, "1": [1500.0, "on", None]}
    assert {type(v) for v in (found.values["a"], *found.values["1"])} == {int, float, str, type(None)}
    assert found.lines == {("a",): 1, ("1",): 2}
    day = yamls.parse("'a': 2026-01-02\n", "x").values["a"]
    assert (day, type(day)) == ("2026-01-02", str)


def test_the_place_of_a_key_is_that_of_the_longest_part_there_is():
    found = yamls.parse("question: x\nsettings:\n  train:\n    epochs: 3\n", "e0001.yaml")
    assert found.place("settings", "train", "epochs") == "e0001.yaml:4"
    assert found.place("settings", "train", "batch_size", "x") == "e0001.yaml:3"
    assert found.place("settings", "train", "x") == "e0001.yaml:3"
    assert found.place("changes", "train") == "e0001.yaml"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("80", 80), (" -80 ", -80), ("+3", 3), ("007", "007"), ("1e-3", 0.001), (".5", 0.5), ("1.", 1.0), ("1e", "1e"), ("1_000", "1_000"),
        ("none", None), ("Null", None), ("", None), (" ", None), ("True", True), ("false", False), ("no", "no"), ("adam", "adam"),
        ("٣", "٣"), ("[1, 2]", [1, 2]), ("{size: 8}", {"size": 8}), ("'80'", "80"), ('"a"', "a"), ("[1", "[1"), ("9" * 400, int("9" * 400)),
        ("9" * 401, "9" * 401), ("[a, b]: 1", "[a, b]: 1"),
    ],
)  # fmt: skip
def test_the_value_of_an_override(text, value):
    found = yamls.value(text)
    assert (found, type(found)) == (value, type(value))


def test_what_is_written_is_read_back_with_lists_on_one_line():
    values = {"question": "Is it: better?", "settings": {"seeds": [1, 2], "steps": ("crop", {"cutout": {"size": 8}}), "x": "y " * 999 + "y"}}
    text = yamls.dump(values)
    assert "\nsettings:\n  seeds: [1, 2]\n  steps: [crop, cutout: {size: 8}]\n  x: y y y" in text
    assert text.count("\n") == 5
    assert yamls.parse(text, "x").values == values | {"settings": values["settings"] | {"steps": ["crop", {"cutout": {"size": 8}}]}}
