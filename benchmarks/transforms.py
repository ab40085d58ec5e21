"""How long each step of `data.transform` takes: microseconds for an image, in batches, on one thread.

    python benchmarks/transforms.py                      # prints the table
    python benchmarks/transforms.py --write              # and writes benchmarks/results/transforms.md

Images are blocks of random color with noise, drawn once. Each step runs with its defaults, except that steps done to a part of the images are done to
all of them (p = 1); recipes run as they are. A round is one batch; the rounds of all steps take turns, so that a busy moment of the machine
hits all alike. Told are the median and the fastest round.
"""

import argparse
import os
import statistics
import sys
import time

import measure
import torch

from zhurnal.core import settings
from zhurnal.train import transforms

RESULT = measure.RESULTS / "transforms.md"


def images(num: int, side: int) -> torch.Tensor:
    """Return uint8 images_NCHW of colored blocks with noise."""
    generator = torch.Generator().manual_seed(0)
    blocks = torch.randint(0, 256, (num, 3, (side + 7) // 8, (side + 7) // 8), generator=generator).repeat_interleave(8, 2).repeat_interleave(8, 3)
    noise = torch.randint(-16, 17, (num, 3, side, side), generator=generator)
    return (blocks[:, :, :side, :side] + noise).clamp(0, 255).to(torch.uint8)


def time_steps(batch: int, side: int, rounds: int) -> dict[str, list[float]]:
    """Return for each recipe and step the microseconds for an image, of each round."""
    lists = {name: name for name in settings.RECIPES if name != "init"}
    lists |= {name: [{name: {"p": 1.0}} if "p" in cls.model_fields else name] for name, cls in settings.STEPS.items()}
    made = {name: transforms.make(what, (3, side, side), (0.5, 0.5, 0.5)) for name, what in lists.items()}
    given, numbers_N = images(batch, side), torch.arange(batch)
    taken: dict[str, list[float]] = {name: [] for name in made}
    for epoch in range(rounds + 2):
        for name, transform in made.items():
            began = time.perf_counter()
            transform.apply(given, transforms.draw(transform, 0, epoch, numbers_N))
            if epoch > 1:  # the first two warm up
                taken[name].append((time.perf_counter() - began) / batch * 1e6)
    return taken


def main() -> None:
    """Measure, print, and write when asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name}")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    torch.set_num_threads(1)
    taken = time_steps(arguments.batch, arguments.side, arguments.rounds)
    text = f"# Steps of `data.transform`: microseconds for an image of 3x{arguments.side}x{arguments.side}, batches of {arguments.batch}\n\n"
    text += f"{measure.machine(load)}, one thread, {measure.versions(sys.executable, ('torch',))}, {arguments.rounds} rounds. Drawing the random\n"
    text += f"numbers is part of it; steps with a probability are done to all images (p=1).\n\n```\n{measure.command()}\n```\n\n"
    text += "| transform | median | fastest |\n|---|--:|--:|\n"
    text += "".join(f"| `{name}` | {statistics.median(us):.1f} | {min(us):.1f} |\n" for name, us in taken.items())
    measure.publish(text, RESULT.name, arguments.write)


if __name__ == "__main__":
    main()
