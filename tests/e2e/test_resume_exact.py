"""Resume is exact: a run killed with SIGKILL, again and again and at chosen moments, ends with the same weights and record as one left alone.

Real processes are killed. They come from a fork server that has torch imported already, so a kill costs milliseconds.
"""

import os
import random
import signal
import time
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from campaign import labs
from campaign.labs import fork_server, make_lab, outcome
from zhurnal.api import Lab
from zhurnal.store import runs

pytestmark = pytest.mark.slow


def child(folder: str, point: str, count: int) -> None:
    """Run e0001; kill this process with SIGKILL the `count`-th time that `point` is reached."""
    from zhurnal.train import log, state
    from zhurnal.train import run as running

    left = [count]

    def die_in(module: object, name: str, *, after: bool) -> None:
        real = getattr(module, name)

        def wrapped(*args: object, **options: object) -> object:
            left[0] -= 1
            result = real(*args, **options) if after or left[0] else None
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(module, name, wrapped)

    points = {
        "after a step": (running, "train_step", True),
        "before validation": (running, "evaluate", False),
        "after validation": (running, "evaluate", True),
        "before a file of a checkpoint": (state.files, "write", False),
        "after a file of a checkpoint": (state.files, "write", True),
        "at the best weights": (state, "save_best", True),
        "after a checkpoint": (state, "save", True),
    }

    def die_in_the_middle_of_a_file(path: Path, data: bytes) -> Path:
        left[0] -= 1
        if not left[0]:
            (path.parent / f".{path.name}.half.tmp").write_bytes(data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return written(path, data)

    def die_between_batches(_: object) -> None:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    written = state.files._temporary
    if point in ("at any time, slowly", "at any time, and waits for it"):
        # a quick machine must not end the run before it is killed: the steps take their time, and the last validation waits
        step, evaluate, validations = running.train_step, running.evaluate, [0]

        def slowly(*arguments: object, **options: object) -> object:
            time.sleep(0.004)
            return step(*arguments, **options)

        def waiting(*arguments: object, **options: object) -> object:
            validations[0] += 1
            if point.endswith("waits for it") and validations[0] == labs.CHANGES["train.epochs"]:
                time.sleep(600)
            return evaluate(*arguments, **options)

        running.train_step, running.evaluate = slowly, waiting
    elif point == "in the middle of a file":
        state.files._temporary = die_in_the_middle_of_a_file
    elif point == "between two batches of validation":
        real = running.evaluate
        running.evaluate = lambda *a: real(*a[:6], die_between_batches, *a[7:])
    elif point != "at any time":
        module, name, after = points[point]
        die_in(module, name, after=after)
    # the pause between checkpoints, which keeps them cheap, would keep them rare in a run of two seconds
    log.CHECKPOINT_SHARE = 1.0
    running.run(Lab(folder), "e0001")


@pytest.fixture(scope="module")
def context() -> ForkServerContext:
    return fork_server()


def attempt(context: ForkServerContext, lab: Lab, point: str, count: int) -> int:
    return labs.attempt(context, child, str(lab.folder), point, count)


@pytest.fixture(scope="module")
def undisturbed(context, tmp_path_factory) -> labs.Outcome:
    lab = make_lab(tmp_path_factory.mktemp("labs") / "undisturbed")
    assert attempt(context, lab, "at any time", 0) == 0
    return outcome(lab)


POINTS = [
    ("after a step", [1, 12, 13, 14, 27]),
    ("before validation", [1, 3]),
    ("between two batches of validation", [1, 4]),
    ("in the middle of a file", [2, 3, 5]),
    ("after validation", [2, 6]),
    ("before a file of a checkpoint", [1, 2, 3, 7, 8]),
    ("after a file of a checkpoint", [1, 2, 5, 6]),
    ("at the best weights", [1, 2]),
    ("after a checkpoint", [1, 4]),
]


@pytest.mark.parametrize(("point", "counts"), POINTS, ids=[p for p, _ in POINTS])
def test_killed_at_a_chosen_moment(context, tmp_path, undisturbed, point, counts):
    lab = make_lab(tmp_path / "lab")
    kills = 0
    for count in counts:
        ended = attempt(context, lab, point, count)
        assert ended in (-signal.SIGKILL, 0)
        kills += ended != 0
        assert lab.runs("e0001")[0].status in ("waiting", "interrupted", "finished")
    assert attempt(context, lab, "at any time", 0) == 0
    assert kills >= 1, "nothing was killed"
    assert outcome(lab) == undisturbed
    events, problems = runs.record.read(lab.run_folder("e0001", 42) / "events.jsonl")
    assert not problems
    assert not [e for e in events if e["kind"] == "warning" and "not exact" in e["text"]]


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_random_moments(context, tmp_path, undisturbed, seed):
    draw = random.Random(seed)
    lab = make_lab(tmp_path / "lab")
    kills = 0
    for number in range(12):
        # nothing happens before the run has set up: begin to count when its lock is held
        process = context.Process(target=child, args=(str(lab.folder), "at any time, slowly" if number else "at any time, and waits for it", 0))
        process.start()
        deadline = time.monotonic() + 60
        while not runs.is_locked(lab.run_folder("e0001", 42)) and process.is_alive() and time.monotonic() < deadline:
            time.sleep(0.005)
        assert not process.is_alive() or runs.is_locked(lab.run_folder("e0001", 42)), "it did not begin"
        process.join(draw.uniform(0.02, 0.4))
        if not process.is_alive():
            assert process.exitcode == 0
            break
        process.kill()
        process.join()
        kills += 1
    assert kills >= 1
    assert attempt(context, lab, "at any time", 0) == 0
    assert outcome(lab) == undisturbed


def test_a_torn_line_and_a_damaged_checkpoint_are_told_and_survived(context, tmp_path, undisturbed):
    lab = make_lab(tmp_path / "lab")
    assert attempt(context, lab, "after a step", 40) == -signal.SIGKILL
    home = lab.run_folder("e0001", 42)
    newest = max((home / "checkpoints").glob("state-*.pt"))
    damaged = bytearray(newest.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    newest.write_bytes(damaged)
    with (home / "record.jsonl").open("ab") as file:
        file.write(b'{"kind":"iter","step":41,"lo')
    assert attempt(context, lab, "at any time", 0) == 0
    assert outcome(lab) == undisturbed
    told = " ".join(lab.runs("e0001")[0].warnings)
    assert newest.name in told
    assert "damaged" in told
    assert "torn" in told


def test_another_run_of_the_same_experiment_is_refused(context, tmp_path):
    lab = make_lab(tmp_path / "lab")
    with runs.locked(lab.run_folder("e0001", 42), "e0001"), pytest.raises(Exception, match=f"already running .process {os.getpid()}"):
        lab.run("e0001")
