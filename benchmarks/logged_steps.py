"""Logging a step: CPU microseconds, and what is left after `kill -9`, for Zhurnal's record, TensorBoard's writer, trackio, and plain JSON lines.

    python benchmarks/logged_steps.py --quick
    python benchmarks/logged_steps.py --peer-python .peers/bin/python --write

A step logs a loss and a learning rate. Zhurnal's is what training does: `Log.row`, with and without TensorBoard events beside the record. CPU is
that of the process and all below it, threads included. For the kills, a process logs a thousand steps a second, and counts them in memory that
outlives it; it is killed at a random moment between a half and two seconds, and what can be read then is compared with what it had logged.
"""

import argparse
import json
import mmap
import os
import random
import signal
import sqlite3
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import measure

TARGET = 50  # CPU microseconds for a step of Zhurnal's
Step = Callable[[int, float, float], object]  # step from 1, loss, learning rate


@contextmanager
def zhurnal(folder: Path, tensorboard: bool) -> Iterator[Step]:
    """Log as training does."""
    from zhurnal.store.keeper import Keeper
    from zhurnal.store.record import Record
    from zhurnal.train.board import Board
    from zhurnal.train.log import Log
    from zhurnal.train.watch import Guarded, Silent

    keeper = Keeper(folder)
    with (
        Record(folder / "record.jsonl", resumed=True, keeper=keeper) as record,
        Record(folder / "events.jsonl", keeper=keeper) as events,
        Board(folder / "tensorboard", tensorboard, keeper) as board,
    ):
        log = Log(folder, record, events, board, keeper, Guarded(Silent(), keeper))
        with keeper.running(log.warn):
            yield lambda step, loss, lr: log.row({"kind": "iter", "step": step, "epoch": 1, "loss": loss, "lr": lr})


def zhurnal_left(folder: Path) -> int:
    """Count the rows of the record."""
    from zhurnal.store.record import read

    return len(read(folder / "record.jsonl")[0])


@contextmanager
def tensorboard(folder: Path) -> Iterator[Step]:
    """Log by TensorBoard's writer, as torch has it."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder / "tensorboard")) as writer:

        def log(step: int, loss: float, lr: float) -> None:
            writer.add_scalar("loss/iter", loss, step)
            writer.add_scalar("lr/iter", lr, step)

        yield log


def tensorboard_left(folder: Path) -> int:
    """Count the steps whose loss is in the event files."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    files = sorted((folder / "tensorboard").glob("*tfevents*"))
    return sum(v.tag == "loss/iter" for file in files for event in LegacyEventFileLoader(str(file)).Load() for v in event.summary.value)


@contextmanager
def trackio(folder: Path) -> Iterator[Step]:
    """Log by trackio, on this machine alone."""
    os.environ["TRACKIO_DIR"] = str(folder)
    import trackio as package

    package.init(project="steps", embed=False, auto_log_cpu=False, auto_log_gpu=False)
    yield lambda step, loss, lr: package.log({"loss": loss, "lr": lr}, step=step)
    package.finish()


def trackio_left(folder: Path) -> int:
    """Count the rows of its database."""
    found = 0
    for path in folder.glob("*.db"):
        with sqlite3.connect(path) as database:
            tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
            found += database.execute("select count(*) from metrics").fetchone()[0] if "metrics" in tables else 0
    return found


@contextmanager
def json_lines(folder: Path) -> Iterator[Step]:
    """Log as a script of one's own does: a line of JSON in an open file, which Python writes when its buffer is full."""
    with (folder / "log.jsonl").open("w") as file:
        yield lambda step, loss, lr: file.write(json.dumps({"step": step, "loss": loss, "lr": lr}) + "\n")


def json_lines_left(folder: Path) -> int:
    """Count the whole lines."""
    return (folder / "log.jsonl").read_bytes().count(b"\n")


# For each tool: how it is opened, how what is left is counted, the package it needs.
TOOLS: dict[str, tuple[Callable[[Path], object], Callable[[Path], int], str]] = {
    "Zhurnal": (lambda folder: zhurnal(folder, True), zhurnal_left, "zhurnal"),
    "Zhurnal without TensorBoard": (lambda folder: zhurnal(folder, False), zhurnal_left, "zhurnal"),
    "TensorBoard's SummaryWriter": (tensorboard, tensorboard_left, "tensorboard"),
    "trackio": (trackio, trackio_left, "trackio"),
    "JSON lines": (json_lines, json_lines_left, "json"),
}


def child(tool: str, folder: Path, steps: int, paced: bool) -> None:
    """Log steps in this process: as fast as it goes, or a thousand a second with a count in shared memory."""
    opened = TOOLS[tool][0](folder)
    with (folder / "count").open("r+b") as file, mmap.mmap(file.fileno(), 8) as counter, opened as log:  # type: ignore[attr-defined]
        for step in range(1, 21):  # opens files, starts threads
            log(step, 2.3, 0.01)
        print("epoch 1/2", flush=True)
        began = time.monotonic()
        for step in range(21, steps + 21):
            log(step, 2.3456789 / step, 0.01)
            if paced:
                counter[:] = struct.pack("<q", step)
                time.sleep(max(0.0, began + (step - 20) / 1000 - time.monotonic()))
    print("epoch 2/2", flush=True)


def start(tool: str, folder: Path, python: str, steps: int, paced: bool) -> list[str]:
    """Return the command for a child, its counter made."""
    (folder / "count").write_bytes(bytes(8))
    interpreter = sys.executable if TOOLS[tool][2] == "zhurnal" else python
    return [interpreter, __file__, "--child", tool, "--folder", str(folder), "--steps", str(steps), *(["--paced"] if paced else [])]


def kill(tool: str, python: str, seconds: float) -> tuple[int, int]:
    """Kill a process that logs, so many seconds after it began; return how many steps it had logged, and how many can be read."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(measure.ROOT / "src"), os.environ.get("PYTHONPATH")]))}
        process = subprocess.Popen(
            start(tool, folder, python, 100_000, True), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, start_new_session=True
        )
        assert process.stdout is not None
        for line in process.stdout:  # the first steps are logged
            if b"epoch 1/2" in line:
                break
        time.sleep(seconds)
        process.kill()
        if process.wait() != -signal.SIGKILL:
            raise SystemExit(f"{tool} ended with {process.returncode} before it was killed")
        process.stdout.close()
        (logged,) = struct.unpack("<q", (folder / "count").read_bytes())
        command = [*start_left(tool, python), "--folder", temporary]
        left = int(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.split()[-1])
    return logged, left


def start_left(tool: str, python: str) -> list[str]:
    """Return the command that counts what is left."""
    return [sys.executable if TOOLS[tool][2] == "zhurnal" else python, __file__, "--left", tool]


def main() -> None:
    """Measure, print, and write when asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", default=sys.executable, help="Python with TensorBoard and trackio, see benchmarks/peers/README.md")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="one round, two kills: does it run?")
    parser.add_argument("--write", action="store_true", help="write results/logged_steps.md")
    for name in ("--child", "--left", "--folder"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, default=50_000, help="steps whose CPU is measured")
    parser.add_argument("--paced", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child, Path(given.folder), given.steps, given.paced)
        return
    if given.left:
        print(TOOLS[given.left][1](Path(given.folder)))
        return
    load, chance = os.getloadavg()[0], random.Random(0)
    rounds, kills, steps = (1, 2, 2_000) if given.quick else (given.rounds, given.kills, given.steps)
    tools = [t for t in TOOLS if TOOLS[t][2] == "zhurnal" or measure.has(given.peer_python, TOOLS[t][2])]
    cpu: dict[str, list[float]] = {t: [] for t in tools}
    killed: dict[str, list[tuple[int, int]]] = {t: [] for t in tools}
    for number in range(rounds):
        for tool in tools:
            with tempfile.TemporaryDirectory() as folder:
                watched = measure.watch(start(tool, Path(folder), given.peer_python, steps, False))
            cpu[tool].append(watched.per_epoch()[0] / steps * 1e6)
            measure.tell(f"round {number + 1}, {tool}: {cpu[tool][-1]:.1f} CPU us a step")
    for number in range(kills):
        for tool in tools:
            killed[tool].append(kill(tool, given.peer_python, chance.uniform(0.5, 2.0)))
            measure.tell(f"kill {number + 1}, {tool}: {killed[tool][-1][1]} of {killed[tool][-1][0]} steps left")
    text = f"# Logging a step\n\n{measure.quick_note(given.quick)}{measure.machine(load)}; "
    text += f"{measure.both_versions(given.peer_python, ('torch', 'tensorboard', 'trackio'))}; {measure.count(rounds, 'round')} of {steps:,} steps, "
    text += f"{measure.count(kills, 'kill')}; median and range.\n\n```\n{measure.command()}\n```\n\n"
    text += "| tool | CPU us a step | steps logged until killed | lost, mean | lost, most | runs that lost none |\n|---|--:|--:|--:|--:|--:|\n"
    for tool in tools:
        lost = [max(0, logged - left) for logged, left in killed[tool]]
        logged = statistics.mean(n for n, _ in killed[tool])
        text += f"| {tool} | {measure.median_and_range(cpu[tool])} | {logged:,.0f} | {statistics.mean(lost):,.1f} | {max(lost):,} "
        text += f"| {sum(n == 0 for n in lost)} of {len(lost)} |\n"
    missed = [t for t in tools if TOOLS[t][2] == "zhurnal" and (statistics.median(cpu[t]) > TARGET or any(left < n for n, left in killed[t]))]
    text += f"\nTarget: at most {TARGET} CPU us a step, and no step lost: {f'missed by {chr(44).join(missed)}' if missed else 'reached'}.\n"
    measure.publish(text, "logged_steps.md", given.write)


if __name__ == "__main__":
    main()
