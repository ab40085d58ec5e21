"""What a queue is to run: which runs, in which order, what each waits for, and how many processor threads each gets."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.cores import cores
from ..core.errors import RunError
from ..core.experiment import Experiment
from ..store import runs
from ..store.lab import Lab

Key = tuple[str, int]  # an experiment and a seed


@dataclass(frozen=True)
class Job:
    """A run in a queue."""

    experiment: str
    seed: int
    label: str  # e0003, or e0003 seed 43 where the queue has more seeds of it
    num_threads: int  # what its process is given; 0 for PyTorch's default
    takes: int  # processor threads that it will use: those of its settings, or of its beginning, come first
    after: tuple[Key, ...]  # the runs of the queue that it starts from

    @property
    def key(self) -> Key:
        """Its experiment and seed."""
        return self.experiment, self.seed


def runs_of(lab: Lab, names: Sequence[str], num_seeds: int | None = None) -> list[Key]:
    """Return experiment and seed of each run: the experiments' own seeds (`Experiment.seeds`), or `num_seeds` counted up from the first."""
    found: dict[Key, None] = {}
    for experiment in map(lab.experiment, names):
        seeds = experiment.seeds
        found |= {(experiment.name, seed): None for seed in (range(seeds[0], seeds[0] + num_seeds) if num_seeds else seeds)}
    return list(found)


def plan(lab: Lab, names: Sequence[str], *, num_seeds: int | None = None, at_once: int = 1) -> list[Job]:
    """Return the jobs of some experiments, in their order. Of several at once, each gets its part of the processor's cores, at least one thread.

    The part does not depend on what is finished already: a queue that is stopped and run again gives each run the same.

    Raises:
        RunError: `at_once` is less than 1.
        LabError, SettingsError: an experiment is not there, or its file is wrong.
    """
    if at_once < 1:
        raise RunError(f"jobs is {at_once}, must be at least 1: the number of runs at once")
    keys = runs_of(lab, names, num_seeds)
    at_once = min(at_once, len(keys))
    share = threads_of_each(at_once) if at_once > 1 else 0
    num_runs = Counter(name for name, _ in keys)
    found = []
    for name, seed in keys:
        experiment = lab.experiment(name)
        began = runs.read_effective(lab.run_folder(name, seed)).get("num_threads", 0)
        found.append(
            Job(
                experiment=name,
                seed=seed,
                label=name if num_runs[name] == 1 else f"{name} seed {seed}",
                num_threads=share,
                takes=began or experiment.settings.train.num_threads or share or cores(),
                after=_after(lab, experiment, seed, keys),
            )
        )
    return found


def _after(lab: Lab, experiment: Experiment, seed: int, keys: Sequence[Key]) -> tuple[Key, ...]:
    """Return the runs of the queue that an experiment's run starts from.

    Of another experiment it takes the run with its own seed, where the queue or the lab has one, and else the best of all; of a file of best weights
    (`experiments/logs/e0002_model_best.pth`) too. What is finished already needs no waiting.
    """
    found: dict[Key, None] = {}
    weights = experiment.settings.model.weights or ""
    for start in (experiment.continues or "", weights):
        is_file = start.endswith((".pth", ".pt"))
        name = _of_best_weights(lab, start) if is_file else start.partition(":")[0]
        theirs = [key for key in keys if key[0] == name]
        same = [key for key in theirs if key[1] == seed and not is_file]
        if same or is_file or not runs.read(lab.logs, name, seed).finished:
            found |= dict.fromkeys(same or theirs)
    return tuple(key for key in found if key[0] != experiment.name)


def _of_best_weights(lab: Lab, file: str) -> str:
    path = (lab.folder / Path(file)).resolve()
    return path.name.removesuffix("_model_best.pth") if path.parent == lab.logs.resolve() else ""


def threads_of_each(at_once: int) -> int:
    """Return how many processor threads each of so many runs gets; OMP_NUM_THREADS, where it is set, is the most that a process is to have."""
    share = max(1, cores() // at_once)
    most = os.environ.get("OMP_NUM_THREADS", "")
    return min(share, int(most)) if most.isdigit() and int(most) else share
