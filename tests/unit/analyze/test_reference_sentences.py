"""The reference journal's own sentences, with its numbers: what is said instead. Accuracies are those that its runs ended with, on 10,000 images."""

import numpy as np
import pytest

from helpers_curves import level, put, summaries
from zhurnal.analyze import observations
from zhurnal.analyze.comparing import compare_two
from zhurnal.analyze.observations import Known
from zhurnal.store.lab import Lab


@pytest.fixture
def lab(tmp_path) -> Lab:
    lab = Lab.init(tmp_path / "lab")
    lab.new({"model": "lenet", "data": "cifar10", "train.epochs": 40, "optimizer.lr": 0.01}, question="as e0036")
    return lab


def pair(lab, changes, first, second, *, also=None):
    """Return what is said of e0002, which has `changes`, against e0001 (which has `also`), one run each."""
    if also:
        lab.new(also, parent="e0001")
        lab.new(changes, parent="e0002")
    else:
        lab.new(changes, parent="e0001")
    a, b = ("e0002", "e0003") if also else ("e0001", "e0002")
    put(lab, a, 42, level(first))
    put(lab, b, 42, level(second))
    found = summaries(lab)
    return compare_two(found[a], found[b])


def test_scheduler_helps(lab):
    o = pair(lab, {"scheduler": "step"}, 0.8888, 0.8917)
    assert (o.strength, o.estimate, o.p) == ("cannot tell", pytest.approx(0.29), pytest.approx(0.51, abs=0.01))
    assert "no more than noise explains; about" in o.sentence


def test_adam_is_worse_than_sgd(lab):
    changes = {"optimizer": "adam", "optimizer.lr": 0.001, "optimizer.weight_decay": 0.0}
    o = pair(lab, changes, 0.9124, 0.8917, also={"optimizer.weight_decay": 0.0005})
    assert o.p < 1e-5
    assert (o.strength, len(o.confounded_with)) == ("cannot tell", 2)
    assert "that is no verdict on optimizer=adam: confounded with lr" in o.sentence


def test_weight_decay_plays_a_role(lab):
    o = pair(lab, {"optimizer.weight_decay": 0.0005}, 0.8952, 0.9017)
    assert (o.strength, o.p) == ("cannot tell", pytest.approx(0.13, abs=0.01))


def test_normalization_is_important(lab):
    lab.new({"data.normalize": {"mean": [0.5] * 3, "std": [0.25] * 3}, "model.weights": None}, parent="e0001")
    put(lab, "e0001", 42, level(0.8885), effective={"data": {}})
    put(lab, "e0002", 42, level(0.8952))
    found = summaries(lab)
    o = compare_two(found["e0001"], found["e0002"])
    assert (o.strength, o.p) == ("cannot tell", pytest.approx(0.13, abs=0.01))


def test_simple_augmentation_is_better(lab):
    o = pair(lab, {"data.transform": "augment_simple"}, 0.9017, 0.9124)
    assert (o.strength, o.p) == ("suggestive", pytest.approx(0.009, abs=0.001))
    assert "one run each: more than noise explains." in o.sentence
    assert any("not two methods" in c for c in o.caveats)


def test_simple_augmentation_with_other_epochs_is_no_verdict(lab):
    """As it really was: e0038 also trains longer."""
    o = pair(lab, {"data.transform": "augment_simple", "train.epochs": 120}, 0.9017, 0.9124)
    assert o.strength == "cannot tell"
    assert o.confounded_with == ("epochs (40 in e0001, 120 in e0002)",)


def said(lab, kind):
    return [o for o in observations.observe(list(summaries(lab).values()), Known()) if o.kind == kind]


def test_nothing_is_broken(lab):
    lab.new({}, parent="e0001")
    put(lab, "e0001", 42, level(0.610), num_val=10_000)
    put(lab, "e0002", 7, level(0.6102), num_val=10_000)
    (o,) = said(lab, "consistent")
    assert o.strength == "cannot tell", "an interval of ±1.35 points shows no equality"


def test_the_same_record_is_an_exact_repetition(lab):
    lab.new({}, parent="e0001")
    for name in ("e0001", "e0002"):
        put(lab, name, 42, level(0.610))
    (o,) = said(lab, "consistent")
    assert (o.strength, o.sentence) == ("equivalent", "e0002 repeats e0001 exactly: all 40 epochs came out the same.")


def test_worse_than_random(lab):
    put(lab, "e0001", 42, [0.1, 0.0927])
    (o,) = said(lab, "chance")
    assert o.sentence == "e0001 ends at 9.27 %, worse than guessing one of 10 classes."
    assert (o.p, o.interval) == (pytest.approx(0.015, abs=0.001), pytest.approx((8.72, 9.85), abs=0.02))


def test_the_optimal_learning_rate_is_a_tenth(lab):
    rates = (0.0005, 0.0008, 0.003, 0.006, 0.009, 0.012)
    lab.sweep([{"optimizer.lr": r} for r in rates], parent="e0001")
    for i, (_, acc) in enumerate(zip(rates, (0.60, 0.615, 0.645, 0.655, 0.661, 0.662), strict=True)):
        put(lab, f"e{i + 2:04d}", 42, level(acc, noise=0.001, seed=i))
    (o,) = said(lab, "learning_rate")
    assert o.strength == "cannot tell"
    assert "0.012 did best" in o.sentence
    assert o.sentence.endswith("It is the largest that was tried: the best is not bracketed.")
    assert "0.1 " not in o.sentence


def test_high_first_rate_has_bad_consequences(lab):
    """57.62 against 88.85: one run is enough to say that it happened."""
    o = pair(lab, {"optimizer.lr": 0.1}, 0.8885, 0.5762)
    assert (o.strength, o.estimate) == ("suggestive", pytest.approx(-31.23))


def test_saturates_around_40(lab):
    t = np.arange(1, 81)
    curve = 0.664 - 0.5 * np.exp(-t / 8.5) + 0.003 * np.random.default_rng(3).standard_normal(80)
    put(lab, "e0001", 42, np.round(curve, 4))
    (o,) = said(lab, "saturates")
    assert o.estimate == pytest.approx(8.5 * np.log(0.5 / 0.005), abs=3)
    assert o.interval[0] - 0.5 <= 8.5 * np.log(100) <= o.interval[1] + 0.5
    assert "within 0.5 points of its plateau of 66." in o.sentence


def test_still_improving_is_not_saturated(lab):
    """The log of the reference's e0002: half a point an epoch at the end of 21 epochs."""
    t = np.arange(1, 22)
    put(lab, "e0001", 42, np.round(0.30 + 0.005 * t + 0.15 * (1 - np.exp(-t / 5)) + 0.001 * np.sin(7 * t), 4))
    (o,) = said(lab, "not_saturated")
    assert "has not yet saturated in 21 epochs" in o.sentence
    assert o.estimate == pytest.approx(0.5, abs=0.15)


def test_validation_loss_degrades_while_accuracy_stays(lab):
    t = np.arange(1, 81)
    loss = 0.8 + 1.2 * np.exp(-t / 6) + 0.004 * np.maximum(t - 30, 0) + 0.004 * np.random.default_rng(1).standard_normal(80)
    put(lab, "e0001", 42, level(0.664, 80, noise=0.001), val_loss=[float(x) for x in loss])
    (o,) = said(lab, "loss_rises")
    assert o.estimate == pytest.approx(31, abs=4)
    assert o.sentence.endswith("while accuracy changes by less than 0.5 points: growing over-confidence.")


def test_pre_trained_gave_the_best_results_so_far(lab):
    for i, acc in enumerate((0.9124, 0.8917, 0.9161, 0.9349, 0.9324)):
        lab.new({"optimizer.weight_decay": 0.0001 * (i + 1)}, parent="e0001")
        put(lab, f"e{i + 2:04d}", 42, level(acc))
    (o,) = said(lab, "best")
    assert o.sentence == "e0005 gave the best results so far: 93.48 % at its end, of 5 experiments on the same images; e0006 cannot be told from it."
    assert any("repeat it with two new seeds" in c for c in o.caveats)
    assert o.strength == "observed"


def test_overfits_a_tiny_subset_with_odd_epochs(lab):
    train = np.minimum(1.0, np.arange(1, 301) / 200)
    curve = level(0.188, 300, noise=0.0005)
    curve[145] -= 0.05
    put(lab, "e0001", 42, curve, train_acc=[float(x) for x in train], num_train=100)
    (o,) = said(lab, "memorises")
    assert o.sentence.startswith("e0001 learns its 100 training images by heart, from epoch 199 on")
    (o,) = said(lab, "stands_out")
    assert o.sentence.startswith("In epoch 146 the validation accuracy of e0001 is 5.0 points below its neighbours")


def test_batch_size_128_is_the_sweet_spot(lab):
    lab.sweep([{"train.batch_size": b} for b in (32, 64, 256)], parent="e0001")
    for name, tau, seconds in (("e0001", 5, 8.0), ("e0002", 3, 12.0), ("e0003", 4, 9.0), ("e0004", 8, 7.0)):
        put(lab, name, 42, level(0.65, tau=tau), seconds=seconds)
    (speed,), (progress,) = said(lab, "throughput"), said(lab, "progress")
    assert speed.sentence == "Images per second over batch sizes: 3,750 with 32, 5,000 with 64, 5,625 with 128, 6,429 with 256."
    assert progress.sentence.startswith("To reach 61.4 %, batch sizes need epochs:")
    assert "8 times fewer steps" in progress.caveats[0]


def test_a_grid_says_which_factor_plays_a_role(lab):
    points = [{"optimizer.lr": r, "train.batch_size": b} for r in (0.01, 0.02, 0.03) for b in (32, 64, 256)]
    lab.sweep(points, parent="e0001")
    noise = np.random.default_rng(5).normal(0, 0.001, 9)
    for i, p in enumerate(points):
        put(lab, f"e{i + 2:04d}", 42, level(0.6 + {32: 0.0, 64: 0.02, 256: 0.04}[p["train.batch_size"]] + noise[i]))
    found = observations.observe([s for n, s in summaries(lab).items() if n != "e0001"])
    roles = {o.sentence.split(" plays")[0]: o for o in found if o.kind == "plays_a_role"}
    assert roles["batch_size"].strength == "supported"
    assert roles["Whether lr"].strength == "cannot tell"


def test_a_chain_is_told_as_a_whole(lab):
    lab.new({"optimizer.weight_decay": 0.0005}, parent="e0001")
    lab.new({"data.transform": "augment_simple"}, parent="e0002")
    for name, acc in (("e0001", 0.8952), ("e0002", 0.9017), ("e0003", 0.9124)):
        put(lab, name, 42, level(acc))
    (o,) = said(lab, "chain")
    assert (o.strength, o.estimate) == ("suggestive", pytest.approx(1.72))
    assert o.sentence.startswith("From e0001 to e0003, 2 steps (")


def test_every_observation_can_be_told_as_json_and_names_its_experiments(lab):
    put(lab, "e0001", 42, level(0.66, 80, noise=0.002))
    lab.new({"optimizer.lr": 3.0}, parent="e0001")
    put(lab, "e0002", 42, [0.5, 0.6, 0.1, 0.1, 0.1, 0.1], val_loss=[1.0, 0.9, None, None, None, None])
    found = observations.observe(list(summaries(lab).values()))
    assert {"failed", "better"} <= {o.kind for o in found}
    for o in found:
        assert o.sentence.endswith(".")
        assert set(o.experiments) <= {"e0001", "e0002"}
        assert o.evidence
        assert o.to_dict()["strength"] == o.strength
    assert observations.strongest(found)[0].kind == "failed"


def test_a_curve_that_rises_while_the_learning_rate_falls_is_no_promise(lab):
    t = np.arange(1, 22)
    curve = np.round(0.30 + 0.005 * t + 0.15 * (1 - np.exp(-t / 5)) + 0.001 * np.sin(7 * t), 4)
    put(lab, "e0001", 42, curve, lr=np.linspace(0.01, 0.0001, 21))
    (o,) = said(lab, "not_saturated")
    assert "was not on a plateau before its 21 epochs ended: its validation accuracy gains 0.62 points an epoch" in o.sentence
    assert (
        "over epochs 15 to 21, while the learning rate fell from 0.0031 to 0.0001; so this does not tell what more epochs would bring" in o.sentence
    )
    assert o.unit == "points an epoch, epochs 15 to 21"


def test_a_smooth_schedule_does_not_begin_another_part_of_the_curve(lab):
    t = np.arange(1, 31)
    put(lab, "e0001", 42, np.round(0.66 - 0.5 * np.exp(-t / 3), 4), lr=0.05 * np.concatenate([np.linspace(0.2, 1, 6), np.geomspace(1, 1e-6, 24)]))
    (o,) = said(lab, "saturates")
    assert "with the learning rate of epoch" not in o.sentence


def test_a_plateau_of_unsteady_epochs_says_how_unsteady(lab):
    noise = np.random.default_rng(3).standard_normal(60)
    put(lab, "e0001", 42, np.round(level(0.62, 60) + 0.012 * noise, 4))
    (o,) = said(lab, "saturates")
    assert "of its plateau of 62." in o.sentence
    assert ", apart from single epochs, which vary by ±1." in o.sentence


def test_single_runs_that_would_need_thousands_of_seeds_get_no_small_number(lab):
    lab.new({"optimizer.weight_decay": 0.0005}, parent="e0001")
    for name in ("e0001", "e0002"):
        put(lab, name, 42, level(0.50), num_val=100)
    found = summaries(lab)
    o = compare_two(found["e0001"], found["e0002"])
    assert o.strength == "cannot tell"
    assert "seeds each" not in o.sentence


def test_a_chain_over_other_images_or_unfinished_runs_is_not_compared(lab):
    lab.new({"data.validation": 0.2}, parent="e0001")
    lab.new({"optimizer.weight_decay": 0.0005}, parent="e0002")
    for name, acc in (("e0001", 0.8952), ("e0002", 0.9017), ("e0003", 0.9124)):
        put(lab, name, 42, level(acc))
    assert not said(lab, "chain")


def test_a_chain_whose_end_was_interrupted_is_not_compared(lab):
    lab.new({"optimizer.weight_decay": 0.0005}, parent="e0001")
    lab.new({"data.transform": "augment_simple"}, parent="e0002")
    put(lab, "e0001", 42, level(0.8952))
    put(lab, "e0002", 42, level(0.9017))
    put(lab, "e0003", 42, level(0.9124)[:4], status="interrupted")
    assert not said(lab, "chain")


def test_the_best_is_of_those_on_the_same_images(lab):
    for i, seed in enumerate((1, 2, 3)):
        lab.new({"data.split_seed": seed}, parent="e0001")
        put(lab, f"e{i + 2:04d}", 42, level(0.6 + 0.01 * i))
    put(lab, "e0001", 42, level(0.5))
    assert not said(lab, "best")  # four experiments, each on images of its own


def test_what_a_switch_brings_along_is_no_second_factor(lab):
    o = pair(lab, {"train.cutmix": 1.0, "train.mix_probability": 0.5}, 0.60, 0.70)
    assert o.confounded_with == ()
    lab.new({"train.mix_probability": 1.0}, parent="e0002")
    put(lab, "e0003", 42, level(0.65))
    found = summaries(lab)
    assert "mix_probability" in compare_two(found["e0002"], found["e0003"]).sentence  # where both mix it is one


def test_on_unbalanced_classes_the_most_frequent_is_what_chance_is(lab):
    classes = {"data": {"classes": ["a", "b"]}}
    home = put(lab, "e0001", 42, level(0.90), num_val=1000, effective=classes)
    (home / "predictions").mkdir()
    np.savez(home / "predictions" / "labels.npz", label=(np.arange(1000) >= 900).astype(np.int64), number=np.arange(1000))
    zeros = np.zeros(1000)
    np.savez(home / "predictions" / "epoch-00040.npz", predicted=zeros.astype(np.uint8), confidence=zeros.astype(np.float16), loss=zeros)
    (o,) = said(lab, "chance")
    assert o.sentence == "e0001 ends at 90.00 %, no better than always naming the most frequent class (90.00 % of the validation images)."
    assert o.p > 0.9
    assert "exact binomial test against 90.00 %" in o.test


def test_going_on_exactly_is_said_only_where_rows_were_made_twice(lab):
    steps = 45_000 // 128

    def start(at: int) -> dict:
        return {"kind": "start", "time": "2026-09-01T10:30:00+00:00", "attempt": 2, "step": at, "epoch": 3}

    def stop(at: int) -> dict:
        return {"kind": "stop", "time": "2026-09-01T10:20:00+00:00", "status": "interrupted", "step": at, "epoch": 3, "reason": "Ctrl-C"}

    for events, expected in (
        ([stop(3 * steps), start(3 * steps)], "went on from where it had stopped: no row was made twice"),
        ([stop(3 * steps), start(2 * steps)], "went on exactly: every row that was made twice came out the same"),
        ([start(2 * steps)], "went on exactly"),  # killed: it had gone on
        ([stop(3 * steps), start(3 * steps), start(3 * steps)], "was stopped 2 times and went on exactly"),
    ):
        put(lab, "e0001", 42, level(0.6), events=events)
        (o,) = said(lab, "goes_on")
        assert expected in o.sentence
