"""How often observations are wrong: 1,000 simulated journals in which nothing differs, 250 with a difference of one point, curves that saturate and
losses that turn at a known epoch.

A journal has two earlier experiments and an entry of four (one, and three that change one setting each), three seeds each, 60 epochs. A run rises
exponentially to a plateau; plateaus differ by seed (0.2 points in the mean, from 0.1 to 0.4 between settings), epochs by 0.15 points with neighbours
alike (AR(1), 0.4). `python benchmarks/simulated_journals.py --write` stores the page.
"""

import argparse
import math
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import measure
import numpy as np

from zhurnal.analyze import observations
from zhurnal.analyze.observation import CLAIMED
from zhurnal.analyze.observations import Known
from zhurnal.analyze.stats.saturation import saturation
from zhurnal.analyze.stats.series import turn
from zhurnal.analyze.summary import Summary
from zhurnal.store.lab import Lab
from zhurnal.store.runs import Rows, Run

EPOCHS, SEEDS, NUM_VAL = 60, 3, 10_000
CHANGES = [{}, {"optimizer.momentum": 0.8}, {}, {"optimizer.weight_decay": 0.0005}, {"optimizer.lr": 0.02}, {"train.batch_size": 64}]
RESULT = measure.RESULTS / "simulated_journals.md"


def experiments(folder: Path) -> list[Summary]:
    """Return six experiments without runs: two earlier ones, and an entry of one and three children of it."""
    lab = Lab.init(folder / "lab")
    lab.new({"model": "lenet", "data": "cifar10", "train.epochs": EPOCHS})
    for changes, parent in zip(CHANGES[1:], ("e0001", "e0001", "e0003", "e0003", "e0003"), strict=True):
        lab.new(changes, parent=parent)
    return [Summary(e, e.facts(), (), ()) for e in map(lab.experiment, lab.names())]


def run(name: str, seed: int, curve: np.ndarray) -> Run:
    """Return a finished run with these accuracies and a loss that falls with them."""
    rows = [
        {"kind": "epoch", "epoch": i + 1, "step": i + 1, "lr": 0.01, "train_loss": 2 * (1 - a), "train_acc": a, "val_loss": 2.3 * (1 - a),
         "val_acc": a, "num_train": 50_000, "num_val": NUM_VAL}
        for i, a in enumerate(curve.tolist())
    ]  # fmt: skip
    best = int(curve.argmax())
    made = Run(name, seed, Path("nowhere"), "finished", "", len(rows), (best + 1, float(curve[best])), rows[-1], None, (), (), None, None, None)
    made.__dict__.update(rows=Rows(rows, [], []), effective={"data": {"name": "cifar10", "num_val": NUM_VAL}}, facts={}, fingerprints={})
    return made


def noise(random: np.random.Generator, num: int, sd: float, rho: float = 0.4) -> np.ndarray:
    """Return epochs' noise in which neighbours are alike."""
    found = sd * random.standard_normal(num)
    for i in range(1, num):
        found[i] = rho * found[i - 1] + math.sqrt(1 - rho**2) * found[i]
    return found


def journal(bare: list[Summary], random: np.random.Generator, effect: float, sigma: float | None) -> list[Summary]:
    """Return the experiments with runs; the first child of the entry stands `effect` above all others."""
    t, plateau, tau = np.arange(1, EPOCHS + 1), random.uniform(0.6, 0.93), random.uniform(3, 10)
    told = []
    for i, s in enumerate(bare):
        spread = sigma if sigma is not None else 0.002 * math.exp(random.uniform(math.log(0.5), math.log(2)))
        runs = []
        for seed in range(1, SEEDS + 1):
            top = plateau + effect * (i == 3) + spread * random.standard_normal()
            drawn = top - (plateau - 0.2) * np.exp(-t / (tau * random.uniform(0.9, 1.1))) + noise(random, EPOCHS, 0.0015)
            runs.append(run(s.name, seed, np.round(drawn, 4)))
        told.append(replace(s, runs=tuple(runs), counted=tuple(runs)))
    return told


def journals(bare: list[Summary], num: int, effect: float, sigma: float | None) -> tuple[float, float, float]:
    """Return which part of entries carries any supported claim, which part says so of the first child, and which part a habit would call better: best
    epochs whose means ± deviation do not overlap.
    """
    random = np.random.default_rng(1)
    some = right = habit = 0
    for _ in range(num):
        told = journal(bare, random, effect, sigma)
        found = observations.observe(told[2:], Known(0.5, tuple(told[:2])))
        claims = [o for o in found if o.strength in CLAIMED]
        some += bool(claims)
        right += any(o.kind == "better" and o.experiments == ("e0003", "e0004") and (o.estimate or 0) > 0 for o in claims)
        best = [np.array([r.best[1] for r in s.counted if r.best]) for s in told[2:]]
        habit += any(abs(b.mean() - best[0].mean()) > b.std(ddof=1) + best[0].std(ddof=1) for b in best[1:])
    return some / num, right / num, habit / num


def plateaus(num: int, form: str, rho: float = 0.0) -> tuple[float, float, float, float, float]:
    """Return the mean error in epochs of where curves saturate, the coverage and the median width of the interval, the part of curves that a plateau
    is told of, and the mean error of the highest epoch. Neighbouring epochs' noise is alike by rho.
    """
    random = np.random.default_rng(2)
    errors, covered, widths, naive = [], [], [], []
    fine = np.linspace(1, 400, 80_000)
    for _ in range(num):
        sigma, top, tau = random.uniform(0.0025, 0.006), random.uniform(0.6, 0.95), random.uniform(3, 11)
        faster, size, power = random.uniform(2.5, 8), top - random.uniform(0.1, 0.4), random.uniform(1.2, 2)
        shape = {"exponential": lambda x, tau=tau: np.exp(-x / tau), "power": lambda x, power=power: x**-power,
                 "two rates": lambda x, tau=tau, faster=faster: 0.7 * np.exp(-faster * x / tau) + 0.3 * np.exp(-x / tau)}[form]  # fmt: skip
        curve = top - size * shape(np.arange(1, 81.0)) + noise(random, 80, sigma, rho)
        margin = max(0.005, 2 * sigma / math.sqrt(5))
        true = float(fine[np.argmax(size * shape(fine) <= margin)])
        found = saturation(curve, margin)
        naive.append(abs(int(curve.argmax()) + 1 - true))
        if found is not None and found.reached:
            errors.append(abs(found.epoch - true))
            covered.append(found.low - 0.5 <= true <= found.high + 0.5)
            widths.append(found.high - found.low)
    return float(np.mean(errors)), float(np.mean(covered)), float(np.median(widths)), len(errors) / num, float(np.mean(naive))


def turns(num: int, shape: str, epochs: int = 80) -> tuple[float, float, float, float, float]:
    """Return the mean error in epochs of where losses turn, the coverage and the median width of the interval, the part that is told to rise, and the
    mean error of the lowest epoch.

    Losses fall exponentially or by a power, and rise steadily, ever less, or not at all.
    """
    random = np.random.default_rng(3)
    errors, covered, widths, naive = [], [], [], []
    t, fine = np.arange(1, epochs + 1.0), np.linspace(1, epochs, 100 * epochs)
    for _ in range(num):
        tau, slope, size, sigma = random.uniform(3, 10), random.uniform(0.002, 0.01), random.uniform(0.8, 1.5), random.uniform(0.003, 0.012)
        power, long = random.uniform(0.7, 1.5), random.uniform(20, 60)
        parts = {"steady": lambda x, *p: p[1] * np.exp(-x / p[0]) + p[2] * x,
                 "slowing": lambda x, *p: p[1] * x ** -p[3] + p[2] * p[4] * (1 - np.exp(-x / p[4])),
                 "none": lambda x, *p: p[1] * np.exp(-x / p[0])}[shape]  # fmt: skip
        loss = 0.7 + parts(t, tau, size, slope, power, long) + noise(random, epochs, sigma, 0.3)
        true = float(fine[np.argmin(parts(fine, tau, size, slope, power, long))])
        found = turn(loss)
        if found is not None and found.rises:
            errors.append(abs(found.epoch - true))
            covered.append(found.low - 0.5 <= true <= found.high + 0.5)
            widths.append(found.high - found.low)
        naive.append(abs(int(loss.argmin()) + 1 - true))
    if not errors:
        return math.nan, math.nan, math.nan, 0.0, float(np.mean(naive))
    return float(np.mean(errors)), float(np.mean(covered)), float(np.median(widths)), len(errors) / num, float(np.mean(naive))


def main() -> None:
    """Simulate, print a page, and store it when asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num", type=int, default=1000, help="journals in which nothing differs")
    parser.add_argument("--quick", action="store_true", help="few journals: does it run?")
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name}")
    arguments = parser.parse_args()
    num, load, began = 5 if arguments.quick else arguments.num, os.getloadavg()[0], time.process_time()
    curves = 20 if arguments.quick else 500
    with tempfile.TemporaryDirectory() as folder:
        bare = experiments(Path(folder))
        nothing = journals(bare, num, 0.0, None)
        point = journals(bare, max(num // 4, 5), 0.01, 0.002)
    rows = [
        (
            f"entries with any supported claim where nothing differs ({num:,} journals)",
            f"{100 * nothing[0]:.1f} %",
            "at most 5 %",
            nothing[0] <= 0.05,
        ),
        (
            f"entries that support a difference of 1 point, σ 0.2, n = 3 ({max(num // 4, 5):,} journals)",
            f"{100 * point[1]:.1f} %",
            "at least 95 %",
            point[1] >= 0.95,
        ),
    ]
    notes = [
        "The habit of calling best epochs different whose means ± deviations do not overlap finds a difference in "
        f"{100 * nothing[2]:.0f} % of the entries where nothing differs."
    ]
    for form, rho in (("exponential", 0.0), ("power", 0.0), ("two rates", 0.0), ("two rates", 0.3)):
        error, cover, width, told, highest = plateaus(curves, form, rho)
        what = f"{form} curves" + (f", AR(1) {rho}" if rho else "")
        rows.append((f"saturation, {what}: mean error", f"{error:.2f} epochs", "within 2", error <= 2))
        rows.append((f"saturation, {what}: interval covers", f"{100 * cover:.1f} %", "at least 90 %", cover >= 0.9))
        plateau = f"a plateau is told in {100 * told:.0f} %, with an interval of {width:.1f} epochs in the median"
        notes.append(f"Of {what} {plateau}; the highest epoch misses it by {highest:.1f} epochs in the mean.")
    for shape, epochs in (("steady", 80), ("slowing", 80), ("steady", 160)):
        error, cover, width, up, lowest = turns(curves, shape, epochs)
        what = f"{shape} rise, {epochs} epochs"
        rows.append((f"onset of rising loss, {what}: mean error", f"{error:.2f} epochs", "within 3", error <= 3))
        rows.append((f"onset of rising loss, {what}: interval covers", f"{100 * cover:.1f} %", "at least 90 %", cover >= 0.9))
        rising = f"{100 * up:.0f} % are said to rise, with an interval of {width:.0f} epochs in the median"
        notes.append(f"Of losses of {what}, {rising}; the lowest epoch misses the turn by {lowest:.1f} epochs in the mean.")
    false = turns(curves, "none")[3]
    rows.append(("losses that do not rise and are said to", f"{100 * false:.1f} %", "at most 5 %", false <= 0.05))
    said = [f"# How often observations are wrong\n\n{measure.machine(load)}. {time.process_time() - began:.0f} CPU-seconds.\n"]
    said += [__doc__.partition("\n\n")[2].rpartition(" `python")[0] + f"\n\n```\n{measure.command()}\n```\n"]
    said += ["| what | measured | aim | |\n|---|--:|--:|---|"]
    said += [f"| {what} | {value} | {aim} | {'reached' if good else 'missed'} |" for what, value, aim, good in rows]
    text = "\n".join([*said, "", *(f"- {n}" for n in notes)]) + "\n"
    measure.publish(text, RESULT.name, arguments.write)


if __name__ == "__main__":
    main()
