"""What is said of real runs that do not differ, and of real runs that do: LeNet, six seeds each.

    python benchmarks/real_seeds.py --data cifar10.zip --lab seeds-lab             # trains 24 runs, then prints the table; stop it, run it again
    python benchmarks/real_seeds.py --data cifar10.zip --lab seeds-lab --write     # and writes benchmarks/results/real_seeds.md

Four experiments: e0001 and e0002 have the same settings and other seeds; e0003 (crops and flips) and e0004 (a smaller learning rate) differ from
them. All are trained through `zhurnal.Lab`, on a part of the training images, and validated on the test images, with a learning rate that falls to
zero.

Of the runs that do not differ, every pair of two seeds of one setting is compared as two experiments of one run each would be (15 pairs a setting,
and 36 of the two equal settings), every way to part six seeds into three and three (10 a setting), and the two equal settings with six seeds each.
What must come out: nothing is called supported, and of 15 pairs at most one suggestive. The comparison gets no help from the lab's other seeds, as in
a lab that has none.
"""

import argparse
import itertools
import os
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import measure

from zhurnal.analyze import summary
from zhurnal.analyze.comparing import compare_two
from zhurnal.analyze.observation import CLAIMED, STRENGTHS, Observation
from zhurnal.analyze.settled import mean_settled
from zhurnal.analyze.summary import Summary
from zhurnal.api import Lab
from zhurnal.store.lab import CONFIG

SEEDS = 6
FIRST, OTHER = 42, 142  # the equal settings have other seeds: with the same ones they would be the same runs
MOST_SUGGESTIVE = 15  # one of so many pairs that do not differ


class Outcome(NamedTuple):
    """What was said of some comparisons of one kind."""

    what: str
    equal: bool  # whether the runs have the same settings
    n: str
    strengths: Counter[str]

    @property
    def claimed(self) -> int:
        """How many of them a reader would build on."""
        return sum(self.strengths[s] for s in CLAIMED)


def make(folder: Path, data: Path, images: int, epochs: int) -> Lab:
    """Make the lab, or take up the one that is there.

    Raises:
        SystemExit: the lab there has other settings.
    """
    base = {
        "model": "lenet", "data": str(data), "data.validation": "test", "data.subset": images, "train.epochs": epochs, "scheduler": "cosine",
        "optimizer.lr": 0.01, "train.num_threads": 1, "train.tensorboard": False,
    }  # fmt: skip
    if not (folder / CONFIG).is_file():
        lab = Lab(Lab.init(folder, "Real seeds").folder)
        lab.new(base | {"seeds": _seeds(FIRST)}, question="LeNet")
        lab.new({"seeds": _seeds(OTHER)}, parent="e0001", question="The same with other seeds")
        lab.new({"data.transform": "augment_simple"}, parent="e0001", question="Crops and flips")
        lab.new({"optimizer.lr": 0.002}, parent="e0001", question="A smaller learning rate")
    lab = Lab(folder)
    values = lab.experiment("e0001").values
    there = (values["data"]["subset"], values["train"]["epochs"])
    if there != (images, epochs) or len(lab.names()) != 4:
        raise SystemExit(f"{folder} is a lab of {there[0]} images and {there[1]} epochs, asked for are {images} and {epochs}: name another --lab")
    return lab


def _seeds(first: int) -> list[int]:
    return list(range(first, first + SEEDS))


def part(s: Summary, seeds: Iterable[int]) -> Summary:
    """Return an experiment as if it had only the runs with these seeds."""
    runs = tuple(r for r in s.counted if r.seed in set(seeds))
    experiment = replace(s.experiment, values={**s.experiment.values, "seeds": [r.seed for r in runs]})
    return replace(s, experiment=experiment, runs=runs, counted=runs)


def outcomes(told: dict[str, Summary], smallest: float) -> list[Outcome]:
    """Return what is said of equal and of differing runs, at n of 1, 3 and 6."""

    def say(what: str, equal: bool, n: str, found: Iterable[tuple[Summary, Summary]]) -> Outcome:
        said: list[Observation] = [compare_two(a, b, smallest=smallest) for a, b in found]
        return Outcome(what, equal, n, Counter(o.strength for o in said))

    found = []
    for name, s in told.items():
        seeds = [r.seed for r in s.counted]
        pairs = [(part(s, [a]), part(s, [b])) for a, b in itertools.combinations(seeds, 2)]
        halves = [(part(s, half), part(s, set(seeds) - set(half))) for half in itertools.combinations(seeds, SEEDS // 2) if seeds[0] in half]
        found += [say(f"seeds of {name}", True, "1", pairs), say(f"seeds of {name}", True, "3", halves)]
    first, second = told["e0001"], told["e0002"]
    across = [(part(first, [a.seed]), part(second, [b.seed])) for a in first.counted for b in second.counted]
    found += [say("e0001 and e0002, equal", True, "1", across), say("e0001 and e0002, equal", True, "6", [(first, second)])]
    for name in ("e0003", "e0004"):
        first, second = told["e0001"], told[name]
        seeds = [r.seed for r in first.counted]
        found.append(say(f"e0001 and {name}", False, "1", [(part(first, [k]), part(second, [k])) for k in seeds]))
        found.append(say(f"e0001 and {name}", False, "3", [(part(first, seeds[i : i + 3]), part(second, seeds[i : i + 3])) for i in (0, 3)]))
        found.append(say(f"e0001 and {name}", False, "6", [(first, second)]))
    return found


def page(told: dict[str, Summary], found: list[Outcome], quick: bool, load: float) -> str:
    """Return the results as Markdown."""
    lines = ["# What is said of real runs\n", measure.quick_note(quick) + f"`{measure.command()}`; {measure.machine(load)}.\n"]
    lines += ["| experiment | question | mean of the last epochs, % | standard deviation | n |", "|---|---|--:|--:|--:|"]
    for s in told.values():
        values = [100 * mean_settled(part(s, [r.seed])) for r in s.counted]
        spread = summary.Spread(tuple(values))
        lines.append(f"| {s.name} | {s.experiment.question} | {spread.mean:.2f} | {spread.sd or 0:.2f} | {spread.n} |")
    heads = [s for s in STRENGTHS if s != "observed"]
    lines += ["", f"| compared | seeds each | comparisons | {' | '.join(heads)} |", "|---|--:|--:|" + "--:|" * len(heads)]
    lines += [f"| {o.what} | {o.n} | {o.strengths.total()} | " + " | ".join(str(o.strengths[h]) for h in heads) + " |" for o in found]
    equal = [o for o in found if o.equal]
    claimed = sum(o.claimed for o in equal)
    lines += [
        "",
        f"Supported or strong among runs that do not differ: {claimed} of {sum(o.strengths.total() for o in equal)} comparisons; must be 0.  ",
    ]
    for o in (o for o in equal if o.n == "1"):
        most = o.strengths.total() // MOST_SUGGESTIVE
        lines.append(f"Suggestive among {o.what}, one run each: {o.strengths['suggestive']} of {o.strengths.total()} pairs; at most {most}.  ")
    return "\n".join(lines) + "\n"


def holds(found: list[Outcome]) -> bool:
    """Return whether what must come out does."""
    equal = [o for o in found if o.equal]
    return not any(o.claimed for o in equal) and all(o.strengths["suggestive"] <= o.strengths.total() // MOST_SUGGESTIVE for o in equal if o.n == "1")


def main() -> None:
    """Train what is not trained yet, compare, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="a folder or zip with train/<class>/* and test/<class>/*")
    parser.add_argument("--lab", type=Path, required=True, help="the lab: made where it is not there, taken up where it is")
    parser.add_argument("--images", type=int, default=10_000, help="training images (default 10,000)")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of a run (default 20)")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once")
    parser.add_argument("--quick", action="store_true", help="a trial on generated images")
    parser.add_argument("--write", action="store_true", help="write results/real_seeds.md")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    data, images, epochs = options.data, options.images, options.epochs
    if options.quick:
        images, epochs = 200, 5
        data = options.lab.parent / f"{options.lab.name}-images.npz"
        if not data.exists():
            measure.write_arrays(None, data, images, 100)
    elif data is None:
        parser.error("--data is missing: a folder or zip with train/<class>/* and test/<class>/* (or --quick for a trial)")
    lab = make(options.lab, data.resolve(), images, epochs)
    for name in lab.names():
        measure.tell(f"{name}: {lab.experiment(name).question}")
        if options.jobs > 1:
            lab.run_all([name], jobs=options.jobs)
        else:
            for seed in lab.experiment(name).seeds:
                lab.run(name, seed)
                measure.tell(f"  seed {seed}")
    told = {s.name: s for s in summary.read_all(lab, lab.names())}
    found = outcomes(told, lab.config.smallest_difference)
    measure.publish(page(told, found, options.quick, load), "real_seeds.md", options.write)
    if not holds(found) and not options.quick:
        sys.exit(1)


if __name__ == "__main__":
    main()
