"""Four small runs: one at a time with as many threads as there are cores, against as many at once with one thread each.

    python benchmarks/jobs.py                      # prints the table
    python benchmarks/jobs.py --write              # and writes benchmarks/results/jobs.md

Each round makes a lab with four experiments on generated images, which differ in their seed, and runs them with `zhurnal run` in a process of its
own: the whole command is measured, with the start of its processes. The rounds of the ways take turns, so that a busy moment of the machine hits all
alike. Told are the medians of wall-clock time and of processor time of the command and all its processes, and the load of the machine before.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measure
import numpy as np

from zhurnal.api import Lab
from zhurnal.core.cores import cores

RESULT = measure.RESULTS / "jobs.md"
RUNS = 4


def images(path: Path, num: int) -> None:
    """Write `num` training images of 3x32x32 in ten classes, and a tenth as many test images, as an .npz file: noise around a color of the class."""
    rng = np.random.default_rng(0)
    colors = rng.integers(60, 196, (10, 1, 1, 3))
    arrays = {}
    for part, count in (("train", num), ("test", num // 10)):
        labels = np.arange(count) % 10
        noise = rng.normal(0, 60, (count, 32, 32, 3))
        arrays |= {f"{part}_images": np.clip(colors[labels] + noise, 0, 255).astype(np.uint8), f"{part}_labels": labels}
    np.savez(path, **arrays)


def time_runs(data: Path, model: str, epochs: int, at_once: int, threads: int) -> tuple[float, float]:
    """Return wall-clock and processor seconds of the four runs, `at_once` at a time with `threads` threads each."""
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(Lab.init(Path(folder) / "lab").folder)
        changes = {"model": model, "data": str(data), "train.epochs": epochs, "train.num_threads": threads, "train.tensorboard": False}
        lab.new(changes | {"seeds": list(range(RUNS))})
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        command = [sys.executable, "-m", "zhurnal", "run", "e0001", "--jobs", str(at_once), "--quiet"]
        subprocess.run(command, cwd=lab.folder, check=True, stdout=subprocess.DEVNULL)
        wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        if not all(run.finished for run in lab.runs("e0001")) or len(lab.runs("e0001")) < RUNS:
            raise RuntimeError("a run did not finish")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure, print, and write when asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="lenet")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=cores(), help="runs at once; without it, as many as there are cores")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name}")
    arguments = parser.parse_args()
    ways = {"one at a time": (1, cores()), "one at a time, one thread": (1, 1), f"{arguments.jobs} at once, one thread each": (arguments.jobs, 1)}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        images(Path(folder) / "images.npz", arguments.images)
        for _ in range(arguments.rounds):
            for name, (at_once, threads) in ways.items():
                taken[name].append(time_runs(Path(folder) / "images.npz", arguments.model, arguments.epochs, at_once, threads))
    text = f"# {RUNS} runs of `{arguments.model}`, {arguments.epochs} epochs of {arguments.images:,} images of 3x32x32: one at a time and several\n\n"
    text += f"{measure.machine(load)}; {measure.versions(sys.executable, ('zhurnal', 'torch'))}.\nMedians of {arguments.rounds} rounds; in brackets "
    text += f"the fastest. The start of processes is part of it.\n\n```\n{measure.command()}\n```\n\n"
    text += "| | threads of a run | wall s | processor s |\n|---|--:|--:|--:|\n"
    for name, (_, threads) in ways.items():
        wall, cpu = zip(*taken[name], strict=True)
        text += f"| {name} | {threads} | {statistics.median(wall):.1f} ({min(wall):.1f}) | {statistics.median(cpu):.1f} ({min(cpu):.1f}) |\n"
    measure.publish(text, RESULT.name, arguments.write)


if __name__ == "__main__":
    main()
