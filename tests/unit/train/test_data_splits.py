"""Stratified parts: sizes, what depends on the seed, what never overlaps."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zhurnal.core.errors import DataError
from zhurnal.train.data import splits


def labels(*counts):
    """Labels with counts[k] images of class k, mixed."""
    ordered = torch.cat([torch.full((n,), k) for k, n in enumerate(counts)])
    return ordered[torch.randperm(len(ordered), generator=torch.Generator().manual_seed(0))]


def sizes(labels_N, positions, num):
    return torch.bincount(labels_N[positions], minlength=num).tolist()


def test_a_tenth_of_each_class():
    labels_N = labels(500, 100, 30)
    rest, part = splits.hold_out(labels_N, 0.1, 0)
    assert sizes(labels_N, part, 3) == [50, 10, 3]
    assert torch.equal(torch.cat([rest, part]).sort().values, torch.arange(630))
    assert torch.equal(part, part.sort().values)


def test_rounding_keeps_the_total():
    labels_N = labels(*[15] * 10)
    assert len(splits.hold_out(labels_N, 0.1, 0)[1]) == 15


def test_small_classes_have_an_image_on_either_side():
    labels_N = labels(100, 2, 1)
    rest, part = splits.hold_out(labels_N, 0.1, 0)
    assert sizes(labels_N, part, 3)[1:] == [1, 0]
    assert sizes(labels_N, rest, 3)[1:] == [1, 1]


def test_the_seed_decides():
    labels_N = labels(50, 50)
    first, again, other = (splits.hold_out(labels_N, 0.2, seed)[1] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.floats(0.01, 0.5), st.integers(0, 2**40))
def test_a_split_loses_and_repeats_nothing(counts, fraction, seed):
    labels_N = labels(*counts)
    rest, part = splits.hold_out(labels_N, fraction, seed)
    assert sorted(rest.tolist() + part.tolist()) == list(range(len(labels_N)))
    for count, held in zip(counts, sizes(labels_N, part, len(counts)), strict=True):
        assert held == 0 if count == 1 else 1 <= held < count
        assert abs(held - count * fraction) <= 1 or held == 1


def test_a_subset_is_as_even_as_the_counts_allow():
    labels_N = labels(100, 100, 5)
    assert sizes(labels_N, splits.choose(labels_N, 30, 0), 3) == [13, 12, 5]
    assert sizes(labels_N, splits.choose(labels_N, 3, 0), 3) == [1, 1, 1]
    assert len(splits.choose(labels_N, 205, 0)) == 205


def test_a_smaller_subset_is_part_of_a_larger_one():
    labels_N = labels(60, 60, 60)
    assert set(splits.choose(labels_N, 31, 4).tolist()) < set(splits.choose(labels_N, 100, 4).tolist())


def test_a_subset_that_cannot_be():
    with pytest.raises(DataError, match=r"data.subset is 21, must be at most 20, the training images left beside the validation images"):
        splits.choose(labels(10, 10), 21, 0)
    with pytest.raises(DataError, match=r"data.subset is 1, must be at least 2, the number of classes"):
        splits.choose(labels(10, 10), 1, 0)


def test_the_fixed_part_is_not_some_seeds_validation_part():
    labels_N = labels(100, 100)
    fixed = splits.hold_out(labels_N, 0.2, splits.FIXED_SEED)[1]
    assert all(not torch.equal(fixed, splits.hold_out(labels_N, 0.2, seed)[1]) for seed in range(50))
