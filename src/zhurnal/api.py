"""The lab as one object for Python: what the commands do, as methods. Slow imports happen where they are used."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .core import diff
from .store import lab as store
from .store import runs

if TYPE_CHECKING:
    from .analyze.table import Table
    from .report.entry import Written


class Lab(store.Lab):
    """A lab folder; see `zhurnal.store.lab.Lab` for how experiments are made and read."""

    def run(self, name: str, seed: int | None = None, **options: Any) -> runs.Run:
        """Run an experiment, or go on with its unfinished run; see `zhurnal.train.run.run`."""
        from .train.run import run

        return run(self, name, seed, **options)

    def compare(self, names: Sequence[str], **options: Any) -> "Table":
        """Return the table of some experiments; see `zhurnal.analyze.table.compare`."""
        from .analyze.table import compare

        return compare(self, list(names), **options)

    def write(self, names: Sequence[str], **options: Any) -> "Written":
        """Write or refresh the journal entry of some experiments; see `zhurnal.report.entry.write`."""
        from .report.entry import write

        return write(self, list(names), **options)

    def diff(self, first: str, second: str) -> dict[str, tuple[Any, Any]]:
        """Return each effective setting that differs between two experiments, with its value in the first and in the second."""
        from .analyze import summary, table

        told = diff.tell_apart(table.comparable(summary.read_all(self, [first, second])))
        return {k: (told[0].get(k), told[1].get(k)) for k in dict.fromkeys([*told[0], *told[1]])}
