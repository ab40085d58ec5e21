"""What the tests of `store` and `train/state.py` would not notice: one thing in the code is changed at a time, and the tests that come over it run.

    python benchmarks/mutants.py --sample 300                    # of all files alike; stop it at any time, it goes on where it was
    python benchmarks/mutants.py --sample 300 --write            # writes results/mutants.md
    python benchmarks/mutants.py --sample 300 --again            # after new tests: tries once more what had survived
    python benchmarks/mutants.py --files store/plan.py           # every change to one file

A change that makes a test fail is killed, one that makes it hang is timed out; one that no test notices survives: a test is missing, or it makes no
difference. Why one may survive is written by hand behind it in results/mutants.md, and kept when the page is written again. What is known stays known
until its file changes; `--again` tries survivors once more and leaves alone what was killed.

The changes: comparisons (`<` and `<=`, `==` and `!=`, ...), `and` and `or`, `not` taken away, a condition turned round, + and -, a whole number made
one larger, true and false, `return None`, a call or a `raise` left out, `break` and `continue`. Texts, annotations, decorators and assertions stay.

Everything happens in a copy of the tree, in build/mutants. The tests of branches.py name no path outside their own temporary folders, which matters
here: code that is to refuse such paths may be what is changed.
"""

import argparse
import ast
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain, zip_longest
from pathlib import Path

import measure
from branches import PARTS, Trace, trace

WORK = measure.ROOT / "build" / "mutants"
RESULT = measure.RESULTS / "mutants.md"
ENDS = ("killed", "timed out", "survived")
SWAPS: Mapping[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And, ast.Add: ast.Sub, ast.Sub: ast.Add,
}  # fmt: skip
STAYS = ("annotation", "returns", "decorator_list")
SURVIVOR = re.compile(r"- `(?P<file>[^`]+):\d+` in `(?P<where>[^`]*)`: `(?P<old>[^`]*)` became `(?P<new>[^`]*)`(?:: (?P<why>.+))?")


@dataclass(frozen=True)
class Mutant:
    """One change: the number it has in its file, where it is, and what it makes of what."""

    file: str  # store/lab.py
    number: int
    line: int
    where: str  # the function, or `module`
    old: str
    new: str

    def key(self) -> tuple[str, str, str, str]:
        """Return what stays the same when other lines of the file change."""
        return self.file, self.where, self.old, self.new


# --- changes ---


def changes(node: ast.AST, where: str = "") -> Iterator[tuple[str, int, str, str, Callable[[], None]]]:
    """Give each change to what is below a node: the function it is in, its line, the code before and after, and what makes it."""
    for name, value in ast.iter_fields(node):
        if name in STAYS or isinstance(node, ast.JoinedStr | ast.Assert):
            continue
        for place, child in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(child, ast.AST) or (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
                continue
            inside = f"{where}.{child.name}".strip(".") if isinstance(child, ast.FunctionDef | ast.ClassDef) else where
            for new in _others(child, is_condition=name in ("test", "ifs")):
                is_bare = isinstance(child, ast.Constant) and (not isinstance(node, ast.stmt) or isinstance(node, ast.Assign | ast.AnnAssign))
                before = ast.unparse(node if is_bare else child)  # a number alone tells little
                _put(node, name, place, new)
                after = ast.unparse(node if is_bare else ast.fix_missing_locations(new))
                _put(node, name, place, child)
                yield where, getattr(child, "lineno", 0), *_shown(before, after), partial(_put, node, name, place, new)
            yield from changes(child, inside)


def _others(node: ast.AST, is_condition: bool) -> Iterator[ast.AST]:
    """Give what may stand in the place of a node."""
    if is_condition and isinstance(node, ast.expr) and not isinstance(node, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.Constant):
        yield ast.UnaryOp(ast.Not(), node)
    match node:
        case ast.Compare(left, ops, comparators):
            for at, op in enumerate(ops):
                yield ast.Compare(left, [*ops[:at], SWAPS[type(op)](), *ops[at + 1 :]], comparators)  # type: ignore[list-item]
        case ast.BoolOp(op, values):
            yield ast.BoolOp(SWAPS[type(op)](), values)  # type: ignore[arg-type]
        case ast.UnaryOp(ast.Not(), operand):
            yield operand
        case ast.BinOp(left, ast.Add() | ast.Sub() as op, right):
            yield ast.BinOp(left, SWAPS[type(op)](), right)  # type: ignore[arg-type]
        case ast.AugAssign(target, ast.Add() | ast.Sub() as op, value):
            yield ast.AugAssign(target, SWAPS[type(op)](), value)  # type: ignore[arg-type]
        case ast.Constant(bool() as held):
            yield ast.Constant(not held)
        case ast.Constant(int() as held):
            yield ast.Constant(held + 1)
        case ast.Return(ast.expr() as held) if ast.unparse(held) not in ("None", "True", "False"):
            yield ast.Return(ast.Constant(None))
        case ast.Expr(ast.Call()) | ast.Raise():
            yield ast.Pass()
        case ast.Break():
            yield ast.Continue()
        case ast.Continue():
            yield ast.Break()


def _put(parent: ast.AST, name: str, place: int, new: ast.AST) -> None:
    held = getattr(parent, name)
    if isinstance(held, list):
        held[place] = new
    else:
        setattr(parent, name, new)


def _shown(before: str, after: str) -> tuple[str, str]:
    """Return two codes for a page: on one line, and of long ones the part where they differ."""
    same = next((at for at, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), len(after))
    start = max(0, same - 60) if len(before) > 160 else 0

    def cut(code: str) -> str:
        text = " ".join(code[start : start + 160].replace("`", "'").split())
        return f"{'…' if start else ''}{text}{'…' if len(code) > start + 160 else ''}"

    return cut(before), cut(after)


def mutants_of(file: str, source: str) -> list[Mutant]:
    """Return all changes to a file, in its order."""
    found = changes(ast.parse(source))
    return [Mutant(file, number, line, where or "module", old, new) for number, (where, line, old, new, _) in enumerate(found)]


def changed(source: str, number: int) -> str:
    """Return the code of a file with its change of this number."""
    tree = ast.parse(source)
    for at, (*_, make) in enumerate(changes(tree)):
        if at == number:
            make()
            break
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def sample(mutants: Sequence[Sequence[Mutant]], num: int | None, seed: int) -> list[Mutant]:
    """Return so many changes, of all files alike; all without a number."""
    shuffled = [random.Random(seed).sample(list(of), len(of)) for of in mutants]
    found = [m for m in chain.from_iterable(zip_longest(*shuffled)) if m is not None]
    return found[:num]


# --- trying one ---


def tests_of(mutant: Mutant, found: Trace) -> list[str]:
    """Return the tests that come over the line of a change, the fastest first; all of its part where it runs when the file is imported."""
    (own,) = (tests for files, tests in PARTS.values() if mutant.file in files)
    names = found.tests[mutant.file].get(mutant.line) or found.seconds
    return sorted((n for n in names if n.startswith(own)), key=lambda name: found.seconds[name])


def attempt(mutant: Mutant, tree: Path, found: Trace) -> str:
    """Change the file in the tree, run the tests, put the file back; return how it ended."""
    tests = tests_of(mutant, found)
    if not tests:
        return "survived"
    path = tree / "src" / "zhurnal" / mutant.file
    state, source = path.stat(), path.read_text()
    path.write_text(changed(source, mutant.number))
    try:
        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", f"--basetemp={tree.parent / 'tmp'}"]
        variables = os.environ | {"PYTHONPATH": str(tree / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
        with subprocess.Popen(
            [sys.executable, "-m", "pytest", *options, *tests], cwd=tree, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:  # fmt: skip
            try:
                return "survived" if process.wait(20 + 5 * sum(found.seconds[t] for t in tests)) == 0 else "killed"
            except subprocess.TimeoutExpired:
                return "timed out"
            finally:  # with all that it started
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
    finally:
        path.write_text(source)
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def prepare(again: bool) -> tuple[Path, Trace]:
    """Copy the tree, and return it with what the tests of it do; this is known from the last time, unless something changed."""
    tree = WORK / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    for name in ("src", "tests", "campaign"):
        shutil.copytree(measure.ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(measure.ROOT / "pyproject.toml", tree)
    kept = WORK / "trace.json"
    if again or not kept.exists() or any(p.stat().st_mtime > kept.stat().st_mtime for p in tree.rglob("*.py")):
        subprocess.run([sys.executable, __file__, "--trace", str(tree)], check=True)
    told = json.loads(kept.read_text())
    return tree, Trace({f: {int(line): names for line, names in lines.items()} for f, lines in told["tests"].items()}, told["seconds"])


# --- results ---


def page(tried: Mapping[Mutant, str], every: Mapping[str, int], before: str) -> str:
    """Return the tables; explanations are taken from the page that was there."""
    known = {(m["file"], m["where"], m["old"], m["new"]): m["why"] for m in map(SURVIVOR.match, before.splitlines()) if m and m["why"]}
    lines = ["| file | changes | tried | killed | timed out | survived |", "|---|--:|--:|--:|--:|--:|"]
    for name in [f for f in every if any(m.file == f for m in tried)] + ["all"]:
        ends = [end for m, end in tried.items() if name in (m.file, "all")]
        num = sum(every.values()) if name == "all" else every[name]
        lines.append(f"| {name} | {num} | {len(ends)} | " + " | ".join(str(ends.count(end)) for end in ENDS) + " |")
    left = sorted((m for m, end in tried.items() if end == "survived"), key=lambda m: (m.file, m.line))
    lines += ["", f"## Survivors\n\n{sum(m.key() in known for m in left)} of {len(left)} are explained; explanations are written by hand.\n"]
    for m in left:
        lines.append(f"- `{m.file}:{m.line}` in `{m.where}`: `{m.old}` became `{m.new}`" + (f": {known[m.key()]}" if m.key() in known else ""))
    return "\n".join(lines) + "\n"


def main() -> None:
    """Try changes, print the page, and store it when asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, help="how many changes, of all files alike; else all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--files", nargs="+", help="such as store/lab.py; else all")
    parser.add_argument("--again", action="store_true", help="try once more what had survived: there are new tests")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so many; the next call goes on")
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name}")
    parser.add_argument("--trace", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    known = [file for files, _ in PARTS.values() for file in files]
    if unknown := [file for file in arguments.files or () if file not in known]:
        parser.error(f"--files: {', '.join(unknown)} is none of {', '.join(known)}")
    WORK.mkdir(parents=True, exist_ok=True)
    if arguments.trace:
        (WORK / "trace.json").write_text(json.dumps(asdict(trace(arguments.trace))))
        return
    began = time.monotonic()
    tree, found = prepare(arguments.again)
    files = arguments.files or [f for of, _ in PARTS.values() for f in of]
    sources = {f: (tree / "src" / "zhurnal" / f).read_text() for f in files}
    sums = {f: hashlib.sha256(text.encode()).hexdigest()[:16] for f, text in sources.items()}
    mutants = [mutants_of(f, text) for f, text in sources.items()]
    chosen = sample(mutants, arguments.sample, arguments.seed)
    kept = WORK / "tried.jsonl"
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    ended = {(row["file"], row["sum"], row["number"]): row["end"] for row in rows}
    if arguments.again:
        ended = {key: end for key, end in ended.items() if end != "survived" or key[0] not in files}
        kept.write_text("".join(json.dumps(dict(zip(("file", "sum", "number", "end"), (*k, e), strict=True))) + "\n" for k, e in ended.items()))
    for num, m in enumerate(chosen, 1):
        if (key := (m.file, sums[m.file], m.number)) in ended or time.monotonic() - began > arguments.seconds:
            continue
        ended[key] = attempt(m, tree, found)
        with kept.open("a") as file:
            file.write(json.dumps({"file": m.file, "sum": key[1], "number": m.number, "end": ended[key]}) + "\n")
        measure.tell(f"{num} of {len(chosen)}: {m.file}:{m.line} {m.old} became {m.new}: {ended[key]}")
    tried = {m: ended[key] for m in chosen if (key := (m.file, sums[m.file], m.number)) in ended}
    before = RESULT.read_text() if RESULT.exists() else ""
    text = page(tried, {f: len(of) for f, of in zip(sources, mutants, strict=True)}, before)
    measure.publish(f"# Changes that tests notice\n\n```\n{measure.command()}\n```\n\n{text}", RESULT.name, arguments.write)


if __name__ == "__main__":
    main()
