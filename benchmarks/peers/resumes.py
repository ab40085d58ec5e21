"""Trainings killed and gone on with: the same for each tool, whose own file says how it trains.

A training of 64 steps on 256 images: tiny_net.py, crops and flips drawn at random, SGD with momentum, a learning rate that falls after two epochs of
four. After each step it tells the step and its loss. Two trainings are left alone, and must be equal to the bit, or nothing is proved. Others are
killed with SIGKILL at a step drawn at random, and the same script is started again in the same folder. What counts are the steps that the second
process made: how many have another loss than the undisturbed training, and whether what is left in the end is the same to the bit.
"""

import argparse
import json
import random
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from forked import Forked, Tell

STEPS, EPOCHS, BATCH = 64, 4, 16
LR, MOMENTUM, STEP_SIZE, GAMMA = 0.01, 0.9, 2, 0.1
PAUSE = 0.01  # seconds after each step
Train = Callable[[Path, Tell], dict[str, str]]  # trains in a folder, or goes on there; returns a digest for each thing that is left


def images(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images_NHWC and labels_N of `train` or `test`: noise, so that no loss comes down to 0, where all are equal."""
    draw = np.random.default_rng(part == "test")
    num = 256 if part == "train" else 64
    return draw.integers(0, 256, (num, 16, 16, 3), dtype=np.uint8), np.arange(num) % 2


def start(train: Train, folder: Path) -> Forked:
    """Train in a process of its own."""

    def told(tell: Tell) -> None:
        def tell_slowly(step: int, loss: float) -> None:
            tell(step, loss)
            time.sleep(PAUSE)

        (folder / "outcome.json").write_text(json.dumps(train(folder, tell_slowly)))

    return Forked(told, folder / "says")


def finish(process: Forked, folder: Path) -> tuple[dict[int, float], dict[str, str]]:
    """Return the losses of its steps and what it left.

    Raises:
        SystemExit: it failed; what it said is told.
    """
    process.join(300)
    if process.code:
        raise SystemExit(f"a training ended with {process.code}:\n{(folder / 'says').read_text(errors='replace')[-3000:]}")
    return dict(process.told), json.loads((folder / "outcome.json").read_text())


def trial(name: str, train: Train, folder: Path, chance: random.Random) -> dict[str, Any]:
    """Kill a training, go on with it, and return what was killed where, and what the second process made."""
    at, rest = chance.randrange(18, 56), chance.uniform(0, 4 * PAUSE)
    killed = start(train, folder)
    killed.hear_until(lambda: len(killed.told) >= at, 120)
    killed.hear_until(lambda: False, rest)  # then at any moment of a step
    killed.stop()
    if killed.code != -signal.SIGKILL:
        raise SystemExit(f"{name} ended with {killed.code}:\n{(folder / 'says').read_text(errors='replace')[-3000:]}")
    losses, left = finish(start(train, folder), folder)
    return {"killed": killed.told[-1][0], "losses": losses, "left": left}


def main(rows: Mapping[str, Train]) -> None:
    """Run trials of each row, and print a line of JSON for each; there are none of a row whose undisturbed trainings differ."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=int, default=len(rows), help="only the last so many")
    given = parser.parse_args()
    for name, train in list(rows.items())[-given.rows :]:
        with tempfile.TemporaryDirectory() as place:
            folders = [Path(place) / str(number) for number in range(given.trials + 2)]
            for folder in folders:
                folder.mkdir()
            losses, left = finish(start(train, folders[0]), folders[0])
            is_equal = finish(start(train, folders[1]), folders[1]) == (losses, left)
            if sorted(losses) != [*range(1, STEPS + 1)] or len(set(losses.values())) < STEPS:
                raise SystemExit(f"{name}: its losses are no measure: {losses}")
            print(json.dumps({"tool": name, "part": "pair", "equal": is_equal}), flush=True)
            chance = random.Random(given.seed)
            for folder in folders[2:] if is_equal else ():
                found = trial(name, train, folder, chance)
                again: dict[int, float] = found["losses"]
                differ = sum(loss != losses.get(step) for step, loss in again.items())
                same = {what: digest == left[what] for what, digest in found["left"].items()}
                line = {"killed": found["killed"], "first": min(again), "steps": len(again), "differ": differ, "same": same}
                print(json.dumps({"tool": name, "part": "resume", **line}), flush=True)
