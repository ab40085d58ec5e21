"""How many seeds: closed forms, a simulation, and where the deviation comes from."""

import json
import math
from statistics import NormalDist

import numpy as np
import pytest
from click.testing import CliRunner

from helpers_curves import images_with, level, put
from zhurnal.analyze.power import FALLING_LR, STEADY_LR, power
from zhurnal.analyze.stats import seeds
from zhurnal.api import Lab
from zhurnal.cli import cli
from zhurnal.core.errors import LabError, ZhurnalError


@pytest.fixture
def lab(tmp_path, monkeypatch) -> Lab:
    monkeypatch.setattr("os.fsync", lambda _: None)
    lab = Lab(Lab.init(tmp_path / "lab").folder)
    lab.new({"model": "lenet", "data": "cifar10", "train.epochs": 40, "scheduler": "cosine"}, question="LeNet")
    lab.new({"optimizer.weight_decay": 0.0005}, parent="e0001", question="Does weight decay help?")
    lab.new({"optimizer.momentum": 0.8}, parent="e0001", question="Does momentum matter?")
    return lab


def single(lab: Lab, **options) -> None:
    for name in ("e0001", "e0002"):
        put(lab, name, 42, level(0.66), **options)


def test_what_n_seeds_see_is_what_the_tables_say() -> None:
    """Two-sided alpha 0.05, power 0.8: multiples of the deviation, from the noncentral t distribution (Cohen 1988)."""
    known = {2: 5.65, 3: 3.07, 4: 2.38, 5: 2.02, 8: 1.51, 10: 1.32, 20: 0.91, 30: 0.74}
    assert {n: round(seeds.smallest_seen(n, 1.0), 2) for n in known} == known


def test_for_many_seeds_it_is_the_normal_formula() -> None:
    z = NormalDist().inv_cdf
    for sd, difference, chance in ((0.5, 0.1, 0.8), (0.2, 0.05, 0.9)):
        closed = 2 * ((z(0.975) + z(chance)) * sd / difference) ** 2
        assert abs(seeds.seeds_needed(sd, difference, chance=chance) - closed) <= 2


def test_a_simulation_finds_as_much_as_promised(lab: Lab) -> None:
    single(lab)
    found = power(lab, "e0001", "e0002", difference=0.4)
    random = np.random.default_rng(0)
    from scipy.stats import ttest_ind

    for size in found.sizes[1:5]:
        a = random.normal(0, found.deviation.sd, (20_000, size.n))
        for shift, promised in ((size.smallest, 0.8), (0.4, size.chance), (0.0, 0.05)):
            b = random.normal(shift, found.deviation.sd, (20_000, size.n))
            assert (ttest_ind(a, b, axis=1).pvalue < 0.05).mean() == pytest.approx(promised, abs=0.012)
    assert [s.chance >= 0.8 for s in found.sizes] == [s.n >= found.needed for s in found.sizes]


def test_the_deviation_of_the_lab(lab: Lab) -> None:
    single(lab)
    for seed, end in ((42, 0.660), (43, 0.664), (44, 0.662)):
        put(lab, "e0003", seed, [0.5] * 35 + [end] * 5)
    found = power(lab, "e0002", "e0001")
    assert (found.experiments, found.n, found.difference) == (("e0002", "e0001"), (1, 1), 0.5)
    assert found.deviation.sd == pytest.approx(0.2)
    assert (found.deviation.df, found.deviation.source) == (2, "pooled over 3 runs of 1 experiment with several seeds: e0003")
    # chi-squared quantiles of two degrees of freedom are -2 ln(1 - q)
    assert found.deviation.low == pytest.approx(0.2 * math.sqrt(2 / (-2 * math.log(0.025))))
    assert found.deviation.high == pytest.approx(0.2 * math.sqrt(2 / (-2 * math.log(0.975))))
    assert found.needed == seeds.seeds_needed(0.2, 0.5) == 4
    assert found.needed_range == (3, seeds.seeds_needed(found.deviation.high, 0.5))
    assert found.now is None
    for seed in (43, 44):
        put(lab, "e0001", seed, [0.5] * 35 + [0.66] * 5)
        put(lab, "e0002", seed, [0.5] * 35 + [0.66] * 5)
    pooled = power(lab, "e0002", "e0001")
    assert pooled.deviation.df == 6
    assert (pooled.n, pooled.now.n) == ((3, 3), 3)
    assert pooled.now.smallest == pytest.approx(seeds.smallest_seen(3, pooled.deviation.sd))


def test_the_deviation_that_images_tell(lab: Lab) -> None:
    a, b = images_with(10_000, 6600, (400, 400))
    for name, right in (("e0001", a), ("e0002", b)):
        put(lab, name, 42, level(0.66), right={40: right})
    found = power(lab, "e0001", "e0002").deviation
    assert found.sd == pytest.approx(100 * math.sqrt(0.08 / 20_000))
    assert found.source == "one run each: they disagree on 8.0 % of 10,000 images, and seeds are taken to err independently"
    leaning = b.copy()
    leaning[7000::10] = True  # one class gains all it can
    put(lab, "e0002", 42, level(leaning.mean()), right={40: leaning})
    wide = power(lab, "e0001", "e0002").deviation
    assert wide.sd > 3 * found.sd
    assert wide.source == "one run each: they disagree on 11.0 % of 10,000 images, and whole classes move together, 17.2 times as much"
    put(lab, "e0002", 42, level(0.66, noise=0.01, seed=3), right={40: b})
    rough = power(lab, "e0001", "e0002").deviation
    assert 0.5 < rough.sd < 1.5
    assert rough.source.startswith("one run each: how much their last epochs differ among themselves (the images they disagree on tell 0.20)")


def test_a_deviation_from_elsewhere_says_so(lab: Lab) -> None:
    found = power(lab, "e0001", "e0002")
    assert (found.deviation.sd, found.needed_range) == (FALLING_LR, None)
    assert "not from this lab" in found.deviation.source
    lab.new({"scheduler": "none"}, parent="e0001")
    assert power(lab, "e0004", "e0002").deviation.sd == STEADY_LR
    assert power(lab, "e0004", "e0002", difference=0.01).needed is None


def test_what_cannot_be_asked(lab: Lab) -> None:
    with pytest.raises(ZhurnalError, match="e0001 is compared with itself"):
        power(lab, "e0001", "e0001")
    with pytest.raises(ZhurnalError, match="difference is 0, must be above 0 and at most 100 points"):
        power(lab, "e0001", "e0002", difference=0)
    with pytest.raises(ZhurnalError, match="power is 1, must be above 0 and below 1"):
        power(lab, "e0001", "e0002", chance=1)
    with pytest.raises(ZhurnalError, match=r"power is 0\.05, must be above alpha"):
        power(lab, "e0001", "e0002", chance=0.05)
    with pytest.raises(LabError, match="e0009 does not exist"):
        power(lab, "e0001", "e0009")


def test_the_command(lab: Lab) -> None:
    single(lab)
    out = CliRunner().invoke(cli, ["--lab", str(lab.folder), "power", "e0001", "e0002"]).output
    assert out.startswith("seeds differ by a standard deviation of 0.20 points: not from this lab")
    assert "4 seeds each show a difference of 0.5 points between e0001 and e0002, with 80 % power at alpha 0.05\n" in out
    assert "\n         4                               0.48                       84 %\n" in out
    assert "with one run each, seeds cannot show any difference" in out
    assert out.endswith("next: zhurnal repeat e0001,e0002 --seeds 4 && zhurnal run e0001,e0002\n")
    options = ["--difference", "1", "--power", "0.9", "--json"]
    told = json.loads(CliRunner().invoke(cli, ["--lab", str(lab.folder), "power", "e0001", "e0002", *options]).output)
    assert (told["difference"], told["chance"], told["deviation"]["low"], told["observed"]["n"]) == (1.0, 0.9, None, [1, 1])


@pytest.mark.parametrize(("alpha", "chance"), [(0.001, 0.8), (0.005, 0.9), (1e-6, 0.99)])
def test_two_seeds_see_only_what_is_huge_where_little_may_be_wrong(alpha, chance):
    found = seeds.smallest_seen(2, 0.5, alpha=alpha, chance=chance)
    draws = np.random.default_rng(0)
    first, second = draws.normal(0, 0.5, (200_000, 2)), draws.normal(found, 0.5, (200_000, 2))
    t = (second.mean(1) - first.mean(1)) / np.sqrt((first.var(1, ddof=1) + second.var(1, ddof=1)) / 2)
    critical = math.sqrt(2 / (1 - (1 - alpha) ** 2)) * (1 - alpha)  # the quantile of Student's t with two degrees of freedom, in closed form
    assert (t > critical).mean() == pytest.approx(chance, abs=0.005)


def test_an_experiment_whose_file_cannot_be_read_stops_nobody(lab):
    single(lab)
    lab.file("e0003").write_text("nonsense: [")
    assert power(lab, "e0001", "e0002").needed is not None
