"""The rows of a record: what they hold, and how a row becomes a line that can tell whether it is whole.

A line is a JSON object with a checksum as its last member, so any tool that reads JSON lines reads a record:

    {"kind":"epoch","epoch":3,...,"crc":"8f3a2b1c"}

`crc` is the CRC-32 (zlib's) of the line's bytes before `,"crc"`, closed by `}`.

A run has two files. `record.jsonl` holds what was learned and no clock: run again with the same settings, or killed and resumed, it is the same to
the byte. `events.jsonl` holds what happened: starts, stops, times, warnings.

record.jsonl
    iter    step, epoch, loss (mean since the last such row), lr
    epoch   epoch, step, lr, train_loss, train_acc, val_loss, val_acc, num_train, num_val
    test    epoch (of the checkpoint), step, test_loss, test_acc, num_test
    void    step: rows of later steps that stand before it are of an earlier attempt that was not gone on with exactly
    end     epoch, step, best_epoch, best_val_acc, weights (SHA-256 of the last weights)
events.jsonl (each with `time`, ISO 8601)
    start   attempt, step, epoch, machine, versions, ...
    time    epoch, seconds, train_seconds, val_seconds, images_per_second, partial (the epoch was interrupted)
    warning text
    stop    status (finished, interrupted, failed), step, epoch, reason

Accuracies are fractions in [0, 1]; losses are means over images; `step` counts optimizer steps from 1, `epoch` from 1; a loss that is not finite is
written as null.
"""

import zlib
from typing import Any

import orjson

Row = dict[str, Any]


# What a value must be, whatever row it stands in: who reads rows may rely on it. Other keys may hold anything.
_NUMBER = (int, float, type(None))
_TYPES: dict[str, type | tuple[type, ...]] = {
    "kind": str, "step": int, "epoch": int, "best_epoch": int, "num_train": int, "num_val": int, "num_test": int, "attempt": int, "time": str,
    "text": str, "reason": str, "status": str, "weights": str,
} | dict.fromkeys(
    ("loss", "lr", "train_loss", "train_acc", "val_loss", "val_acc", "val_acc_tta", "test_loss", "test_acc", "test_acc_tta", "best_val_acc",
     "seconds", "train_seconds", "val_seconds", "images_per_second"), _NUMBER
)  # fmt: skip
# What a row cannot do without: who reads rows of a kind takes these as given.
_NEEDED = {
    "iter": ("step",), "epoch": ("step", "epoch"), "test": ("step",), "void": ("step",), "end": ("step",),
    "start": ("time",), "stop": ("time", "status"), "time": ("time", "epoch"), "warning": ("time", "text"),
}  # fmt: skip
_STATES = ("finished", "interrupted", "failed")


class BadLine(ValueError):
    """A line of a record that is torn or altered."""


def encode(row: Row) -> bytes:
    """Return the line for a row, with its checksum and a newline."""
    body = orjson.dumps(row)
    return body[:-1] + b',"crc":"%08x"}\n' % zlib.crc32(body)


def decode(line: bytes) -> Row:
    """Return the row of a line.

    Raises:
        BadLine: the line is torn, is no JSON object, or its checksum does not fit.
    """
    line = line.rstrip(b"\r\n")
    body, mark, tail = line.rpartition(b',"crc":"')
    if not mark or len(tail) != 10 or not tail.endswith(b'"}'):
        raise BadLine("no checksum")
    body += b"}"
    if b"%08x" % zlib.crc32(body) != tail[:8]:
        raise BadLine("checksum does not fit")
    row = orjson.loads(body)
    if not isinstance(row, dict) or "kind" not in row:
        raise BadLine("no row")
    return row


def decode_all(data: bytes) -> tuple[list[Row], list[str], int]:
    """Return all whole rows of a record, a sentence for each line that is not whole, and the length in bytes up to the last newline.

    A bad line hides no other. A torn last line (no newline) is reported too.
    """
    rows: list[Row] = []
    problems: list[str] = []
    whole = data.rfind(b"\n") + 1
    for number, line in enumerate(data[:whole].split(b"\n")[:-1], 1):
        try:
            rows.append(decode(line))
        except (BadLine, orjson.JSONDecodeError) as error:
            problems.append(f"line {number}: {error}")
    if whole < len(data):
        problems.append(f"the last line is torn ({len(data) - whole} bytes)")
    return rows, problems, whole


def usable(rows: list[Row]) -> tuple[list[Row], list[str]]:
    """Return the rows that a run could have written, and a sentence for each other one: a checksum is no signature."""
    found, problems = [], []
    for row in rows:
        wrong = _wrong(row)
        if wrong:
            problems.append(f"a row is none that a run writes: {wrong}")
        else:
            found.append(row)
    return found, problems


def _wrong(row: Row) -> str:
    for key, value in row.items():
        if (kind := _TYPES.get(key)) is not None and not isinstance(value, kind):
            return f"its {key} is of another kind"
    for key in _NEEDED.get(row["kind"], ()):
        if key not in row:
            return f"it has no {key}"
    return "its status is none that there is" if row["kind"] == "stop" and row["status"] not in _STATES else ""
