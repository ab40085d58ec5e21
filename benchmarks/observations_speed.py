"""What the observations of an entry of 20 runs, 120 epochs and 10,000 images cost, with all their predictions on disk: the whole `compare --json`.

`python benchmarks/observations_speed.py --write` stores the page.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import measure
import numpy as np

sys.path.insert(0, str(measure.ROOT / "tests"))

from helpers_curves import put, put_images
from zhurnal.store.lab import Lab

RESULT = measure.RESULTS / "observations_speed.md"
AIM = 5.0  # seconds


def make_lab(folder: Path, runs: int, epochs: int, images: int) -> Lab:
    """Return a lab with so many experiments of one run each, that keep what was said of every image after every epoch."""
    lab, random = Lab.init(folder), np.random.default_rng(0)
    lab.new({"model": "lenet", "data": "cifar10", "train.epochs": epochs})
    lab.sweep([{"optimizer.weight_decay": 0.0001 * (i + 1)} for i in range(runs - 1)], parent="e0001")
    t = np.arange(1, epochs + 1)
    for name in lab.names():
        curve = np.round(0.9 - 0.7 * np.exp(-t / 9) + 0.002 * random.standard_normal(epochs), 4)
        loss = 0.4 + np.exp(-t / 6) + 0.003 * t + 0.004 * random.standard_normal(epochs)
        home = put(lab, name, 42, curve, val_loss=loss.tolist(), num_val=images)
        put_images(home, {int(e): random.random(images) < a for e, a in zip(t, curve, strict=True)}, {}, images)
    return lab


def main() -> None:
    """Measure, print, and store when asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=120)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name}")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        lab = make_lab(Path(folder) / "lab", arguments.runs, arguments.epochs, arguments.images)
        size = sum(p.stat().st_size for p in lab.logs.rglob("*") if p.is_file())
        command = [sys.executable, "-m", "zhurnal", "--lab", str(lab.folder), "compare", lab.names()[0] + "-" + lab.names()[-1], "--json"]
        without = [measure.watch([*command, "--no-observations"]) for _ in range(3)]
        taken = [measure.watch(command) for _ in range(3)]
    cpu, wall = (measure.median_and_range([getattr(w, k) for w in taken], 2) for k in ("cpu", "wall"))
    lines = [
        f"# Observations of {arguments.runs} runs, {arguments.epochs} epochs, {arguments.images:,} images\n",
        f"{measure.machine(load)}. {size / 2**20:.0f} MiB of records and predictions. Medians and ranges of three whole processes.\n",
        f"```\n{measure.command()}\n```\n",
        "| what | CPU s | wall s |\n|---|--:|--:|",
        f"| `compare --json` | {cpu} | {wall} |",
        f"| the same without observations | {measure.median_and_range([w.cpu for w in without], 2)} |"
        f" {measure.median_and_range([w.wall for w in without], 2)} |",
        f"\nUnder {AIM:g} s: {'reached' if sorted(w.cpu for w in taken)[1] < AIM else 'missed'} (CPU).",
    ]
    print("\n".join(lines))
    if arguments.write:
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
