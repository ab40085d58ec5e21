"""Peak memory of training LeNet on CIFAR-10 from a zip of images: the first run, which decodes them, and a later one, which finds them decoded.

    python benchmarks/memory.py --quick
    python benchmarks/memory.py --data cifar10.zip --write

Told is the most resident memory that `zhurnal run` and all processes below it had at once, looked at five times a second, or what the system
reports as the peak of the process itself where that is more. Files that the system keeps in its cache do not count.
"""

import argparse
import io
import os
import statistics
import sys
import tempfile
import zipfile
from pathlib import Path

import measure
import numpy as np

TARGET = 1.5  # GB


def write_zip(to: Path, num_train: int, num_test: int) -> Path:
    """Write a zip of JPEG files in the layout of CIFAR-10: soft blobs of color, so that files are about as large as photographs'."""
    from PIL import Image

    noise = np.random.default_rng(0)
    with zipfile.ZipFile(to, "w", zipfile.ZIP_STORED) as archive:
        for part, num in (("train", num_train), ("test", num_test)):
            for number in range(num):
                small = Image.fromarray(noise.integers(0, 256, (8, 8, 3), dtype=np.uint8))
                held = io.BytesIO()
                small.resize((32, 32), Image.Resampling.BICUBIC).save(held, "JPEG", quality=90)
                archive.writestr(f"{part}/class{number % 10}/{number:05d}.jpg", held.getvalue())
    return to


def main() -> None:
    """Measure, print, and write when asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder or zip with train/<class>/* and test/<class>/*; without it, blobs of color as JPEG files")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="one round on 1,500 images: does it run?")
    parser.add_argument("--write", action="store_true", help="write results/memory.md")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    rounds, num_train, num_test = (1, 1_250, 250) if given.quick else (given.rounds, 50_000, 10_000)
    peaks: dict[str, list[float]] = {"first run, decodes": [], "later run": []}
    with tempfile.TemporaryDirectory() as temporary:
        data = given.data.absolute() if given.data else write_zip(Path(temporary) / "images.zip", num_train, num_test)
        for number in range(rounds):
            lab = Path(temporary) / f"lab{number}"
            settings = [f"data={data}", "data.validation=test", "data.transform=augment_simple", "model=lenet"]
            settings += [f"train.epochs={given.epochs}", f"train.num_threads={given.threads}", *(["data.subset=1000"] if given.quick else [])]
            first = measure.make_lab(lab, settings)
            measure.watch([*first[:-2], "new", "--from", "e0001", "optimizer.lr=0.02"])
            for which, experiment in zip(peaks, ("e0001", "e0002"), strict=True):
                peaks[which].append(measure.watch([*first[:-1], experiment], given.threads, memory=True).peak_bytes / 1e9)
                measure.tell(f"round {number + 1}, {which}: {peaks[which][-1]:.2f} GB")
    text = f"# Peak memory of LeNet on CIFAR-10 from a zip\n\n{measure.quick_note(given.quick)}{measure.machine(load)}; "
    text += f"{measure.both_versions(sys.executable, ())}; {measure.count(rounds, 'round')} of {measure.count(given.epochs, 'epoch')}, "
    text += f"{measure.count(given.threads, 'thread')}; median and range.\n\n```\n{measure.command()}\n```\n\n"
    text += "| run | peak memory, GB | target | |\n|---|--:|--:|---|\n"
    for which, found in peaks.items():
        verdict = "reached" if statistics.median(found) < TARGET else "missed"
        text += f"| {which} | {measure.median_and_range(found, 2)} | {TARGET} | {verdict} |\n"
    measure.publish(text, "memory.md", given.write)


if __name__ == "__main__":
    main()
