"""The lab: a folder with `zhurnal.yaml`, experiments, their logs and the journal. Reads and makes experiments; numbers are never given twice.

zhurnal.yaml               title, data folder
experiments/e0039.yaml     an experiment
experiments/logs/          runs, and best weights as e0039_model_best.pth
journal/                   entries, figures
.zhurnal/                  caches; may be deleted at any time
"""

import datetime
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..core import diff, numbers
from ..core.errors import LabError, SettingsError
from ..core.experiment import FILE_KEYS, Experiment
from ..core.settings import Settings, flatten, parse
from ..core.text import did_you_mean, list_names, printable
from . import files, kinds, runs, yamls

CONFIG = "zhurnal.yaml"
LONGEST_QUESTION = 2000

_CONFIG_TEXT = """\
# This folder is a Zhurnal lab.
title: {title}
# Where cifar10, mnist and the like are, from here.
data: data
# The smallest difference in accuracy that matters, in points.
smallest_difference: 0.5
"""
_GITIGNORE = """\
# Caches, weights and locks; the records, the texts and the figures are for git.
.zhurnal/
data/
experiments/logs/**/lock
experiments/logs/**/checkpoints/
experiments/logs/**/predictions/
experiments/logs/**/tensorboard/
*.pt
*.pth
"""


@dataclass(frozen=True)
class Config:
    """What `zhurnal.yaml` says."""

    title: str
    data: str
    smallest_difference: float  # points of accuracy


class Lab:
    """A lab folder.

    Raises:
        LabError: the folder is no lab.
    """

    def __init__(self, folder: str | Path = ".") -> None:
        self.folder = Path(folder).resolve()
        if not (self.folder / CONFIG).is_file():
            raise LabError(f"{self.folder} is no lab: it has no {CONFIG}. Make one with `zhurnal init {Path(folder).name or 'my-lab'}`")
        self._known: dict[str, Experiment] = {}

    @classmethod
    def init(cls, folder: str | Path, title: str = "") -> "Lab":
        """Make a lab in `folder`, which may exist but must not be a lab; return it."""
        home = Path(folder).resolve()
        if (home / CONFIG).exists():
            raise LabError(f"{home} is already a lab: go there and make an experiment with `zhurnal new`")
        if home.exists() and not home.is_dir():
            raise LabError(f"{home} is a file: choose another name for the lab")
        for part in ("experiments/logs", "journal/fig"):
            (home / part).mkdir(parents=True, exist_ok=True)
        if not (home / ".gitignore").exists():
            files.write(home / ".gitignore", _GITIGNORE)
        title = yamls.dump({"title": printable(title or home.name, 200)}).partition(":")[2].strip()
        files.write(home / CONFIG, _CONFIG_TEXT.format(title=title))
        return cls(home)

    @classmethod
    def find(cls, start: str | Path = ".") -> "Lab":
        """Return the lab that `start` is in: the folder itself or the nearest above it."""
        here = Path(start).resolve()
        for folder in (here, *here.parents):
            if (folder / CONFIG).is_file():
                return cls(folder)
        raise LabError(f"{here} is in no lab. Make one with `zhurnal init my-lab`, go into it, or name it: `zhurnal --lab FOLDER ...`")

    # --- where things are ---

    @property
    def logs(self) -> Path:
        """The folder of all runs."""
        return self.folder / "experiments" / "logs"

    @property
    def journal(self) -> Path:
        """The folder of the journal."""
        return self.folder / "journal"

    @property
    def cache(self) -> Path:
        """The folder of caches, which may be deleted at any time."""
        return self.folder / ".zhurnal" / "cache"

    @property
    def data(self) -> Path:
        """The folder of data sets such as cifar10."""
        return self.folder / self.config.data

    @cached_property
    def config(self) -> Config:
        """What `zhurnal.yaml` says."""
        document = yamls.read(self.folder / CONFIG)
        known: dict[str, type | tuple[type, ...]] = {"title": str, "data": str, "smallest_difference": (int, float)}
        problems = [
            f"{document.place(k)}: {k}: unknown key{did_you_mean(k, known) or ';'} keys are {list_names(known)}"
            for k in document.values
            if k not in known
        ]
        problems += [
            f"{document.place(k)}: {k} must be a {'number' if k == 'smallest_difference' else 'text'}"
            for k, kind in known.items()
            if k in document.values and (not isinstance(document.values[k], kind) or isinstance(document.values[k], bool))
        ]
        if problems:
            raise SettingsError(problems)
        found: dict[str, Any] = {"title": self.folder.name, "data": "data", "smallest_difference": 0.5} | document.values
        return Config(found["title"], found["data"], float(found["smallest_difference"]))

    # --- experiments ---

    def names(self) -> list[str]:
        """Return the names of all experiments, by number."""
        found = [f.stem for f in (self.folder / "experiments").glob("e*.yaml") if f.stem[1:].isdigit() and f.stem == numbers.name(int(f.stem[1:]))]
        return sorted(found, key=numbers.number)

    def select(self, text: str) -> list[str]:
        """Return the experiments that a range such as `e0001-e0004,e0007` names; all must exist."""
        wanted = numbers.parse(text)
        have = set(self.names())
        missing = [n for n in wanted if n not in have]
        if missing:
            there = f"there are {numbers.show(have)}" if have else "there is none yet: make one with `zhurnal new`"
            raise LabError(f"{numbers.show(missing)} {'does' if len(missing) == 1 else 'do'} not exist; {there}")
        return wanted

    def file(self, name: str) -> Path:
        """Return the file of an experiment."""
        return self.folder / "experiments" / f"{name}.yaml"

    def experiment(self, name: str) -> Experiment:
        """Return an experiment with its settings resolved through its parents.

        Raises:
            LabError: it, or a parent, does not exist, or the parents run in a circle.
            SettingsError: its file is wrong; all problems of the file at once.
        """
        return self._resolve(numbers.name(numbers.number(name)), ())

    def _resolve(self, name: str, children: tuple[str, ...]) -> Experiment:
        if name in self._known:
            return self._known[name]
        if name in children:
            circle = " -> ".join((*children[children.index(name) :], name))
            raise LabError(f"the parents run in a circle: {circle}. Give one of them other `parent:` in its file")
        if not self.file(name).is_file():
            if children:
                raise LabError(f"{children[-1]}.yaml: parent {name} does not exist; there are {numbers.show(self.names())}")
            self.select(name)
        document = yamls.read(self.file(name))
        values = document.values
        problems = [
            f"{document.place(k)}: {k}: unknown key{did_you_mean(k, FILE_KEYS) or ';'} keys are {list_names(FILE_KEYS)}"
            for k in values
            if k not in FILE_KEYS
        ]
        problems += [
            f"{document.place(k)}: {k} must be a text"
            for k in ("question", "parent", "continue", "series", "created")
            if k in values and not isinstance(values[k], str | None)
        ]
        problems += [
            f"{document.place(k)}: {k} must be keys and values" for k in ("changes", "settings") if not isinstance(values.get(k, {}), dict | None)
        ]
        parent, changes, settings = values.get("parent"), values.get("changes") or {}, values.get("settings") or {}
        if parent and settings:
            problems.append(f"{document.place('settings')}: an experiment has either a parent and changes, or full settings, not both")
        if changes and not parent:
            problems.append(f"{document.place('changes')}: changes need a parent; without one, write full settings")
        if problems:
            raise SettingsError(problems)
        kind = "changes" if parent else "settings"

        def where(key: str) -> str:
            return document.place(kind, key) if (kind, key) in document.lines else document.place(kind, *key.split("."))

        if parent:
            above = self._resolve(numbers.name(numbers.number(parent)), (*children, name))
            applied = diff.apply(above.settings, changes, where, above.name)
            resolved, notes = applied.settings, applied.notes
        else:
            resolved, notes = parse(settings, where), ()
        continues = values.get("continue")
        if continues:
            continues = numbers.name(numbers.number(continues))
            if not self.file(continues).is_file():
                raise LabError(f"{document.place('continue')}: continue {continues} does not exist; there are {numbers.show(self.names())}")
        found = Experiment(
            name=name,
            question=values.get("question") or "",
            parent=numbers.name(numbers.number(parent)) if parent else None,
            continues=continues,
            changes=diff.diff(above.settings, resolved) if parent else {},
            settings=resolved,
            series=values.get("series"),
            created=values.get("created") or "",
            notes=notes,
        )
        self._known[name] = found
        return found

    def new(
        self,
        changes: Mapping[str, Any] | None = None,
        *,
        question: str = "",
        parent: str | None = None,
        continues: str | None = None,
    ) -> Experiment:
        """Make the next experiment and return it.

        Args:
            changes: what differs from the parent, or from the defaults without one; dotted, nested or short form.
            question: what it is to find out.
            parent: the experiment it differs from.
            continues: the experiment whose checkpoint it starts from; also its parent unless one is given.

        Raises:
            LabError: a parent does not exist.
            SettingsError: changes are wrong; nothing is written.
        """
        return self.sweep([changes or {}], question=question, parent=parent, continues=continues)[0]

    def sweep(
        self,
        points: Sequence[Mapping[str, Any]],
        *,
        question: str = "",
        parent: str | None = None,
        continues: str | None = None,
    ) -> list[Experiment]:
        """Make one experiment for each of `points`, as one series with one question; see `new`. All are checked before the first is written."""
        if len(question) > LONGEST_QUESTION:
            raise LabError(
                f"the question has {len(question):,} characters, must have at most {LONGEST_QUESTION:,}: write the rest on the journal page"
            )
        question = printable(question, LONGEST_QUESTION).strip()
        if continues:
            continues = self.experiment(continues).name
            parent = parent or continues
        above = self.experiment(parent) if parent else None
        base = above.settings if above else parse({})
        placed = [kinds.place(p, self.folder) for p in points]
        made = [self._check(diff.apply(base, p, parent_name=above.name if above else "").settings) for p, _ in placed]
        created = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        names: list[str] = []
        contents: list[dict[str, Any]] = []
        for settings in made:
            content: dict[str, Any] = {"question": question}
            if above:
                content |= {"parent": above.name} | ({"continue": continues} if continues else {}) | {"changes": diff.diff(base, settings)}
            else:
                content |= {"settings": settings.to_dict()}
            content["created"] = created
            names.append(self._take_number(yamls.dump(content)))
            contents.append(content)
        if len(names) > 1:
            for name, content in zip(names, contents, strict=True):
                files.write(self.file(name), yamls.dump(content | {"series": numbers.show(names)}))
        found = [self.experiment(n) for n in names]
        return [replace(e, notes=(*e.notes, note)) if note else e for e, (_, note) in zip(found, placed, strict=True)]

    def _check(self, settings: Settings) -> Settings:
        """Check what only the lab can: experiments and files that settings name."""
        weights = settings.model.weights
        if weights and not weights.endswith((".pth", ".pt")):
            experiment, colon, which = weights.partition(":")
            if not colon or which not in ("best", "last"):
                raise SettingsError(
                    [f"model.weights is {weights}, must be an experiment's checkpoint, such as e0031:best or e0031:last, or a .pth file"]
                )
            self.experiment(experiment)
        return settings

    def _take_number(self, text: str) -> str:
        """Write an experiment's file under the next free number and return its name."""
        taken = [numbers.number(n) for n in self.names()]
        taken += [int(f.name[1:]) for f in self.logs.glob("e*") if f.is_dir() and f.name[1:].isdigit()]
        for number in itertools.count(max(taken, default=0) + 1):
            name = numbers.name(number)
            if files.create(self.file(name), text):
                return name
        raise AssertionError

    # --- runs ---

    def run_folder(self, name: str, seed: int) -> Path:
        """Return where the run of an experiment with a seed lives."""
        return runs.folder(self.logs, name, seed)

    def runs(self, name: str) -> list[runs.Run]:
        """Return the runs of an experiment that were started, by seed."""
        return runs.read_all(self.logs, name)

    def facts(self, name: str) -> dict[str, Any]:
        """Return what can make an experiment's results differ: what its runs really got, or, before the first, what its file says."""
        experiment = self.experiment(name)
        for run in self.runs(name):
            if run.effective:
                inside = replace(experiment, settings=parse(run.effective["settings"]))
                sources = {f"{k}.source": v["sha256"][:8] for k, v in run.effective.get("sources", {}).items()}
                return inside.facts() | sources | {"data.fingerprint": run.effective["data"]["fingerprint"][:8]}
        return experiment.facts()


def grid(changes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one set of changes for each combination of the lists in `changes`.

    >>> grid({"optimizer.lr": [0.1, 0.2], "train.epochs": 3})
    [{'optimizer.lr': 0.1, 'train.epochs': 3}, {'optimizer.lr': 0.2, 'train.epochs': 3}]
    """
    lists = [v if isinstance(v, list) else [v] for v in changes.values()]
    return [dict(zip(changes, values, strict=True)) for values in itertools.product(*lists)]


__all__ = ["CONFIG", "Config", "Lab", "flatten", "grid"]
