"""Numbers and ranges: read and printed as people write them."""

import pytest

from zhurnal.core import numbers
from zhurnal.core.errors import LabError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("e0001", ["e0001"]),
        ("1", ["e0001"]),
        ("E7", ["e0007"]),
        ("e0033-e0034,e0036", ["e0033", "e0034", "e0036"]),
        ("[e0038-40]", ["e0038", "e0039", "e0040"]),
        ("e0003, e0001", ["e0003", "e0001"]),
        ("e0001–e0003", ["e0001", "e0002", "e0003"]),
        ("e0002,e0001-e0003", ["e0002", "e0001", "e0003"]),
        ("e12345", ["e12345"]),
    ],
)
def test_ranges_are_read_as_written(text, expected):
    assert numbers.parse(text) == expected


@pytest.mark.parametrize("text", ["", "e", "0", "e0", "x1", "e1-", "-e1", "1..3", "e0003-e0001", "e-1", "e1,,e2", "e00000001", "1-999999"])
def test_what_is_no_range_is_refused(text):
    with pytest.raises(LabError):
        numbers.parse(text)


def test_neighbours_are_joined():
    assert numbers.show(["e0036", "e0033", "e0034", "e0038", "e0037"]) == "e0033-e0034,e0036-e0038"
    assert numbers.show([]) == ""
