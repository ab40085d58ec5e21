"""Sequences of what one does with a lab, drawn by hypothesis, against a model of plain dictionaries: after each step the disk is as the model."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from zhurnal.api import Lab
from zhurnal.core import numbers
from zhurnal.core.errors import LabError
from zhurnal.store import plan

from .forks import killed_at
from .moving import quick_run
from .tally import Tally


class LabMachine(RuleBasedStateMachine):
    """A lab, and a model: what each experiment is made from, its question, its run's state; what is in the trash; which numbers were used."""

    num_steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="machine-"))
        self.patches = [mock.patch.object(os, "fsync", return_value=None), mock.patch.object(Lab, "_refresh", return_value=[])]
        for patch in self.patches:
            patch.start()
        self.made = self.others = 0
        self.model: dict[str, dict[str, Any]] = {}
        self.trash: dict[str, dict[str, Any]] = {}
        self.used: set[str] = set()

    @initialize()
    def begin(self) -> None:
        """Make the lab."""
        self.lab = Lab(Lab.init(self.folder / "lab").folder)
        self.new(None)

    def _pick(self, data: st.DataObject, among: Any) -> str:
        return data.draw(st.sampled_from(sorted(among)))

    def _children(self, name: str) -> list[str]:
        return [n for n, e in self.model.items() if e["parent"] == name]

    def new(self, parent: str | None) -> None:
        """Make an experiment."""
        self.made += 1
        found = self.lab.new({"train.epochs": self.made}, question=f"question {self.made}", parent=parent)
        assert found.name not in self.used
        self.used.add(found.name)
        self.model[found.name] = {"question": f"question {self.made}", "parent": parent, "run": "", "epochs": 0}

    @rule(data=st.data(), child=st.booleans())
    def make(self, data: st.DataObject, child: bool) -> None:
        """Make an experiment, with a parent or without."""
        self.new(self._pick(data, self.model) if child and self.model else None)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), finished=st.booleans())
    def run_or_kill(self, data: st.DataObject, finished: bool) -> None:
        """Run one to its end, go on with one that was killed, or kill it after an epoch more."""
        name = self._pick(data, self.model)
        if self.model[name]["run"] == "finished":
            return
        epochs = self.model[name]["epochs"] + 1
        quick_run(self.lab, name, epochs, finished=finished)
        self.model[name] |= {"run": "finished" if finished else "interrupted", "epochs": epochs}

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        """Remove one; one that others start from is refused."""
        name = self._pick(data, self.model)
        if self._children(name):
            try:
                self.lab.rm([name])
            except LabError:
                return
            raise AssertionError(f"{name} was removed, though others start from it")
        self.lab.rm([name])
        self.trash[name] = self.model.pop(name)

    @precondition(lambda self: self.trash)
    @rule(data=st.data(), as_new=st.booleans())
    def restore(self, data: st.DataObject, as_new: bool) -> None:
        """Bring one back, under its number or a new one; one whose parent is in the trash is refused."""
        name = self._pick(data, self.trash)
        if self.trash[name]["parent"] in self.trash:
            try:
                self.lab.restore([name], under="new" if as_new else None)
            except LabError:
                return
            raise AssertionError(f"{name} was brought back, though {self.trash[name]['parent']}, which it starts from, is in the trash")
        (back,) = self.lab.restore([name], under="new" if as_new else None).names
        assert back == name or back not in self.used
        self.used.add(back)
        self.model[back] = self.trash.pop(name)
        for each in self.trash.values():
            each["parent"] = back if each["parent"] == name else each["parent"]

    @precondition(lambda self: self.model)
    @rule(data=st.data(), at=st.integers(1, 60))
    def renumber_killed(self, data: st.DataObject, at: int) -> None:
        """Give one another number, killed at a change to the disk; the next command finishes it, or it had not begun."""
        name = self._pick(data, self.model)
        target = numbers.name(max(numbers.number(n) for n in self.used) + 1)
        killed_at(at, lambda: self.lab.renumber(name, target))
        plan.finish(self.lab.folder)
        self.lab = Lab(self.lab.folder)
        if name not in self.lab.names():
            self.used.add(target)
            self.model[target] = self.model.pop(name)
            for each in (*self.model.values(), *self.trash.values()):
                each["parent"] = target if each["parent"] == name else each["parent"]

    @precondition(lambda self: self.model and self.others < 3)
    @rule(data=st.data())
    def merge(self, data: st.DataObject) -> None:
        """Bring in a copy of the lab that went its own way: it has an experiment more."""
        self.others += 1
        other = Lab(shutil.copytree(self.lab.folder, self.folder / f"other{self.others}"))
        self.made += 1
        parent = self._pick(data, self.model)
        theirs = other.new({"train.epochs": self.made}, question=f"question {self.made}", parent=parent).name
        quick_run(other, theirs, 1)
        self.new(None)  # takes the same number here
        done = self.lab.merge(other.folder)
        assert done.mapping[theirs] not in self.used
        self.used.add(done.mapping[theirs])
        self.model[done.mapping[theirs]] = {"question": f"question {self.made - 1}", "parent": parent, "run": "finished", "epochs": 1}

    @invariant()
    def disk_is_as_the_model(self) -> None:
        """Compare all there is with the model."""
        LabMachine.num_steps += 1
        if not hasattr(self, "lab"):
            return
        lab = Lab(self.lab.folder)
        found = {}
        for name in lab.names():
            experiment, runs = lab.experiment(name), lab.runs(name)
            run = runs[0] if runs else None
            assert run is None or (run.effective["experiment"] == name and not run.problems)
            told = {"question": experiment.question, "parent": experiment.parent}
            found[name] = told | {"run": run.status if run else "", "epochs": run.num_epochs if run else 0}
        assert found == self.model
        assert {t.name for t in lab.trash()} == set(self.trash)

    def teardown(self) -> None:
        """Remove the lab."""
        for patch in self.patches:
            patch.stop()
        shutil.rmtree(self.folder)


def machine(tally: Tally) -> None:
    """Run `wanted` sequences of up to 30 steps."""
    LabMachine.num_steps = 0
    asked = settings(
        max_examples=tally.wanted,
        stateful_step_count=30,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),  # a sequence that fails is told as it is: to make it shorter would take minutes
    )
    try:
        run_state_machine_as_test(LabMachine, settings=asked)  # type: ignore[no-untyped-call]
    except AssertionError as error:
        tally.count(False, f"the disk is not as the model: {error}")
    tally.count(LabMachine.num_steps > tally.wanted, "no step was taken")
    tally.tried += tally.wanted - 1
    tally.notes.append(f"{LabMachine.num_steps:,} steps compared")
