"""`zhurnal run --jobs N`: several runs at once. A terminal shows one line for each that runs, and one for the queue; a file gets where each began and
ended."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn

from ..api import Lab
from ..core.cores import cores
from ..core.diff import short
from ..core.errors import Interrupted, ZhurnalError
from ..core.secrets import masked
from ..core.stop import Stop
from ..core.text import count, percent, printable
from ..jobs import queue
from ..jobs.lines import Line
from ..jobs.plan import Job
from ..jobs.worker import Outcome
from ..store import runs
from .console import Console
from .running import passing, summary


class View:
    """Shows what the runs of a queue do."""

    def __init__(self, lab: Lab, jobs: Sequence[Job], console: Console, quiet: bool, stop: Stop) -> None:
        self.lab, self.jobs, self.console, self.stop = lab, jobs, console, stop
        wide, wider = console.width > 70, console.width > 100
        self.progress = passing(
            console,
            quiet,
            TextColumn("{task.description}"),
            TextColumn("{task.fields[at]}"),
            BarColumn(bar_width=None if wide else 10),
            *([TextColumn("{task.fields[info]}")] if wide else []),
            *([TextColumn("{task.fields[speed]}", style="cyan")] if wider else []),
            TimeRemainingColumn(compact=True),
        )
        self.tasks: dict[Job, TaskID] = {}
        self.sizes: dict[Job, tuple[int, int]] = {}  # epochs, batches of one
        self.losses: dict[Job, str] = {}
        self.accuracies: dict[Job, str] = {}
        self.told: set[tuple[Job, str]] = set()
        self.ended: list[Outcome] = []
        self.asked = False
        self.queue = self.progress.add_task("runs", total=len(jobs), at=f"0 of {len(jobs)}", info="", speed="")

    def hear(self, job: Job, line: Line) -> None:
        """Show a line of `zhurnal.jobs.lines`, or what the queue says itself."""
        match line["kind"]:
            case "start":
                question = self._look(lambda: self.lab.experiment(job.experiment).question, "")
                self._say(job, f"begins: {question or 'no question'}", style="bold")
                self.tasks[job] = self.progress.add_task(job.label, total=None, at="begins", info="", speed="")
            case "begin":
                self._begin(job, line)
            case "progress":
                self._prepare(job, line["task"], line["done"], line["total"])
            case "step":
                self._step(job, line)
            case "row" if line["row"]["kind"] == "epoch":
                self.accuracies[job] = f"val. acc. {percent(line['row']['val_acc'])}"
                self._info(job)
            case "phase":
                self.progress.update(self.tasks[job], speed="" if line["name"] == "training" else line["name"])
            case "note":
                self._say(job, line["text"], style="yellow")
            case "printed":
                self._say(job, line["text"], style=None)
            case "stopping" if not self.asked:
                self.asked = True
                text = f"{line['reason']}: the runs save their state and stop; Ctrl-C again ends them at once"
                self.console.print(text, style="yellow", highlight=False, markup=False)
            case "end":
                self._end(line["outcome"])

    def _look(self, at: Callable[[], Any], otherwise: Any) -> Any:
        """Return what can be read of an experiment; a file that is gone or broken by now is for its own run to tell."""
        try:
            return at()
        except (ZhurnalError, OSError):
            return otherwise

    def _say(self, job: Job, text: str, style: str | None) -> None:
        self.console.print(f"{job.label}: {printable(masked(text), 10_000)}", style=style, highlight=False, markup=False)

    def _begin(self, job: Job, line: Line) -> None:
        epochs, batches, epoch, batch = line["epochs"], line["batches"], line["epoch"], line["batch"]
        if epoch or batch:
            self._say(job, f"goes on from epoch {epoch + 1}, step {epoch * batches + batch}", style="yellow")
        self.sizes[job] = epochs, batches
        self.progress.reset(self.tasks[job], total=epochs * batches, completed=epoch * batches + batch)
        self.progress.update(self.tasks[job], at=f"epoch {epoch + 1}/{epochs}")

    def _prepare(self, job: Job, task: str, done: int, total: int) -> None:
        self.progress.update(self.tasks[job], total=max(1, total), completed=done, at=printable(task, 28 if self.console.width > 100 else 12))
        if task.startswith("waiting") and done < total and (job, task) not in self.told:
            self.told.add((job, task))
            self._say(job, task, style="yellow")

    def _step(self, job: Job, line: Line) -> None:
        epochs, batches = self.sizes[job]
        self.losses[job] = f"loss {line['loss']:.4f}" if line["loss"] is not None else ""
        at = f"epoch {line['epoch'] + 1}/{epochs}"
        done = line["epoch"] * batches + line["batch"]
        self.progress.update(self.tasks[job], completed=done, at=at, speed=f"{line['speed']:,.0f} img/s")
        self._info(job)

    def _info(self, job: Job) -> None:
        self.progress.update(self.tasks[job], info="  ".join(filter(None, (self.losses.get(job), self.accuracies.get(job)))))

    def _end(self, outcome: Outcome) -> None:
        job = outcome.job
        self.ended.append(outcome)
        if is_new := job in self.tasks:
            self.progress.remove_task(self.tasks.pop(job))
        bad = sum(o.status != "finished" for o in self.ended)
        at = f"{len(self.ended)} of {len(self.jobs)}"
        self.progress.update(self.queue, completed=len(self.ended), at=at, info=f"{bad} not finished" if bad else "")
        if outcome.status == "finished":
            if not is_new and (edited := self._look(lambda: self.lab.edited(job.experiment), {})):
                self._say(job, f"its file was edited after it ran ({short(edited)}); the results are those of before", style="yellow")
            self._say(job, summary(runs.read(self.lab.logs, job.experiment, job.seed)), style=None)
        elif not (outcome.status == "stopped" and self.stop.reason):  # those that were asked to stop are told of together
            for line in f"{'not run: ' if outcome.status == 'not run' else ''}{outcome.text}".splitlines():
                print(f"error: {job.label}: {printable(masked(line), 10_000)}", file=sys.stderr)


def run_jobs(lab: Lab, jobs: Sequence[Job], console: Console, *, at_once: int, download: bool, quiet: bool, again: str) -> list[Outcome]:
    """Run jobs, `at_once` at a time, and return how each ended.

    Raises:
        Interrupted: somebody asked to stop; the text says where each run stopped, and that `again` goes on from there.
    """
    _tell_threads(jobs, at_once, console)
    stop = Stop()
    view = View(lab, jobs, console, quiet, stop)
    with view.progress:
        ended = queue.run(lab, jobs, at_once=at_once, download=download, hear=view.hear, stop=stop)
    if stop.reason and any(o.status == "stopped" for o in ended):
        raise Interrupted(_where(lab, ended, stop.reason, again))
    return ended


def _tell_threads(jobs: Sequence[Job], at_once: int, console: Console) -> None:
    """Say how many runs go at once, and with how many threads; and where these are more than the machine has."""
    share = jobs[0].num_threads
    console.print(f"{at_once} at once, {count(share, 'processor thread')} each", highlight=False)
    most = sum(sorted((job.takes for job in jobs), reverse=True)[:at_once])
    if most > cores():
        fewer = "train.num_threads=0 gives each its part" if any(job.takes > share for job in jobs) else "they take turns"
        console.print(f"note: at once they take up to {count(most, 'thread')} on {count(cores(), 'core')}: {fewer}", style="yellow", highlight=False)


def _where(lab: Lab, ended: Sequence[Outcome], reason: str, again: str) -> str:
    """Return where the runs of a stopped queue stand."""
    lines = []
    for outcome in ended:
        run = runs.read(lab.logs, outcome.job.experiment, outcome.job.seed)
        if outcome.status == "stopped" and run.status != "waiting":
            lines.append(f"{outcome.job.label} {run.state()} ({reason})")
    num_left = sum(o.status == "stopped" for o in ended) - len(lines)
    lines += [f"{count(num_left, 'run')} had not begun"] if num_left else []
    return "\n".join([*lines, f"`{again}` goes on from there"])
