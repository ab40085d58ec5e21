"""What is said of two experiments, for one run each and for several seeds; what is confounded gets no verdict."""

import numpy as np
import pytest

from helpers_curves import images_with, level, put, summaries
from zhurnal.analyze.comparing import compare_all, compare_two, corrected
from zhurnal.analyze.observation import Observation, details
from zhurnal.analyze.settled import noise_of
from zhurnal.analyze.stats.seeds import Noise
from zhurnal.store.lab import Lab


@pytest.fixture
def lab(tmp_path) -> Lab:
    lab = Lab.init(tmp_path / "lab")
    lab.new({"model": "lenet", "data": "cifar10", "train.epochs": 40}, question="LeNet")
    lab.new({"optimizer.weight_decay": 0.0005}, parent="e0001", question="Does weight decay help?")
    return lab


def two(lab, first, second, **options):
    put(lab, "e0001", 42, first)
    put(lab, "e0002", 42, second)
    found = summaries(lab)
    return compare_two(found["e0001"], found["e0002"], **options)


def with_images(lab, right, differ, epochs=40):
    a, b = images_with(10_000, right, differ)
    put(lab, "e0001", 42, level(a.mean(), epochs), right={epochs: a})
    put(lab, "e0002", 42, level(b.mean(), epochs), right={epochs: b})
    found = summaries(lab)
    return compare_two(found["e0001"], found["e0002"])


def test_one_run_each_by_images(lab):
    o = with_images(lab, 9000, (200, 290))
    assert (o.strength, o.estimate, o.n) == ("suggestive", pytest.approx(0.9), (1, 1))
    assert o.sentence == "e0002 (weight_decay=0.0005) ends 0.90 points above e0001 (weight_decay=0), one run each: more than noise explains."
    assert "exact McNemar test on the same 10,000 images (200 right in the first alone, 290 in the second)" in o.test
    assert o.interval == pytest.approx((0.47, 1.33), abs=0.01)
    assert o.evidence == ("e0001 seed 42, epoch 40", "e0002 seed 42, epoch 40")
    assert "this compares two trained networks, not two methods" in details(o)


def test_one_run_each_that_noise_explains_says_how_many_seeds(lab):
    o = with_images(lab, 9000, (250, 279))
    assert o.strength == "cannot tell"
    assert o.sentence.endswith("one run each: no more than noise explains; about 3 seeds each would show a difference of 0.5 points.")


def test_one_run_each_with_nearly_the_same_answers_is_equivalent(lab):
    o = with_images(lab, 9000, (60, 63))
    assert o.strength == "equivalent"
    assert "within 0.5 points of each other" in o.sentence


def test_the_labs_own_noise_is_a_floor(lab):
    a, b = images_with(10_000, 9000, (200, 290))
    put(lab, "e0001", 42, level(a.mean()), right={40: a})
    put(lab, "e0002", 42, level(b.mean()), right={40: b})
    found = summaries(lab)
    o = compare_two(found["e0001"], found["e0002"], lab=Noise(0.006, 8, ("e0007", "e0008")))
    assert o.strength == "cannot tell"
    assert "from 2 experiments of the lab with several seeds" in details(o)


def test_unsteady_runs_are_not_compared_one_by_one(lab):
    """Epochs that differ by a point while the images explain a fifth: McNemar calls two runs of one setting different."""
    a, b = images_with(10_000, 6000, (300, 450))
    put(lab, "e0001", 42, level(a.mean(), noise=0.01, seed=1), right={40: a})
    put(lab, "e0002", 42, level(b.mean(), noise=0.01, seed=2), right={40: b})
    found = summaries(lab)
    o = compare_two(found["e0001"], found["e0002"])
    assert o.p < 0.001
    assert o.strength == "cannot tell"
    assert "among themselves: one run each does not decide it" in o.sentence


def leaning(num=10_000):
    """Return which images two networks get right, the second of which gains in five classes and loses a little in three."""
    label = np.arange(num) % 10
    first = np.arange(num) < 6000
    second = first.copy()
    for k, change in enumerate((60, 55, 50, 40, 30, 2, 0, -10, -12, -15)):
        where = np.flatnonzero((label == k) & (first if change < 0 else ~first))
        second[where[: abs(change)]] = change > 0
        steady = np.flatnonzero((label == k) & first)[-40:]  # moves both ways: lost, and as many found again
        second[steady] = False
        second[np.flatnonzero((label == k) & ~first)[-40:]] = True
    return first, second


def test_classes_that_move_together_are_not_compared_one_by_one(lab):
    """An exact McNemar test finds 2 points beyond doubt, but seeds of a short training lean towards classes by as much."""
    a, b = leaning()
    put(lab, "e0001", 42, level(a.mean()), right={40: a})
    put(lab, "e0002", 42, level(b.mean()), right={40: b})
    found = summaries(lab)
    o = compare_two(found["e0001"], found["e0002"])
    assert (o.strength, o.estimate) == ("cannot tell", pytest.approx(2.0))
    assert "but whole classes moved together, 6.3 times as much as single images do: one run each does not decide it; about" in o.sentence
    assert "t test with the deviation of classes on the same 10,000 images" in o.test
    assert "after a short training, seeds differ by more than single images tell" in details(o)
    told = compare_two(found["e0001"], found["e0002"], lab=Noise(0.003, 8, ("e0007", "e0008")))
    assert told.strength == "suggestive"  # seeds of the lab tell what chance does
    unknown = compare_two(found["e0001"], found["e0002"], lab=Noise(0.003, 1, ("e0007",)))
    assert (unknown.strength, "no more than noise explains" in unknown.sentence) == ("cannot tell", True)  # two seeds tell little


def test_few_classes_need_a_difference_far_beyond_noise(lab, monkeypatch):
    monkeypatch.setattr("zhurnal.analyze.stats.pairs.FEWEST_CLASSES", 11)
    o = with_images(lab, 9000, (220, 280))
    assert o.strength == "cannot tell"
    assert "but fewer than 11 classes do not show whether the two err independently: one run each does not decide it" in o.sentence


def test_a_difference_far_beyond_the_unsteadiness_is_told(lab):
    o = two(lab, level(0.63, noise=0.008, seed=1), level(0.51, noise=0.008, seed=2))
    assert o.strength == "suggestive"
    assert "below e0001" in o.sentence


def test_other_validation_images_are_a_confound(lab):
    lab.new({"data.validation": 0.2}, parent="e0001")
    put(lab, "e0001", 42, level(0.60))
    put(lab, "e0003", 42, level(0.70))
    found = summaries(lab)
    o = compare_two(found["e0001"], found["e0003"])
    assert (o.strength, o.confounded_with) == ("cannot tell", ("other validation images",))


def seeds_of(lab, name, values, **options):
    for seed, x in enumerate(values, 1):
        put(lab, name, seed, level(x, noise=0.0002, seed=seed), **options)


def test_three_seeds_are_supported(lab):
    seeds_of(lab, "e0001", (0.900, 0.902, 0.901))
    seeds_of(lab, "e0002", (0.911, 0.913, 0.910))
    found = summaries(lab)
    o = compare_two(found["e0001"], found["e0002"])
    assert (o.strength, o.n) == ("supported", (3, 3))
    assert o.estimate == pytest.approx(1.03, abs=0.05)
    assert "above e0001 (weight_decay=0), 3 seeds each, mean of the last 5 epochs." in o.sentence
    assert len(o.evidence) == 6
    assert o.evidence[0] == "e0001 seed 1, epochs 36-40"


def test_two_seeds_are_suggestive_at_most(lab):
    seeds_of(lab, "e0001", (0.900, 0.901))
    seeds_of(lab, "e0002", (0.950, 0.951))
    found = summaries(lab)
    assert compare_two(found["e0001"], found["e0002"]).strength == "suggestive"


def test_five_seeds_with_two_tests_that_agree_are_strong(lab):
    seeds_of(lab, "e0001", (0.900, 0.902, 0.901, 0.899, 0.903))
    seeds_of(lab, "e0002", (0.911, 0.913, 0.910, 0.909, 0.912))
    found = summaries(lab)
    o = compare_two(found["e0001"], found["e0002"])
    assert o.strength == "strong"
    assert any("exact permutation p 0.0079" in c for c in o.caveats)


def test_seeds_that_scatter_cannot_be_told_apart_and_n_is_said(lab):
    seeds_of(lab, "e0001", (0.900, 0.908, 0.896))
    seeds_of(lab, "e0002", (0.905, 0.911, 0.899))
    found = summaries(lab)
    o = compare_two(found["e0001"], found["e0002"])
    assert o.strength == "cannot tell"
    assert "seeds each would show a difference of 0.5 points." in o.sentence


def test_equal_settings_are_equivalent_only_by_an_interval(lab):
    values = (0.9000, 0.9004, 0.8997, 0.9002, 0.9001)
    seeds_of(lab, "e0001", values)
    seeds_of(lab, "e0002", tuple(v + 0.0003 for v in values))
    found = summaries(lab)
    o = compare_two(found["e0001"], found["e0002"])
    assert o.strength == "equivalent"
    assert "90 % interval" in details(o)
    assert compare_two(found["e0001"], found["e0002"], smallest=0.01).strength != "equivalent"


def test_a_small_difference_is_not_supported(lab):
    seeds_of(lab, "e0001", (0.9000, 0.9001, 0.9002))
    seeds_of(lab, "e0002", (0.9045, 0.9046, 0.9047))
    found = summaries(lab)
    assert compare_two(found["e0001"], found["e0002"], smallest=0.3).strength == "supported"
    o = compare_two(found["e0001"], found["e0002"], smallest=0.451)
    assert o.strength == "suggestive"
    assert "smaller than the 0.451 points that matter" in o.caveats


def test_the_labs_other_experiments_narrow_the_interval(lab):
    for n in range(4):
        lab.new({"optimizer.lr": 0.01 * (n + 2)}, parent="e0001")
        seeds_of(lab, f"e000{n + 3}", np.array([0.8, 0.802, 0.804]) + 0.01 * n)
    seeds_of(lab, "e0001", (0.900, 0.902, 0.904))
    seeds_of(lab, "e0002", (0.909, 0.911, 0.913))
    found = summaries(lab)
    noise = noise_of(found.values(), found["e0002"], without=("e0001", "e0002"))
    assert (noise.df, noise.experiments) == (8, ("e0003", "e0004", "e0005", "e0006"))
    alone, together = (compare_two(found["e0001"], found["e0002"], lab=n) for n in (Noise(float("nan"), 0), noise))
    assert together.p < alone.p


def test_a_changed_part_whose_shared_options_differ_is_confounded(lab):
    lab.new({"optimizer": "adam", "optimizer.lr": 0.001, "optimizer.weight_decay": 0.0}, parent="e0002", question="Is Adam better?")
    put(lab, "e0002", 42, level(0.9124))
    put(lab, "e0003", 42, level(0.8917))
    found = summaries(lab)
    o = compare_two(found["e0002"], found["e0003"])
    assert o.strength == "cannot tell"
    assert o.confounded_with == ("lr (0.01 in e0002, 0.001 in e0003)", "weight_decay (0.0005 in e0002, 0 in e0003)")
    assert o.sentence == (
        "e0003 ends 2.07 points below e0002, more than noise explains; that is no verdict on optimizer=adam: confounded with "
        "lr (0.01 in e0002, 0.001 in e0003), weight_decay (0.0005 in e0002, 0 in e0003)."
    )


def test_a_changed_part_alone_is_one_factor(lab):
    lab.new({"optimizer": "adam"}, parent="e0001")
    put(lab, "e0001", 42, level(0.90))
    put(lab, "e0003", 42, level(0.91))
    found = summaries(lab)
    o = compare_two(found["e0001"], found["e0003"])
    assert not o.confounded_with
    assert o.sentence.startswith("e0003 (optimizer=adam) ends 1.00 points above e0001 (optimizer=sgd)")


def test_other_data_under_the_same_settings_are_a_confound(lab):
    put(lab, "e0001", 42, level(0.60))
    put(lab, "e0002", 42, level(0.70), effective={"data": {"fingerprint": "beef" * 16}})
    found = summaries(lab)
    assert compare_two(found["e0001"], found["e0002"]).confounded_with == ("the images",)


def test_unfinished_runs_get_no_verdict(lab):
    put(lab, "e0001", 42, level(0.60))
    put(lab, "e0002", 42, level(0.70)[:20], status="interrupted")
    found = summaries(lab)
    o = compare_two(found["e0001"], found["e0002"])
    assert o.strength == "cannot tell"
    assert "not finished, so this is no verdict" in o.sentence


def test_an_experiment_without_an_epoch_is_said_to_have_none(lab):
    put(lab, "e0001", 42, level(0.60))
    found = summaries(lab)
    assert compare_two(found["e0001"], found["e0002"]).sentence == "e0002 and e0001 cannot be compared: e0002 has no finished epoch."


def test_validated_on_the_test_images_is_said(lab):
    lab.new({"data.validation": "test"}, parent="e0001")
    lab.new({"optimizer.lr": 0.1}, parent="e0003")
    put(lab, "e0003", 42, level(0.60))
    put(lab, "e0004", 42, level(0.60))
    found = summaries(lab)
    assert any("validated on the test images" in c for c in compare_two(found["e0003"], found["e0004"]).caveats)


def test_holm_over_all_claims_takes_back_what_does_not_survive():
    claims = [Observation("better", "x", "supported", ("e0001", "e0002"), p=p) for p in (0.03, 0.001, 0.04)]
    assert [o.strength for o in corrected(claims)] == ["suggestive", "supported", "suggestive"]
    assert [o.p_holm for o in corrected(claims)] == pytest.approx([0.06, 0.003, 0.06])


def test_all_pairs_share_one_correction(lab):
    lab.new({"optimizer.lr": 0.02}, parent="e0001")
    seeds_of(lab, "e0001", (0.900, 0.902, 0.901))
    seeds_of(lab, "e0002", (0.911, 0.913, 0.910))
    seeds_of(lab, "e0003", (0.9005, 0.9015, 0.901))
    s = summaries(lab)
    found = compare_all([(s["e0001"], s["e0002"]), (s["e0001"], s["e0003"])])
    assert [o.strength for o in found] == ["supported", "equivalent"]
    assert found[0].p_holm == pytest.approx(2 * found[0].p)
