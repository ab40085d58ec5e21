"""The files in which a number of an experiment stands, as they are with another number.

    experiments/e0007.yaml                  parent, continue, weights, series; mentions in its words
    experiments/logs/e0007/s42/             effective.json; texts in events.jsonl; the settings in lr_find.jsonl beside the runs
    journal/*.md                            mentions, links, and the checksums of generated blocks

Each line of a run's files that changes gets its checksum anew; a damaged one stays as it is. What a run computed with (`sources/`), its record, its
weights and TensorBoard's events hold no number and stay to the byte.
"""

from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import orjson

from ..core import records
from ..store import runs
from . import mentions
from .mentions import Names

Changed = dict[Path, tuple[bytes, bytes]]  # file -> its content before and after
LARGEST = 64_000_000  # bytes; events of such a length were not written by a run


def changed(root: Path, names: Iterable[str], mapping: Names) -> Changed:
    """Return the files of experiments under `root` (a lab, or a folder of the trash laid out like one) in which a number changes."""
    found: Changed = {}
    logs = root / "experiments" / "logs"
    for name in names:
        _take(found, root / "experiments" / f"{name}.yaml", mapping, _yaml)
        _take(found, logs / name / "lr_find.jsonl", mapping, _rows)
        for seed in runs.seeds(logs, name):
            home = runs.folder(logs, name, seed)
            _take(found, home / "effective.json", mapping, _effective)
            _take(found, home / "events.jsonl", mapping, _rows)
    return found


def pages(journal: Path, mapping: Names) -> Changed:
    """Return the pages of the journal in which a number changes."""
    found: Changed = {}
    for path in sorted(journal.rglob("*.md")):
        _take(found, path, mapping, _page)
    return found


def _take(found: Changed, path: Path, mapping: Names, make: Callable[[bytes, Names], bytes]) -> None:
    if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST:
        return
    before = path.read_bytes()
    after = make(before, mapping)
    if after != before:
        found[path] = before, after


def _yaml(data: bytes, mapping: Names) -> bytes:
    return mentions.yaml(data.decode(errors="surrogateescape"), mapping).encode(errors="surrogateescape")


def _page(data: bytes, mapping: Names) -> bytes:
    return mentions.page(data.decode(errors="surrogateescape"), mapping).encode(errors="surrogateescape")


def _effective(data: bytes, mapping: Names) -> bytes:
    try:
        values = orjson.loads(data)
    except orjson.JSONDecodeError:
        return data
    if not isinstance(values, dict) or (changed := mentions.effective(values, mapping)) == values:
        return data
    indent = orjson.OPT_INDENT_2 if b"\n " in data else 0
    return orjson.dumps(changed, option=indent) + (b"\n" if data.endswith(b"\n") else b"")


def _rows(data: bytes, mapping: Names) -> bytes:
    """Return lines of rows with other numbers."""
    lines = []
    for line in data.split(b"\n"):
        if any(old.encode() in line for old in mapping):
            try:
                row = records.decode(line)
            except (records.BadLine, orjson.JSONDecodeError):
                row = {}
            if row and (changed := mentions.row(row, mapping)) != row:
                line = records.encode({k: v for k, v in changed.items() if k != "crc"})[:-1]
        lines.append(line)
    return b"\n".join(lines)


def moved(path: str, mapping: Names) -> str:
    """Return where a file of a lab lies, seen from there, when its experiment has another number."""
    parts = path.split("/")
    for i in (1, 2):
        if parts[0] == "experiments" and len(parts) > i:
            parts[i] = mentions.stem(parts[i], mapping)
    if parts[0] == "journal":
        parts[-1] = mentions.stem(parts[-1], mapping)
    return "/".join(parts)


def moves(root: Path, names: Collection[str], mapping: Names) -> dict[Path, str]:
    """Return what gets another name, with that: experiments' files, runs, best weights, pages and figures of the journal."""
    found: dict[Path, str] = {}
    for name in names:
        for part in (f"experiments/{name}.yaml", f"experiments/logs/{name}", f"experiments/logs/{name}_model_best.pth"):
            if (root / part).exists() or (root / part).is_symlink():
                found[root / part] = moved(part, mapping)
    journal = root / "journal"
    for path in sorted((*journal.glob("*"), *(journal / "fig").glob("*"))):
        part = path.relative_to(root).as_posix()
        if path.is_file() and (new := moved(part, mapping)) != part:
            found[path] = new
    return found
