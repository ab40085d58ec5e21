"""The reader of plain YAML agrees with ruamel.yaml wherever it reads anything, and reads whatever a lab's files are written in."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhurnal.core.errors import SettingsError
from zhurnal.store import simple, yamls

EXAMPLES = Path(__file__).parents[2] / "examples"
PIECES = st.sampled_from(
    [*"abeE019-+.:#,[]{}'\"?!&*|>%@~_ \\", "  ", ": ", "true", "null", "no", "0x1", "1e3", "1_0", "é", "\t", "2026-01-01", "''", "<<", "---"]
)
TEXT = st.lists(PIECES, max_size=6).map("".join)
VALUE = st.one_of(
    TEXT,
    st.sampled_from(
        ["1", "-0.5", "1e-05", "1.5e3", "true", "null", "'a: b'", "[1, 2]", "[a, 'b', null]", "[]", "{}", "e0031:best", "007", ".5", "1.", "0o7"]
    ),
    st.lists(TEXT, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
)
LINE = st.one_of(
    st.tuples(st.integers(0, 3), st.sampled_from(["a", "b", "question", "optimizer.lr", "true", "_x"]), VALUE).map(
        lambda t: f"{'  ' * t[0]}{t[1]}: {t[2]}"
    ),
    st.tuples(st.integers(0, 3), st.sampled_from(["settings", "model", "c", "d"])).map(lambda t: f"{'  ' * t[0]}{t[1]}:"),
    st.sampled_from(["", "# a comment", "  # another", "   c: 1", "- a", "..."]),
    TEXT,
)


@settings(max_examples=400, deadline=None)
@given(st.lists(LINE, max_size=7).map("\n".join))
def test_what_it_reads_is_what_a_parser_reads(text):
    known = simple.parse(text)
    if known is None:
        return
    try:
        found = yamls.parse_any(text, "e0001.yaml")
    except SettingsError as error:
        raise AssertionError(f"{text!r} was read as {known}, but {error}") from None
    assert repr(known[0]) == repr(found.values)
    assert known[1] == found.lines


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*/experiments/e*.yaml")), ids=lambda p: f"{p.parts[-3]}/{p.stem}")
def test_the_files_of_the_examples(path):
    found = yamls.parse_any(path.read_text(), path.name)
    known = simple.parse(path.read_text())
    assert known is None or (repr(known[0]), known[1]) == (repr(found.values), found.lines)


def test_most_files_need_no_parser():
    files = sorted(EXAMPLES.glob("*/experiments/e*.yaml"))
    assert sum(simple.parse(path.read_text()) is not None for path in files) > len(files) / 2
