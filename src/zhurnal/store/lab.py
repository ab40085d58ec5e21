"""The lab: a folder with `zhurnal.yaml`, experiments, their logs and the journal. Reads and makes experiments; numbers are never given twice.

zhurnal.yaml               title, data folder
experiments/e0039.yaml     an experiment
experiments/logs/          runs, and best weights as e0039_model_best.pth
experiments/removed/       numbers that were used once and are not given again
journal/                   entries, figures
.zhurnal/trash/            what `zhurnal rm` took away, for `zhurnal restore`
.zhurnal/cache/            caches; may be deleted at any time
"""

import datetime
import itertools
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core import numbers
from ..core.errors import LabError, SettingsError
from ..core.experiment import FILE_KEYS, Experiment
from ..core.facts import facts_of, flatten
from ..core.text import did_you_mean, list_names, printable, show
from . import config, files, runs, taken, yamls
from .config import CONFIG, Config

if TYPE_CHECKING:  # the schema of settings takes long to import: where results are looked at, the index does without it
    from ..core.settings import Settings

LONGEST_QUESTION = 2000


class Lab:
    """A lab folder.

    Raises:
        LabError: the folder is no lab.
    """

    def __init__(self, folder: str | Path = ".") -> None:
        self.folder = Path(folder).resolve()
        if not (self.folder / CONFIG).is_file():
            raise LabError(f"{self.folder} is no lab: it has no {CONFIG}. Make one with `zhurnal init {Path(folder).name or 'my-lab'}`")
        self._known: dict[str, tuple[tuple[int, int], Experiment | None, Experiment]] = {}  # name -> file's state, parent, experiment

    @classmethod
    def init(cls, folder: str | Path, title: str = "") -> "Lab":
        """Make a lab in `folder`, which may exist but must not be a lab; return it."""
        home = Path(folder).resolve()
        if (home / CONFIG).exists():
            raise LabError(f"{home} is already a lab: go there and make an experiment with `zhurnal new`")
        if home.exists() and not home.is_dir():
            raise LabError(f"{home} is a file: choose another name for the lab")
        made = [folder for folder in (home, home / "experiments", home / "journal") if not folder.exists()]
        try:
            for part in ("experiments/logs", "journal/fig"):
                (home / part).mkdir(parents=True, exist_ok=True)
            for name, text in ((".gitignore", config.GITIGNORE), (".gitattributes", config.GITATTRIBUTES)):
                if not (home / name).exists():
                    files.write(home / name, text)
            title = yamls.dump({"title": printable(title or home.name, 200)}).partition(":")[2].strip()
            files.write(home / CONFIG, config.TEXT.format(title=title))
        except OSError:
            for folder in made:
                shutil.rmtree(folder, ignore_errors=True)
            raise
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
        return config.read(self.folder)

    # --- experiments ---

    def names(self) -> list[str]:
        """Return the names of all experiments, by number."""
        try:
            with os.scandir(self.folder / "experiments") as entries:
                stems = [f.name[:-5] for f in entries if f.name.endswith(".yaml")]
        except FileNotFoundError:
            return []
        found = {n: s for s in stems if s[:1] == "e" and s[1:].isdecimal() and s.isascii() and s == numbers.name(n := int(s[1:]))}
        for name in (found[n] for n in (min(found, default=1), max(found, default=1)) if n in found):
            numbers.number(name)  # raises where it is out of range
        return [found[n] for n in sorted(found)]

    def select(self, text: str) -> list[str]:
        """Return the experiments that a range such as `e0001-e0004,e0007` names; all must exist."""
        wanted = numbers.parse(text)
        have = set(self.names())
        missing = [n for n in wanted if n not in have]
        if missing:
            there = f"there are {numbers.show(have)}" if have else "there is none yet: make one with `zhurnal new`"
            gone = taken.whereabouts(self.folder, missing)
            raise LabError(f"{numbers.show(missing)} {'does' if len(missing) == 1 else 'do'} not exist; {gone}{there}")
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
        if (known := self._cached(name)) is not None:
            return known
        if name in children:
            circle = " -> ".join((*children[children.index(name) :], name))
            raise LabError(f"the parents run in a circle: {circle}. Give one of them other `parent:` in its file")
        if not self.file(name).is_file():
            if children:
                raise LabError(f"{children[-1]}.yaml: parent {name} does not exist; there are {numbers.show(self.names())}")
            self.select(name)
        from ..core import diff
        from ..core.settings import parse

        document = yamls.read(self.file(name))
        values = document.values
        problems = [
            f"{document.place(k)}: {printable(k, 100)}: unknown key{did_you_mean(k, FILE_KEYS) or ';'} keys are {list_names(FILE_KEYS)}"
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
        repeat = values.get("repeat", 1)
        if not isinstance(repeat, int) or isinstance(repeat, bool) or not 1 <= repeat <= 1000:
            problems.append(f"{document.place('repeat')}: repeat is {show(repeat)}, must be a whole number of seeds from 1 to 1,000")
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
        continues = values.get("continue", above.continues if parent else None)
        if continues in (None, "none"):
            continues = None
        else:
            continues = self._start(continues, document.place("continue"), "continue", (*children, name))
        weights = resolved.model.weights
        if weights and not weights.endswith((".pth", ".pt")):
            start, colon, which = weights.partition(":")
            start = self._start(start, where("model.weights"), "model.weights", (*children, name))
            resolved = replace(resolved, model=resolved.model.model_copy(update={"weights": f"{start}{colon}{which}"}))
        found = Experiment(
            name=name,
            question=printable(values.get("question") or "", LONGEST_QUESTION),
            parent=numbers.name(numbers.number(parent)) if parent else None,
            continues=continues,
            changes=diff.diff(above.settings, resolved) if parent else {},
            values=resolved.to_dict(),
            series=printable(values["series"], 200) if values.get("series") else None,
            created=printable(values.get("created") or "", 100),
            notes=notes,
            repeat=repeat,
        )
        found.__dict__["settings"] = resolved
        self._known[name] = (self._state(name), above if parent else None, found)
        return found

    def _state(self, name: str) -> tuple[int, int]:
        state = self.file(name).stat()
        return state.st_mtime_ns, state.st_size

    def _cached(self, name: str) -> Experiment | None:
        """Return an experiment that was resolved before, if neither its file nor a parent's changed since."""
        if name not in self._known or not self.file(name).is_file():
            return None
        state, above, found = self._known[name]
        fresh = state == self._state(name) and (above is None or self._cached(above.name) is above)
        return found if fresh else None

    def forget(self, names: Sequence[str]) -> None:
        """Drop what is kept of experiments whose files were moved, here and in the index."""
        from .index import NAME, Index

        self._known.clear()
        if (self.cache / NAME).is_file():
            index = Index(self.cache / NAME)
            index.forget(names)
            index.close()

    def missing(self, experiment: Experiment) -> list[str]:
        """Return a sentence for each file that an experiment names and that is not there yet; a run would stop at it."""
        from ..core.settings import is_own, split_own

        settings = experiment.settings
        weights = settings.model.weights if (settings.model.weights or "").endswith((".pth", ".pt")) else None
        named = {"data.path": settings.data.path, "model.weights": weights}
        parts = {"model": settings.model.name, "optimizer": settings.optimizer.name, "loss": settings.loss.name}
        named |= {section: split_own(name)[0] for section, name in parts.items() if is_own(name)}
        gone = {key: path for key, path in named.items() if path and not (self.folder / files.expand(path)).exists()}
        return [f"note: {key}: {path} is not there yet (seen from {self.folder})" for key, path in gone.items()]

    def _start(self, text: str, place: str, key: str, children: tuple[str, ...]) -> str:
        """Return the name of the experiment that another starts from; it must exist, and must not start from that one in turn."""
        start = numbers.name(numbers.number(text))
        if not self.file(start).is_file():
            raise LabError(f"{place}: {key} {start} does not exist; there are {numbers.show(self.names())}")
        if start in children:
            circle = " -> ".join((*children[children.index(start) :], start))
            raise LabError(f"{place}: {key} {start} starts from this experiment in turn ({circle}): give one of them another start")
        self._resolve(start, children)
        return start

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
        from ..core import diff
        from ..core.settings import parse
        from . import kinds

        if len(question) > LONGEST_QUESTION:
            raise LabError(
                f"the question has {len(question):,} characters, must have at most {LONGEST_QUESTION:,}: write the rest on the journal page"
            )
        question = printable(question, LONGEST_QUESTION).strip()
        if continues not in (None, "none"):
            continues = self.experiment(continues).name
            parent = parent or continues
        above = self.experiment(parent) if parent else None
        base = above.settings if above else parse({})
        if len(points) > 1 and len({diff.assignments(diff.expand(p)) for p in points}) < len(points):
            raise LabError("two experiments of the sweep would be the same: give each value once")
        placed = [kinds.place(p, self.folder) for p in points]
        made = [self._check(diff.apply(base, p, parent_name=above.name if above else "").settings) for p, _ in placed]
        created = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        contents: list[dict[str, Any]] = []
        for settings in made:
            content: dict[str, Any] = {"question": question}
            if above:
                content |= {"parent": above.name} | ({"continue": continues} if continues else {}) | {"changes": diff.diff(base, settings)}
            else:
                content |= {"settings": settings.to_dict()}
            contents.append(content | {"created": created})
        found = [self.experiment(n) for n in taken.take(self, contents)]
        return [replace(e, notes=(*e.notes, note)) if note else e for e, (_, note) in zip(found, placed, strict=True)]

    def _check(self, settings: "Settings") -> "Settings":
        """Check what only the lab can: experiments and files that settings name."""
        weights = settings.model.weights
        if weights and not weights.endswith((".pth", ".pt")):
            experiment, colon, which = weights.partition(":")
            if not colon or which not in ("best", "last"):
                raise SettingsError(
                    [f"model.weights is {weights}, must be an experiment's checkpoint, such as e0031:best or e0031:last, or a .pth file"]
                )
            name = self.experiment(experiment).name
            settings = replace(settings, model=settings.model.model_copy(update={"weights": f"{name}:{which}"}))
        return settings

    # --- runs ---

    def edited(self, name: str) -> dict[str, Any]:
        """Return the changes made in an experiment's file since its first run began, those that could change a result; usually none."""
        return edited(self.experiment(name), self.runs(name))

    def run_folder(self, name: str, seed: int) -> Path:
        """Return where the run of an experiment with a seed lives."""
        return runs.folder(self.logs, numbers.name(numbers.number(name)), seed)

    def runs(self, name: str) -> list[runs.Run]:
        """Return the runs of an experiment that were started, by seed."""
        return runs.read_all(self.logs, numbers.name(numbers.number(name)))

    def facts(self, name: str) -> dict[str, Any]:
        """Return what can make an experiment's results differ: what its runs really got, or, before the first, what its file says."""
        return facts(self.experiment(name), self.runs(name))


def facts(experiment: Experiment, found: Sequence[runs.Run]) -> dict[str, Any]:
    """Return what can make the results of an experiment with these runs differ; see `Lab.facts`."""
    ran = next((run for run in found if run.facts), None)
    return experiment.facts() if ran is None else ran.facts | {"continue": experiment.continues} | ran.fingerprints


def edited(experiment: Experiment, found: Sequence[runs.Run]) -> dict[str, Any]:
    """Return the changes made in the file of an experiment with these runs; see `Lab.edited`."""
    ran = next((run for run in found if run.facts), None)
    if ran is None or ran.facts == facts_of(experiment.values):
        return {}
    from ..core import diff
    from ..core.settings import parse

    changed = diff.diff(parse(ran.effective["settings"]), experiment.settings)
    return {k: v for k, v in changed.items() if k not in diff.SPEED_ONLY}


def grid(changes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one set of changes for each combination of the lists in `changes`.

    >>> grid({"optimizer.lr": [0.1, 0.2], "train.epochs": 3})
    [{'optimizer.lr': 0.1, 'train.epochs': 3}, {'optimizer.lr': 0.2, 'train.epochs': 3}]
    """
    lists = [v if isinstance(v, list) else [v] for v in changes.values()]
    return [dict(zip(changes, values, strict=True)) for values in itertools.product(*lists)]


__all__ = ["CONFIG", "Config", "Lab", "flatten", "grid"]
