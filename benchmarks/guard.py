"""A guard against growing slower: ratios that take two minutes to measure, held against those that were stored.

    make bench-quick                             # the ratios; exit status 1 when one fell under 80 % (what the loop adds: 90 %) of what was stored
    python benchmarks/guard.py --write           # measures three times, and stores the medians in results/guard.json

Every ratio is "how many times as cheap, in CPU-seconds", of two programs that take turns in one run, so it says about the same on a slow machine and
on a fast one; larger is better. They are small forms of the other benchmarks, on images of noise, on one thread and without peers' packages: good for
noticing a change, not for a claim. A ratio that fell is measured once more before the guard fails: a busy moment is no regression.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import lenet
import logged_steps
import many_runs
import measure
import overhead
import pipeline

STORED = measure.RESULTS / "guard.json"
LEAST = 0.8  # of the stored ratio
LEAST_OF_LOOP = 0.9  # a loop that costs 11 % would cost 39 % before it fell under 0.8
IMAGES = (5_120, 1_024)  # for training and validation


def reference_loop(folder: Path) -> float:
    """An epoch of LeNet with `augment_simple`: the loop of the reference experiments over `zhurnal run`."""
    images = measure.write_arrays(None, folder / "images.npz", *IMAGES)
    costs = []
    for name in ("zhurnal-simple", "reference-simple"):
        (folder / name).mkdir()
        costs.append(lenet.run(name, images, folder / name, sys.executable, 3, 1).cpu)
    return costs[1] / costs[0]


def torchvision_pipeline(folder: Path) -> float:
    """Augmented batches without a network: torchvision's v2 transforms on tensors over Zhurnal's."""
    images = measure.write_arrays(None, folder / "images.npz", 25_600, 256)
    measure.make_lab(folder / "lab", [*measure.on_arrays(images), "data.transform=augment_simple", "train.num_threads=1"])
    ours = [sys.executable, pipeline.__file__, "--feed", str(folder / "lab"), "--passes", "8"]
    theirs = [sys.executable, str(pipeline.PEER), "--images", str(images), "--transform", "augment_simple", "--workers", "0"]
    theirs += ["--kind", "v2 tensor", "--num", "2560", "--epochs", "3"]
    return pipeline.speeds(measure.watch(ours))[1] / pipeline.speeds(measure.watch(theirs))[1]


def network_alone(folder: Path) -> float:
    """An epoch of LeNet: the network alone, stepped on one batch that stays, over `zhurnal run`. 1 would be a loop that costs nothing."""
    images = measure.write_arrays(None, folder / "images.npz", *IMAGES)
    settings = [*measure.on_arrays(images), "model=lenet", "data.transform=augment_simple", "train.epochs=4", "train.num_threads=1"]
    run = measure.make_lab(folder / "lab", settings)
    alone = [sys.executable, overhead.__file__, "--resident", str(folder / "lab"), "--epochs", "4"]
    ours, _ = measure.watch(run).per_epoch()
    return measure.watch(alone).per_epoch()[0] / ours


def json_lines(folder: Path) -> float:
    """Logging a step: lines of JSON in a buffered file over Zhurnal's record, which keeps each step."""
    costs = {}
    for tool in ("Zhurnal without TensorBoard", "JSON lines"):
        (folder / tool).mkdir()
        costs[tool] = measure.watch(logged_steps.start(tool, folder / tool, sys.executable, 60_000, False)).per_epoch()[0]
    return costs["JSON lines"] / costs["Zhurnal without TensorBoard"]


def python_alone(folder: Path) -> float:
    """`zhurnal ls` of 300 runs: the start of Python with click, which no command line can do without, over the whole command."""
    lab = many_runs.make_lab(folder / "lab", 300)
    listed = [sys.executable, "-m", "zhurnal", "--lab", str(lab.folder), "ls"]
    many_runs.once(listed)  # makes the index
    times = [(many_runs.once([sys.executable, "-c", "import click"])[0], many_runs.once(listed)[0]) for _ in range(9)]
    return statistics.median(base for base, _ in times) / statistics.median(ours for _, ours in times)


RATIOS: dict[str, Callable[[Path], float]] = {
    "reference loop / zhurnal run": reference_loop,
    "torchvision pipeline / Zhurnal's": torchvision_pipeline,
    "network alone / zhurnal run": network_alone,
    "JSON lines / record": json_lines,
    "python / zhurnal ls": python_alone,
}


def once(name: str) -> float:
    """Measure a ratio, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        found = RATIOS[name](Path(folder))
    measure.tell(f"{name}: {found:.2f}")
    return found


def least(name: str) -> float:
    """Return the part of the stored ratio that is the least."""
    return LEAST_OF_LOOP if name == "network alone / zhurnal run" else LEAST


def fell(name: str, found: float, stored: float) -> bool:
    """Return whether a ratio fell too far.

    >>> fell("JSON lines / record", 3.1, 4.0), fell("JSON lines / record", 3.3, 4.0)
    (True, False)
    """
    return found < least(name) * stored


def main() -> None:
    """Measure; store, or hold against what is stored."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help=f"ratios, with commas: {', '.join(RATIOS)}")
    parser.add_argument("--rounds", type=int, default=3, help="with --write: how often each is measured; the median is stored")
    parser.add_argument("--write", action="store_true", help="store the ratios in results/guard.json")
    given = parser.parse_args()
    names = given.only.split(",") if given.only else list(RATIOS)
    if unknown := [n for n in names if n not in RATIOS]:
        parser.error(f"--only: {', '.join(unknown)} is none of {', '.join(RATIOS)}")
    load = os.getloadavg()[0]
    if given.write:
        rounds = [{name: once(name) for name in names} for _ in range(given.rounds)]
        ratios = {name: round(statistics.median(r[name] for r in rounds), 3) for name in names}
        about = {
            "machine": measure.machine(load),
            "versions": measure.versions(sys.executable, ("zhurnal", "torch", "torchvision", "numpy", "pillow")),
        }
        before = json.loads(STORED.read_text())["ratios"] if given.only and STORED.exists() else {}
        STORED.write_text(json.dumps({"command": measure.command(), **about, "ratios": before | ratios}, indent=2) + "\n")
        print(STORED.read_text(), end="")
        return
    stored = json.loads(STORED.read_text())["ratios"]
    failed = []
    print("| times as cheap | now | stored | |\n|---|--:|--:|---|")
    for name in names:
        found = once(name)
        if fell(name, found, stored[name]):
            found = max(found, once(name))
        if fell(name, found, stored[name]):
            failed.append(name)
        print(f"| {name} | {found:.2f} | {stored[name]:.2f} | {'fell' if name in failed else 'held'} |", flush=True)
    if failed:
        told = ", ".join(f"{name} (under {least(name):.0%})" for name in failed)
        print(f"fell, of the stored ratio: {told}. Find what made it slower, or store new ratios with --write and say why")
        sys.exit(1)


if __name__ == "__main__":
    main()
