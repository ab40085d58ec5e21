"""trackio on this machine alone, as it comes, and with files of lines instead of SQLite. Run by `benchmarks/trouble.py`, see writers.py."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from writers import Log, Writer, main


def load(folder: Path) -> None:
    """Import it; all trials are projects in one folder, for it reads that name once."""
    os.environ |= {"TRACKIO_DIR": str(folder), "HF_HUB_OFFLINE": "1"}
    import trackio  # noqa: F401


@contextmanager
def opened(folder: Path, mode: str) -> Iterator[Log]:
    """Open a run of a project."""
    os.environ["TRACKIO_STORAGE_MODE"] = mode
    import trackio

    trackio.init(project=folder.name, name="run", embed=False, auto_log_cpu=False, auto_log_gpu=False)
    yield lambda step: trackio.log({"loss": float(step)}, step=step)
    trackio.finish()  # type: ignore[no-untyped-call]


def stored(folder: Path) -> Iterator[tuple[int, float]]:
    """Return steps and values of the project, after files of lines were imported, as its dashboard does."""
    from trackio import fragments
    from trackio.sqlite_storage import SQLiteStorage

    fragments.import_inbox_dir()
    for row in SQLiteStorage.get_logs(folder.name, "run"):
        yield row["step"], row["loss"]


if __name__ == "__main__":
    modes = {"trackio": "auto", "trackio, `TRACKIO_STORAGE_MODE=jsonl`": "jsonl"}
    main([Writer(name, partial(opened, mode=mode), stored) for name, mode in modes.items()], load)
