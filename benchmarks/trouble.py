"""Killed writers, full disks, killed trainings: what Zhurnal, TensorBoard's writer, trackio and Lightning's resume lose, by the same scripts.

    python benchmarks/trouble.py --quick --alone
    python benchmarks/trouble.py --peer-python .peers/bin/python --write

What is done to each stands at the top of `peers/writers.py` and `peers/resumes.py`; how each is used, and what choices it was given, in
`peers/README.md`. The small disks are file systems in memory, mounted in a name space of their own; where that is not permitted, they are left out.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import measure

WITHIN = 2.0  # seconds in which a person must be told of a full disk
QUICK = "**A trial of one or two of each: it shows that everything runs.**\n\n"
NOT_MOUNTED = "Not tried, for any of the tools: no file system can be mounted here.\n"
MOUNT = 'mount -t tmpfs -o size=16m none "$1" && shift && exec "$@"'
Trial = dict[str, Any]


def run(script: str, python: str, *words: str, before: Sequence[str] = ()) -> list[Trial]:
    """Run a script of `peers/`, and return the trials that it printed."""
    command = [*before, python, str(measure.ROOT / "benchmarks" / "peers" / script), *words]
    found = [json.loads(line) for line in measure.watch(command).lines if line.startswith('{"tool"')]
    measure.tell(f"{script} {words[0]}: {measure.count(len(found), 'line')}")
    return found


def can_mount() -> bool:
    """Return whether a small file system can be mounted here."""
    sys.path.append(str(measure.ROOT))
    from campaign import disks

    return disks.can_mount()


def kills(script: str, python: str, trials: int, seconds: float, seed: int) -> list[Trial]:
    """Kill writers."""
    with tempfile.TemporaryDirectory() as folder:
        return run(script, python, "kill", "--folder", folder, "--trials", str(trials), "--seconds", str(seconds), "--seed", str(seed))


def fills(script: str, python: str, trials: int, seconds: float, seed: int) -> list[Trial]:
    """Let writers run on a disk that fills up."""
    with tempfile.TemporaryDirectory() as folder:
        before = ["unshare", "-Urm", "sh", "-c", MOUNT, "sh", folder]
        words = ["disk", "--folder", folder, "--trials", str(trials), "--seconds", str(seconds), "--seed", str(seed)]
        return run(script, python, *words, before=before)


def resumes(script: str, python: str, trials: int, seed: int, *words: str) -> list[Trial]:
    """Kill trainings, and go on with them."""
    return run(script, python, "--trials", str(trials), "--seed", str(seed), *words)


def by_tool(trials: Sequence[Trial], part: str) -> dict[str, list[Trial]]:
    """Return the trials of a part, for each tool."""
    found: dict[str, list[Trial]] = {}
    for one in trials:
        if one["part"] == part:
            found.setdefault(one["tool"], []).append(one)
    return found


def of(number: int, all_of: int) -> str:
    """Return `3 of 5`."""
    return f"{number} of {all_of}"


def table_of_kills(trials: Sequence[Trial]) -> str:
    """Return the table of killed writers."""
    text = "| tool | kills | points acknowledged | lost | kills that lost some | most in one |\n|---|--:|--:|--:|--:|--:|\n"
    for tool, found in by_tool(trials, "kill").items():
        lost = [one["lost"] for one in found]
        acknowledged = sum(one["acknowledged"] for one in found)
        text += f"| {tool} | {len(found)} | {acknowledged:,} | {sum(lost):,} | {of(sum(map(bool, lost)), len(found))} | {max(lost):,} |\n"
    return text


def table_of_disks(trials: Sequence[Trial]) -> str:
    """Return the table of full disks, and what was said."""
    text = "| tool | disks | process lives | told | after, s | logs on afterwards | points acknowledged | refused | acknowledged and lost | holes |\n"
    text += f"|---|{'--:|' * 9}\n"
    said = ""
    for tool, found in by_tool(trials, "disk").items():
        told = [one["told"] for one in found if one["told"] is not None]
        all_of = len(found)
        text += f"| {tool} | {all_of} | {of(sum(one['lives'] for one in found), all_of)} | {of(len(told), all_of)} "
        text += f"| {measure.median_and_range(told, 2)} | {of(sum(one['logs'] for one in found), all_of)} "
        text += "".join(f"| {sum(one[key] for one in found):,} " for key in ("acknowledged", "refused", "lost", "gaps")) + "|\n"
        lines = sorted({one["text"] for one in found})
        said += f"- {tool}: {'; '.join(f'`{line}`' if line else 'nothing of the disk' for line in lines)}\n"
    return f"{text}\nThe first line that tells of the disk:\n\n{said}"


def table_of_resumes(trials: Sequence[Trial]) -> str:
    """Return the table of killed trainings."""
    text = "| tool | two left alone are equal | kills | steps of the second process | whose loss differs | final weights equal |\n"
    text += f"|---|---|{'--:|' * 4}\n"
    found = by_tool(trials, "resume")
    for tool, (pair,) in by_tool(trials, "pair").items():
        of_tool = found.get(tool, [])
        equal = sum(one["same"]["final weights"] for one in of_tool)
        steps, differ = (sum(one[key] for one in of_tool) for key in ("steps", "differ"))
        text += (
            f"| {tool} | {'yes' if pair['equal'] else 'no: proves nothing'} | {len(of_tool)} | {steps:,} | {differ:,} | {of(equal, len(of_tool))} |\n"
        )
    whole = [all(one["same"].values()) for one in trials if one["part"] == "resume" and len(one["same"]) > 1]
    return f"{text}\nZhurnal's record and best weights, too, are equal to the byte: {of(sum(whole), len(whole))}.\n"


def is_kept(one: Trial) -> bool:
    """Return whether a trial came out as Zhurnal promises."""
    match one["part"]:
        case "kill":
            return not (one["lost"] or one["doubled"])
        case "disk":
            is_told = one["told"] is not None and one["told"] <= WITHIN
            return one["lives"] and one["logs"] and is_told and not any(one[key] for key in ("lost", "refused", "gaps", "doubled"))
        case "pair":
            return bool(one["equal"])
        case _:
            return not one["differ"] and all(one["same"].values())


def main() -> None:
    """Try, print, and write when asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--peer-python", default=sys.executable, help="Python with tensorboard, trackio and lightning, see benchmarks/peers/README.md"
    )
    parser.add_argument("--kills", type=int, default=30, help="of writers, for each tool")
    parser.add_argument("--disks", type=int, default=3, help="that fill up, for each tool")
    parser.add_argument("--resumes", type=int, default=5, help="kills of trainings, for each way to train")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of kills and full disks")
    parser.add_argument("--alone", action="store_true", help="without peers")
    parser.add_argument("--quick", action="store_true", help="a trial or two of each, one way to train: does it run?")
    parser.add_argument("--write", action="store_true", help="write results/trouble.md")
    given = parser.parse_args()
    load, python = os.getloadavg()[0], given.peer_python
    num_kills, num_disks, num_resumes = (2, 1, 1) if given.quick else (given.kills, given.disks, given.resumes)
    kill_within, full_for = (0.3, 1.0) if given.quick else (1.5, 4.0)
    peers = {p: not given.alone and measure.has(python, p) for p in ("tensorboard", "trackio", "lightning", "torchdata")}
    is_mounting = can_mount()
    trials: list[Trial] = []
    for name, interpreter in {"zhurnal": sys.executable, "tensorboard": python, "trackio": python}.items():
        if peers.get(name, True):
            trials += kills(f"{name}_writer.py", interpreter, num_kills, kill_within, given.seed)
            trials += fills(f"{name}_writer.py", interpreter, num_disks, full_for, given.seed) if is_mounting else []
    for name, interpreter in {"zhurnal": sys.executable, "lightning": python}.items():
        if peers.get(name, True):
            trials += resumes(f"{name}_resume.py", interpreter, num_resumes, given.seed, *(["--rows", "1"] if given.quick else []))
    text = f"# Trouble\n\n{QUICK if given.quick else ''}{measure.machine(load)}; "
    text += f"{measure.both_versions(python, ('torch', 'tensorboard', 'trackio', 'lightning', 'torchdata'))}.\n\n```\n{measure.command()}\n```\n\n"
    if left_out := [name for name, is_there in peers.items() if not is_there]:
        text += f"Left out, {'as asked' if given.alone else 'for they are not installed'}: {', '.join(left_out)}.\n\n"
    text += f"""## Killed writers

SIGKILL up to {kill_within} s after the first point; a point every few milliseconds. Lost is a point that was acknowledged (the call that logs it had
returned) and that the tool's own reader does not find. A kill is no power cut.

{table_of_kills(trials)}
## A full disk

Full for {full_for:.0f} s, watched for {full_for:.0f} s more, then ended as it should. Told: on the terminal. Refused: the call raised an error.
Holes: points that are missing while later ones are stored. What Zhurnal acknowledges while the disk is full waits in memory; a kill would take it.

{table_of_disks(trials) if is_mounting else NOT_MOUNTED}
## A killed training

SIGKILL at a step drawn at random, and the same script started again. What differs is counted among the steps of the second process.

{table_of_resumes(trials)}
"""
    broken = [json.dumps(one) for one in trials if one["tool"].startswith("Zhurnal") and not is_kept(one)]
    text += f"Target for Zhurnal: no point lost, told within {WITHIN:.0f} s, records and weights equal to the bit: "
    text += "reached." if not broken else "missed:\n\n" + "".join(f"- `{line}`\n" for line in broken)
    measure.publish(text.rstrip() + "\n", "trouble.md", given.write)


if __name__ == "__main__":
    main()
