"""Everything that is not the network: an epoch of `zhurnal run` against the same network stepped as often on one batch that stays in memory.

    python benchmarks/overhead.py --quick
    python benchmarks/overhead.py --write

Both do the same network calls: so many training steps (forward, loss, backward, optimizer), so many validation batches forward. `zhurnal run` adds
all the rest: images taken, augmented, normalized, losses summed and logged, record, TensorBoard events, predictions, checkpoints, progress. Turns
and cost as measure.py describes. LeNet has an epoch of CIFAR-10; the large networks have short epochs, on which what comes once an epoch weighs far
more than on whole ones: theirs is an upper bound.

What these add to whole epochs of CIFAR-10 is measured by the loop's own clock (train/epoch_time.py, as `zhurnal bench` does): the seconds outside
forward, backward, optimizer and validation against those inside, over so many steps, put together to an epoch. It does not see what caches lost.
"""

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

import measure

BATCH, BATCH_VAL = 128, 256
WHOLE = (50_000, 10_000)  # training and validation images of CIFAR-10
# For each network: training images, validation images, and the most that all else may add.
NETWORKS = {"lenet": (50_000, 10_000, 0.10), "resnet18": (8 * BATCH, BATCH_VAL, 0.02), "vgg_bn": (8 * BATCH, BATCH_VAL, 0.02)}


def resident(lab: str, epochs: int) -> None:
    """Step the network of e0001 on its first batch, in this process, as often as its epochs have steps; laid out as the run did it."""
    import torch
    from torch.nn.functional import cross_entropy

    from zhurnal.api import Lab
    from zhurnal.train import tuning
    from zhurnal.train.setup import build, tune
    from zhurnal.train.watch import Silent

    opened = Lab(Path(lab))
    experiment = opened.experiment("e0001")
    settings = experiment.settings.train
    torch.set_num_threads(settings.num_threads)
    tuning.keep_memory()
    parts = build(opened, experiment, experiment.settings.seeds[0], download=False, watcher=Silent())
    (run,) = opened.runs("e0001")
    parts = tune(parts, tuning.resumed(run.effective), settings.num_threads)
    model, optimizer = parts.model, parts.optimizer
    images_NCHW, labels_N = next(iter(parts.feed.batches(0, 0)))
    val_NCHW = parts.normalize(parts.data.val.take(torch.arange(min(settings.batch_size_val, len(parts.data.val))))[0])
    for epoch in range(epochs):
        model.train()
        for _ in range(parts.feed.num_batches):
            optimizer.zero_grad()
            cross_entropy(model(images_NCHW), labels_N).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            for _ in range(-(-len(parts.data.val) // settings.batch_size_val)):
                model(val_NCHW)
        print(f"epoch {epoch + 1}/{epochs}", flush=True)


def clocked(lab: str, seconds: float) -> None:
    """Print what all but the network adds to a whole epoch of e0001, by the clock of the loop, in this process."""
    import torch

    from zhurnal.api import Lab
    from zhurnal.train import tuning
    from zhurnal.train.epoch_time import measure_epoch
    from zhurnal.train.setup import build, tune
    from zhurnal.train.timing import BACKWARD, FORWARD, OPTIMIZER, VALIDATION
    from zhurnal.train.watch import Silent

    opened = Lab(Path(lab))
    experiment = opened.experiment("e0001")
    settings, threads = experiment.settings, experiment.settings.train.num_threads
    torch.set_num_threads(threads)
    tuning.keep_memory()
    parts = build(opened, experiment, settings.seeds[0], download=False, watcher=Silent())
    choice = tuning.choose(settings, parts.model, parts.data.image, len(parts.data.train), parts.device, threads, opened.cache)
    parts = tune(parts, choice, threads)
    with tempfile.TemporaryDirectory(dir=lab) as folder:
        found = measure_epoch(experiment, parts, Path(folder), seconds=seconds)
    network = sum(part.seconds for part in found.parts if part.name in (FORWARD, BACKWARD, OPTIMIZER, VALIDATION))
    print(f"added {found.seconds / network - 1:.6f} steps {found.steps_measured}", flush=True)


def main() -> None:
    """Measure, print, and write when asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3, help="epochs of a run; the first does not count")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--transform", default="augment_simple")
    parser.add_argument("--only", default=",".join(NETWORKS), help="networks, with commas")
    parser.add_argument("--quick", action="store_true", help="one round of LeNet on few images: does it run?")
    parser.add_argument("--write", action="store_true", help="write results/overhead.md")
    parser.add_argument("--clock-seconds", type=float, default=30, help="how long the clock of the loop counts, for large networks")
    parser.add_argument("--resident", help=argparse.SUPPRESS)  # what is run for the other side: the lab
    parser.add_argument("--clocked", help=argparse.SUPPRESS)  # what is run for the clock: the lab
    given = parser.parse_args()
    if given.resident:
        resident(given.resident, given.epochs)
        return
    if given.clocked:
        clocked(given.clocked, given.clock_seconds)
        return
    load = os.getloadavg()[0]
    if unknown := [name for name in given.only.split(",") if name not in NETWORKS]:
        parser.error(f"--only {','.join(unknown)} is none of {', '.join(NETWORKS)}")
    networks = {name: NETWORKS[name] for name in given.only.split(",")}
    rounds, epochs, whole = given.rounds, given.epochs, WHOLE
    if given.quick:
        networks, rounds, epochs = {"lenet": (10 * BATCH, 2 * BATCH_VAL, NETWORKS["lenet"][2])}, 1, 2
        whole, given.clock_seconds = (20 * BATCH, 4 * BATCH_VAL), 1.0
    costs: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in networks}  # CPU and wall seconds of ours, of the network
    by_clock: dict[str, list[float]] = {name: [] for name, (num_train, *_) in networks.items() if num_train < whole[0]}
    with tempfile.TemporaryDirectory() as temporary:
        for name, (num_train, num_val, _) in networks.items():
            measure.write_arrays(None, Path(temporary) / f"{name}.npz", num_train, num_val)
        if by_clock:
            measure.write_arrays(None, Path(temporary) / "whole.npz", *whole)
        for number in range(rounds):
            for name in networks:
                with tempfile.TemporaryDirectory() as lab:
                    settings = [f"model={name}", f"data.transform={given.transform}", f"train.epochs={epochs}", f"train.num_threads={given.threads}"]
                    settings += [f"train.batch_size={BATCH}", f"train.batch_size_val={BATCH_VAL}"]
                    command = measure.make_lab(Path(lab), [*measure.on_arrays(Path(temporary) / f"{name}.npz"), *settings])
                    alone = [sys.executable, __file__, "--resident", lab, "--epochs", str(epochs)]
                    costs[name].append((*measure.watch(command, given.threads).per_epoch(), *measure.watch(alone, given.threads).per_epoch()))
                ours, wall, network, wall_network = costs[name][-1]
                measure.tell(f"round {number + 1}, {name}: {ours:.2f} CPU s an epoch, the network {network:.2f}; wall {wall:.2f}, {wall_network:.2f}")
                if name in by_clock:
                    with tempfile.TemporaryDirectory() as lab:
                        measure.make_lab(Path(lab), [*measure.on_arrays(Path(temporary) / "whole.npz"), *settings])
                        clock = [sys.executable, __file__, "--clocked", lab, "--clock-seconds", str(given.clock_seconds)]
                        by_clock[name].append(100 * float(measure.watch(clock, given.threads).lines[-1].split()[1]))
                    measure.tell(f"round {number + 1}, {name}: {by_clock[name][-1]:.2f} % added to a whole epoch, by the clock of the loop")
    text = f"# What training adds to the network\n\n{measure.quick_note(given.quick)}{measure.machine(load)}; "
    text += f"{measure.both_versions(sys.executable, ())}; "
    text += f"{measure.count(rounds, 'round')} of {epochs} epochs, {measure.count(given.threads, 'thread')}, batch {BATCH}, `{given.transform}`; "
    text += f"median and range.\n\n```\n{measure.command()}\n```\n\n"
    text += "| network | images of an epoch | CPU s an epoch | of which the network | added, CPU | added, wall | target | |\n"
    text += "|---|--:|--:|--:|--:|--:|--:|---|\n"
    for name, found in costs.items():
        num_train, num_val, most = networks[name]
        added = [100 * (ours / network - 1) for ours, _, network, _ in found]
        added_wall = [100 * (wall / alone - 1) for _, wall, _, alone in found]
        cells = [measure.median_and_range([row[column] for row in found], 2) for column in (0, 2)]
        verdict = "reached" if statistics.median(added) <= 100 * most else "missed"
        text += f"| {name} | {num_train:,} + {num_val:,} | {cells[0]} | {cells[1]} | {measure.median_and_range(added)} % "
        text += f"| {measure.median_and_range(added_wall)} % | {100 * most:.0f} % | {verdict} |\n"
    if by_clock:
        text += f"\nWhat the loop's own clock counts outside network and validation, in {measure.count(round(given.clock_seconds), 'second')} put "
        text += f"together to an epoch of {whole[0]:,} images and a validation of {whole[1]:,}:\n\n"
        text += "| network | added, wall | target | |\n|---|--:|--:|---|\n"
    for name, shares in by_clock.items():
        most = 100 * networks[name][2]
        verdict = "reached" if statistics.median(shares) <= most else "missed"
        text += f"| {name} | {measure.median_and_range(shares)} % | {most:.0f} % | {verdict} |\n"
    measure.publish(text, "overhead.md", given.write)


if __name__ == "__main__":
    main()
