"""`zhurnal run`: a queue of runs, each with its bars, and a line when it is done."""

import statistics
import sys
import time
import traceback
from collections.abc import Sequence

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from ..api import Lab
from ..core import numbers
from ..core.diff import short
from ..core.errors import Interrupted, ZhurnalError
from ..core.records import Row
from ..core.secrets import masked
from ..core.stop import Stop
from ..core.text import count, duration, percent, printable, show
from ..jobs.plan import Job, plan
from ..store.runs import Run
from .console import Console
from .profiling import profiling, quiet_profiler, tell_unused


class _Speed(ProgressColumn):
    """Images per second of a task that counts them."""

    def render(self, task: Task) -> Text:
        speed = task.fields.get("speed")
        return Text(f"{speed:,.0f} img/s" if speed else "", style="cyan")


def passing(console: Console, quiet: bool, *columns: ProgressColumn) -> Progress:
    """Return bars as wide as the terminal that go away when their work is done; none where there is no terminal, or nobody asked."""
    shown = console.is_terminal and not quiet
    return Progress(*columns, console=console, transient=True, refresh_per_second=5, disable=not shown, expand=True)


class Bars:
    """Draws what a run does: a bar for the epoch, one for the run, and one for whatever comes before."""

    def __init__(self, console: Console, quiet: bool) -> None:
        self.console, self.quiet = console, quiet
        self.progress = passing(
            console,
            quiet,
            TextColumn("{task.description}"),
            BarColumn(bar_width=None if console.width > 90 else 16),
            MofNCompleteColumn(),
            *([_Speed(), TextColumn("{task.fields[info]}")] if console.width > 70 else []),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
        )
        self.tasks: dict[str, TaskID] = {}
        self.epoch_task: TaskID | None = None
        self.run_task: TaskID | None = None
        self.loss: float | None = None
        self.epochs = self.batches = 0

    def progress_of(self, task: str, done: int, total: int) -> None:
        """Show how far a preparation is."""
        if task not in self.tasks:
            self.tasks[task] = self.progress.add_task(task, total=total, info="", speed=None)
        self.progress.update(self.tasks[task], completed=done, total=total, visible=done < total)


class _Watcher:
    """Tells `Bars` what a run does; see `train.watch.Watcher`."""

    def __init__(self, bars: Bars, name: str) -> None:
        self.bars, self.name = bars, name
        self.shown = 0.0

    def progress(self, task: str, done: int, total: int) -> None:
        self.bars.progress_of(task, done, total)

    def begin(self, experiment: str, seed: int, epochs: int, batches: int, epoch: int, batch: int) -> None:
        b = self.bars
        b.epochs, b.batches = epochs, batches
        if epoch or batch:
            self.note(f"goes on from epoch {epoch + 1}, step {epoch * batches + batch}")
        b.run_task = b.progress.add_task(f"{experiment} seed {seed}", total=epochs * batches, completed=epoch * batches + batch, info="", speed=None)
        b.epoch_task = b.progress.add_task(f"epoch {epoch + 1}", total=batches, completed=batch, info="", speed=None)

    def step(self, epoch: int, batch: int, images: int, lr: float) -> None:
        b = self.bars
        if b.progress.disable or b.epoch_task is None or b.run_task is None or (batch < b.batches and time.monotonic() - self.shown < 0.1):
            return
        self.shown = time.monotonic()
        task = b.progress.tasks[b.progress.task_ids.index(b.epoch_task)]
        speed = task.speed * images if task.speed else None
        info = f"lr {show(float(f'{lr:.4g}'))}" + (f" loss {b.loss:.4f}" if b.loss is not None else "")
        b.progress.update(b.epoch_task, completed=batch, description=f"epoch {epoch + 1}", info=info, speed=speed)
        b.progress.update(b.run_task, completed=epoch * b.batches + batch)

    def row(self, row: Row) -> None:
        b = self.bars
        if row["kind"] == "iter":
            b.loss = row["loss"]
        elif row["kind"] == "epoch" and not b.quiet:
            line = f"{self.name} epoch {row['epoch']:>3}/{b.epochs}  train loss {row['train_loss']:.4f} acc {percent(row['train_acc'])}"
            b.console.print(f"{line}  val loss {row['val_loss']:.4f} acc {percent(row['val_acc'])}", highlight=False, soft_wrap=True)
            if b.epoch_task is not None and row["epoch"] < b.epochs:
                b.progress.reset(b.epoch_task, total=b.batches, description=f"epoch {row['epoch'] + 1}", info="", speed=None)

    def phase(self, name: str) -> None:
        b = self.bars
        if b.epoch_task is not None and name != "training":
            b.progress.update(b.epoch_task, info=name)

    def note(self, text: str) -> None:
        self.bars.console.print(f"{self.name}: {printable(masked(text), 2000)}", style="yellow", highlight=False, markup=False)


def summary(run: Run) -> str:
    """Return one line about a run: its best validation accuracy, time for an epoch, and how it stands."""
    if not run.epochs:
        return run.state()
    best = max(run.epochs, key=lambda r: (r["val_acc"], -r["epoch"]))
    seconds = statistics.median([t["seconds"] for t in run.times if not t["partial"]] or [float("nan")])
    of_test = " (of the test images)" if run.on_test else ""
    text = f"best val. acc. {percent(best['val_acc'])}{of_test} at epoch {best['epoch']} of {len(run.epochs)}, {duration(seconds)} an epoch"
    if run.test:
        text += f", test acc. {percent(run.test['test_acc'])}"
    return text if run.finished else f"{text}; {run.state()}"


def run_all(
    lab: Lab, experiments: str, *, seeds: int | None, download: bool, quiet: bool, jobs: int = 1, profile: tuple[int, int] | None = None
) -> int:
    """Run experiments, `jobs` at once; return the exit status. An experiment that fails does not stop the others.

    `profile` is the first and the last step of which each run writes a trace; it needs jobs=1.
    """
    console = Console(stderr=False, soft_wrap=True)
    planned = plan(lab, lab.select(experiments), num_seeds=seeds, at_once=jobs)
    names = {job.experiment for job in planned}
    if len(planned) > 1:
        console.print(f"{count(len(planned), 'run')}: {numbers.show(names)}", highlight=False)
    if (at_once := min(jobs, len(planned))) > 1:
        from .several import run_jobs

        again = f"zhurnal run {experiments}{f' --seeds {seeds}' if seeds else ''} --jobs {jobs}"
        ended = run_jobs(lab, planned, console, at_once=at_once, download=download, quiet=quiet, again=again)
        failed = [o.job.label for o in ended if o.status in ("failed", "stopped")]
        not_run = [o.job.label for o in ended if o.status == "not run"]
        status = 1 if any(o.is_bug for o in ended) else 2
    else:
        not_run = []
        failed, status = _one_after_the_other(lab, planned, console, download, quiet, profile)
    _refresh(lab, names, console)
    if failed:
        if len(planned) > 1:
            more = f"; {count(len(not_run), 'run')} not begun: {', '.join(not_run)}" if not_run else ""
            print(f"{count(len(failed), 'run')} failed: {', '.join(failed)}{more}", file=sys.stderr)
        return status
    console.print(f"next: zhurnal write {numbers.show(names)}", highlight=False)
    return 0


def _one_after_the_other(
    lab: Lab, jobs: Sequence[Job], console: Console, download: bool, quiet: bool, profile: tuple[int, int] | None
) -> tuple[list[str], int]:
    """Run jobs in this process; return the labels of those that failed, and the exit status if any did."""
    if profile:
        quiet_profiler()
        profiling(profile, "")  # too many steps are told before anything runs
    failed, stop, status = [], Stop(), 2
    for job in jobs:
        name, seed, label = job.experiment, job.seed, job.label
        bars = Bars(console, quiet)
        try:
            stop.check()
            if not lab_run_finished(lab, name, seed):
                question = lab.experiment(name).question
                console.print(f"{label}: {question or 'no question'}", style="bold", highlight=False, markup=False)
            elif edited := lab.edited(name):
                console.print(
                    f"{label}: its file was edited after it ran ({short(edited)}); the results are those of before", style="yellow", markup=False
                )
            profiled = profiling(profile, label)
            with bars.progress:
                run = lab.run(name, seed, watcher=_Watcher(bars, label), download=download, stop=stop, profile=profiled)
            tell_unused(profiled, label, console)
            console.print(f"{label}: {summary(run)}", highlight=False, markup=False)
        except Interrupted:
            raise
        except (ZhurnalError, OSError) as error:
            failed.append(label)
            for line in str(error).splitlines():
                print(f"error: {label}: {printable(masked(line), 10_000)}", file=sys.stderr)
        except Exception:  # noqa: BLE001 - a bug of ours: it is shown whole, and does not stop the others
            failed.append(label)
            status = 1
            traceback.print_exc()
    return failed, status


def lab_run_finished(lab: Lab, name: str, seed: int) -> bool:
    """Return whether a run is over, so that running it again does nothing."""
    return any(r.seed == seed and r.finished for r in lab.runs(name))


def _refresh(lab: Lab, names: set[str], console: Console) -> None:
    """Refresh the journal entries that are about these experiments."""
    from ..report.entry import entries_about

    for entry in entries_about(lab, names):
        try:
            written = lab.write(entry)
        except (ZhurnalError, OSError) as error:  # a page's markers, an experiment that it tells of: the runs are done all the same
            console.print(f"note: {printable(str(error), 10_000)}", style="yellow", highlight=False, markup=False)
            continue
        if written.changed:
            console.print(f"journal/{written.path.name} refreshed", highlight=False)
        for note in written.notes:
            console.print(f"note: {note}", style="yellow", highlight=False, markup=False)
