"""How long looking at a lab takes: 10,000 runs listed, sorted and compared, and a lab of 8 runs. Whole processes, start to end.

    python benchmarks/many_runs.py                       # prints the table
    python benchmarks/many_runs.py --write               # and writes benchmarks/results/many_runs.md
    python benchmarks/many_runs.py --peer --peer-python VENV/bin/python      # and MLflow on as many runs; see peers/mlflow_runs.py

The lab is made in a temporary folder: one experiment with full settings, the others differ from it in learning rate and weight decay. Each has one
finished run of 20 epochs whose rows are written by the store's own encoder, with the numbers of a curve that looks like one. The first `ls` makes
the index; then each command runs several times, in turns, and the median is told. CPU seconds (user and system) are what to compare: wall time counts
what else the machine does.
"""

import argparse
import contextlib
import datetime
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import measure
import orjson

from zhurnal.core.records import Row, encode
from zhurnal.store.lab import Lab

RESULT = measure.RESULTS / "many_runs.md"
EXAMPLE = Path(__file__).parents[1] / "examples" / "lenet-on-cifar10"
PEER = Path(__file__).parent / "peers" / "mlflow_runs.py"
EPOCHS, STEPS = 20, 391
START = datetime.datetime(2026, 9, 1, tzinfo=datetime.UTC)


def make_lab(folder: Path, num: int) -> Lab:
    """Make a lab of `num` experiments with one finished run each, and show how far it is."""
    lab = Lab.init(folder, "Many runs")
    first = lab.new({"model": "lenet", "data": "cifar10", "train.epochs": EPOCHS}, question="Which learning rate?")
    settings = first.settings.to_dict()
    for n in range(1, num + 1):
        name, lr, decay = f"e{n:04d}", float(f"{10 ** (-4 + 3 * _random(n)):.3g}"), float(f"{10 ** (-5 + 3 * _random(n, 2)):.2g}")
        if n > 1:
            changes = f"changes:\n  optimizer.lr: {lr!r}\n  optimizer.weight_decay: {decay!r}\n"
            text = f"question: Which learning rate?\nparent: e0001\n{changes}created: '{START.isoformat()}'\n"
            lab.file(name).write_text(text)
            settings["optimizer"] |= {"lr": lr, "weight_decay": decay}
        _make_run(lab.run_folder(name, 42), name, n, settings)
        if n % 100 == 0 or n == num:
            print(f"\r{n:,} of {num:,} runs made", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return lab


def _random(*keys: float) -> float:
    """A number in [0, 1) that looks random and is always the same."""
    return math.sin(sum(k * f for k, f in zip(keys, (12.9898, 78.233, 37.719), strict=False))) * 43758.5453 % 1


def _make_run(home: Path, name: str, n: int, settings: dict[str, object]) -> None:
    home.mkdir(parents=True, exist_ok=True)
    begin = START + datetime.timedelta(minutes=6 * n)
    top, seconds, best = 0.55 + 0.15 * _random(n, 3), 14 + _random(n, 4), (0.0, 0)
    rows: list[Row] = []
    events: list[Row] = [{"kind": "start", "time": begin.isoformat(), "attempt": 1, "step": 0, "epoch": 1, "machine": "made up"}]
    for epoch in range(1, EPOCHS + 1):
        rise = 1 - math.exp(-epoch / 6)
        loss, val_acc = 2.3 * (1 - rise) + 1 - top, round(0.1 + (top - 0.1) * rise + 0.006 * _random(n, epoch), 4)
        steps = range((epoch - 1) * STEPS // 50 * 50 + 50, epoch * STEPS + 1, 50)
        rows += [{"kind": "iter", "step": s, "epoch": epoch, "loss": loss + 0.1 * _random(n, s), "lr": 0.01} for s in steps]
        told = {"train_loss": loss, "train_acc": val_acc + 0.05, "val_loss": loss + 0.1 * _random(n, epoch, 1), "val_acc": val_acc}
        rows.append({"kind": "epoch", "epoch": epoch, "step": epoch * STEPS, "lr": 0.01, **told, "num_train": 45_000, "num_val": 5_000})
        at = (begin + datetime.timedelta(seconds=epoch * seconds)).isoformat()
        rate = {"train_seconds": seconds - 1, "val_seconds": 1.0, "images_per_second": 45_000 / seconds, "partial": False}
        events.append({"kind": "time", "time": at, "epoch": epoch, "seconds": seconds + _random(n, epoch, 2), **rate})
        best = max(best, (val_acc, -epoch))
    end = {"epoch": EPOCHS, "step": EPOCHS * STEPS}
    rows.append({"kind": "end", **end, "best_epoch": -best[1], "best_val_acc": best[0], "weights": "ab" * 32})
    events.append({"kind": "stop", "time": events[-1]["time"], "status": "finished", **end, "reason": ""})
    images = {"num_train": 45_000, "num_val": 5_000, "num_test": 10_000, "mean": [0.49, 0.48, 0.45], "std": [0.2, 0.2, 0.2], "image": [3, 32, 32]}
    data = {"name": "cifar10", "fingerprint": "c1fa" * 16, "classes": list("0123456789"), **images, "validation": "10 % of the training images"}
    effective = {"experiment": name, "seed": 42, "settings": settings, "continue": None, "data": {**data, "notes": []}, "sources": {}}
    effective |= {"model": {"num_parameters": 62_006}, "device": "cpu", "num_threads": 1, "started_from": None}
    (home / "record.jsonl").write_bytes(b"".join(map(encode, rows)))
    (home / "events.jsonl").write_bytes(b"".join(map(encode, events)))
    (home / "effective.json").write_bytes(orjson.dumps(effective, option=orjson.OPT_INDENT_2))


# --- measuring ---


class Taken(NamedTuple):
    """What a command took: the median and the least CPU seconds, the median of wall seconds, the most memory in MiB."""

    cpu: float
    least: float
    wall: float
    memory: float


def once(command: Sequence[str]) -> tuple[float, float, float, str]:
    """Run a command; return CPU seconds, wall seconds, the most memory it held in MiB, and what it printed."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(command, stdout=told)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        told.seek(0)
        text = told.read().decode()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with status {process.returncode}")
    return used.ru_utime + used.ru_stime, time.perf_counter() - began, used.ru_maxrss / 1024, text


def summed(taken: Sequence[tuple[float, float, float, str]]) -> Taken:
    """Return medians over rounds."""
    cpu = [t[0] for t in taken]
    return Taken(statistics.median(cpu), min(cpu), statistics.median(t[1] for t in taken), max(t[2] for t in taken))


def time_commands(lab: Path, commands: Sequence[Sequence[str]], rounds: int) -> list[Taken]:
    """Return what each command took; the commands take turns."""
    zhurnal = [sys.executable, "-m", "zhurnal", "--lab", str(lab)]
    return [summed(c) for c in zip(*[[once([*zhurnal, *c]) for c in commands] for _ in range(rounds)], strict=True)]


@contextlib.contextmanager
def folder(given: Path | None) -> Iterator[Path]:
    """Give a folder for labs: the one given, which stays, or a temporary one."""
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given
    else:
        with tempfile.TemporaryDirectory(prefix="many-runs-") as made:
            yield Path(made)


def small_lab(home: Path) -> Path:
    """Copy the first 8 experiments of the example lab, real runs of 20 to 80 epochs."""
    for part in ("zhurnal.yaml", *(f"experiments/e{n:04d}.yaml" for n in range(1, 9))):
        (home / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(EXAMPLE / part, home / part)
    for n in range(1, 9):
        shutil.copytree(EXAMPLE / f"experiments/logs/e{n:04d}", home / f"experiments/logs/e{n:04d}", dirs_exist_ok=True)
    return home


def main() -> None:
    """Make the labs, measure, print, and write when asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num", type=int, default=10_000, help="runs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="make the labs here, and use those that are here already")
    parser.add_argument("--peer", action="store_true", help="measure MLflow too")
    parser.add_argument("--peer-python", default=sys.executable, metavar="PATH", help="a Python that has mlflow")
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name}")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    with folder(arguments.keep) as home:
        many, few = home / f"lab-{arguments.num}", home / "lab-8"
        if not (many / "zhurnal.yaml").exists():
            make_lab(many, arguments.num)
        small_lab(few)
        for lab in (many, few):
            shutil.rmtree(lab / ".zhurnal", ignore_errors=True)
        time.sleep(3)  # what was written just now is not kept in the index
        some = f"e0001-e{min(100, arguments.num):04d}"
        first = ("ls", "--sort", "-val_acc", "--limit", "100")
        looks = [first, ("ls",), ("ls", "--sort", "val_loss"), ("compare", some, "--figures", "none")]
        rows = [(f"`{' '.join(first)}`, the first, which makes the index", arguments.num, time_commands(many, [first], 1)[0])]
        size = (many / ".zhurnal" / "cache" / "index.sqlite").stat().st_size / 2**20
        rows += [(f"`{' '.join(c)}`", arguments.num, m) for c, m in zip(looks, time_commands(many, looks, arguments.rounds), strict=True)]
        looks = [("ls",), ("compare", "e0001-e0008", "--figures", "none")]
        rows += [(f"`{' '.join(looks[0])}`, the first", 8, time_commands(few, looks[:1], 1)[0])]
        rows += [(f"`{' '.join(c)}`", 8, m) for c, m in zip(looks, time_commands(few, looks, arguments.rounds), strict=True)]
        if arguments.peer:
            command = [arguments.peer_python, str(PEER), "--num", str(arguments.num), "--folder", str(home)]
            peer = once([*command, "--make"])[3].strip().splitlines()[-1]
            taken = [once(command) for _ in range(arguments.rounds)]
            call = [float(t[3].split()[-1]) for t in taken]
            what = f'{peer}, `search_runs(order_by=["metrics.m3 DESC"], max_results=100)`'
            rows.append((f"{what}, whole process", arguments.num, summed(taken)))
            rows.append((f"{what}, the call alone", arguments.num, Taken(statistics.median(call), min(call), math.nan, summed(taken).memory)))
    versions = measure.versions(sys.executable, ("zhurnal", "orjson", "click", "pydantic"))
    text = f"# Looking at a lab of {arguments.num:,} runs, and of 8\n\n"
    text += f"{measure.machine(load)}; {versions}. Medians of\n"
    text += (
        f"{arguments.rounds} whole processes, start to end, user and system time together; the first of each lab once. The machine was not idle:\n"
    )
    text += (
        f"trust CPU seconds, not wall. The index of {arguments.num:,} runs takes {size:.0f} MiB. Generated runs have 20 epochs; those of the small\n"
    )
    text += "lab are real. `least` is the best round; memory is at least that of the measuring process (about 50 MiB).\n\n"
    text += f"```\n{measure.command()}\n```\n\n"
    text += "| command | runs | CPU s | least | wall s | memory MiB |\n|---|--:|--:|--:|--:|--:|\n"
    for what, num, t in rows:
        text += f"| {what} | {num:,} | {t.cpu:.2f} | {t.least:.2f} | {'–' if math.isnan(t.wall) else f'{t.wall:.2f}'} | {t.memory:.0f} |\n"
    measure.publish(text, RESULT.name, arguments.write)


if __name__ == "__main__":
    main()
