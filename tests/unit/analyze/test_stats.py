"""Statistics against scipy and closed forms."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from zhurnal.analyze.stats import pairs, seeds, several

RANDOM = np.random.default_rng(7)


def test_mcnemar_is_the_exact_binomial_test():
    first, second = RANDOM.random(1000) < 0.8, RANDOM.random(1000) < 0.82
    found = pairs.mcnemar(first, second)
    b, c = int((first & ~second).sum()), int((~first & second).sum())
    assert found.p == pytest.approx(scipy_stats.binomtest(b, b + c, 0.5).pvalue)
    assert found.difference == pytest.approx(second.mean() - first.mean())
    low, high = found.interval()
    assert (low + high) / 2 == pytest.approx(found.difference)
    assert high - found.difference == pytest.approx(1.96 * np.std(second.astype(float) - first, ddof=0) / math.sqrt(1000), rel=1e-4)


def test_the_same_network_twice_is_no_difference():
    right = np.arange(100) < 60
    found = pairs.mcnemar(right, right)
    assert (found.p, found.difference, found.noise, found.interval()) == (1.0, 0.0, 0.0, (0.0, 0.0))


def seeds_that_lean(random, classes, lean, num=10_000, chance=0.6):
    """Return the classes of images and which of them two networks get right, each of which leans towards some classes by ±`lean`."""
    label_N = np.arange(num) % classes
    right = [random.random(num) < chance + (lean * random.standard_normal(classes))[label_N] for _ in range(2)]
    return label_N, right


def test_independent_errors_keep_the_exact_test():
    """Classes tell nothing where images err by themselves: all but 5 % of the comparisons are those without classes."""
    random = np.random.default_rng(1)
    kept = 0
    for _ in range(200):
        label_N, (first, second) = seeds_that_lean(random, 10, 0.0)
        kept += pairs.mcnemar(first, second, label_N) == pairs.mcnemar(first, second)
    assert 180 <= kept < 200


def test_errors_that_depend_on_the_class_widen_everything():
    """Two networks of one setting that lean towards other classes: the exact test calls a third of them different, this one few."""
    random = np.random.default_rng(2)
    exact, classes = 0, 0
    for _ in range(200):
        label_N, (first, second) = seeds_that_lean(random, 10, 0.03)
        plain, found = pairs.mcnemar(first, second), pairs.mcnemar(first, second, label_N)
        exact, classes = exact + (plain.p < 0.05), classes + (found.p < 0.05)
        assert found.noise >= plain.noise
        assert found.p >= plain.p
    assert exact > 50
    assert classes < 16
    assert (found.df, found.independent) == (9, False)
    low, high = found.interval()
    assert high - low == pytest.approx(2 * scipy_stats.t.ppf(0.975, 9) * math.sqrt(found.dispersion) * plain.se)
    assert found.p == pytest.approx(2 * scipy_stats.t.sf(abs(found.difference) / found.se, 9))


def test_dispersion_is_pearsons_of_the_classes():
    label_N = np.repeat(np.arange(5), 100)
    first = np.tile(np.arange(100) < 50, 5)
    second = first.copy()
    second[:30], second[100:120] = False, False  # two classes lose, the others gain
    second[250:270], second[350:370], second[450:460] = True, True, True
    change, moved = np.array([-30, -20, 20, 20, 10]), np.array([30, 20, 20, 20, 10])
    found = pairs.mcnemar(first, second, label_N)
    assert found.dispersion == pytest.approx(float(((change - moved * change.sum() / 100) ** 2 / moved).sum() / 4))
    assert (found.df, found.by_class) == (4, True)


def test_few_classes_do_not_show_dependence():
    label_N, (first, second) = seeds_that_lean(np.random.default_rng(3), 4, 0.2)
    found = pairs.mcnemar(first, second, label_N)
    assert (found.df, found.dispersion, found.by_class) == (0, 1.0, False)
    assert found.p == pairs.mcnemar(first, second).p


@pytest.mark.parametrize(("discordance", "points"), [(0.02, 0.30), (0.04, 0.42), (0.06, 0.50), (0.08, 0.58), (0.10, 0.64), (0.20, 0.90)])
def test_the_smallest_difference_mcnemar_sees(discordance, points):
    """The table in research: the smallest significant difference for so many images that exactly one of two gets right."""
    both = round(discordance * 10_000)
    gap = next(g for g in range(both) if (both - g) % 2 == 0 and scipy_stats.binomtest((both - g) // 2, both, 0.5).pvalue < 0.05)
    assert gap / 100 == pytest.approx(points, abs=0.021)


def test_two_proportions():
    found = pairs.two_proportions(0.8917, 10_000, 0.9124, 10_000)
    assert found.difference == pytest.approx(0.0207)
    assert abs(found.difference) / math.sqrt(2 * 0.90205 * 0.09795 / 10_000) == pytest.approx(4.9, abs=0.05)
    assert found.p == pytest.approx(2 * scipy_stats.norm.sf(4.923), rel=0.01)


def test_noise_of_epochs_is_taken_around_a_line():
    x = np.arange(30.0)
    assert pairs.epoch_noise(0.001 * x) == pytest.approx(0, abs=1e-12)
    zigzag = 0.5 + 0.001 * x + 0.01 * (-1.0) ** x
    assert pairs.epoch_noise(zigzag) == pytest.approx(0.011, abs=0.001)
    assert pairs.epoch_noise(np.ones(4)) is None
    assert pairs.epoch_noise(np.array([1, 2, math.nan, 3, 4, 5])) is None


def test_welch_and_paired_are_scipys():
    a, b = RANDOM.normal(90, 0.2, 4), RANDOM.normal(91, 0.4, 4)
    found, theirs = seeds.welch(a, b), scipy_stats.ttest_ind(b, a, equal_var=False)
    assert (found.p, found.df) == (pytest.approx(theirs.pvalue), pytest.approx(theirs.df))
    assert found.interval() == pytest.approx(tuple(theirs.confidence_interval()))
    found, theirs = seeds.paired(a, b), scipy_stats.ttest_rel(b, a)
    assert (found.p, found.estimate) == (pytest.approx(theirs.pvalue), pytest.approx((b - a).mean()))


def test_pooled_deviation_is_the_root_of_the_mean_square():
    groups = [[1.0, 2, 3], [10.0, 14], [5.0]]
    found = seeds.pool(groups, ["e0001", "e0002", "e0003"])
    assert (found.df, found.experiments) == (3, ("e0001", "e0002"))
    assert found.sd == pytest.approx(math.sqrt((2 + 8) / 3))
    assert not seeds.pool([[1.0]]).known


def test_moderated_without_a_lab_is_welch_and_with_a_like_lab_gains_degrees_of_freedom():
    a, b = [90.0, 90.2, 90.4], [91.0, 91.2, 91.4]
    assert seeds.moderated(a, b, seeds.Noise(math.nan, 0)) == seeds.welch(a, b)
    found = seeds.moderated(a, b, seeds.Noise(0.2, 30, ("e0001",)))
    assert found.df == 4 + seeds.SHRINK_DF
    assert found.se == pytest.approx(0.2 * math.sqrt(2 / 3))


def test_a_lab_that_varies_less_is_left_out():
    a, b = [90.0, 91.0, 92.0], [91.0, 92.0, 93.0]
    assert seeds.moderated(a, b, seeds.Noise(0.1, 30)) == seeds.welch(a, b)


def test_single_runs_use_the_labs_deviation():
    found = seeds.moderated([90.0], [91.0], seeds.Noise(0.2, 6, ("e0001",)))
    assert (found.estimate, found.df) == (1.0, 6)
    assert found.se == pytest.approx(0.2 * math.sqrt(2))
    assert math.isnan(seeds.moderated([90.0], [91.0], seeds.Noise(math.nan, 0)).se)


def test_accuracies_that_are_equal_by_chance_have_a_least_deviation():
    found = seeds.moderated([0.98] * 3, [0.99] * 3, seeds.Noise(math.nan, 0), least=0.005)
    assert found.p > 0.05


@pytest.mark.parametrize(("n", "smallest"), [(3, 0.1), (4, 0.0286), (5, 0.0079)])
def test_permutation_cannot_fall_below(n, smallest):
    a, b = np.arange(n) * 0.01, 5 + np.arange(n) * 0.01
    assert seeds.permutation_p(a, b) == pytest.approx(smallest, abs=1e-4)
    theirs = scipy_stats.permutation_test((a, b), lambda x, y: y.mean() - x.mean(), n_resamples=np.inf)
    assert seeds.permutation_p(a, b) == pytest.approx(theirs.pvalue)


@pytest.mark.parametrize(("n", "smallest"), [(3, 0.25), (5, 0.0625), (6, 0.03125)])
def test_sign_flips_cannot_fall_below(n, smallest):
    a = RANDOM.normal(0, 1, n)
    assert seeds.sign_flip_p(a, a + 3 + 0.01 * np.arange(n)) == smallest


def test_many_values_are_permuted_at_random_but_always_alike():
    a, b = RANDOM.normal(0, 1, 15), RANDOM.normal(0.5, 1, 15)
    exact = scipy_stats.ttest_ind(a, b).pvalue
    assert seeds.permutation_p(a, b) == seeds.permutation_p(a, b) == pytest.approx(exact, abs=0.02)
    assert seeds.sign_flip_p(a, b) == pytest.approx(scipy_stats.ttest_rel(a, b).pvalue, abs=0.02)


def test_probability_of_better_is_mann_whitneys():
    a, b = RANDOM.normal(0, 1, 6), RANDOM.normal(0.7, 1, 6)
    found, low, high = seeds.probability_of_better(a, b)
    assert found == scipy_stats.mannwhitneyu(b, a).statistic / 36
    assert 0 < low < found < high < 1
    assert seeds.probability_of_better(b, a)[0] == pytest.approx(1 - found)
    best, low, high = seeds.probability_of_better([1, 2, 3, 4, 5], [6, 7, 8, 9, 10])
    assert (best, high) == (1.0, 1.0)
    assert 0.5 < low < 0.9, "five against five prove no more"


def test_equivalence_is_two_one_sided_tests():
    a, b = RANDOM.normal(90, 0.1, 10), RANDOM.normal(90.05, 0.1, 10)
    found = seeds.welch(a, b)
    lower = scipy_stats.ttest_ind(b, a - 0.2, equal_var=False, alternative="greater").pvalue
    upper = scipy_stats.ttest_ind(b, a + 0.2, equal_var=False, alternative="less").pvalue
    assert found.within(0.2) == (max(lower, upper) < 0.05)
    assert not found.within(0.01)


@pytest.mark.parametrize(("n", "smallest"), [(2, 5.65), (3, 3.07), (4, 2.38), (5, 2.02), (8, 1.51), (10, 1.32), (20, 0.91), (30, 0.74)])
def test_what_n_buys(n, smallest):
    """In deviations, at 80 % power: the table in research."""
    assert seeds.smallest_seen(n, 1.0) == pytest.approx(smallest, abs=0.006)
    assert seeds.seeds_needed(1.0, seeds.smallest_seen(n, 1.0) * 1.001) == n


def test_power_at_no_difference_is_the_error_rate_and_grows_to_one():
    assert seeds.power(5, 1.0, 0.0) == pytest.approx(0.05)
    assert seeds.power(3, 0.2, 1.0) == pytest.approx(0.97, abs=0.03)
    assert seeds.power(3, 0.001, 50.0) == 1.0
    assert seeds.seeds_needed(1.0, 0.0) is None
    assert seeds.seeds_needed(1.0, 0.001) is None


def test_whether_pairing_helps_is_pearsons_test():
    a, b = RANDOM.normal(0, 1, 8), RANDOM.normal(0, 1, 8)
    assert seeds.correlation_p(a, b) == pytest.approx(scipy_stats.pearsonr(a, b, alternative="greater").pvalue)
    assert seeds.correlation_p([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) == 1.0


def test_holm():
    assert several.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert several.holm([0.6, 0.9]) == [1.0, 1.0]
    assert several.holm([]) == []


@pytest.mark.parametrize(("count", "expected"), [(1, 0), (2, 0.564), (3, 0.846), (5, 1.163), (10, 1.539), (20, 1.867), (40, 2.161), (80, 2.427)])
def test_expected_maximum(count, expected):
    assert several.expected_maximum(count) == pytest.approx(expected, abs=0.001)
