"""Every kind of observation, built in or of a package: yields Observations that name their experiments and strength, and nothing of nothing."""

import sys
import types

import pytest

from helpers_runs import make_lab
from zhurnal.analyze import observations, summary
from zhurnal.analyze.observation import STRENGTHS, Observation
from zhurnal.analyze.observations import KINDS, Known
from zhurnal.core import plugins
from zhurnal.core.errors import ZhurnalError


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    lab = make_lab(tmp_path_factory.mktemp("observed") / "lab")
    return summary.read_all(lab, lab.names())


@pytest.mark.parametrize("kind", list(KINDS))
def test_each_kind_keeps_its_promises(told, kind):
    found = list(KINDS[kind](told, Known()))
    assert list(KINDS[kind]([], Known())) == []
    for o in found:
        assert o.strength in STRENGTHS
        assert o.sentence.endswith(".")
        assert o.experiments
        assert set(o.experiments) <= {s.name for s in told}
        assert o.interval is None or o.interval[0] <= o.interval[1]
        assert o.p is None or 0 <= o.p <= 1
    assert found == list(KINDS[kind](told, Known())), "the same of the same"


def bring(monkeypatch, function):
    module = types.ModuleType("a_package")
    module.observe = function
    monkeypatch.setitem(sys.modules, "a_package", module)
    monkeypatch.setattr(plugins, "names", lambda section: ["mine"] if section == "observation" else [])
    monkeypatch.setattr(plugins, "find", lambda section, name: plugins.Plugin("mine", "a_package:observe", "a-package", "1.0"))


def test_a_package_brings_its_own(told, monkeypatch):
    bring(monkeypatch, lambda told, known: [Observation("mine", "Mine.", "observed", (told[0].name,))])
    assert [o.sentence for o in observations.observe(told) if o.kind == "mine"] == ["Mine."]


def test_a_package_that_yields_something_else_is_named(told, monkeypatch):
    bring(monkeypatch, lambda told, known: ["a text"])
    with pytest.raises(ZhurnalError, match="observation 'mine' of an installed package yields str"):
        observations.observe(told)
