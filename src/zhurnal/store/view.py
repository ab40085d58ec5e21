"""A lab as it is while somebody looks at it: experiments and runs, from the index where their files are unchanged, else from the files.

Promises: what a view returns is what `Lab.experiment` and `Lab.runs` return. A row of the index is used only where every file it was made from has
the modification time, change time, size and inode it had; and it is kept only where these are so old that a later change must show in them
(`SETTLED_NS`: clocks of file systems are coarse). Whether a run lives is in no file: its lock is asked each time.

    experiment  its file, and those of the experiments it is made from or starts from
    run         record.jsonl, events.jsonl, effective.json
    line        all of these, and the folder of its runs: made by `analyze/listing.py`
    defaults    no file: what the schema says of a part
"""

import os
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import orjson

from ..core.errors import ZhurnalError
from ..core.experiment import Experiment
from ..core.facts import NAMED, Defaults, flatten
from . import lab as labs
from . import runs
from .index import NAME, Index
from .lab import Lab
from .runs import Run

SETTLED_NS = 2_000_000_000  # FAT tells even seconds only
clock = time.time_ns
State = tuple[int, int, int, int]  # of a file: modified, changed (nanoseconds), bytes, inode; zeros where there is none
_stat = os.stat  # called for every file of the lab: a Path takes twice as long
_FIVE = struct.Struct("<" + "qqqQ" * 5).pack
_PACKS: dict[int, struct.Struct] = {}
_FILES = ("record.jsonl", "events.jsonl", "effective.json")
_RUN_FIELDS = (
    "status", "reason", "num_epochs", "best", "last", "not_finite_since", "seconds", "images_per_second", "total_seconds", "test", "end", "step",
    "started", "stopped", "warnings", "problems",
)  # fmt: skip
_EXPERIMENT_FIELDS = ("name", "question", "parent", "continues", "changes", "values", "series", "created", "notes", "repeat")


class View:
    """What one looks at; made by `look`."""

    def __init__(self, lab: Lab, index: Index) -> None:
        self.lab = lab
        self.index = index
        self._experiments_folder = str(lab.folder / "experiments")
        self._logs = str(lab.logs)
        self._since = clock() - SETTLED_NS  # what was changed later than this is not settled
        self._states: dict[str, State] = {}  # experiment -> state of its file
        self._looked_up: dict[str, bytes] = {}  # experiment -> digest of its signature as the index has it
        self._true: dict[str, bytes | None] = {}  # experiment -> signature, from the experiments that it really starts from; none: not settled
        self._experiments: dict[str, Experiment] = {}
        self._runs: dict[str, list[Run]] = {}
        self._defaults: dict[tuple[str, str | None], Defaults] = {}

    # --- what there is ---

    def experiment(self, name: str) -> Experiment:
        """Return an experiment; see `Lab.experiment`."""
        if name not in self._experiments:
            self._experiments[name] = self._kept_experiment(name) or self._read_experiment(name)
        return self._experiments[name]

    def runs(self, name: str) -> list[Run]:
        """Return the runs of an experiment that were started, by seed."""
        if name not in self._runs:
            self._runs[name] = [self._run(name, seed) for seed in runs.seeds(self.lab.logs, name)]
        return self._runs[name]

    def release(self, name: str) -> None:
        """Let go of the runs of an experiment: of thousands, only what is told of them stays in memory."""
        self._runs.pop(name, None)

    def facts(self, name: str) -> dict[str, Any]:
        """Return what can make an experiment's results differ; see `Lab.facts`."""
        return labs.facts(self.experiment(name), self.runs(name))

    def edited(self, name: str) -> dict[str, Any]:
        """Return the changes made in an experiment's file since its first run began; see `Lab.edited`."""
        return labs.edited(self.experiment(name), self.runs(name))

    def defaults(self, section: str, name: str | None) -> Defaults:
        """Return the options of a part that were not given any; see `core.settings.defaults`."""
        if (section, name) not in self._defaults:
            self._defaults[section, name] = self._find_defaults(section, name)
        return self._defaults[section, name]

    # --- experiments ---

    def _kept_experiment(self, name: str) -> Experiment | None:
        row = self.index.row("experiment", name)
        if row is None:
            return None
        kept = orjson.loads(row[1])
        experiment = Experiment(**kept | {"notes": tuple(kept["notes"])})
        return experiment if self.signature(name, experiment.starts) == row[0] else None

    def _read_experiment(self, name: str) -> Experiment:
        self._state(name)  # before it is read: a change that comes in between shows the next time
        experiment = self.lab.experiment(name)
        self._experiments[name] = experiment
        signature = self._true_signature(name)
        if signature is not None and not _of_a_package(flatten(experiment.values)):
            self._keep("experiment", name, signature, _dumps({field: _plain(getattr(experiment, field)) for field in _EXPERIMENT_FIELDS}))
        return experiment

    def signature(self, name: str, starts: Sequence[str]) -> bytes:
        """Return the signature to look up: that of an experiment's file and of those that it starts from, by what the index knows of these."""
        return pack(self._state(name)) + b"".join([self._digest(start) for start in starts])

    def _digest(self, name: str) -> bytes:
        if name not in self._looked_up:
            self._looked_up[name] = b""  # a circle has no signature that was ever kept
            row = self.index.row("experiment", name)
            if row is not None:
                kept = orjson.loads(row[1])
                starts = Experiment(**kept).starts
                self._looked_up[name] = _condense(self.signature(name, starts))
            elif (signature := self._signature_of_file(name)) is not None:
                self._looked_up[name] = _condense(signature)
        return self._looked_up[name]

    def _signature_of_file(self, name: str) -> bytes | None:
        try:
            self.experiment(name)
        except ZhurnalError:
            return None
        return self._true_signature(name)

    def _true_signature(self, name: str) -> bytes | None:
        """Return the signature to keep something under; none where a file was changed too lately."""
        if name not in self._true:
            state = self._state(name)
            digests: list[bytes] = []
            for start in self.experiment(name).starts:
                signature = self._true_signature(start)
                if signature is None:
                    break
                digests.append(_condense(signature))
            else:
                self._true[name] = pack(state) + b"".join(digests) if self.settled(state) else None
            self._true.setdefault(name, None)
        return self._true[name]

    def _state(self, name: str) -> State:
        if name not in self._states:
            self._states[name] = state_of(f"{self._experiments_folder}/{name}.yaml")
        return self._states[name]

    def settled(self, *states: State) -> bool:
        """Return whether files were last changed so long ago that another change must show."""
        return all(s[0] < self._since and s[1] < self._since for s in states)

    # --- runs ---

    def _run(self, name: str, seed: int) -> Run:
        states = [state_of(f"{self._logs}/{name}/s{seed}/{file}") for file in _FILES]
        signature = pack(*states)
        row = self.index.row("run", f"{name}/s{seed}")
        if row is not None and row[0] == signature:
            found = _run_of(orjson.loads(row[1]), self.lab.logs, name, seed)
            return found.running() if found.status != "finished" and runs.is_locked(found.folder) else found
        found = runs.read(self.lab.logs, name, seed)
        if found.status != "running" and self.settled(*states):
            self._keep("run", f"{name}/s{seed}", signature, _run_value(found))
        return found

    # --- lines, one for each experiment, which `analyze/listing.py` makes ---

    def line_signature(self, name: str, starts: Sequence[str], seeds: Sequence[int]) -> bytes:
        """Return the signature to look up: of everything that a line about an experiment is made from."""
        digests = b"".join([self._digest(start) for start in starts])
        if len(seeds) != 1:
            return pack(self._state(name), *self._line_states(name, seeds)) + digests
        run = f"{self._logs}/{name}/s{seeds[0]}"  # the common case, spelt out: with thousands of lines this is what takes the time
        try:
            a, b = _stat(f"{self._experiments_folder}/{name}.yaml"), _stat(f"{self._logs}/{name}")
            c, d, e = _stat(run + "/record.jsonl"), _stat(run + "/events.jsonl"), _stat(run + "/effective.json")
        except OSError:
            return pack(self._state(name), *self._line_states(name, seeds)) + digests
        return _FIVE(
            a.st_mtime_ns, a.st_ctime_ns, a.st_size, a.st_ino, b.st_mtime_ns, b.st_ctime_ns, b.st_size, b.st_ino,
            c.st_mtime_ns, c.st_ctime_ns, c.st_size, c.st_ino, d.st_mtime_ns, d.st_ctime_ns, d.st_size, d.st_ino,
            e.st_mtime_ns, e.st_ctime_ns, e.st_size, e.st_ino,
        ) + digests  # fmt: skip

    def true_line_signature(self, name: str) -> bytes | None:
        """Return the signature to keep a line under, taken before its experiment is read; none where it should not be kept."""
        states = self._line_states(name, runs.seeds(self.lab.logs, name))
        above = self._true_signature(name)
        if above is None or not self.settled(*states) or _of_a_package(flatten(self.experiment(name).values)):
            return None
        own = pack(self._state(name))
        return own + pack(*states) + above[len(own) :]

    def _line_states(self, name: str, seeds: Sequence[int]) -> list[State]:
        home = f"{self._logs}/{name}"
        return [state_of(home), *(state_of(f"{home}/s{seed}/{file}") for seed in seeds for file in _FILES)]

    def held(self, name: str, seeds: Sequence[int]) -> bool:
        """Return whether a living process holds one of these runs."""
        return any(runs.is_locked(runs.folder(self.lab.logs, name, seed)) for seed in seeds)

    # --- the schema ---

    def _find_defaults(self, section: str, name: str | None) -> Defaults:
        key = f"{section}:{name}"
        if (row := self.index.row("defaults", key)) is not None:
            return Defaults(**orjson.loads(row[1]))
        from ..core import settings

        found = settings.defaults(section, name)
        if name is None or settings.is_builtin(section, name):
            self._keep("defaults", key, b"", _dumps({"values": dict(found.values), "builtin": found.builtin}))
        return found

    def _keep(self, kind: str, name: str, signature: bytes, value: bytes | None) -> None:
        """Let the index keep a value; none is one that cannot be kept."""
        if value is not None:
            self.index.put(kind, name, signature, value)


@contextmanager
def look(lab: Lab) -> Iterator[View]:
    """Look at a lab: what is read is kept in the index for the next time."""
    view = View(lab, Index(lab.cache / NAME))
    try:
        yield view
    finally:
        view.index.close()


# --- states of files, as bytes ---


def state_of(path: str) -> State:
    """Return the state of a file or folder."""
    try:
        s = _stat(path)
    except OSError:
        return 0, 0, 0, 0
    return s.st_mtime_ns, s.st_ctime_ns, s.st_size, s.st_ino


def pack(*states: State) -> bytes:
    """Return states as bytes."""
    if (packer := _PACKS.get(len(states))) is None:
        packer = _PACKS[len(states)] = struct.Struct("<" + "qqqQ" * len(states))
    return packer.pack(*chain.from_iterable(states))


def _condense(signature: bytes) -> bytes:
    from hashlib import blake2b

    return blake2b(signature, digest_size=16).digest()


# --- what is kept, as bytes ---


def _dumps(values: Mapping[str, Any]) -> bytes | None:
    """Return values as JSON; none where they would not come back the same."""
    try:
        data = orjson.dumps(values)
    except TypeError:
        return None
    return data if orjson.loads(data) == values else None


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else dict(value) if isinstance(value, Mapping) else value


def _run_value(run: Run) -> bytes | None:
    try:
        facts, fingerprints = run.facts, run.fingerprints
    except (ZhurnalError, KeyError, TypeError, AttributeError):  # of another version, or edited: whoever asks for them is told
        return None
    if facts and _of_a_package(facts):
        return None
    return _dumps({field: _plain(getattr(run, field)) for field in _RUN_FIELDS} | {"facts": facts, "fingerprints": fingerprints})


def _run_of(kept: dict[str, Any], logs: Path, name: str, seed: int) -> Run:
    facts, fingerprints = kept.pop("facts"), kept.pop("fingerprints")
    for field in ("best", "seconds", "images_per_second", "warnings", "problems"):
        kept[field] = tuple(kept[field]) if kept[field] is not None else None
    found = Run(experiment=name, seed=seed, folder=runs.folder(logs, name, seed), **kept)
    found.__dict__.update(facts=facts, fingerprints=fingerprints)
    return found


def _of_a_package(facts: Mapping[str, Any]) -> bool:
    """Return whether settings name a part of an installed package: whether they can be read depends on more than the lab's files."""
    from ..core.settings import TRANSFORMS, is_builtin

    transform = facts.get("data.transform")
    return any(str(facts.get(f"{s}.name")).isidentifier() and not is_builtin(s, facts.get(f"{s}.name")) for s in NAMED) or (
        isinstance(transform, str) and transform.isidentifier() and transform not in TRANSFORMS
    )


__all__ = ["SETTLED_NS", "View", "look"]
