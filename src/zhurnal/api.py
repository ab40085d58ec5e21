"""The lab as one object for Python: what the commands do, as methods. Slow imports happen where they are used."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .core.errors import Interrupted, RunError, ZhurnalError
from .core.records import encode
from .store import files, runs
from .store import lab as store
from .store.view import look

if TYPE_CHECKING:
    from .analyze.listing import Listing
    from .analyze.observation import Observation
    from .analyze.power import Power
    from .analyze.table import Table
    from .core.experiment import Experiment
    from .report.entry import Written
    from .report.problems import Verified
    from .tidy.merge import Merged
    from .tidy.renumber import Renumbered
    from .tidy.space import Item
    from .tidy.trash import Done, Trashed
    from .train.lr_find import RangeTest
    from .train.trained import Trained


class Lab(store.Lab):
    """A lab folder; see `zhurnal.store.lab.Lab` for how experiments are made and read."""

    def run(self, name: str, seed: int | None = None, **options: Any) -> runs.Run:
        """Run an experiment, or go on with its unfinished run; see `zhurnal.train.run.run`."""
        from .train.run import run

        return run(self, name, seed, **options)

    def run_all(self, names: Sequence[str], *, jobs: int = 1, num_seeds: int | None = None, **options: Any) -> list[runs.Run]:
        """Run experiments, or go on with them, `jobs` at once in processes of their own, and return the runs; see `zhurnal.jobs.queue.run`.

        Raises:
            RunError: some failed; the others ran all the same.
            Interrupted: it was asked to stop, by Ctrl-C or `stop`; run it again to go on.
        """
        from .jobs import plan, queue

        planned = plan.plan(self, list(names), num_seeds=num_seeds, at_once=jobs)
        ended = queue.run(self, planned, at_once=jobs, **options)
        left = [o for o in ended if o.status != "finished"]
        told = "; ".join(f"{o.job.label} {o.status}: {o.text}" for o in left)
        if left and all(o.status == "stopped" for o in left):
            raise Interrupted(told)
        if left:
            raise RunError(f"{len(left)} of {len(ended)} runs did not finish: {told}")
        return [runs.read(self.logs, *o.job.key) for o in ended]

    def trained(self, name: str, seed: int | None = None) -> "Trained":
        """Return the trained network of an experiment, to be asked about images; see `zhurnal.train.trained.load`."""
        from .train.trained import load

        return load(self, name, seed)

    def lr_find(self, name: str, seed: int | None = None, **options: Any) -> tuple["RangeTest", list[Path]]:
        """Return the range test of an experiment and its figures; see `zhurnal.train.lr_find.find`.

        Its rows are kept in `experiments/logs/e0001/lr_find.jsonl`, beside the experiment's runs, until the next one.
        """
        from .analyze import lr_find as figure
        from .train import lr_find

        found = lr_find.find(self, name, seed, **options)
        path = self.logs / name / "lr_find.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, b"".join(encode(row) for row in lr_find.rows(found, self.experiment(name).settings.to_dict())))
        s = found.suggestion
        return found, figure.draw(self.journal / "fig", name, found.lrs, found.losses, found.smooth, steepest=s.steepest, tenth=s.tenth)

    def ls(self, names: Sequence[str] | None = None, **options: Any) -> "Listing":
        """Return the list of experiments, sorted and cut where asked: `lab.ls(sort="val_acc", reverse=True, limit=100)`; see `analyze.listing.ls`."""
        from .analyze.listing import ls

        return ls(self, names, **options)

    def compare(self, names: Sequence[str], **options: Any) -> "Table":
        """Return the table of some experiments; see `zhurnal.analyze.table.compare`."""
        from .analyze.table import compare

        return compare(self, list(names), **options)

    def observations(self, names: Sequence[str]) -> list["Observation"]:
        """Return all that can be said of some experiments, with its evidence and strength; see `zhurnal.analyze.observations`."""
        from .analyze import observations

        return observations.of_lab(self, list(names))

    def write(self, names: Sequence[str], **options: Any) -> "Written":
        """Write or refresh the journal entry of some experiments; see `zhurnal.report.entry.write`."""
        from .report.entry import write

        return write(self, list(names), **options)

    def verify(self, names: Sequence[str] | None = None, **options: Any) -> "Verified":
        """Return what of the journal, or of the entries about some experiments, the records do not bear out; see `zhurnal.report.verify.verify`."""
        from .report.verify import verify

        return verify(self, names, **options)

    def power(self, first: str, second: str, **options: Any) -> "Power":
        """Return how many seeds two experiments need to show a difference; see `zhurnal.analyze.power.power`."""
        from .analyze.power import power

        return power(self, first, second, **options)

    def repeat(self, name: str, seeds: int) -> "Experiment":
        """Ask for so many seeds of an experiment in all, and return it; see `zhurnal.store.repeat.repeat`."""
        from .store.repeat import repeat

        return repeat(self, name, seeds)

    def diff(self, first: str, second: str) -> dict[str, tuple[Any, Any]]:
        """Return each effective setting that differs between two experiments, with its value in the first and in the second."""
        from .analyze import summary, table
        from .core.facts import tell_apart

        with look(self) as view:
            told = tell_apart(table.comparable(summary.read_all(self, [first, second], view)), view.defaults)
        return {k: (told[0].get(k), told[1].get(k)) for k in dict.fromkeys([*told[0], *told[1]])}

    # --- removed, brought back, renumbered, put together ---

    def rm(self, names: Sequence[str], *, force: bool = False) -> "Done":
        """Move experiments, with their runs and weights, into the trash; see `zhurnal.tidy.trash.rm`."""
        from .tidy import trash

        return trash.rm(self, names, force=force)

    def restore(self, names: Sequence[str], *, under: str | None = None) -> "Done":
        """Bring experiments back from the trash; see `zhurnal.tidy.trash.restore`."""
        from .tidy import trash

        return trash.restore(self, names, under=under)

    def trash(self) -> "list[Trashed]":
        """Return what is in the trash."""
        from .tidy import trash

        return trash.listing(self)

    def garbage(self, names: Sequence[str] | None = None, *, trash: bool = False) -> "list[Item]":
        """Return the old checkpoints that can go, with their sizes, and what is in the trash if asked; deletes nothing. See `zhurnal.tidy.space`."""
        from .tidy import space

        if names is not None and trash:
            raise ZhurnalError("the trash goes as a whole: ask for it without naming experiments, `zhurnal gc --trash`")
        return space.listing(self, names) + (space.in_trash(self) if trash else [])

    def gc(self, items: "Sequence[Item]") -> int:
        """Delete what `garbage` listed, for good; return how many bytes that freed."""
        from .tidy import space

        return space.free(self, items)

    def renumber(self, name: str, new: str | None = None) -> "Renumbered":
        """Give an experiment another number, and rewrite every reference to it; see `zhurnal.tidy.renumber`."""
        from .tidy import renumber

        done = renumber.renumber(self, name, new)
        return replace(done, notes=(*done.notes, *self._refresh(done.mapping.values())))

    def renumber_against(self, theirs: str) -> "Renumbered":
        """Give another number to each experiment whose number is another's in a lab or branch to be merged; see `zhurnal.tidy.renumber`."""
        from .tidy import renumber

        done = renumber.renumber_against(self, theirs)
        return replace(done, notes=(*done.notes, *self._refresh(done.mapping.values())))

    def merge(self, other: str | Path) -> "Merged":
        """Bring the experiments of another lab into this one; see `zhurnal.tidy.merge`."""
        from .tidy import merge

        done = merge.merge(self, other)
        return replace(done, notes=(*done.notes, *self._refresh(done.names)))

    def _refresh(self, names: Collection[str]) -> list[str]:
        """Bring the journal's entries about experiments up to date; return what a person should know."""
        from .report import entry, journal

        notes: list[str] = []
        for about in entry.entries_about(self, set(names)):
            try:
                notes += self.write(about).notes
            except ZhurnalError as error:  # its markers, or nothing to tell of yet: the page is there all the same
                notes.append(f"journal/{entry.path_of(self, about).name} was not brought up to date: {error}")
        if names and journal.page(self).exists():
            try:
                notes += journal.write(self).notes
            except ZhurnalError as error:
                notes.append(f"journal/README.md was not brought up to date: {error}")
        return notes
