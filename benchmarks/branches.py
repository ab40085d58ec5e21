"""How many branches of what keeps data, `store` and `train/state.py`, their own unit tests take; exit status 1 where it is under 95 of 100.

    make coverage                            # a table by file, with the lines of branches that no test takes; half a minute
    python benchmarks/branches.py --write    # puts it among the results

Only the tests in TESTS count, which look at these files alone: that a long run happens to pass a line is no test of it. What tests do in processes of
their own, which are killed, is not seen and does not count.
"""

import argparse
import importlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import measure
import pytest

if TYPE_CHECKING:
    from coverage import Coverage

LEAST = 95.0  # of 100 branches
SOURCE = measure.ROOT / "src" / "zhurnal"
# What is counted as one: its files, and the tests of them.
PARTS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "store": (tuple(sorted(f"store/{p.name}" for p in (SOURCE / "store").glob("*.py") if p.stat().st_size > 200)), "tests/unit/store"),
    "train/state.py": (("train/state.py",), "tests/unit/train/test_state.py"),
}


@dataclass
class Trace:
    """What tests did: for each file (`store/lab.py`) and line the tests that came over it, and what each test took."""

    tests: dict[str, dict[int, list[str]]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    report: dict[str, dict[str, object]] = field(default_factory=dict)  # by file: `summary` and `missing_branches` of coverage's report


class _Watch:
    """Tells coverage which test is running, and keeps what each took."""

    def __init__(self, found: "Coverage") -> None:
        self.coverage, self.seconds = found, dict[str, float]()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        name, began = item.nodeid.partition("[")[0], time.monotonic()
        self.coverage.switch_context(name)
        try:
            return (yield)
        finally:
            self.coverage.switch_context("")
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - began


def trace(tree: Path) -> Trace:
    """Run the tests in a tree, in this process, which must not have imported Zhurnal yet; return what they did.

    Raises:
        SystemExit: a test failed.
    """
    from coverage import Coverage

    os.chdir(tree)
    sys.path.insert(0, str(tree / "src"))
    with tempfile.TemporaryDirectory() as folder:
        source = tree / "src" / "zhurnal"
        found = Coverage(data_file=f"{folder}/data", branch=True, include=[str(source / name) for files, _ in PARTS.values() for name in files])
        watch = _Watch(found)
        found.start()
        for name in chain.from_iterable(files for files, _ in PARTS.values()):  # else what runs then would be told of whichever test came first
            importlib.import_module(f"zhurnal.{name.removesuffix('.py').replace('/', '.')}")
        with redirect_stdout(sys.stderr):
            status = pytest.main([*(tests for _, tests in PARTS.values()), "-p", "no:cacheprovider", "-p", "no:xdist"], plugins=[watch])
        found.stop()
        if status:
            raise SystemExit("a test failed: nothing is measured")
        found.json_report(outfile=f"{folder}/report.json", show_contexts=True)
        report = json.loads(Path(folder, "report.json").read_text())["files"]
    by_file = {Path(tree, name).relative_to(source).as_posix(): told for name, told in report.items()}
    tests = {name: {int(line): [n for n in names if n] for line, names in told["contexts"].items()} for name, told in by_file.items()}
    return Trace(tests, watch.seconds, {n: {k: told[k] for k in ("summary", "missing_branches")} for n, told in by_file.items()})


def page(found: Trace) -> tuple[str, bool]:
    """Return the table, and whether all parts have enough."""
    lines = ["| file | branches | taken | of 100 | not taken, from line to line |", "|---|--:|--:|--:|---|"]
    verdicts, is_enough = [], True
    for part, (files, tests) in PARTS.items():
        total = taken = 0
        for name in files:
            summary, missing = found.report[name]["summary"], found.report[name]["missing_branches"]
            assert isinstance(summary, dict)
            assert isinstance(missing, list)
            num, ok = summary["num_branches"], summary["covered_branches"]
            total, taken = total + num, taken + ok
            told = ", ".join(f"{a} to {b}" if b > 0 else f"{a} to the end" for a, b in missing)
            lines.append(f"| {name} | {num} | {ok} | {100 * ok / max(num, 1):.1f} | {told} |")
        share = 100 * taken / total
        is_enough &= share >= LEAST
        verdicts.append(f"{part} by {tests}: {taken} of {total} branches, {share:.1f} of 100; {'reached' if share >= LEAST else 'missed'} {LEAST:g}.")
    return "\n".join([*lines, "", *verdicts]), is_enough


def main() -> None:
    """Measure, print, and store when asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write results/branches.md")
    arguments = parser.parse_args()
    table, is_enough = page(trace(measure.ROOT))
    measure.publish(f"# Branches that tests take\n\n```\n{measure.command()}\n```\n\n{table}\n", "branches.md", arguments.write)
    sys.exit(0 if is_enough else 1)


if __name__ == "__main__":
    main()
