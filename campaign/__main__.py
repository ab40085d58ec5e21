"""Run the campaign, or some rows of it, and print its table; see the top of `__init__.py`."""

import argparse
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable
from pathlib import Path

from benchmarks.measure import RESULTS, machine

from .rows import ROWS, Row
from .tally import Tally

HEAD = "| row | promise | tried | held | lost | seconds |\n|---|---|---:|---:|---:|---:|"


def run(row: Row, wanted: int, seed: int, tell: bool = False) -> Tally:
    """Run a row with so many trials, in a folder of its own, and return its tally."""
    with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
        tally = Tally(row.name, wanted, seed, Path(folder), show if tell else lambda tally: None)
        row.run(tally)
    return tally


def show(tally: Tally) -> None:
    """Show on a terminal how far a row is."""
    if sys.stderr.isatty():
        print(f"\r{tally.name}: {tally.tried:,} tried, {len(tally.lost):,} lost", end="", file=sys.stderr, flush=True)


def line(row: Row, tally: Tally, seconds: float) -> str:
    """Return a row of the table."""
    what = "; ".join([row.what, *tally.notes])
    return f"| {row.name} | {what} | {tally.tried:,} | {tally.held:,} | {len(tally.lost):,} | {seconds:.0f} |"


def chosen(names: str | None) -> Iterable[Row]:
    """Return the rows that --rows names, all without it."""
    if names is None:
        return ROWS
    known = {row.name: row for row in ROWS}
    if unknown := [name for name in names.split(",") if name not in known]:
        raise SystemExit(f"--rows: there is no row {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in names.split(",")]


def main() -> int:
    """Run the rows, print the table row by row, write it when asked to; return 1 where something was lost."""
    parser = argparse.ArgumentParser(prog="python -m campaign", description="Try what is promised about data, many times over.")
    parser.add_argument("--tier", type=int, choices=(1, 2, 3), default=2, help="how often: 1 as the tests do, 2 under an hour, 3 for a release")
    parser.add_argument("--rows", help="names of rows, with commas between")
    parser.add_argument("--scale", type=float, default=1.0, help="this part of the trials of the tier")
    parser.add_argument("--seed", type=int, default=0, help="another seed draws other trials")
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/results/campaign.md")
    asked = parser.parse_args()
    load, began = os.getloadavg()[0], time.monotonic()
    lines, lost, broken = [HEAD], [], []
    print(HEAD, flush=True)
    for row in chosen(asked.rows):
        start = time.monotonic()
        try:
            tally = run(row, max(1, round(row.counts[asked.tier - 1] * asked.scale)), asked.seed, tell=True)
        except Exception:  # noqa: BLE001 - the other rows run all the same; it is told, and the status is 1
            broken.append(f"{row.name} did not run to its end:\n{traceback.format_exc()}")
            print(f"\r{broken[-1]}", file=sys.stderr, flush=True)
            continue
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)
        lines.append(line(row, tally, time.monotonic() - start))
        lost += [f"{row.name}, {sentence}" for sentence in tally.lost]
        print(lines[-1], flush=True)
    minutes = (time.monotonic() - began) / 60
    print("\n".join(["", *lost[:50], *([f"and {len(lost) - 50} more"] if len(lost) > 50 else [])]))
    if asked.write:
        words = [f"--tier {asked.tier} --seed {asked.seed}"]
        words += [f"--rows {asked.rows}"] if asked.rows else []
        words += [f"--scale {asked.scale:g}"] if asked.scale != 1 else []
        text = f"# Campaign\n\n`python -m campaign {' '.join(words)}`, {minutes:.0f} minutes. {machine(load)}.\n\n"
        text += "\n".join([*lines, "", *(f"- {s}" for s in lost), *(f"```\n{b}```" for b in broken)])
        (RESULTS / "campaign.md").write_text(text.rstrip() + "\n")
    return 1 if lost or broken else 0


if __name__ == "__main__":
    sys.exit(main())
