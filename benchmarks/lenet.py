"""Training LeNet side by side: Zhurnal, the loop of the reference experiments, Lightning, Keras.

    python benchmarks/lenet.py --quick                                        # a minute: does all of it run?
    python benchmarks/lenet.py --data cifar10.zip --peer-python .peers/bin/python --write

Rows take turns (A B C, A B C, ...), each in a process of its own, and cost what measure.py describes: CPU and wall seconds for an epoch after the
first, whole processes, validation included. Ratios are those of one round, told as their median. Zhurnal runs by `zhurnal run` in a fresh lab,
with all that comes with it: record, TensorBoard events, predictions, checkpoints. Images, network, batches of 128, SGD and number of threads are
the same for all.
"""

import argparse
import os
import re
import statistics
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import measure

PEERS = Path(__file__).parent / "peers"


@dataclass(frozen=True)
class Row:
    """A program to measure: Zhurnal when it has no script. `needs` is a package that its Python must have."""

    what: str
    transform: str
    script: str = ""
    options: tuple[str, ...] = ()
    needs: str = ""


ROWS = {
    "zhurnal-init": Row("Zhurnal", "init"),
    "zhurnal-simple": Row("Zhurnal", "augment_simple"),
    "zhurnal-augment": Row("Zhurnal", "augment"),
    "reference-simple": Row("reference loop", "augment_simple", "reference_loop.py", needs="torchvision"),
    "reference-simple-2w": Row("reference loop, 2 workers", "augment_simple", "reference_loop.py", ("--workers", "2"), "torchvision"),
    "reference-augment": Row("reference loop", "augment", "reference_loop.py", needs="torchvision"),
    "lightning": Row("Lightning, DataLoader", "augment_simple", "lightning_loop.py", needs="lightning"),
    "lightning-2w": Row("Lightning, DataLoader, 2 workers", "augment_simple", "lightning_loop.py", ("--workers", "2"), "lightning"),
    "lightning-zhurnal": Row("Lightning, Zhurnal's batches", "augment_simple", "lightning_loop.py", ("--feed", "zhurnal"), "lightning"),
    "keras": Row("Keras on torch, in memory", "init", "keras_loop.py", needs="keras"),
}
ZHURNAL = {"init": "zhurnal-init", "augment_simple": "zhurnal-simple", "augment": "zhurnal-augment"}


@dataclass(frozen=True)
class Target:
    """How many times as much as Zhurnal the best of some rows must cost, in `cpu` or `wall` seconds."""

    rows: tuple[str, ...]
    threads: int
    of: str
    factor: float


TARGETS = (
    Target(("reference-simple", "reference-simple-2w"), 1, "cpu", 7),
    Target(("reference-augment",), 1, "cpu", 9),
    Target(("lightning", "lightning-2w"), 1, "cpu", 4),
    Target(("lightning-zhurnal",), 1, "cpu", 1.5),
    Target(("keras",), 1, "cpu", 1.8),
    Target(("reference-simple", "reference-simple-2w"), 2, "wall", 9),
)


@dataclass(frozen=True)
class Cost:
    """What one run cost: seconds for an epoch after the first, CPU-seconds of the whole process, validation accuracy after its last epoch."""

    cpu: float
    wall: float
    whole: float
    val_acc: float


Found = dict[tuple[str, int], list[Cost]]


def run(name: str, images: Path, folder: Path, python: str, epochs: int, threads: int) -> Cost:
    """Run a row once, in a folder of its own."""
    row = ROWS[name]
    lab = folder / "lab"
    settings = [*measure.on_arrays(images), "model=lenet", "optimizer=sgd", "optimizer.lr=0.01", "optimizer.momentum=0.9", "train.batch_size=128"]
    settings += [f"data.transform={row.transform}", f"train.epochs={epochs}", f"train.num_threads={threads}", "train.batch_size_val=256"]
    if not row.script:
        command = measure.make_lab(lab, settings)
    else:
        common = ["--images", str(images), "--epochs", str(epochs), "--threads", str(threads), "--transform", row.transform]
        command = [python, str(PEERS / row.script), *common, *row.options]
        if "zhurnal" in row.options:
            measure.make_lab(lab, settings)
            command += ["--lab", str(lab)]
    watched = measure.watch(command, threads)
    cpu, wall = watched.per_epoch()
    (val_acc,) = re.findall(r"val loss \S+ acc\.? ([\d.]+)", watched.marks[-1].line)
    return Cost(cpu, wall, watched.cpu, float(val_acc))


def wanted(threads: int) -> set[str]:
    """Return the rows that a target with so many threads names, and Zhurnal's that they are held against."""
    named = {name for target in TARGETS if target.threads == threads for name in target.rows}
    return named | {ZHURNAL[ROWS[name].transform] for name in named}


def ratios(found: Found, name: str, threads: int, of: str) -> list[float]:
    """Return for each round how many times as much as Zhurnal with the same transform a row cost; nothing where Zhurnal was not measured."""
    ours = found.get((ZHURNAL[ROWS[name].transform], threads), [])
    return [getattr(theirs, of) / getattr(own, of) for theirs, own in zip(found.get((name, threads), []), ours, strict=False)]


def table(found: Found, threads: int) -> str:
    """Return the rows measured with so many threads as a Markdown table."""
    text = (
        "| program | `data.transform` | CPU s an epoch | times Zhurnal's | wall s an epoch | times Zhurnal's | CPU s, whole process | val. acc. |\n"
    )
    text += "|---|---|--:|--:|--:|--:|--:|--:|\n"
    for (name, of_threads), costs in found.items():
        if of_threads == threads:
            cells = [ROWS[name].what, f"`{ROWS[name].transform}`"]
            for of in ("cpu", "wall"):
                cells += [measure.median_and_range([getattr(c, of) for c in costs], 2), measure.median_and_range(ratios(found, name, threads, of))]
            cells += [f"{statistics.median(c.whole for c in costs):.1f}", f"{statistics.median(c.val_acc for c in costs):.1f} %"]
            text += f"| {' | '.join(cells)} |\n"
    return text


def targets(found: Found) -> str:
    """Return what was aimed at, and what came out, as a Markdown table; the best of a target's rows counts."""
    text = "| against | threads | measure | target | measured | |\n|---|--:|---|--:|--:|---|\n"
    for target in TARGETS:
        medians = {name: statistics.median(r) for name in target.rows if (r := ratios(found, name, target.threads, target.of))}
        if medians:
            best = min(medians, key=lambda name: medians[name])
            what = f"{ROWS[best].what}, `{ROWS[best].transform}`"
            verdict = "reached" if medians[best] >= target.factor else "missed"
            text += f"| {what} | {target.threads} | {target.of} | {target.factor:g} | {medians[best]:.1f} | {verdict} |\n"
    return text


def page(found: Found, threads: Iterable[int], about: str, left_out: list[str], quick: bool) -> str:
    """Return the page of results."""
    text = f"# LeNet, batch 128: seconds for an epoch\n\n{measure.quick_note(quick)}{about}\n\n```\n{measure.command()}\n```\n\n"
    text += "Median of the rounds, with the range. CPU: user and system seconds of the process and all below it, for an epoch after the first,\n"
    text += "including validation and, where a program keeps them, records and checkpoints; whole process: with imports, reading the images, and\n"
    text += "the first epoch.\n"
    for num in threads:
        text += f"\n## {measure.count(num, 'thread')}\n\n{table(found, num)}"
    text += f"\n## Targets\n\nHow many times as much as Zhurnal; where there are two variants, against the better.\n\n{targets(found)}"
    return text + (f"\nNot measured, since its package is not installed: {', '.join(left_out)}.\n" if left_out else "")


def main() -> None:
    """Measure, print, and write when asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder or zip with train/<class>/* and test/<class>/*; without it, noise: for times alone")
    parser.add_argument("--peer-python", default=sys.executable, help="Python with Lightning and Keras, see benchmarks/peers/README.md")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3, help="epochs of a run; the first does not count")
    parser.add_argument("--images", type=int, default=50_000, help="training images, and a fifth as many for validation; costs grow with them")
    parser.add_argument("--threads", default="1,2", help="numbers of threads; with more than one, only rows that have a target")
    parser.add_argument("--only", help=f"rows, with commas: {', '.join(ROWS)}")
    parser.add_argument("--quick", action="store_true", help="one round on 1,280 images, one thread: does it run?")
    parser.add_argument("--write", action="store_true", help="write results/lenet.md")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    names = given.only.split(",") if given.only else list(ROWS)
    if unknown := [n for n in names if n not in ROWS]:
        parser.error(f"--only: {', '.join(unknown)} is none of {', '.join(ROWS)}")
    if given.epochs < 2:
        parser.error("--epochs must be at least 2: the first does not count")
    left_out = [n for n in names if ROWS[n].needs and not measure.has(given.peer_python, ROWS[n].needs)]
    names = [n for n in names if n not in left_out]
    threads = [1] if given.quick else [int(t) for t in given.threads.split(",")]
    rounds, epochs, sizes = (1, 2, (1280, 256)) if given.quick else (given.rounds, given.epochs, (given.images, given.images // 5))
    found: Found = {(name, num): [] for num in threads for name in names if num == 1 or name in wanted(num)}
    with tempfile.TemporaryDirectory() as temporary:
        measure.tell("preparing images")
        images = measure.write_arrays(given.data, Path(temporary) / "images.npz", *sizes)
        for done, (number, (name, num)) in enumerate(((r, key) for r in range(rounds) for key in found), 1):
            with tempfile.TemporaryDirectory() as folder:
                cost = run(name, images, Path(folder), given.peer_python, epochs, num)
            found[name, num].append(cost)
            told = f"round {number + 1}, {measure.count(num, 'thread')}, {name}: {cost.cpu:.2f} CPU s an epoch, {cost.wall:.2f} wall"
            measure.tell(f"[{done}/{rounds * len(found)}] {told}")
    packages = ("torch", "torchvision", "numpy", "pillow", "lightning", "keras")
    about = f"{measure.machine(load)}; {measure.both_versions(given.peer_python, packages)}; {measure.count(rounds, 'round')} of {epochs} epochs on "
    about += f"{sizes[0]:,} + {sizes[1]:,} images{' of noise' if given.data is None else ''}."
    measure.publish(page(found, threads, about, left_out, given.quick), "lenet.md", given.write)


if __name__ == "__main__":
    main()
