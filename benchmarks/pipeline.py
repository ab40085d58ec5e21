"""Training images without a network: Zhurnal's batches against torchvision's transforms in a DataLoader.

    python benchmarks/pipeline.py --quick
    python benchmarks/pipeline.py --peer-python .peers/bin/python --write

Both give batches of 128 augmented, normalized float32 images of uint8 images held in memory. torchvision is measured in three ways (v2 on tensors,
v2 on PIL images, v1 on PIL images), each with 0, 1, 2 and 4 workers, Zhurnal with 1 and 2 threads; of both the best counts. Turns and cost as
measure.py describes: a first pass over the images does not count.
"""

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

import measure

TRANSFORMS = ("augment_simple", "augment")
KINDS = ("v2 tensor", "v2 PIL", "v1 PIL")
WORKERS = (0, 1, 2, 4)
THREADS = (1, 2)
TARGET = 15
ZHURNAL = "Zhurnal"
PEER = Path(__file__).parent / "peers" / "torchvision_pipeline.py"


def feed(lab: str, threads: int, passes: int) -> None:
    """Go through Zhurnal's training batches of e0001, in this process."""
    import torch

    from zhurnal.api import Lab
    from zhurnal.train.setup import build
    from zhurnal.train.watch import Silent

    torch.set_num_threads(threads)
    opened = Lab(Path(lab))
    experiment = opened.experiment("e0001")
    parts = build(opened, experiment, experiment.settings.seeds[0], download=False, watcher=Silent())
    for epoch in range(passes):
        seen = sum(len(labels_N) for _, labels_N in parts.feed.batches(epoch, 0))
        print(f"epoch {epoch + 1}/{passes} images {seen}", flush=True)


def speeds(watched: measure.Watched) -> tuple[float, float]:
    """Return images per second of wall time, and of CPU time."""
    num = int(watched.marks[-1].line.split()[-1])
    cpu, wall = watched.per_epoch()
    return num / wall, num / cpu


def table(found: dict[tuple[str, str, int], list[tuple[float, float]]]) -> str:
    """Return all that was measured, and the best of torchvision against Zhurnal, as Markdown tables."""
    text = "| program | workers or threads | transform | images/s | images per CPU-second |\n|---|--:|---|--:|--:|\n"
    for (program, transform, workers), runs in found.items():
        cells = [measure.median_and_range(list(values), 0) for values in zip(*runs, strict=True)]
        text += f"| {program} | {workers} | `{transform}` | {cells[0]} | {cells[1]} |\n"
    text += "\nThe best of Zhurnal against the best of torchvision, round by round:\n\n"
    text += "| transform | measure | times as fast | target | |\n|---|---|--:|--:|---|\n"
    for transform in dict.fromkeys(t for _, t, _ in found):
        for column, name in enumerate(("images/s", "images per CPU-second")):
            sides: list[list[float]] = []
            for is_ours in (True, False):
                of_side = [
                    [r[column] for r in runs] for (program, of, _), runs in found.items() if of == transform and (program == ZHURNAL) is is_ours
                ]
                sides.append(max(of_side, key=statistics.median))
            ratios = [ours / other for ours, other in zip(*sides, strict=True)]
            verdict = "reached" if statistics.median(ratios) >= TARGET else "missed"
            text += f"| `{transform}` | {name} | {measure.median_and_range(ratios)} | {TARGET} | {verdict} |\n"
    return text


def main() -> None:
    """Measure, print, and write when asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder or zip with train/<class>/* and test/<class>/*; without it, noise")
    parser.add_argument("--peer-python", default=sys.executable, help="Python with torchvision, see benchmarks/peers/README.md")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round on few images, 2 workers: does it run?")
    parser.add_argument("--write", action="store_true", help="write results/pipeline.md")
    parser.add_argument("--feed", help=argparse.SUPPRESS)  # what is run for Zhurnal's row: the lab
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--passes", type=int, default=8, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.feed:
        feed(given.feed, given.threads, given.passes)
        return
    load = os.getloadavg()[0]
    rounds, num, peer_num, passes = (1, 25_600, 640, 2) if given.quick else (given.rounds, 50_000, 5_000, 3)
    workers, our_passes = ((2,), 8) if given.quick else (WORKERS, given.passes)
    keys = [(ZHURNAL, t, threads) for t in TRANSFORMS for threads in THREADS]
    keys += [(f"torchvision {k}", t, w) for t in TRANSFORMS for k in KINDS for w in workers]
    found: dict[tuple[str, str, int], list[tuple[float, float]]] = {key: [] for key in keys}
    with tempfile.TemporaryDirectory() as temporary:
        images = measure.write_arrays(given.data, Path(temporary) / "images.npz", num, 1_000)
        for transform in TRANSFORMS:
            measure.make_lab(Path(temporary) / transform, [*measure.on_arrays(images), f"data.transform={transform}", "train.num_threads=1"])
        for number in range(rounds):
            for program, transform, at_work in keys:
                if program == ZHURNAL:
                    command = [sys.executable, __file__, "--feed", str(Path(temporary) / transform), "--threads", str(at_work)]
                    command += ["--passes", str(our_passes)]
                else:
                    kind = program.removeprefix("torchvision ")
                    command = [given.peer_python, str(PEER), "--images", str(images), "--transform", transform, "--workers", str(at_work)]
                    command += ["--kind", kind, "--num", str(peer_num), "--epochs", str(passes)]
                found[program, transform, at_work].append(speeds(measure.watch(command, at_work if program == ZHURNAL else 1)))
                wall, cpu = found[program, transform, at_work][-1]
                measure.tell(f"round {number + 1}, {program}, {transform}, {at_work} at work: {wall:,.0f} images/s, {cpu:,.0f} per CPU-second")
    text = f"# Augmented batches of 128 images of 3x32x32, without a network\n\n{measure.quick_note(given.quick)}{measure.machine(load)}; "
    text += f"one thread in each process of torchvision; {measure.both_versions(given.peer_python, ('torch', 'torchvision', 'numpy', 'pillow'))}; "
    text += f"{measure.count(rounds, 'round')}, median and range.\n\n"
    text += f"```\n{measure.command()}\n```\n\n{table(found)}"
    measure.publish(text, "pipeline.md", given.write)


if __name__ == "__main__":
    main()
