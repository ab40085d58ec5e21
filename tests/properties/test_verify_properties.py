"""Whatever digit of a generated block or of a record changes, `verify` says so."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers_runs import make_run
from zhurnal.analyze import figures
from zhurnal.report import blocks, entry
from zhurnal.report.verify import verify
from zhurnal.store.lab import Lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Two experiments with short runs and their entry; figures are left out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        patch.setattr(figures, "render", lambda *_: {})
        lab = Lab.init(tmp_path_factory.mktemp("verified") / "lab")
        lab.new({"model": "lenet", "data": "cifar10", "train.epochs": 4}, question="Can it learn?")
        lab.new({"optimizer": "adam", "seeds": [1, 2]}, parent="e0001", question="Is Adam better?")
        for name, seed in (("e0001", 42), ("e0002", 1), ("e0002", 2)):
            make_run(lab, name, seed, test_acc=0.61, log_every=200)
        page = entry.write(lab, lab.names()).path
        text = page.read_text()
        (images,) = [p for p in entry.parse_entry(text) if isinstance(p, blocks.Block) and p.name == "figures"]
        page.write_text(text.replace(blocks.render([images]), ""))  # there are none
        return lab


def _digits(data: bytes, inside: list[tuple[int, int]]) -> list[int]:
    return [i for a, b in inside for i in range(a, b) if data[i : i + 1].isdigit()]


def _places(lab: Lab) -> list[tuple[Path, int]]:
    found = []
    for page in (lab.journal / "README.md", lab.journal / "e0001-e0002.md"):
        data = page.read_bytes()
        spans = [m.span() for m in re.finditer(rb"<!-- zhurnal:begin .*?<!-- zhurnal:end", data, re.DOTALL)]
        found += [(page, i) for i in _digits(data, spans)]
    for record in sorted(lab.logs.rglob("*.jsonl")):
        data = record.read_bytes()
        found += [(record, i) for i in _digits(data, [(0, len(data))])]
    return found


def test_it_holds_before(lab: Lab) -> None:
    found = verify(lab)
    assert found.holds, [str(p) for p in found.problems]
    assert len(_places(lab)) > 1900


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_digit_is_reported(lab: Lab, data: st.DataObject) -> None:
    places = _places(lab)
    pages = [p for p in places if p[0].suffix == ".md"]
    path, at = data.draw(st.sampled_from(pages) | st.sampled_from(places))
    before = path.read_bytes()
    digit = data.draw(st.sampled_from([d for d in b"0123456789" if d != before[at]]))
    path.write_bytes(before[:at] + bytes([digit]) + before[at + 1 :])
    try:
        found = verify(lab)
        assert not found.holds
        file = str(path.relative_to(lab.folder))
        line = before[:at].count(b"\n") + 1
        assert any(p.file == file for p in found.problems), (file, line)
        if path.suffix == ".jsonl":
            assert (file, line) in [(p.file, p.line) for p in found.problems]
    finally:
        path.write_bytes(before)
