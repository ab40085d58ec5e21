"""What the benchmarks share: a program watched from outside, one set of images for all, and results as a page.

A watched program prints a line with `epoch 2/3` when its epoch 2 is over, validation included. At that moment the CPU time of its process and of
all processes below it (living, and ended and waited for) is read from /proc, in hundredths of a second. The cost of an epoch is what lies between
the line of the first epoch and that of the last, divided by the epochs between: start-up, imports, reading images and the first epoch do not count,
all else does, whoever does it and in whichever process. Programs are not asked to measure themselves. Needs Linux.
"""

import contextlib
import datetime
import io
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
PATHS = ("--data", "--keep", "--lab", "--peer-python")  # options whose value is this machine's alone
EPOCH = re.compile(r"\bepoch +(\d+)/(\d+)")
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)  # CIFAR-10's, for all programs alike


@dataclass(frozen=True)
class Mark:
    """The end of an epoch: seconds since the start, CPU-seconds until then, and what the program printed."""

    epoch: int
    wall: float
    cpu: float
    line: str


@dataclass(frozen=True)
class Watched:
    """A program that ran to its end: its epochs, CPU and wall seconds of the whole process, and the most memory it had at once
    (of its first process alone, and no less than the measuring process had, where memory was not looked at)."""

    marks: list[Mark]
    cpu: float
    wall: float
    peak_bytes: int
    lines: list[str]

    def per_epoch(self) -> tuple[float, float]:
        """Return CPU and wall seconds for an epoch after the first; of all of them together at least a tick of the clock that counts CPU time."""
        first, last = self.marks[0], self.marks[-1]
        cpu, wall = (max(b - a, 1 / os.sysconf("SC_CLK_TCK")) for a, b in ((first.cpu, last.cpu), (first.wall, last.wall)))
        return cpu / (last.epoch - first.epoch), wall / (last.epoch - first.epoch)


def watch(command: Sequence[str], threads: int = 1, *, memory: bool = False) -> Watched:
    """Run a program with so many threads for its matrices, and return what it took; look at the memory of all its processes only when asked to.

    Raises:
        SystemExit: it failed; the end of what it said is told.
    """
    settings = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    settings |= {"PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))}
    marks: list[Mark] = []
    lines: list[str] = []
    began = time.monotonic()
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=os.environ | settings) as process,
    ):
        peak, over = [0], threading.Event()
        sampler = threading.Thread(target=_sample_memory, args=(process.pid, peak, over))
        if memory:
            sampler.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line.rstrip())
                if found := EPOCH.search(line):
                    marks.append(Mark(int(found[1]), time.monotonic() - began, tree_cpu_seconds(process.pid), line.strip()))
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            raise
        finally:
            over.set()
            if memory:
                sampler.join()
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - began
        if process.returncode:
            errors.seek(0)
            said = [*lines[-5:], *errors.read().decode(errors="replace").splitlines()[-25:]]
            raise SystemExit(f"{' '.join(command)}\nended with {process.returncode}:\n" + "\n".join(said))
    # ru_maxrss counts what this process had when it made the other, so it is an upper bound, and of no use where memory is looked at.
    return Watched(marks, used.ru_utime + used.ru_stime, wall, peak[0] if memory else used.ru_maxrss * 1024, lines)


def _stats() -> dict[int, list[str]]:
    """Return for each process the fields of /proc/PID/stat from the third (state) on."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            found[int(path.parent.name)] = path.read_text().rpartition(")")[2].split()
        except OSError:  # it ended
            continue
    return found


def _tree(root: int, stats: Mapping[int, list[str]]) -> list[int]:
    below: dict[int, list[int]] = {}
    for pid, fields in stats.items():
        below.setdefault(int(fields[1]), []).append(pid)
    found, todo = [], [root]
    while todo:
        found.append(todo.pop())
        todo += below.get(found[-1], [])
    return [pid for pid in found if pid in stats]


def tree_cpu_seconds(pid: int) -> float:
    """Return the CPU-seconds, user and system, of a process and all below it."""
    stats = _stats()
    ticks = sum(int(value) for member in _tree(pid, stats) for value in stats[member][11:15])  # utime, stime, cutime, cstime
    return ticks / os.sysconf("SC_CLK_TCK")


def _sample_memory(pid: int, peak: list[int], over: threading.Event) -> None:
    """Keep the largest sum of the resident memory of a process and all below it, or the most that the system saw of the first alone."""
    page = os.sysconf("SC_PAGE_SIZE")
    while not over.wait(0.2):
        stats = _stats()
        alone = re.search(r"VmHWM:\s+(\d+) kB", _read_status(pid))
        peak[0] = max(peak[0], sum(int(stats[member][21]) * page for member in _tree(pid, stats)), int(alone[1]) * 1024 if alone else 0)


def _read_status(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except OSError:  # it ended
        return ""


def write_arrays(data: Path | None, to: Path, num_train: int = 50_000, num_test: int = 10_000) -> Path:
    """Write the images that all programs train on: `train_images` (uint8 NHWC), `train_labels`, `test_images`, `test_labels`; return the file.

    `data` is a folder or zip with train/<class>/* and test/<class>/*; without it the images are noise in the shape of CIFAR-10, which is good for
    times alone.

    Raises:
        SystemExit: the folder or zip has no such images.
    """
    if data is None:
        noise = np.random.default_rng(0)
        arrays = {}
        for part, num in (("train", num_train), ("test", num_test)):
            arrays[f"{part}_images"] = noise.integers(0, 256, (num, 32, 32, 3), dtype=np.uint8)
            arrays[f"{part}_labels"] = noise.permutation(np.arange(num) % 10)
    else:
        arrays = _read(data, {"train": num_train, "test": num_test})
    np.savez(to, **arrays)
    return to


def _read(data: Path, wanted: Mapping[str, int]) -> dict[str, np.ndarray]:
    from PIL import Image

    with contextlib.ExitStack() as stack:
        archive = None if data.is_dir() else stack.enter_context(zipfile.ZipFile(data))
        files = (str(p.relative_to(data)) for p in data.rglob("*") if p.is_file()) if archive is None else archive.namelist()
        names = sorted(n for n in files if not n.endswith("/"))
        by_part = {part: [n for n in names if part in Path(n).parts[:-2]] for part in wanted}
        classes = sorted({Path(n).parent.name for n in by_part["train"]})
        arrays = {}
        for part, found in by_part.items():
            if not found:
                raise SystemExit(f"{data} has no images in {part}/<class>/: give a folder or zip with train/<class>/* and test/<class>/*")
            chosen = found[:: max(1, len(found) // wanted[part])][: wanted[part]]
            opened = [(data / n).read_bytes() if archive is None else archive.read(n) for n in chosen]
            arrays[f"{part}_images"] = np.stack([np.asarray(Image.open(io.BytesIO(held)).convert("RGB")) for held in opened])
            arrays[f"{part}_labels"] = np.array([classes.index(Path(n).parent.name) for n in chosen])
    return arrays


def make_lab(folder: Path, settings: Iterable[str]) -> list[str]:
    """Make a lab with one experiment, and return the command that runs it."""
    zhurnal = [sys.executable, "-m", "zhurnal"]
    watch([*zhurnal, "init", str(folder)])
    watch([*zhurnal, "--lab", str(folder), "new", *settings])
    return [*zhurnal, "--lab", str(folder), "run", "e0001"]


def on_arrays(images: Path) -> list[str]:
    """Return the settings that let Zhurnal train on what `write_arrays` wrote, as all other programs do."""
    mean, std = (", ".join(str(v) for v in values) for values in (MEAN, STD))
    return ["data=npz", f"data.path={images}", "data.validation=test", f"data.normalize={{mean: [{mean}], std: [{std}]}}"]


def has(python: str, module: str) -> bool:
    """Return whether a Python has a module."""
    code = f"import sys, importlib.util; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return subprocess.run([python, "-c", code], check=False).returncode == 0


def versions(python: str, packages: Sequence[str]) -> str:
    """Return the versions of those packages that a Python has: `torch 2.13.0, keras 3.15.1`."""
    if python == sys.executable:
        found = {d.metadata["Name"].lower(): d.version for d in metadata.distributions() if d.metadata["Name"]}
    else:
        code = "from importlib import metadata\nfor d in metadata.distributions(): print(d.metadata['Name'], d.version)"
        out = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout
        found = {line.split()[0].lower(): line.split()[1] for line in out.splitlines()}
    return ", ".join(f"{p} {found[p]}" for p in packages if p in found)


def both_versions(peer_python: str, packages: Sequence[str]) -> str:
    """Return the versions that Zhurnal ran with and, where its peers have a Python of their own, theirs."""
    ours = versions(sys.executable, ("zhurnal", "torch", "torchvision", "numpy", "pillow"))
    return ours if Path(peer_python) == Path(sys.executable) else f"{ours}; its peers: {versions(peer_python, packages)}"


def machine(load: float) -> str:
    """Return the kind of machine, without its name, and how busy it was when the benchmark began."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())
    cores = count(len(os.sched_getaffinity(0)), "core")
    return f"{datetime.date.today()}, {processor}, {cores}, {platform.system()}, Python {platform.python_version()}, load {load:.1f} at the start"


def command() -> str:
    """Return the command that runs now, with PATH in place of each path."""
    words, previous = [], ""
    for word in sys.argv[1:]:
        words.append("PATH" if previous in PATHS else re.sub(rf"^({'|'.join(PATHS)})=.*", r"\1=PATH", word))
        previous = word
    return " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *words])


def median_and_range(values: Sequence[float], digits: int = 1) -> str:
    """Return `8.5 (8.3-9.0)`."""
    if not values:
        return "-"
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f}-{max(values):,.{digits}f})"


def quick_note(quick: bool) -> str:
    """Return what to say above figures of a trial."""
    return "**A trial on few images: it shows that everything runs, its figures say nothing.**\n\n" if quick else ""


def publish(text: str, name: str, write: bool) -> None:
    """Print a page of results, and put it among the results when asked to."""
    print(text)
    if write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / name).write_text(text)


def count(number: int, what: str) -> str:
    """Return `1 round`, `2 rounds`."""
    return f"{number} {what}{'s' if number != 1 else ''}"


def tell(text: str) -> None:
    """Show how far a benchmark is."""
    print(text, file=sys.stderr, flush=True)
