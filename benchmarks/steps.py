"""A training step in FLOP/s, on one thread and on all, beside the peak of the machine: what `zhurnal bench` measures, several times over.

    python benchmarks/steps.py --quick
    python benchmarks/steps.py --write

FLOPs are those of matrix products and convolutions, forward and backward (two for a multiplication with its addition); norms, pools and activations
count nothing and take time. There are two yardsticks: the fastest product of two square matrices (torch.mm of 1024 to 2048), and the faster of that
and a 3x3 convolution without padding, for a BLAS may leave half of a processor unused. A step is forward, loss, backward and update of one batch that
lies in memory. Each round measures everything; told are medians over rounds, for each network with the layout
and the batch (larger where there was more time) that are fastest.
"""

import argparse
import os
import statistics
import sys
from collections import defaultdict

import measure

from zhurnal.train import machine

TARGETS = {"airnet": 0.88, "resnet18": 0.80, "vgg_bn": 0.80}  # of the fastest matrix product, in float32


def main() -> None:
    """Measure, print, and write when asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60.0, help="that a round takes, about")
    parser.add_argument("--quick", action="store_true", help="one round of a few seconds: does it run?")
    parser.add_argument("--write", action="store_true", help="write results/steps.md")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    rounds, seconds = (1, 2.0) if given.quick else (given.rounds, given.seconds)
    peaks: dict[tuple[str, int], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))  # (precision, threads) -> kind -> GFLOP/s
    speeds: dict[tuple[str, str, int], dict[tuple[str, int], list[float]]] = defaultdict(lambda: defaultdict(list))
    for number in range(rounds):
        found = machine.begin(None, None)
        machine.measure(found, seconds=seconds)
        for peak in found.peaks:
            for kind, gflops in peak.tried.items():
                peaks[peak.precision, peak.threads][kind].append(gflops)
        for speed in found.speeds:
            layout = "channels last" if speed.step.channels_last else "contiguous"
            speeds[speed.model, speed.step.precision, speed.step.threads][layout, speed.step.batch].append(speed.gflops)
        measure.tell(f"round {number + 1} of {rounds}")
    text = f"# Training steps beside the machine's peak\n\n{measure.quick_note(given.quick)}{measure.machine(load)}; "
    text += f"{measure.versions(sys.executable, ('zhurnal', 'torch'))}; {measure.count(rounds, 'round')} of {seconds:.0f} s, median and range.\n\n"
    text += f"```\n{measure.command()}\n```\n\n| precision | threads | kind | GFLOP/s |\n|---|--:|---|--:|\n"
    for (precision, threads), kinds in peaks.items():
        for kind, values in kinds.items():
            text += f"| {precision} | {threads} | {kind} | {measure.median_and_range(values)} |\n"
    text += "\n| network | precision | threads | layout, batch | GFLOP/s | of the best matrix product | target | of the peak |\n"
    text += "|---|---|--:|---|--:|--:|---|--:|\n"
    for (model, precision, threads), ways in speeds.items():
        (layout, batch), values = max(ways.items(), key=lambda way: statistics.median(way[1]))
        medians = {kind: statistics.median(v) for kind, v in peaks[precision, threads].items()}
        gflops, product = statistics.median(values), max(v for kind, v in medians.items() if kind.startswith("product"))
        least = TARGETS.get(model) if precision == "float32" else None
        verdict = f"{100 * least:.0f} %, {'reached' if gflops / product >= least else 'missed'}" if least else ""
        text += f"| {model} | {precision} | {threads} | {layout}, {batch} | {measure.median_and_range(values)} "
        text += f"| {100 * gflops / product:.0f} % | {verdict} | {100 * gflops / max(medians.values()):.0f} % |\n"
    measure.publish(text, "steps.md", given.write)


if __name__ == "__main__":
    main()
