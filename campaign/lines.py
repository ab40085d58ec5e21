"""Damaged lines of a record."""

from pathlib import Path

from zhurnal.core.records import Row, encode
from zhurnal.store import record

from .tally import Tally

TAILS = (
    b"\0" * 37,
    b"\xff\xfe garbage",
    b'{"kind":"iter","step":9',
    '{"kind":"warning","text":"ж'.encode()[:-1],
    b"\x80",
    b"null",
    b"{}",
    b"}",
    b'"',
)


def some_rows(tally: Tally, num: int) -> list[Row]:
    """Return rows as a run makes them, with numbers drawn at random."""
    rows: list[Row] = []
    for step in range(1, num + 1):
        rows.append({"kind": "iter", "step": step, "epoch": 1 + step // 10, "loss": tally.random.expovariate(1), "lr": 0.1})
    return rows


def torn(tally: Tally) -> None:
    """Cut `wanted` records at every byte of their last three lines, and put odd tails behind them; open and go on each time."""
    for _ in range(tally.wanted):
        rows = some_rows(tally, tally.random.randint(4, 8))
        written = [encode(row) for row in rows]
        data = b"".join(written)
        start = len(data) - sum(map(len, written[-3:]))
        damaged = [data[:end] for end in range(start, len(data))] + [data + tail for tail in TAILS] + [data + tail + b"\n" for tail in TAILS]
        path = tally.folder / "record.jsonl"
        for cut in damaged:
            path.write_bytes(cut)
            tally.count(*_whole_lines_survive(path, cut, rows))


def _whole_lines_survive(path: Path, data: bytes, rows: list[Row]) -> tuple[bool, str]:
    """Return whether a damaged record reads, tells, and takes all its rows again, and if not, what happened."""
    found, problems = record.read(path)
    num = min(data.count(b"\n"), len(rows))
    if found != rows[:num] or bool(problems) != (encode_all(found) != data):
        return False, f"{len(data)} bytes: read {len(found)} of {num} rows, told {problems}"
    with record.Record(path, resumed=True) as opened:
        new = [opened.append(row) for row in rows]
    after = record.current(record.read(path)[0])
    return new == [n >= num for n in range(len(rows))] and after == rows, f"{len(data)} bytes: after going on the record has {len(after)} rows"


def encode_all(rows: list[Row]) -> bytes:
    """Return the bytes of a record with these rows."""
    return b"".join(map(encode, rows))


def flips(tally: Tally) -> None:
    """Flip one bit of a record of 40 rows, `wanted` times."""
    rows = some_rows(tally, 40)
    data = encode_all(rows)
    path = tally.folder / "record.jsonl"
    for _ in range(tally.wanted):
        bit = tally.random.randrange(8 * len(data))
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        found, problems = record.read(path)
        lost = [row["step"] for row in rows if row not in found]
        # a flipped newline joins two lines: both are lost
        good = problems and len(lost) <= 1 + (data[bit // 8 : bit // 8 + 1] == b"\n") and all(row in rows for row in found)
        tally.count(good, f"bit {bit}: rows {lost} are not read, told {problems}")
